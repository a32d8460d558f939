"""evaluate, against a loop over tunes, steps and notes, and against known figures."""

import math

import numpy as np
import oracle
import pytest
from sizes import N

from lstmmusic import RNN4Music, datasets

SIZES = (4, 1)  # of batches; the latter is each tune alone


def rolls(*lengths, seed=91):
    rng = np.random.default_rng(seed)
    return [rng.choice([0.0, 0.0, 1.0], size=(n, N)) for n in lengths]


# Over one chunk of 32 steps and two, just one chunk, and next to nothing; five tunes
# in batches of four.
TUNES = rolls(70, 2, 33, 3, 40)


@pytest.mark.parametrize("skip_first", [True, False])
def test_it_is_what_a_loop_finds(network, skip_first):
    # Fails if steps are counted by tune and not pooled, if padding counts, if the state
    # is lost between chunks, if the first step is (not) left out, or if a note is taken
    # for predicted where it is not.
    model = network()
    tunes = TUNES if skip_first else [*TUNES[:4], TUNES[4][:1]]
    rows = oracle.evaluate(model.parameters(), tunes, skip_first)
    nats, hit, added, missed, steps = rows.sum(axis=0)
    assert min(hit, added, missed) > 20
    for size in SIZES:
        found = model.evaluate(tunes, skipFirst=skip_first, sizeOfBatch=size)
        assert found.nll == pytest.approx(nats / steps, rel=1e-12)
        assert found.accuracy == hit / (hit + added + missed)
        assert found.steps == steps == sum(map(len, tunes)) - len(tunes) * skip_first
        of_tunes = rows[:, 0] / rows[:, 4]
        np.testing.assert_allclose(found.nll_of_tunes, of_tunes, rtol=1e-12)
        of_tunes = rows[:, 1] / rows[:, 1:4].sum(axis=1)
        np.testing.assert_array_equal(found.accuracy_of_tunes, of_tunes)
        np.testing.assert_array_equal(found.steps_of_tunes, rows[:, 4])
    assert (type(found.nll), type(found.accuracy)) == (float, float)
    assert abs(found.nll - found.nll_of_tunes.mean()) > 1e-5  # so pooling is seen


def test_neither_order_nor_size_nor_type_matters(network):
    # In float32, too; the tunes in bytes, as files have them.
    model = network(dtype="float32")
    usual = model.evaluate(TUNES, sizeOfBatch=4)
    order = [3, 0, 4, 2, 1]
    tunes = [TUNES[n].astype(np.uint8) for n in order]
    for size in SIZES:
        found = model.evaluate(tunes, sizeOfBatch=size)
        assert found.nll == pytest.approx(usual.nll, abs=1e-6)
        assert found.accuracy == usual.accuracy
        np.testing.assert_allclose(found.nll_of_tunes, usual.nll_of_tunes[order], 1e-6)
        np.testing.assert_array_equal(found.steps_of_tunes, usual.steps_of_tunes[order])
    assert "5 tunes, 143 steps: nll " in repr(found)


def test_a_chunk_has_the_form_that_takes_the_fewest_rows(network):
    # Fails if a long tune makes all columns wait for it, if few tunes are padded to the
    # size, or if short ones are padded to long chunks.
    chunks = network()._functions.chunks
    assert chunks([40] * 77, 32, 1) == (16, 32)
    assert chunks([1792] + [254] * 169, 32, 1) == (32, 16)
    assert chunks([320] * 3, 32, 1) == (32, 8)
    assert chunks([320] * 64, 32, 1) == (32, 32)
    assert chunks([320] * 32, 32, 2) == (32, 16)  # each of two threads takes half


def test_it_adds_up_in_float64_whatever_else_JAX_does(network):
    # Fails, with JAX's warning, if what it returns is added up by JAX itself: outside
    # the network's own precision, and compiled anew.
    jax = pytest.importorskip("jax")
    model = network()
    usual = model.evaluate(TUNES, sizeOfBatch=4)
    with jax.enable_x64(False):
        assert model.evaluate(TUNES, sizeOfBatch=4).nll == usual.nll
    rolls = np.zeros((2, 64, N), np.float32)
    functions = network(dtype="float32")._functions
    found = functions.counts([64], lambda number: rolls, 4)
    assert (type(found), found.dtype) == (np.ndarray, np.float64)


def test_it_changes_nothing(network, everything, same):
    model = network()
    before = everything(model)
    model.evaluate(TUNES, sizeOfBatch=4)
    same(before, everything(model))


def test_silence_foreseen_has_no_accuracy_and_no_cost(network):
    # 0/0 is NaN and no warning; the other tune still counts.
    model = network()
    first = model.parameters()
    model.setParameters(
        {name: np.zeros_like(a) for name, a in first.items()} | {"by": np.full(N, -1e3)}
    )
    found = model.evaluate([np.zeros((5, N)), np.ones((2, N))], sizeOfBatch=4)
    assert math.isnan(found.accuracy_of_tunes[0])
    assert found.accuracy_of_tunes[1] == found.accuracy == 0
    assert found.nll_of_tunes.tolist() == [0, 1e3 * N]
    assert found.nll == pytest.approx(1e3 * N / 5)


REAL = {"JSB Chorales": 11.06, "Nottingham": 10.25}


def test_independent_notes_score_what_is_published(shared):
    # N. Boulanger-Lewandowski et al. 2012: their "random" is no net at all, but the
    # frequency of each note.  Every step counts, so no first one is left out.
    path = shared("polyphonic")
    model = RNN4Music(3, 2, 1, 88, seed=1)
    weights = {name: np.zeros_like(a) for name, a in model.parameters().items()}
    for name, published in REAL.items():
        data = datasets.load_standard(name, path)
        train = np.concatenate(data.train)
        p = (train.sum(axis=0) + 1) / (len(train) + 2)  # no note is impossible
        model.setParameters(weights | {"by": np.log(p / (1 - p))})
        found = model.evaluate(data.test, skipFirst=False)
        print(name, found, model.evaluate(data.test).nll)
        assert found.steps == sum(map(len, data.test))
        assert round(found.nll, 2) == published
        assert found.accuracy == 0  # no note sounds more often than not


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": []}, "the dataset is empty"),
        ({"dataset": rolls(4, 1)}, "tune 1 of the dataset has 1 step; allowed are 2"),
        ({"dataset": [np.zeros((4, N + 1))]}, r"tune 0 .* has shape \(4, 7\)"),
        ({"dataset": [np.full((4, N), 2)]}, r"tune 0 .* holds 2.0 at \(0, 0\)"),
        ({"sizeOfBatch": 0}, "sizeOfBatch is 0; allowed are whole numbers from 1"),
        ({"sizeOfBatch": "4"}, "sizeOfBatch is '4'; allowed are whole numbers from"),
        ({"skipFirst": 1}, "skipFirst is 1; allowed are True and False"),
        (
            {"dataset": [np.zeros((0, N))], "skipFirst": False},
            r"tune 0 .* has shape \(0, 6\).* at least 1",
        ),
    ],
)
def test_bad_arguments_are_refused(network, compilations, arguments, message):
    with pytest.raises(ValueError, match=message):
        network().evaluate(**{"dataset": TUNES, **arguments})
    assert compilations == []
