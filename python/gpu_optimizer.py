"""Where the elements of an array lie in memory, for GPUs: aligned rows, tiles, coalesced lanes, Morton order, and
structures taken apart. Needs NumPy and nothing else.

    from gpu_optimizer import GPUOptimizer

    opt = GPUOptimizer()
    tiles = opt.optimize_matrix(data, tile_size=32)   # an ndarray of shape (rows of tiles, columns of tiles, 32, 32)
    aligned = opt.align(data, alignment=128)          # the shape of data; each row begins at a multiple of 128 bytes
    lanes = opt.coalesce(data, stride=32)             # shape (groups, elements of a row, 32)
    z = opt.morton(data)                              # one axis: the elements along a Z curve
    planes = opt.struct_of_arrays(records)            # planes["x"] is one contiguous array

    tiles.layout                                      # shape, dtype, strides, padding, order, offset(i, j)
    opt.restore(tiles)                                # data again: no element is lost, whatever the shape

What comes back is an ndarray with a `layout`; its memory begins at a multiple of the alignment and its padding is zero.
`storage` is all of that memory as bytes, padding included: what to hand to a device. Arrays derived from it, slices
and results, are ordinary and have neither. The layouts are those of gpuio/layout.hpp, byte for byte; docs/layouts.md has
their formulas. Threads: a Layout never changes. Errors: TypeError for what has no bytes of its own (objects),
ValueError for an alignment, tile or stride that cannot be.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

__all__ = ["Arranged", "GPUOptimizer", "Layout", "StructOfArrays"]


@dataclass(frozen=True)
class Layout:
    """Where each element of an array lies. Made by GPUOptimizer."""

    order: str  # "rows", "tiles", "coalesced" or "morton"
    shape: Tuple[int, ...]  # of the array as it was
    dtype: np.dtype
    alignment: int  # in bytes, of the base address
    group: int  # side of a tile, or lanes of a group; else 0
    storage_shape: Tuple[int, ...]  # of the elements as they lie, padding included
    strides: Optional[Tuple[int, ...]]  # bytes, an axis of `shape` each; None where strides cannot say it
    nbytes: int  # all, padding included

    @property
    def padding(self) -> int:
        """Bytes that hold no element."""
        return self.nbytes - math.prod(self.shape) * self.dtype.itemsize

    def offset(self, *index: int) -> int:
        """Where an element begins, in bytes from the base address."""
        if len(index) != len(self.shape):
            raise ValueError(f"{len(index)} indices for {len(self.shape)} axes")
        for i, n in zip(index, self.shape):
            if not 0 <= i < n:
                raise IndexError(f"index {index} in an array of shape {self.shape}")
        total = sum(_term(self, axis, i) for axis, i in enumerate(index))
        return total if self.order == "rows" else total * self.dtype.itemsize

    def restore(self, storage: np.ndarray) -> np.ndarray:
        """The array as it was, from what lies in this layout: an array that GPUOptimizer made, or its bytes."""
        storage = np.asarray(storage)
        whole = math.prod(self.storage_shape) * self.dtype.itemsize
        if storage.dtype != self.dtype or storage.shape != self.storage_shape:
            if storage.dtype != np.uint8 or storage.ndim != 1 or storage.size < whole:
                raise ValueError(f"an array of {storage.dtype} with shape {storage.shape}; this layout is of {self.dtype} with "
                                 f"shape {self.storage_shape}, or {whole} bytes or more as uint8")
            if self.order == "rows":
                storage = np.ndarray(self.shape, self.dtype, np.ascontiguousarray(storage), 0, self.strides)
            else:
                storage = np.ascontiguousarray(storage)[:whole].view(self.dtype).reshape(self.storage_shape)
        return _RESTORE[self.order](self, storage)


class Arranged(np.ndarray):
    """An ndarray that GPUOptimizer laid out. `layout` and `storage` are None for whatever is derived from it."""

    layout: Optional[Layout]
    storage: Optional[np.ndarray]

    def __array_finalize__(self, obj: Any) -> None:
        self.layout = None
        self.storage = None

    def __reduce__(self) -> Any:  # a pickle is of the values: memory that is loaded again lies elsewhere
        return np.asarray(self).__reduce__()


class StructOfArrays:
    """One contiguous array a field, all in one block of memory; `planes["x"]`, `planes.x` where that is a name."""

    def __init__(self, shape: Tuple[int, ...], dtype: np.dtype, alignment: int) -> None:
        self.shape, self.dtype, self.alignment = shape, dtype, alignment
        self.offsets: Dict[str, int] = {}  # where each field's array begins, in bytes
        at = 0
        for name in dtype.names:
            self.offsets[name] = at
            at += _round_up(math.prod(shape) * dtype[name].itemsize, alignment)
        self.storage = _aligned_bytes(at, alignment)
        self._planes = {name: np.ndarray(shape, dtype[name], self.storage, start) for name, start in self.offsets.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._planes[name]

    def __getattr__(self, name: str) -> np.ndarray:
        planes = self.__dict__.get("_planes", {})
        if name in planes:
            return planes[name]
        raise AttributeError(f"no field {name!r}; there are {', '.join(planes)}")

    def __len__(self) -> int:
        return len(self._planes)

    def __iter__(self) -> Any:
        return iter(self._planes)

    @property
    def padding(self) -> int:
        """Bytes of `storage` that hold no element."""
        return self.storage.nbytes - sum(p.nbytes for p in self._planes.values())

    def restore(self) -> np.ndarray:
        """The array of structures. Bytes between its fields are zero."""
        records = np.zeros(self.shape, self.dtype)
        for name, plane in self._planes.items():
            records[name] = plane
        return records


class GPUOptimizer:
    """Lays arrays out for a GPU and back. `alignment` is that of every base address, in bytes."""

    def __init__(self, alignment: int = 128) -> None:
        self.alignment = _power_of_two(alignment)

    def optimize_matrix(self, data: Any, tile_size: int = 32) -> Arranged:
        """Tiles of tile_size x tile_size elements of the last two axes, each in one piece.

        Shape (..., rows of tiles, columns of tiles, tile_size, tile_size). Fewer than two axes: a matrix of one row.
        """
        data = _array(data)
        tile = _positive("tile_size", tile_size)
        matrix = data if data.ndim >= 2 else data.reshape(1, -1)
        *outer, rows, columns = matrix.shape
        down, across = -(-rows // tile), -(-columns // tile)
        layout = self._layout("tiles", data, tile, (*outer, down, across, tile, tile))
        out = self._empty(layout)
        tiles = np.asarray(out)
        full_r, full_c = rows // tile, columns // tile
        # Whole tiles in one go; then what the edges have.
        whole = matrix[..., :full_r * tile, :full_c * tile].reshape(*outer, full_r, tile, full_c, tile)
        tiles[..., :full_r, :full_c, :, :] = whole.swapaxes(-3, -2)
        rest_r, rest_c = rows - full_r * tile, columns - full_c * tile
        if rest_c:
            right = matrix[..., :full_r * tile, full_c * tile:].reshape(*outer, full_r, tile, rest_c)
            tiles[..., :full_r, full_c, :, :rest_c] = right
        if rest_r:
            below = matrix[..., full_r * tile:, :full_c * tile].reshape(*outer, rest_r, full_c, tile)
            tiles[..., full_r, :full_c, :rest_r, :] = below.swapaxes(-3, -2)
        if rest_r and rest_c:
            tiles[..., full_r, full_c, :rest_r, :rest_c] = matrix[..., full_r * tile:, full_c * tile:]
        return out

    def align(self, data: Any, alignment: int = 128) -> Arranged:
        """The same array; its first element and each row (of the last axis) begin at a multiple of `alignment` bytes."""
        data = _array(data)
        alignment = _power_of_two(alignment)
        strides = [0] * data.ndim
        step = data.itemsize
        for axis in reversed(range(data.ndim)):
            strides[axis] = step
            step *= data.shape[axis]
            if axis == data.ndim - 1:
                step = _round_up(step, alignment)
        layout = Layout("rows", data.shape, data.dtype, alignment, 0, data.shape, tuple(strides), _round_up(step, alignment))
        out = self._empty(layout)
        np.asarray(out)[...] = data
        return out

    def coalesce(self, data: Any, stride: int = 32) -> Arranged:
        """For `stride` lanes that each walk one row (of the first axis): element k of all rows of a group lies side by side.

        Shape (groups, ..., stride). One axis: cut into `stride` equal runs, a row each.
        """
        data = _array(data)
        lanes = _positive("stride", stride)
        if data.ndim >= 2:
            rows, *inner = data.shape
            groups = -(-rows // lanes)
            source = data
        else:
            run = -(-data.size // lanes)
            rows, inner, groups, source = (data.size // run if run else 0), [run], (1 if run else 0), data.reshape(-1)
        layout = self._layout("coalesced", data, lanes, (groups, *inner, lanes))
        out = self._empty(layout)
        storage = np.asarray(out)
        if data.ndim < 2:
            lost = source.size - rows * inner[0]  # of the last run, which need not be full
            if lost:
                storage[0, :lost, rows] = source[source.size - lost:]
            source = source[:rows * inner[0]].reshape(rows, inner[0])
        full = rows // lanes
        storage[:full] = np.moveaxis(source[:full * lanes].reshape(full, lanes, *inner), 1, -1)
        if rows > full * lanes:
            storage[full, ..., :rows - full * lanes] = np.moveaxis(source[full * lanes:], 0, -1)
        return out

    def morton(self, data: Any) -> Arranged:
        """Along a Z curve: the bits of the indices interleaved, the last axis lowest. One axis of elements.

        Axes are padded to powers of two, so up to 2 ** axes times the memory; `layout.padding` says how much.
        """
        data = _array(data)
        places = _morton_places(data.shape)
        slots = 0 if 0 in data.shape else 1 << sum(len(p) for p in places)
        layout = self._layout("morton", data, 0, (slots,))
        out = self._empty(layout)
        if data.size:
            np.asarray(out)[_morton_codes(layout)] = data
        return out

    def struct_of_arrays(self, records: Any) -> StructOfArrays:
        """One contiguous, aligned array for each field of a structured array."""
        records = _array(records)
        if records.dtype.names is None:
            raise TypeError(f"an array of {records.dtype}; taking structures apart needs a structured dtype, with fields")
        planes = StructOfArrays(records.shape, records.dtype, self.alignment)
        for name in planes:
            planes[name][...] = records[name]
        return planes

    def restore(self, arranged: Any) -> np.ndarray:
        """The inverse of every method here: the array as it was."""
        if isinstance(arranged, StructOfArrays):
            return arranged.restore()
        layout = getattr(arranged, "layout", None)
        if layout is None:
            raise ValueError("an array without a layout: it was not made by GPUOptimizer, or is derived from one that was; "
                             "keep the `layout` and use layout.restore(array)")
        return layout.restore(arranged)

    def _layout(self, order: str, data: np.ndarray, group: int, storage_shape: Tuple[int, ...]) -> Layout:
        nbytes = _round_up(math.prod(storage_shape) * data.itemsize, self.alignment)
        blank = Layout(order, data.shape, data.dtype, self.alignment, group, storage_shape, None, nbytes)
        return Layout(order, data.shape, data.dtype, self.alignment, group, storage_shape, _strides(blank), nbytes)

    @staticmethod
    def _empty(layout: Layout) -> Arranged:
        storage = _aligned_bytes(layout.nbytes, layout.alignment)
        strides = layout.strides if layout.order == "rows" else None
        out = np.ndarray(layout.storage_shape, layout.dtype, storage, 0, strides).view(Arranged)
        out.layout, out.storage = layout, storage
        return out


# --- Bytes ---

def _array(data: Any) -> np.ndarray:
    data = np.asarray(data)
    if data.dtype.hasobject:
        raise TypeError(f"an array of {data.dtype}: references cannot be laid out for a device; give it numbers")
    if data.itemsize == 0:
        raise TypeError(f"an array of {data.dtype}, whose elements have no bytes")
    return data


def _power_of_two(alignment: int) -> int:
    if int(alignment) != alignment or alignment < 1 or int(alignment) & (int(alignment) - 1):
        raise ValueError(f"alignment={alignment}; it is a power of two, in bytes")
    return int(alignment)


def _positive(name: str, value: int) -> int:
    if int(value) != value or value < 1:
        raise ValueError(f"{name}={value}; it is a whole number, 1 at least")
    return int(value)


def _round_up(n: int, to: int) -> int:
    return -(-n // to) * to


def _aligned_bytes(size: int, alignment: int) -> np.ndarray:
    """Zeros that begin at a multiple of alignment, also when there are none."""
    memory = np.zeros(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return np.ndarray(size, np.uint8, memory, start)  # a slice of nothing would begin elsewhere


# --- Offsets: a sum with one term an axis ---

def _term(layout: Layout, axis: int, i: Any) -> Any:
    """What index i (or an array of indices) of an axis adds to the offset, in elements; for "rows" in bytes."""
    if layout.order == "rows":
        return i * layout.strides[axis]
    if layout.order == "morton":
        return sum((i >> bit & 1) << place for bit, place in enumerate(_morton_places(layout.shape)[axis]))
    if layout.order == "tiles":
        *outer, down, across, tile, _ = layout.storage_shape
        if axis == len(layout.shape) - 1:
            return i // tile * tile * tile + i % tile
        if axis == len(layout.shape) - 2:
            return i // tile * across * tile * tile + i % tile * tile
        return i * math.prod(layout.storage_shape[axis + 1:])
    lanes = layout.storage_shape[-1]
    if len(layout.shape) < 2:
        run = layout.storage_shape[1]
        return i % run * lanes + i // run
    if axis == 0:
        return i // lanes * math.prod(layout.storage_shape[1:]) + i % lanes
    return i * math.prod(layout.storage_shape[axis + 1:])


def _strides(layout: Layout) -> Optional[Tuple[int, ...]]:
    """Strides that say where every element lies, if there are such."""
    strides = []
    for axis, n in enumerate(layout.shape):
        if 0 in layout.shape or n == 1:
            strides.append(0)
            continue
        i = np.arange(n)
        at = _term(layout, axis, i)
        if not np.array_equal(at, i * at[1]):
            return None
        strides.append(int(at[1]) * layout.dtype.itemsize)
    return tuple(strides)


def _morton_places(shape: Tuple[int, ...]) -> Tuple[Tuple[int, ...], ...]:
    """Where each bit of each axis stands in the code."""
    places = [[] for _ in shape]
    place = 0
    for bit in range(max((n.bit_length() for n in shape), default=0)):
        for axis in reversed(range(len(shape))):
            if (max(shape[axis], 1) - 1) >> bit:
                places[axis].append(place)
                place += 1
    return tuple(tuple(p) for p in places)


def _morton_codes(layout: Layout) -> np.ndarray:
    """The code of every element, in the array's shape."""
    codes = np.zeros(layout.shape, np.intp)
    for axis, n in enumerate(layout.shape):
        term = np.zeros(n, np.intp) + _term(layout, axis, np.arange(n))
        codes += term.reshape([-1 if a == axis else 1 for a in range(len(layout.shape))])
    return codes


