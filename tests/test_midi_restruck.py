"""Test notes struck again, the pedal under them, notes never ended, and all at once.

The last test compares midiread with mido, fractions and plain loops.
"""

import io
import math
from collections import deque
from fractions import Fraction

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from midi_bytes import file_of, read, scores, smf, ticks_480

from midi import MidiError, PackedRoll

EIGHTHS = {"r": (60, 63), "dt": 0.5, "unit": "beats"}


def halves(result, pitch=60):
    """Return what sounds of a pitch, and where it is struck again, as two lists."""
    first, notes = pitch - result.r[0], result.format.notes
    roll = result.piano_roll
    return roll[:, first].tolist(), roll[:, first + notes].tolist()


REPEATED = smf(
    "00 903c40 8170 803c40"  # C4, ticks 0 to 240: an eighth
    "00 903c40 8170 803c40"  # C4 again at once, 240 to 480
    "8170 903c40 8170 803c40"  # C4 after an eighth's rest, 720 to 960
    "00 903e40 8360 803e40"  # D4, 960 to 1440: held for two eighths
)


def test_a_note_struck_again_at_once_is_marked():
    # Fails if a note after a rest, or the first of all, is marked.
    result = read(REPEATED, **EIGHTHS, restruck=True)
    assert result.piano_roll.shape == (6, 6)
    assert halves(result, 60) == ([1, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0])
    assert halves(result, 62) == ([0, 0, 0, 0, 1, 1], [0] * 6)
    plain = read(REPEATED, **EIGHTHS)
    assert np.array_equal(plain.piano_roll, result.piano_roll[:, :3])
    assert (plain.restruck, result.restruck) == (False, True)
    assert result.piano_roll.format == result.format


def test_a_note_struck_while_another_of_its_pitch_sounds_is_marked():
    data = smf(
        "00 903c40 8360 803c40",  # C4, ticks 0 to 480
        "8170 913c40 60 813c40",  # C4 on channel 2, 240 to 336: within the first
    )
    assert halves(read(data, **EIGHTHS, restruck=True)) == ([1, 1], [0, 1])


def test_strikes_count_after_placing():
    # C4 ends at tick 230, and is struck again at 250: a short rest, which no row of an
    # eighth shows. Fails if marks are made from ticks.
    data = smf("00 903c40 8166 803c40 14 903c40 8166 803c40")
    quantized = read(data, **EIGHTHS, restruck=True, quantize=True)
    assert halves(quantized) == ([1, 1], [0, 1])
    # Sampled, the second begins in row 2, 480: row 1 is silent no more than row 0.
    sampled = read(data, **EIGHTHS, restruck=True)
    assert halves(sampled) == ([1, 0], [0, 0])
    assert sampled.left_out["between steps"] == 1


def test_a_note_that_reaches_no_row_strikes_nothing():
    data = smf(
        "00 903c40 8360 803c40",  # C4, ticks 0 to 480
        "8171 913c40 0a 813c40",  # C4, ticks 241 to 251: in no row of an eighth
    )
    result = read(data, **EIGHTHS, restruck=True)
    assert halves(result) == ([1, 1], [0, 0])
    assert result.left_out["between steps"] == 1


def test_marks_are_cut_and_padded_with_the_roll():
    for steps in (1, 2, 9):
        result = read(REPEATED, **EIGHTHS, restruck=True, steps=steps)
        assert result.piano_roll.shape == (steps, 6)
        assert halves(result)[1] == ([0, 1] + 7 * [0])[:steps]


def test_packed_rolls_keep_the_marks():
    tune = read(REPEATED, **EIGHTHS, restruck=True)
    packed = PackedRoll.of(tune)
    assert np.array_equal(packed.piano_roll, tune.piano_roll)
    assert packed.format == tune.format


# Under the pedal, a note ends where it is struck again.

