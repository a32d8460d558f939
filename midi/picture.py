"""Draw a MidiRoll as a picture, for a notebook."""

import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure  # not pyplot, which keeps every figure

if TYPE_CHECKING:
    from midi.rolls import MidiRoll

_MAX_ROWS = 800  # about the picture's width in pixels


def draw_roll(midi_roll: "MidiRoll") -> Figure:
    """Return a figure of a roll: time in seconds, and a name at each C.

    `lstmmusic.plots` crops and compares, but belongs to the network.
    """
    (steps, _), (low, high), dt = midi_roll.piano_roll.shape, midi_roll.r, midi_roll.dt
    # A row narrower than a pixel could vanish, so rows of a long roll are merged.
    merged = -(-steps // _MAX_ROWS)
    drawn = np.maximum.reduceat(midi_roll.piano_roll, np.arange(0, steps, merged))
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
    name = os.path.basename(midi_roll.name)[-80:].encode("latin-1", "replace")
    ax.set_title(name.decode("latin-1"), loc="left", parse_math=False)
    return figure
