"""The kernels' numbers, by NumPy: in JAX, and from threads at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lstmmusic.engine import lowering
from lstmmusic.model import ops

pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")

import jax

from lstmmusic.engine.kernels import host
from lstmmusic.engine.kernels import lowering as kernels

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
# Rows for one tile, for several, and left over; columns of less than a block, of blocks
# that are full, and of one that is not.
SIZES = [(1, 3, 5), (2, 1, 24), (3, 5, 1), (4, 7, 31), (5, 120, 480), (8, 9, 64),
         (9, 13, 96), (23, 6, 100)]  # fmt: skip


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    assert lowering.enabled("products", request.param)
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def in_jax(op, *arrays):
    return np.asarray(jax.jit(lambda *a: kernels.in_jax(op, *a))(*arrays))


def normal(dtype, *shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def roll(dtype, *shape):
    found = np.random.default_rng(3).choice([0, 0, 0, 1, 0.5, -2], size=shape)
    return found.astype(dtype)


def in_blocks(W):
    """W (K, Q) as the kernels pack it: (blocks K, columns)."""
    K, Q = W.shape
    columns = host.columns_of_block(W.dtype)
    filled = np.pad(W, ((0, 0), (0, -Q % columns)))
    return filled.reshape(K, -1, columns).transpose(1, 0, 2).reshape(-1, columns).copy()


@pytest.mark.parametrize(("M", "K", "Q"), SIZES)
def test_a_matrix_is_packed_in_blocks_of_columns(dtype, M, K, Q):
    W = normal(dtype, K, Q)
    for op, wanted in ((ops.pack, in_blocks(W)), (ops.pack_transposed, in_blocks(W.T))):
        np.testing.assert_array_equal(in_jax(op, W), wanted, str(op))


@pytest.mark.parametrize(("M", "K", "Q"), SIZES)
def test_packed_dot_adds_the_product_of_rows(dtype, M, K, Q):
    rows, W, packed = normal(dtype, M, K), normal(dtype, K, Q), in_blocks
    tolerance = TOLERANCE[dtype] * K
    for a in (normal(dtype, M, Q), normal(dtype, Q)):
        found = in_jax(ops.packed_dot, a, rows, packed(W))
        np.testing.assert_allclose(found, a + rows @ W, rtol=0, atol=tolerance)


@pytest.mark.parametrize("below", ["none", "elsewhere", "kept", "given up"])
def test_roll_dot_adds_to_what_is_there(dtype, below):
    # "given up": XLA lets the kernel write where the argument is; "kept": it must not.
    T, B, N, Q = 5, 3, 7, 31
    x, W, b = roll(dtype, T, B, N), normal(dtype, N, Q), normal(dtype, Q)
    there = normal(dtype, T, B, Q)

    def run(x, W, b, there):
        if below == "elsewhere":
            return kernels.in_jax(ops.roll_dot, x, W, b, there), 2 * there
        arguments = (x, W, b, 2 * there)[: 3 if below == "none" else 4]
        a = kernels.in_jax(ops.roll_dot, *arguments)
        return a, arguments[3] if below == "kept" else 2 * there

    found, kept = jax.jit(run)(x, W, b, there)
    added = {"none": 0, "elsewhere": there}.get(below, 2 * there)
    wanted = x @ W + b + added
    np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * TOLERANCE[dtype])
    np.testing.assert_array_equal(kept, 2 * there)


def test_roll_outer_contracts_over_steps_and_tunes(dtype):
    x, da = roll(dtype, 5, 3, 7), normal(dtype, 5, 3, 31)
    wanted = np.einsum("tbn,tbq->nq", x, da)
    found = in_jax(ops.roll_outer, x, da)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=30 * TOLERANCE[dtype])


def test_what_is_not_finite_does_not_go_lost():
    # A training that diverges ends by it; so it must not count as silence.
    assert lowering.enabled("products", "float32")
    x, W = np.zeros((2, 1, 3), np.float32), np.ones((3, 4), np.float32)
    x[1, 0, 2] = np.nan
    found = in_jax(ops.roll_dot, x, W, np.zeros(4, np.float32))
    assert np.isnan(found[1]).all()
    assert not found[0].any()
    found = in_jax(ops.roll_outer, x, np.ones((2, 1, 5), np.float32))
    assert np.isnan(found[2]).all()
    assert not found[:2].any()


def test_threads_may_call_at_once(dtype):
    a, rows, W = normal(dtype, 100), normal(dtype, 23, 31), normal(dtype, 31, 100)
    packed = in_blocks(W)
    run = jax.jit(lambda *arrays: kernels.in_jax(ops.packed_dot, *arrays))

    def work(_):
        with jax.enable_x64(dtype == "float64"):  # it is for one thread
            return np.asarray(run(a, rows, packed))

    wanted = work(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(200)):
            np.testing.assert_array_equal(found, wanted)


def test_a_matrix_of_a_wide_layer_stays_as_it_is(monkeypatch, dtype):
    # And is multiplied as such, though `packed_dot` does not ask how large it was.
    monkeypatch.setattr(kernels, "LARGEST", 50)
    rows, W = normal(dtype, 4, 7), normal(dtype, 7, 9)
    np.testing.assert_array_equal(in_jax(ops.pack, W), W)
    np.testing.assert_array_equal(in_jax(ops.pack_transposed, W), W.T)
    found = in_jax(ops.packed_dot, W[0], rows, W)
    tolerance = 10 * TOLERANCE[dtype]
    np.testing.assert_allclose(found, W[0] + rows @ W, rtol=0, atol=tolerance)
    assert in_jax(ops.pack, W[:5]).shape != W[:5].shape
