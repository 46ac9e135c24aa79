#!/usr/bin/env python3
"""Runs the scenarios of this folder, prints their ratios as a table and writes one JSON. README.md says what a scenario is.

    bench/run.py --bin build/release/bench [--only NAME,NAME] [--pairs 11] [--smoke] [--json OUT] [--venv DIR]
    bench/run.py --list          names of the scenarios
    bench/run.py --selftest

Exit 1 when a target was missed (not with --smoke), 2 when a scenario failed or printed what README.md does not allow.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import compare  # noqa: E402

TIME_LIMIT_S = 1800  # of one scenario
SMOKE_LIMIT_S = 100


def scenarios():
    return sorted(n for n in os.listdir(HERE) if os.path.isdir(os.path.join(HERE, n)) and n != "results" and not n.startswith(("_", ".")))


def command(name, args):
    folder = os.path.join(args.bin, name)
    script = os.path.join(HERE, name, "run.py")
    program = os.path.join(folder, "bench_" + name)
    if os.path.exists(script):
        words = [sys.executable, script, "--bin", folder]
    elif os.path.exists(program):
        words = [program]
    else:
        raise RuntimeError(f"neither {script} nor {program} is there; build it with ./dev bench")
    return words + ["--pairs", str(args.pairs)] + (["--smoke"] if args.smoke else [])


def check(result):
    """The first thing that README.md does not allow, or None."""
    if not isinstance(result.get("cases"), dict):
        return "no cases"
    for name, case in result["cases"].items():
        if not isinstance(case.get("unit"), str) or not isinstance(case.get("more_is_better"), bool):
            return f"case {name}: no unit, or no more_is_better"
        for part in ("samples", "gpu"):
            series = case.get(part, {"ours": []} if part == "gpu" else {})
            if "ours" not in series:
                return f"case {name}: {part} has nothing of ours"
            if len({len(s) for s in series.values()}) != 1:
                return f"case {name}: {part} differ in number"
            if any(not isinstance(x, (int, float)) or x != x for s in series.values() for x in s):
                return f"case {name}: {part} holds what is no number"
        if not case["samples"]["ours"]:
            return f"case {name}: nothing was measured"
        unknown = set(case.get("targets", {})) - set(case["samples"])
        if unknown:
            return f"case {name}: a target for {sorted(unknown)[0]}, which was not measured"
    return None


def run(name, args):
    words = command(name, args)
    env = dict(os.environ)
    if args.venv:
        env["GPUIO_BENCH_VENV"] = args.venv
    begin = time.time()
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                       timeout=SMOKE_LIMIT_S if args.smoke else TIME_LIMIT_S)
    if p.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {p.returncode}\n{p.stderr[-2000:]}")
    try:
        result = json.loads(p.stdout)
    except ValueError as e:
        raise RuntimeError(f"{' '.join(words)}: standard output is not one JSON object: {e}") from e
    wrong = check(result)
    if wrong:
        raise RuntimeError(f"{' '.join(words)}: {wrong}")
    result["seconds"] = round(time.time() - begin, 1)
    return result


def judge(case):
    """{contender: verdict of speed, ratio in the unit, against the target} and, of a limit, "limit"."""
    judged = {}
    more = case["more_is_better"]
    for part in ("samples", "gpu"):
        series = case.get(part, {})
        for contender, theirs in series.items():
            if contender == "ours":
                continue
            pairs = [(a, b) for a, b in zip(series["ours"], theirs) if a > 0 and b > 0]
            speed = [a / b if more else b / a for a, b in pairs]
            v = compare.verdict(speed)
            if pairs:
                v["unit_ratio"] = round(statistics.median(a / b for a, b in pairs), 3)
            target = case.get("targets", {}).get(contender)
            if target and pairs:
                v["target"] = target
                v["met"] = compare.met([s / (target if more else 1 / target) for s in speed])
            judged.setdefault(contender, {})[part] = v
    if "limit" in case:
        limit, ours = case["limit"], case["samples"]["ours"]
        # A difference may be nothing, or less.
        speed = [(x / limit if more else limit / x) if x > 0 else (0.0 if more else 1e9) for x in ours]
        judged["limit"] = {"samples": {"target": limit, "met": compare.met(speed)}}
    return judged


def number(x, unit=""):
    if unit in ("ns", "us", "ms", "s"):
        return f"{x:.4g} "
    for step, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= step:
            return f"{x / step:.3g} {letter}"
    return f"{x:.3g} "


ROW = "  {:36} {:>16} {:>11} {:>16} {:>7} {:10} {:>8} {:10} {}"


def show(name, result):
    print(f"\n{name} ({result['seconds']} s)")
    print(ROW.format("case", "ours", "against", "theirs", "ratio", "verdict", "target", "", "GPU").rstrip())
    for title, case in result["cases"].items():
        lines = []
        sign = ">=" if case["more_is_better"] else "<="
        ours = number(statistics.median(case["samples"]["ours"]), case["unit"]) + case["unit"]
        for contender, parts in case["judged"].items():
            v, gpu = parts["samples"], parts.get("gpu")
            target = f"{sign} {number(v['target']).strip()}" if "target" in v else ""
            gpu = f"{gpu['unit_ratio']} {gpu['verdict']}" if gpu and "unit_ratio" in gpu else "not measured"
            if contender == "limit":
                lines.append(("", "", "", "", target, v["met"], "not measured"))
            else:
                theirs = number(statistics.median(case["samples"][contender]), case["unit"]) + case["unit"]
                lines.append((contender, theirs, v.get("unit_ratio", "-"), v["verdict"], target, v.get("met", ""), gpu))
        for i, line in enumerate(lines or [("", "", "", "", "", "", "not measured")]):
            print(ROW.format(*((title, ours) if i == 0 else ("", "")), *line).rstrip())
        if case.get("note"):
            print("    " + case["note"])
    for what, why in result.get("not_measured", {}).items():
        print(f"  {what}: not measured, {why}")
    sys.stdout.flush()


def environment(args):
    def first(path, key):
        try:
            with open(path, encoding="utf-8") as f:
                return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "")
        except OSError:
            return ""
    compiler = subprocess.run([os.environ.get("CXX", "g++"), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False).stdout.split("\n")[0]
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    return {"cpu": first("/proc/cpuinfo", "model name"), "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "memory": first("/proc/meminfo", "MemTotal"), "compiler": compiler, "commit": commit, "pairs": args.pairs,
            "smoke": args.smoke, "load_before": os.getloadavg(), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def selftest():
    near = [100.0, 101, 99, 100, 102, 98, 100, 100, 101, 99, 100]
    case = {"unit": "ns", "more_is_better": False, "targets": {"flag": 1.4}, "limit": 150,
            "samples": {"ours": [1.2 * x for x in near], "flag": near}}
    judged = judge(case)
    assert judged["flag"]["samples"]["verdict"] == "slower" and judged["flag"]["samples"]["met"] == "met", judged
    assert judged["flag"]["samples"]["unit_ratio"] == 1.2 and judged["limit"]["samples"]["met"] == "met", judged
    judged = judge(dict(case, targets={"flag": 1.1}, limit=110))
    assert judged["flag"]["samples"]["met"] == judged["limit"]["samples"]["met"] == "missed", judged
    judged = judge(dict(case, more_is_better=True, targets={"flag": 1.1}))
    assert judged["flag"]["samples"]["verdict"] == "faster" and judged["flag"]["samples"]["met"] == "met", judged
    assert check({"cases": {"c": case}}) is None
    for wrong in ({}, {"cases": {"c": {"unit": "ns"}}}, {"cases": {"c": dict(case, targets={"x": 1})}},
                  {"cases": {"c": dict(case, samples={"ours": [1], "flag": []})}},
                  {"cases": {"c": dict(case, samples={"flag": [1]})}}):
        assert check(wrong), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release/bench")
    parser.add_argument("--only", default="")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", default="")
    parser.add_argument("--venv", default="", help="a virtual environment that may hold Python peers")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    args = parser.parse_args()
    if args.selftest:
        return selftest()
    if args.list:
        print("\n".join(scenarios()))
        return 0
    args.bin = os.path.abspath(args.bin)
    if args.smoke:
        args.pairs = 1
    names = args.only.split(",") if args.only else scenarios()
    unknown = set(names) - set(scenarios())
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(scenarios())}")
    whole = {"environment": environment(args), "scenarios": {}, "failed": {}}
    for name in names:
        try:
            result = run(name, args)
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as e:
            whole["failed"][name] = str(e)
            print(f"\n{name}: failed\n  {e}", flush=True)
            continue
        for case in result["cases"].values():
            case["judged"] = judge(case)
        whole["scenarios"][name] = result
        show(name, result)
    whole["environment"]["load_after"] = os.getloadavg()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(whole, out, indent=1)
    missed = [f"{name}: {title} ({contender})" for name, r in whole["scenarios"].items() for title, case in r["cases"].items()
              for contender, parts in case["judged"].items() if parts["samples"].get("met") == "missed"]
    if whole["failed"]:
        print("\nfailed: " + ", ".join(whole["failed"]))
        return 2
    if args.smoke:
        return 0
    print("\ntargets missed: " + ("; ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
