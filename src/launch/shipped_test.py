#!/usr/bin/env python3
"""shipped_test.py FOLDER: the shipped .spv are valid SPIR-V and the shipped .ptx assemble without a spill, where the tools
are at hand (spirv-val of spirv-tools, ptxas of the CUDA toolkit)."""
import pathlib
import re
import shutil
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
names = ("matmul", "reduce", "vecadd")
assert sorted(p.name for p in folder.iterdir()) == sorted(f"{n}.{kind}" for n in names for kind in ("spv", "ptx")), folder


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}"
    return done.stdout


if shutil.which("spirv-val"):
    for name in names:
        run("spirv-val", "--target-env", "vulkan1.2", folder / f"{name}.spv")
    print("SPIR-V: valid")
if shutil.which("ptxas"):
    known = set(re.findall(r"sm_\d+", run("ptxas", "--help")))
    targets = [sm for sm in ("sm_75", "sm_80", "sm_90", "sm_120") if sm in known]
    assert targets, known
    for name in names:
        for sm in targets:
            said = run("ptxas", "-arch", sm, "-v", folder / f"{name}.ptx", "-o", "/dev/null")
            spilt = [int(n) for n in re.findall(r"(\d+) bytes spill", said)]
            assert spilt and not any(spilt), f"{name} for {sm}: {said}"
    print("PTX:", ", ".join(targets))
if not shutil.which("spirv-val") and not shutil.which("ptxas"):
    print("neither spirv-val nor ptxas is in PATH")
    sys.exit(77)
