"""The package as installed: its types, and what the documents show."""

import pathlib
import re
import subprocess
import sys

import pytest

import gpuio

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_stub_is_the_extension_s(tmp_path):
    stub = tmp_path / "_core.pyi"
    subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-m", "gpuio._core", "-o", stub], check=True)
    golden = ROOT / "python/gpuio/_core.pyi"
    assert golden.read_text() == stub.read_text(), f"if that is meant: cp {stub} {golden}"


def test_it_says_that_it_is_typed():
    assert pathlib.Path(gpuio.__file__).with_name("py.typed").exists()


def test_the_version_is_the_package_s():
    assert f'version = "{gpuio.__version__}"' in (ROOT / "pyproject.toml").read_text()


def blocks():
    for page in ("README.md", "docs/python.md", "docs/runtime.md", "docs/operations.md"):
        for n, code in enumerate(re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)):
            yield pytest.param(code, id=f"{page}-{n}")


@pytest.mark.parametrize("code", list(blocks()))
def test_documented_lines_run(code, request, stats, tmp_path, monkeypatch):
    if "gpuio.open" in code:
        request.getfixturevalue("files")
    if "get_stats" in code:
        stats(gpuio.Context())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {})


def test_the_first_lines_that_users_saw_run(capsys, stats):
    stats(gpuio.Context())
    ctx = gpuio.Context({"log_level": gpuio.LOG_INFO})
    num_gpus = ctx.get_device_count()
    print(f"Available GPUs: {num_gpus}")
    stats = ctx.get_stats()
    print(f"Bandwidth: {stats['bandwidth_gbps']:.2f} GB/s")
    print(f"Cache hit rate: {stats['cache_hit_rate']:.2%}")
    assert capsys.readouterr().out.splitlines() == [
        f"Available GPUs: {num_gpus}", "Bandwidth: 0.00 GB/s", "Cache hit rate: 0.00%"]  # fmt: skip
