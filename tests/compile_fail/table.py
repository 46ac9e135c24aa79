#!/usr/bin/env python3
"""The table at the end of docs/kernels.md, made of the kernels of this folder: table.py [--check].

Without --check it is written. A row: the lines that the error names (or the kernel's body), and what is said.
"""
import pathlib
import re
import sys

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
DOC = root / "docs" / "kernels.md"
BEGIN = "| mistake | error |\n|---|---|\n"


def words():
    """kind -> words, from error.hpp."""
    text = (root / "include/gpuio/kernel/error.hpp").read_text()
    cases = re.findall(r"case Err::(\w+):\s*return ((?:\"[^\"]*\"\s*)+);", text)
    return {kind: "".join(re.findall(r'"([^"]*)"', said)) for kind, said in cases}


def code(lines):
    return " … ".join("`" + line.strip().replace("|", "\\|") + "`" for line in lines)


def row(path, said):
    lines = path.read_text().splitlines()
    kind, line, rest = re.match(r"// expect: (\S+)(?: (\d+))?(?: (.+))?$", lines[0]).groups()
    if kind == "none":
        return None
    line = int(line or 0)
    named = [line] if line else \
        [n for n, text in enumerate(lines, 1) if n > 3 and not re.match(r"constexpr|struct|int f|\s*return|[})]", text)][:1]
    if kind in ("missing_barrier", "write_after_read", "write_after_write", "divergent_barrier"):
        named = sorted({line, int(rest)})
    if kind == "text":
        error = {"deleted": "use of a deleted function"}.get(rest, rest)
        if re.fullmatch(r"\w+", error):
            error = f"no such member: `{error}`"
    else:
        error = f"`{kind}`: {said[kind]}"
    shown = [lines[n - 1] for n in named] or [path.stem.replace("_", " ")]
    return f"| {path.stem.replace('_', ' ')}: {code(shown)} | {error} |\n"


def main():
    said = words()
    rows = [row(p, said) for p in sorted(here.glob("*.cpp"))]
    table = BEGIN + "".join(r for r in rows if r)
    text = DOC.read_text()
    head = text.split(BEGIN)[0].rstrip("\n") + "\n\n"
    if "--check" in sys.argv[1:]:
        if text != head + table:
            sys.exit(f"{DOC} is not what {__file__} writes: run it")
        print(f"{len(rows)} rows")
    else:
        DOC.write_text(head + table)


if __name__ == "__main__":
    main()
