#!/usr/bin/env python3
"""libgpuio.so shows exactly the functions of the public headers, and nulls.c calls every one of them with NULLs.

    symbols.py LIBGPUIO.SO INCLUDE_DIR NULLS.C
"""
import re
import subprocess
import sys

library, include, nulls = sys.argv[1:]
declared = set()
for header in ("gpuio.h", "gpuio_ai.h", "gpuio_kernel.h", "gpuio_ops.h"):
    declared |= set(re.findall(r"^GPUIO_API [^;(]*?(gpuio_\w+)\(", open(f"{include}/gpuio/{header}").read(), re.M))
shown = {
    line.split()[-1].split("@")[0]
    for line in subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    if " A " not in line
}
called = set(re.findall(r"\b(gpuio_\w+)\(", open(nulls).read()))
wrong = [f"{name}: declared, not in {library}" for name in sorted(declared - shown)]
wrong += [f"{name}: shown by {library}, in no header" for name in sorted(shown - declared)]
wrong += [f"{name}: {nulls} does not call it with NULLs" for name in sorted(declared - called)]
if len(declared) < 100:
    wrong.append(f"only {len(declared)} functions found in the headers: this test reads them wrongly")
print("\n".join(wrong) or f"{len(declared)} functions")
sys.exit(bool(wrong))
