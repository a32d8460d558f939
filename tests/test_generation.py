"""genMusic, against a loop that samples with the same random numbers."""

import inspect

import numpy as np
import oracle
import pytest
from generated import STUCK, assert_generated, uniform
from sizes import N

from lstmmusic.engine import functions
from lstmmusic.statistics import longest_held
from lstmmusic.stuck import what_is_stuck

PRIMER = np.random.default_rng(31).choice([0.0, 1.0], size=(9, N))


class Given:
    """Random numbers known beforehand, (steps, tunes, N)."""

    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, shape, dtype):
        return self.numbers.reshape(shape).astype(dtype)


@pytest.mark.parametrize("steps", [1, 9], ids=["one row", "nine rows"])
@pytest.mark.parametrize("original", [False, True])
def test_samples_are_those_of_a_loop(network, steps, original):
    # 70 steps: over the end of a chunk. Fails if a row of the primer is left
    # out, the samples are fed back a step late, or the state is lost between chunks.
    model = network(original=original)
    model.genProbThreshold = 0.3
    found = model.genMusic(PRIMER[:steps], 70, seed=32)
    assert found[0].shape == found[1].shape == (70, N)
    wanted = oracle.generate(
        model.parameters(), PRIMER[:steps], uniform(32, 70, N), 0.3, original
    )
    assert_generated(found, wanted)
    assert 0 < found[0].mean() < 1


def test_D6_generation_continues_from_the_end_of_the_primer(network):
    # All three layers. The original took layer 3's state from two steps before the
    # end; the probabilities would then differ from the first step on.
    model = network()
    model.genProbThreshold = 0.0
    w = model.parameters()
    found = model.genMusic(PRIMER, 5, seed=33)
    assert_generated(found, oracle.generate(w, PRIMER, uniform(33, 5, N), 0.0))

    states = [oracle.first_state(w)]
    for x in PRIMER:
        states.append(oracle.step(w, x, *states[-1])[1:])
    h, c = (dict(part) for part in states[-2])
    for part, early in zip((h, c), states[-4], strict=True):
        part[3] = early[3]
    Y, *_ = oracle.step(w, PRIMER[-1], h, c)
    assert np.abs(found[1][0] - oracle.sigma(Y)).max() > 1e-3


def test_many_primers_at_once_give_what_each_gives_alone(network):
    # Fails if tunes of a batch share samples, states or random numbers.
    model = network()
    primers = np.random.default_rng(34).choice([0.0, 1.0], size=(3, 4, N))
    numbers = uniform(35, 20, 3, N)
    model.rng = Given(numbers)
    tunes, y = model.genMusic(primers, 20)
    assert tunes.shape == y.shape == (3, 20, N)
    for n, primer in enumerate(primers):
        model.rng = Given(numbers[:, n])
        alone = model.genMusic(primer, 20)
        np.testing.assert_array_equal(tunes[n], alone[0])
        np.testing.assert_allclose(y[n], alone[1], rtol=0, atol=1e-12)
    assert len({tune.tobytes() for tune in tunes}) == 3


def test_probabilities_below_the_threshold_count_as_zero(network):
    model = network()
    model.genProbThreshold = 0.0
    _, every = model.genMusic(PRIMER, 30, seed=36)
    assert (every > 0).all()
    model.genProbThreshold = 0.4
    tune, y = model.genMusic(PRIMER, 30, seed=36)
    assert set(np.unique(tune)) == {0, 1}
    assert (y[0] == np.where(every[0] < 0.4, 0, every[0])).all()
    assert (y == 0).any()
    assert y[y > 0].min() >= 0.4
    assert not tune[y == 0].any()
    model.genProbThreshold = 1.0
    with pytest.warns(UserWarning, match="the tune has no note in its 30 steps"):
        tune, y = model.genMusic(PRIMER, 30, seed=36)
    assert not tune.any()
    assert not y.any()


