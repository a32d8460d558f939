"""Compare lstmmusic.statistics with plain loops, SciPy, and midiwrite's notes."""

import io
import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from lstmmusic import music_statistics
from lstmmusic.statistics import (
    SHARES,
    held_notes,
    jensen_shannon,
    longest_held,
    note_name,
)
from midi import PackedRoll, RollArray, RollFormat, midiread, midiwrite

R = (38, 57)


def make_roll(seed, steps, share=0.4):
    """Return a roll in which notes are held, some to the last step."""
    rng = np.random.default_rng(seed)
    roll = (rng.random((steps, R[1] - R[0])) < share).astype(int)
    roll[:, rng.integers(0, R[1] - R[0], 9)] = 0
    roll[4:6] = 0
    return roll


@pytest.fixture
def roll():
    return make_roll(1, 41)


@pytest.fixture
def dataset():
    return [make_roll(2, 33, 0.5), make_roll(3, 57, 0.3), np.zeros((5, R[1] - R[0]))]


def notes_by_loop(roll):
    """Return (column, first, steps) of each note, cell by cell."""
    notes = []
    for column in range(len(roll[0])):
        held = 0
        for step in range(len(roll) + 1):
            if step < len(roll) and roll[step][column]:
                held += 1
            elif held:
                notes.append((column, step - held, held))
                held = 0
    return notes


def test_a_note_struck_again_is_two_notes(roll):
    """Fails if a mark without a held note counts, or if a mark sounds.

    The marks are random: many stand where nothing sounds, or where a note begins.
    """
    marks = make_roll(5, len(roll))
    expected = []
    for column in range(len(roll[0])):
        for step in range(len(roll)):
            if not roll[step][column]:
                continue
            held = step and roll[step - 1][column]
            if held and not marks[step][column]:
                expected[-1][1] += 1
            else:
                expected.append([step, step + 1, column])
    assert np.transpose(held_notes(roll, marks)).tolist() == expected
    lengths = [end - first for first, end, _ in expected]
    longest = max(expected, key=lambda note: note[1] - note[0])  # the lowest of equals
    assert longest_held(roll, marks) == (max(lengths), longest[2])
    plain, both = (
        music_statistics(tune, [tune], R) for tune in (roll, np.hstack([roll, marks]))
    )
    assert both.one_step_share == pytest.approx(np.mean(np.equal(lengths, 1)))
    assert both.dataset.one_step_share == both.one_step_share != plain.one_step_share
    assert (both.longest_held, both.longest_held_pitch) == (
        max(lengths),
        R[0] + longest[2],
    )
    assert both.dataset.longest_held == both.longest_held
    same = SHARES.keys() - {"one_step_share"} | {"steps", "notes_per_step"}
    for name in [*same, "silent_share", "distinct_notes", "longest_copied"]:
        assert getattr(both, name) == getattr(plain, name), name
    np.testing.assert_array_equal(both.pitch_classes, plain.pitch_classes)
    # The notes' lengths differ, so a data set without marks is some way off.
    compared = music_statistics(np.hstack([roll, marks]), [roll], R).distance_parts
    assert compared["pitch_classes"] == compared["notes_at_once"] == 0
    assert compared["note_lengths"] > 0


def test_a_roll_with_a_format_needs_no_range(roll):
    """Fails if its columns pass for the piano's, or if the format is lost."""
    format = RollFormat(R, 0.5, "beats")
    found = music_statistics(RollArray.of(roll, format))
    assert str(found) == str(music_statistics(roll, r=R))
    assert found.format is format
    assert music_statistics(roll, r=R).format is None
    assert music_statistics(PackedRoll.of(RollArray.of(roll, format))).format is format


def count_by_loop(rolls):
    """Return four {what: how often}: pitch classes, pitches, notes at once, lengths."""
    classes, pitches, at_once, lengths = {}, {}, {}, {}
    for roll in rolls:
        for row in roll:
            sounding = [n for n in range(len(row)) if row[n] == 1]
            at_once[len(sounding)] = at_once.get(len(sounding), 0) + 1
            for n in sounding:
                pitches[R[0] + n] = pitches.get(R[0] + n, 0) + 1
                classes[(R[0] + n) % 12] = classes.get((R[0] + n) % 12, 0) + 1
        for _, _, held in notes_by_loop(roll):
            lengths[held] = lengths.get(held, 0) + 1
    return classes, pitches, at_once, lengths


