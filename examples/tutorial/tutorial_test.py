#!/usr/bin/env python3
"""tutorial_test.py PAGE COMPILER PROGRAM...: every piece of C++ on the page is in the programs, which give what loops on the host give.

Each runs on the CPU, and on Vulkan where GPUIO_TEST_VULKAN_ICD names a driver.
"""
import os
import pathlib
import re
import subprocess
import sys

page, compiler, programs = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
here = pathlib.Path(__file__).parent
sources = "\n".join(p.read_text() for p in sorted(here.glob("*.cpp")))
blocks = re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.M | re.S)
assert len(blocks) >= 8, f"{page}: {len(blocks)} pieces of code: was it moved?"
for block in blocks:
    assert block in sources, f"{page}: this is in no program:\n{block}"
# The barrier that the page takes away.
source = (here / "2_sum.cpp").read_text()
broken = source.replace("  tile[t] = mine;\n  k.barrier();\n", "  tile[t] = mine;\n")
assert broken != source
said = subprocess.run([compiler, "-std=c++20", *(["-fconstexpr-steps=100000000"] if "clang" in compiler else []),
                       f"-I{here}", f"-I{here.parent.parent / 'include'}", "-fsyntax-only", "-x", "c++", "-"],
                      input=broken, capture_output=True, text=True, timeout=100).stderr
quoted = re.search(r"kernel_error<(.*?)>", page.read_text()).group()
assert quoted in said, f"{page} says {quoted}, {compiler}:\n{said}"
icd = os.environ.get("GPUIO_TEST_VULKAN_ICD")
environment = dict(os.environ, **({"VK_DRIVER_FILES": icd, "VK_ICD_FILENAMES": icd} if icd else {}))
for program in programs:
    for device in ["cpu"] + ["vulkan"] * bool(icd):
        run = subprocess.run([program, device], capture_output=True, text=True, timeout=100, env=environment)
        said = run.stdout + run.stderr
        assert run.returncode == 0 and "verified" in said, f"{program} {device}: {run.returncode}\n{said}"
refused = subprocess.run([programs[0], "abacus"], capture_output=True, text=True, timeout=100)
assert refused.returncode == 1 and "abacus" in refused.stderr, refused
print(f"{len(blocks)} pieces, {len(programs)} programs")
