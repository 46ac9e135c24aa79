import gc
import re

import pytest

import gpuio
from gpuio import ErrorCode

STATS = {
    "requests_submitted": int, "requests_completed": int, "requests_failed": int, "requests_cancelled": int,
    "bandwidth_gbps": float, "bytes_read": int, "bytes_written": int, "latency_avg_us": float,
    "latency_p50_us": float, "latency_p99_us": float, "cache_hits": int, "cache_misses": int, "cache_hit_rate": float,
}  # fmt: skip


def test_version_has_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", gpuio.__version__)


def test_log_levels_are_their_numbers():
    names = ["NONE", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"]
    assert [getattr(gpuio, f"LOG_{n}") for n in names] == [0, 1, 2, 3, 4, 5, 6]


def test_devices():
    with gpuio.Context({"log_level": gpuio.LOG_ERROR}) as ctx:
        count = ctx.get_device_count()
        devices = ctx.get_devices()
        assert [d["device_id"] for d in devices] == [*range(count), -1]
        cpu = devices[-1]
        assert cpu["vendor"] == "CPU" and cpu["name"]
        assert 0 < cpu["free_memory"] <= cpu["total_memory"]
        assert set(cpu) == set(gpuio.DeviceInfo.__annotations__)


def test_stats_have_the_interface_s_names_and_types(stats):
    with gpuio.Context() as ctx:
        now = stats(ctx)
        assert {k: type(v) for k, v in now.items()} == STATS
        assert set(gpuio.Stats.__annotations__) == set(STATS)
        assert now["requests_submitted"] == 0


def test_stats_count_what_was_read(file, files):
    with gpuio.Context() as ctx:
        with gpuio.open(file, context=ctx) as f:
            f.read(0, 1000)
        stats = ctx.get_stats()
        assert (stats["requests_completed"], stats["bytes_read"]) == (1, 1000)
        ctx.reset_stats()
        assert ctx.get_stats()["bytes_read"] == 0


def test_a_finalized_context_answers_so(refused):
    ctx = gpuio.Context()
    ctx.finalize()
    ctx.finalize()
    with refused(ErrorCode.NOT_INITIALIZED):
        ctx.get_device_count()


def test_letting_go_finalizes(file, files):
    ctx = gpuio.Context()
    f = gpuio.open(file, context=ctx)
    del ctx
    gc.collect()
    assert f.size == file.stat().st_size  # what was made from it keeps it
    f.close()


@pytest.mark.parametrize(
    "config, words",
    [
        ({"colour": 1}, ["'colour'", "log_level"]),
        ({"log_level": "loud"}, ["log_level", "'loud'", "an int"]),
        ({"log_level": 9}, ["log_level", "9", "0 to 6"]),
        ({"max_gpus": True}, ["max_gpus", "True"]),
        ({"max_gpus": -2}, ["max_gpus", "-2"]),
        ({"numa_strict": 1}, ["numa_strict", "a bool"]),
        ({"config_file": 3}, ["config_file", "a str"]),
        ({"flags": 2**32}, ["flags", "4294967296"]),
        ([1], ["[1]", "a dict"]),
    ],
)
def test_a_bad_configuration_is_named(refused, config, words):
    with refused(ErrorCode.INVALID_ARG, *words):
        gpuio.Context(config)


def test_a_configuration_file_that_is_missing_is_named(refused, tmp_path):
    with refused(ErrorCode.NOT_FOUND, "no.toml"):
        gpuio.Context({"config_file": str(tmp_path / "no.toml")})


def test_an_error_has_its_code_and_message():
    error = gpuio.GPUIOError(-3, "what it is")
    assert (error.code, error.message) == (ErrorCode.INVALID_ARG, "what it is")
    assert "INVALID_ARG" in str(error) and "what it is" in str(error)
    assert gpuio.GPUIOError(-99, "new").code == -99
