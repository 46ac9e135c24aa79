import os
import random

import numpy as np
import pytest

import gpuio


def built(call, *arguments):
    """What the call gives; a visible skip where this version of the library says that it does not have it yet."""
    try:
        return call(*arguments)
    except gpuio.GPUIOError as e:
        if e.code == gpuio.ErrorCode.UNSUPPORTED and "this version of the library has no" in e.message:
            pytest.skip(e.message)
        raise


@pytest.fixture
def stats():
    """The statistics of a context, where the library has them."""
    return lambda ctx: built(ctx.get_stats)


@pytest.fixture
def files(tmp_path):
    """Skips where the library opens nothing yet."""
    path = tmp_path / "anything"
    path.touch()
    built(gpuio.open, path).close()


@pytest.fixture
def seed():
    """A new one each run, named where a test fails; GPUIO_TEST_SEED replays it."""
    value = int(os.environ.get("GPUIO_TEST_SEED", random.randrange(1 << 32)))
    print(f"GPUIO_TEST_SEED={value}")
    return value


@pytest.fixture
def content(seed):
    """Bytes of no round number, with a needle across words, pages and at both ends."""
    data = np.random.default_rng(seed).integers(0, 256, 300_003, np.uint8)
    for at in (0, 65_533, 131_072, 262_139, data.size - 5):
        data[at : at + 5] = np.frombuffer(b"gpuio", np.uint8)
    return data


@pytest.fixture
def file(tmp_path, content):
    path = tmp_path / "data.bin"
    content.tofile(path)
    return path


@pytest.fixture(params=["cpu", "vulkan"])
def device(request):
    if request.param == "vulkan" and not os.environ.get("GPUIO_TEST_VULKAN_ICD"):
        pytest.skip("GPUIO_TEST_VULKAN_ICD names no Vulkan driver; ./dev sets it")
    return request.param


@pytest.fixture
def refused():
    """A context manager that expects a GPUIOError whose message holds these words."""

    class Refused:
        def __init__(self, code, *words):
            self.code, self.words = code, words

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            assert kind is not None, "nothing was raised"
            if not issubclass(kind, gpuio.GPUIOError):
                return False
            assert error.code == self.code, error
            for word in self.words:
                assert word in error.message, error
            return True

    return Refused
