"""Restruck columns: likelihood, gradient and evaluation, against loops over cells."""

import joint_oracle
import numpy as np
import oracle
import pytest
import restruck_oracle
from gradients import as_minibatch, assert_close, cost_and_gradients, make_masks
from joint_data import HALF, T, names
from joint_data import RESTRUCK_FORMS as FORMS
from joint_data import restruck_tune as tune
from sizes import JOINT_D, B, H
from sizes import JOINT_N as N

from lstmmusic import RNN4Music
from lstmmusic.engine import lowering

forms = pytest.mark.parametrize(("units", "order"), FORMS)


@pytest.fixture
def restruck(joint):
    """Return a function that returns a shared, fresh network with restruck columns."""
    return lambda *args, **form: joint(*args, restruck=True, **form)


def rolls(seed=91):
    """Inputs and targets (B, T, N): many cells are 1, also where it is impossible."""
    share = np.repeat([0.8, 0.5], HALF)
    x, k = (np.random.default_rng(seed).random((2, B, T, N)) < share) * 1.0
    k[0, 1], k[1, 2] = 0, 1
    may = np.array([restruck_oracle.possible(*rows) for rows in pairs(x, k)])
    again, marked = may[:, HALF:], k.reshape(-1, N)[:, HALF:] == 1
    cases = marked & again, ~marked & again, marked & ~again
    assert all(case.sum() >= 2 for case in cases)
    return x, k


def pairs(*given):
    return zip(*(a.reshape(-1, N) for a in given), strict=True)


TUNES = [tune(steps) for steps in (34, 2, 33, 5)]


@forms
def test_the_gradient_is_that_of_pytensor_grad(restruck, units, order):
    # Of every array, with dropout and loss weights, in one block and in two. Fails if
    # an impossible cell counts, or is told to the cells behind it, or if the second
    # block forgets the row before its first.
    model = restruck(units, order)
    rng = np.random.default_rng(93)
    loss_weight, masks = rng.uniform(0.1, 1, size=(T, B)), make_masks(rng, T, B)
    x, k = rolls()
    told, possible = restruck_oracle.cleared(x.reshape(-1, N), k.reshape(-1, N))
    given = (x, told.reshape(k.shape)), restruck_oracle.cells(N, order)
    values, possible = model.parameters(), possible.reshape(k.shape)
    wanted = joint_oracle.autodiff(values, *given, loss_weight, masks, possible)
    assert sorted(wanted[1]) == sorted(names(units))
    for block in (T, 2) if order == "down" else (T,):
        given = as_minibatch(rolls(), loss_weight, block)
        found = cost_and_gradients(model, given, masks)
        assert_close(found, wanted, 1e-11)


def test_gradients_is_the_slope_of_the_cost(restruck):
    # By differences, through nothing but what a user calls.
    model = restruck(order="down")
    rng = np.random.default_rng(94)
    joint_oracle.assert_slopes(model, *rolls(), names(JOINT_D), rng)


@pytest.mark.parametrize(("dtype", "order"), [("float32", "up"), ("float64", "down")])
def test_impossible_cells_have_no_gradient_at_all(restruck, dtype, order):
    # Note 1 never sounds before, notes 2 and 3 never after. Fails unless the zeros are
    # exact, also where s is as large as float32 takes and a target is 1.
    model = restruck(order=order, dtype=dtype)
    x, k = rolls()
    x[..., 1], k[..., [2, 3]], k[..., HALF:] = 0, 0, 1
    by = model.parameters()["by"]
    by[[HALF + 1, HALF + 2, HALF + 3]] = 3e38, -3e38, 1e30
    model.setParameters({"by": by})
    cost, gradients = model.gradients(x, k)
    assert 1 < cost < 100
    for name in ("by", "Why_1", "Why_2", "Why_3", "Wuy"):
        assert not gradients[name][HALF + 1 :].any(), name
        assert gradients[name][HALF].any(), name
    assert not gradients["Wka"][:, HALF + 1 :].any()  # V, transposed
    drawn = np.array(restruck_oracle.cells(N, order))
    assert not gradients["Wky"][:, drawn > HALF].any()  # L from these
    assert not gradients["Wky"][drawn > HALF].any()
    assert all(np.isfinite(a).all() for a in gradients.values())


