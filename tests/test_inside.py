"""`states` and `influence`, beside loops, slopes and PyTensor's own derivatives."""

from functools import partial
from types import SimpleNamespace

import joint_oracle
import numpy as np
import oracle
import pytensor
import pytensor.tensor as pt
import pytest
import restruck_oracle
from oracle import sigma
from pytensor.compile.mode import Mode
from sizes import JOINT_D, JOINT_N

from lstmmusic import RNN4Music
from lstmmusic.engine import inside
from lstmmusic.training import integrated

BLOCK = 7  # steps, in place of 32
STEPS, NOTES = [9, 4, 8, 7, 1], [0, 3, 5, 2, 4]  # within blocks and at ends
FORMS = {
    "paper": {},
    "original": {"original": True},
    "up": {"units": JOINT_D, "order": "up"},
    "down": {"units": JOINT_D, "order": "down"},
    "direct": {"units": 0, "order": "down"},
    "restruck up": {"units": JOINT_D, "order": "up", "restruck": True},
    "restruck down": {"units": JOINT_D, "order": "down", "restruck": True},
}
LONG = [pytest.mark.slow, pytest.mark.long]  # each form is compiled for itself
forms = pytest.mark.parametrize(
    "form",
    [
        pytest.param(f, marks=LONG * (f in ("up", "direct", "restruck up")))
        for f in FORMS
    ],
)


@pytest.fixture
def model_of(network, joint, monkeypatch):
    """Return a function that returns the shared network of a form, in short blocks.

    Minibatches have 8 tunes, so few programs are compiled.
    """
    monkeypatch.setattr(inside, "WHOLE_BLOCK", BLOCK)
    monkeypatch.setattr(inside, "MOST_TUNES", 8)

    def get(form, **more):
        return (joint if "order" in FORMS[form] else network)(**FORMS[form], **more)

    return get


def tune_of(model, steps=2 * BLOCK + 2, seed=91):
    rolls = np.random.default_rng(seed).random((steps, model.io_length))
    tune, half = (rolls < 0.3) * 1.0, model.io_length // 2
    if model.restruck:  # and two strikes are possible, of STEPS and NOTES
        tune[:, :half] = rolls[:, :half] < 0.6
        tune[:2, 0] = tune[7:9, 1] = 1
        tune[0, half:] = 0
        tune[1:, half:] *= tune[:-1, :half] * tune[1:, :half]
    return tune


def loop(w, tune, original):
    """Return {(layer, name): (T, H)}, of one gate at a time, and what leaves layers."""
    h, c = oracle.first_state(w)
    found, ups = {}, []
    for x in tune:
        up, h_next, c_next = oracle.layers(w, x, h, c, original)
        for n in (1, 2, 3):

            def a(x_, h_, below, n=n, up=up, h=h, x=x):
                a = w[f"{x_}_{n}"] @ x + w[f"{h_}_{n}"] @ h[n]
                return a + w[f"{below}_{n}"] @ up[n - 1] if n > 1 else a

            a_g = a("Wxc", "Whc", "Wcj") + w[f"bc_{n}"]
            seen = a_g if original and n == 1 else c_next[n]
            a_i = a("Wxi", "Whi", "Wxj") + w[f"bi_{n}"] + w[f"Wci_{n}"] * c[n]
            a_f = a("Wxf", "Whf", "Wfj") + w[f"bf_{n}"] + w[f"Wcf_{n}"] * c[n]
            a_o = a("Wxo", "Who", "Woj") + w[f"bo_{n}"] + w[f"Wco_{n}"] * seen
            row = {"i": sigma(a_i), "f": sigma(a_f), "g": np.tanh(a_g)}
            row |= {"o": sigma(a_o), "c": c_next[n], "h": h_next[n]}
            for name, values in row.items():
                found.setdefault((n, name), []).append(values)
        ups.append(up)
        h, c = h_next, c_next
    return {key: np.array(rows) for key, rows in found.items()}, ups