def check_numbers(statistics, rolls):
    classes, pitches, at_once, _ = count_by_loop(rolls)
    steps, cells = sum(map(len, rolls)), sum(pitches.values())
    assert statistics.steps == steps
    assert statistics.notes_per_step == pytest.approx(cells / steps)
    assert statistics.silent_share == pytest.approx(at_once.get(0, 0) / steps)
    assert statistics.distinct_notes == len(pitches)
    expected = [classes.get(n, 0) / cells for n in range(12)]
    np.testing.assert_allclose(statistics.pitch_classes, expected)
    notes = [note for roll in rolls for note in notes_by_loop(roll)]
    held = max(steps for _, _, steps in notes)
    lowest = min(column for column, _, steps in notes if steps == held)
    assert statistics.longest_held == held
    assert statistics.longest_held_pitch == R[0] + lowest


def test_numbers_are_those_of_plain_loops(roll):
    """Fails for a pitch class counted from column 0, or a note cut at the last step."""
    statistics = music_statistics(roll, r=R)
    check_numbers(statistics, [roll])
    assert (
        statistics.distance is statistics.distance_parts is statistics.dataset is None
    )


def test_data_set_is_pooled(roll, dataset):
    """Fails if tunes count alike whatever their length, or notes join across tunes."""
    check_numbers(music_statistics(roll, dataset, R).dataset, dataset)


def shares_by_loop(roll, other_tunes):
    """Return each share, step by step; other_tunes is None or a list of rolls."""
    chords = [frozenset(np.flatnonzero(row).tolist()) for row in roll]
    known = {
        frozenset(np.flatnonzero(row).tolist())
        for tune in other_tunes or ()
        for row in tune
    }
    apart = [
        {high - low for high in chord for low in chord if high > low}
        for chord in chords
    ]
    moves = [
        abs(max(chord) - max(before))
        for before, chord in itertools.pairwise(chords)
        if before and chord and max(chord) != max(before)
    ]
    lengths = [steps for _, _, steps in notes_by_loop(roll)]
    return {
        "semitone_share": [1 in found for found in apart],
        "seventh_ninth_share": [bool(found & {11, 13}) for found in apart],
        "four_notes_share": [len(chord) == 4 for chord in chords],
        "known_chord_share": [chord in known for chord in chords if chord]
        * (other_tunes is not None),
        "small_move_share": [move <= 2 for move in moves],
        "leap_share": [move > 7 for move in moves],
        "one_step_share": [length == 1 for length in lengths],
        "copied_share": copied_by_loop(roll, other_tunes or [])
        * (other_tunes is not None),
    }


def copied_by_loop(roll, other_tunes):
    """Return for each stretch of 8 steps with a note whether another tune has it."""
    return [
        any(
            all(
                roll[start + step][n] == tune[place + step][n]
                for step in range(8)
                for n in range(len(roll[0]))
            )
            for tune in other_tunes
            for place in range(len(tune) - 7)
        )
        for start in range(len(roll) - 7)
        if np.any(roll[start : start + 8])
    ]


def make_chords(seed, steps):
    """Return a roll of up to five notes at a step, which often comes again.

    Each begins with the same nine steps.
    """
    rng = np.random.default_rng(seed)
    chords = np.zeros((12, R[1] - R[0]), int)
    some = np.random.default_rng(0)
    for chord in chords[1:]:
        chord[some.integers(0, R[1] - R[0], 5)] = 1
    chords[1] = np.arange(R[1] - R[0]) == 2  # a low one, for leaps
    chosen = rng.integers(0, 7 + seed, steps)
    chosen[:9] = some.integers(0, 8, 9)
    return chords[chosen]


def test_shares_are_those_of_plain_loops(roll):
    """Fails for a silent step's top note, a move of 0 counted, or 12 taken for 11."""
    tune, tunes = make_chords(4, 61), [make_chords(n, 50 + n) for n in (1, 2, 3)]
    tunes.append(np.zeros((6, R[1] - R[0])))
    for one, others in ((roll, None), (tune, None), (tune, tunes)):
        found = music_statistics(one, others, R)
        for name, truths in shares_by_loop(one, others).items():
            expected = np.mean(truths) if truths else np.nan
            assert getattr(found, name) == pytest.approx(expected, nan_ok=True), name
            assert 0 < expected < 1 or others is None, name


def test_data_sets_shares_are_the_means_of_its_tunes():
    """Fails if long tunes count for more, or a chord is known by its own tune.

    The silent tune has no chord, no move and no note, so these means leave it out.
    """
    tunes = [make_chords(n, 30 * n) for n in (2, 3, 4)]
    tunes.append(np.zeros((6, R[1] - R[0])))
    found = music_statistics(tunes[0], tunes, R).dataset
    each = [
        shares_by_loop(tune, tunes[:n] + tunes[n + 1 :]) for n, tune in enumerate(tunes)
    ]
    for name in each[0]:
        expected = np.mean([np.mean(of[name]) for of in each if of[name]])
        assert getattr(found, name) == pytest.approx(expected), name
        assert 0 < expected < 1, name


