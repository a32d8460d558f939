"""The joint output: likelihood and gradient, against a loop over notes."""

import joint_oracle
import numpy as np
import oracle
import pytest
from gradients import as_minibatch, assert_close, cost_and_gradients, make_masks
from joint_data import NEW, TUNES, T, names, tunes
from sizes import JOINT_D, JOINT_N, B, H

from lstmmusic import RNN4Music
from lstmmusic.engine import lowering

FORMS = [(JOINT_D, "up"), (JOINT_D, "down"), (0, "down")]
forms = pytest.mark.parametrize(("units", "order"), FORMS)


def rolls(seed=71):
    """Inputs and targets (B, T, N); among the targets no note, and all notes."""
    inputs, targets = np.random.default_rng(seed).random((2, B, T, JOINT_N)) < 0.3
    targets[0, 1], targets[1, 2] = False, True
    return inputs * 1.0, targets * 1.0


@pytest.mark.parametrize(("units", "order"), [(JOINT_D, "up"), (0, "down")])
def test_the_gradient_is_that_of_pytensor_grad(joint, units, order):
    # Of every array, with dropout and loss weights, in one block and in two. Fails if
    # a mask is left out on the way to A or back, if a note counts for those before it,
    # or if a loss weight does not reach one of the new arrays.  With units, downwards:
    # the test below.
    model = joint(units, order)
    rng = np.random.default_rng(73)
    loss_weight, masks = rng.uniform(0.1, 1, size=(T, B)), make_masks(rng, T, B)
    wanted = joint_oracle.autodiff(
        model.parameters(), rolls(), order, loss_weight, masks
    )
    assert sorted(wanted[1]) == sorted(names(units))
    for block in (T, 2) if units else (T,):
        given = as_minibatch(rolls(), loss_weight, block)
        found = cost_and_gradients(model, given, masks)
        assert_close(found, wanted, 1e-11)


def test_gradients_is_the_slope_of_the_cost(joint):
    # By differences, through nothing but what a user calls.
    model = joint(order="down")
    rng = np.random.default_rng(74)
    joint_oracle.assert_slopes(model, *rolls(), names(JOINT_D), rng)


@forms
def test_it_is_a_distribution_over_chords(joint, units, order):
    # Every chord of 8 notes as the last of a tune. Fails if P depends on what is not
    # drawn yet: the sum is then not 1.
    model = joint(units, order)
    [begun] = tunes(20)
    up = oracle.hidden(model.parameters(), begun)[-1]
    chords, exact = joint_oracle.exact(model.parameters(), up, order)
    ended = [np.vstack([begun, chord]) for chord in chords]
    of_begun, *of_ended = model.evaluate([begun, *ended], sizeOfBatch=1).nll_of_tunes
    nats = 20 * np.array(of_ended) - 19 * of_begun
    np.testing.assert_allclose(np.exp(-nats), exact, rtol=1e-9)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-10)
    assert exact.max() < 0.9


@forms
def test_evaluate_is_what_a_loop_finds(joint, units, order):
    # Fails if accuracy is not of the greedy chord, or padding counts.
    model = joint(units, order)
    rows = joint_oracle.evaluate(model.parameters(), TUNES, order)
    nats, hit, added, missed, steps = rows.sum(axis=0)
    assert min(hit, added, missed) > 10
    for size in (3, 1):
        found = model.evaluate(TUNES, sizeOfBatch=size)
        assert found.nll == pytest.approx(nats / steps, rel=1e-11)
        assert found.accuracy == hit / (hit + added + missed)
        of_tunes = rows[:, 0] / rows[:, 4]
        np.testing.assert_allclose(found.nll_of_tunes, of_tunes, rtol=1e-11)


def test_evaluate_does_not_depend_on_size_or_order(joint):
    model = joint()
    usual = model.evaluate(TUNES)
    for size, order in ((3, [3, 1, 0, 2]), (1, [0, 1, 2, 3])):
        found = model.evaluate([TUNES[n] for n in order], sizeOfBatch=size)
        assert found.nll == pytest.approx(usual.nll, rel=1e-12)
        np.testing.assert_allclose(found.nll_of_tunes, usual.nll_of_tunes[order], 1e-12)
        assert found.accuracy == usual.accuracy


@forms
def test_probabilities_are_given_the_tunes_own_notes(joint, units, order):
    model = joint(units, order)
    tune = TUNES[0]
    found = model.probabilities(tune)
    wanted = joint_oracle.probabilities(model.parameters(), tune, order)
    np.testing.assert_allclose(found[:-1], wanted, rtol=0, atol=1e-11)
    assert np.isnan(found[-1]).all()
    nats = -np.log(np.where(tune[1:], found[:-1], 1 - found[:-1])).sum()
    assert nats == pytest.approx(model.evaluate([tune], sizeOfBatch=1).nll * 39)


def wild(units, N):
    """A network, drawing downwards, whose weights are none of them near zero."""
    form = {"output": "joint", "jointUnits": units, "noteOrder": "down", "seed": 3}
    model = RNN4Music(*H, N, sigRand=0.6, dtype="float64", **form)
    rng = np.random.default_rng(75)
    first = {n: rng.normal(0, 0.6, a.shape) for n, a in model.parameters().items()}
    model.setParameters(first | {"Wky": np.tril(first["Wky"], -1)})
    return model


def test_one_unit():
    model = wild(1, 4)
    given = [roll[..., :4] for roll in rolls()]
    everywhere = [np.ones((T, B, cells)) for cells in H]
    loss_weight = np.full((T, B), 1 / B)
    wanted = joint_oracle.autodiff(
        model.parameters(), given, "down", loss_weight, everywhere
    )
    assert_close(model.gradients(*given), wanted, 1e-11)


