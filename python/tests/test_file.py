import threading
import time

import numpy as np
import pytest

import gpuio
from gpuio import ErrorCode

pytestmark = pytest.mark.usefixtures("files")


def test_reads_are_the_file_s_bytes(file, content):
    with gpuio.open(file) as f:
        assert f.size == content.size
        np.testing.assert_array_equal(f.read(), content)
        np.testing.assert_array_equal(f.read(12_345, 100_001), content[12_345:112_346])
        np.testing.assert_array_equal(f.read(content.size - 7, 100), content[-7:])
        assert f.read(content.size + 5, 10).size == 0
        assert f.read(0, 0).size == 0


@pytest.mark.parametrize("make", [bytearray, lambda n: memoryview(bytearray(n)), lambda n: np.empty((n // 8, 2), "f4")])
def test_reads_into_given_memory(file, content, make):
    with gpuio.open(f"file://{file}") as f:
        out = make(80_000)
        assert f.read(3, out=out) == 80_000
        assert bytes(out) == content[3:80_003].tobytes() if not isinstance(out, np.ndarray) else True
        np.testing.assert_array_equal(np.asarray(memoryview(out)).reshape(-1).view("u1"), content[3:80_003])
        assert f.read(0, 10, out) == 10
        np.testing.assert_array_equal(np.asarray(memoryview(out)).reshape(-1).view("u1")[:10], content[:10])


@pytest.mark.parametrize("data", [b"some bytes", bytearray(b"x" * 5000), np.arange(999, dtype="f8")])
def test_writes_are_read_back(tmp_path, data):
    path = tmp_path / "new"
    with gpuio.open(path, "w+") as f:
        assert f.write(100, data) == memoryview(data).nbytes
        assert f.read(100).tobytes() == bytes(data)
    assert path.read_bytes() == bytes(100) + bytes(data)
    with gpuio.open(path, "r+") as f:
        f.write(0, b"\xff")
    assert path.read_bytes()[:2] == b"\xff\x00"


def test_info(file):
    with gpuio.open(file) as f:
        info = f.info
        assert set(info) == set(gpuio.FileInfo.__annotations__)
        assert (info["engine"], info["size"]) == ("localio", file.stat().st_size)
        assert "read" in info["capabilities"] and info["route"]


def test_memory_has_addresses_too():
    with gpuio.open("mem://python_test?size=4096", "r+") as f:
        f.write(10, np.arange(5, dtype="u1"))
        assert f.read(9, 7).tolist() == [0, 0, 1, 2, 3, 4, 0]


def test_other_threads_run_meanwhile(tmp_path):
    path = tmp_path / "zeros"
    np.zeros(64 << 20, np.uint8).tofile(path)
    turns = 0
    stop = threading.Event()

    def count():
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0)

    other = threading.Thread(target=count)
    with gpuio.open(path) as f:
        out = np.empty(64 << 20, np.uint8)
        other.start()
        try:
            before = turns
            f.read(out=out)
            during = turns - before
        finally:
            stop.set()
            other.join()
    assert during > 0


def test_trouble_is_named(refused, file, tmp_path):
    with refused(ErrorCode.NOT_FOUND, "missing"):
        gpuio.open(tmp_path / "missing")
    with refused(ErrorCode.INVALID_ARG, "mode", "'rw'", "r+"):
        gpuio.open(file, "rw")
    with refused(ErrorCode.INVALID_ARG, "%"):
        gpuio.open("file:///%zz")
    with gpuio.open(file) as f:
        with refused(ErrorCode.INVALID_ARG, "offset", "-1"):
            f.read(-1, 5)
        with refused(ErrorCode.INVALID_ARG, "size", "'many'"):
            f.read(0, "many")
        with refused(ErrorCode.INVALID_ARG, "out", "read-only"):
            f.read(0, out=b"four")
        with refused(ErrorCode.INVALID_ARG, "out", "contiguous"):
            f.read(0, out=np.empty((10, 10))[:, ::2])
        with refused(ErrorCode.INVALID_ARG, "out", "int"):
            f.read(0, out=5)
        with refused(ErrorCode.INVALID_ARG, "size = 11", "10 bytes"):
            f.read(0, 11, out=bytearray(10))
    with refused(ErrorCode.INVALID_ARG, "closed"):
        f.read(0, 1)
    f.close()
