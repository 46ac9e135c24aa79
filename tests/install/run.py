#!/usr/bin/env python3
"""Installs a build into a folder of its own and uses it as strangers do: from C by pkg-config, with the shared library
and with the archive, and from C++ by find_package.

    run.py BUILD_DIR SOURCE_DIR CMAKE C_COMPILER CXX_COMPILER
"""
import os
import pathlib
import subprocess
import sys
import tempfile

build, source, cmake, cc, cxx = sys.argv[1:]


def run(*command, **more):
    r = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, **more)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{r.stdout}")
    return r.stdout


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    prefix = root / "prefix"
    run(cmake, "--install", build, "--prefix", prefix)
    found = list(prefix.rglob("gpuio.pc"))
    assert len(found) == 1, found
    env = dict(os.environ, PKG_CONFIG_PATH=str(found[0].parent))

    def flags(*wanted):
        return run("pkg-config", *wanted, "gpuio", env=env).split()

    library = [f[2:] for f in flags("--libs-only-L")][0]
    env["LD_LIBRARY_PATH"] = library
    assert run("pkg-config", "--modversion", "gpuio", env=env).strip() == "1.0.0"
    client = pathlib.Path(source) / "tests/install/client.c"
    text = root / "text"
    text.write_text("abc")
    run(cc, "-std=c11", client, *flags("--cflags", "--libs"), "-o", root / "shared")
    archive = [f"{library}/libgpuio.a" if f == "-lgpuio" else f for f in flags("--static", "--libs")]
    run(cc, "-std=c11", client, *flags("--cflags"), *archive, "-o", root / "static")
    assert run(root / "shared", text, env=env) == "gpuio 1.0.0: b\n"
    del env["LD_LIBRARY_PATH"]
    assert run(root / "static", text, env=env) == "gpuio 1.0.0: b\n"

    run(cmake, "-G", "Ninja", "-S", pathlib.Path(source) / "tests/install", "-B", root / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={cxx}", "-DCMAKE_BUILD_TYPE=Debug")
    run(cmake, "--build", root / "build")
    print(run(sys.executable, pathlib.Path(source) / "examples/histogram_test.py", root / "build/histogram"))
    headers = {p.name for p in prefix.rglob("*.h*")}
    assert {"gpuio.h", "gpuio_ai.h", "gpuio_kernel.h", "gpuio_ops.h", "gpuio.hpp", "kernel.hpp"} <= headers, headers
    assert not [h for h in headers if "test" in h or "harness" in h or "random" in h], headers