def test_a_seed_makes_samples_repeatable_and_leaves_the_own_numbers_alone(network):
    model = network()
    before = model.rng.bit_generator.state
    first, _ = model.genMusic(PRIMER, 40, seed=37)
    again, _ = model.genMusic(PRIMER, 40, seed=37)
    other, _ = model.genMusic(PRIMER, 40, seed=38)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert model.rng.bit_generator.state == before
    unseeded, _ = model.genMusic(PRIMER, 40)
    assert (unseeded != model.genMusic(PRIMER, 40)[0]).any()
    assert model.rng.bit_generator.state != before


# Steering


@pytest.mark.filterwarnings(STUCK)
@pytest.mark.parametrize("most", [None, 1, 2])
@pytest.mark.parametrize("temperature", [0, 0.3, 1, 2.5])
def test_temperature_and_maxNotes_are_those_of_a_loop(network, temperature, most):
    # Fails if Y is multiplied, the threshold sees the temperature, what is fed back
    # is drawn before the limit, or the limit keeps other notes than the most probable.
    model = network()
    model.genProbThreshold = 0.3
    found = model.genMusic(PRIMER, 70, seed=51, temperature=temperature, maxNotes=most)
    wanted = oracle.generate(
        model.parameters(), PRIMER, uniform(51, 70, N), 0.3,
        temperature=temperature, most=most,
    )  # fmt: skip
    assert_generated(found, wanted)
    if temperature > 0:
        at_once = found[0].sum(axis=1).max()
        assert at_once == most if most else at_once > 2


@pytest.mark.filterwarnings(STUCK)
def test_temperature_from_nothing_to_without_end(network):
    # Fails if Y is divided by zero, or overflows to what is no number. What the
    # threshold silences stays silent, however high the temperature.
    model = network(dtype="float32")
    model.genProbThreshold = 0.4
    _, y = model.genMusic(PRIMER, 1, seed=52)
    for cold in (0, 1e-300, 1e-44, 1e-30):
        tune, at = model.genMusic(PRIMER, 1, seed=52, temperature=cold)
        np.testing.assert_array_equal(at, y > 0.5)
        np.testing.assert_array_equal(tune, y > 0.5)
    for hot in (1e30, 1e300):
        _, at = model.genMusic(PRIMER, 1, seed=52, temperature=hot)
        np.testing.assert_array_equal(at, np.where(y > 0, 0.5, 0))
    assert 0 < (y > 0.5).sum() < (y > 0).sum() < N


def test_temperature_0_takes_no_chance(network):
    # A note of exactly ½ is not taken either, whatever the random number.
    model = network()
    model.setParameters({name: 0 * a for name, a in model.parameters().items()})
    model.setParameters({"by": [0, 1e-9, -1e-9, 2, -2, 0]})
    for seed in range(5):
        tune, y = model.genMusic(PRIMER, 9, seed=seed, temperature=0)
        np.testing.assert_array_equal(tune, np.tile([0, 1, 0, 1, 0, 0], (9, 1)))
        np.testing.assert_array_equal(y, tune)


