"""Operations on buffers of gpu_runtime: products, attention, norms, reductions, selections, quantization, on every device.

    from gpu_runtime import GPU
    from gpuio import ops

    gpu = GPU()
    x = gpu.buffer(array)                        # float32 or float16, rows in the last dimension
    y = ops.softmax(x)                           # made where no out= is given; returns before it has run
    y.read()                                     # waits

What NumPy has no type for is raw storage and a name: ops.Tensor(buffer_of_uint16, "bf16"), "f8e4m3" and "f8e5m2" over
uint8, "i4" over uint8 with two to a byte. Arrays of ml_dtypes come with their names. docs/operations.md has the rest.
Tensors have no gaps: what gpuio_ops.h takes with strides is for C and C++. Threads, order and errors are those of
gpu_runtime; GPUIOError says which tensor, what it is and what was needed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from gpu_buffer import Buffer

from . import _core
from ._errors import GPUIOError, invalid

if TYPE_CHECKING:
    from gpu_runtime import Stream

__all__ = [
    "Tensor", "attention", "dequantize", "gather_rows", "histogram", "layer_norm", "matmul", "qkv", "quantize", "random",
    "reduce", "rms_norm", "scan", "scatter_rows", "softmax", "top_k", "tune_matmul",
]  # fmt: skip

# The name, and what NumPy stores it as.
_DTYPES: Dict[str, str] = {
    "f32": "float32", "f16": "float16", "bf16": "uint16", "f8e4m3": "uint8", "f8e5m2": "uint8", "i8": "int8",
    "u8": "uint8", "i4": "uint8", "i32": "int32", "u32": "uint32", "i64": "int64", "u64": "uint64",
}  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(_DTYPES)}
_OF_NUMPY = {
    "float32": "f32", "float16": "f16", "int8": "i8", "uint8": "u8", "int32": "i32", "uint32": "u32", "int64": "i64",
    "uint64": "u64", "bfloat16": "bf16", "float8_e4m3fn": "f8e4m3", "float8_e5m2": "f8e5m2",
}  # fmt: skip
_REDUCE = {"add": 0, "min": 1, "max": 2, "mul": 3}
_SCALE = {"row": 0, "column": 1, "group": 2}
_RANDOM = {"bits": 0, "uniform": 1, "normal": 2}


class Tensor:
    """A buffer seen as elements of a type, in rows without gaps. Holds the buffer."""

    def __init__(self, buffer: Buffer, dtype: Optional[str] = None, shape: Optional[Tuple[int, ...]] = None) -> None:
        if not isinstance(buffer, Buffer):
            raise invalid(f"a {type(buffer).__name__}: give a Buffer of gpu_runtime, or a Tensor over one")
        if dtype is None:
            dtype = _OF_NUMPY.get(buffer.dtype.name)
            if dtype is None:
                raise invalid(f"a buffer of {buffer.dtype}: name its elements, one of {', '.join(_DTYPES)}")
        if dtype not in _DTYPES:
            raise invalid(f"dtype = {dtype!r}: give one of {', '.join(_DTYPES)}")
        if shape is None:
            if dtype != "i4" and np.dtype(_DTYPES[dtype]).itemsize != buffer.dtype.itemsize:
                raise invalid(f"dtype = {dtype!r} over a buffer of {buffer.dtype}: give the shape too")
            shape = buffer.shape
            if dtype == "i4" and shape:
                shape = (*shape[:-1], 2 * shape[-1] * buffer.dtype.itemsize)
        shape = tuple(int(n) for n in shape)
        if not 1 <= len(shape) <= 4 or any(n < 0 for n in shape):
            raise invalid(f"shape = {shape}: give 1 to 4 sizes")
        self.buffer, self.dtype, self.shape = buffer, dtype, shape
        if self.nbytes > buffer.nbytes:
            raise invalid(f"{self!r} has {self.nbytes} bytes, its buffer {buffer.nbytes}")

    @property
    def nbytes(self) -> int:
        """Of its elements; rows of i4 are whole bytes."""
        if self.dtype == "i4":
            return math.prod(self.shape[:-1]) * ((self.shape[-1] + 1) // 2)
        return math.prod(self.shape) * np.dtype(_DTYPES[self.dtype]).itemsize

    def read(self) -> npt.NDArray[Any]:
        """Its elements as an array: of NumPy's type where it has one, bf16 and f8 as float32, i4 as int8. Waits."""
        raw = self.buffer.read().reshape(-1).view(np.uint8)[: self.nbytes]
        if self.dtype == "i4":
            rows = raw.reshape(math.prod(self.shape[:-1]), -1)
            pairs = np.stack([rows & 15, rows >> 4], -1).reshape(rows.shape[0], -1)[:, : self.shape[-1]]
            return ((pairs ^ 8).astype(np.int8) - 8).reshape(self.shape)
        stored = raw.view(_DTYPES[self.dtype]).reshape(self.shape)
        if self.dtype == "bf16":
            return (stored.astype(np.uint32) << 16).view(np.float32)
        if self.dtype == "f8e5m2":
            return (stored.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
        if self.dtype == "f8e4m3":
            return np.take(_E4M3, stored)
        return stored

    def __array__(self, dtype: Optional[npt.DTypeLike] = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a tensor of a GPU cannot be an array without a copy")
        array = self.read()
        return array if dtype is None else array.astype(dtype)

    def __repr__(self) -> str:
        return f"<Tensor {' x '.join(map(str, self.shape))} {self.dtype}>"


def _e4m3() -> npt.NDArray[np.float32]:
    bits = np.arange(256)
    exponent, fraction = bits >> 3 & 15, bits & 7
    size = np.where(exponent == 0, fraction * 2.0**-9, (8 + fraction) * 2.0 ** (exponent - 10.0))
    size[bits & 127 == 127] = np.nan
    return np.where(bits < 128, size, -size).astype(np.float32)


_E4M3 = _e4m3()

Operand = Union[Buffer, Tensor]


def _tensor(value: Operand, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Buffer):
        return Tensor(value)
    raise invalid(f"{name} is a {type(value).__name__}: give a Buffer of gpu_runtime, or an ops.Tensor over one")


def _optional(value: Optional[Operand], name: str) -> Optional[Tensor]:
    return None if value is None else _tensor(value, name)


def _made(like: Tensor, dtype: Optional[str], shape: Tuple[int, ...]) -> Tensor:
    dtype = like.dtype if dtype is None else dtype
    if dtype not in _DTYPES:
        raise invalid(f"dtype = {dtype!r}: give one of {', '.join(_DTYPES)}")
    stored = (*shape[:-1], (shape[-1] + 1) // 2) if dtype == "i4" else shape
    return Tensor(like.buffer._gpu._made(stored, np.dtype(_DTYPES[dtype])), dtype, shape)


def _out(out: Optional[Operand], like: Tensor, dtype: Optional[str], shape: Tuple[int, ...], name: str = "out") -> Tensor:
    if out is None:
        return _made(like, dtype, shape)
    given = _tensor(out, name)
    if dtype is not None and given.dtype != dtype:
        raise invalid(f"{name} is {given!r}, and dtype = {dtype!r}: give one of the two")
    return given


def _one(name: str, value: str, of: Dict[str, int]) -> int:
    if not isinstance(value, str) or value not in of:
        raise invalid(f"{name} = {value!r}: give one of {', '.join(of)}")
    return of[value]


def _size(name: str, value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise invalid(f"{name} = {value!r}: give {what}")
    return int(value)


def _run(operation: Any, tensors: Dict[str, Optional[Tensor]], stream: Optional[Stream], *arguments: Any, out: str = "y") -> Any:
    """Calls it with tensors by name for the strings among the arguments. `out`: what gpuio_ops.h calls that tensor."""
    present = {name: t for name, t in tensors.items() if t is not None}
    gpu = next(iter(present.values())).buffer._gpu
    given: Dict[str, Optional[Tuple[int, int, Tuple[int, ...]]]] = dict.fromkeys(tensors)
    for name, t in present.items():
        gpu._mine(name, t.buffer, Buffer)
        given[name] = (t.buffer.address(), _NUMBERS[t.dtype], t.shape)
    handle = 0
    if stream is not None:
        from gpu_runtime import Stream as Kind

        gpu._mine("stream", stream, Kind)
        handle = stream.handle()
    point = gpu._began()
    for t in present.values():
        t.buffer._used = point
    try:
        return operation(gpu._core.context, *(given[a] if isinstance(a, str) else a for a in arguments), handle)
    except GPUIOError as e:
        caller, colon, rest = e.message.partition(": ")
        if "out" in tensors and rest.startswith(out + ": "):
            raise GPUIOError(e.code, f"{caller}{colon}out{rest[len(out) :]}") from None
        raise


def softmax(x: Operand, out: Optional[Operand] = None, *, dtype: Optional[str] = None, stream: Optional[Stream] = None) -> Tensor:
    """exp(x) over its sum, along the last dimension. f32, f16, bf16; out: x's type or f32, and may be x."""
    of = _tensor(x, "x")
    y = _out(out, of, dtype, of.shape)
    _run(_core.op_softmax, {"x": of, "out": y}, stream, "x", "out")
    return y


def layer_norm(
    x: Operand, gain: Optional[Operand] = None, bias: Optional[Operand] = None, out: Optional[Operand] = None, *,
    epsilon: float = 1e-5, dtype: Optional[str] = None, stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(variance + epsilon) * gain + bias, along the last dimension."""
    of, times, plus = _tensor(x, "x"), _optional(gain, "gain"), _optional(bias, "bias")
    y = _out(out, of, dtype, of.shape)
    _run(_core.op_layer_norm, {"x": of, "gain": times, "bias": plus, "out": y}, stream,
         "x", "gain", "bias", float(epsilon), "out")  # fmt: skip
    return y


def rms_norm(
    x: Operand, gain: Optional[Operand] = None, out: Optional[Operand] = None, *,
    epsilon: float = 1e-6, dtype: Optional[str] = None, stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """x / sqrt(mean of squares + epsilon) * gain, along the last dimension."""
    of, times = _tensor(x, "x"), _optional(gain, "gain")
    y = _out(out, of, dtype, of.shape)
    _run(_core.op_rms_norm, {"x": of, "gain": times, "out": y}, stream, "x", "gain", float(epsilon), "out")
    return y


def reduce(
    x: Operand, op: str = "add", out: Optional[Operand] = None, *, dtype: Optional[str] = None, stream: Optional[Stream] = None
) -> Tensor:
    """"add", "min", "max" or "mul" of each row; the shape without its last dimension (of one dimension: 1 element)."""
    of, what = _tensor(x, "x"), _one("op", op, _REDUCE)
    y = _out(out, of, dtype, of.shape[:-1] or (1,))
    _run(_core.op_reduce, {"x": of, "out": y}, stream, "x", what, "out")
    return y


def scan(
    x: Operand, op: str = "add", out: Optional[Operand] = None, *, exclusive: bool = False,
    dtype: Optional[str] = None, stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """out[i] = x[0] op ... op x[i] of each row; exclusive: op x[i - 1]. Of floats "add" only."""
    of, what = _tensor(x, "x"), _one("op", op, _REDUCE)
    y = _out(out, of, dtype, of.shape)
    _run(_core.op_scan, {"x": of, "out": y}, stream, "x", what, bool(exclusive), "out")
    return y


def top_k(
    x: Operand, k: int, values: Optional[Operand] = None, indices: Optional[Operand] = None, *, stream: Optional[Stream] = None
) -> Tuple[Tensor, Tensor]:
    """The k largest of each row, descending, and where they were: equal ones by their index, NaNs last. k: to 4096."""
    of = _tensor(x, "x")
    shape = (*of.shape[:-1], _size("k", k, "a number of elements"))
    largest, places = _out(values, of, None, shape, "values"), _out(indices, of, "u32", shape, "indices")
    _run(_core.op_top_k, {"x": of, "values": largest, "indices": places}, stream, "x", "values", "indices")
    return largest, places


def gather_rows(x: Operand, indices: Operand, out: Optional[Operand] = None, *, stream: Optional[Stream] = None) -> Tensor:
    """out[i] = x[indices[i]]; zeros where x has no such row. indices: u32 or u64."""
    of, which = _tensor(x, "x"), _tensor(indices, "indices")
    y = _out(out, of, None, (*which.shape, *of.shape[1:]))
    _run(_core.op_gather_rows, {"x": of, "indices": which, "out": y}, stream, "x", "indices", "out")
    return y


def scatter_rows(x: Operand, indices: Operand, out: Operand, *, stream: Optional[Stream] = None) -> Tensor:
    """out[indices[i]] = x[i]; what out does not have is left out. No index twice."""
    of, which, y = _tensor(x, "x"), _tensor(indices, "indices"), _tensor(out, "out")
    _run(_core.op_scatter_rows, {"x": of, "indices": which, "out": y}, stream, "x", "indices", "out")
    return y


def quantize(
    x: Operand, dtype: str = "i8", scale: str = "row", out: Optional[Operand] = None,
    scales: Optional[Operand] = None, *, stream: Optional[Stream] = None,
) -> Tuple[Tensor, Tensor]:  # fmt: skip
    """x over its scales as "i8", "i4", "f8e4m3" or "f8e5m2", and the scales (f32): one a "row", "column" or "group" of 128."""
    of, by = _tensor(x, "x"), _one("scale", scale, _SCALE)
    if len(of.shape) != 2:
        raise invalid(f"x is {of!r}: give two dimensions")
    rows, columns = of.shape
    q = _out(out, of, dtype, of.shape)
    shape = {"row": (rows,), "column": (columns,), "group": (rows, -(-columns // 128))}[scale]
    s = _out(scales, of, "f32", shape, "scales")
    _run(_core.op_quantize, {"x": of, "out": q, "scales": s}, stream, "x", by, "out", "scales", out="q")
    return q, s


def dequantize(
    q: Operand, scales: Operand, scale: str = "row", out: Optional[Operand] = None, *, dtype: Optional[str] = None,
    stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """q * scales, as f32 unless dtype or out say f16 or bf16."""
    of, s, by = _tensor(q, "q"), _tensor(scales, "scales"), _one("scale", scale, _SCALE)
    x = _out(out, of, dtype or (None if out is not None else "f32"), of.shape)
    _run(_core.op_dequantize, {"q": of, "scales": s, "out": x}, stream, "q", "scales", by, "out", out="x")
    return x


def histogram(x: Operand, bins: Optional[int] = None, counts: Optional[Operand] = None, *, stream: Optional[Stream] = None) -> Tensor:
    """How often each of 0, 1, ... occurs in x (u8, i32, u32), added to `counts` (u32 or u64) or to `bins` new ones."""
    if (bins is None) == (counts is None):
        raise invalid("give bins, a number of counters, or counts, and not both")
    of = _tensor(x, "x")
    if counts is None:
        counts = of.buffer._gpu.buffer(size=_size("bins", bins, "a number of counters"), dtype=np.uint64)
    to = _tensor(counts, "counts")
    _run(_core.op_histogram, {"x": of, "counts": to}, stream, "x", "counts")
    return to


def random(out: Operand, distribution: str = "uniform", *, seed: int, offset: int = 0, stream: Optional[Stream] = None) -> Tensor:
    """Fills out with "bits" (u32), "uniform" numbers of [0, 1) or "normal" ones: element i is a function of seed and
    offset + i alone."""
    what, y = _one("distribution", distribution, _RANDOM), _tensor(out, "out")
    for name, value in (("seed", seed), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
            raise invalid(f"{name} = {value!r}: give an integer of 64 bits")
    _run(_core.op_random, {"out": y}, stream, what, int(seed), int(offset), "out")
    return y


def _product(
    a: Operand, b: Operand, out: Optional[Operand], b_transposed: bool, scale_a: Optional[Operand],
    scale_b: Optional[Operand], bias: Optional[Operand], dtype: Optional[str],
) -> Dict[str, Optional[Tensor]]:  # fmt: skip
    left, right = _tensor(a, "a"), _tensor(b, "b")
    if len(left.shape) not in (2, 3) or len(right.shape) not in (2, len(left.shape)):
        raise invalid(f"a is {left!r}, b {right!r}: give both two dimensions, or a three and b two or three")
    shape = (*left.shape[:-1], right.shape[-2] if b_transposed else right.shape[-1])
    y = _out(out, left, dtype or (None if out is not None else "f32"), shape)
    return {"a": left, "b": right, "out": y, "scale_a": _optional(scale_a, "scale_a"),
            "scale_b": _optional(scale_b, "scale_b"), "bias": _optional(bias, "bias")}  # fmt: skip


def matmul(
    a: Operand, b: Operand, out: Optional[Operand] = None, *, b_transposed: bool = False, tf32: bool = False,
    scale_a: Optional[Operand] = None, scale_b: Optional[Operand] = None, bias: Optional[Operand] = None,
    dtype: Optional[str] = None, stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """a @ b (b_transposed: a @ b.T), of two dimensions or of three: as many products as the first of a says, all with the
    same b where it has two or its first is 1. f32 unless dtype or out say otherwise. scale_a, scale_b: f32, times a's
    rows and the product's columns (of i4 one for every 128 of k); bias: added to each row."""
    tensors = _product(a, b, out, b_transposed, scale_a, scale_b, bias, dtype)
    _run(_core.op_matmul, tensors, stream, "a", "b", "out", bool(b_transposed), bool(tf32), "scale_a", "scale_b", "bias",
         out="c")  # fmt: skip
    made = tensors["out"]
    assert made is not None
    return made


def tune_matmul(
    a: Operand, b: Operand, out: Optional[Operand] = None, *, b_transposed: bool = False, tf32: bool = False,
    scale_a: Optional[Operand] = None, scale_b: Optional[Operand] = None, bias: Optional[Operand] = None,
    dtype: Optional[str] = None, budget: float = 2.0, stream: Optional[Stream] = None,
) -> str:  # fmt: skip
    """Runs the ways that there are to do this product in turn, for `budget` seconds and one product at most, and keeps the
    fastest for products of these types and about these sizes, in this process and later ones. Its name. Waits; `out` is
    written."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0 < budget <= 3600:
        raise invalid(f"budget = {budget!r}: give seconds, above 0 and at most 3600")
    tensors = _product(a, b, out, b_transposed, scale_a, scale_b, bias, dtype)
    chosen: str = _run(
        _core.op_tune_matmul, tensors, stream, "a", "b", "out", bool(b_transposed), bool(tf32), "scale_a", "scale_b",
        "bias", max(1, int(budget * 1e6)), out="c",
    )  # fmt: skip
    return chosen


def qkv(
    x: Operand, wq: Operand, wk: Operand, wv: Operand, q: Optional[Operand] = None, k: Optional[Operand] = None,
    v: Optional[Operand] = None, *, scale_x: Optional[Operand] = None, scale_q: Optional[Operand] = None,
    scale_k: Optional[Operand] = None, scale_v: Optional[Operand] = None, dtype: Optional[str] = None, stream: Optional[Stream] = None,
) -> Tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """x @ wq.T, x @ wk.T and x @ wv.T in one launch, of two dimensions; types and scales as matmul takes them."""
    of = _tensor(x, "x")
    weights = [_tensor(w, name) for w, name in ((wq, "wq"), (wk, "wk"), (wv, "wv"))]
    made = []
    for w, name, out in zip(weights, "qkv", (q, k, v)):
        if len(of.shape) != 2 or len(w.shape) != 2:
            raise invalid(f"x is {of!r}, w{name} {w!r}: give two dimensions")
        made.append(_out(out, of, dtype or (None if out is not None else "f32"), (of.shape[0], w.shape[0]), name))
    tensors: Dict[str, Optional[Tensor]] = {"x": of, **dict(zip(("wq", "wk", "wv"), weights)), **dict(zip("qkv", made))}
    for name, scale in (("scale_x", scale_x), ("scale_q", scale_q), ("scale_k", scale_k), ("scale_v", scale_v)):
        tensors[name] = _optional(scale, name)
    _run(_core.op_qkv, tensors, stream, *tensors)
    return made[0], made[1], made[2]


def attention(
    q: Operand, k: Operand, v: Operand, out: Optional[Operand] = None, *, scale: Optional[float] = None,
    causal: bool = False, lengths: Optional[Operand] = None, indices: Optional[Operand] = None,
    log_sum: Optional[Operand] = None, stream: Optional[Stream] = None,
) -> Tensor:  # fmt: skip
    """softmax(q @ k.T * scale) @ v of each head; scale: 1 / sqrt(d) where none is given. q: batch x heads x tq x d; k, v:
    batch x heads of k x tk x d. lengths (u32, batch): the keys of each sequence that count; indices (u32, batch x heads of
    k x tq x n): those that each query sees; log_sum (f32, batch x heads x tq) is written: log of the sum of exp."""
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, (int, float, np.floating)) or scale == 0):
        raise invalid(f"scale = {scale!r}: give a number that is not 0, or None for 1 / sqrt(d)")
    of = _tensor(q, "q")
    y = _out(out, of, None, of.shape)
    tensors = {"q": of, "k": _tensor(k, "k"), "v": _tensor(v, "v"), "out": y, "lengths": _optional(lengths, "lengths"),
               "indices": _optional(indices, "indices"), "log_sum": _optional(log_sum, "log_sum")}  # fmt: skip
    _run(_core.op_attention, tensors, stream, "q", "k", "v", "out", float(scale or 0), bool(causal), "lengths", "indices",
         "log_sum", out="out")  # fmt: skip
    return y