# --- Back ---

def _restore_rows(layout: Layout, storage: np.ndarray) -> np.ndarray:
    return np.array(storage, order="C")


def _restore_tiles(layout: Layout, storage: np.ndarray) -> np.ndarray:
    *outer, down, across, tile, _ = layout.storage_shape
    rows, columns = (1, 1, *layout.shape)[-2:]
    whole = storage.swapaxes(-3, -2).reshape(*outer, down * tile, across * tile)
    return np.array(whole[..., :rows, :columns], order="C").reshape(layout.shape)


def _restore_coalesced(layout: Layout, storage: np.ndarray) -> np.ndarray:
    groups, *inner, lanes = layout.storage_shape
    rows = np.moveaxis(storage, -1, 1).reshape(groups * lanes, *inner)
    if len(layout.shape) < 2:
        return np.array(rows.reshape(-1)[:math.prod(layout.shape)]).reshape(layout.shape)
    return np.array(rows[:layout.shape[0]], order="C")


def _restore_morton(layout: Layout, storage: np.ndarray) -> np.ndarray:
    if 0 in layout.shape:
        return np.empty(layout.shape, layout.dtype)
    return storage[_morton_codes(layout).reshape(-1)].reshape(layout.shape)


_RESTORE = {"rows": _restore_rows, "tiles": _restore_tiles, "coalesced": _restore_coalesced, "morton": _restore_morton}
