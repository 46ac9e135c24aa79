#!/usr/bin/env python3
"""Compiles every C++ block of the README, or of FILE, as a reader would: readme_test.py COMPILER [FILE]."""
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
page = root / (sys.argv[2] if len(sys.argv) > 2 else "README.md")
blocks = re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.M | re.S)
assert blocks, f"{page} has no C++ block: was it moved?"
for block in blocks:
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write(block)
        source.flush()
        subprocess.run([sys.argv[1], "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-fsyntax-only",
                        *(["-fconstexpr-steps=100000000"] if "clang" in sys.argv[1] else []),
                        f"-I{root}/include", source.name], check=True, timeout=300)
print(f"{len(blocks)} blocks compiled")
