"""A GPU in ten lines: buffers, kernels from files, dispatch, on CUDA, on Vulkan and on the CPU.

    from gpu_runtime import GPU

    gpu = GPU()                                  # or GPU("vulkan"), GPU("cuda"), GPU("cpu"), GPU("vulkan:1")
    kernel = gpu.load_spirv("matmul.spv")        # a file of yours, or one of the shipped kernels
    A, B = gpu.buffer(data_a), gpu.buffer(data_b)
    C = gpu.buffer(size=N * N)                   # float32 unless dtype= says otherwise
    gpu.dispatch(kernel, A, B, C, groups=(N // 32, N // 32, 1))
    gpu.wait()
    result = C.read()

What gpuio made runs on every device; SPIR-V of other compilers on Vulkan, with a buffer for each binding in the order of
set and binding, then a number for each scalar of the push constants; PTX of others on CUDA. docs/runtime.md has the rest.
Threads: any, but the work of several in one stream takes its order from who comes first; others run while one waits.
Errors: gpuio.GPUIOError, which says what to do; what fails on the device comes from the next wait.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from gpuio import ErrorCode, GPUIOError, _core
from gpuio._ending import Ending
from gpuio._errors import invalid
from gpu_buffer import Buffer, host_array, raw
from gpu_kernel import KERNELS, Kernel, Number, Pipeline, Source, bytes_of, number

__all__ = ["GPU", "KERNELS", "Buffer", "Event", "Fence", "Finding", "Kernel", "Pipeline", "Stream"]

Groups = Union[int, Tuple[int, ...]]


def _timeout(value: Optional[float]) -> float:
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise invalid(f"timeout = {value!r}: give seconds, or None for no limit")
    return float(value)


def _late(what: str, timeout: Optional[float]) -> GPUIOError:
    return GPUIOError(ErrorCode.TIMEOUT, f"{what} is not done after {timeout} s; it goes on")


def _triple(name: str, value: Any) -> Tuple[int, int, int]:
    parts = (value,) if isinstance(value, (int, np.integer)) else value
    if not isinstance(parts, (tuple, list)) or not 1 <= len(parts) <= 3:
        raise invalid(f"{name} = {value!r}: give a number or a tuple of up to three")
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (int, np.integer)) or not 0 <= part < 2**32:
            raise invalid(f"{name} = {value!r}: {part!r} is no number of workgroups or lanes")
    filled = [int(p) for p in parts] + [1] * (3 - len(parts))
    return filled[0], filled[1], filled[2]


class Finding(NamedTuple):
    """What `GPU.sanitize` found. Lines are of the kernel's source; earlier_line is 0 where it is no race."""

    message: str
    line: int
    earlier_line: int