def test_one_note():
    # There is none before it: it depends on U and A alone.
    model = wild(3, 1)
    tunes = [tune[:, :1] for tune in TUNES]
    rows = joint_oracle.evaluate(model.parameters(), tunes, "down")
    found = model.evaluate(tunes)
    np.testing.assert_allclose(found.nll_of_tunes, rows[:, 0] / rows[:, 4], rtol=1e-11)


def test_it_begins_as_the_independent_output():
    # Fails if an older weight is drawn otherwise, or if a new one acts before it has
    # learnt.
    form = {"seed": 5, "sigRand": 0.5, "dtype": "float64", "optimizer": "Adam"}
    plain = RNN4Music(*H, JOINT_N, **form)
    model = RNN4Music(*H, JOINT_N, **form, output="joint", jointUnits=JOINT_D)
    found = model.parameters()
    for name, value in plain.parameters().items():
        np.testing.assert_array_equal(found.pop(name), value)
    assert sorted(found) == sorted(NEW)
    found_nll, wanted = (m.evaluate(TUNES, sizeOfBatch=1).nll for m in (model, plain))
    assert found_nll == pytest.approx(wanted)
    zero = [name for name, value in found.items() if not value.any()]
    assert sorted(zero) == ["Wky", "Wuy", "ba"]
    for name in ("Wka", "Wha_2"):
        assert found[name].std() == pytest.approx(0.5, rel=0.5)


def test_kernels_change_nothing_beyond_rounding(joint, monkeypatch):
    # The whole network: gradients, likelihood, generation.
    def all_of(model):
        cost, gradients = model.gradients(*rolls())
        music = model.genMusic(TUNES[0], 40, seed=4, maxNotes=3)
        return [
            cost,
            model.evaluate(TUNES, sizeOfBatch=1).nll,
            *music,
            *gradients.values(),
        ]

    groups = [("products", "float64"), ("joint", "float64")]
    assert all(lowering.enabled(*group) for group in groups)
    model = joint(order="down")
    form = {"output": "joint", "jointUnits": JOINT_D, "noteOrder": "down"}
    plain = RNN4Music(*H, JOINT_N, dtype="float64", **form)
    plain.setParameters(model.parameters())
    found = [all_of(model)]
    for group in groups:
        monkeypatch.setitem(lowering._enabled, group, False)
    found.append(all_of(plain))
    for with_kernels, dense in zip(*found, strict=True):
        np.testing.assert_allclose(with_kernels, dense, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
@pytest.mark.long  # test_restruck.py compares them in CI
def test_numba_and_jax_agree(joint):
    models = [joint(order="down", mode=mode) for mode in ("JAX", "NUMBA")]
    found = [model.gradients(*rolls()) for model in models]
    assert_close(*found, 1e-11)
    nlls = [model.evaluate(TUNES).nll for model in models]
    assert nlls[0] == pytest.approx(nlls[1], rel=1e-12)
    music = [model.genMusic(TUNES[0], 40, seed=4) for model in models]
    np.testing.assert_array_equal(music[0][0], music[1][0])
    np.testing.assert_allclose(music[0][1], music[1][1], rtol=0, atol=1e-11)


def test_five_chords_are_learnt_by_the_joint_output_alone():
    # The best an independent output can do is each note's own frequency.
    chords = np.zeros((5, 8))
    for n, notes in enumerate(([0, 4], [1, 5], [2, 4, 7], [3], [0, 5, 6])):
        chords[n, notes] = 1
    tune = chords[np.random.default_rng(76).integers(5, size=(120, 25))]
    rates = dict.fromkeys(("R1", "R2", "R3"), 1e-4) | {"Rout": 0.1}
    form = {"output": "joint", "jointUnits": 8, "optimizer": "Adam", "seed": 1}
    model = RNN4Music(4, 4, 4, 8, **rates, **form)
    model.train(list(tune[:100]), 150, 1, 100, 25, rateDecay="cosine", progress=False)
    found = model.evaluate(list(tune[100:])).nll
    p = chords.mean(axis=0)
    own = -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum()
    print(found, np.log(5), own)
    assert found < np.log(5) + 0.1 < own - 1


HALF = np.full((6, JOINT_N), 0.5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda m: m.train([*TUNES, HALF], 1, 1, 2, 4), "tune 4 of the dataset"),
        (
            lambda m: m.train(TUNES, 1, 1, 2, 4, validation=[TUNES[0], HALF]),
            "tune 1 of validation",
        ),
        (lambda m: m.evaluate([HALF]), "tune 0 of the dataset"),
        (lambda m: m.probabilities(HALF), "tune"),
        (lambda m: m.gradients(HALF[None], HALF[None]), "targets"),
    ],
)
def test_targets_between_0_and_1_are_refused(compilations, call, name):
    model = RNN4Music(3, 2, 1, JOINT_N, output="joint", jointUnits=2)
    message = rf"^{name} holds 0\.5 at \(0, .*allowed with output='joint' are 0 and 1"
    with pytest.raises(ValueError, match=message):
        call(model)
    assert not compilations


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"cost": "squared-error"}, r"cost is 'squared-error'; allowed with output='j"),
        (
            {"output": "chords"},
            "output is 'chords'; allowed are 'independent', 'joint'",
        ),
        ({"jointUnits": -1}, "jointUnits is -1; allowed are whole numbers from 0"),
        ({"noteOrder": "random"}, "noteOrder is 'random'; allowed are 'up', 'down'"),
    ],
)
def test_bad_outputs_are_refused(form, message):
    with pytest.raises(ValueError, match=message):
        RNN4Music(3, 2, 1, 4, **({"output": "joint"} | form))
