"""genMusic with restruck columns, against loops over cells."""

import numpy as np
import oracle
import pytest
import restruck_oracle
from generated import STUCK, assert_generated, uniform
from joint_data import HALF
from joint_data import RESTRUCK_FORMS as FORMS
from joint_data import restruck_tune as tune
from sizes import JOINT_N as N

from lstmmusic import RNN4Music

pytestmark = pytest.mark.filterwarnings(STUCK)
PRIMER = tune(5, seed=101)
PRIMER[-1] = [1, 0, 1, 1, *[0] * HALF]


@pytest.fixture
def restruck(joint):
    """Return a function that returns a shared, fresh network with restruck columns."""
    return lambda *args, **form: joint(*args, restruck=True, **form)


def given_notes(steps):
    """A quarter of the cells is given; no strike is known to be impossible."""
    rng = np.random.default_rng(102)
    given = rng.choice([np.nan] * 6 + [0, 1], size=(steps, N))
    before = np.vstack([PRIMER[-1:], given[:-1]])
    known = (given[:, :HALF] == 0) | (before[:, :HALF] == 0)
    again = given[:, HALF:]
    again[known & (again == 1)] = np.nan
    return given


@pytest.mark.parametrize(
    ("temperature", "most", "fixed"),
    [(1, None, False), (0.6, None, True), (1.5, 2, True), (0, None, False)],
)
@pytest.mark.parametrize(("units", "order"), FORMS)
def test_samples_are_those_of_a_loop(restruck, units, order, temperature, most, fixed):
    # 40 steps: over the end of a chunk. Fails if a note is struck again that was not
    # there before, that maxNotes has taken away, or that was not drawn; if the first
    # row does not look at the primer's last; or if the restruck half is drawn given
    # what was drawn before the cut.
    model = restruck(units, order)
    model.genProbThreshold = 0.3
    given = given_notes(40) if fixed else None
    found = model.genMusic(
        PRIMER, 40, seed=103, temperature=temperature, maxNotes=most, given=given
    )
    limits = 0.3, temperature, most
    numbers = uniform(103, 40, N)
    w = model.parameters()
    wanted = restruck_oracle.generate(w, PRIMER, numbers, order, limits, given)
    assert_generated(found, wanted)
    notes, again = found[0][:, :HALF], found[0][:, HALF:]
    if temperature:
        assert again.any()
    before = np.vstack([PRIMER[-1:, :HALF], notes[:-1]])
    assert not (again > notes * before).any()
    if fixed:  # given strikes that turned out to be impossible stay silent
        known = given[:, HALF:] == 1
        assert (again[known] == (notes * before)[known]).all()
        assert 0 < again[known].sum() < known.sum()
    if most:
        free = notes.sum(axis=1) > np.nansum(given[:, :HALF], axis=1)
        assert notes.sum(axis=1)[free].max() <= most


