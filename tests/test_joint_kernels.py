"""The joint output's kernels, by a plain loop over rows and notes in NumPy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lstmmusic.engine import lowering

pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")

import jax

from lstmmusic.engine.kernels import lowering as kernels

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
# M, N, D: one of each; units less than a vector, and several vectors with some left
# over; vectors in blocks, and in blocks of which one is not full.
SIZES = [(1, 1, 1), (3, 7, 1), (6, 1, 3), (5, 8, 3), (4, 88, 41), (7, 30, 128),
         (3, 20, 200), (2, 5, 601)]  # fmt: skip
# How often a note sounds.
SILENT, FEW, ALL = 0, 0.1, 1


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    assert lowering.enabled("joint", request.param)
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def normal(dtype, *shape, scale=1.0):
    rng = np.random.default_rng(sum(shape))
    return (scale * rng.standard_normal(shape)).astype(dtype)


def arrays(dtype, M, N, D, sounding=FEW):
    """dz, A, k, U, V, such that z and its derivatives are near 1."""
    k = np.random.default_rng(7).random((M, N)) < sounding
    rows, scale = (normal(dtype, M, N, scale=0.3), normal(dtype, M, D)), D**-0.5
    weights = normal(dtype, N, D, scale=scale), normal(dtype, D, N).T
    return *rows, k.astype(dtype), *map(np.ascontiguousarray, weights)


def sigmoid(a):
    return 0.5 + 0.5 * np.tanh(0.5 * np.asarray(a, "float64"))


def by_loop(dz, A, k, U, V):
    """z, dA, dU and dV, in float64: the equations, note by note."""
    dz, A, k, U, V = (np.asarray(array, "float64") for array in (dz, A, k, U, V))
    (M, N), D = k.shape, A.shape[1]
    z, dA, dU, dV = np.zeros((M, N)), np.zeros((M, D)), 0 * U, 0 * V
    for row in range(M):
        a = A[row].copy()
        for n in range(N):
            u = sigmoid(a)
            z[row, n] = U[n] @ u
            da = dz[row, n] * U[n] * u * (1 - u)
            dA[row] += da
            dU[n] += dz[row, n] * u
            for m in range(n):
                dV[m] += k[row, m] * da
            a += k[row, n] * V[n]
    return z, dA, dU, dV


def draw_by_loop(Y, A, bound, U, V, L):
    """Chords and s, in float64: the equations, note by note."""
    chord, s = np.zeros(Y.shape), np.zeros(Y.shape)
    for row in range(len(Y)):
        for n in range(Y.shape[1]):
            a = A[row] + chord[row] @ V.astype("float64")
            s[row, n] = Y[row, n] + U[n] @ sigmoid(a) + L[n] @ chord[row]
            chord[row, n] = s[row, n] > bound[row, n]
    return chord, s


def derivatives(*given):
    z, found = jax.jit(kernels.joint_dot)(*given[1:]), jax.jit(kernels.joint_outer)
    return [np.asarray(array) for array in (z, *found(*given))]


def draw(Y, A, bound, U, V, L):
    given = Y, bound, L, *(() if A is None else (A, U, V))
    return [np.asarray(array) for array in jax.jit(kernels.joint_draw)(*given)]


def to_draw(dtype, M, N, D):
    """Y, A, bound, U, V, L, such that about one note of six sounds."""
    _, A, _, U, V = arrays(dtype, M, N, D)
    L = np.tril(normal(dtype, N, N, scale=0.3), -1)
    return normal(dtype, M, N), A, 1 + normal(dtype, N, M).T.copy() / 3, U, V, L


@pytest.mark.parametrize("sounding", [SILENT, FEW, ALL])
@pytest.mark.parametrize(("M", "N", "D"), SIZES)
def test_z_and_the_derivatives_are_those_of_the_equations(dtype, M, N, D, sounding):
    # Fails if the units change with a note instead of behind it, if a run of silent
    # notes goes lost at the end, or if what is padded behind D counts.
    given = arrays(dtype, M, N, D, sounding)
    for found, wanted in zip(derivatives(*given), by_loop(*given), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("M", "N", "D"), SIZES)
def test_notes_are_drawn_in_order(dtype, M, N, D):
    given = to_draw(dtype, M, N, D)
    chord, s = draw(*given)
    by_hand = draw_by_loop(*given)
    np.testing.assert_array_equal(chord, by_hand[0])
    np.testing.assert_allclose(s, by_hand[1], rtol=0, atol=TOLERANCE[dtype])
    assert chord.dtype == s.dtype == dtype
    assert 0 < chord.mean() < 0.5 or M * N < 30


def test_notes_are_drawn_without_units(dtype):
    Y, _, bound, _, _, L = to_draw(dtype, 9, 11, 1)
    chord, s = draw(Y, None, bound, None, None, L)
    nothing = np.zeros((9, 1)), bound, np.zeros((11, 1)), np.zeros((11, 1))
    by_hand = draw_by_loop(Y, *nothing, L)
    np.testing.assert_array_equal(chord, by_hand[0])
    np.testing.assert_allclose(s, by_hand[1], rtol=0, atol=TOLERANCE[dtype])


def test_an_infinite_bound_is_certainty(dtype):
    Y, A, bound, U, V, L = to_draw(dtype, 4, 9, 5)
    bound[:, ::2], bound[1], bound[2] = np.inf, -np.inf, np.inf
    chord, s = draw(Y, A, bound, U, V, L)
    assert not chord[:, ::2][[0, 2, 3]].any()
    assert chord[1].all()
    assert not chord[2].any()
    by_hand = draw_by_loop(Y, A, bound, U, V, L)
    np.testing.assert_array_equal(chord, by_hand[0])
    np.testing.assert_allclose(s, by_hand[1], rtol=0, atol=TOLERANCE[dtype])


def test_a_note_sounds_only_above_its_bound(dtype):
    Y = np.ones((1, 6), dtype)
    bound = np.nextafter(Y, np.array([0, 1, 2] * 2, dtype))
    chord, _ = draw(Y, None, bound, None, None, np.zeros((6, 6), dtype))
    np.testing.assert_array_equal(chord, [[1, 0, 0] * 2])


def test_what_is_not_a_number_draws_no_note(dtype):
    Y, A, bound, U, V, L = to_draw(dtype, 2, 9, 5)
    A[0, 3] = np.nan
    chord, s = draw(Y, A, bound - 9, U, V, L)
    assert np.isnan(s[0]).all()
    assert not chord[0].any()
    assert chord[1].all()


def test_units_are_sigmoids_of_any_number(dtype):
    # The worst error is measured, far out too; U of one unit makes z that unit.
    limits = [1e4, -1e4, np.inf, -np.inf, np.finfo(dtype).max, np.finfo(dtype).min]
    A = np.append(np.linspace(-120, 120, 100_001), limits).astype(dtype)[:, None]
    k, one = np.zeros((len(A), 1), dtype), np.ones((1, 1), dtype)
    (u, dA, *_), wanted = derivatives(0 * k + 1, A, k, one, one), sigmoid(A)
    bound = 2e-7 if dtype == "float32" else 5e-16
    np.testing.assert_allclose(u, wanted, rtol=0, atol=bound)
    np.testing.assert_allclose(dA, wanted * (1 - wanted), rtol=0, atol=bound)
    np.testing.assert_allclose(u[-6:, 0], [1, 0, 1, 0, 1, 0], rtol=0, atol=1e-30)


def test_what_is_not_finite_does_not_go_lost(dtype):
    # A training that diverges ends by it.
    dz, A, k, U, V = arrays(dtype, 3, 9, 5)
    A[1, 2] = np.nan
    z, dA, dU, _ = derivatives(dz, A, k, U, V)
    assert np.isnan(z[1]).all()
    assert np.isnan(dA[1, 2])
    assert np.isnan(dU[:, 2]).all()
    assert np.isfinite(z[[0, 2]]).all()
    assert np.isfinite(dU[:, :2]).all()


@pytest.mark.parametrize("D", [3, 41, 128])
def test_a_row_has_the_same_bits_among_others(dtype, D):
    # So a tune does not depend on how many are sampled at once.
    drawn, given = to_draw(dtype, 50, 30, D), arrays(dtype, 50, 30, D)
    Y, A, bound, *weights = drawn
    for row in (0, 31, 49):
        one = slice(row, row + 1)
        alone = draw(Y[one], A[one], bound[one], *weights)
        for among, found in zip(draw(*drawn), alone, strict=True):
            np.testing.assert_array_equal(among[one], found)
        alone = derivatives(*(array[one] for array in given[:3]), *given[3:])
        for among, found in zip(derivatives(*given)[:2], alone[:2], strict=True):
            np.testing.assert_array_equal(among[one], found)


def test_leading_axes_are_kept(dtype):
    M, N, D = 6, 7, 5
    dz, A, k, U, V = arrays(dtype, M, N, D, 0.3)
    flat = derivatives(dz, A, k, U, V)
    rows = [array.reshape(2, 3, -1) for array in (dz, A, k)]
    for found, wanted in zip(derivatives(*rows, U, V), flat, strict=True):
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
        assert found.ndim == 3 or found.shape == (N, D)
    Y, A, bound, *weights = to_draw(dtype, M, N, D)
    rows = [array.reshape(2, 3, -1) for array in (Y, A, bound)]
    pairs = zip(draw(*rows, *weights), draw(Y, A, bound, *weights), strict=True)
    for found, wanted in pairs:
        assert found.shape == (2, 3, N)
        np.testing.assert_array_equal(found.reshape(M, N), wanted)


def test_threads_may_call_at_once(dtype):
    sets = [arrays(dtype, M, 88, 41) for M in (40, 60)]
    drawn = [to_draw(dtype, M, 88, 41) for M in (40, 60)]

    def work(turn):
        with jax.enable_x64(dtype == "float64"):  # it is for one thread
            return [*derivatives(*sets[turn % 2]), *draw(*drawn[turn % 2])]

    wanted = work(0), work(1)
    with ThreadPoolExecutor(4) as pool:
        for turn, found in enumerate(pool.map(work, range(60))):
            for array, other in zip(found, wanted[turn % 2], strict=True):
                np.testing.assert_array_equal(array, other)
