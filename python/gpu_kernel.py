"""Kernels from files: SPIR-V, PTX and ADead-BIB. Made by `GPU.load_spirv` and its like."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Tuple, TypedDict, Union

import numpy as np

from gpuio import ErrorCode, GPUIOError, _core
from gpuio._errors import invalid

if TYPE_CHECKING:
    from gpu_runtime import GPU

__all__ = ["KERNELS", "Kernel", "Parameter", "Pipeline"]

# Where the shipped kernels lie: matmul, vecadd and reduce, each as .spv and .ptx.
KERNELS = Path(_core.__file__).parent / "kernels"

Number = Union[int, float]
Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview]


class Parameter(TypedDict):
    name: str  # "" where the file has none
    kind: str  # "buffer", "number", or "buffer or number"
    element_size: int  # bytes of an element or of the number; 0: any
    count: int  # elements that the buffer has at least


def bytes_of(source: Source) -> bytes:
    """Of a file, or bytes as they are. A bare name that is no file here is one of the shipped kernels."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    path = Path(os.fspath(source))
    if not path.exists() and path.name == str(path) and (KERNELS / path).exists():
        path = KERNELS / path
    try:
        return path.read_bytes()
    except FileNotFoundError:
        shipped = ", ".join(sorted(p.name for p in KERNELS.glob("*.*"))) or "none"
        raise GPUIOError(ErrorCode.NOT_FOUND, f"{path}: no such file; shipped are {shipped}") from None
    except OSError as e:
        raise GPUIOError(ErrorCode.IO, f"{path}: {e.strerror}") from e


def number(name: str, value: Any) -> Tuple[int, int]:
    """A number as the library takes it: its kind and its bits."""
    if isinstance(value, (bool, int, np.integer, np.bool_)):
        integer = int(value)
        if -(2**63) <= integer < 2**63:
            return _core.ARG_INTEGER, integer % 2**64
        if integer < 2**64:
            return _core.ARG_SCALAR, integer
        raise invalid(f"{name} = {integer}: give an integer of 64 bits")
    if isinstance(value, (float, np.floating)):
        return _core.ARG_REAL, struct.unpack("<Q", struct.pack("<d", float(value)))[0]
    raise invalid(f"{name} is a {type(value).__name__}: give a buffer (gpu.buffer(data)) or a number")


class Kernel:
    """A kernel, ready on its GPU: `name`, `block` (lanes of a workgroup) and `parameters`, in the order of dispatch.

    `portable`: it was made by gpuio and runs on every device.
    """

    def __init__(
        self,
        gpu: GPU,
        format: int,  # noqa: A002
        source: bytes,
        entry: str,
        constants: Optional[Mapping[Union[int, str], Number]],
        block: Optional[Tuple[int, int, int]],
    ) -> None:
        self._gpu, self._format, self._source, self._entry, self._block = gpu, format, source, entry, block
        self._handle = 0
        given: List[Tuple[int, int, int, str]] = []
        for key, value in (constants or {}).items():
            if isinstance(key, str) and key:
                given.append((0, *number(f"constants[{key!r}]", value), key))
                continue
            if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < 2**32:
                raise invalid(f"constants: the key {key!r} is no name or id of a specialization constant")
            given.append((key, *number(f"constants[{key}]", value), ""))
        gpu._open()
        self._handle = gpu._core.load(format, source, entry, given, block or (0, 0, 0))
        info = gpu._core.kernel_info(self._handle)
        self.name: str = info["name"]
        self.format: str = info["format"]
        self.block: Tuple[int, int, int] = info["block"]
        self.portable: bool = info["portable"]
        self.parameters: List[Parameter] = info["parameters"]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.format}), {len(self.parameters)} parameters, block {self.block}>"

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", 0), 0
        if handle and not self._gpu.closed:
            try:
                self._gpu._core.destroy_kernel(handle)
            except GPUIOError:  # of a device that is lost
                pass


class Pipeline(Kernel):
    """A kernel as it is dispatched, with specialization constants of its own. Made by `GPU.create_pipeline`."""
