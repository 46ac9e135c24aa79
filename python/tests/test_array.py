import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gpuio
from gpuio import ErrorCode


@pytest.mark.parametrize("mode", ["wait", "yield"])
@pytest.mark.parametrize("cache, page", [("64KiB", "64KiB"), (2**18, 4096)])
def test_histogram_is_numpy_s(file, content, device, mode, cache, page):
    a = gpuio.array(file, device=device, mode=mode, cache=cache, page=page)
    counts, report = a.histogram(needle=b"gpuio")
    assert counts.dtype == np.uint64
    np.testing.assert_array_equal(counts, np.bincount(content, minlength=256))
    assert report["needle_count"] == content.tobytes().count(b"gpuio")
    assert (report["bytes"], report["mode"]) == (content.size, mode)
    assert report["pages"] >= content.nbytes // 65536 and report["launches"] >= 1 and report["seconds"] > 0
    assert set(report) == set(gpuio.HistogramReport.__annotations__) | set(gpuio.Report.__annotations__)
    again, _ = a.scan()
    np.testing.assert_array_equal(again, counts)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "i8"])
def test_gather_is_numpy_s(tmp_path, seed, device, dtype):
    random = np.random.default_rng(seed)
    data = (random.standard_normal(50_000) * 100).astype(dtype)
    path = tmp_path / "data"
    data.tofile(path)
    a = gpuio.array(path, dtype, device=device, cache="8KiB", page="4KiB")
    assert (len(a), a.dtype, a.nbytes) == (data.size, data.dtype, data.nbytes)
    at = random.integers(0, data.size, (7, 100))
    values, report = a.gather(at)
    np.testing.assert_array_equal(values, data[at])
    assert values.dtype == data.dtype and report["misses"] > 0


def test_a_last_element_that_the_file_cuts_is_padded(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"\x01\x00\x00\x00\x02\x03")
    a = gpuio.array(path, "u4")
    assert len(a) == 2
    assert a.gather([1, 0])[0].tolist() == [0x302, 1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"device": "toaster"}, ["device", "'toaster'", "cpu"]),
        ({"mode": "hope"}, ["mode", "'hope'", "yield"]),
        ({"cache": "12parsecs"}, ["cache", "12parsecs"]),
        ({"cache": -1}, ["cache", "-1"]),
        ({"page": 1000}, ["1000", "power of two"]),
        ({"cache": 1000}, ["1000", "at least one page"]),
        ({"dtype": "c8"}, ["dtype", "complex64"]),
    ],
)
def test_bad_arguments_are_named(refused, file, arguments, words):
    with refused(ErrorCode.INVALID_ARG, *words):
        gpuio.array(file, **arguments)


def test_bad_input_is_named(refused, file, tmp_path):
    with refused(ErrorCode.NOT_FOUND, "missing"):
        gpuio.array(tmp_path / "missing")
    (tmp_path / "empty").touch()
    with refused(ErrorCode.INVALID_ARG, "empty"):
        gpuio.array(tmp_path / "empty")
    a = gpuio.array(file)
    with refused(ErrorCode.INVALID_ARG, "needle", "9 bytes"):
        a.histogram(needle=b"123456789")
    with refused(ErrorCode.INVALID_ADDRESS, "300003", "0 to 300002"):
        a.gather([0, 300003])
    with refused(ErrorCode.INVALID_ADDRESS, "-1"):
        a.gather([-1])
    with refused(ErrorCode.INVALID_ARG, "float64"):
        a.gather([0.5])


@pytest.mark.parametrize("mode", ["wait", "yield"])
def test_ctrl_c_ends_a_kernel(tmp_path, device, mode):
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 8 << 30)  # sparse; a scan takes minutes
    code = f"""
        import gpuio
        a = gpuio.array({str(large)!r}, device={device!r}, mode={mode!r})
        print("begun", flush=True)
        try:
            a.histogram()
        except KeyboardInterrupt:
            a = gpuio.array({str(large)!r}, device={device!r}, mode={mode!r})  # its device may be lost to the kernel
            print("interrupted", a.gather([5])[0], flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert child.stdout.readline() == "begun\n", child.stderr.read()
        import time

        time.sleep(1.5)
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, out) == (0, "interrupted [0]\n"), errors
