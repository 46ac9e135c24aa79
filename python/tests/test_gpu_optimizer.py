"""gpu_optimizer: what it says of each element is where the element lies, nothing is lost, and the way back is exact."""
import itertools
import math
import pickle
import random

import numpy as np
import pytest

from gpu_optimizer import GPUOptimizer, StructOfArrays

DTYPES = ["?", "u1", "i2", "<f4", ">f4", "f8", "c16", "M8[s]", "S3", "U2", "V5", [("kind", "u1"), ("place", "<f4", (3,))]]
SHAPES = [(), (0,), (1,), (5,), (32,), (33,), (100,), (0, 4), (4, 0), (1, 1), (1, 70), (70, 1), (32, 32), (33, 31), (5, 3),
          (64, 100), (2, 3, 5), (3, 0, 2), (2, 33, 17), (34, 2, 3), (2, 3, 4, 5), (1, 1, 1, 1, 3)]
METHODS = {
    "tiles": lambda opt, a: opt.optimize_matrix(a, tile_size=8),
    "tiles, default": lambda opt, a: opt.optimize_matrix(a),
    "tiles of 1": lambda opt, a: opt.optimize_matrix(a, tile_size=1),
    "align": lambda opt, a: opt.align(a, alignment=128),
    "align to 1": lambda opt, a: opt.align(a, alignment=1),
    "coalesce": lambda opt, a: opt.coalesce(a, stride=32),
    "coalesce by 3": lambda opt, a: opt.coalesce(a, stride=3),
    "morton": lambda opt, a: opt.morton(a),
}


def some(shape, dtype, seed=1):
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    raw = np.random.default_rng(seed).integers(1, 100, count * dtype.itemsize, dtype=np.uint8)
    if dtype.kind in "?":
        return (raw % 2 == 1).reshape(shape)
    if dtype.kind == "U":
        return np.array([chr(65 + int(b) % 26) for b in raw[:count]], dtype).reshape(shape)
    return np.frombuffer(raw.tobytes(), dtype, count).reshape(shape)


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def check(method, data):
    before = data.tobytes()
    out = METHODS[method](GPUOptimizer(), data)
    layout, item = out.layout, data.dtype.itemsize
    assert (layout.shape, layout.dtype, layout.storage_shape) == (data.shape, data.dtype, out.shape)
    base = out.storage.ctypes.data
    assert base % layout.alignment == 0 and out.storage.nbytes == layout.nbytes
    if out.size:
        assert out.__array_interface__["data"][0] == base

    # Each element is where offset says, no two overlap, and all other bytes are zero.
    free = np.ones(layout.nbytes, bool)
    indices = list(itertools.product(*(range(n) for n in data.shape)))
    for index in indices if len(indices) <= 200 else random.Random(1).sample(indices, 200):
        at = layout.offset(*index)
        assert out.storage[at:at + item].tobytes() == data[index + (...,)].tobytes()
        if layout.strides is not None:
            assert at == sum(i * s for i, s in zip(index, layout.strides))
    if len(indices) <= 200:
        for index in indices:
            at = layout.offset(*index)
            assert free[at:at + item].all()
            free[at:at + item] = False
        assert not out.storage[free].any()
        assert free.sum() == layout.padding
    assert np.count_nonzero(out.storage) == np.count_nonzero(np.frombuffer(before, np.uint8))

    opt = GPUOptimizer()
    assert same(opt.restore(out), data)
    assert same(layout.restore(np.array(out)), data)
    assert same(layout.restore(out.storage.copy()), data)
    assert data.tobytes() == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_round_trip_of_shapes(method, shape):
    check(method, some(shape, "<f4"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip_of_dtypes(method, dtype):
    for shape in [(), (7,), (9, 5), (2, 5, 3)]:
        check(method, some(shape, dtype))


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_not_contiguous(method):
    whole = some((40, 50), "<i4")
    for data in (whole.T, whole[::-1, ::-3], whole[3:, 7:12], np.asfortranarray(whole), np.broadcast_to(whole[0], (6, 50))):
        check(method, data)
    frozen = whole.copy()
    frozen.flags.writeable = False
    check(method, frozen)


@pytest.mark.parametrize("method", METHODS)
def test_random_shapes(method):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    r = random.Random(seed)
    for _ in range(30):
        shape = tuple(r.choice([0, 1, r.randrange(2, 12), r.randrange(2, 40)]) for _ in range(r.randrange(4)))
        check(method, some(shape, r.choice(["u1", "<f4", "f8", "V3"])))


def test_what_the_readme_shows():
    data = np.arange(1000 * 700, dtype=np.float32).reshape(1000, 700)
    opt = GPUOptimizer()
    tiles = opt.optimize_matrix(data, tile_size=32)
    assert tiles.shape == (32, 22, 32, 32)
    assert tiles[3, 2, 5, 7] == data[3 * 32 + 5, 2 * 32 + 7]
    aligned = opt.align(data, alignment=128)
    assert aligned.shape == data.shape and (aligned == data).all()
    assert aligned.strides == (2816, 4) == aligned.layout.strides
    assert all(aligned[i:].__array_interface__["data"][0] % 128 == 0 for i in range(1000))
    lanes = opt.coalesce(data, stride=32)
    assert lanes.shape == (32, 700, 32)
    assert lanes[2, 9, 5] == data[2 * 32 + 5, 9]
    assert opt.coalesce(np.arange(100), stride=32)[0, 3, 7] == 7 * 4 + 3


def test_z_curve():
    z = GPUOptimizer().morton(np.arange(16).reshape(4, 4))
    assert z.tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    five = GPUOptimizer().morton(np.ones((5, 3), np.uint8))
    assert five.shape == (32,) and five.sum() == 15  # 8 x 4


def test_strides_where_they_exist():
    opt = GPUOptimizer()
    data = some((20, 30), "<f4")
    assert opt.coalesce(data, stride=32).layout.strides == (4, 128)  # one group
    assert opt.optimize_matrix(data, tile_size=32).layout.strides == (128, 4)  # one tile
    assert opt.optimize_matrix(data, tile_size=8).layout.strides is None
    assert opt.morton(data).layout.strides is None
    aligned = opt.align(data)
    view = np.lib.stride_tricks.as_strided(aligned.storage.view("<f4"), data.shape, aligned.layout.strides)
    assert (view == data).all()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (100,), (7, 3)], ids=str)