def test_copied_stretches_by_hand():
    """Fails if 7 equal steps suffice, silence counts, or a stretch crosses two tunes.

    Steps are a letter each, "-" is silence.
    """

    def roll_of(letters):
        roll = np.zeros((len(letters), R[1] - R[0]), int)
        for step, letter in enumerate(letters):
            if letter != "-":
                roll[step, [3, ord(letter) - ord("a")]] = 1
        return roll

    def copied(letters, *tunes):
        found = music_statistics(roll_of(letters), map(roll_of, tunes), R)
        return found.copied_share, found.dataset.copied_share

    assert copied("abcdefgh", "iabcdefghi") == (1, 0)
    assert copied("abcdefgh", "abcdefgi", "bcdefghi") == (0, 0)
    assert copied("abcdefgh", "abcd", "efgh") == pytest.approx((0, np.nan), nan_ok=True)
    # The tune has 10 stretches with a note: abcdefgh and bcdefgh- are copied.  Of the
    # data set's, 2, 3 and 1, only abcdefgh is in two tunes.
    assert copied("abcdefgh-i" + 8 * "-", "abcdefghc", "aabcdefgh-", "abcdefgi") == (
        pytest.approx(2 / 10),
        pytest.approx((1 / 2 + 1 / 3 + 0) / 3),
    )
    assert math.isnan(copied("abcdefg", "abcdefgh")[0]), "no stretch"
    assert math.isnan(copied(9 * "-", 9 * "-")[0]), "silence is not copied"


def test_leap_and_small_move_by_hand():
    """Top line 0, 2, 2, –, 9, 17, 9: moves 2, 8, 8, as the rest parts 2 and 9."""
    roll = np.zeros((7, R[1] - R[0]), int)
    for step, top in enumerate((0, 2, 2, None, 9, 17, 9)):
        if top is not None:
            roll[step, top] = 1
    found = music_statistics(roll, r=R)
    assert found.small_move_share == pytest.approx(1 / 3)
    assert found.leap_share == pytest.approx(2 / 3)
    assert found.one_step_share == pytest.approx(4 / 5)
    assert math.isnan(found.known_chord_share)


def test_a_range_of_one_note_has_shares():
    found = music_statistics(np.ones((3, 1)), [np.ones((2, 1))], (60, 61))
    assert found.semitone_share == found.seventh_ninth_share == 0
    assert found.known_chord_share == 1
    assert math.isnan(found.small_move_share)


def test_distance_is_the_mean_of_three_divergences(roll, dataset):
    """SciPy's jensenshannon is the square root; fails for another base, or a sum."""
    statistics = music_statistics(roll, iter(dataset), R)
    mine, theirs = count_by_loop([roll]), count_by_loop(dataset)
    for name, p, q in (
        ("pitch_classes", mine[0], theirs[0]),
        ("notes_at_once", mine[2], theirs[2]),
        ("note_lengths", mine[3], theirs[3]),
    ):
        keys = sorted(p.keys() | q.keys())
        p, q = ([counts.get(key, 0) for key in keys] for counts in (p, q))
        expected = jensenshannon(p, q) ** 2
        assert statistics.distance_parts[name] == pytest.approx(expected), name
        assert expected > 0.001
    assert statistics.distance == pytest.approx(
        sum(statistics.distance_parts.values()) / 3
    )


def test_distance_to_itself_is_0_and_with_nothing_in_common_ln_2(roll):
    assert music_statistics(roll, [roll, roll], R).distance == 0
    one, other = np.zeros((2, 4, R[1] - R[0]))
    one[:, 0] = 1  # one note, held
    other[::2, 1:4] = 1  # three at once, of one step each, or none
    distance = music_statistics(one, [other], R).distance
    assert distance == pytest.approx(math.log(2))


def test_divergence_by_hand():
    """(1, 0) and (1/2, 1/2): m = (3/4, 1/4), H(m) − H(1/2, 1/2) / 2."""
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - math.log(2) / 2
    found = jensen_shannon(np.array([3, 0]), np.array([7.0, 7.0]))
    assert found == pytest.approx(expected)


def test_silence_has_finite_numbers(roll):
    statistics = music_statistics(0 * roll, [roll], R)
    assert statistics.notes_per_step == statistics.longest_held == 0
    assert statistics.distinct_notes == 0
    assert statistics.silent_share == 1
    assert not statistics.pitch_classes.any()
    assert statistics.longest_held_pitch is None
    parts = statistics.distance_parts
    assert parts["pitch_classes"] == parts["note_lengths"] == pytest.approx(math.log(2))
    assert music_statistics(0 * roll, [0 * roll], R).distance == 0
    assert "0 pitches\n" in str(statistics)


