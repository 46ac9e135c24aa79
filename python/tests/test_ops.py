"""gpuio.ops on the devices at hand, held to NumPy in float64; and what is refused."""

import ml_dtypes
import numpy as np
import pytest

from gpu_runtime import GPU
from gpuio import ErrorCode, ops


@pytest.fixture
def gpu(device):
    with GPU(device) as made:
        yield made


@pytest.fixture
def rows(seed):
    return np.random.default_rng(seed).normal(size=(3, 70)).astype("f4")


def test_softmax_and_norms(gpu, rows):
    x, wide = gpu.buffer(rows), rows.astype("f8")
    e = np.exp(wide - wide.max(-1, keepdims=True))
    np.testing.assert_allclose(ops.softmax(x).read(), e / e.sum(-1, keepdims=True), rtol=1e-5)
    normal = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    gain = np.linspace(1, 2, 70, dtype="f4")
    got = ops.layer_norm(x, gpu.buffer(gain), gpu.buffer(gain))
    np.testing.assert_allclose(got.read(), normal * gain + gain, atol=1e-5)
    rms = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)
    assert ops.rms_norm(x, out=x).buffer is x  # in place
    np.testing.assert_allclose(x.read(), rms, rtol=1e-5)


def test_reduce_and_scan(gpu, rows):
    x = gpu.buffer(rows)
    np.testing.assert_allclose(ops.reduce(x).read(), rows.astype("f8").sum(-1), atol=1e-4)
    assert (ops.reduce(x, "max").read() == rows.max(-1)).all()
    whole = np.arange(100_000, dtype="i8")
    got = ops.scan(gpu.buffer(whole), exclusive=True, stream=gpu.stream())
    assert (got.read() == np.cumsum(whole) - whole).all()


def test_top_k_and_rows(gpu, rows):
    values, indices = ops.top_k(gpu.buffer(rows), 5)
    want = np.argsort(-rows, -1, kind="stable")[:, :5]
    assert (indices.read() == want).all() and (values.read() == np.take_along_axis(rows, want, -1)).all()
    table = gpu.buffer(np.arange(24, dtype="u1").reshape(8, 3))
    which = gpu.buffer(np.array([7, 0, 9], "u4"))
    got = ops.gather_rows(table, which)
    assert got.read().tolist() == [[21, 22, 23], [0, 1, 2], [0, 0, 0]]
    assert ops.scatter_rows(got, which, table).read()[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype, error", [("i8", 0.00395), ("i4", 0.0715), ("f8e4m3", 0.0358), ("f8e5m2", 0.0715)])
@pytest.mark.parametrize("scale", ["row", "column", "group"])
def test_quantize_and_back(gpu, rows, dtype, error, scale):
    if gpu.backend == "vulkan" and scale != "row":
        pytest.skip("one kernel a type is compiled; the CPU has all")
    odd = rows[:, :67].copy()
    q, scales = ops.quantize(gpu.buffer(odd), dtype, scale)
    assert q.read().shape == odd.shape and q.dtype == dtype
    back = ops.dequantize(q, scales, scale)
    assert np.abs(back.read() - odd).max() <= error * np.abs(odd).max()
    by = scales.read()
    by = by[:, None] if scale == "row" else by[None] if scale == "column" else by.repeat(67, -1)
    assert (q.read().astype("f4") * by == back.read()).all()  # read() says what the bits mean


def test_histogram_and_random(gpu):
    data = np.random.default_rng(1).integers(0, 256, 10_001, np.uint8)
    assert (ops.histogram(gpu.buffer(data), 256).read() == np.bincount(data, minlength=256)).all()
    bits = ops.random(gpu.buffer(size=4, dtype="u4"), "bits", seed=0).read()
    assert [hex(b) for b in bits] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]  # Random123's own
    drawn = ops.random(gpu.buffer(size=10_000), "normal", seed=7).read()
    assert abs(drawn.mean()) < 0.06 and abs(drawn.std() - 1) < 0.06


def test_types_that_numpy_lacks(gpu):
    values = np.array([[1.0, -2.0, 0.5, 4.0]], "f4")
    raw = (values.view("u4") >> 16).astype("u2")  # exact in bf16
    x = ops.Tensor(gpu.buffer(raw), "bf16")
    assert (x.read() == values).all() and (np.asarray(x, "f8") == values).all()
    y = ops.softmax(x)
    assert y.dtype == "bf16" and y.buffer.dtype == np.uint16
    assert ops.softmax(x, dtype="f32").read().dtype == np.float32
    assert ops.Tensor(gpu.buffer(values.astype(ml_dtypes.bfloat16))).dtype == "bf16"


def bf16(values):
    """A Tensor's storage: rounded to nearest, even where it is half way."""
    bits = np.asarray(values, "f4").view("u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2")


def close(got, want, sums, k, u=2.0**-24):
    """The bound of gpuio_ops.h for products: (k + 3) 2^-24 of what |a| |b| sum to, and u of the result."""
    assert (np.abs(got.astype("f8") - want) <= (k + 3) * 2.0**-24 * sums + u * np.abs(want) + 1e-40).all()


