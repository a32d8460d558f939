"""The kernels, by NumPy; and that what they stand for and what runs are the same."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from lstmmusic import RNN4Music
from lstmmusic.engine import export
from lstmmusic.engine.backend import Backend
from lstmmusic.engine.kernels import lowering
from lstmmusic.model.network import State
from lstmmusic.model.parameters import pack

jax = pytest.importorskip("jax")
machinecode = pytest.importorskip("lstmmusic.engine.kernels.build")
host = pytest.importorskip("lstmmusic.engine.kernels.host")

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
# Rows for one tile, for several, and left over; columns of less than a block, of blocks
# that are full, and of one that is not.
SIZES = [(1, 3, 5), (2, 1, 24), (3, 5, 1), (4, 7, 31), (5, 120, 480), (8, 9, 64),
         (9, 13, 96), (23, 6, 100)]  # fmt: skip


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    assert lowering.usable(request.param)
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def call(name, shape, *arrays, in_place_of=None):
    run = jax.jit(lambda *a: lowering.call(name, shape, in_place_of, *a))
    return np.asarray(run(*arrays))


def normal(dtype, *shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def roll(dtype, *shape):
    found = np.random.default_rng(3).choice([0, 0, 0, 1, 0.5, -2], size=shape)
    return found.astype(dtype)


def in_blocks(W):
    K, Q = W.shape
    columns = host.columns_of_block(W.dtype)
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


@pytest.mark.parametrize("below", ["none", "elsewhere", "kept", "given up"])
def test_roll_dot_adds_to_what_is_there(dtype, below):
    # "given up": XLA lets the kernel write where the argument is; "kept": it must not.
    T, B, N, Q = 5, 3, 7, 31
    x, W, b = roll(dtype, T, B, N), normal(dtype, N, Q), normal(dtype, Q)
    there = normal(dtype, T, B, Q)

    def run(x, W, b, there):
        arguments = (x, W, b, 2 * there)[: 3 if below == "none" else 4]
        place = 3 if below in ("kept", "given up") else None
        a = lowering.call("roll_dot", (T, B, Q), place, *arguments)
        return a, arguments[3] if below == "kept" else 2 * there

    found, kept = jax.jit(run)(x, W, b, there)
    wanted = x @ W + b + (0 if below == "none" else 2 * there)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * TOLERANCE[dtype])
    np.testing.assert_array_equal(kept, 2 * there)


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


def test_threads_may_call_at_once(dtype):
    rows, W = normal(dtype, 23, 31), normal(dtype, 31, 100)
    W_laid = in_blocks(W)
    shape = (23, W_laid.shape[0] * W_laid.shape[2])
    run = jax.jit(lambda *a: lowering.call("step_dot", shape, None, *a))

    def work(_):
        with jax.enable_x64(dtype == "float64"):  # it is for one thread
            return np.asarray(run(rows, W_laid))

    wanted = work(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(200)):
            np.testing.assert_array_equal(found, wanted)


def test_blocks_for_another_dtype_are_refused(dtype):
    other = {"float32": "float64", "float64": "float32"}[dtype]
    W_laid = in_blocks(normal(other, 31, 100)).astype(dtype)
    with pytest.raises(
        ValueError, match=f"allowed are {host.columns_of_block(dtype)} of"
    ):
        call("step_dot", (5, 120), normal(dtype, 5, 31), W_laid)


@pytest.fixture
def gradients(monkeypatch, tmp_path, minibatch):
    """A function: the gradient by a program that is kept at a path, and not before."""

    def get(name, **form):
        path = tmp_path / name
        monkeypatch.setattr(export, "file_of", lambda *_: path)
        model = RNN4Music(5, 4, 3, 6, mode="JAX", sigRand=0.6, seed=1, **form)
        return path, *model.gradients(*minibatch)

    return get


@pytest.mark.parametrize("original", [False, True])
def test_the_kernels_change_nothing_beyond_rounding(monkeypatch, gradients, original):
    # Fails, too, if the plain products were taken in silence, or kept as if they were
    # what every process would make.
    with pytensor.config.change_flags(floatX="float64"):
        path, cost, found = gradients("with", originalForward=original)
        assert export.read(path).kernels == "float64"
        monkeypatch.setattr(lowering, "FAILED", {"float64"})
        path, plain_cost, plain = gradients("without", originalForward=original)
        assert not path.exists()
    assert cost == pytest.approx(plain_cost, rel=1e-13)
    for name, gradient in plain.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-11, atol=1e-12)


def test_where_kernels_are_of_no_use_the_function_is_made_again(monkeypatch, gradients):
    # Fails if XLA is left with calls of what it does not know, or may not call.
    def tried(dtype):
        lowering.FAILED.add(dtype)
        return False

    def made_of(graph, variables, make=export.made):
        made.append(make(graph, variables))
        return made[-1]

    made = []
    monkeypatch.setattr(export, "made", made_of)
    monkeypatch.setattr(lowering, "FAILED", set())
    monkeypatch.setattr(lowering, "tried", tried)
    path, cost, _ = gradients("program")
    assert np.isfinite(cost)
    assert [program.kernels for program in made] == ["float32", None]
    gradients("another")
    assert [program.kernels for program in made[2:]] == [None]
    assert export.read(path) is None  # it has kernels
    assert not path.with_name("another").exists()


def test_kernels_within_a_scan_are_seen(monkeypatch, tmp_path):
    # Fails if wide layers, which have none outside, generate by kernels nobody has
    # made known to XLA.
    monkeypatch.setattr("lstmmusic.engine.kernels.lowering.MOST_CELLS", 3)
    monkeypatch.setattr(export, "file_of", lambda *_: tmp_path / "program")
    model = RNN4Music(5, 4, 3, 6, mode="JAX", seed=1)
    model.genMusic(np.zeros((2, 3, 6)), 4, seed=1)
    assert export.read(tmp_path / "program").kernels == "float32"


def test_who_multiplies_how():
    fastest = lowering.fastest
    assert fastest(Backend("JAX"), "float32") is lowering.COMPILED
    assert fastest(Backend("JAX"), "float64") is lowering.COMPILED
    assert fastest(Backend("JAX"), "float32", wide=True) is lowering.WIDE
    assert fastest(Backend("JAX", "cuda"), "float32") is lowering.PLAIN
    assert fastest(Backend("NUMBA"), "float32") is lowering.PLAIN


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda *_: 1 / 0, "division by zero"),
        (lambda kernel, shape, *_: jax.numpy.ones(shape), r"3² \+ 3² is not"),
    ],
)
def test_without_kernels_there_is_a_warning(monkeypatch, broken, message):
    monkeypatch.setattr(lowering, "FAILED", set())
    monkeypatch.setattr(lowering, "call", broken)
    with pytest.warns(UserWarning, match=f"slower than they could be: {message}"):
        assert not lowering.tried.__wrapped__("float32")
    assert lowering.fastest(Backend("JAX"), "float32") is lowering.PLAIN
    assert lowering.fastest(Backend("JAX"), "float64") is lowering.COMPILED


def test_where_machine_code_cannot_be_made_there_is_a_warning(monkeypatch):
    monkeypatch.setattr(lowering, "FAILED", set())
    monkeypatch.setattr(machinecode, "begin", lambda dtype: 1 / 0)
    with pytest.warns(UserWarning, match="slower than they could be: division"):
        assert lowering.fastest(Backend("JAX"), "float32") is lowering.PLAIN
    assert lowering.fastest(Backend("JAX"), "float32") is lowering.PLAIN
    assert not lowering.usable("float32")


def test_weights_may_be_arrays(network):
    # As `RNN4Music.forwardPass` says of itself and of `backwardPass`.
    model = network()
    weights = pack(model.parameters())
    state = State(
        *(tuple(pt.zeros((2, H), dtype="float64") for H in (5, 4, 3)) for _ in range(2))
    )
    x = pt.as_tensor(np.ones((7, 2, 6)))
    flags = pytensor.config.change_flags(mode="JAX", floatX="float64")
    with flags, jax.enable_x64(True):  # whoever has used JAX before
        Y, trace = model.forwardPass(x, state, weights)
        found, _ = model.backwardPass(x, Y, state, trace, weights)
        assert Y.eval().shape == (7, 2, 6)
        assert found.layers[1].W_h.eval().shape == (4, 16)