def assert_states_are_those_of_a_loop(model, original, atol=1e-10):
    tune, w = tune_of(model), model.parameters()
    states = model.states(tune)
    wanted, ups = loop(w, tune, original)
    for (n, name), rows in wanted.items():
        found = getattr(states.layers[n - 1], name)
        np.testing.assert_allclose(found, rows, rtol=0, atol=atol, err_msg=name)
    Y = [oracle.to_notes(w, up) for up in ups]
    np.testing.assert_allclose(states.Y, Y, rtol=0, atol=atol)
    if "ba" in w:
        layers = 1, 2, 3
        A = [sum(w[f"Wha_{n}"] @ up[n] for n in layers) + w["ba"] for up in ups]
        np.testing.assert_allclose(states.A, A, rtol=0, atol=atol)
    else:
        assert states.A is None


@forms
def test_states_are_those_of_a_loop(model_of, form):
    # Fails if two gates change places, if a block begins from another state than the
    # one before it has left, or if the padding of the last block stays.
    assert_states_are_those_of_a_loop(model_of(form), form == "original")


def log_odds(w, rows, step, note, form, maths=oracle.NUMPY):
    """Return the log-odds of a note of a tune, a list of rows, by the loops."""
    [up] = oracle.hidden(w, rows[:step], form == "original", maths)[-1:]
    if "order" not in FORMS[form]:
        return oracle.to_notes(w, up)[note]
    k, order = rows[step][None, :], FORMS[form]["order"]
    if "restruck" in FORMS[form]:
        order = restruck_oracle.cells(JOINT_N, order)
    return joint_oracle.logits(w, [up], k, order, maths)[0, note]


def slopes(w, tune, step, note, form, by=1e-5):
    """Return the log-odds' slope by each cell of rows 0 to ``step``."""
    found = np.zeros((step + 1, tune.shape[1]))
    for cell in np.ndindex(found.shape):
        if cell[0] < len(tune):
            ends = [tune.copy(), tune.copy()]
            ends[0][cell] -= by
            ends[1][cell] += by
            low, high = (log_odds(w, list(end), step, note, form) for end in ends)
            found[cell] = (high - low) / (2 * by)
    return found


