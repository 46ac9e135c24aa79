#!/usr/bin/env python3
"""What tracing and verifying a kernel costs the compiler: user seconds above an empty kernel header.

    bench/compile_time/run.py [--operations N] [--rounds R] [COMPILER...]      (default: 1000, 3, g++ clang++-19)

The kernel has a var, shared memory, barriers and a guarded neighbour access in every unrolled step. The
least of the rounds counts; base and kernel alternate. Prints one JSON object a compiler.
"""
import argparse
import json
import os
import resource
import subprocess
import tempfile

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


def measure(compiler, steps, rounds):
    flags = ["-std=c++20", f"-I{INCLUDE}", "-fsyntax-only"]
    if "clang" in compiler:
        flags.append("-fconstexpr-steps=100000000")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in (("empty.cpp", EMPTY), ("kernel.cpp", KERNEL.replace("STEPS", str(steps)))):
            paths.append(os.path.join(folder, name))
            with open(paths[-1], "w", encoding="utf-8") as f:
                f.write(text)
        times = [[user_seconds([compiler, *flags, p]) for p in paths] for _ in range(rounds)]
    base, full = (min(t[i] for t in times) for i in range(2))
    return {"compiler": compiler, "operations": steps * OPERATIONS_A_STEP, "header_s": round(base, 2),
            "trace_verify_s": round(full - base, 2), "load": round(os.getloadavg()[0], 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("compilers", nargs="*", default=["g++", "clang++-19"])
    args = parser.parse_args()
    for compiler in args.compilers:
        print(json.dumps(measure(compiler, args.operations // OPERATIONS_A_STEP, args.rounds)))


if __name__ == "__main__":
    main()