@pytest.mark.parametrize(("units", "order"), FORMS[1:])
@pytest.mark.parametrize("most", [None, 1])
def test_a_kept_primer_has_the_probabilities_of_its_own_rows(
    restruck, units, order, most
):
    # Fails if maxNotes cuts the primer's notes before its strikes.
    model = restruck(units, order)
    model.genProbThreshold = 0.0
    tune, y = model.genMusic(PRIMER, 3, seed=104, keepPrimer=True, maxNotes=most)
    wanted = model.probabilities(PRIMER)[:-1]
    np.testing.assert_allclose(y[1 : len(PRIMER)], wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(tune[: len(PRIMER)], PRIMER)
    assert (wanted[:, HALF:] > 0).any()


def test_rows_are_drawn_as_often_as_their_probability(restruck):
    # 8192 draws of the 54 possible rows, in two steps, as in the original's network.
    # Fails if a cell is drawn without those before it, or given those after it.
    order = "down"
    model = restruck(order=order)
    model.genProbThreshold = 0
    w = model.parameters()
    up = oracle.hidden(w, PRIMER)[-1]
    rows = restruck_oracle.chords(PRIMER[-1])
    assert len(rows) == 2 * 3**3
    before = np.tile(PRIMER[-1], (len(rows), 1))
    nats = restruck_oracle.nats_of(w, [up] * len(rows), before, rows, order)
    p = np.exp(-nats.sum(axis=1))
    assert p.sum() == pytest.approx(1)
    drawn = model.genMusic(PRIMER, 1, seed=105, noOfTunes=8192)[0][:, 0]
    bits = 1 << np.arange(N)
    counts = np.bincount(drawn.astype(int) @ bits, minlength=2**N)
    found = counts[rows @ bits]
    assert found.sum() == 8192  # no impossible row
    expected = 8192 * p
    often = expected >= 5
    chi2 = ((found - expected) ** 2 / expected)[often].sum()
    freedom = often.sum() - 1
    assert freedom >= 10
    assert abs(chi2 - freedom) < 4 * np.sqrt(2 * freedom), (chi2, freedom)
    sounding = (rows[:, :HALF] @ bits[:HALF]).astype(int)
    alike = np.bincount(sounding, p)[sounding] / np.bincount(sounding)[sounding]
    wrong = 8192 * alike  # strikes drawn as likely as not
    assert ((found - wrong) ** 2 / wrong)[wrong >= 5].sum() > 10 * freedom


def test_a_tune_has_the_same_bits_among_few_and_among_many(restruck, as_shipped):
    pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")
    model = as_shipped(restruck(dtype="float32"))
    primers = np.float32(np.random.default_rng(106).random((4, 13, N)) < 0.5)
    numbers = np.float32(uniform(107, 40, 13, N))
    one, many = (
        model._functions.generate(primers[:, :B], numbers[:, :B], 0.1, 1.0)
        for B in (1, 13)
    )
    np.testing.assert_array_equal(one, many[:, :, :1])
    assert one[0][..., HALF:].any()


def test_warnings_are_of_what_sounds(restruck):
    # Fails if a strike is a note that is held, or a note struck again is held on.
    model = restruck(order="down")
    values = {name: 0 * a for name, a in model.parameters().items()}
    model.setParameters(values | {"by": [9, 9, -9, -9, *[-9] * 4]})
    with pytest.warns(UserWarning, match="tune holds note 0 .* for 40 of 40 steps"):
        model.genMusic(PRIMER, 40, seed=108)
    model.setParameters(values | {"by": [9, 9, -9, -9, *[9] * 4]})
    tune, _ = model.genMusic(PRIMER, 40, seed=108)  # a warning is an error
    assert tune[2:, HALF : HALF + 2].mean() > 0.9
    model.setParameters({"by": [*[-9] * 4, *[9] * 4]})
    with pytest.warns(UserWarning, match="the tune has no note in its 40"):
        model.genMusic(PRIMER, 40, seed=109)


def all_given(**cells):
    """Given rows: all notes sound, none is struck again, but for some cells."""
    given = np.tile(np.repeat([1.0, 0.0], HALF), (3, 1))
    for at, value in cells.items():
        step, n = map(int, at[1:].split("_"))
        given[step, n] = value
    return given


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"c1_6": 1, "c1_2": 0}, "given strikes note 2 again at step 1; allowed are"),
        ({"c1_6": 1, "c0_2": 0}, "given strikes note 2 again at step 1; allowed are"),
        ({"c0_5": 1}, "given strikes note 1 again at step 0; allowed are"),
    ],
)
def test_given_strikes_known_to_be_impossible_are_refused(compilations, cells, message):
    model = RNN4Music(3, 2, 1, N, output="joint", jointUnits=2, restruck=True)
    with pytest.raises(ValueError, match=message):
        model.genMusic(PRIMER, 3, given=all_given(**cells))
    assert not compilations


def test_a_strike_of_each_tune_is_checked_by_its_own_primer(compilations):
    model = RNN4Music(3, 2, 1, N, output="joint", jointUnits=2, restruck=True)
    primers = [np.ones((5, N)), PRIMER]
    with pytest.raises(ValueError, match="given strikes note 1 again at step 0"):
        model.genMusic(primers, 3, given=all_given(c0_5=1))
    assert not compilations


@pytest.mark.parametrize("many", [False, True])
def test_a_primer_that_strikes_what_does_not_sound_is_refused(restruck, many):
    """Fails if it is fed to the network, or if a slice is refused."""
    model, primer = restruck(), PRIMER.copy()
    primer[2:4, [1, HALF + 1]] = [[0, 0], [1, 1]]  # silent at step 2, struck at step 3
    given = np.stack([PRIMER, primer]) if many else primer
    message = "strikes note 1 again at step 3; allowed are notes that sound in this"
    with pytest.raises(ValueError, match=f"^the primer {message}"):
        model.genMusic(given, 2)
    with pytest.raises(ValueError, match=message):
        model.probabilities(primer)
    model.genMusic(given[..., 3:, :], 2)  # what sounded before is not known
