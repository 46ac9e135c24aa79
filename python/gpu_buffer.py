"""Memory on a GPU, filled from and read into NumPy arrays and whatever else holds bytes. Made by `GPU.buffer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from gpuio import GPUIOError
from gpuio._ending import Ending
from gpuio._errors import invalid

if TYPE_CHECKING:
    from gpu_runtime import GPU

__all__ = ["Buffer"]


def host_array(data: Any, dtype: npt.DTypeLike = None) -> npt.NDArray[Any]:
    """`data` as a contiguous array of the CPU: an array, what has DLPack or the buffer protocol, numbers in lists."""
    if isinstance(data, np.ndarray):
        array = data
    elif hasattr(data, "__dlpack__"):
        try:
            array = np.from_dlpack(data)
        except (TypeError, ValueError, RuntimeError, BufferError) as e:
            raise invalid(f"a {type(data).__name__} whose DLPack NumPy does not take: give one of the CPU ({e})") from e
    elif isinstance(data, (list, tuple)):
        array = np.asarray(data, np.float32 if dtype is None else dtype)
    else:
        try:
            array = np.asarray(memoryview(data))
        except TypeError as e:
            raise invalid(f"a {type(data).__name__}: give an array, a tensor of the CPU, bytes or a list; or size=") from e
    if array.dtype.hasobject:
        raise invalid(f"an array of {array.dtype}: give numbers, which have bytes of their own")
    if dtype is not None and array.dtype != np.dtype(dtype):
        array = array.astype(dtype)
    return np.ascontiguousarray(array).reshape(array.shape)


def raw(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


class Buffer(Ending):
    """`shape` elements of `dtype` in the memory of a GPU.

    Reading and writing wait for what the GPU was given before. A buffer that was freed raises GPUIOError. In a `with`
    statement it is freed at the end, else when nothing refers to it.
    """

    shape: Tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, gpu: GPU, address: int, shape: Tuple[int, ...], dtype: np.dtype[Any], owner: Any = None) -> None:
        self._gpu, self._address, self.shape, self.dtype = gpu, address, shape, dtype
        self._owner = owner  # of memory that is not ours
        self._used = 0  # the last dispatch that may still use it, by the GPU's count

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def freed(self) -> bool:
        return self._address == 0

    def address(self) -> int:
        """Where kernels find it."""
        if self._address == 0:
            raise invalid(f"this buffer of {self.nbytes} bytes was freed: make another")
        self._gpu._open()
        return self._address

    def read(self, out: Optional[npt.NDArray[Any]] = None) -> npt.NDArray[Any]:
        """All of it as an array, a new one or `out`, which has as many bytes and is contiguous."""
        address = self.address()
        if out is None:
            out = np.empty(self.shape, self.dtype)
        elif not isinstance(out, np.ndarray) or not out.flags.c_contiguous or not out.flags.writeable:
            raise invalid("out: give a writable contiguous numpy array")
        elif out.nbytes != self.nbytes:
            raise invalid(f"out has {out.nbytes} bytes, the buffer {self.nbytes}")
        self._gpu.wait()
        self._gpu._core.download(raw(out), address)
        return out

    def write(self, data: Any) -> None:
        """Copies `data` into it: as many bytes or fewer, and the buffer's dtype where data has one."""
        address = self.address()
        array = host_array(data, self.dtype if isinstance(data, (list, tuple)) else None)
        if isinstance(data, np.ndarray) and array.dtype != self.dtype:
            raise invalid(f"data has dtype {array.dtype}, the buffer {self.dtype}: give data.astype({str(self.dtype)!r})")
        if array.nbytes > self.nbytes:
            raise invalid(f"data has {array.nbytes} bytes, the buffer {self.nbytes}: make a larger one")
        self._gpu.wait()
        self._gpu._core.upload(address, raw(array))

    def fill(self, value: int) -> None:
        """Sets every byte, in the order of the default stream; does not wait."""
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= 255:
            raise invalid(f"value = {value!r}: give a byte, 0 to 255")
        address = self.address()
        self._used = self._gpu._began()
        self._gpu._core.fill(address, int(value), self.nbytes, 0)

    def free(self) -> None:
        """Gives the memory back, once what was dispatched with it is done. Again does nothing."""
        address, self._address = self._address, 0
        if address == 0 or self._gpu.closed:
            return
        try:
            if self._used > self._gpu._waited:
                self._gpu.wait()
        finally:
            self._gpu._core.free(address)
            self._owner = None

    def _end(self) -> None:
        self.free()

    def __del__(self) -> None:
        try:
            self.free()
        except (AttributeError, GPUIOError):  # half made, or the device is lost: nobody is left to tell
            pass

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __repr__(self) -> str:
        state = "freed" if self.freed else self._gpu.name
        return f"<Buffer {'x'.join(map(str, self.shape))} {self.dtype}, {state}>"

    def __array__(self, dtype: npt.DTypeLike = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a buffer of a GPU cannot be an array without a copy")
        array = self.read()
        return array if dtype is None else array.astype(dtype)

    # What others take it as: a copy on the CPU; on CUDA the memory itself.
    def __dlpack__(self, **options: Any) -> Any:
        return self.read().__dlpack__(**options)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (1, 0)  # the CPU

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self._gpu.backend != "cuda":
            raise AttributeError(f"__cuda_array_interface__: this buffer is on {self._gpu.name}, which is no CUDA device")
        self._gpu.wait()
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (self.address(), False), "version": 3, "strides": None,
        }  # fmt: skip