def test_notes_are_those_that_midiwrite_writes(roll):
    """Fails if a held note is several here, or there."""
    file = io.BytesIO()
    midiwrite(file, roll, R, 0.5)
    file.seek(0)
    written = midiread(file, R, 0.5)
    first, end, column = held_notes(roll)
    here = sorted(zip(0.5 * first, R[0] + column, 0.5 * end, strict=True))
    there = [
        (note["onset_s"], note["pitch"], note["offset_s"]) for note in written.notes
    ]
    np.testing.assert_allclose(here, there)
    # A MidiRoll is taken as well; silence at the end is not in a MIDI file.
    end = len(written.piano_roll)
    assert str(music_statistics(written, r=R)) == str(music_statistics(roll[:end], r=R))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_longest_held_takes_any_dtype(roll, dtype):
    notes = notes_by_loop(roll)
    longest = max(steps for _, _, steps in notes)
    column = min(column for column, _, steps in notes if steps == longest)
    assert longest_held(roll.astype(dtype)) == (longest, column)
    assert longest_held(np.zeros((7, 3), dtype)) == (0, None)
    assert longest_held(np.ones((7, 3), dtype)) == (7, 0)


def test_of_equals_the_data_sets_longest_note_is_the_lowest():
    high, low = np.zeros((2, 6, R[1] - R[0]))
    high[:3, 9] = low[:3, 4] = 1
    for dataset in ([high, low], [low, high], [0 * low, high, low]):
        pooled = music_statistics(high, dataset, R).dataset
        assert (pooled.longest_held, pooled.longest_held_pitch) == (3, R[0] + 4)


def test_printed_statistics_by_hand():
    """By hand: notes of 2, 2, 4 steps, in the data set of 1, 1, 2, 4."""
    roll = np.zeros((8, 88))
    roll[:4, 39] = 1  # C4
    roll[:2, 42] = roll[3:5, 42] = 1  # D♯4
    statistics = music_statistics(roll, [roll[:4], roll[4:]])
    assert str(statistics) == (
        "<MusicStatistics of 8 steps: 1.00 notes per step, 37.5% of the steps silent\n"
        "  2 pitches, C4 held longest: 4 steps\n"
        "  pitch classes: C 50%, D♯ 50%\n"
        "  steps with two notes 1 semitone apart: 0.0% (data set: 0.0%)\n"
        "  steps with two notes 11 or 13 semitones apart: 0.0% (data set: 0.0%)\n"
        "  steps with exactly 4 notes: 0.0% (data set: 0.0%)\n"
        "  chords that occur in the data set: 100.0% (data set: 0.0%)\n"
        "  moves of the top line of at most 2 semitones: 0.0% (data set: 0.0%)\n"
        "  moves of the top line of over 7 semitones: 0.0% (data set: 0.0%)\n"
        "  notes of one step: 0.0% (data set: 66.7%)\n"
        "  stretches of 8 steps that occur in the data set: 0.0%\n"
        "  stretches of 8 steps that occur in the data set in any key: 0.0%\n"
        "  longest run that occurs in the data set in any key: 4 steps\n"
        "  distance 0.075: pitch classes 0.000, notes at once 0.000, "
        "note lengths 0.225\n"
        "  from a data set of 1.00 notes per step, 37.5% of the steps silent>"
    )


def test_note_names():
    assert [note_name(p) for p in (21, 60, 61, 69, 108)] == [
        "A0", "C4", "C♯4", "A4", "C8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "r", "message"),
    [
        (np.zeros((3, 5)), R, r"roll has shape \(3, 5\); allowed are \(steps, 19\)"),
        (np.zeros((0, 19)), R, r"roll has shape \(0, 19\)"),
        (np.zeros((3, 37)), R, r"shape \(3, 37\); allowed .* or \(steps, 38\) with"),
        (np.full((3, 19), 0.25), R, "roll holds 0.25; allowed are zeros and ones"),
        (np.full((3, 19), np.nan), R, "roll holds nan"),
        (np.zeros((3, 19)), (38.0, 57), "first of r is 38.0"),
        (np.zeros((3, 19)), (57, 38), "second of r is 38; .* from 58 to 128"),
        (np.zeros((3, 19)), 19, "r is 19; allowed are two pitches"),
    ],
)
def test_rolls_and_ranges_that_are_not_allowed_are_named(value, r, message):
    with pytest.raises(ValueError, match=message):
        music_statistics(value, r=r)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "dataset is empty"),
        (7, "dataset is 7; allowed is a sequence"),
        ("tunes", "dataset is 'tunes'; allowed is a sequence"),
        (np.zeros((4, 19)), r"the dataset is one roll of shape \(4, 19\)"),
        ([np.zeros((4, 19)), np.zeros((4, 18))], "tune 1 of the dataset has shape"),
    ],
)
def test_data_sets_that_are_not_allowed_are_named(roll, dataset, message):
    with pytest.raises(ValueError, match=message):
        music_statistics(roll, dataset, R)
