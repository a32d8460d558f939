"""Test a training: epochs, whole tunes, dropout, rates, validation."""

import math
from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from sizes import H, N

from lstmmusic.data import batches
from lstmmusic.model.network import tree_map
from lstmmusic.model.parameters import unpack
from lstmmusic.training.checkpoint import weights_of


def rolls(*lengths, seed=71):
    rng = np.random.default_rng(seed)
    return [rng.choice([0.0, 0.0, 1.0], size=(n, N)) for n in lengths]


# By twos: minibatches of one block and of two, the last with one tune.
TUNES = rolls(9, 40, 5, 33, 20)
OTHERS = [tune[:-1] for tune in TUNES]  # for a validation
UPDATES = 3  # of an epoch


def train(model, epochs, tunes=TUNES, per_minibatch=1, **arguments):
    arguments = {"progress": False} | arguments
    return model.train(tunes, per_minibatch, epochs, 2, None, **arguments)


@pytest.fixture
def adam(network):
    return network(optimizer="Adam")


@pytest.fixture
def seen(monkeypatch):
    """Return a function that gives lists of what each update of a model is given.

    With ``stub`` nothing is computed: an update does nothing, and costs 1.
    """

    def watch(model, stub=False):
        functions, lists = model._functions, SimpleNamespace()
        lists.minibatches, lists.masks, lists.settings = [], [], []
        lists.weights = []

        def watched_step(minibatch, masks, settings):
            lists.minibatches.append(minibatch)
            lists.masks.append(masks)
            lists.settings.append(settings)
            if stub:
                return 1.0
            lists.weights.append(model.parameters())
            parts = functions.partial_gradients(minibatch, masks)
            return functions.apply(parts, settings)

        monkeypatch.setattr(functions, "in_one_program", lambda minibatch: True)
        monkeypatch.setattr(functions, "step", watched_step)
        return lists

    return watch


def tunes_in(minibatch):
    """The numbers of the tunes of a minibatch, as in TUNES."""
    x, _, loss_weight = minibatch.arrays
    steps = np.count_nonzero(loss_weight, axis=0)
    rows = {tune[:-1].tobytes(): n for n, tune in enumerate(TUNES)}
    return [rows[x[:n, b].tobytes()] for b, n in enumerate(steps) if n]


# Whole tunes


@pytest.mark.parametrize("average", ["tune", "step"])
def test_a_padded_minibatch_is_its_tunes_taken_alone(adam, monkeypatch, average):
    # In unequal parts: fails if padding reaches the cost or a gradient, if the mean is
    # taken over the places in a minibatch in place of the tunes that are there, or over
    # padded steps.
    for name in ("LONGEST_BLOCK", "LONGEST_PART"):
        monkeypatch.setattr(batches, name, 32)  # to compile for no new length
    for lengths in ((8, 65), (33, 8), (65,)):
        tunes = rolls(*lengths, seed=72)
        minibatch = batches.whole_tunes(tunes, 2, average, np.float64)
        cost, packed = adam._functions.gradients(minibatch)
        packed = iter(packed)
        found = unpack(tree_map(lambda _, p=packed: next(p), adam._store.weights))
        # Each twice: so minibatches and tunes share programs.
        alone = [adam.gradients(2 * [t[:-1]], 2 * [t[1:]]) for t in tunes]
        parts = len(tunes) if average == "tune" else sum(lengths) - len(tunes)
        assert cost == pytest.approx(sum(cost for cost, _ in alone) / parts, rel=1e-12)
        for name, gradient in found.items():
            wanted = sum(gradients[name] for _, gradients in alone) / parts
            norm = np.linalg.norm(wanted)
            assert np.linalg.norm(gradient - wanted) <= 1e-12 * norm, name
            assert norm > 0


@pytest.mark.parametrize("average", ["tune", "step"])
def test_the_history_is_the_cost_of_the_tunes_of_each_minibatch(adam, seen, average):
    # By the loop, at the weights before the update.
    adam.setNewRates(1e-2, 1e-2, 1e-2, 1e-2)
    lists = seen(adam)
    history = train(adam, 1, average=average)
    updates = zip(lists.minibatches, lists.weights, history, strict=True)
    for minibatch, w, cost in updates:
        tunes = [TUNES[n] for n in tunes_in(minibatch)]
        nats = oracle.evaluate(w, tunes, skip_first=True)[:, [0, 4]].sum(axis=0)
        parts = len(tunes) if average == "tune" else nats[1]
        assert cost == pytest.approx(nats[0] / parts, rel=1e-12)