@forms
def test_influence_is_the_slope_of_the_log_odds(model_of, form):
    # Fails if a layer's W_x is left out, if a block hands on a wrong error, or if a
    # note after the one asked about, in the order of drawing, has a say.
    model = model_of(form)
    tune, w = tune_of(model), model.parameters()
    found = model.influence(tune, STEPS, NOTES)
    assert found.past.shape == (5, 9, model.io_length)
    for p, (step, note) in enumerate(zip(STEPS, NOTES, strict=True)):
        wanted = slopes(w, tune, step, note, form)
        np.testing.assert_allclose(found.past[p, :step], wanted[:-1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.chord[p], wanted[-1], rtol=0, atol=1e-9)
        assert not found.past[p, step:].any()
        expected = log_odds(w, list(tune), step, note, form)
        assert found.log_odds[p] == pytest.approx(expected, abs=1e-12)
        assert np.isnan(found.baseline[p])
    assert np.abs(found.past).max(axis=(1, 2)).min() > 0.1  # none trivial
    assert found.chord.any() == ("order" in FORMS[form])


@forms
def test_influence_is_that_of_pytensor_grad(model_of, form):
    # The graph that PyTensor differentiates is the loops', unrolled.
    model, step, note = model_of(form), STEPS[1], NOTES[1]
    tune, values = tune_of(model), model.parameters()
    w = {n: pt.tensor(n, shape=a.shape, dtype="float64") for n, a in values.items()}
    roll = pt.tensor("roll", shape=tune.shape, dtype="float64")
    maths = oracle.Maths(pt.exp, pt.tanh, pt.stack)
    rows = [roll[t] for t in range(step + 1)]
    with pytensor.config.change_flags(traceback__limit=0):
        grad = pytensor.grad(log_odds(w, rows, step, note, form, maths), roll)
        wanted = pytensor.function(
            [roll, *w.values()],
            grad,
            mode=Mode(linker="py", optimizer=None),
            on_unused_input="ignore",
        )(tune, *values.values())
    found = model.influence(tune, STEPS, NOTES)
    np.testing.assert_allclose(found.past[1, :step], wanted[:step], rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.chord[1], wanted[step], rtol=0, atol=1e-13)


@pytest.mark.parametrize("form", ["paper", "down"])
def test_many_notes_at_once_are_each_by_itself(model_of, form, monkeypatch):
    # In minibatches of 8 tunes, with the last one filled up, and of one tune.
    model = model_of(form)
    tune = tune_of(model)
    whole = model.influence(tune, STEPS, NOTES, integrated=3)
    alone = model.influence(tune, STEPS[1], NOTES[1], integrated=3)
    assert alone.past.shape == (4, model.io_length)
    assert alone.log_odds.shape == alone.baseline.shape == ()
    monkeypatch.setattr(inside, "MOST_BYTES", 1)
    ones = model.influence(tune, STEPS, NOTES, integrated=3)
    for array, other in zip(whole, ones, strict=True):
        np.testing.assert_allclose(other, array, rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole.past[1, :4], alone.past, rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole.chord[1], alone.chord, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["paper", "down"])
def test_integrated_parts_add_up(model_of, form):
    # Fails if derivatives are taken at the tune alone, or the chord's part is left out.
    model = model_of(form)
    model.setParameters({name: 3 * a for name, a in model.parameters().items()})
    tune = tune_of(model)
    rows, notes = np.nonzero(tune[1:])
    asked = tune, rows + 1, notes
    found, slope = model.influence(*asked, integrated=50), model.influence(*asked)
    difference = found.log_odds - found.baseline
    largest = abs(difference).max()
    parts = found.past.sum((1, 2)) + found.chord.sum(1)
    at_end = (slope.past * tune[:-1]).sum((1, 2)) + found.chord.sum(1)
    error, rough = abs(parts - difference).max(), abs(at_end - difference).max()
    print(f"{form}: {error / largest:.1e}, at the tune alone {rough / largest:.1e}")
    assert error <= 0.01 * largest
    assert rough > 0.1 * largest > 0.1
    if form == "down":
        assert abs(found.chord.sum(1)).mean() > 0.05 * abs(difference).mean()
    assert not found.past[:, tune[:-1] == 0].any()  # silent on both ends of the path


def test_more_points_are_taken_where_they_are_needed(monkeypatch):
    # A network that has learnt scales by heart: on the way from silence it loses its
    # place, and finds another. Fails if no interval is halved, or if a half takes its
    # whole's place but the whole's parts stay.
    monkeypatch.setattr(inside, "MOST_TUNES", 32)
    notes, t = 12, np.arange(96)
    scale = np.eye(notes)[abs(t % 16 - 8)]
    tunes = [np.roll(scale, n, axis=0) for n in range(8)]
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.01)
    form = {"dtype": "float32", "optimizer": "Adam", "seed": 1, **rates}
    model = RNN4Music(24, 20, 16, notes, **form)
    model.train(tunes, 1, 150, 7, 49, progress=False)
    assert model.instantaneousCost[-1] < model.instantaneousCost[0] / 2
    steps, tune = np.arange(24, 32), tunes[0]
    ask = partial(model.influence, tune, steps, tune[steps].argmax(axis=1))
    found, finer = ask(integrated=50), ask(integrated=300)
    monkeypatch.setattr(integrated, "ROUNDS", 0)
    with pytest.warns(UserWarning, match=r"\d+ of 8 notes change too fast: the shares"):
        rough = ask(integrated=50)
    difference = found.log_odds - found.baseline
    errors = [
        abs(parts.past.sum((1, 2)) - difference) / abs(difference)
        for parts in (found, rough)
    ]
    each = [
        abs(p.past - finer.past).max() / abs(finer.past).max() for p in (found, rough)
    ]
    print(f"sums {errors[0].max():.1e}, with 50 {errors[1].max():.1e}")
    print(f"each part {each[0]:.1e}, with 50 {each[1]:.1e}")
    assert errors[0].max() <= 0.01
    assert errors[1].max() > 0.05
    assert each[0] < each[1] / 10


def test_integrated_begins_at_silence(model_of):
    model = model_of("up")
    tune, w = tune_of(model), model.parameters()
    found = model.influence(tune, 9, 4, integrated=3)
    for name, rows in (("log_odds", tune), ("baseline", np.zeros_like(tune))):
        wanted = log_odds(w, list(rows), 9, 4, "up")
        assert getattr(found, name) == pytest.approx(wanted, abs=1e-12)


def test_the_row_after_the_end_is_known_to_independent_notes_alone(model_of):
    model = model_of("paper")
    tune = tune_of(model, 9)
    longer = np.concatenate([tune, tune[:1]])
    after = model.influence(tune, 9, 2)
    for array, other in zip(after, model.influence(longer, 9, 2), strict=True):
        np.testing.assert_array_equal(array, other)
    with pytest.raises(
        ValueError, match="step is 9; allowed are whole numbers from 1 to 8"
    ):
        model_of("up").influence(tune_of(model_of("up"), 9), 9, 2)