PEDAL = {
    "struck again under it": (
        "00 b0407f 00 903c40 60 803c40"  # pedal down; C4, ticks 0 to 96
        "60 903c40 60 803c40 60 b04000",  # C4 192 to 288; pedal up at 384
        [(60, 0, 192), (60, 192, 384)],
    ),
    "struck again on its last tick": (
        "00 b0407f 00 903c40 60 803c40 00 903c40 60 803c40 60 b04000",
        [(60, 0, 96), (60, 96, 288)],
    ),
    "struck while it sounds": (  # on 0, on 96, off 192, off 288, up 384
        "00 b0407f 00 903c40 60 903c40 60 803c40 60 803c40 60 b04000",
        [(60, 0, 384), (60, 96, 384)],
    ),
    "another pitch": (
        "00 b0407f 00 903c40 60 803c40 60 903e40 60 803e40 60 b04000",
        [(60, 0, 384), (62, 192, 384)],
    ),
    "the same pitch on another channel": (
        "00 b0407f 00 903c40 60 803c40 60 913c40 60 813c40 60 b04000",
        [(60, 0, 384), (60, 192, 288)],
    ),
    "struck again after the pedal": (
        "00 b0407f 00 903c40 60 803c40 60 b04000 60 903c40 60 803c40",
        [(60, 0, 192), (60, 288, 384)],
    ),
    "notes of no length, twice on one tick": (
        "00 b0407f 60 903c40 00 803c40 00 903c40 00 803c40 60 b04000",
        [(60, 96, 192), (60, 96, 192)],
    ),
    "struck, and never ended": (  # struck again on 192, no note, yet a strike
        "00 b0407f 00 903c40 60 803c40 60 903c40 60 b04000",
        [(60, 0, 192)],
    ),
}


@pytest.mark.parametrize("case", PEDAL)
def test_the_pedal_holds_a_note_until_it_is_struck_again(case):
    track, notes = PEDAL[case]
    assert ticks_480(read(smf(track), pedal=True)) == notes


def test_a_strike_in_another_track_of_the_channel_ends_a_held_note():
    data = smf(
        "00 b0407f 00 903c40 60 803c40 60 b04000", "60 b0407f 20 903c40 20 803c40"
    )
    assert ticks_480(read(data, pedal=True)) == [(60, 0, 128), (60, 128, 192)]


def test_notes_struck_under_the_pedal_are_marked():
    track, _ = PEDAL["struck again under it"]
    result = read(smf(track), (60, 61), 0.2, unit="beats", pedal=True, restruck=True)
    assert halves(result) == ([1, 1, 1, 1], [0, 0, 1, 0])


# Notes never ended

UNENDED = smf(
    "00 903c40 60 803c40 00 903c40 60 ff0100",  # C4, 0 to 96; again, to the track's end
    "60 903e40 00 903e40 60 803e40 8170 ff0100",  # D4 twice from 96; one ends at 192
)


def test_notes_never_ended_last_to_the_end_of_their_track_if_asked():
    # Fails if they last to the end of the file, tick 432, or the wrong D4 is held.
    assert ticks_480(read(UNENDED)) == [(60, 0, 96), (62, 96, 192)]
    assert "2 never ended (unended='hold' keeps them)" in repr(read(UNENDED))
    held = read(UNENDED, unended="hold")
    assert sorted(ticks_480(held)) == [
        (60, 0, 96), (60, 96, 192), (62, 96, 192), (62, 96, 432),
    ]  # fmt: skip
    assert held.left_out["never ended"] == 0


def test_held_notes_are_percussion_out_of_range_and_pedalled_like_others():
    data = smf("00 992440 00 900240 00 903c40 00 b0407f 60 b04000", "8170 ff0100")
    result = read(data, unended="hold")
    assert ticks_480(result) == [(60, 0, 96)]
    assert (result.left_out["percussion"], result.left_out["below r"]) == (1, 1)
    # The pedal of another track is up at tick 240, after the note's own track's end.
    data = smf("00 903c40 60 ff0100", "00 b0407f 8170 b04000")
    assert ticks_480(read(data, unended="hold", pedal=True)) == [(60, 0, 240)]


def test_a_file_of_notes_never_ended_says_how_to_hold_them():
    data = smf("00 903c40 60 ff0100")
    with pytest.raises(MidiError, match=r"1 never ended \(unended='hold' keeps them"):
        read(data)
    assert ticks_480(read(data, unended="hold")) == [(60, 0, 96)]


# All at once


