#!/usr/bin/env python3
"""What tracing and verifying a kernel costs the compiler: user seconds above an empty kernel header.

    run.py [--pairs 11] [--smoke] [--operations 1000] [COMPILER...]      (default: g++ clang++-19)

The kernel has a var, shared memory, barriers and a guarded neighbour access in every unrolled step. Header alone and kernel
alternate; ours is the difference.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

LIMITS_S = {"g++": 1.0, "clang++-19": 2.0}
OPERATIONS_A_STEP = 19
INCLUDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "include")
EMPTY = "#include <gpuio/kernel.hpp>\n"
KERNEL = EMPTY + """
using namespace gpuio::kernel;
constexpr auto big = kernel<"big", 256>([](Ctx k, In<f32> x, Out<f32> y, Val<f32> a) {
  auto t = k.tid();
  auto tile = k.shared<f32, 512>();
  auto v = k.var(x[t]);
  for (u32 i = 0; i < STEPS; ++i) {
    v = v * a + 1.5f;
    tile[t] = v;
    k.barrier();
    GPU_IF(t < 255) v += tile[t + 1];
    k.barrier();
  }
  y[t] = v;
});
static_assert(big.view().insts.size() >= STEPS * 19);
"""


def user_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, timeout=300)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def measure(compiler, steps, pairs):
    flags = ["-std=c++20", f"-I{INCLUDE}", "-fsyntax-only"]
    if "clang" in compiler:
        flags.append("-fconstexpr-steps=100000000")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in (("empty.cpp", EMPTY), ("kernel.cpp", KERNEL.replace("STEPS", str(steps)))):
            paths.append(os.path.join(folder, name))
            with open(paths[-1], "w", encoding="utf-8") as f:
                f.write(text)
        times = [[user_seconds([compiler, *flags, p]) for p in paths] for _ in range(pairs)]
    case = {"unit": "s", "more_is_better": False,
            "samples": {"ours": [full - base for base, full in times], "header alone": [base for base, _ in times]}}
    if compiler in LIMITS_S and steps * OPERATIONS_A_STEP >= 1000:
        case["limit"] = LIMITS_S[compiler]
    return f"{compiler}, {steps * OPERATIONS_A_STEP} operations", case


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", help="not needed: it measures compilers")
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("compilers", nargs="*", default=list(LIMITS_S))
    args = parser.parse_args()
    if args.smoke:
        args.pairs, args.operations, args.compilers = 1, OPERATIONS_A_STEP, args.compilers[:1]
    steps = args.operations // OPERATIONS_A_STEP + (args.operations % OPERATIONS_A_STEP > 0)
    cases = dict(measure(c, steps, args.pairs) for c in args.compilers if shutil.which(c))
    missing = {c: "not installed" for c in args.compilers if not shutil.which(c)}
    if not cases:
        sys.exit("no compiler: " + ", ".join(missing))
    print(json.dumps({"cases": cases, "not_measured": missing}))


if __name__ == "__main__":
    main()
