"""gpu_runtime on the devices at hand: the lines that users saw first, what goes in and out, and what is refused."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import gpu_runtime
from gpu_runtime import GPU
from gpuio import ErrorCode, GPUIOError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def gpu(device):
    with GPU(device) as made:
        yield made


@pytest.fixture
def glslang(gpu, tmp_path):
    """Compiles GLSL of tests/support/shaders, where the compiler is at hand; Vulkan runs it."""

    def compiled(name):
        made = tmp_path / f"{name}.spv"
        source = ROOT / "tests/support/shaders" / name
        try:
            subprocess.run(["glslangValidator", "-V", "--target-env", "vulkan1.2", source, "-o", made],
                           check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        except FileNotFoundError:
            pytest.skip("glslangValidator is not installed (Debian: glslang-tools)")
        return made

    return compiled


def product(a, b):
    """In order of k, two roundings a step: what the kernel promises, bit for bit."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c += np.outer(a[:, k], b[k])
    return c


def test_the_first_lines_that_users_saw_run(monkeypatch, tmp_path, device):
    monkeypatch.chdir(tmp_path)
    N = 100
    data_a, data_b = np.random.default_rng(1).random((2, N, N), np.float32)

    gpu = GPU() if device == "cpu" else GPU(device)
    kernel = gpu.load_spirv("matmul.spv")
    A = gpu.buffer(data_a)
    B = gpu.buffer(data_b)
    C = gpu.buffer(size=N*N)  # fmt: skip
    gpu.dispatch(kernel, A, B, C, groups=(32, 32, 1))
    gpu.wait()
    result = C.read()

    assert np.array_equal(result.reshape(N, N), product(data_a, data_b))


def test_everything_the_first_tables_name(gpu, tmp_path):
    buffer = gpu.buffer(np.arange(4, dtype=np.int32))
    empty = gpu.buffer(size=4)
    assert empty.read().tolist() == [0, 0, 0, 0] and empty.dtype == np.float32
    buffer.write(np.array([7, 8], np.int32))
    assert buffer.read().tolist() == [7, 8, 2, 3]
    buffer.free()

    (tmp_path / "add.adb").write_bytes(bytes.fromhex("10412200"))
    kernel = gpu.load_adead(tmp_path / "add.adb")
    pipeline = gpu.create_pipeline(kernel)
    a, c = gpu.buffer([1.0, 2.0, 3.0]), gpu.buffer(size=3)
    gpu.dispatch(pipeline, a, a, c, groups=1)
    fence = gpu.fence()
    event = gpu.event()
    stream = gpu.stream()
    gpu.wait()
    assert fence.done and not event_recorded(event) and stream.idle
    assert c.read().tolist() == [2.0, 4.0, 6.0]


def event_recorded(event):
    try:
        return event.done
    except GPUIOError as e:
        assert "never recorded" in e.message
        return False


def test_streams_events_and_fences(gpu):
    kernel = gpu.load_ptx("vecadd.ptx")
    ones = np.ones(200_000, np.float32)
    a, b, c = gpu.buffer(ones), gpu.buffer(ones), gpu.buffer(size=ones.size)
    with gpu.stream() as stream, gpu.event() as start, gpu.event() as end:
        start.record(stream)
        for _ in range(5):
            gpu.dispatch(kernel, a, b, c, groups=100, stream=stream)
            gpu.dispatch(kernel, a, c, b, groups=100, stream=stream)
        end.record(stream)
        end.wait(timeout=60)
        assert end.done and end.elapsed_ms(start) >= 0
    assert b.read()[-1] == 11


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "i8", [("x", "f4"), ("y", "u1")]])
def test_arrays_go_in_and_out_unchanged(gpu, dtype):
    data = np.frombuffer(np.random.default_rng(2).bytes(60 * np.dtype(dtype).itemsize), dtype).reshape(3, 4, 5)
    buffer = gpu.buffer(data)
    assert buffer.shape == data.shape and buffer.read().tobytes() == data.tobytes()
    strided = gpu.buffer(data[:, ::2, 1:4])
    assert strided.read().tobytes() == data[:, ::2, 1:4].tobytes()
    out = np.empty(data.shape, data.dtype)
    assert buffer.read(out) is out and out.tobytes() == data.tobytes()
    np.asarray(buffer).tobytes() == data.tobytes()