def test_a_midi_roll_is_a_tune(model_of):
    model = model_of("paper")
    tune = tune_of(model, 5)
    roll = SimpleNamespace(piano_roll=tune.astype(np.uint8))
    np.testing.assert_array_equal(model.states(roll).Y, model.states(tune).Y)
    a, b = (model.influence(given, 3, 1).past for given in (roll, tune))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0}, "step is 0; allowed are whole numbers from 1 to 6"),
        ({"step": 7}, "step is 7; allowed are whole numbers from 1 to 6"),
        ({"step": 2.0}, "step is 2.0; allowed are whole numbers from 1 to 6"),
        ({"step": True}, "step is True; allowed are"),
        ({"step": "2"}, "step is '2'; allowed are"),
        ({"step": []}, r"step is \[\]; allowed are"),
        ({"step": [[1, 2]]}, "step is .*; allowed are whole numbers"),
        ({"step": [1, 2]}, r"step and note have shapes \(2,\) and \(\); they must be"),
        ({"note": -1}, "note is -1; allowed are whole numbers from 0 to 5"),
        ({"note": 6}, "note is 6; allowed are whole numbers from 0 to 5"),
        ({"note": None}, "note is None; allowed are"),
        (
            {"integrated": 0},
            "integrated is 0; allowed are None and whole numbers from 1",
        ),
        ({"integrated": True}, "integrated is True; allowed are None and"),
        (
            {"tune": np.zeros((3, 5))},
            r"tune has shape \(3, 5\); allowed are \(steps, 6",
        ),
        ({"tune": np.full((3, 6), 2.0)}, "tune holds 2.0 at"),
        ({"tune": np.zeros((0, 6))}, "tune has shape"),
    ],
)
def test_bad_questions_are_refused(model_of, change, message):
    model = model_of("paper")
    asked = {"tune": tune_of(model, 6), "step": 2, "note": 1} | change
    with pytest.raises(ValueError, match=message):
        model.influence(**asked)
    if "tune" in change:
        with pytest.raises(ValueError, match=message):
            model.states(change["tune"])


def test_a_joint_output_wants_zeros_and_ones_and_a_row_to_ask_about(model_of):
    model = model_of("down")
    with pytest.raises(
        ValueError, match="tune has 1 step; allowed with output='joint'"
    ):
        model.influence(np.zeros((1, JOINT_N)), 1, 1)
    with pytest.raises(ValueError, match=r"tune holds 0\.5 at .* allowed with output="):
        model.influence(np.full((3, JOINT_N), 0.5), 1, 1)


@pytest.mark.parametrize("sounds", [(0, 0), (0, 1), (1, 0)])
def test_a_strike_that_is_impossible_has_no_influence(model_of, sounds):
    """Fails if log-odds are given where `probabilities` says 0."""
    model, half = model_of("restruck down"), JOINT_N // 2
    tune, n = tune_of(model, 9), 1
    tune[3:] = 0
    tune[3:5, n] = sounds
    assert model.probabilities(tune)[3, half + n] == 0
    message = f"step is 4 and note is {half + n}: note {n} cannot be struck again there"
    for step, note in ((4, half + n), ([4, 4], [0, half + n])):
        with pytest.raises(ValueError, match=message):
            model.influence(tune, step, note)
    tune[3:5, n] = 1
    assert np.isfinite(model.influence(tune, 4, half + n).log_odds)


def test_nothing_is_drawn_or_changed(model_of, everything, same):
    model = model_of("down")
    before = everything(model)
    tune = tune_of(model, 9)
    kept = tune.copy()
    model.states(tune)
    model.influence(tune, 5, 3, integrated=3)
    same(before, everything(model))
    np.testing.assert_array_equal(tune, kept)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("form", ["original", "down"])
def test_numba_looks_inside_as_jax_does(model_of, form):
    model = model_of(form, mode="NUMBA")
    assert_states_are_those_of_a_loop(model, form == "original")
    found, wanted = (
        m.influence(tune_of(model), STEPS, NOTES, integrated=3)
        for m in (model, model_of(form))
    )
    for array, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-12)