@forms
def test_it_is_a_distribution_over_the_rows_that_are_possible(restruck, units, order):
    # Every possible row as the last of a tune: of 4 notes, 2 sound before. Fails if P
    # depends on what is not drawn yet, or on an impossible cell: the sum is then not 1.
    model = restruck(units, order)
    begun = tune(20)
    begun[-1, :HALF] = [1, 0, 1, 0]
    begun[-1, HALF:] = 0
    chords = restruck_oracle.chords(begun[-1])
    assert len(chords) == 2**2 * 3**2
    ended = [np.vstack([begun, chord]) for chord in chords]
    of_begun, *of_ended = model.evaluate([begun, *ended], sizeOfBatch=1).nll_of_tunes
    nats = 20 * np.array(of_ended) - 19 * of_begun
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-10)
    up = oracle.hidden(model.parameters(), begun)[-1]
    before = np.tile(begun[-1], (len(chords), 1))
    ups = [up] * len(chords)
    exact = restruck_oracle.nats_of(model.parameters(), ups, before, chords, order)
    np.testing.assert_allclose(nats, exact.sum(axis=1), rtol=1e-9)
    assert np.exp(-nats).max() < 0.9


@pytest.mark.parametrize("skip", [True, False])
@forms
def test_evaluate_is_what_a_loop_finds(restruck, units, order, skip):
    # Fails if the two likelihoods are mixed up, if restruck cells count for accuracy,
    # or if, without skipFirst, something sounds before the first row.
    model = restruck(units, order)
    struck = tune(7)
    struck[0] = 1  # impossible, if nothing comes before
    given = [*TUNES, struck]
    rows = restruck_oracle.evaluate(model.parameters(), given, order, skip)
    nats, sounding, hit, added, missed, steps = rows.sum(axis=0)
    assert min(hit, added, missed) >= 10
    for size in (3, 1) if units else (1,):
        found = model.evaluate(given, sizeOfBatch=size, skipFirst=skip)
        assert found.nll == pytest.approx(nats / steps, rel=1e-11)
        assert found.nll_sounding == pytest.approx(sounding / steps, rel=1e-11)
        assert found.accuracy == hit / (hit + added + missed)
        of_tunes = rows[:, :2] / rows[:, -1:]
        np.testing.assert_allclose(found.nll_of_tunes, of_tunes[:, 0], rtol=1e-11)
        of_sounding = found.nll_sounding_of_tunes
        np.testing.assert_allclose(of_sounding, of_tunes[:, 1], rtol=1e-11)
    part = f"nll {found.nll:.4f} nats per step ({found.nll_sounding:.4f} of them for"
    assert part in repr(found)
    assert found.nll_sounding < found.nll


def test_without_restruck_columns_there_is_one_likelihood(joint):
    found = joint().evaluate(TUNES, sizeOfBatch=1)
    assert found.nll_sounding is None
    assert found.nll_sounding_of_tunes is None
    assert "of them" not in repr(found)


@forms
def test_probabilities_are_given_the_tunes_own_rows(restruck, units, order):
    model = restruck(units, order)
    found = model.probabilities(TUNES[0])
    wanted = restruck_oracle.probabilities(model.parameters(), TUNES[0], order)
    np.testing.assert_allclose(found[:-1], wanted, rtol=0, atol=1e-11)
    assert np.isnan(found[-1]).all()
    assert not found[:-1][wanted == 0].any()
    k, y = TUNES[0][1:], found[:-1]
    nats = -np.log(np.where(k, y, 1 - y)).sum()
    assert nats == pytest.approx(model.evaluate(TUNES[:1], sizeOfBatch=1).nll * 33)


