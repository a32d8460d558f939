"""Test midiread against an independent reader: mido, fractions and plain loops."""

import io
from pathlib import Path

import mido
import numpy as np
import pytest
from midi_bytes import read
from midi_oracle import mido_roll, mido_unended

from midi import MidiError, midiread

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")


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
