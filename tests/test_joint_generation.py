"""genMusic with the joint output and with notes that are given, against loops."""

import joint_oracle
import numpy as np
import oracle
import pytest
from generated import STUCK, assert_generated, uniform
from sizes import JOINT_D
from sizes import JOINT_N as N

from lstmmusic import RNN4Music

pytestmark = pytest.mark.filterwarnings(STUCK)
PRIMER = (np.random.default_rng(31).random((5, N)) < 0.4) * 1.0
FREE = np.nan
FORMS = [(JOINT_D, "up"), (JOINT_D, "down"), (0, "down")]


def given_notes(steps, seed=32):
    """A third of the notes is given: sounding or silent."""
    rng = np.random.default_rng(seed)
    return rng.choice([FREE, FREE, FREE, FREE, 0, 1], size=(steps, N))


@pytest.mark.parametrize(
    ("temperature", "most", "fixed"),
    [(1, None, False), (0.6, None, True), (1.5, 2, True), (0, None, False)],
)
@pytest.mark.parametrize(("units", "order"), FORMS)
def test_samples_are_those_of_a_loop(joint, units, order, temperature, most, fixed):
    # 40 steps: over the end of a chunk. Fails if a note is drawn out of its order, if s
    # is multiplied, if notes that maxNotes takes away are fed back, or if a given note
    # meets the threshold or is taken away.
    model = joint(units, order)
    model.genProbThreshold = 0.3
    given = given_notes(40) if fixed else None
    found = model.genMusic(
        PRIMER, 40, seed=33, temperature=temperature, maxNotes=most, given=given
    )
    limits = 0.3, temperature, most
    wanted = joint_oracle.generate(
        model.parameters(), PRIMER, uniform(33, 40, N), order, limits, given
    )
    assert_generated(found, wanted)
    assert 0 < found[0].mean() < 1
    if fixed:
        known = ~np.isnan(given)
        np.testing.assert_array_equal(found[0][known], given[known])
        assert ((found[1] < 0.3) & (found[1] > 0))[known].any()
    if most:
        free = found[0].sum(axis=1) > np.nansum(given, axis=1)
        assert found[0].sum(axis=1)[free].max() <= most


@pytest.mark.parametrize(("units", "order"), FORMS)
def test_a_kept_primer_has_the_probabilities_of_its_own_notes(joint, units, order):
    # Fails if the primer's zeros and ones are taken for random numbers.
    model = joint(units, order)
    model.genProbThreshold = 0.0
    _, y = model.genMusic(PRIMER, 3, seed=34, keepPrimer=True)
    wanted = model.probabilities(PRIMER)[:-1]
    np.testing.assert_allclose(y[1 : len(PRIMER)], wanted, rtol=0, atol=1e-12)


def frequencies(drawn, chords):
    """Count each of the chords (2^N, N) among those drawn, (tunes, N)."""
    bits = 1 << np.arange(N)
    return np.bincount(drawn.astype(int) @ bits, minlength=2**N)[chords @ bits]


def assert_drawn_from(counts, p):
    """χ² of the chords that are expected 5 times or more, the others in one cell."""
    expected = p * counts.sum()
    often = expected >= 5
    assert counts[p == 0].sum() == 0
    cells = [*(a[often] for a in (counts, expected))]
    rest = [a[~often].sum() for a in (counts, expected)]
    chi2 = ((cells[0] - cells[1]) ** 2 / cells[1]).sum()
    if rest[1] > 1:
        chi2 += (rest[0] - rest[1]) ** 2 / rest[1]
    freedom = often.sum()
    assert freedom >= 5
    assert abs(chi2 - freedom) < 4 * np.sqrt(2 * freedom), (chi2, freedom)


def test_chords_are_drawn_as_often_as_their_probability(joint):
    # Fails if a note is drawn without those before it, or given those after it.  The
    # other order: by the loop above.
    order = "down"
    model = joint(order=order)
    model.genProbThreshold = 0
    w = model.parameters()
    up = oracle.hidden(w, PRIMER)[-1]
    chords, p = joint_oracle.exact(w, up, order)
    assert p.sum() == pytest.approx(1)
    drawn = model.genMusic(PRIMER, 1, seed=34, noOfTunes=4096)[0][:, 0]
    assert_drawn_from(frequencies(drawn, chords), p)
    ones = drawn.mean(axis=0)
    alone = np.where(chords, ones, 1 - ones).prod(axis=1)
    with pytest.raises(AssertionError):  # so the notes are not independent
        assert_drawn_from(frequencies(drawn, chords), alone)


