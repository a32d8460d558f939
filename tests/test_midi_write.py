"""Test midiwrite by reading back with midiread and with mido."""

import errno
import io
import os
import stat
import subprocess
import sys

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from midi_bytes import read, written
from midi_oracle import mido_roll

import midi
import midi.utils
from midi import MidiError, PackedRoll, midiwrite

ROLL = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])  # r = (60, 63)


ranges = st.tuples(st.integers(0, 128), st.integers(0, 128)).filter(
    lambda r: r[0] < r[1]
)
dts = st.floats(0.01, 2) | st.integers(1, 200).map(lambda n: n / 100)
fractions = st.sampled_from([1 / 3, 1 / 7, 2 / 3, 0.1 + 0.2, 1 / 64, np.pi / 10])


@st.composite
def cases(draw):
    """Return a roll with a note, its r and its dt; long ones show drift."""
    r = draw(ranges)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = draw(st.integers(1, 60) | st.integers(1000, 3000))
    density = draw(st.floats(0, 1 if steps < 1000 else 0.1))
    roll = (rng.random((steps, r[1] - r[0])) < density).astype(int)
    roll[rng.integers(steps), rng.integers(r[1] - r[0])] = 1
    return roll, r, draw(dts | fractions)


@given(cases())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_reading_back_gives_the_same_roll(case):
    # Fails for a boundary that is rounded up, or a step truncated to whole ticks.
    roll, r, dt = case
    data = written(roll, r, dt)
    back = read(data, r, dt, steps=len(roll))
    assert np.array_equal(back.piano_roll, roll)
    # Without steps, the silence at the end is dropped, and nothing else.
    last = np.flatnonzero(roll.any(axis=1))[-1]
    assert np.array_equal(read(data, r, dt).piano_roll, roll[: last + 1])


@given(cases())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_mido_finds_the_same_roll(case):
    roll, r, dt = case
    roll[-1, 0] = 1
    file = mido.MidiFile(file=io.BytesIO(written(roll, r, dt)))
    file.tracks[0] = mido.MidiTrack(file.tracks[0][:])
    assert np.array_equal(mido_roll(file, r, dt), roll)


@pytest.mark.parametrize("dt", [0.01, 0.3, 1 / 3, 0.123456789, 2])
def test_no_drift_builds_up(dt):
    # D12. 30,000 steps, two pitches in turn. Fails if a step's length is rounded to
    # 1/200 s or to a whole number of ticks: the last rows are displaced.
    roll = np.eye(2, dtype=np.uint8)[np.arange(30_000) % 2]
    data = written(roll, (60, 62), dt)
    assert np.array_equal(read(data, (60, 62), dt).piano_roll, roll)
    file = mido.MidiFile(file=io.BytesIO(data))
    ticks = sum(message.time for message in file.tracks[0])
    (tempo,) = (m.tempo for m in file.tracks[0] if m.type == "set_tempo")
    end_s = mido.tick2second(ticks, file.ticks_per_beat, tempo)
    assert end_s == pytest.approx(30_000 * dt, abs=dt / 200)


@pytest.mark.parametrize("steps", [600_000, 8_640_000])
def test_the_longest_rolls_are_read_back(steps):
    # One note at each end. At 480 ticks a step, 600,000 steps exceed the largest delta,
    # 2**28 - 1, and 24 hours of 0.01 s exceed 2**31 ticks.
    roll = np.zeros((steps, 2), np.uint8)
    roll[0, 0] = roll[-1, 1] = 1
    assert np.array_equal(
        read(written(roll, (0, 2), 0.01), (0, 2), 0.01).piano_roll, roll
    )


def test_rolls_with_over_a_million_ones_are_read_back():
    # midiread fills them run by run: long runs and short, in every column.
    rng = np.random.default_rng(0)
    roll = np.repeat(rng.integers(0, 2, (15_000, 88), np.uint8), 2, axis=0)
    roll[:, ::2] = 1
    roll[5000:5010] = 0
    assert roll.sum() > 2**20
    back = read(written(roll, dt=0.1), dt=0.1, steps=len(roll))
    assert np.array_equal(back.piano_roll, roll)


def test_consecutive_ones_are_one_held_note():
    result = read(written(ROLL, (60, 63), 0.25), (60, 63), 0.25)
    assert result.notes.tolist() == [(61, 0, 0.5), (60, 0.25, 0.75), (62, 0.75, 1.0)]


def test_the_file_byte_by_byte():
    # Three steps of 0.3 s, each one beat. Fails if the written format changes.
    expected = bytes.fromhex(
        "4d546864 00000006 0000 0001 01e0"  # format 0, 1 track, 480 ticks per beat
        "4d54726b 00000018"
        "00 ff5103 0493e0"  # 300000 µs per beat
        "00 c005"  # patch 5
        "00 903c40"  # C4 on
        "8740 903c00"  # and off after 960 ticks
        "8360 ff2f00"  # the third step is silent
    )
    assert written([[1], [1], [0]], (60, 61), 0.3, patch=5) == expected


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, int, "float32", float])
def test_zeros_and_ones_of_any_dtype(dtype):
    assert written(ROLL.astype(dtype), (60, 63)) == written(ROLL.tolist(), (60, 63))


