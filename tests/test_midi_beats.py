"""Test midiread in quarter notes, quantized, and to the end of the file."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from midi_bytes import ONE_NOTE, read, smf

from midi import MidiError, midiread
from midi.clock import seconds_to_steps, ticks_to_steps

C4 = (60, 61)
EIGHTH = Fraction(1, 2)
# Two quarters at two tempos: in seconds 0 to 1 and 1 to 1.25, in beats 0 to 1 to 2.
TWO_TEMPOS = smf(
    "00 ff5103 0f4240"  # tick 0: 1,000,000 µs per beat, 60 beats per minute
    "8360 ff5103 03d090",  # tick 480: 250,000 µs per beat, 240 beats per minute
    "00 903c40 8360 803c40"  # C4, tick 0 to 480
    "00 903e40 8360 803e40",  # D4, tick 480 to 960
)


def column(result, pitch=60):
    return result.piano_roll[:, pitch - result.r[0]].tolist()


def test_beats_do_not_follow_the_tempo():
    # Fails if dt is taken as seconds, or as beats of the first tempo.
    result = read(TWO_TEMPOS, (60, 63), 0.5, unit="beats")
    assert result.piano_roll.tolist() == [[1, 0, 0]] * 2 + [[0, 0, 1]] * 2
    assert result.notes.dtype.names == ("pitch", "onset_beats", "offset_beats")
    assert result.notes.tolist() == [(60, 0.0, 1.0), (62, 1.0, 2.0)]
    assert (result.unit, result.dt) == ("beats", EIGHTH)
    assert "4 steps of 1/2 beat" in repr(result)


@pytest.mark.parametrize("unit", ["seconds", "beats"])
def test_the_tempo_map_is_kept_as_data(unit):
    # 2 quarters in 1.25 s: 96 a minute. The second tempo holds from 1 s on.
    result = read(TWO_TEMPOS, unit=unit)
    assert result.tempo == pytest.approx(96, rel=1e-15)
    assert result.tempos.tolist() == [(0, 0, 60), (1, 1, 240)]
    assert result.tempos.dtype.names == ("onset_beats", "onset_s", "tempo")


def test_the_mean_tempo_is_of_the_sounding_time():
    # Fails if the beat before the note, at 60, or that of percussion, at 240, counts.
    data = smf(
        "00 ff5103 0f4240 8360 ff5103 07a120 8360 ff5103 03d090",  # 60, 120, 240
        "8360 903c40 8360 803c40 00 992440 8360 892440",  # C4, tick 480 to 960; a drum
    )
    assert read(data).tempo == 120


def test_a_file_without_a_tempo_has_120_and_of_two_on_one_tick_the_last_counts():
    assert read(ONE_NOTE).tempos.tolist() == [(0, 0, 120)]
    data = smf("00 ff5103 0f4240 00 ff5103 07a120 00 903c40 60 803c40")
    assert read(data).tempos.tolist() == [(0, 0, 120)]
    data = smf("60 ff5103 0f4240 60 ff5103 0f4240 00 903c40 60 803c40")
    assert read(data).tempos.tolist() == [(0, 0, 120), (0.2, 0.1, 60)]


def test_a_note_of_no_length_has_the_tempo_of_its_tick():
    data = smf("60 ff5103 0f4240 00 903c40 00 803c40")
    assert read(data, quantize=True).tempo == 60


def test_smpte_time_has_no_beats():
    data = smf("00 903c40 8360 803c40", division="e728")
    with pytest.raises(MidiError, match="SMPTE time has no beats; allowed: unit='sec"):
        read(data, unit="beats")
    result = read(data)
    assert (result.tempo, result.tempos, result.end_beats) == (None, None, None)
    assert result.end_s == 0.48


@pytest.mark.parametrize("denominator", [3, 7, 480, 1001, 32767])
def test_notes_on_the_grid_never_move(denominator):
    # 200 notes of one row each, at division 32,767 = 7 * 31 * 151, in whole ticks
    # where they can be. Fails if rows are found in floats, or dt is one.
    dt = Fraction(1, denominator)
    tick = np.arange(200) * 32767 // denominator
    rows = ticks_to_steps(tick, 32767, dt)
    exact = [math.ceil(Fraction(int(t), 32767) / dt) for t in tick]
    assert rows.tolist() == exact
    if 32767 % denominator == 0:
        assert rows.tolist() == list(range(200))


@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 2**15 - 1),
    st.integers(1, 2**15 - 1),
    st.integers(1, 10**40),
    st.booleans(),
)
@example(2**31 - 1, 2**15 - 1, 1, 10**40, True)
def test_rows_are_those_of_exact_fractions(tick, division, denominator, numer, nearest):
    # Fails if a product passes 64 bits, for the latest ticks or the longest steps.
    dt = Fraction(numer, denominator)
    exact = Fraction(tick, division) / dt
    expected = math.floor(exact + Fraction(1, 2)) if nearest else math.ceil(exact)
    assert ticks_to_steps(np.array([tick]), division, dt, nearest)[0] == expected


def test_triplets_stand_on_a_grid_of_thirds():
    track = "00 903c40 8120 803c40" + "00 903e40 8120 803e40" * 2  # 160 ticks each
    for dt in (Fraction(1, 3), 1 / 3):
        result = read(smf(track), (60, 63), dt, unit="beats")
        assert result.dt == Fraction(1, 3)
        assert result.piano_roll.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_any_number_of_rows_up_to_the_cells_allowed():
    # 200 hours: in beats no limit, as 10 rows are few. Fails if seconds are counted.
    data = smf(
        "00 ff5103 ffffff"  # 16.8 s per beat of 480 ticks
        "00 903c40 97a6f000 803c40",  # 48,856,064 ticks: 101,784 beats, 474 hours
    )
    result = read(data, C4, 20_000, unit="beats")
    assert len(result.piano_roll) == 6
    with pytest.raises(MidiError, match="24 hours"):
        read(data, C4, 60)
    with pytest.raises(
        MidiError, match="steps of 88 columns; allowed: up to 100000000"
    ):
        read(data, dt=0.01, unit="beats")
    with pytest.raises(ValueError, match="steps of 176 columns"):
        read(data, steps=10**6, unit="beats", restruck=True)


# Quantized

PLAYED = smf(
    # At 480 ticks, a sixteenth has 120 and its half 60.
    "3b 903c40"  # C4 on at tick 59: before the half, row 0
    "01 904040"  # E4 at tick 60: on the half, up to row 1
    "01 904340"  # G4 at tick 61: row 1
    "05 803c40"  # C4 off at tick 66, after 7 ticks: rounded to row 1
    "8111 804040"  # E4 off at tick 211: row 2
    "00 804340"
    "1d 904540"  # A4 at tick 240: row 2
    "01 804540"  # A4 off at tick 241: row 2, and so 3
)


def test_quantize_moves_to_the_nearest_row_and_leaves_a_row_at_least():
    # Fails if halves go down or to the even row, or a short note is lost.
    result = read(PLAYED, (60, 70), 0.25, unit="beats", quantize=True)
    assert [column(result, p) for p in (60, 64, 67, 69)] == [
        [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1],
    ]  # fmt: skip
    assert set(result.left_out.values()) == {0}
    assert result.quantize
    plain = read(PLAYED, (60, 70), 0.25, unit="beats")
    assert [column(plain, p) for p in (60, 64, 67, 69)] == [
        [0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1],
    ]  # fmt: skip
    assert plain.left_out["between steps"] == 1


def test_quantize_in_seconds_is_the_same_where_the_tempo_is_steady():
    # At 120 a minute a sixteenth has 0.125 s. Fails if halves are rounded down in
    # floats, or to the even row.
    beats = read(PLAYED, (60, 70), 0.25, unit="beats", quantize=True)
    seconds = read(PLAYED, (60, 70), 0.125, quantize=True)
    assert np.array_equal(beats.piano_roll, seconds.piano_roll)


@pytest.mark.parametrize("dt", [0.1, 0.3, 0.7, 1.1, 0.07])
def test_halves_go_up_in_decimal_seconds(dt):
    # The floats of (k + 1/2) dt are often below the half: 0.7 * 1.5 / 0.7 < 1.5.
    k = np.arange(2000)
    ms = (2 * k + 1) * round(dt * 1000) / 2
    assert seconds_to_steps(ms / 1000, dt, nearest=True).tolist() == (k + 1).tolist()
    late = ms / 1000 * (1 - 1e-9)
    assert seconds_to_steps(late, dt, nearest=True).tolist() == k.tolist()


def test_strikes_in_one_step_are_one_note_and_counted():
    data = smf(
        "00 903c40 0a 803c40 0a 903c40 0a 803c40"  # C4 at ticks 0 and 20
        "00 913e40 00 923e40 60 813e40 00 823e40"  # D4 on two channels at tick 30
    )
    result = read(data, (60, 63), 0.5, unit="beats", quantize=True)
    assert result.piano_roll.tolist() == [[1, 0, 1]]
    assert result.doubled == 2
    assert "4 notes, 2 doubled, left out: none" in repr(result)
    assert read(data, (60, 63), 0.01).doubled == 1


# To the end of the file

THREE_ENDS = smf(
    "00 903c40 60 803c40",  # C4, ticks 0 to 96; the track ends there
    "8740 ff0100",  # a text at tick 960; the track ends there: 2 beats, 1 s
)


def test_steps_end_adds_the_silence_up_to_the_last_track_s_end():
    for unit, dt, rows in [("seconds", 0.3, 4), ("beats", 0.6, 4), ("beats", 0.5, 4)]:
        result = read(THREE_ENDS, C4, dt, unit=unit, steps="end")
        assert column(result) == [1] * 1 + [0] * (rows - 1)
        assert (result.end_s, result.end_beats) == (1.0, 2.0)
        assert len(read(THREE_ENDS, C4, dt, unit=unit).piano_roll) == 1


def test_steps_end_cuts_no_quantized_note():
    # C4 from tick 288 to 300, of 480: row 1, which begins where the file has ended.
    data = smf("8220 903c40 0c 803c40")
    result = read(data, C4, 1, unit="beats", steps="end", quantize=True)
    assert column(result) == [0, 1]
    assert result.left_out["after steps"] == 0


def test_an_end_too_far_away_is_refused():
    data = smf("00 903c40 60 803c40 ffffff7f ff0100")  # 2**28 ticks: 77 hours
    assert len(read(data).piano_roll) == 1
    with pytest.raises(MidiError, match="24 hours"):
        read(data, steps="end")
    with pytest.raises(MidiError, match="cells"):
        read(data, steps="end", unit="beats", dt=0.1)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "bars"}, "unit is 'bars'; allowed: 'seconds' and 'beats'"),
        ({"unit": "beats", "dt": 1e-5}, "dt is 1e-05; allowed in beats"),
        ({"unit": "beats", "dt": Fraction(1, 2**15)}, "dt is Fraction"),
        ({"quantize": 1}, "quantize is 1; allowed are True and False"),
        ({"restruck": None}, "restruck is None; allowed are True and False"),
        ({"steps": "begin"}, "steps is 'begin'; allowed: None, 'end', or a whole"),
        ({"unended": "keep"}, "unended is 'keep'; allowed: 'drop' and 'hold'"),
        ({"unended": None}, "unended is None; allowed: 'drop' and 'hold'"),
    ],
)
def test_bad_arguments_are_refused_before_the_file_is_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        midiread("no such file.mid", **arguments)