def test_notes_below_a_given_melody_are_drawn_exactly(joint):
    # The melody is note 5, with silence above; 'down'. Fails if the others are not
    # drawn from P(others | melody), by enumeration.
    model = joint(order="down")
    model.genProbThreshold = 0
    w = model.parameters()
    up = oracle.hidden(w, PRIMER)[-1]
    melody = [[FREE] * 5 + [1, 0, 0]]
    drawn, y = model.genMusic(PRIMER, 1, seed=35, noOfTunes=4096, given=melody)
    np.testing.assert_array_equal(drawn[:, 0, 5:], np.tile([1, 0, 0], (4096, 1)))
    chords, exact = joint_oracle.exact(w, up, "down")
    p = np.where((chords[:, 5:] == [1, 0, 0]).all(axis=1), exact, 0)
    assert 0.001 < p.sum() < 0.9
    assert_drawn_from(frequencies(drawn[:, 0], chords), p / p.sum())
    top = np.array([y[0, 0, 7], y[0, 0, 6], y[0, 0, 5]])  # the model's own
    assert np.prod([1 - top[0], 1 - top[1], top[2]]) == pytest.approx(p.sum())


@pytest.mark.parametrize("order", ["up", "down"])
def test_what_is_given_for_every_note_comes_back(joint, order):
    model = joint(order=order)
    given = np.nan_to_num(given_notes(20))
    tune, y = model.genMusic(PRIMER, 20, seed=36, given=given, maxNotes=1)
    np.testing.assert_array_equal(tune, given)
    rows = np.vstack([PRIMER, given])
    model.genProbThreshold = 0
    wanted = joint_oracle.probabilities(model.parameters(), rows, order)[-20:]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-11)


def test_a_melody_of_each_tune(joint):
    model = joint()
    given = np.stack([given_notes(9, seed) for seed in (37, 38, 39)])
    tunes, _ = model.genMusic([PRIMER] * 3, 9, seed=40, given=given, keepPrimer=True)
    known = ~np.isnan(given)
    assert tunes.shape == (3, 14, N)
    np.testing.assert_array_equal(tunes[:, 5:][known], given[known])
    with pytest.raises(ValueError, match=r"given has shape \(3, 9, 8\); allowed is"):
        model.genMusic(PRIMER, 9, given=given)


@pytest.mark.parametrize("most", [None, 2])
def test_independent_notes_may_be_given_too(most):
    model = RNN4Music(5, 4, 3, N, sigRand=0.6, seed=2, dtype="float64")
    model.genProbThreshold = 0.3
    given = given_notes(40)
    found = model.genMusic(PRIMER, 40, seed=41, given=given, maxNotes=most)
    limits = 0.3, 1, most
    wanted = joint_oracle.generate(
        model.parameters(), PRIMER, uniform(41, 40, N), None, limits, given
    )
    assert_generated(found, wanted)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full((9, N), 0.5), "given holds other values than 0"),
        (np.full((9, N), np.inf), "given holds other values than 0"),
        (np.zeros((8, N)), r"given has shape \(8, 8\); allowed is \(9, 8\)"),
        ("melody", "given is not an array of numbers"),
    ],
)
def test_bad_given_notes_are_refused(compilations, given, message):
    model = RNN4Music(3, 2, 1, N, output="joint", jointUnits=2)
    with pytest.raises(ValueError, match=message):
        model.genMusic(PRIMER, 9, given=given)
    assert not compilations


def test_a_seed_makes_the_same_music_again(joint):
    model = joint()
    first, _ = model.genMusic(PRIMER, 40, seed=42)
    np.testing.assert_array_equal(first, model.genMusic(PRIMER, 40, seed=42)[0])
    assert (first != model.genMusic(PRIMER, 40, seed=43)[0]).any()


def test_a_tune_has_the_same_bits_among_few_and_among_many(joint, as_shipped):
    pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")
    model = as_shipped(joint(dtype="float32"))
    primers = np.float32(np.random.default_rng(44).random((4, 13, N)) < 0.3)
    numbers = np.float32(uniform(45, 40, 13, N))
    one, many = (
        model._functions.generate(primers[:, :B], numbers[:, :B], 0.1, 1.0)
        for B in (1, 13)
    )
    np.testing.assert_array_equal(one, many[:, :, :1])


def test_silence_and_a_note_held_are_warned_of(joint):
    model = joint()
    values = {name: 0 * a for name, a in model.parameters().items()}
    model.setParameters(values | {"by": np.full(N, -9)})
    with pytest.warns(UserWarning, match="the tune has no note in its 40"):
        model.genMusic(PRIMER, 40)
    model.setParameters({"by": [-9, 9, *[0] * 6]})
    with pytest.warns(UserWarning, match="tune holds note 1 for "):
        model.genMusic(PRIMER, 40)