class Oracle:
    """Read a mido.MidiFile in exact fractions and plain loops."""

    def __init__(self, file, options):
        self.options = options
        self.strikes, self.changes, self.end = [], [], 0
        tick = 0
        notes = []
        for track in file.tracks:
            tick, sounding = 0, {}
            for message in track:
                tick += message.time
                if message.type == "control_change":
                    self.changes.append((tick, message.channel, message.value >= 64))
                if message.type not in ("note_on", "note_off"):
                    continue
                key = message.channel, message.note
                if message.type == "note_on" and message.velocity:
                    sounding.setdefault(key, deque()).append(tick)
                    self.strikes.append((*key, tick))
                elif sounding.get(key):
                    notes.append((*key, sounding[key].popleft(), tick))
            self.end = max(self.end, tick)
            if options["unended"] == "hold":
                notes += [(*k, on, tick) for k, ons in sounding.items() for on in ons]
        self.changes.sort(key=lambda change: change[0])
        self.notes = notes
        if options["pedal"]:
            self.notes = [(*note[:3], self.held_until(note)) for note in notes]

    def held_until(self, note):
        """Return where the pedal ends a note, in ticks."""
        channel, pitch, on, off = note
        down = False
        for tick, _, is_down in (c for c in self.changes if c[1] == channel):
            if tick <= off:
                down = is_down
        if not down:
            return off
        ends = [self.end]
        for tick, changed, is_down in self.changes:
            if changed == channel and tick > off and not is_down:
                ends.append(tick)
        for *struck, tick in self.strikes:
            if struck == [channel, pitch] and tick >= off and tick > on:
                ends.append(tick)
        return min(ends)

    def rows(self, on, off):
        """Return a note's first row and the row after its last."""
        ticks = self.options["ticks"]
        if not self.options["quantize"]:
            return math.ceil(on / ticks), math.ceil(off / ticks)
        first, end = (math.floor(t / ticks + Fraction(1, 2)) for t in (on, off))
        return first, max(end, first + 1)

    def roll(self, r):
        """Return the roll, the number of doubled notes, or None if no row is left."""
        kept = [
            (pitch, *self.rows(Fraction(on), Fraction(off)))
            for channel, pitch, on, off in self.notes
            if r[0] <= pitch < r[1] and (channel != 9 or self.options["drums"])
        ]
        length = max((end for *_, end in kept), default=0)
        if kept and self.options["steps"] == "end":
            length = max(length, math.ceil(self.end / self.options["ticks"]))
        width = r[1] - r[0]
        roll, begun, doubled = np.zeros((length, 2 * width), np.uint8), set(), 0
        for pitch, first, end in kept:
            roll[first:end, pitch - r[0]] = 1
            doubled += first < end and (first, pitch) in begun
            begun |= {(first, pitch)} if first < end else set()
        for row, pitch in begun:
            if row and roll[row - 1, pitch - r[0]]:
                roll[row, width + pitch - r[0]] = 1
        width *= 2 if self.options["restruck"] else 1
        return (roll[:, :width], doubled) if length else None


OPTIONS = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(["seconds", "beats"]),
        "quantize": st.booleans(),
        "restruck": st.booleans(),
        "pedal": st.booleans(),
        "drums": st.booleans(),
        "unended": st.sampled_from(["drop", "hold"]),
        "steps": st.sampled_from([None, "end"]),
    }
)


@given(scores(), st.sampled_from([1, 2, 3, 7]), OPTIONS)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_combination_gives_the_roll_of_plain_loops(tracks, ticks, options):
    # A row has 1, 2, 3 or 7 ticks, in either unit.
    data, r = file_of(tracks), (60, 62)
    file = mido.MidiFile(file=io.BytesIO(data))
    expected = Oracle(file, {**options, "ticks": ticks}).roll(r)
    dt = ticks / 960 if options["unit"] == "seconds" else Fraction(ticks, 480)
    if expected is None:
        with pytest.raises(MidiError, match="no notes"):
            read(data, r, dt, **options)
        return
    roll, doubled = expected
    result = read(data, r, dt, **options)
    assert np.array_equal(result.piano_roll, roll)
    assert result.doubled == doubled
