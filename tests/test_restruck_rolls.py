"""Marks of silence, other keys and top lines of rolls with restruck columns."""

import numpy as np
import pytest

from lstmmusic import mark_silence, unmark_silence
from lstmmusic.data.halves import check_strikes, columns_of_notes
from lstmmusic.datasets import shared_top_lines, transpose
from midi import PackedRoll, RollArray, RollFormat

N = 24


def roll_of(steps, restruck=(), notes=N):
    """A roll of what sounds at each step, and (step, note) struck again."""
    roll = np.zeros((len(steps), 2 * notes), np.uint8)
    for t, sounding in enumerate(steps):
        roll[t, sounding] = 1
    for t, n in restruck:
        roll[t, notes + n] = 1
    return roll


def contents(roll):
    """Undo `roll_of`."""
    halves = np.split(np.asarray(roll), 2, axis=1)
    steps = [row.nonzero()[0].tolist() for row in halves[0]]
    return steps, list(map(tuple, np.argwhere(halves[1]).tolist()))


def as_arrays(roll, notes=N):
    """The roll as what tells that half of its columns are restruck, and as what not."""
    format = RollFormat((40, 40 + notes), 0.5, "beats", restruck=True)
    told = [RollArray.of(roll, format), PackedRoll.of(roll, format=format)]
    return [*((tune, {}) for tune in told), (roll, {"restruck": True})]


def test_silence_is_marked_in_the_sounding_half():
    # Fails if a strike is a sound, or a mark is made in the other half.
    tune = roll_of([[3], [3], [], [0, 3]], [(1, 3)])
    for given, how in as_arrays(tune):
        (marked,) = mark_silence([given], **how)
        rows = getattr(marked, "piano_roll", marked)
        assert contents(rows) == ([[3], [3], [0], [0, 3]], [(1, 3)])
        assert isinstance(marked, PackedRoll) == isinstance(given, PackedRoll)
        back = unmark_silence(marked, **({"restruck": True} | how))
        assert contents(back) == contents(tune)


def test_what_is_unmarked_is_not_struck_again():
    # Nor is the note after it, before which it no longer sounds.
    tune = roll_of([[0], [0], [0, 5], [0, 5]], [(1, 0), (2, 0), (3, 0), (3, 5)])
    found = unmark_silence(tune, restruck=True)
    assert contents(found) == ([[], [], [0, 5], [0, 5]], [(3, 0), (3, 5)])
    check_strikes("tune", found)


def test_each_half_moves_by_itself():
    # Up to the highest note, by an octave less than it would leave by, and each note
    # alone where no octave fits. Fails if a note goes over to the other half, or if
    # strikes move otherwise than their notes.
    tune = roll_of([[2, 20], [2, 20]], [(1, 2), (1, 20)])
    wide = roll_of([[0, 23], [0, 23]], [(1, 23)])
    for given, how in as_arrays(tune):
        found = transpose([given], [3, -2, 4], **how)
        moved = [contents(getattr(roll, "piano_roll", roll)) for roll in found]
        assert moved == [
            ([[5, 23], [5, 23]], [(1, 5), (1, 23)]),
            ([[0, 18], [0, 18]], [(1, 0), (1, 18)]),
            ([[6, 12], [6, 12]], [(1, 6), (1, 12)]),
        ]
    found = transpose([wide], 1, restruck=True)
    assert contents(found[0]) == ([[1, 12], [1, 12]], [(1, 12)])


def test_without_restruck_columns_all_columns_are_notes():
    tune = roll_of([[20], [20]], [(1, 20)])
    (moved,) = transpose([tune], -21)
    assert moved.nonzero()[1].tolist() == [11, 11, 35]
    empty = np.zeros((0, 2 * N), np.uint8)
    assert transpose([empty], 1, restruck=True)[0].shape == (0, 2 * N)


def test_the_top_line_is_of_what_sounds():
    tune = roll_of([[5], [5], [7]], [(1, 5)])
    other = roll_of([[5], [5], [7]])
    given = [as_arrays(roll)[0][0] for roll in (tune, other)]
    assert shared_top_lines(given[:1], given[1:]).tolist() == [True]
    with pytest.raises(ValueError, match="tunes and others are 24 to 48 notes wide"):
        shared_top_lines(given[:1], [other])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: mark_silence([t], restruck=False),
            "format of tune 0 has restruck=T",
        ),
        (
            lambda t: transpose([t], 1, restruck=False),
            "format of tune 0 has restruck=T",
        ),
        (
            lambda t: unmark_silence(t, restruck=False),
            "format of tune has restruck=True",
        ),
        (
            lambda t: mark_silence([t], restruck=1),
            "restruck is 1; allowed are None and",
        ),
        (
            lambda t: mark_silence([np.zeros((3, 5))], restruck=True),
            "tune 0 has 5 columns; allowed with restruck=True is an even number",
        ),
        (
            lambda t: transpose([np.zeros((3, 22))], 1, restruck=True),
            r"tune 0 has shape \(3, 22\); allowed .* at least 12 notes",
        ),
    ],
)
def test_other_halves_are_refused(call, message):
    tune, _ = as_arrays(roll_of([[5], [5]]))[0]
    with pytest.raises(ValueError, match=message):
        call(tune)


def test_columns_of_notes():
    plain = np.zeros((3, 2 * N))
    assert columns_of_notes("tune", plain) == 2 * N
    for tune, how in as_arrays(roll_of([[5]])):
        assert columns_of_notes("tune", tune, **how) == N


def test_strikes_that_are_not_known_to_be_wrong_pass():
    check_strikes("tune", roll_of([[3], [3]], [(0, 3), (1, 3)]))
    free = np.full((2, 2 * N), np.nan)
    free[:, N + 3] = 1
    check_strikes("given", free, np.full(2 * N, 0.6))
    with pytest.raises(ValueError, match="given strikes note 3 again at step 0"):
        check_strikes("given", free, np.full(2 * N, 0.5))