class Tensor:
    """What has DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_other_holders_of_bytes(gpu):
    x = np.arange(6, dtype=np.float32)
    assert np.array_equal(gpu.buffer(Tensor(x)).read(), x)
    assert np.array_equal(np.from_dlpack(gpu.buffer(x)), x)
    assert gpu.buffer(b"abcd").read().tobytes() == b"abcd"
    assert gpu.buffer(memoryview(x)).dtype == np.float32
    assert gpu.buffer([1, 2, 3]).dtype == np.float32
    assert gpu.buffer([1, 2, 3], dtype="i8").read().tolist() == [1, 2, 3]
    buffer = gpu.buffer(x)
    buffer.write(b"\0" * 4)
    buffer.write([0.0, 5])
    assert buffer.read().tolist() == [0, 5, 2, 3, 4, 5]
    buffer.fill(0)
    assert not buffer.read().any()


class OnAnotherGPU:
    __cuda_array_interface__ = {"shape": (4,), "typestr": "<f4", "data": (4096, False), "version": 3, "strides": None}


def test_memory_of_cuda_is_for_cuda(gpu, refused):
    with refused(ErrorCode.UNSUPPORTED, "__cuda_array_interface__", gpu.name, "give data of the CPU"):
        gpu.buffer(OnAnotherGPU())
    assert not hasattr(gpu.buffer(size=1), "__cuda_array_interface__")
    with refused(ErrorCode.UNSUPPORTED, "takes no memory of other libraries"):
        gpu._core.adopt(4096, 16)


def test_glsl_of_others(gpu, glslang, refused):
    path = glslang("scale.comp")
    if gpu.backend == "cpu":
        with refused(ErrorCode.UNSUPPORTED, "was not made by gpuio: a Vulkan device can run it"):
            gpu.load_spirv(path)
        return
    kernel = gpu.load_spirv(path, constants={0: 64, 1: 0.25})
    assert kernel.block == (64, 1, 1) and not kernel.portable
    assert [p["name"] for p in kernel.parameters] == ["Input", "Output", "factor", "count"]
    x = np.arange(1000, dtype=np.float32)
    X, Y = gpu.buffer(x), gpu.buffer(size=1000)
    gpu.dispatch(kernel, X, Y, 2, 1000, groups=3)
    assert np.array_equal(Y.read(), 2 * x + np.float32(0.25))
    negated = gpu.create_pipeline(kernel, {0: 32, 2: True})
    gpu.dispatch(negated, X, Y, np.float32(2), np.uint32(999), groups=3)
    assert np.array_equal(Y.read()[:999], -2 * x[:999] + np.float32(0.5))
    for arguments, words in [
        ((X, Y, 2), "4 parameters; 3 arguments"),
        ((X, Y, 2, -1), "argument 3 (count)"),
        ((X, Y, 2, 0.5), "it is 0.5"),
        ((X, 1, 2, 1), "argument 1 (Output)"),
        ((X, Y, "2", 1), "argument 2 of main is a str"),
        ((X, Y, 2**64, 1), "an integer of 64 bits"),
    ]:
        with refused(ErrorCode.INVALID_ARG, words):
            gpu.dispatch(kernel, *arguments)
    with refused(ErrorCode.NOT_FOUND, "no specialization constant 7; it has"):
        gpu.load_spirv(path, constants={7: 1})
    with refused(ErrorCode.UNSUPPORTED, "'main' (vertex)"):
        gpu.load_spirv(glslang("vertex.vert"))


def test_what_is_wrong_is_named(gpu, refused, tmp_path):
    kernel = gpu.load_spirv("vecadd.spv")
    with refused(ErrorCode.NOT_FOUND, "kernel vecadd has no specialization constant WIDTH; it has none"):
        gpu.load_spirv("vecadd.spv", constants={"WIDTH": 1})
    with refused(ErrorCode.INVALID_ARG, "the kernel's IR"):
        gpu.load_ir(b"nothing of ours", constants={"WIDTH": 1})
    x = gpu.buffer(size=4)
    with refused(ErrorCode.NOT_FOUND, "none.spv", "shipped are", "matmul.spv"):
        gpu.load_spirv("none.spv")
    (tmp_path / "half.spv").write_bytes((gpu_runtime.KERNELS / "vecadd.spv").read_bytes()[:401])
    with refused(ErrorCode.INVALID_ARG, "401 bytes are no SPIR-V module"):
        gpu.load_spirv(tmp_path / "half.spv")
    with refused(ErrorCode.INVALID_ARG, "have no .entry"):
        gpu.load_ptx(b"hello")
    with refused(ErrorCode.INVALID_ARG, "offset"):
        gpu.load_adead(b"\xff\xff")
    with refused(ErrorCode.INVALID_ARG, "its elements have 8 bytes, the kernel's 4"):
        gpu.dispatch(kernel, x, gpu.buffer(size=4, dtype="f8"), x)
    with refused(ErrorCode.INVALID_ARG, "argument 0 of vecadd is a ndarray"):
        gpu.dispatch(kernel, np.zeros(4, "f4"), x, x)
    with refused(ErrorCode.INVALID_ARG, "groups[0] = 70000"):
        gpu.dispatch(kernel, x, x, x, groups=70_000)
    with refused(ErrorCode.INVALID_ARG, "groups = (1, 1, 1, 1)"):
        gpu.dispatch(kernel, x, x, x, groups=(1, 1, 1, 1))
    with refused(ErrorCode.INVALID_ARG, "at least one element"):
        gpu.buffer(np.empty(0, "f4"))
    with refused(ErrorCode.INVALID_ARG, "give data, or size="):
        gpu.buffer()
    with refused(ErrorCode.INVALID_ARG, "size = -1"):
        gpu.buffer(size=-1)
    with refused(ErrorCode.INVALID_ARG, "a int: give an array"):
        gpu.buffer(5)
    with refused(ErrorCode.INVALID_ARG, "numbers, which have bytes"):
        gpu.buffer(np.array([None]))
    with refused(ErrorCode.NOMEM):
        gpu.buffer(size=2**58)
    with refused(ErrorCode.INVALID_ARG, "data has 20 bytes, the buffer 16"):
        x.write(np.zeros(5, "f4"))
    with refused(ErrorCode.INVALID_ARG, "dtype int32, the buffer float32"):
        x.write(np.zeros(4, "i4"))
    with refused(ErrorCode.INVALID_ARG, "out has 8 bytes"):
        x.read(np.empty(2, "f4"))


def test_a_dispatch_is_tried_in_the_interpreter(gpu, refused, tmp_path):
    kernel = gpu.load_spirv("reduce.spv")
    x, sums = gpu.buffer(np.ones(1000, "f4")), gpu.buffer(size=4)
    assert gpu.sanitize(kernel, x, sums, groups=4) == []
    assert not sums.read().any()  # copies
    (found,) = gpu.sanitize(kernel, x, sums, groups=4, steps_max=100)
    assert "step limit" in found.message and found.line > 0 and found.earlier_line == 0
    with refused(ErrorCode.INVALID_ARG, "has 2 parameters; 1 arguments were given"):
        gpu.sanitize(kernel, x)
    with refused(ErrorCode.INVALID_ARG, "argument 1 of kernel reduce: it is a number, and the kernel takes memory"):
        gpu.sanitize(kernel, x, 3)
    with refused(ErrorCode.INVALID_ARG, "argument 0 of kernel reduce: its elements have 8 bytes, the kernel's 4"):
        gpu.sanitize(kernel, gpu.buffer(size=4, dtype="f8"), sums)
    with refused(ErrorCode.INVALID_ARG, "steps_max = 0"):
        gpu.sanitize(kernel, x, sums, steps_max=0)
    (tmp_path / "add.adb").write_bytes(bytes.fromhex("10412200"))
    with refused(ErrorCode.UNSUPPORTED, "its file holds no IR"):
        gpu.sanitize(gpu.load_adead(tmp_path / "add.adb"), x, x, x)


def test_devices_are_named(refused):
    with refused(ErrorCode.INVALID_ARG, "did you mean cuda?"):
        GPU("cude")
    with refused(ErrorCode.NOT_FOUND, "vulkan:99"):
        GPU("vulkan:99")
    with refused(ErrorCode.INVALID_ARG, "device = 3"):
        GPU(3)


def test_what_was_freed_or_closed_raises(device, refused):
    gpu, other = GPU(device), GPU("cpu")
    kernel = gpu.load_spirv("vecadd.spv")
    x = gpu.buffer([1.0])
    with refused(ErrorCode.INVALID_ARG, "belongs to"):
        gpu.dispatch(kernel, other.buffer([1.0]), x, x)
    with x as held:
        gpu.dispatch(kernel, held, held, held)  # is waited for before the memory goes
    assert x.freed
    for use in (x.read, lambda: x.write([1.0]), lambda: x.fill(0), lambda: gpu.dispatch(kernel, x, x, x)):
        with refused(ErrorCode.INVALID_ARG, "this buffer of 4 bytes was freed"):
            use()
    x.free()
    stream, y = gpu.stream(), gpu.buffer([1.0])
    gpu.close()
    gpu.close()
    for use in (y.read, gpu.wait, gpu.fence, gpu.stream, lambda: gpu.buffer(size=1), lambda: gpu.load_spirv("vecadd.spv"),
                stream.wait, lambda: gpu.dispatch(kernel, y, y, y)):  # fmt: skip
        with refused(ErrorCode.INVALID_ARG, "this GPU was closed"):
            use()
    del kernel, x, y, stream, gpu
    gc.collect()


# Some hundred milliseconds in all: long against the time-outs here, short against the test's.
def long_kernel(gpu):
    n = 512 if gpu.backend == "cpu" else 256
    a = gpu.buffer(np.ones((n, n), "f4"))
    return gpu.load_spirv("matmul.spv"), (a, a, gpu.buffer(size=(n, n))), -(-n // 32)


def keep_busy(gpu):
    kernel, buffers, side = long_kernel(gpu)
    for _ in range(20):
        gpu.dispatch(kernel, *buffers, groups=(side, side, 1))
    return buffers


def test_waits_have_a_bound_and_let_others_run(gpu, refused):
    buffers = keep_busy(gpu)
    with refused(ErrorCode.TIMEOUT, "not done after 0.001 s"):
        gpu.wait(timeout=0.001)
    count = 0
    done = threading.Event()

    def others():
        nonlocal count
        while not done.is_set():
            count += 1

    thread = threading.Thread(target=others)
    thread.start()
    gpu.wait(timeout=300)
    done.set()
    thread.join()
    assert count > 0 and buffers[2].read()[0, 0] == buffers[0].shape[0]
    with refused(ErrorCode.INVALID_ARG, "timeout = -1"):
        gpu.wait(timeout=-1)


def test_closing_a_stream_has_a_bound(monkeypatch, device, refused):
    monkeypatch.setenv("GPUIO_WAIT_LIMIT_MS", "100")
    with GPU(device) as gpu:
        kernel, buffers, side = long_kernel(gpu)
        stream = gpu.stream()
        gpu.wait()
        for _ in range(60):
            gpu.dispatch(kernel, *buffers, groups=(side, side, 1), stream=stream)
        with refused(ErrorCode.TIMEOUT, "wait.limit_ms", "wait again"):
            stream.close()
        stream.wait(timeout=300)  # it is as before
        stream.close()
        with refused(ErrorCode.INVALID_ARG, "this stream was closed"):
            stream.wait()
        assert buffers[2].read()[0, 0] == buffers[0].shape[0]


def test_ctrl_c_ends_a_wait(gpu):
    buffers = keep_busy(gpu)
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            gpu.wait()
            time.sleep(0.01)
    gpu.wait()
    assert buffers[2].read()[0, 0] == buffers[0].shape[0]


@pytest.mark.parametrize("demo", ["matmul", "vecadd", "reduce"])
def test_demos(demo, device):
    size = "100" if demo == "matmul" else "30000"
    ran = subprocess.run([sys.executable, ROOT / f"examples/{demo}_demo.py", device, size],
                         stdout=subprocess.PIPE, text=True, check=True, timeout=120)  # fmt: skip
    assert ran.stdout.startswith(demo)