def test_products(gpu, seed):
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(33, 70)).astype("f4"), draw.normal(size=(70, 41)).astype("f4")
    A, B = gpu.buffer(a), gpu.buffer(b)
    want, sums = a.astype("f8") @ b, np.abs(a).astype("f8") @ np.abs(b)
    close(ops.matmul(A, B).read(), want, sums, 70)
    out = ops.Tensor(gpu.buffer(size=33 * 41), "f32", (33, 41))
    bias = draw.normal(size=41).astype("f4")
    assert ops.matmul(A, gpu.buffer(b.T), out, b_transposed=True, bias=gpu.buffer(bias), stream=gpu.stream()) is out
    close(out.read(), want + bias, sums + np.abs(bias), 70)
    half = ops.matmul(gpu.buffer(a.astype("f2")), gpu.buffer(b.astype("f2")), dtype="f16")
    assert half.dtype == "f16"
    close(half.read(), a.astype("f2").astype("f8") @ b.astype("f2").astype("f8"), 1.01 * sums, 70, 2.0**-11)
    x, y = ops.Tensor(gpu.buffer(bf16(a)), "bf16"), ops.Tensor(gpu.buffer(bf16(b)), "bf16")
    close(ops.matmul(x, y).read(), x.read().astype("f8") @ y.read(), 1.02 * sums, 70)


def test_products_of_few_bits(gpu, seed):
    draw = np.random.default_rng(seed)
    x, w = draw.normal(size=(5, 150)).astype("f4"), draw.normal(size=(9, 150)).astype("f4")
    X, W = gpu.buffer(x), gpu.buffer(w)
    for dtype in ("i8", "f8e4m3"):
        (qx, sx), (qw, sw) = ops.quantize(X, dtype), ops.quantize(W, dtype)
        got = ops.matmul(qx, qw, b_transposed=True, scale_a=sx, scale_b=sw).read()
        wide = qx.read().astype("f8") * sx.read()[:, None], qw.read().astype("f8") * sw.read()[:, None]
        close(got, wide[0] @ wide[1].T, np.abs(wide[0]) @ np.abs(wide[1]).T, 150)
    whole = ops.matmul(gpu.buffer(draw.integers(-128, 128, (3, 70), "i1")), gpu.buffer(np.full((2, 70), -128, "i1")),
                       b_transposed=True, dtype="i32")  # fmt: skip
    assert whole.read().dtype == np.int32
    q4, s4 = ops.quantize(W, "i4", "group")
    half = gpu.buffer(x.astype("f2"))
    got = ops.matmul(half, q4, b_transposed=True, scale_b=s4).read()
    wide = half.read().astype("f8"), q4.read() * s4.read().astype("f8").repeat(128, -1)[:, :150]
    close(got, wide[0] @ wide[1].T, np.abs(wide[0]) @ np.abs(wide[1]).T, 150)


def test_batches_projections_and_tuning(gpu, seed):
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(3, 7, 20)).astype("f4"), draw.normal(size=(3, 20, 6)).astype("f4")
    A, B = gpu.buffer(a), gpu.buffer(b)
    close(ops.matmul(A, B).read(), a.astype("f8") @ b, np.abs(a).astype("f8") @ np.abs(b), 20)
    one = gpu.buffer(b[0])  # of two dimensions, for all
    close(ops.matmul(A, one).read(), a.astype("f8") @ b[0], np.abs(a).astype("f8") @ np.abs(b[0]), 20)
    x, w = draw.normal(size=(4, 20)).astype("f4"), [draw.normal(size=(n, 20)).astype("f4") for n in (12, 4, 6)]
    got = ops.qkv(gpu.buffer(x), *map(gpu.buffer, w))
    for made, weights in zip(got, w):
        close(made.read(), x.astype("f8") @ weights.T, np.abs(x).astype("f8") @ np.abs(weights.T), 20)
    name = ops.tune_matmul(gpu.buffer(x), gpu.buffer(w[0]), b_transposed=True, budget=0.05)
    assert name and name == name.strip()


def attended(q, k, v, allowed, scale=None):
    """In f64; queries of a group of heads share one of k. `allowed`: batch x heads x tq x tk. And the log of the sums."""
    wide, group = q.astype("f8"), q.shape[1] // k.shape[1]
    k, v = (t.astype("f8").repeat(group, 1) for t in (k, v))
    logits = wide @ k.swapaxes(-1, -2) * (scale or 1 / np.sqrt(q.shape[-1]))
    e = np.where(allowed, np.exp(logits - logits.max()), 0)
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, e @ v / total, 0), np.log(total[..., 0]) + logits.max()