def test_an_epoch_is_one_pass_over_all_tunes(adam, seen):
    # 3 epochs of 3 minibatches with 2 updates each. Fails if a tune is missing from an
    # epoch, if a minibatch is drawn for each update, or if epochs are alike.
    lists = seen(adam, stub=True)
    assert train(adam, 3, per_minibatch=2) == [1.0] * 3 * UPDATES * 2
    taken = [tunes_in(minibatch) for minibatch in lists.minibatches]
    assert taken[0::2] == taken[1::2]
    epochs = [taken[start : start + 6 : 2] for start in (0, 6, 12)]
    for epoch in epochs:
        assert sorted(n for numbers in epoch for n in numbers) == [0, 1, 2, 3, 4]
        assert sorted(map(len, epoch)) == [1, 2, 2]
    assert len({str(epoch) for epoch in epochs}) == 3


def test_the_order_of_tunes_is_the_seeds(network, seen):
    orders = []
    for seed in (5, 5, 6):
        model = network(optimizer="Adam")
        model.rng = np.random.default_rng(seed)
        lists = seen(model, stub=True)
        train(model, 4)
        orders.append([tunes_in(minibatch) for minibatch in lists.minibatches])
    assert orders[0] == orders[1] != orders[2]


def test_a_small_network_learns_a_tune_by_heart(adam):
    # A scale up and down, with chords: from 2.9 nats per step to next to nothing.
    # Fails if a gradient or an update does not do its work.
    pitch = 3 - abs(np.arange(33) % 6 - 3)
    tune = np.zeros((33, N))
    tune[np.arange(33), pitch] = tune[::3, 5] = 1
    adam.setNewRates(0.03, 0.03, 0.03, 0.03)
    before = adam.evaluate([tune]).nll
    train(adam, 400, [tune, tune], rateDecay="cosine")
    after = adam.evaluate([tune])
    assert before > 2
    assert after.nll < 0.02
    assert after.accuracy == 1
    assert adam.loss == pytest.approx(32 * after.nll, rel=0.1)


def test_bytes_train_as_numbers_do(network, seen):
    # What the data sets' files hold, in a quarter of the memory.
    for length in (None, 30):
        found = []
        for dtype in (np.float64, np.uint8, bool):
            model = network(optimizer="Adam")
            lists = seen(model, stub=True)
            tunes = [tune.astype(dtype) for tune in TUNES]
            model.train(tunes, 1, 2, 2, length, progress=False)
            found.append([[a.tobytes() for a in m.arrays] for m in lists.minibatches])
        assert found[0] == found[1] == found[2]


# Dropout


def test_masks_drop_the_share_asked_for_and_make_up_for_it(adam, seen):
    # Fails if kept and dropped are taken for one another, if what is kept is not
    # raised, or if steps, tunes, layers or updates have the same masks.
    adam.dropout = 0.25
    lists = seen(adam, stub=True)
    train(adam, 8, rolls(65, 65))
    assert len(lists.masks) == 8
    every = [mask for masks in lists.masks for mask in masks]
    assert [mask.shape for mask in every[:3]] == [(64, 2, cells) for cells in H]
    for mask in every:
        assert mask.dtype == np.float64
        np.testing.assert_array_equal(np.unique(mask), [0, 1 / 0.75])
        assert (mask[0] != mask).any()
        assert (mask[:, 0] != mask[:, 1]).any()
    assert len({mask.tobytes() for mask in every}) == 24
    ones = np.concatenate([mask.ravel() for mask in every]) > 0
    assert ones.mean() == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / ones.size))


def test_fixed_masks_are_the_same_at_all_steps(adam, seen):
    # One row, taken for all steps; another for each tune, layer and update.
    adam.dropout, adam.fixedMasks = 0.5, True
    lists = seen(adam, stub=True)
    train(adam, 20, rolls(65, 65))
    every = [mask for masks in lists.masks for mask in masks]
    assert [mask.shape for mask in every[:3]] == [(1, 2, cells) for cells in H]
    firsts = [tuple(masks[0].ravel()) for masks in lists.masks]
    assert len(set(firsts)) > 15  # of 2¹⁰
    assert set(np.concatenate(firsts)) == {0, 2}


def test_the_cost_of_a_training_is_that_of_a_loop_with_its_masks(adam, seen):
    adam.dropout = 0.5
    lists = seen(adam)
    w = adam.parameters()
    (cost,) = train(adam, 1, [TUNES[1], TUNES[4]])
    (minibatch,), (masks,) = lists.minibatches, lists.masks
    x, targets, loss_weight = minibatch.arrays
    wanted = 0
    for b in range(2):
        steps = np.count_nonzero(loss_weight[:, b])
        at = [{n: masks[n - 1][t, b] for n in (1, 2, 3)} for t in range(steps)]
        y = oracle.sigma(np.array(oracle.outputs(w, x[:steps, b], masks=at)))
        wanted -= np.log(np.where(targets[:steps, b] == 1, y, 1 - y)).sum() / 2
    assert cost == pytest.approx(wanted, rel=1e-12)


