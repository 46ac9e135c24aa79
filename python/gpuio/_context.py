"""Contexts: devices, configuration and statistics."""

from __future__ import annotations

import atexit
import enum
import threading
from collections.abc import Mapping
from typing import Any, Optional, TypedDict

from . import _core
from ._ending import Ending
from ._errors import invalid


class LogLevel(enum.IntEnum):
    """A level shows itself and all before it. Compares equal to its number."""

    NONE = 0
    FATAL = 1
    ERROR = 2
    WARN = 3
    INFO = 4
    DEBUG = 5
    TRACE = 6


class DeviceInfo(TypedDict):
    device_id: int
    vendor: str
    name: str
    total_memory: int
    free_memory: int
    compute_capability_major: int
    compute_capability_minor: int
    supports_gds: bool
    supports_gdr: bool
    supports_cxl: bool
    supports_p2p: bool
    numa_node: int
    numa_distance: int


class Stats(TypedDict):
    requests_submitted: int
    requests_completed: int
    requests_failed: int
    requests_cancelled: int
    bandwidth_gbps: float
    bytes_read: int
    bytes_written: int
    latency_avg_us: float
    latency_p50_us: float
    latency_p99_us: float
    cache_hits: int
    cache_misses: int
    cache_hit_rate: float


# What a configuration may hold: the type that is asked for, and the default.
_FIELDS: dict[str, tuple[type, Any]] = {
    "api_version": (int, 1),
    "flags": (int, 0),
    "max_gpus": (int, -1),
    "memory_pool_size": (int, 0),
    "log_level": (int, LogLevel.INFO),
    "config_file": (str, None),
    "numa_node": (int, -1),
    "numa_strict": (bool, False),
    "enable_security": (bool, True),
    "credentials_path": (str, None),
}
# 32 bits, and the pool's 64.
_RANGES = {
    "api_version": (0, 2**32 - 1),
    "flags": (0, 2**32 - 1),
    "max_gpus": (-1, 2**31 - 1),
    "memory_pool_size": (0, 2**63 - 1),
    "log_level": (LogLevel.NONE, LogLevel.TRACE),
    "numa_node": (-1, 2**31 - 1),
}


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: default for key, (_, default) in _FIELDS.items()}
    for key, value in config.items():
        if key not in _FIELDS:
            raise invalid(f"config has no key {key!r}; known are {', '.join(_FIELDS)}")
        wanted, default = _FIELDS[key]
        if value is None and default is None:
            continue
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise invalid(f"config[{key!r}] = {value!r}: give {_article(wanted)}, not {_article(type(value))}")
        low, high = _RANGES.get(key, (value, value))
        if not low <= value <= high:
            raise invalid(f"config[{key!r}] = {int(value)}: give a number from {int(low)} to {int(high)}")
        values[key] = value
    return values


def _article(kind: type) -> str:
    return ("an " if kind.__name__[0] in "aeiou" else "a ") + kind.__name__


class Context(Ending):
    """Devices, threads and caches, and all that is made from them.

    `config` may hold the fields of gpuio_config_t; what it leaves out comes from the file that
    GPUIO_CONFIG_FILE names, from the environment, or is the default. A machine without a GPU is no error. Use it in
    a `with` statement, call `finalize`, or let it go: each ends what is in flight and frees all.
    """

    def __init__(self, config: Optional[Mapping[str, Any]] = None) -> None:
        if config is not None and not isinstance(config, Mapping):
            raise invalid(f"config = {config!r}: give a dict, such as {{'log_level': gpuio.LOG_INFO}}")
        self._core = _core.Context.make(**_checked(config or {}))

    def _end(self) -> None:
        self.finalize()

    def finalize(self) -> None:
        """Ends what is in flight with CANCELED and frees all that was made from it. Again does nothing. After
        GPUIOError(TIMEOUT), where what is in flight does not end in wait.limit_ms, it may be called again."""
        self._core.finalize()

    def get_device_count(self) -> int:
        """How many hardware GPUs there are; the CPU device is not counted."""
        return self._core.device_count()

    def get_devices(self) -> list[DeviceInfo]:
        """The hardware GPUs, then the CPU device, whose id is -1."""
        ids = [*range(self._core.device_count()), -1]
        return [self._core.device_info(i) for i in ids]

    def get_stats(self) -> Stats:
        """Counters since the context was made or `reset_stats` was called."""
        return self._core.stats()

    def reset_stats(self) -> None:
        self._core.reset_stats()


_lock = threading.Lock()
_default: Optional[Context] = None


def _forget_default() -> None:
    global _default
    _default = None


def default_context() -> Context:
    """The context of what is opened without naming one: made when first needed, with defaults."""
    global _default
    with _lock:
        if _default is None:
            atexit.register(_forget_default)
            _default = Context({"log_level": LogLevel.WARN})
        return _default