@pytest.mark.parametrize("dtype, error", [("f4", 1e-5), ("f2", 2e-3)])
def test_attention(gpu, seed, dtype, error):
    draw = np.random.default_rng(seed)
    q, k, v = (draw.normal(size=(2, heads, t, 24)).astype(dtype) for heads, t in ((4, 5), (2, 19), (2, 19)))
    Q, K, V = map(gpu.buffer, (q, k, v))
    whole = np.ones((2, 4, 5, 19), bool)
    np.testing.assert_allclose(ops.attention(Q, K, V).read(), attended(q, k, v, whole)[0], atol=error)
    causal = np.tril(whole, 19 - 5)
    log_sum = gpu.buffer(size=(2, 4, 5))
    got = ops.attention(Q, K, V, causal=True, scale=0.3, log_sum=log_sum, stream=gpu.stream())
    want, sums = attended(q, k, v, causal, 0.3)
    np.testing.assert_allclose(got.read(), want, atol=error)
    np.testing.assert_allclose(log_sum.read(), sums, atol=1e-4)
    lengths = gpu.buffer(np.array([7, 0], "u4"))
    short = whole & (np.arange(19) < np.array([7, 0])[:, None, None, None])
    out = ops.attention(Q, K, V, lengths=lengths).read()
    np.testing.assert_allclose(out, attended(q, k, v, short)[0], atol=error)
    assert not out[1].any()  # a query that sees no key gives 0


def test_attention_of_listed_keys(gpu, seed):
    draw = np.random.default_rng(seed)
    q, k, v = (draw.normal(size=(1, heads, t, 16)).astype("f4") for heads, t in ((2, 3), (1, 30), (1, 30)))
    listed = np.stack([draw.permutation(30)[:6] for _ in range(3)]).astype("u4")
    listed[2, 4:] = 0xFFFFFFFF  # none
    allowed = np.zeros((1, 2, 3, 30), bool)
    for query, keys in enumerate(listed):
        allowed[..., query, keys[keys < 30]] = True
    got = ops.attention(*map(gpu.buffer, (q, k, v)), indices=gpu.buffer(listed.reshape(1, 1, 3, 6)))
    np.testing.assert_allclose(got.read(), attended(q, k, v, allowed)[0], atol=1e-5)


def test_what_is_refused(gpu, refused):
    x = gpu.buffer(np.zeros((2, 3), "f4"))
    with refused(ErrorCode.INVALID_ARG, "a ndarray", "give a Buffer of gpu_runtime"):
        ops.softmax(np.zeros(3))
    with refused(ErrorCode.INVALID_ARG, "op = 'sum'", "add, min, max, mul"):
        ops.reduce(x, "sum")
    with refused(ErrorCode.INVALID_ARG, "out: f32 3: it needs 2 x 3, as x"):
        ops.softmax(x, gpu.buffer(size=3))
    with refused(ErrorCode.INVALID_ARG, "out: f32 3 x 1: it needs 2 x 2, what a and b give"):
        ops.matmul(x, x, gpu.buffer(size=(3, 1)), b_transposed=True)
    with refused(ErrorCode.INVALID_ARG, "a is <Tensor 2 x 3 f32>, b <Tensor 3 f32>: give both two dimensions"):
        ops.matmul(x, gpu.buffer(size=3))
    with refused(ErrorCode.INVALID_ARG, "b: f32 2 x 3: its rows are to be the 3 columns of a"):
        ops.matmul(x, x)
    with refused(ErrorCode.INVALID_ARG, "dtype = 'f64': give one of f32, f16"):
        ops.matmul(x, x, dtype="f64")
    with refused(ErrorCode.INVALID_ARG, "scale = 0: give a number"):
        ops.attention(x, x, x, scale=0)
    with refused(ErrorCode.INVALID_ARG, "q: f32 2 x 3: it needs 4 dimensions"):
        ops.attention(x, x, x)
    with refused(ErrorCode.INVALID_ARG, "budget = 0: give seconds"):
        ops.tune_matmul(x, x, b_transposed=True, budget=0)
    with refused(ErrorCode.INVALID_ARG, "give two dimensions"):
        ops.qkv(x, x, x, gpu.buffer(size=3))
    with refused(ErrorCode.INVALID_ARG, "bins = 0: give a number of counters"):
        ops.histogram(gpu.buffer(b"abc"), 0)
    with refused(ErrorCode.INVALID_ARG, "seed = -1: give an integer of 64 bits"):
        ops.random(x, seed=-1)
    with refused(ErrorCode.INVALID_ARG, "k = 4: at most 4096, and 3"):
        ops.top_k(x, 4)
    with refused(ErrorCode.UNSUPPORTED, "x: i32 2 x 3: not of this type; built are f32, f16, bf16"):
        ops.softmax(gpu.buffer(np.zeros((2, 3), "i4")))
    with refused(ErrorCode.INVALID_ARG, "<Tensor 4 x 3 f32> has 48 bytes, its buffer 24"):
        ops.Tensor(x, "f32", (4, 3))
    with refused(ErrorCode.INVALID_ARG, "a buffer of float64", "name its elements"):
        ops.softmax(gpu.buffer(np.zeros(3)))
    with refused(ErrorCode.INVALID_ARG, "out belongs to"), GPU("cpu") as other:
        ops.softmax(x, other.buffer(size=(2, 3)))
    x.free()
    with refused(ErrorCode.INVALID_ARG, "was freed"):
        ops.softmax(x)
