"""Test the picture of a MidiRoll in a notebook by decoding its pixels."""

import io
from fractions import Fraction

import numpy as np
import pytest
from matplotlib import image, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg

from midi import RollFormat, midiread, midiwrite
from midi.picture import draw_roll

R, DT = (48, 73), 0.25
FORMAT = RollFormat(R, DT)


def read(roll, r=R, dt=DT, name="tune.mid"):
    file = io.BytesIO()
    midiwrite(file, roll, r, dt)
    file.seek(0)
    file.name = name
    return midiread(file, r, dt, steps=len(roll))


def inside_frame(midi_roll):
    """Return the pixels within the picture's frame, 0 white to 1 black."""
    png = midi_roll._repr_png_()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    picture = 1 - image.imread(io.BytesIO(png))[..., :3].mean(axis=-1)
    frame = picture > 0.9
    columns = np.flatnonzero(frame.mean(axis=0) > 0.5)
    rows = np.flatnonzero(frame.mean(axis=1) > 0.7)
    return picture[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1]


def test_notes_are_where_they_sound():
    # Fails if the picture is upside down, turned, or shifted by a step or a note.
    roll = np.zeros((40, 25), int)
    roll[4:12, 20] = roll[30:36, 3] = 1
    inside = inside_frame(read(roll))
    height, width = inside.shape
    row, column = (
        ((np.arange(count) + 0.5) / count * pixels).astype(int)
        for count, pixels in ((25, height), (40, width))
    )
    assert np.array_equal(inside[np.ix_(row[::-1], column)].T > 0.5, roll == 1)


def test_a_short_note_in_a_long_file_is_visible():
    # Fails if a row narrower than a pixel is dropped, or drawn wider than 3 pixels.
    roll = np.zeros((50_000, 25), int)
    roll[0, 0] = roll[20_000, 12] = roll[-1, 0] = 1
    inside = inside_frame(read(roll))
    height, width = inside.shape
    around = slice(int(0.39 * width), int(0.41 * width))
    at = inside[height // 2, around]
    assert at.max() > 0.5
    assert (at > 0.5).sum() <= 3


def test_axes_are_in_seconds_and_note_names():
    ax = draw_roll(np.eye(25, dtype=np.uint8), FORMAT, "folder/tune.mid").axes[0]
    assert ax.get_xlim() == (0, 25 * DT)
    assert ax.get_xlabel() == "time (s)"
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert dict(zip(names, ax.get_yticks(), strict=True)) == {
        "C3": 48, "C4": 60, "C5": 72,
    }  # fmt: skip
    assert ax.get_title(loc="left") == "tune.mid"


def test_a_note_struck_again_begins_with_a_gap_and_its_marks_are_no_notes():
    # 20 steps of 25 notes: C3 is held for 10, C4 struck in steps 0 and 5, C5 held.
    # Fails if the marks are drawn as notes, or not at all.
    roll = np.zeros((20, 50), np.uint8)
    roll[:10, [0, 12]] = roll[:, 24] = 1
    roll[5, 25 + 12] = 1
    format = RollFormat(R, Fraction(1, 2), "beats", restruck=True)
    figure = draw_roll(roll, format, "tune.mid")
    ax = figure.axes[0]
    assert (ax.get_xlim(), ax.get_xlabel()) == ((0, 10), "time (quarter notes)")
    assert ax.images[0].get_array().shape == (25, 20)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=-1)

    def at(beat, pitch):
        x, y = ax.transData.transform((beat, pitch))
        return picture[len(picture) - 1 - int(y), int(x)]

    assert at(2.5, 60) > 200 > 50 > max(at(2.3, 60), at(2.7, 60), at(2.5, 48))
    assert at(5.5, 60) > 200


def test_a_range_without_a_C_has_numbers():
    format = RollFormat((61, 64), DT)
    ax = draw_roll(np.eye(3, dtype=np.uint8), format, "tune.mid").axes[0]
    assert ax.get_ylabel() == "pitch"
    assert all(tick == round(tick) for tick in ax.get_yticks())


@pytest.mark.parametrize("name", ["a $^$.mid", "曲.mid", "b\udcff.mid", "x" * 300])
def test_any_name_can_be_drawn(name):
    # Fails if matplotlib warns of a missing letter, or parses '$^$' as mathematics.
    settings = dict(rcParams)
    assert read(np.ones((2, 25), int), name=name)._repr_png_()
    assert dict(rcParams) == settings


def test_midi_imports_neither_matplotlib_nor_the_network(in_new_process):
    code = """
import io, sys
import numpy as np
import midi
assert "matplotlib" not in sys.modules
file = io.BytesIO()
midi.midiwrite(file, np.ones((3, 88)))
file.seek(0)
print(len(midi.midiread(file)._repr_png_()) > 1000)
assert not {"pytensor", "lstmmusic", "matplotlib.pyplot"} & sys.modules.keys()
"""
    assert in_new_process(code) == "True"
