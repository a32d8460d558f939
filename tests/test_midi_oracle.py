"""Test midiread against an independent reader: mido, fractions and plain loops."""

import io
import math
from collections import deque
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import pytest
from test_midi_read import read

from midi import MidiError, midiread

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")


def mido_roll(file, r, dt):
    """Return the roll of a mido.MidiFile, cell by cell, in exact fractions."""
    events, tempos = [], []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                tempos.append((tick, message.tempo))
            events.append((tick, id(track), message))
    tempos.sort(key=lambda item: item[0])

    def steps(tick):
        total, last, tempo = 0, 0, 500_000
        for at, next_tempo in tempos:
            if at > tick:
                break
            total, last, tempo = total + (at - last) * tempo, at, next_tempo
        total += (tick - last) * tempo
        seconds = Fraction(total, file.ticks_per_beat * 1_000_000)
        return math.ceil(seconds / Fraction(str(dt)))

    sounding, notes = {}, []
    for tick, track, message in events:
        if message.type not in ("note_on", "note_off") or message.channel == 9:
            continue
        queue = sounding.setdefault((track, message.channel, message.note), deque())
        if message.type == "note_on" and message.velocity:
            queue.append(tick)
        elif queue:
            notes.append((message.note, steps(queue.popleft()), steps(tick)))
    notes = [note for note in notes if r[0] <= note[0] < r[1]]
    roll = np.zeros((max(end for *_, end in notes), r[1] - r[0]), np.uint8)
    for pitch, first, end in notes:
        for t in range(first, end):
            roll[t, pitch - r[0]] = 1
    return roll


def mido_unended(file, r):
    """Return how many notes of a mido.MidiFile, of pitches in r, are never ended."""
    sounding = {}
    for number, track in enumerate(file.tracks):
        for message in track:
            if message.type in ("note_on", "note_off"):
                key = number, message.channel, message.note
                begins = message.type == "note_on" and message.velocity > 0
                now = sounding.get(key, 0)
                sounding[key] = now + 1 if begins else max(now - 1, 0)
    return sum(now for (*_, pitch), now in sounding.items() if r[0] <= pitch < r[1])


# Empty, broken, or without a note. All the others must be read.
NO_ROLL = ["empty-file", "7c-omni", "7e-mono", "f5", "silence", "7e-09"]
# mido refuses an alien chunk, and takes notes for a part of a system exclusive event.
NOT_FOR_MIDO = ["non-midi-track", "running-status-sysex"]


def has_any(words, path):
    return any(word in path.name for word in words)


ODD = sorted(DATA.glob("midi-odd/*.mid"))


@needs_data
@pytest.mark.parametrize(
    "path", [p for p in ODD if has_any(NO_ROLL, p)], ids=lambda p: p.name
)
def test_odd_files_without_notes_are_refused_by_name(path):
    with pytest.raises(MidiError, match=path.name):
        midiread(path)


@needs_data
@pytest.mark.parametrize(
    "path",
    [p for p in ODD if not has_any(NO_ROLL + NOT_FOR_MIDO, p)],
    ids=lambda p: p.name,
)
def test_odd_files_give_mido_s_roll(path):
    expected = mido_roll(mido.MidiFile(path, clip=True), (0, 128), 0.1)
    assert np.array_equal(midiread(path, (0, 128), 0.1).piano_roll, expected)


SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@needs_data
@pytest.mark.parametrize("name", NOT_FOR_MIDO)
def test_odd_files_that_mido_cannot_read_give_their_whole_scale(name):
    result = midiread(DATA / "midi-odd" / f"test-{name}.mid")
    assert result.notes["pitch"].tolist() == SCALE


@needs_data
@pytest.mark.parametrize("dt", [0.2, 0.3, 0.07])
def test_the_original_s_own_file_gives_mido_s_roll(dt):
    path = DATA / "original" / "fixedtrial_303182xEnError.mid"
    expected = mido_roll(mido.MidiFile(path), (21, 109), dt)
    assert np.array_equal(midiread(path, dt=dt).piano_roll, expected)


@pytest.mark.parametrize("seed", range(5))
def test_random_files_give_mido_s_roll(seed):
    # Three tracks with tempos in each, overlapping notes of few pitches, odd divisions.
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=int(rng.choice([96, 100, 480, 960])))
    for channel in range(3):
        track = mido.MidiTrack()
        file.tracks.append(track)
        for _ in range(300):
            time = int(rng.integers(0, 60))
            if rng.random() < 0.05:
                tempo = int(rng.integers(200_000, 900_000))
                track.append(mido.MetaMessage("set_tempo", tempo=tempo, time=time))
            pitch, kind = int(rng.integers(50, 60)), rng.choice(["note_on", "note_off"])
            velocity = int(rng.choice([0, 64]))
            track.append(
                mido.Message(
                    kind, channel=channel, note=pitch, velocity=velocity, time=time
                )
            )
    buffer = io.BytesIO()
    file.save(file=buffer)
    for dt in (0.05, 0.2, 0.3):
        found = read(buffer.getvalue(), (52, 58), dt)
        assert np.array_equal(found.piano_roll, mido_roll(file, (52, 58), dt))
        assert found.left_out["never ended"] == mido_unended(file, (52, 58))
