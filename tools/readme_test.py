#!/usr/bin/env python3
"""Compiles every C++ block of the README, as a reader would: readme_test.py COMPILER."""
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
blocks = re.findall(r"^```cpp\n(.*?)^```$", (root / "README.md").read_text(), re.M | re.S)
assert blocks, "the README has no C++ block: was it moved?"
for block in blocks:
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write(block)
        source.flush()
        subprocess.run([sys.argv[1], "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-fsyntax-only",
                        *(["-fconstexpr-steps=100000000"] if "clang" in sys.argv[1] else []),
                        f"-I{root}/include", source.name], check=True, timeout=300)
print(f"{len(blocks)} blocks compiled")
