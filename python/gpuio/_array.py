"""On-demand arrays: kernels on a chosen device index what a URI names, through a cache of pages."""

from __future__ import annotations

import os
from typing import Any, Literal, TypedDict, Union

import numpy as np
import numpy.typing as npt

from . import _core
from ._errors import GPUIOError, ErrorCode, invalid

_DEVICES = ("cpu", "vulkan", "cuda")
_MODES = ("auto", "wait", "yield")


class Report(TypedDict):
    device: str  # its name
    mode: str  # how misses were met: wait or yield
    seconds: float
    launches: int
    misses: int
    pages: int  # brought
    miss_p50_us: float
    miss_p99_us: float
    reason: str  # of what failed, if anything did


class HistogramReport(Report):
    bytes: int
    needle: bytes
    needle_count: int


def _size(name: str, value: Union[int, str]) -> int:
    if isinstance(value, str):
        try:
            value = _core.parse_size(value)
        except GPUIOError as e:
            raise invalid(f"{name}: {e.message}") from None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise invalid(f"{name} = {value!r}: give a positive number of bytes, or text such as '64MiB'")
    return value


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise invalid(f"{name} = {value!r}: give one of {', '.join(known)}")
    return value


class Array:
    """What a URI names as a one-dimensional array for kernels. Made by `gpuio.array`.

    Nothing is read until a kernel asks; pages then come through a cache that may be far smaller. Calls from several
    threads must take turns. Ctrl-C ends a kernel.
    """

    def __init__(
        self,
        uri: Union[str, os.PathLike[str]],
        dtype: npt.DTypeLike,
        device: str,
        mode: str,
        cache: Union[int, str],
        page: Union[int, str],
    ) -> None:
        self._uri = os.fspath(uri)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype.kind not in "iuf" or self.dtype.itemsize > 8:
            raise invalid(f"dtype = {self.dtype}: give integers or floats of 1, 2, 4 or 8 bytes")
        self.device = _one_of("device", device, _DEVICES)
        self._core = _core.Array(
            self._uri,
            self.dtype.itemsize,
            self.device,
            _one_of("mode", mode, _MODES),
            _size("cache", cache),
            _size("page", page),
        )
        self.nbytes: int = self._core.bytes

    def __len__(self) -> int:
        """Elements; the last is padded with zeros where the bytes end within it."""
        return -(-self.nbytes // self.dtype.itemsize)

    def __repr__(self) -> str:
        return f"<gpuio.Array {self._uri!r} of {len(self)} {self.dtype} on {self.device}>"

    def histogram(self, needle: bytes = b"") -> tuple[npt.NDArray[np.uint64], HistogramReport]:
        """How often each byte value occurs, counted by a kernel, and a report of the run.

        The same pass finds `needle`, at most 8 bytes; the report says how often.
        """
        needle = bytes(needle)
        if len(needle) > 8:
            raise invalid(f"needle = {needle!r} has {len(needle)} bytes; give at most 8")
        counts = np.zeros(256, np.uint64)
        found, report = self._core.histogram(needle, counts)
        return counts, {**report, "bytes": self.nbytes, "needle": needle, "needle_count": found}

    scan = histogram

    def gather(self, indices: npt.ArrayLike) -> tuple[npt.NDArray[Any], Report]:
        """The elements at `indices`, fetched by a kernel, in their shape, and a report of the run."""
        at = np.asarray(indices)
        if at.dtype.kind not in "iu":
            raise invalid(f"indices of {at.dtype}: give integers")
        if at.size == 0:
            raise invalid("indices is empty: give at least one")
        for bad in (at.min(), at.max()):
            if not 0 <= bad < len(self):
                raise GPUIOError(ErrorCode.INVALID_ADDRESS, f"index {bad}: {self!r} has elements 0 to {len(self) - 1}")
        flat = np.ascontiguousarray(at.reshape(-1), np.uint64)
        values = np.empty(flat.size, self.dtype)
        report = self._core.gather(flat, values.view(f"u{self.dtype.itemsize}"))
        return values.reshape(at.shape), report


def array(
    uri: Union[str, os.PathLike[str]],
    dtype: npt.DTypeLike = np.uint8,
    *,
    device: Literal["cpu", "vulkan", "cuda"] = "cpu",
    mode: Literal["auto", "wait", "yield"] = "auto",
    cache: Union[int, str] = "64MiB",
    page: Union[int, str] = "64KiB",
) -> Array:
    """What `uri` names as an array that kernels of `device` index.

    `mode` says how a kernel meets a miss: it waits for the page, or yields and goes on in the next launch. `cache` is
    the memory for pages of `page` bytes, a power of two.
    """
    return Array(uri, dtype, device, mode, cache, page)
