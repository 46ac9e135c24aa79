#!/usr/bin/env python3
"""House rules that a compiler does not check: include arrows point down, files stay small, nothing unfinished.

    tools/tidy.py            checks every tracked file, prints path:line: message, exits 1 if there is any
    tools/tidy.py --selftest proves on planted mistakes that each rule can fail
"""
import re
import subprocess
import sys

LINES_MAX = 600

# Folder -> folders whose headers it may include (its own always). The picture in docs/architecture.md.
BASE = {"src/base"}
DEVICE = {"include/gpuio/device"}
KERNEL = {"include/gpuio/kernel"} | DEVICE
GPU = {"src/gpu"} | BASE
# Kernels for the CPU device are made from the IR by the device itself.
LAUNCH = {"src/launch", "src/gpu/cpu"} | GPU | KERNEL
IO = {"src/io"} | BASE
PAGING = {"src/paging"} | IO | LAUNCH
ARROWS = {
    "include/gpuio/device": set(),
    "include/gpuio/kernel": DEVICE,
    "src/base": set(),
    "src/gpu": BASE,
    "src/gpu/cpu": GPU | KERNEL,
    "src/gpu/vulkan": GPU | KERNEL,
    "src/gpu/cuda": GPU,
    "src/launch": LAUNCH,
    "src/ops": {"src/ops"} | LAUNCH,
    "src/io": BASE,
    "src/engines": IO,
    "src/paging": IO | LAUNCH,
    # Only main and the tool's own files come after it.
    "src/capi": PAGING | {"src/ops", "src/engines", "src/gpu/vulkan", "src/gpu/cuda", "include/gpuio"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]')
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def folder_of(path):
    """The longest listed folder that holds the path, or None."""
    best = None
    for folder in ARROWS:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def target_of(include):
    """Repository path of an include of ours, else None."""
    if include.startswith("gpuio/"):
        return "include/" + include
    if "/" in include and include.split("/")[0] in {"base", "gpu", "launch", "ops", "io", "engines", "paging", "capi", "cli", "server", "ai", "blocks", "codec"}:
        return "src/" + include
    return None


def check(path, text):
    """Yields (line, message)."""
    lines = text.split("\n")
    code = path.endswith((".cpp", ".hpp", ".h", ".c", ".py"))
    if code and len(lines) > LINES_MAX + 1:
        yield len(lines), f"{len(lines)} lines; {LINES_MAX} at most: split it by what its parts are for"
    here = folder_of(path)
    test = re.search(r"_((test|fuzz|bench)\.cpp|fixture\.hpp)$", path) is not None
    for n, line in enumerate(lines, 1):
        if code and UNFINISHED.search(line):
            yield n, "unfinished work is an issue, not a comment"
        if code and line.rstrip() != line:
            yield n, "white space at the end of the line"
        m = INCLUDE.match(line)
        target = target_of(m.group(1)) if m else None
        if not target or here is None:
            continue
        there = folder_of(target)
        if test or there is None or there in ARROWS[here]:
            continue
        if here == there == "src/engines":
            if target.rsplit("/", 1)[0] != path.rsplit("/", 1)[0]:
                yield n, f"engines never include each other: {target}"
        elif here != there:
            yield n, f"the arrow points up: {here} may not include {target}"


def selftest():
    cases = [
        ("src/base/a.cpp", '#include "gpu/device.hpp"\n', "arrow"),
        ("src/engines/file/a.cpp", '#include "engines/memory/memory.hpp"\n', "engines never"),
        ("src/base/a.cpp", "// TO" + "DO\n", "unfinished"),
        ("src/base/a.cpp", "int a; \n", "white space"),
        ("src/base/a.cpp", "\n" * 700, "lines"),
    ]
    for path, text, word in cases:
        found = [m for _, m in check(path, text)]
        assert len(found) == 1 and word in found[0], (path, word, found)
    assert not list(check("src/paging/a.cpp", '#include "io/engine.hpp"\n#include <gpuio/device/tag.hpp>\n'))


def main():
    selftest()
    if sys.argv[1:] == ["--selftest"]:
        return 0
    bad = 0
    for path in subprocess.run(["git", "ls-files"], stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n"):
        if not path.endswith((".cpp", ".hpp", ".h", ".c", ".py", ".txt", ".cmake", ".sh")) and path != "dev":
            continue
        try:
            text = open(path, encoding="utf-8").read()
        except FileNotFoundError:
            continue
        for line, message in check(path, text):
            print(f"{path}:{line}: {message}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