def test_without_dropout_nothing_is_drawn_for_it(adam, seen):
    # Fails if a seed's minibatches would change from what they were before there was
    # dropout.
    adam.fixedMasks = True
    lists = seen(adam, stub=True)
    rng = np.random.default_rng(12)
    train(adam, 2)
    wanted = [n for _ in range(2) for n in batches.draw_order(rng, TUNES, 2)]
    assert [tunes_in(minibatch) for minibatch in lists.minibatches] == wanted
    assert lists.masks == [()] * 2 * UPDATES
    assert adam.rng.bit_generator.state == rng.bit_generator.state
    adam.train(TUNES, 1, 1, 2, 33, progress=False)
    rng.choice(5, size=2, replace=False)
    assert adam.rng.bit_generator.state == rng.bit_generator.state


# Rates


@pytest.mark.parametrize(("length", "per_epoch"), [(None, 2 * UPDATES), (33, 2)])
def test_rates_fall_as_half_a_cosine_wave(adam, seen, length, per_epoch):
    # Fails if it is taken over epochs, or begins below the full rate.
    rates = adam.R1, adam.R2, adam.R3, adam.Rout = 1.0, 2.0, 3.0, 4.0
    lists = seen(adam, stub=True)
    adam.train(TUNES, 2, 3, 2, length, rateDecay="cosine", progress=False)
    updates = 3 * per_epoch
    assert len(lists.settings) == updates
    for n, settings in enumerate(lists.settings):
        factor = (1 + math.cos(math.pi * n / updates)) / 2
        assert settings[:4] == pytest.approx([factor * rate for rate in rates])
        assert settings.gradClip == 30
    assert lists.settings[0][:4] == rates
    assert adam.rates == rates
    train(adam, 1)
    assert all(settings[:4] == rates for settings in lists.settings[updates:])


# Validation


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that makes validations of a model give certain numbers.

    It returns a list that grows by the weights at each.
    """

    def script(model, *numbers):
        weights, left = [], iter(numbers)

        def evaluate(tunes):
            weights.append(weights_of(model))
            return SimpleNamespace(nll=next(left))

        monkeypatch.setattr(model, "evaluate", evaluate)
        return weights

    return script


def test_both_curves_are_recorded(adam, monkeypatch):
    # After each epoch, at the weights of that time. Fails if the curves cannot be drawn
    # over one another, or if the best weights are put back while training goes on.
    adam.setNewRates(0.1, 0.1, 0.1, 0.1)
    tunes = rolls(12, 7, seed=73)
    weights, evaluate = [], adam.evaluate
    monkeypatch.setattr(
        adam,
        "evaluate",
        lambda tunes: weights.append(adam.parameters()) or evaluate(tunes),
    )
    history = train(adam, 3, validation=tunes)
    assert len(history) == 3 * UPDATES
    assert [n for n, _ in adam.validationCost] == [3, 6, 9]
    found = [nll for _, nll in adam.validationCost]
    assert {type(nll) for nll in found} == {float}
    for w, nll in zip(weights, found, strict=True):
        nats, *_, steps = oracle.evaluate(w, tunes, skip_first=True).sum(axis=0)
        assert nll == pytest.approx(nats / steps, rel=1e-12)
    assert len(set(found)) == 3
    assert evaluate(tunes).nll == min(found)


def test_the_best_weights_are_kept(adam, scripted, same):
    # Fails if the last ones are, or if an equal, a worse or no number counts as better.
    weights = scripted(adam, 5.0, 4.0, 4.5, 4.0, math.nan, math.inf)
    train(adam, 6, validation=OTHERS)
    same(weights_of(adam), weights[1])
    assert len(weights) == len(adam.validationCost) == 6
    assert (weights[1]["by"] != weights[3]["by"]).all()


def test_without_a_number_the_last_weights_stay(adam, scripted, same):
    weights = scripted(adam, math.nan, math.inf)
    train(adam, 2, validation=OTHERS)
    same(weights_of(adam), weights[1])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 10), (None, 12)])
def test_patience_counts_epochs_without_a_better_validation(
    adam, scripted, patience, epochs
):
    # Fails if it counts from the beginning, is not set back by a better one, or is one
    # too long or too short.
    scripted(adam, 5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 2.9, 3.0, 3.1, 3.2, 3.3, 1.0)
    history = train(adam, 12, validation=OTHERS, patience=patience)
    assert len(adam.validationCost) == epochs
    assert len(history) == epochs * UPDATES
