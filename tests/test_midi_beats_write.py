"""Test midiwrite in beats and with notes struck again, read by mido and music21."""

import dataclasses
import io
import math
from collections import deque
from fractions import Fraction

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from midi_bytes import written

from midi import MidiError, PackedRoll, RollArray, RollFormat, midiread, midiwrite

EIGHTH = {"unit": "beats", "dt": 0.5, "r": (60, 61)}


def mido_notes(data):
    """Return mido's (pitch, onset tick, offset tick), its file, and its one tempo."""
    file = mido.MidiFile(file=io.BytesIO(data))
    sounding, notes, tick = {}, [], 0
    for message in file.tracks[0]:
        tick += message.time
        if message.type == "note_on" and message.velocity:
            sounding.setdefault(message.note, deque()).append(tick)
        elif message.type in ("note_on", "note_off"):
            notes.append((message.note, sounding[message.note].popleft(), tick))
    assert not any(sounding.values())
    (tempo,) = (m.tempo for m in file.tracks[0] if m.type == "set_tempo")
    return notes, file, tempo


def mido_roll(data, format):
    """Return the roll of a file in exact fractions, cell by cell."""
    notes, file, tempo = mido_notes(data)
    unit = Fraction(1, file.ticks_per_beat)
    if format.unit == "seconds":
        unit *= Fraction(tempo, 1_000_000)
    per_row = unit / Fraction(str(format.dt))
    rows = [(p, math.ceil(a * per_row), math.ceil(b * per_row)) for p, a, b in notes]
    roll = np.zeros((max(end for *_, end in rows), format.width), np.uint8)
    for pitch, first, end in rows:
        roll[first:end, pitch - format.r[0]] = 1
    for pitch, first, end in rows if format.restruck else ():
        column = pitch - format.r[0]
        if 0 < first < end:
            roll[first, format.notes + column] = roll[first - 1, column]
    return roll


grids = st.builds(
    Fraction, st.integers(1, 40), st.integers(1, 50) | st.integers(1, 32_767)
)
seconds = st.floats(0.001, 20) | st.sampled_from([1 / 3, 0.1 + 0.2, 0.3, 1 / 64])


@st.composite
def struck_rolls(draw, dts):
    """Return a roll with notes struck again, and its format, of either unit."""
    unit = draw(st.sampled_from(sorted(dts)))
    low = draw(st.integers(0, 120))
    r = low, draw(st.integers(low + 1, 128))
    format = RollFormat(r, draw(dts[unit]), unit, restruck=True)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = draw(st.integers(1, 60) | st.integers(300, 500))
    notes = rng.random((steps, format.notes)) < draw(st.floats(0.05, 1))
    notes[-1, 0] = True
    held = np.zeros_like(notes)
    held[1:] = notes[1:] & notes[:-1]
    struck = held & (rng.random(notes.shape) < draw(st.floats(0, 1)))
    return np.hstack([notes, struck]).astype(np.uint8), format


@given(struck_rolls({"beats": grids, "seconds": seconds}), st.floats(4, 400))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_mido_finds_every_note_where_it_was_struck(case, tempo):
    # Fails if a note is struck a tick after the last one ends, or before; if a step is
    # no whole number of ticks; or if the offset of one ends the other.
    roll, format = case
    beats = {"tempo": tempo} if format.unit == "beats" else {}
    data = written(RollArray.of(roll, format), **beats)
    assert np.array_equal(mido_roll(data, format), roll)
    begun = np.diff(roll[:, : format.notes], axis=0, prepend=np.uint8(0)) == 1
    notes, file, us_per_beat = mido_notes(data)
    assert len(notes) == begun.sum() + roll[:, format.notes :].sum()
    assert all(on < off for _, on, off in notes)
    if beats:
        assert us_per_beat == round(60e6 / tempo)
        assert file.ticks_per_beat * format.dt % 1 == 0  # the grid, exactly
        assert file.ticks_per_beat < 2**15


