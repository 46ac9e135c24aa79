#!/usr/bin/env python3
"""Compiles every kernel of this folder and expects the compiler to refuse it for the right reason and line.

    run.py COMPILER INCLUDE_FOLDER [FLAG...]

The first line of a file says what is expected:
    // expect: ERR LINE [OTHER]   kernel_error<Err::ERR, LINE[, OTHER], ...> in the output
    // expect: text LINE WORDS    the words, and FILE:LINE: (0: any line)
    // expect: none               it compiles
Exits 77 (skipped) when the compiler is not installed.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile


def expected(path):
    first = open(path, encoding="utf-8").readline()
    m = re.match(r"// expect: (\S+)(?: (\d+))?(?: (.+))?$", first.strip())
    assert m, f"{path}: the first line says what is expected"
    return m.group(1), int(m.group(2) or 0), m.group(3)


def check(path, command):
    kind, line, rest = expected(path)
    r = subprocess.run(command + [path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if kind == "none":
        return None if r.returncode == 0 else f"does not compile:\n{r.stdout}"
    if r.returncode == 0:
        return "compiles"
    if kind == "text":
        found = rest in r.stdout and (line == 0 or f"{os.path.basename(path)}:{line}:" in r.stdout)
    else:
        other = rf", {rest}U?," if rest else ","
        found = re.search(rf"kernel_error<[^<>]*\b{kind}, {line}U?{other}", r.stdout)
    return None if found else f"is refused, but not with '{kind} {line} {rest or ''}':\n{r.stdout}"


def main():
    compiler, include, *flags = sys.argv[1:]
    if shutil.which(compiler) is None:
        print(f"skipped: {compiler} is not installed")
        return 77
    here = os.path.dirname(os.path.abspath(__file__))
    paths = sorted(os.path.join(here, f) for f in os.listdir(here) if f.endswith(".cpp"))
    with tempfile.TemporaryDirectory() as folder:
        # The header once for all: parsing it takes most of the time.
        header = os.path.join(folder, "kernel.hpp")
        with open(header, "w", encoding="utf-8") as f:
            f.write("#include <gpuio/kernel.hpp>\n")
        clang = "clang" in os.path.basename(compiler)
        command = [compiler, "-std=c++20", f"-I{include}", *flags]
        pch = header + (".pch" if clang else ".gch")
        subprocess.run(command + ["-x", "c++-header", header, "-o", pch], check=True, timeout=300)
        command += (["-include-pch", pch] if clang else ["-include", header]) + ["-fsyntax-only"]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda p: check(p, command), paths))
    bad = 0
    for path, result in zip(paths, results):
        print(f"{os.path.basename(path)}: {result or 'as expected'}")
        bad += result is not None
    print(f"{len(paths)} files, {bad} not as expected")
    return 1 if bad or len(paths) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