class _Handle(Ending):
    """A number that the library gave out, given back by `close` or when nothing refers to it."""

    _kind: str

    def __init__(self, gpu: GPU) -> None:
        self._gpu, self._handle = gpu, 0
        gpu._open()
        self._handle = getattr(gpu._core, self._kind)()

    def handle(self) -> int:
        if not self._handle:
            raise invalid(f"this {self._kind} was closed: make another")
        self._gpu._open()
        return self._handle

    def _end(self) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is in it, if it is a stream: after wait.limit_ms of the configuration, ten minutes, raises
        GPUIOError(TIMEOUT), and it is as before. Again does nothing."""
        handle, self._handle = self._handle, 0
        if handle and not self._gpu.closed:
            try:
                getattr(self._gpu._core, f"destroy_{self._kind}")(handle)
            except GPUIOError as e:
                if e.code == ErrorCode.TIMEOUT:
                    self._handle = handle
                raise

    def __del__(self) -> None:
        try:
            self.close()
        except (AttributeError, GPUIOError):
            pass


class Stream(_Handle):
    """Work in order, apart from that of other streams. Made by `GPU.stream`."""

    _kind = "stream"

    @property
    def idle(self) -> bool:
        return self._gpu._core.idle(self.handle())

    def wait(self, timeout: Optional[float] = None) -> None:
        """Until all that it was given is done; Ctrl-C ends the wait."""
        if not self._gpu._core.wait_stream(self.handle(), _timeout(timeout)):
            raise _late("the stream", timeout)


class Event(_Handle):
    """A point in a stream, to wait for and to measure between. Made by `GPU.event`."""

    _kind = "event"

    def record(self, stream: Optional[Stream] = None) -> None:
        """It is done when all that the stream was given so far is; recording again forgets the earlier point."""
        self._gpu._core.record(self.handle(), stream.handle() if stream else 0)

    @property
    def done(self) -> bool:
        return self._gpu._core.complete(self.handle())

    def wait(self, timeout: Optional[float] = None) -> None:
        if not self._gpu._core.wait_event(self.handle(), _timeout(timeout)):
            raise _late("the event", timeout)

    def elapsed_ms(self, since: Event) -> float:
        """Milliseconds from `since` to this one, both recorded in one stream and done."""
        return self._gpu._core.elapsed_ms(since.handle(), self.handle())


class Fence(Event):
    """An event that was recorded when it was made. Made by `GPU.fence`."""


class GPU(Ending):
    """A device: "cuda", "vulkan" or "cpu", with ":1" the next one of a kind; "auto" takes the first GPU there is in
    that order. Emulated GPUs (lavapipe) have to be asked for as "vulkan". In a `with` statement it is closed at the end."""

    def __init__(self, device: str = "auto") -> None:
        self.closed = True
        if not isinstance(device, str):
            raise invalid(f"device = {device!r}: give 'auto', 'cuda', 'vulkan' or 'cpu'")
        self._core = _core.Gpu(device)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._given = self._waited = 0  # dispatches: so many were given, so many are known to be done
        self.closed = False

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def backend(self) -> str:
        """ "cuda", "vulkan" or "cpu"."""
        return self._core.backend

    def __repr__(self) -> str:
        return f"<GPU {self.name} ({self.backend}){', closed' if self.closed else ''}>"

    # Memory.

    def buffer(
        self, data: Any = None, *, size: Union[int, Tuple[int, ...], None] = None, dtype: npt.DTypeLike = None
    ) -> Buffer:
        """A buffer with a copy of `data`, or of `size` elements of zero bytes (float32 unless `dtype` says otherwise).

        data: a NumPy array, what has DLPack (of the CPU) or the buffer protocol, a list of numbers. What has
        `__cuda_array_interface__` is taken as it is, without a copy, on CUDA; its owner lives as long as the buffer.
        """
        self._open()
        if (data is None) == (size is None):
            raise invalid("give data, or size= in elements, and not both")
        if data is not None:
            if hasattr(data, "__cuda_array_interface__"):
                return self._adopted(data)
            array = host_array(data, dtype)
            made = self._made(array.shape, array.dtype)
            self._core.upload(made.address(), raw(array))
            return made
        shape = (size,) if isinstance(size, (int, np.integer)) and not isinstance(size, bool) else size
        if not isinstance(shape, tuple) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
            raise invalid(f"size = {size!r}: give a number of elements, or a shape")
        made = self._made(tuple(int(n) for n in shape), np.dtype(np.float32 if dtype is None else dtype))
        made.fill(0)
        self._core.wait_stream(0, math.inf)  # so that any stream may use it
        return made

    def _made(self, shape: Tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes == 0:
            raise invalid(f"a buffer of shape {shape}: give at least one element")
        if nbytes >= 2**63:
            raise GPUIOError(ErrorCode.NOMEM, f"a buffer of {nbytes} bytes is more than there can be")
        return Buffer(self, self._core.allocate(nbytes), shape, dtype)

    def _adopted(self, data: Any) -> Buffer:
        if self.backend != "cuda":
            raise GPUIOError(
                ErrorCode.UNSUPPORTED,
                f"a {type(data).__name__} with __cuda_array_interface__: {self.name} is no CUDA device; give data of the CPU",
            )
        about = data.__cuda_array_interface__
        shape, dtype = tuple(about["shape"]), np.dtype(about["typestr"])
        address, nbytes = about["data"][0], math.prod(shape) * dtype.itemsize
        strides = about.get("strides")
        if strides is not None and tuple(strides) != np.empty((0,) + shape[1:], dtype).strides[: len(shape)] and nbytes:
            raise invalid(f"__cuda_array_interface__ with strides {strides}: give contiguous data")
        if nbytes == 0:
            raise invalid(f"__cuda_array_interface__ of shape {shape}: give at least one element")
        return Buffer(self, self._core.adopt(address, nbytes), shape, dtype, owner=data)

    # Kernels.

    def load_spirv(
        self, source: Source, *, entry: str = "", constants: Optional[Mapping[Union[int, str], Number]] = None
    ) -> Kernel:
        """From a path or bytes. `constants`: specialization constants by their name or id; `entry`: where there are several."""
        return Kernel(self, _core.FORMAT_SPIRV, bytes_of(source), entry, constants, None)

    def load_ptx(self, source: Source, *, entry: str = "", block: Optional[Groups] = None) -> Kernel:
        """`source`: a path, or the text as bytes. `block`: lanes of a workgroup, where the text does not say."""
        lanes = None if block is None else _triple("block", block)
        return Kernel(self, _core.FORMAT_PTX, bytes_of(source), entry, None, lanes)

    def load_adead(self, source: Source, *, block: Optional[Groups] = None) -> Kernel:
        """ADead-BIB code of any of its three formats (docs/adead.md); `block`: lanes of a workgroup, else 256."""
        lanes = None if block is None else _triple("block", block)
        return Kernel(self, _core.FORMAT_ADEAD, bytes_of(source), "", None, lanes)

    def load_ir(self, source: Source, *, constants: Optional[Mapping[Union[int, str], Number]] = None) -> Kernel:
        """gpuio's own, as `gpuio kernel export` writes it."""
        return Kernel(self, _core.FORMAT_IR, bytes_of(source), "", constants, None)

    def create_pipeline(self, kernel: Kernel, constants: Optional[Mapping[Union[int, str], Number]] = None) -> Pipeline:
        """The kernel as it is dispatched, made ready now, with specialization constants of its own."""
        self._mine("kernel", kernel, Kernel)
        return Pipeline(self, kernel._format, kernel._source, kernel._entry, constants, kernel._block)

    def dispatch(
        self, kernel: Kernel, *arguments: Any, groups: Groups = (1, 1, 1), stream: Optional[Stream] = None
    ) -> None:
        """Runs groups[0] x groups[1] x groups[2] workgroups, after what the stream was given before; does not wait.

        arguments: buffers and numbers, in the order of `kernel.parameters`. A number is converted to what the
        kernel takes, and refused where that would change it.
        """
        self._mine("kernel", kernel, Kernel)
        if stream is not None:
            self._mine("stream", stream, Stream)
        grid = _triple("groups", groups)
        given: List[Tuple[int, int, int, int]] = []
        for i, argument in enumerate(arguments):
            if isinstance(argument, Buffer):
                self._mine(f"argument {i}", argument, Buffer)
                size = argument.dtype.itemsize
                typed = size in (1, 2, 4, 8)
                kind = _core.ARG_MEMORY if typed else _core.ARG_BYTES
                count = argument.size if typed else argument.nbytes
                given.append((kind, argument.address(), count, size if typed else 0))
            else:
                given.append((*number(f"argument {i} of {kernel.name}", argument), 0, 0))
        point = self._began()
        for argument in arguments:
            if isinstance(argument, Buffer):
                argument._used = point
        self._core.launch(kernel._handle, grid, given, stream.handle() if stream else 0)

    def sanitize(
        self, kernel: Kernel, *arguments: Any, groups: Groups = (1, 1, 1), steps_max: int = 2**28
    ) -> List[Finding]:
        """What is wrong with such a dispatch: races in buffers and shared memory, indices out of range, shared memory that
        is read before anybody wrote it, barriers that not every lane reaches. Empty where nothing was found.

        For kernels that gpuio made. It waits for the GPU, then runs the kernel in the interpreter on copies: no buffer
        changes, and one given twice counts as two. `steps_max`, instructions times lanes, bounds it; it takes some 100
        bytes of memory an element.
        """
        self._mine("kernel", kernel, Kernel)
        grid = _triple("groups", groups)
        if isinstance(steps_max, bool) or not isinstance(steps_max, (int, np.integer)) or not 0 < steps_max < 2**63:
            raise invalid(f"steps_max = {steps_max!r}: give a number of instructions")
        given: List[Tuple[int, int, Optional[npt.NDArray[np.uint8]], int]] = []
        for i, argument in enumerate(arguments):
            if isinstance(argument, Buffer):
                self._mine(f"argument {i}", argument, Buffer)
                size = argument.dtype.itemsize
                given.append((_core.ARG_MEMORY, 0, raw(argument.read()), size if size in (1, 2, 4, 8) else 0))
                continue
            kind, bits = number(f"argument {i} of {kernel.name}", argument)
            if kind == _core.ARG_SCALAR:
                raise invalid(f"argument {i} of {kernel.name} = {argument}: give an integer below 2^63")
            given.append((kind, bits, None, 0))
        found = self._core.sanitize(kernel._format, kernel._source, grid, given, int(steps_max))
        return [Finding(*each) for each in found]

    # Order.

    def wait(self, timeout: Optional[float] = None) -> None:
        """Until all that this GPU was given, in any stream, is done. Seconds; GPUIOError(TIMEOUT) when it takes longer,
        and it goes on. Ctrl-C ends the wait. Raises the first error of what failed meanwhile."""
        self._open()
        given = self._given
        for stream in list(self._streams):
            if stream._handle:
                stream.wait(timeout)
        if not self._core.wait_stream(0, _timeout(timeout)):
            raise _late("the GPU's work", timeout)
        self._waited = max(self._waited, given)

    def fence(self, stream: Optional[Stream] = None) -> Fence:
        """A point that is reached when all that the stream was given so far is done."""
        made = Fence(self)
        made.record(stream)
        return made

    def event(self) -> Event:
        return Event(self)

    def stream(self) -> Stream:
        made = Stream(self)
        self._streams.add(made)
        return made

    def close(self) -> None:
        """Waits for what runs, then ends everything of this GPU; what was made from it is of no more use. Ctrl-C ends
        the wait. GPUIOError(TIMEOUT) when it does not end in wait.limit_ms of the configuration: close it again."""
        try:
            if not self.closed:
                self.wait()
        finally:
            self.closed = True
            self._core.close()

    def _end(self) -> None:
        self.close()

    def _began(self) -> int:
        self._given += 1
        return self._given

    def _open(self) -> None:
        if self.closed:
            raise invalid("this GPU was closed: make another")

    def _mine(self, what: str, thing: Any, kind: type) -> None:
        if not isinstance(thing, kind):
            raise invalid(f"{what} is a {type(thing).__name__}: give a {kind.__name__} of this GPU")
        if thing._gpu is not self:
            raise invalid(f"{what} belongs to {thing._gpu!r}, not to {self!r}: make it from this one")
        self._open()