def test_a_roll_that_was_read_is_written_with_its_own_r_and_dt():
    # Fails if r is always (21, 109), or dt always 0.2.
    usual = written(ROLL, (60, 63), 0.3)
    tune = read(usual, (60, 63), 0.3)
    for roll in (tune, PackedRoll.of(tune), PackedRoll.of(ROLL, (60, 63), 0.3)):
        assert written(roll) == usual
        # r and dt each override the roll's own.
        assert written(roll, r=(40, 43)) == written(ROLL, (40, 43), 0.3)
        assert written(roll, dt=0.5) == written(ROLL, (60, 63), 0.5)
        assert written(roll, (40, 43), 0.5) == written(ROLL, (40, 43), 0.5)
        with pytest.raises(ValueError, match=r"shape \(4, 3\) .* as r is \(21, 109\)"):
            written(roll, r=(21, 109))


def test_the_defaults_are_88_notes_and_a_fifth_of_a_second():
    array = np.eye(88, dtype=int)
    for roll in (array, array.tolist(), PackedRoll.of(array)):
        assert written(roll) == written(array, (21, 109), 0.2)
    assert written(PackedRoll.of(ROLL), (60, 63)) == written(ROLL, (60, 63), 0.2)
    with pytest.raises(ValueError, match="shape"):
        written(PackedRoll.of(ROLL))


NAN_ROLL = np.where(ROLL == 0, np.nan, ROLL)
BAD_ROLLS = [
    (ROLL[:, :2], "shape"),
    (ROLL[0], "shape"),
    (ROLL[:0], "no step"),
    (np.zeros_like(ROLL), "silent"),
    (NAN_ROLL, "nan"),
    (ROLL * 2, "value 2"),
    (-ROLL, "value -1"),
    (ROLL * 0.5, "value 0.5"),
    (ROLL.astype(complex), "complex"),
    (ROLL.astype(str), "dtype"),
    (ROLL.astype(object), "dtype"),
    ([[1], [1, 0, 0]], "no array"),
    (None, "shape"),
]


@pytest.mark.parametrize(("roll", "message"), BAD_ROLLS)
def test_bad_rolls_are_refused_and_nothing_is_written(roll, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        midiwrite(tmp_path / "bad.mid", roll, (60, 63))
    assert list(tmp_path.iterdir()) == []


BAD_ARGUMENTS = [
    ({"r": (63, 60)}, "r is"),
    ({"r": (60, 64)}, "shape"),
    ({"dt": 0}, "dt is 0"),
    ({"dt": float("nan")}, "dt is nan"),
    ({"dt": 1e-5}, "at least 0.0001"),
    ({"dt": 80_000}, "24 hours"),
    ({"patch": 128}, "patch is 128"),
    ({"patch": -1}, "patch is -1"),
    ({"patch": 0.5}, "patch is 0.5"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused_and_nothing_is_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        midiwrite(tmp_path / "bad.mid", ROLL, **{"r": (60, 63), **arguments})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "tune.mid"
    midiwrite(path, ROLL, (60, 63))
    before = path.read_bytes()

    def fail(_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"no space left on device: '{path}'$"):
        midiwrite(path, 1 - ROLL, (60, 63))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    midiwrite(tmp_path / "tune.mid", ROLL, (60, 63))
    (tmp_path / "other").write_bytes(b"")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path):
    real, link = tmp_path / "real.mid", tmp_path / "link.mid"
    link.symlink_to(real)
    midiwrite(link, ROLL, (60, 63))
    assert link.is_symlink()
    assert real.read_bytes() == written(ROLL, (60, 63))
    null = tmp_path / "null.mid"
    null.symlink_to(os.devnull)
    midiwrite(null, ROLL, (60, 63))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_missing_folder_and_a_text_file_are_errors(tmp_path):
    # Fails if the error names the temporary file.
    with pytest.raises(FileNotFoundError, match=r"missing.tune\.mid'$"):
        midiwrite(tmp_path / "missing" / "tune.mid", ROLL, (60, 63))
    with pytest.raises(ValueError, match="binary"):
        midiwrite(io.StringIO(), ROLL, (60, 63))


def test_both_ways_to_import_are_the_same_and_import_nothing_slow():
    assert midi.midiread is midi.utils.midiread
    assert midi.midiwrite is midi.utils.midiwrite
    assert issubclass(MidiError, ValueError)
    code = (
        "import sys, midi; from midi.utils import midiread, midiwrite;"
        "print(*{'pytensor', 'matplotlib', 'jax', 'symusic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
