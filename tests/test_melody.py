"""``examples/main.py --melody``: a melody is read, transposed and harmonised."""

from types import SimpleNamespace

import numpy as np
import pytest
from journeys import DT, SECONDS, R, load_module, parse
from pages import files_in, page_of, words

from lstmmusic.statistics import top_line
from midi.utils import midiread, midiwrite

pytestmark = pytest.mark.usefixtures("no_pictures", "no_sounds")
LINE = [5, 7, 7, -1, 9, 5]  # columns of R; −1 rests


def write_line(file, line, shift=0):
    """Write a line of columns as MIDI, its notes doubled a third and a fifth below."""
    roll = np.zeros((len(line), 128), int)
    for t, column in enumerate(line):
        if column >= 0:
            roll[t, R[0] + column + shift - np.array([0, 4, 7])] = 1
    midiwrite(file, roll, (0, 128), DT)
    return file


def tune_of(*chords):
    """Return a tune of chords of columns."""
    roll = np.zeros((len(chords), 12), np.uint8)
    for t, chord in enumerate(chords):
        roll[t, list(chord)] = 1
    return SimpleNamespace(piano_roll=roll)


@pytest.fixture
def melody():
    """The module behind --melody."""
    return load_module("given")


@pytest.fixture
def options():
    return parse(*SECONDS)


@pytest.mark.parametrize("shift", [0, 15, -4, -12])
def test_a_melody_is_transposed_to_the_tunes_notes(melody, options, tmp_path, shift):
    """Fails if only octaves are tried, or if notes outside the range stay."""
    file = write_line(tmp_path / "line.mid", [-1, -1, *LINE], shift)
    tunes = [tune_of([0, 5], [7], [9], [5], [7])]
    found = melody.read_melody(file, tunes, options)
    assert found.semitones == -shift
    assert top_line(found.piano_roll).tolist() == LINE
    assert found.piano_roll.shape == (6, 12)
    assert found.piano_roll[4].nonzero()[0].tolist() == [2, 5, 9]
    assert found.piano_roll[0].nonzero()[0].tolist() == [1, 5], "one is out of range"


def test_what_is_given_is_the_line_and_silence_above_it(melody):
    """Fails if a note above is free, one below is not, or a rest is not marked."""
    roll = tune_of([1, 3], [2], [], [0]).piano_roll[:, :5]
    tunes = [tune_of([], [0, 6]), tune_of([2, 4], [3])]
    tunes = [SimpleNamespace(piano_roll=tune.piano_roll[:, :8]) for tune in tunes]
    primer, given = melody.harmonisation(np.pad(roll, ((0, 0), (0, 3))), tunes, 8)
    assert primer.tolist() == [[0, 0, 1, 0, 1, 0, 0, 0]]  # its top is nearest to 3
    free = np.isnan(given)
    assert free.sum(axis=1).tolist() == [3, 2, 0, 0]
    assert free[0].nonzero()[0].tolist() == [0, 1, 2]
    ones = [(0, 3), (1, 2), (2, 0), (3, 0)]
    assert [*zip(*(given == 1).nonzero(), strict=True)] == ones


@pytest.mark.parametrize("more", ["", "--output independent", "--max-notes 1"])
def test_main_harmonises_a_file(run, tmp_path, capsys, more):
    """Fails if a note above the melody sounds, or one of it does not."""
    file = write_line(tmp_path / "line.mid", LINE * 4, shift=24)
    run("--melody", file, "--temperature", 2, *more.split())
    out = tmp_path / "out"
    original, generated = (
        midiread(out / f"{name}.mid", R, DT, steps=24).piano_roll
        for name in ("original", "generated")
    )
    np.testing.assert_array_equal(top_line(generated), top_line(original))
    together = generated.sum(axis=1)
    assert together.max() == 1 if "max" in more else together.max() > 1
    assert not together[3::6].any(), "the melody rests there"
    text = " ".join(words(page_of(out)).split())
    assert "The original: line.mid" in text
    assert "was given the top line, " in text
    assert "semitones lower, where it fits" in text
    assert "Harmonized, at temperature 2" in text
    assert "the original, all 6 s. Below: its top line, with what the" in text
    assert "rimer," not in text
    assert f"{file}: 1 tune, 24 steps, SHA-256" in text
    assert "generated: " in capsys.readouterr().out
    assert {"original.mid", "generated.mid", "generated.wav"} < files_in(out)


def no_notes(file):
    """Write a MIDI file of format 0 whose track holds its end alone."""
    file.write_bytes(
        bytes.fromhex("4d546864 00000006 0000 0001 0060 4d54726b 00000004 00ff2f00")
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: None, "No such file or directory"),
        (lambda file: file.mkdir(), "Is a directory"),
        (lambda file: file.write_text("la la la"), "not MIDI: it begins with"),
        (no_notes, "no notes"),
        (lambda file: write_line(file, [0, 12]), "top line has pitches 50 to 62; "),
    ],
    ids=["missing", "folder", "text", "silent", "wide"],
)
def test_a_file_without_a_melody_is_refused(error_of, tmp_path, write, message):
    """Fails on a traceback, or if training starts before the file is read."""
    file = tmp_path / "line.mid"
    write(file)
    text = error_of("--melody", file)
    assert f"--melody is {file}: " in text
    assert message in text
    assert text.count(str(file)) == 1
    assert not (tmp_path / "out").exists()


def test_a_long_melody_is_refused(error_of, tmp_path, melody, monkeypatch):
    monkeypatch.setattr(melody, "LONGEST", 23)
    file = write_line(tmp_path / "line.mid", LINE * 4)
    assert "24 steps of --dt 0.25; allowed are 23" in error_of("--melody", file)
