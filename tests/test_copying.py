"""Compare what music_statistics finds copied, in any key, with plain loops."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmmusic import music_statistics
from lstmmusic.data import copying
from midi import PackedRoll, RollArray, RollFormat

N = 7
R = (60, 60 + N)
STRETCH = 8
# A chord is a set of columns; few of them, so that stretches come again by chance.
CHORDS = [(), (0,), (1,), (0, 2), (1, 3), (2, 4), (0, 3)]


def roll_of(chords):
    roll = np.zeros((len(chords), N), np.uint8)
    for step, chord in enumerate(chords):
        roll[step, list(chord)] = 1
    return roll


@st.composite
def tunes(draw):
    """Return chords of a tune, and of one to four tunes that have pieces of it."""
    chord = st.sampled_from(CHORDS)
    length = draw(st.integers(1, 24))  # lists of any length would mostly be short
    tune = draw(st.lists(chord, min_size=length, max_size=length))
    tune *= draw(st.integers(1, 2))
    dataset = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, length))
        key = draw(st.integers(-4, 4))
        piece = [tuple(n + key for n in each) for each in tune[start:]]
        piece = [each for each in piece if all(0 <= n < N for n in each)]
        ends = st.lists(chord, max_size=5)
        dataset.append([*draw(ends), *piece, *draw(ends)] or [()])
    return tune, dataset


def same_chords(one, other, key):
    return all({n + key for n in a} == set(b) for a, b in zip(one, other, strict=True))


def copied_by_loop(tune, others, keys):
    """Return for each stretch with a note whether another tune has it in a key."""
    return [
        any(
            same_chords(tune[start : start + STRETCH], other[at : at + STRETCH], key)
            for other in others
            for at in range(len(other) - STRETCH + 1)
            for key in keys
        )
        for start in range(len(tune) - STRETCH + 1)
        if any(tune[start : start + STRETCH])
    ]


def longest_by_loop(tune, others):
    """Return the most sounding steps of a run that another tune has in some key."""
    most = 0
    for start in range(len(tune)):
        for other in others:
            for at in range(len(other)):
                if not (tune[start] and other[at]):
                    continue
                key, steps = min(other[at]) - min(tune[start]), 0
                for mine, theirs in zip(tune[start:], other[at:], strict=False):
                    if {n + key for n in mine} != set(theirs):
                        break
                    steps += bool(mine)
                most = max(most, steps)
    return most


@settings(deadline=None)
@given(tunes())
def test_copies_are_those_of_plain_loops(made):
    """Fails if silence counts, a stretch crosses tunes, or another interval passes."""
    tune, dataset = made
    found = music_statistics(roll_of(tune), map(roll_of, dataset), R)
    every = range(1 - N, N)
    for name, keys in (("copied_share", [0]), ("copied_any_key_share", every)):
        truths = copied_by_loop(tune, dataset, keys)
        expected = np.mean(truths) if truths else np.nan
        assert getattr(found, name) == pytest.approx(expected, nan_ok=True), name
        each = [
            copied_by_loop(other, dataset[:n] + dataset[n + 1 :], keys)
            for n, other in enumerate(dataset)
        ]
        each = [np.mean(truths) for truths in each if truths]
        expected = np.mean(each) if each else np.nan
        mean = getattr(found.dataset, name)
        assert mean == pytest.approx(expected, nan_ok=True), name
    assert found.longest_copied == longest_by_loop(tune, dataset)


def letters(text, key=0):
    """Return a roll of a letter for each step: a chord of two notes, or "-"."""
    columns = [
        () if c == "-" else (key + 1, key + 2 + "abcdefghijkl".index(c)) for c in text
    ]
    roll = np.zeros((len(text), 20), int)
    for step, chord in enumerate(columns):
        roll[step, list(chord)] = 1
    return roll


def test_copies_by_hand():
    """Each line: a data set, the stretches copied literally, in any key, the steps."""
    r = (40, 60)
    tune = letters("abcdefghij")  # three stretches
    for dataset, literal, any_key, longest in (
        ([letters("abcdefghij")], 1, 1, 10),
        ([letters("abcdefghij", key=3)], 0, 1, 10),
        ([letters("abcdefghi", key=3)], 0, 2 / 3, 9),
        ([letters("cabcdefgh"), letters("bcdefghi", 4)], 1 / 3, 2 / 3, 8),
        ([letters("abcd", 2), letters("efghij", 2)], 0, 0, 6),
        ([letters("abcdefg-hij", 2)], 0, 0, 7),
        ([letters("-----")], 0, 0, 0),
    ):
        found = music_statistics(tune, dataset, r)
        assert found.copied_share == pytest.approx(literal)
        assert found.copied_any_key_share == pytest.approx(any_key)
        assert found.longest_copied == longest
        assert found.dataset.longest_copied is None
    # A rest within a run must be the same; neither it nor silence at an end counts.
    rest = letters("ab--cd" + 20 * "-")
    assert music_statistics(rest, [rest], r).longest_copied == 4
    assert music_statistics(rest, [letters("ab-cd")], r).longest_copied == 2
    assert music_statistics(rest, [letters("ab--dc")], r).longest_copied == 2
    # One part in another key is no transposition.
    apart = np.where(np.arange(20) == 1, np.roll(tune, 1, axis=1), tune)
    assert music_statistics(tune, [apart], r).longest_copied < 3


def test_what_is_copied_is_the_sounding_half():
    """Fails if marks of notes struck again count as notes, here or there."""
    plain = letters("abcdabcdabcd")
    marks = np.zeros_like(plain)
    marks[1:, 1] = np.arange(11) % 2
    struck = np.hstack([plain, marks])
    for tune in (plain, struck):
        for other in (plain, struck):
            found = music_statistics(tune, [other], (40, 60))
            assert (found.copied_any_key_share, found.longest_copied) == (1, 12)


def test_without_a_data_set_nothing_is_said_of_copying():
    found = music_statistics(letters("abc"), r=(40, 60))
    assert np.isnan(found.copied_any_key_share)
    assert found.longest_copied is None
    assert "in any key" not in str(found)


def test_print_says_what_is_copied():
    found = music_statistics(letters("abcdefghij"), [letters("bcdefghij", 1)], (40, 60))
    assert "\n  stretches of 8 steps that occur in the data set in any key: 66.7%" in (
        str(found)
    )
    assert "\n  longest run that occurs in the data set in any key: 9 steps\n" in (
        str(found)
    )


@pytest.mark.parametrize("columns", [1, 88, 128])
def test_different_steps_have_different_hashes(columns):
    """Fails if a constant is even, or if the highest columns are lost."""
    rolls = np.random.default_rng(1).random((20_000, columns)) < 0.5
    rolls = np.unique(rolls, axis=0)
    found = copying.hash_steps(rolls).hashes
    assert len(np.unique(found)) == len(rolls)
    assert ((found == 0) == ~rolls.any(axis=1)).all()


def make_tune(rng):
    """Return a tune of 300 steps in four voices of 60 chords, each for two steps."""
    chords = rng.integers(20, 60, (60, 4))[rng.integers(0, 60, 150).repeat(2)]
    roll = np.zeros((300, 88), np.uint8)
    roll[np.arange(300)[:, None], chords] = 1
    return roll


@pytest.mark.slow
def test_ten_thousand_tunes_take_seconds_and_little_memory():
    """Fails at six times the time of a quiet machine, or if all rolls are held at once.

    Unpacked, they have 264 MB.
    """
    rng = np.random.default_rng(0)
    made = [make_tune(rng) for _ in range(500)]
    dataset = [
        PackedRoll.of(made[n % 500][rng.permutation(300)]) for n in range(10_000)
    ]
    tune = make_tune(rng)
    tune[100:150, 3:] = dataset[7_000].piano_roll[20:70, :-3]
    tracemalloc.start()
    start = time.process_time()
    found = music_statistics(tune, dataset)
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 50
    assert peak < 500e6
    assert found.longest_copied == 50
    assert found.copied_any_key_share == pytest.approx(43 / 293)
    assert found.copied_share == 0


def test_other_pitches_or_steps_are_refused_by_value():
    """Fails if rolls on another grid are compared step by step."""
    roll = letters("abcdefghij")

    def on_grid(*format, **more):
        return RollArray.of(roll, RollFormat(*format, **more))

    tune = on_grid((40, 60), 0.5, "beats")
    assert music_statistics(tune, [tune, roll]).longest_copied == 10
    assert music_statistics(roll, [tune], (40, 60)).longest_copied == 10
    for other, message in (
        (on_grid((41, 61), 0.5, "beats"), r"tune 1 .* r = \(41, 61\), .* \(40, 60\);"),
        (
            on_grid((40, 60), 0.25, "beats"),
            "tune 1 .* dt = 1/4 beats, .* 1/2 beats; all",
        ),
        (on_grid((40, 60), 0.5), "tune 1 .* dt = 0.5 seconds, .* 1/2 beats;"),
    ):
        with pytest.raises(ValueError, match=message):
            music_statistics(tune, [tune, other])
