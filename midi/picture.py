"""Draw a piano-roll as a picture, for a notebook."""

import os

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure  # not pyplot, which keeps every figure

from midi.formats import RollFormat

_MAX_ROWS = 800  # about the picture's width in pixels
_WIDTH_POINTS = 600  # about the width of the roll in it
_GAP, _LEAST_GAP_POINTS, _MOST_GAP_POINTS = 0.25, 0.1, 2.0  # of a step, at least, most
_LABELS = {"seconds": "time (s)", "beats": "time (quarter notes)"}


def draw_roll(
    piano_roll: npt.NDArray[np.uint8], format: RollFormat, name: str
) -> Figure:
    """Return a figure of a roll, with time in its unit and the name of each C.

    A note struck again is set off from the one before by a gap, if there is the space.
    `lstmmusic.plots` crops and compares rolls, but belongs to the network.

    Parameters
    ----------
    piano_roll, format, name
        As in `MidiRoll`; the file's name is the title.
    """
    steps, (low, high), dt = len(piano_roll), format.r, float(format.dt)
    # A row narrower than a pixel could vanish, so rows of a long roll are merged.
    merged = -(-steps // _MAX_ROWS)
    sounding = piano_roll[:, : format.notes]
    drawn = np.maximum.reduceat(sounding, np.arange(0, steps, merged))
    figure = Figure(figsize=(9, 3), layout="constrained")
    ax = figure.add_subplot()
    ax.imshow(
        drawn.T,
        cmap="gray_r",
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(drawn) * merged * dt, low - 0.5, high - 0.5),
    )
    step_points = _WIDTH_POINTS / steps
    if format.restruck and step_points >= _LEAST_GAP_POINTS / _GAP:
        row, column = np.nonzero(piano_roll[:, format.notes :])
        pitch, width = column + low, min(_GAP * step_points, _MOST_GAP_POINTS)
        ax.vlines(row * dt, pitch - 0.5, pitch + 0.5, colors="white", linewidths=width)
    ax.set(xlim=(0, steps * dt), xlabel=_LABELS[format.unit], ylabel="pitch")
    ax.locator_params(axis="y", integer=True)
    octaves = [pitch for pitch in range(low, high) if pitch % 12 == 0]
    if octaves:
        ax.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
        ax.set_ylabel("note")
        ax.grid(axis="y", color="tab:blue", lw=0.5, alpha=0.4)
    # matplotlib warns of letters that its font lacks; it has those of Latin-1.
    title = os.path.basename(name)[-80:].encode("latin-1", "replace")
    ax.set_title(title.decode("latin-1"), loc="left", parse_math=False)
    return figure