def test_maxNotes_takes_the_lowest_of_equally_probable_notes(network):
    # And the more probable one, where the temperature has made the two equal.
    model = network()
    model.setParameters({name: 0 * a for name, a in model.parameters().items()})
    model.rng = Given(np.array([[0.9, 0.1, 0.1, 0.1, 0.9, 0.1]]))
    tune, y = model.genMusic(PRIMER, 1, maxNotes=2)
    np.testing.assert_array_equal(tune, [[0, 1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(y, np.full((1, N), 0.5))
    model.setParameters({"by": [3, 4, 5, 7, 7, 6]})
    tune, y = model.genMusic(PRIMER, 1, temperature=0.01, maxNotes=3)
    np.testing.assert_array_equal(tune, [[0, 0, 0, 1, 1, 1]])
    assert (y == 1).all()


def test_steering_does_not_compile_again(network, compilations):
    model = network()
    model.genMusic(PRIMER, 5)
    model.genMusic(PRIMER, 5, maxNotes=3)
    before = list(compilations)
    for temperature, most in ((0.5, 2), (2, 1), (0.1, None), (1, N), (1, N + 1)):
        model.genMusic(PRIMER, 5, temperature=temperature, maxNotes=most)
    assert compilations == before


@pytest.mark.parametrize("steps", [1, 9])
def test_keepPrimer_puts_it_in_front(network, steps):
    # As it was given, halves too; with the network's own probabilities beside it.
    model = network()
    model.genProbThreshold = 0.3
    primer = np.random.default_rng(53).choice([0, 0.5, 1], size=(steps, N))
    tune, y = model.genMusic(primer, 20, seed=54, temperature=0.8)
    kept, all_y = model.genMusic(primer, 20, seed=54, temperature=0.8, keepPrimer=True)
    assert kept.shape == all_y.shape == (steps + 20, N)
    np.testing.assert_array_equal(kept, np.concatenate([primer, tune]))
    np.testing.assert_array_equal(all_y[steps:], y)
    assert np.isnan(all_y[0]).all()
    own = oracle.outputs(model.parameters(), primer)[:-1]
    wanted = np.array([oracle.chances(Y, 0.3, 0.8) for Y in own]).reshape(-1, N)
    np.testing.assert_allclose(all_y[1:steps], wanted, rtol=0, atol=1e-10)


def test_noOfTunes_are_as_many_from_one_primer(network):
    # Each with its own random numbers: those of as many equal primers.
    model = network()
    found = model.genMusic(PRIMER, 20, seed=55, noOfTunes=3, keepPrimer=True)
    copies = np.stack([PRIMER] * 3)
    wanted = model.genMusic(copies, 20, seed=55, keepPrimer=True)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == (3, len(PRIMER) + 20, N)
        np.testing.assert_array_equal(a, b)
    w, numbers = model.parameters(), uniform(55, 20, 3, N)
    for n in range(3):
        after = [roll[n, len(PRIMER) :] for roll in found]
        assert_generated(after, oracle.generate(w, PRIMER, numbers[:, n], 0.1))
    assert len({tune.tobytes() for tune in found[0]}) == 3


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_tunes_are_the_same_whatever_the_threads(network, monkeypatch, n_threads):
    # Seven tunes, two at once: fails if a thread takes or leaves its tunes in another's
    # place, or the padding of the last share comes out.
    monkeypatch.setattr(functions, "threads", lambda mode: n_threads)
    monkeypatch.setattr(functions, "FEWEST_TUNES", 2)
    monkeypatch.setattr(functions, "MOST_TUNES", 2)
    model = network()
    shares = [model._functions.share_out(B) for B in range(1, 9)]
    assert shares == [(1, 1), *[(min(n_threads, B // 2), 2) for B in range(2, 9)]]
    primers = np.random.default_rng(57).choice([0.0, 1.0], size=(7, 4, N))
    tunes, y = model.genMusic(primers, 40, seed=56)
    w, numbers = model.parameters(), uniform(56, 40, 7, N)
    for n, primer in enumerate(primers):
        wanted = oracle.generate(w, primer, numbers[:, n], 0.1)
        assert_generated((tunes[n], y[n]), wanted)


def test_a_tune_has_the_same_bits_among_few_and_among_many(network, as_shipped):
    # Fails if products or sums of a tune are rounded by how many there are beside it.
    # Plain products are.
    pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")
    model = as_shipped(network(dtype="float32"))
    primers = np.random.default_rng(58).choice([0.0, 1.0], size=(13, 4, N))
    uniform = np.random.default_rng(59).random((40, 13, N))
    steps_first = np.float32(primers.swapaxes(0, 1)), np.float32(uniform)
    one, few, many = (
        model._functions.generate(*(a[:, :B] for a in steps_first), 0.1, 1.0)
        for B in (1, 2, 13)
    )
    np.testing.assert_array_equal(few, many[:, :, :2])
    np.testing.assert_array_equal(one, many[:, :, :1])


# Tunes that get stuck


def tune_of(*notes, steps=100):
    """A roll (steps, 5) in which each (column, first, end) sounds."""
    roll = np.zeros((steps, 5))
    for column, first, end in notes:
        roll[first:end, column] = 1
    return roll


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        (tune_of(), "has no note in its 100 steps"),
        (tune_of(steps=9), "has no note in its 9 steps"),
        (tune_of(steps=8), None),
        (tune_of((3, 0, 20), (2, 40, 67)), "has no note in its last 33 of 100 steps"),
        (tune_of((3, 0, 20), (2, 40, 68)), None),
        (tune_of((4, 40, 73), (2, 90, 100)), "holds note 4 for 33 of 100 steps"),
        (tune_of((4, 40, 72), (2, 90, 100)), None),
        (tune_of((1, 67, 100)), "holds note 1 for 33 of 100 steps"),
        (tune_of((1, 0, 30), (2, 30, 60), (1, 60, 90)), None),
        (tune_of((1, 0, 20), steps=20), None),
        (
            tune_of((0, 3, 100)),
            "holds note 0 (a rest, if mark_silence has marked rests)",
        ),
    ],
)
def test_what_is_stuck(tune, words):
    # On both sides of 8 and of 32 steps; a short rest, or a note repeated after one, is
    # music.
    found = what_is_stuck(tune)
    assert (found is None) == (words is None)
    if words:
        assert words in found[0]
    assert (longest_held(tune)[0] > 32) == (words is not None and "holds" in words)


def test_a_note_struck_again_is_not_held():
    """Fails if strikes are not seen, or if one too late ends the search."""
    tune, struck = np.ones((40, 1)), np.zeros((40, 1))
    assert "holds note 0, C4 (a rest, " in what_is_stuck(tune, struck, 60)[0]
    struck[33] = 1
    assert "for 33 of 40 steps" in what_is_stuck(tune, struck)[0]
    struck[32] = 1
    assert what_is_stuck(tune, struck) is None


def outputs_alone(model, by):
    """Let the network's output be ``by`` at every step."""
    model.setParameters({name: 0 * a for name, a in model.parameters().items()})
    model.setParameters({"by": by})


def test_silence_warns_at_the_line_of_the_caller(network):
    model = network()
    outputs_alone(model, np.full(N, -9))
    line = inspect.currentframe().f_lineno + 2
    with pytest.warns(UserWarning, match="the tune has no note in its 40") as seen:
        model.genMusic(PRIMER, 40, temperature=1.5)
    (warning,) = seen
    assert (warning.filename, warning.lineno) == (__file__, line)
    message = str(warning.message)
    assert "(temperature is 1.5, genProbThreshold 0.1)" in message
    for remedy in ("lower genProbThreshold", "higher temp", "training", "mark_silence"):
        assert remedy in message


def test_a_note_held_warns_and_the_primer_does_not_count(network):
    model = network()
    outputs_alone(model, [-9, 99, 0, 0, 0, 0])
    with pytest.warns(UserWarning, match="tune holds note 1 for 33 of 33 .*higher"):
        model.genMusic(PRIMER, 33)
    model.genMusic(np.ones((40, N)), 32, keepPrimer=True)
    model.genMusic(np.zeros((40, N)), 32, keepPrimer=True)


def test_one_warning_for_many_tunes(network):
    # Tune 1 has its note at every other step, the others never.
    model = network()
    outputs_alone(model, [1, *[-9] * (N - 1)])
    numbers = np.full((40, 3, N), 0.99)
    numbers[::2, 1] = 0
    model.rng = Given(numbers)
    message = "^2 of 3 tunes got stuck: tune 0 has no note in its 40 steps"
    with pytest.warns(UserWarning, match=message) as seen:
        tunes, _ = model.genMusic(PRIMER, 40, noOfTunes=3)
    assert len(seen) == 1
    np.testing.assert_array_equal(tunes.sum(axis=(1, 2)), [0, 20, 0])


@pytest.mark.parametrize(
    ("primer", "steps", "message"),
    [
        (np.zeros((0, N)), 5, rf"startVectors has shape \(0, {N}\).* at least 1"),
        (np.zeros((2, 0, N)), 5, rf"startVectors has shape \(2, 0, {N}\).* at least"),
        (np.zeros((0, 2, N)), 5, rf"startVectors has shape \(0, 2, {N}\).* at least"),
        (np.zeros((3, N + 1)), 5, rf"startVectors has shape \(3, {N + 1}\).*, {N}\)"),
        (np.zeros(N), 5, rf"startVectors has shape \({N},\).*, {N}\)"),
        (np.full((2, N), 2.0), 5, r"startVectors holds 2.0 at \(0, 0\).* 0 to 1"),
        (np.full((2, 1, N), np.nan), 5, r"startVectors holds nan at .* 0 to 1"),
        (PRIMER, 0, "noOfSamps is 0; allowed are whole numbers from 1"),
        (PRIMER, 2.5, "noOfSamps is 2.5; allowed are whole numbers from 1"),
    ],
)
def test_bad_primers_are_refused(network, everything, same, primer, steps, message):
    model = network()
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.genMusic(primer, steps)
    same(before, everything(model))


WHOLE = "allowed are None and whole numbers from"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; allowed are finite .* from 0"),
        ({"temperature": np.nan}, "temperature is nan; allowed are finite numbers"),
        ({"temperature": np.inf}, "temperature is inf; allowed are finite numbers"),
        ({"temperature": "1"}, "temperature is '1'; allowed are finite numbers"),
        ({"maxNotes": 0}, f"maxNotes is 0; {WHOLE} 1"),
        ({"maxNotes": 2.0}, f"maxNotes is 2.0; {WHOLE} 1"),
        ({"keepPrimer": 1}, "keepPrimer is 1; allowed are True and False"),
        ({"noOfTunes": 0}, "noOfTunes is 0; allowed are whole numbers from 1"),
        ({"noOfTunes": None}, "noOfTunes is None; allowed are whole numbers from 1"),
        ({"seed": -1}, f"seed is -1; {WHOLE} 0"),
    ],
    ids=str,
)
def test_bad_steering_is_refused(network, arguments, message):
    model = network()
    before = model.rng.bit_generator.state
    with pytest.raises(ValueError, match=message):
        model.genMusic(PRIMER, 5, **arguments)
    assert model.rng.bit_generator.state == before


def test_many_primers_are_for_one_tune_each(network):
    with pytest.raises(ValueError, match=r"noOfTunes is 2, but .* 3 primers.* allowed"):
        network().genMusic(np.stack([PRIMER] * 3), 5, noOfTunes=2)
    tunes, _ = network().genMusic(np.stack([PRIMER] * 3), 5, noOfTunes=1)
    assert tunes.shape == (3, 5, N)


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-6), ("float64", 1e-14)])
def test_the_last_probabilities_are_what_is_drawn_from(network, dtype, near):
    # As near as the docstring of `probabilities` says; fails if they are a step apart.
    model = network(dtype=dtype)
    model.genProbThreshold = 0.0
    primer = np.random.default_rng(4).integers(0, 2, size=(40, N))
    rows = model.probabilities(primer)
    drawn_from = model.genMusic(primer, 1, seed=1)[1][0]
    np.testing.assert_allclose(rows[-1], drawn_from, rtol=0, atol=near)
    assert abs(rows[-2] - drawn_from).max() > 1000 * near
