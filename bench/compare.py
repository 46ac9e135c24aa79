#!/usr/bin/env python3
"""Says whether one series of measurements is faster, the same or slower than another, or that it cannot tell.

The shared verdict of all benchmarks: `verdict(ratios)` takes ours/peer of interleaved pairs (more is better). A bootstrap of the
median gives a 95% interval:
    faster     all of it above 1 + TOLERANCE
    slower     all of it below 1 - TOLERANCE
    same       all of it within
    ambiguous  anything else: measure longer, or on a quieter machine; no failure
    compare.py A.json B.json   compares two results of bench/*/*.py case by case: B against A
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


def compare(before, after):
    """Yields (case, verdict) of our own figures in two results, which were not interleaved: as if paired by rank."""
    for case, contenders in before["cases"].items():
        a, b = sorted(contenders.get("ours", [])), sorted(after["cases"].get(case, {}).get("ours", []))
        yield case, verdict([y / x for x, y in zip(a, b) if x > 0])


def selftest():
    chance = random.Random(1)
    near = lambda x, n=15, width=0.02: [x * chance.uniform(1 - width, 1 + width) for _ in range(n)]
    assert verdict(near(1.0))["verdict"] == "same"
    assert verdict(near(1.3))["verdict"] == "faster"
    assert verdict(near(0.8))["verdict"] == "slower"
    assert verdict(near(1.0, width=0.6))["verdict"] == "ambiguous"
    assert verdict(near(0.5, n=3))["verdict"] == "ambiguous"
    assert verdict([])["verdict"] == "not measured"
    a, b = ({"cases": {"x": {"ours": near(scale)}}} for scale in (100.0, 70.0))
    assert [v["verdict"] for _, v in compare(a, b)] == ["slower"]


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
        print(f"{case:24} {v.get('ratio', '-'):>7} {v['verdict']}")
        worst |= v["verdict"] == "slower"
    return worst


if __name__ == "__main__":
    sys.exit(main())