def test_structures(shape):
    dtype = np.dtype([("kind", "u1"), ("weight", "<f8"), ("place", "<f4", (3,)),
                      ("tag", np.dtype([("a", "<i2"), ("b", "S5")]))], align=True)
    records = np.zeros(shape, dtype)
    for name in dtype.names:
        records[name] = some(records[name].shape, records[name].dtype, seed=len(name))
    planes = GPUOptimizer().struct_of_arrays(records)
    assert isinstance(planes, StructOfArrays) and list(planes) == list(dtype.names)
    for name in planes:
        assert planes[name].flags.c_contiguous and planes[name].tobytes() == records[name].tobytes()
        assert (planes.storage.ctypes.data + planes.offsets[name]) % 128 == 0
    assert planes.weight is planes["weight"]
    assert planes.padding == planes.storage.nbytes - records.size * (1 + 8 + 12 + 7)
    back = GPUOptimizer().restore(planes)
    assert back.dtype == dtype and all(back[n].tobytes() == records[n].tobytes() for n in dtype.names)
    with pytest.raises(AttributeError, match="no field 'height'; there are kind, weight"):
        planes.height


def test_what_is_derived_has_no_layout():
    data = some((40, 40), "<f4")
    opt = GPUOptimizer()
    tiles = opt.optimize_matrix(data)
    for derived in (tiles[0], tiles + 1, tiles.copy(), tiles.reshape(-1)):
        assert derived.layout is None and derived.storage is None
    tiles *= 2
    assert same(opt.restore(tiles), data * 2)
    assert (pickle.loads(pickle.dumps(tiles)) == tiles).all()
    with pytest.raises(ValueError, match="without a layout"):
        opt.restore(np.ones(3))
    with pytest.raises(ValueError, match="this layout is of float32 with shape"):
        tiles.layout.restore(np.ones(3))
    with pytest.raises(IndexError):
        tiles.layout.offset(40, 0)
    with pytest.raises(ValueError, match="1 indices for 2 axes"):
        tiles.layout.offset(0)


def test_what_cannot_be():
    opt = GPUOptimizer()
    data = np.ones((3, 3))
    for bad in (0, -4, 96, 1.5):
        with pytest.raises(ValueError, match="power of two"):
            opt.align(data, alignment=bad)
        with pytest.raises(ValueError, match="power of two"):
            GPUOptimizer(alignment=bad)
    for bad in (0, -1, 2.5):
        with pytest.raises(ValueError, match="tile_size="):
            opt.optimize_matrix(data, tile_size=bad)
        with pytest.raises(ValueError, match="stride="):
            opt.coalesce(data, stride=bad)
    for method in METHODS.values():
        with pytest.raises(TypeError, match="references cannot be laid out"):
            method(opt, np.array([object()]))
    with pytest.raises(TypeError, match="needs a structured dtype"):
        opt.struct_of_arrays(data)


def test_the_same_places_as_in_cpp():
    """The numbers of tests/layout/layout_test.cpp."""
    opt = GPUOptimizer()

    def offset(out, *index):
        return out.layout.offset(*index)

    assert offset(opt.align(np.zeros((3, 5, 7), "<f4")), 1, 2, 3) == (1 * 5 + 2) * 128 + 3 * 4
    tiles = opt.optimize_matrix(np.zeros((2, 100, 70), "<f4"))
    assert offset(tiles, 1, 40, 65) == ((1 * 12 + 1 * 3 + 2) * 1024 + 8 * 32 + 1) * 4
    assert tiles.layout.nbytes == 2 * 12 * 1024 * 4
    lanes = opt.coalesce(np.zeros((100, 6), "<f4"))
    assert offset(lanes, 40, 5) == ((1 * 6 + 5) * 32 + 8) * 4
    assert lanes.layout.nbytes == 4 * 6 * 32 * 4
    assert offset(opt.coalesce(np.zeros(100, "<f4")), 50) == (50 % 4 * 32 + 50 // 4) * 4
    z = GPUOptimizer(alignment=1).morton(np.zeros((5, 3), "u1"))
    assert [offset(z, *i) for i in ((0, 1), (1, 0), (3, 2), (4, 0))] == [1, 2, 0b1110, 16]
    assert (z.layout.nbytes, z.layout.padding) == (32, 17)
