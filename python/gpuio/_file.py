"""What a URI names, read and written in ranges."""

from __future__ import annotations

import os
from typing import Any, Literal, Optional, TypedDict, Union, overload

import numpy as np
import numpy.typing as npt

from . import _core
from ._context import Context, default_context
from ._ending import Ending
from ._errors import invalid

_MODES = {
    "r": _core.OPEN_READ,
    "r+": _core.OPEN_READ | _core.OPEN_WRITE,
    "w": _core.OPEN_WRITE | _core.OPEN_CREATE | _core.OPEN_TRUNCATE,
    "w+": _core.OPEN_READ | _core.OPEN_WRITE | _core.OPEN_CREATE | _core.OPEN_TRUNCATE,
}


class FileInfo(TypedDict):
    engine: str
    size: int
    block_size: int
    alignment: int
    capabilities: list[str]
    route: str
    reason: str


def _natural(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise invalid(f"{name} = {value!r}: give a number of bytes")
    number = value.__index__()
    if not 0 <= number < 2**63:
        raise invalid(f"{name} = {number}: give a number of bytes from 0 to {2**63 - 1}")
    return number


class File(Ending):
    """An opened file, drive or memory. Made by `gpuio.open`; calls may come from any thread.

    While a transfer is under way other Python threads run, and Ctrl-C ends it.
    """

    def __init__(self, uri: Union[str, os.PathLike[str]], mode: str, direct: bool, context: Optional[Context]) -> None:
        if mode not in _MODES:
            raise invalid(f"mode = {mode!r}: give one of {', '.join(_MODES)}")
        self._uri = os.fspath(uri)
        if not isinstance(self._uri, str):
            raise invalid(f"uri = {uri!r}: give a str or a path")
        flags = _MODES[mode] | (_core.OPEN_DIRECT if direct else 0)
        self._context = context if context is not None else default_context()
        self._core = _core.File(self._context._core, self._uri, flags)

    def _end(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<gpuio.File {self._uri!r}>"

    def close(self) -> None:
        """Again does nothing."""
        self._core.close()

    @property
    def info(self) -> FileInfo:
        """Engine, size and capabilities; `route` is the way really taken, `reason` why not a better one."""
        return self._core.info()

    @property
    def size(self) -> int:
        """Bytes now."""
        return self._core.info()["size"]

    @overload
    def read(self, offset: int = 0, size: Optional[int] = None, out: None = None) -> npt.NDArray[np.uint8]: ...
    @overload
    def read(self, offset: int = 0, size: Optional[int] = None, *, out: Any) -> int: ...
    @overload
    def read(self, offset: int, size: Optional[int], out: Any) -> int: ...
    def read(self, offset=0, size=None, out=None):  # type: ignore[no-untyped-def]
        """`size` bytes from `offset` (default: to the end) as a new array of bytes, shorter where the file ends.

        With `out`, any writable contiguous memory (an array, a bytearray, a tensor of the CPU): they go there, as
        many as fit unless `size` says fewer, and their number is returned.
        """
        offset = _natural("offset", offset)
        if size is not None:
            size = _natural("size", size)
        if out is not None:
            memory = _bytes_of("out", out, writable=True)
            if size is not None:
                if size > memory.nbytes:
                    raise invalid(f"size = {size}: out has {memory.nbytes} bytes; give a larger one or read fewer")
                memory = memory[:size]
            return self._core.read_into(offset, memory)
        if size is None:
            size = max(0, self.size - offset)
        made = np.empty(size, np.uint8)
        return made[: self._core.read_into(offset, made)]

    def write(self, offset: int, data: Any) -> int:
        """Writes contiguous memory (bytes, an array, a tensor of the CPU) at `offset`; how many bytes were written."""
        return self._core.write_from(_natural("offset", offset), _bytes_of("data", data, writable=False))


def _bytes_of(name: str, memory: Any, writable: bool) -> npt.NDArray[np.uint8]:
    """The bytes of an object, without a copy."""
    try:
        if hasattr(memory, "__dlpack__") and not isinstance(memory, np.ndarray):
            array = np.from_dlpack(memory)
        else:
            array = np.asarray(memoryview(memory))
    except (TypeError, ValueError, RuntimeError, BufferError) as e:
        raise invalid(f"{name} is a {type(memory).__name__}: give bytes, an array or a tensor of the CPU ({e})") from e
    if not array.flags.c_contiguous:
        raise invalid(f"{name} is not contiguous (strides {array.strides}): give numpy.ascontiguousarray({name})")
    if writable and not array.flags.writeable:
        raise invalid(f"{name} is read-only: give memory that can be written, such as numpy.empty(n, numpy.uint8)")
    return array.reshape(-1).view(np.uint8)


def open(  # noqa: A001
    uri: Union[str, os.PathLike[str]],
    mode: Literal["r", "r+", "w", "w+"] = "r",
    *,
    direct: bool = False,
    context: Optional[Context] = None,
) -> File:
    """Opens what `uri` names: a path, file:///a.bin, local://, mem://cpu/pinned?size=4096 ...

    "r" reads, "r+" also writes, "w" makes or empties it to write, "w+" also reads. `direct` goes past the system's
    cache, or fails. `context`: whose devices and statistics it uses; a default one otherwise.
    """
    return File(uri, mode, direct, context)