@given(struck_rolls({"beats": grids, "seconds": seconds}), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_reading_back_gives_the_same_roll_and_format(case, quantize):
    roll, format = case
    format = dataclasses.replace(format, quantize=quantize)
    grid = {"unit": format.unit, "quantize": quantize, "restruck": True}
    data = written(RollArray.of(roll, format))
    back = midiread(io.BytesIO(data), format.r, format.dt, **grid)
    assert np.array_equal(back.piano_roll, roll)
    assert back.format == format


notes_of_a_file = st.lists(
    st.tuples(st.integers(60, 63), st.integers(0, 300), st.integers(0, 100)),
    min_size=1,
    max_size=40,
)
grids_of_a_file = st.fixed_dictionaries(
    {
        "dt": st.sampled_from([0.2, 0.05, 0.01, 0.5, 1 / 3]),
        "unit": st.sampled_from(["beats", "seconds"]),
        "quantize": st.booleans(),
        "restruck": st.booleans(),
        "pedal": st.booleans(),
    }
)


@given(notes_of_a_file, grids_of_a_file)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_midiread_makes_is_given_back(notes, grid):
    # Notes of one pitch overlap, begin together or have no length; a pedal joins some.
    # Fails where midiread makes a roll that midiwrite refuses, or writes otherwise.
    track = mido.MidiTrack()
    events = [(100, "control_change", {"control": 64, "value": 127})]
    events += [(200, "control_change", {"control": 64, "value": 0})]
    for pitch, onset, length in notes:
        events += [(onset, "note_on", {"note": pitch})]
        events += [(onset + length, "note_off", {"note": pitch})]
    now = 0
    for tick, kind, fields in sorted(events, key=lambda event: event[0]):
        track.append(mido.Message(kind, time=tick - now, **fields))
        now = tick
    file = io.BytesIO()
    mido.MidiFile(tracks=[track], ticks_per_beat=48).save(file=file)
    file.seek(0)
    try:
        tune = midiread(file, (59, 65), **grid)
    except MidiError:  # no note has a length
        return
    if not tune.piano_roll.any():
        return
    back = io.BytesIO(written(tune))
    back = midiread(back, (59, 65), **grid, steps=len(tune.piano_roll))
    assert np.array_equal(back.piano_roll, tune.piano_roll)


def test_the_file_byte_by_byte():
    # Four eighths: struck, struck again, held, silent. Fails if the written format
    # changes, or if the second note begins before the first has ended.
    expected = bytes.fromhex(
        "4d546864 00000006 0000 0001 01e0"  # format 0, 1 track, 480 ticks per beat
        "4d54726b 00000021"
        "00 ff5103 0a2c2b"  # 666667 µs per beat: 90 a minute, to a µs
        "00 c000"
        "00 903c50"  # C4 on, velocity 80
        "8170 903c00"  # and off after 240 ticks
        "00 903c50"  # on again at once
        "8360 903c00"  # off after 480 ticks
        "8170 ff2f00"  # the fourth step is silent
    )
    roll = [[1, 0], [1, 1], [1, 0], [0, 0]]
    assert written(roll, **EIGHTH, tempo=90, velocity=80) == expected


@pytest.mark.parametrize(
    ("dt", "division", "ticks"),
    [
        (0.5, 480, 240),
        (0.25, 480, 120),
        (1, 480, 480),
        (4, 480, 1920),
        (Fraction(1, 3), 480, 160),
        (1 / 3, 480, 160),
        (Fraction(1, 32), 480, 15),
        (Fraction(1, 64), 512, 8),  # 480 is no multiple of 64
        (Fraction(2, 7), 483, 138),
        (Fraction(1, 32_767), 32_767, 1),
    ],
)
def test_a_step_is_a_whole_number_of_ticks(dt, division, ticks):
    notes, file, tempo = mido_notes(
        written([[1], [1], [1]], (60, 61), dt, unit="beats")
    )
    assert (file.ticks_per_beat, notes) == (division, [(60, 0, 3 * ticks)])
    assert tempo == 500_000  # 120 a minute, the default


def test_a_notation_program_shows_eighths_at_the_tempo_given(tmp_path):
    # Fails if a step is a beat: music21 would then read quarters at 180 a minute.
    converter = pytest.importorskip("music21.converter")
    path = tmp_path / "eighths.mid"
    midiwrite(path, [[1, 0], [1, 1], [1, 0], [0, 0], [1, 0]], **EIGHTH, tempo=90)
    score = converter.parse(path)
    lengths = [(n.isNote, n.quarterLength) for n in score.flatten().notesAndRests]
    bar_end = (False, 1.5)  # music21 fills the bar of 4/4
    assert lengths == [(True, 0.5), (True, 1), (False, 0.5), (True, 0.5), bar_end]
    (mark,) = score.flatten().getElementsByClass("MetronomeMark")
    assert mark.number == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize("us_per_beat", [1, 1_000_000, 700_001, 2**24 - 1])
def test_a_MidiRoll_in_beats_is_written_at_its_own_tempo(us_per_beat):
    # Fails if it is written at 120, or if the slowest tempo of a file is refused.
    tempo = 60e6 / us_per_beat
    file = io.BytesIO(written([[1]] * 8, **EIGHTH, tempo=tempo))
    tune = midiread(file, EIGHTH["r"], 0.5, unit="beats")
    assert mido_notes(written(tune))[2] == us_per_beat
    assert mido_notes(written(tune, tempo=90))[2] == round(60e6 / 90)
    assert mido_notes(written(tune.piano_roll))[2] == 500_000
    if us_per_beat == 1_000_000:  # in seconds its step says how fast it is
        file.seek(0)
        tune = midiread(file, EIGHTH["r"], 0.5)
        assert mido_notes(written(tune, dt=0.5, unit="beats"))[2] == 500_000


@pytest.mark.parametrize("tempo", [4, 60, 97.3, 120, Fraction(200, 3), 1000])
def test_the_tempo_written_is_the_tempo_given(tempo):
    *_, us_per_beat = mido_notes(written([[1]], **EIGHTH, tempo=tempo))
    assert us_per_beat == round(60_000_000 / tempo)


def test_a_roll_brings_its_own_unit():
    format = RollFormat((60, 61), 0.5, "beats")
    roll = RollArray.of([[1], [1]], format)
    expected = written([[1], [1]], **EIGHTH)
    for own in (roll, PackedRoll.of(roll), PackedRoll.of([[1], [1]], format=format)):
        assert written(own) == expected
        assert written(own, dt=0.25) == written([[1], [1]], **{**EIGHTH, "dt": 0.25})
        assert written(own, dt=0.5, unit="seconds") == written(
            [[1], [1]], (60, 61), 0.5
        )
        # Half a beat must not become half a second unasked.
        with pytest.raises(
            ValueError, match=r"unit is 'seconds', .* dt is 1/2 in beats"
        ):
            written(own, unit="seconds")


def test_a_roll_of_notes_struck_again_keeps_its_width():
    # 4 columns are 2 pitches twice, or 4 pitches: r must not turn one into the other.
    struck = RollArray.of([[1, 1, 0, 0]], RollFormat((60, 62), 0.5, restruck=True))
    plain = RollArray.of([[1, 1, 0, 0]], RollFormat((60, 64), 0.5))
    assert written(struck) == written([[1, 1]], (60, 62), 0.5)
    for roll, r in ((struck, (60, 64)), (plain, (60, 62))):
        with pytest.raises(ValueError, match="but the roll's format is of pitches 60"):
            written(roll, r=r)


def test_the_first_row_of_a_slice_may_be_struck_again():
    # The row before is cut off, so there is nothing to end.
    roll = np.array([[1, 0], [1, 1], [1, 0], [1, 1]])
    assert written(roll[1:], **EIGHTH) == written([[1, 0], [1, 0], [1, 1]], **EIGHTH)


@pytest.mark.parametrize(
    ("roll", "message"),
    [
        (
            [[1, 0], [0, 1]],
            r"1 at \[1, 1\]: pitch 60 .* step 1, where it does not sound;",
        ),
        ([[0, 0], [1, 1]], r"1 at \[1, 1\]: .* where it did not sound before; allowed"),
        ([[0, 1], [1, 0]], r"1 at \[0, 1\]: .* step 0, where it does not sound"),
        (
            [[1, 0, 0]],
            r"shape \(1, 3\) .* \(steps, 1\), or \(steps, 2\) with notes str",
        ),
    ],
)
def test_what_cannot_be_struck_again_is_refused(roll, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        midiwrite(tmp_path / "bad.mid", roll, **EIGHTH)
    assert list(tmp_path.iterdir()) == []


SECONDS = {"unit": "seconds", "tempo": 120}
BAD_ARGUMENTS = [
    (SECONDS, r"tempo is 120; allowed with unit='seconds': None"),
    ({"tempo": 0}, r"tempo is 0; allowed: .* from 3.58 to 60000000"),
    ({"tempo": 3.57}, "tempo is 3.57"),
    ({"tempo": 2e8}, "tempo is 200000000.0"),
    ({"tempo": True}, "tempo is True"),
    ({"tempo": math.nan}, "tempo is nan"),
    ({"tempo": math.inf}, "tempo is inf"),
    ({"tempo": 5e-324}, "tempo is 5e-324"),
    ({"tempo": "120"}, "tempo is '120'"),
    ({"velocity": 0}, "velocity is 0; allowed: a whole number from 1 to 127"),
    ({"velocity": 128}, "velocity is 128"),
    ({"velocity": 1.5}, "velocity is 1.5"),
    ({"unit": "bars"}, "unit is 'bars'; allowed: 'seconds' and 'beats'"),
    ({"dt": Fraction(1, 40_000)}, r"dt is Fraction\(1, 40000\); .* up to 32767"),
    ({"dt": 1e-5}, r"dt is 1e-05; .* at least 1/1000"),
    ({"dt": 0}, "dt is 0"),
    ({"dt": 10**400}, "dt is 1000000"),
    ({"dt": 2**31}, r"dt is 2147483648 beats, for 1 step; .* 2147483647 ticks of 1/1"),
    ({"dt": 1e300}, "ticks of 1/1 beat"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused_and_nothing_is_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        midiwrite(tmp_path / "bad.mid", [[1]], **{**EIGHTH, **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "dt", "multiple"),
    [
        (2, Fraction(40_000, 7), 69),  # 483 ticks a beat; deltas of 2**21
        (2, Fraction(3_000_000, 7), 69),  # deltas of 2**28 - 1 and the rest
        (1000, Fraction(40_000, 7), 53),  # 69 would pass 2**31 ticks
        (1000, Fraction(2_000_000, 7), 1),
    ],
)
def test_the_longest_rolls_fit_the_file(steps, dt, multiple):
    roll = np.zeros((steps, 1), np.uint8)
    roll[-1] = 1
    data = written(roll, (60, 61), dt, unit="beats")
    notes, file, _ = mido_notes(data)
    assert file.ticks_per_beat == 7 * multiple
    ticks = dt * 7 * multiple
    assert notes == [(60, (steps - 1) * ticks, steps * ticks)]
    back = midiread(io.BytesIO(data), (60, 61), dt, unit="beats")
    assert np.array_equal(back.piano_roll, roll)


def test_rolls_that_pass_the_file_s_ticks_are_refused():
    with pytest.raises(
        ValueError, match=r"1000 steps; allowed: up to 2147483647 ticks"
    ):
        written(np.ones((1000, 1)), (60, 61), Fraction(3_000_000, 7), unit="beats")


def test_a_time_signature_is_read_and_written():
    """Fails if the denominator's power, or the order of the two, is another."""
    file = io.BytesIO()
    roll = np.ones((6, 1), int)
    midiwrite(file, roll, (60, 61), 0.5, unit="beats", time_signature=(6, 8))
    assert b"\x00\xff\x58\x04\x06\x03\x18\x08" in file.getvalue()  # 6 / 2**3
    read = mido.MidiFile(file=io.BytesIO(file.getvalue()))
    (meter,) = [m for m in read.tracks[0] if m.type == "time_signature"]
    assert (meter.numerator, meter.denominator) == (6, 8)
    tune = midiread(io.BytesIO(file.getvalue()), (60, 61), 0.5, unit="beats")
    assert tune.time_signature == (6, 8)
    again = io.BytesIO()
    midiwrite(again, tune)
    assert again.getvalue() == file.getvalue()
    plain = io.BytesIO()
    midiwrite(plain, roll, (60, 61), 0.5, unit="beats")
    assert b"\xff\x58" not in plain.getvalue()
    assert midiread(io.BytesIO(plain.getvalue()), (60, 61), 0.5).time_signature is None


@pytest.mark.parametrize("value", [(3,), (3, 5), (0, 4), (256, 4), (3, 256), "34", 3])
def test_other_time_signatures_are_refused(value):
    with pytest.raises(ValueError, match=r"time_signature is .* power of 2 up to 128"):
        midiwrite(io.BytesIO(), [[1]], (60, 61), unit="beats", time_signature=value)


def test_a_time_signature_in_seconds_is_refused():
    with pytest.raises(ValueError, match=r"time_signature is \(3, 4\); .*seconds"):
        midiwrite(io.BytesIO(), [[1]], (60, 61), time_signature=(3, 4))
