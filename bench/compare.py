#!/usr/bin/env python3
"""Says whether one series of measurements is faster, the same or slower than another, or that it cannot tell.

The shared verdict of all benchmarks: `verdict(ratios)` takes ours/peer of interleaved pairs (more is better). A bootstrap of the
median gives a 95% interval:
    faster     all of it above 1 + TOLERANCE
    slower     all of it below 1 - TOLERANCE
    same       all of it within
    ambiguous  anything else: measure longer, or on a quieter machine; no failure
    compare.py A.json B.json   compares two results of run.py case by case: B against A
    compare.py --selftest
"""
import json
import random
import statistics
import sys

TOLERANCE = 0.05
PAIRS_MIN = 5  # fewer pairs cannot exclude chance


def interval(ratios, draws=2000):
    """The 95% interval of the median, by resampling; the same every time."""
    chance = random.Random(len(ratios))
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def verdict(ratios):
    """{"ratio", "low", "high", "pairs", "verdict"} of ours/peer."""
    if not ratios:
        return {"verdict": "not measured", "pairs": 0}
    low, high = interval(ratios)
    if len(ratios) < PAIRS_MIN:
        word = "ambiguous"
    elif low > 1 + TOLERANCE:
        word = "faster"
    elif high < 1 - TOLERANCE:
        word = "slower"
    elif low >= 1 - TOLERANCE and high <= 1 + TOLERANCE:
        word = "same"
    else:
        word = "ambiguous"
    return {"ratio": round(statistics.median(ratios), 3), "low": round(low, 3), "high": round(high, 3),
            "pairs": len(ratios), "verdict": word}


def met(ratios):
    """Whether a target is reached; ratios are of speed, ours over what the target asks: "met", "missed" or "ambiguous"."""
    low, high = interval(ratios)
    if len(ratios) >= PAIRS_MIN and (low >= 1 or high < 1):
        return "met" if low >= 1 else "missed"
    return "ambiguous"


def compare(before, after):
    """Yields (case, verdict) of our own figures in two results of run.py, which were not interleaved: as if paired by rank."""
    for name, scenario in before["scenarios"].items():
        for title, case in scenario["cases"].items():
            later = after["scenarios"].get(name, {}).get("cases", {}).get(title, {}).get("samples", {})
            pairs = [(x, y) for x, y in zip(sorted(case["samples"]["ours"]), sorted(later.get("ours", []))) if x > 0 and y > 0]
            yield f"{name}: {title}", verdict([y / x if case["more_is_better"] else x / y for x, y in pairs])


def selftest():
    chance = random.Random(1)
    near = lambda x, n=15, width=0.02: [x * chance.uniform(1 - width, 1 + width) for _ in range(n)]
    assert verdict(near(1.0))["verdict"] == "same"
    assert verdict(near(1.3))["verdict"] == "faster"
    assert verdict(near(0.8))["verdict"] == "slower"
    assert verdict(near(1.0, width=0.6))["verdict"] == "ambiguous"
    assert verdict(near(0.5, n=3))["verdict"] == "ambiguous"
    assert verdict([])["verdict"] == "not measured"
    assert [met(near(x)) for x in (1.1, 1.0, 0.9)] == ["met", "ambiguous", "missed"] and met(near(2, n=3)) == "ambiguous"
    def result(scale, more):
        return {"scenarios": {"s": {"cases": {"x": {"more_is_better": more, "samples": {"ours": near(scale)}}}}}}
    assert [v["verdict"] for _, v in compare(result(100, True), result(70, True))] == ["slower"]
    assert [v["verdict"] for _, v in compare(result(100, False), result(70, False))] == ["faster"]


def main():
    if sys.argv[1:] == ["--selftest"]:
        selftest()
        return 0
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    results = [json.load(open(name, encoding="utf-8")) for name in sys.argv[1:]]
    worst = 0
    for case, v in compare(*results):
        print(f"{case:48} {v.get('ratio', '-'):>7} {v['verdict']}")
        worst |= v["verdict"] == "slower"
    return worst


if __name__ == "__main__":
    sys.exit(main())
