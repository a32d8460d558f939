"""Draw a piano-roll as a picture, for a notebook."""

import os

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure  # not pyplot, which keeps every figure

_MAX_ROWS = 800  # about the picture's width in pixels


def draw_roll(
    piano_roll: npt.NDArray[np.uint8], r: tuple[int, int], dt: float, name: str
) -> Figure:
    """Return a figure of a roll, with time in seconds and the name of each C.

    `lstmmusic.plots` crops and compares rolls, but belongs to the network.

    Parameters
    ----------
    piano_roll, r, dt, name
        As in `MidiRoll`; the file's name is the title.
    """
    steps, (low, high) = len(piano_roll), r
    # A row narrower than a pixel could vanish, so rows of a long roll are merged.
    merged = -(-steps // _MAX_ROWS)
    drawn = np.maximum.reduceat(piano_roll, np.arange(0, steps, merged))
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
    ax.set(xlim=(0, steps * dt), xlabel="time (s)", ylabel="pitch")
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
