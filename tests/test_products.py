"""The kernels, by NumPy; and that what they stand for and what runs are the same."""

import sys

import numpy as np
import pytest

from lstmmusic import RNN4Music, products
from lstmmusic.backend import Backend

jax = pytest.importorskip("jax")
kernels = pytest.importorskip("lstmmusic.kernels")

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
# Rows for one tile, for several, and left over; columns of less than a block, of blocks
# that are full, and of one that is not.
SIZES = [(1, 3, 5), (2, 1, 24), (4, 7, 31), (5, 120, 480), (9, 13, 96), (23, 6, 100)]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def call(name, shape, *arrays, in_place_of=None):
    run = jax.jit(lambda *a: products.call(name, shape, in_place_of, *a))
    return np.asarray(run(*arrays))


def normal(dtype, *shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def roll(dtype, *shape):
    found = np.random.default_rng(3).choice([0, 0, 0, 1, 0.5, -2], size=shape)
    return found.astype(dtype)


def in_blocks(W):
    K, Q = W.shape
    columns = kernels.columns_of_block(W.dtype)
    filled = np.pad(W, ((0, 0), (0, -Q % columns)))
    return filled.reshape(K, -1, columns).transpose(1, 0, 2).copy()


@pytest.mark.parametrize(("M", "K", "Q"), SIZES)
def test_a_matrix_is_laid_out_in_blocks_of_columns(dtype, M, K, Q):
    W = normal(dtype, K, Q)
    for name, wanted in (("blocks", in_blocks(W)), ("blocks_turned", in_blocks(W.T))):
        np.testing.assert_array_equal(call(name, wanted.shape, W), wanted, name)


@pytest.mark.parametrize(("M", "K", "Q"), SIZES)
def test_step_dot_is_the_product_of_rows_and_blocks(dtype, M, K, Q):
    rows, W = normal(dtype, M, K), normal(dtype, K, Q)
    W_laid = in_blocks(W)
    found = call("step_dot", (M, W_laid.shape[0] * W_laid.shape[2]), rows, W_laid)
    tolerance = TOLERANCE[dtype] * K
    np.testing.assert_allclose(found[:, :Q], rows @ W, rtol=0, atol=tolerance)
    assert not found[:, Q:].any()


@pytest.mark.parametrize("below", ["none", "kept", "given up"])
def test_roll_dot_adds_to_what_is_there(dtype, below):
    # "given up": XLA lets the kernel write where the argument is; "kept": it must not.
    T, B, N, Q = 5, 3, 7, 31
    x, W, b = roll(dtype, T, B, N), normal(dtype, N, Q), normal(dtype, Q)
    there = normal(dtype, T, B, Q)
    wanted = x @ W + b
    if below == "none":
        found = call("roll_dot", (T, B, Q), x, W, b)
    else:
        wanted = wanted + 2 * there

        def run(x, W, b, there):
            arguments = (x, W, b, 2 * there)
            a = products.call("roll_dot", (T, B, Q), 3, *arguments)
            return (a, arguments[3]) if below == "kept" else a

        found = jax.jit(run)(x, W, b, there)
        if below == "kept":
            found, kept = found
            np.testing.assert_array_equal(kept, 2 * there)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * TOLERANCE[dtype])


def test_roll_outer_contracts_over_steps_and_tunes(dtype):
    x, da = roll(dtype, 5, 3, 7), normal(dtype, 5, 3, 31)
    wanted = np.einsum("tbn,tbq->nq", x, da)
    found = call("roll_outer", (7, 31), x, da)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=30 * TOLERANCE[dtype])


def test_what_is_not_finite_does_not_go_lost():
    # A training that diverges ends by it; so it must not count as silence.
    x, W = np.zeros((2, 1, 3), np.float32), np.ones((3, 4), np.float32)
    x[1, 0, 2] = np.nan
    found = call("roll_dot", (2, 1, 4), x, W, np.zeros(4, np.float32))
    assert np.isnan(found[1]).all()
    assert not found[0].any()
    found = call("roll_outer", (3, 5), x, np.ones((2, 1, 5), np.float32))
    assert np.isnan(found[2]).all()
    assert not found[:2].any()


def gradients(minibatch, **form):
    model = RNN4Music(5, 4, 3, 6, mode="JAX", sigRand=0.6, muRand=0.7, seed=1, **form)
    return model.gradients(*minibatch)


@pytest.mark.parametrize("original", [False, True])
def test_the_kernels_change_nothing_beyond_rounding(monkeypatch, minibatch, original):
    form = {"originalForward": original}
    cost, wanted = gradients(minibatch, **form)
    monkeypatch.setattr(products, "usable", lambda: False)
    monkeypatch.setattr("lstmmusic.programs.read", lambda path: None)
    plain_cost, plain = gradients(minibatch, **form)
    assert cost == pytest.approx(plain_cost, rel=1e-6)
    for name, gradient in plain.items():
        np.testing.assert_allclose(wanted[name], gradient, rtol=1e-4, atol=1e-5)


def test_who_multiplies_how():
    assert products.usable()
    assert products.fastest(Backend("JAX")) is products.COMPILED
    assert products.fastest(Backend("JAX", "cuda")) is products.PLAIN
    assert products.fastest(Backend("NUMBA")) is products.PLAIN


def test_the_programs_of_a_network_call_the_kernels(monkeypatch, tmp_path, minibatch):
    # Fails if the fallback were taken in silence.
    path = tmp_path / "program"
    monkeypatch.setattr("lstmmusic.programs.file_of", lambda *_: path)
    gradients(minibatch)
    code = path.read_bytes()
    for kernel in products.KERNELS:
        assert f"lstmmusic.{kernel}.float".encode() in code, kernel


def test_without_kernels_there_is_a_warning_and_the_plain_products(monkeypatch):
    products.usable.cache_clear()
    monkeypatch.setattr(products, "call", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="slower than they could be: division by zero"):
        assert products.fastest(Backend("JAX")) is products.PLAIN
    products.usable.cache_clear()


def test_a_kept_program_whose_kernels_cannot_be_had_is_made_anew(monkeypatch):
    assert products.ready_for(b"no kernel")
    products.register.cache_clear()
    monkeypatch.setitem(sys.modules, "lstmmusic.kernels", None)  # as without Numba
    monkeypatch.delattr("lstmmusic.kernels")
    assert not products.ready_for(b"... lstmmusic.roll_dot.float32 ...")
    assert products.ready_for(b"no kernel")