def test_kernels_change_nothing_beyond_rounding(restruck, monkeypatch):
    # The whole network: gradients, likelihood, generation.
    def all_of(model):
        cost, gradients = model.gradients(*rolls())
        found = model.evaluate(TUNES, sizeOfBatch=1)
        music = model.genMusic(TUNES[0], 40, seed=4, maxNotes=3)
        return [cost, found.nll, found.nll_sounding, *music, *gradients.values()]

    groups = [("products", "float64"), ("joint", "float64")]
    assert all(lowering.enabled(*group) for group in groups)
    model = restruck(order="down")
    form = {"output": "joint", "jointUnits": JOINT_D, "noteOrder": "down"}
    plain = RNN4Music(*H, N, dtype="float64", **form, restruck=True)
    plain.setParameters(model.parameters())
    found = [all_of(model)]
    for group in groups:
        monkeypatch.setitem(lowering._enabled, group, False)
    found.append(all_of(plain))
    for with_kernels, dense in zip(*found, strict=True):
        np.testing.assert_allclose(with_kernels, dense, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_numba_and_jax_agree(restruck):
    # The gradient has every Op of the passes; the test below is longer.
    models = [restruck(order="down", mode=mode) for mode in ("JAX", "NUMBA")]
    assert_close(*(model.gradients(*rolls()) for model in models), 1e-11)


@pytest.mark.slow
@pytest.mark.long
def test_numba_and_jax_agree_on_costs_and_music(restruck):
    models = [restruck(order="down", mode=mode) for mode in ("JAX", "NUMBA")]
    found = [model.evaluate(TUNES) for model in models]
    assert found[0].nll == pytest.approx(found[1].nll, rel=1e-12)
    assert found[0].nll_sounding == pytest.approx(found[1].nll_sounding, rel=1e-12)
    music = [model.genMusic(TUNES[0], 40, seed=4, maxNotes=2) for model in models]
    np.testing.assert_array_equal(music[0][0], music[1][0])
    np.testing.assert_allclose(music[0][1], music[1][1], rtol=0, atol=1e-11)


def test_what_is_struck_again_is_learnt():
    # Two notes: 0 always sounds, and is struck again where note 1 sounds, which is
    # random. Fails if the second half does not learn from the first.
    rng = np.random.default_rng(95)
    tunes = np.zeros((40, 17, 4))
    tunes[..., 0] = 1
    tunes[..., 1] = rng.random((40, 17)) < 0.5
    tunes[:, 1:, 2] = tunes[:, 1:, 1]
    rates = dict.fromkeys(("R1", "R2", "R3"), 1e-4) | {"Rout": 0.1}
    form = {"output": "joint", "jointUnits": 0, "restruck": True}
    model = RNN4Music(3, 2, 2, 4, **rates, **form, optimizer="Adam", seed=1)
    model.train(list(tunes[:30]), 150, 1, 30, 17, rateDecay="cosine", progress=False)
    found = model.evaluate(list(tunes[30:]))
    entropy = np.log(2)
    # Note 1, where it goes on, is never struck again: that is learnt, too.
    assert found.nll_sounding == pytest.approx(entropy, abs=0.05)
    assert found.nll - found.nll_sounding < 0.1


def strike(step, *notes, silent=()):
    """A tune of 9 steps, all notes sounding, but for a strike and silence."""
    roll = np.zeros((9, N))
    roll[:, :HALF] = 1
    for n in notes:
        roll[step, HALF + n] = 1
    for place in silent:
        roll[place] = 0
    return roll


WRONG = {
    "silent": strike(4, 2, silent=[(4, 2)]),
    "silent before": strike(4, 2, silent=[(3, 2)]),
    "silent at first": strike(0, 2, silent=[(0, 2)]),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda m, roll: m.train([*TUNES, roll], 1, 1, 2, 4), "tune 4 of the dataset"),
        (lambda m, roll: m.evaluate([roll]), "tune 0 of the dataset"),
        (lambda m, roll: m.probabilities(roll), "tune"),
    ],
)
def test_tunes_with_an_impossible_strike_are_refused(compilations, call, where, name):
    model = RNN4Music(3, 2, 1, N, output="joint", jointUnits=2, restruck=True)
    step = 0 if "first" in name else 4
    message = f"^{where} strikes note 2 again at step {step}; allowed are notes that"
    with pytest.raises(ValueError, match=message):
        call(model, WRONG[name])
    assert not compilations


def test_a_packed_tune_with_an_impossible_strike_is_refused(compilations):
    midi = pytest.importorskip("midi")
    model = RNN4Music(3, 2, 1, N, output="joint", jointUnits=2, restruck=True)
    packed = [midi.PackedRoll.of(roll) for roll in (TUNES[0], WRONG["silent"])]
    with pytest.raises(ValueError, match=r"^tune 1 of the dataset strikes note 2"):
        model.train(packed, 1, 1, 2, 4)
    assert not compilations


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            {"output": "independent"},
            r"output is 'independent'; allowed with restruck=T",
        ),
        ({"io_length": 5}, r"io_length is 5; allowed with restruck=True are even num"),
        ({"restruck": 1}, "restruck is 1; allowed are True and False"),
    ],
)
def test_bad_forms_are_refused(form, message):
    form = {"io_length": 4, "output": "joint", "restruck": True} | form
    with pytest.raises(ValueError, match=message):
        RNN4Music(3, 2, 1, **form)
