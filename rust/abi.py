#!/usr/bin/env python3
"""Holds src/sys.rs to the C headers: a C compiler compares each constant's value, each struct's size and each field's
place and type, and each function's type. A self-test plants mistakes that it must find.

    abi.py C_COMPILER INCLUDE_DIR SYS.RS
"""
import re
import subprocess
import sys

compiler, include, path = sys.argv[1:]

NAMES = {"c_int": "int", "c_char": "char", "c_float": "float", "c_void": "void", "u32": "uint32_t", "u64": "uint64_t",
         "usize": "size_t", "f64": "double", "bool": "bool"}


def c_type(rust):
    """A type of Rust's as C writes it, with the name of what has it left out: 'const char*', 'char[256]' is apart."""
    rust = rust.strip()
    for pointer, const in (("*const ", "const "), ("*mut ", "")):
        if rust.startswith(pointer):
            inner = c_type(rust[len(pointer) :])
            return f"{inner} const*" if const else f"{inner}*"
    if rust in NAMES:
        return NAMES[rust]
    assert re.fullmatch(r"gpuio_\w+", rust), f"a type that this script does not know: {rust}"
    return rust


def callback(rust):
    m = re.fullmatch(r'Option<unsafe extern "C" fn\((.*)\)>', rust)
    return f"void (*)({', '.join(c_type(a) for a in m[1].split(', '))})"


def facts(text):
    """The C of assertions about everything that the text declares."""
    out = ["#include <assert.h>", "#include <stddef.h>", "#include <gpuio/gpuio.h>", "#include <gpuio/gpuio_kernel.h>"]
    count = {"constants": 0, "callbacks": 0, "structs": 0, "functions": 0, "handles": 0}
    for struct, handle in re.findall(r"^    (gpuio_\w+) (gpuio_\w+_t)$", text, re.M):
        count["handles"] += 1
        out.append(f'static_assert(_Generic(({handle})0, struct {struct}*: 1, default: 0), "{handle}");')
    for name, value in re.findall(r"^pub const (GPUIO_\w+): \w+ = (-?\d+);$", text, re.M):
        count["constants"] += 1
        out.append(f'static_assert({name} == {value}, "{name}");')
    for name, rust in re.findall(r"^pub type (\w+) = (Option<.*>);$", text, re.M):
        count["callbacks"] += 1
        out.append(f'static_assert(_Generic(({name})0, {callback(rust)}: 1, default: 0), "{name}");')
    for name, body in re.findall(r"^pub struct (gpuio_\w+_t) \{\n(.*?)^\}", text, re.M | re.S):
        count["structs"] += 1
        fields = re.findall(r"^    pub (\w+): (.*),$", body, re.M)
        assert len(fields) == len(body.splitlines()), f"{name}: a field that this script does not read"
        declared, checks = [], []
        for field, rust in fields:
            c = field.rstrip("_") if field in ("type_", "async_") else field
            array = re.fullmatch(r"\[(\w+); (\d+)\]", rust)
            if array:
                kind, suffix = c_type(array[1]), f"[{array[2]}]"
            else:
                kind, suffix = c_type(rust), ""
            declared.append(f"  {kind} {c}{suffix};")
            checks.append(f'static_assert(offsetof({name}, {c}) == offsetof(struct ours_{name}, {c}), "{name}.{c}: place");')
            pointer = f"{kind}(*){suffix}" if suffix else f"{kind}*"
            checks.append(f'static_assert(_Generic(&(({name}*)0)->{c}, {pointer}: 1, default: 0), "{name}.{c}: type");')
        out += [f"struct ours_{name} {{", *declared, "};", *checks]
        out.append(f'static_assert(sizeof({name}) == sizeof(struct ours_{name}), "{name}: size");')
    for name, arguments, answer in re.findall(r"^    pub fn (gpuio_\w+)\((.*?)\)(?: -> (.*))?;$", text, re.M):
        count["functions"] += 1
        types = [c_type(a.split(": ", 1)[1]) for a in arguments.split(", ") if a]
        out.append(f'static_assert(_Generic(&{name}, {c_type(answer) if answer else "void"} (*)({", ".join(types) or "void"}): 1, '
                   f'default: 0), "{name}");')
    assert count["functions"] == text.count("pub fn ") and count["structs"] == text.count("\npub struct gpuio"), count
    return "\n".join(out) + "\n", count


def compiles(text):
    c, count = facts(text)
    done = subprocess.run([compiler, "-x", "c", "-std=c11", f"-I{include}", "-fsyntax-only", "-"], input=c, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode == 0, done.stdout, count


text = open(path, encoding="utf-8").read()
right, said, count = compiles(text)
if not right:
    sys.exit(f"{path} and the headers differ:\n{said}")
for old, new in [("GPUIO_ERROR_BUSY: gpuio_error_t = -10", "GPUIO_ERROR_BUSY: gpuio_error_t = -11"),
                 ("pub numa_strict: bool", "pub numa_strict: u32"),
                 ("    pub async_: bool,\n", ""),
                 ("level: gpuio_log_level_t)", "level: u64)"),
                 ("fn(*const gpuio_progress_t,", "fn(*mut gpuio_progress_t,")]:
    assert old in text, f"the self-test is stale: {old}"
    assert not compiles(text.replace(old, new))[0], f"a planted mistake was not found: {new}"
print(", ".join(f"{n} {what}" for what, n in count.items()))
