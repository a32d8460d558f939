"""Move the notes of a tune to another key."""

from typing import Any

import numpy as np

from lstmmusic.data.batches import is_packed
from lstmmusic.data.formats import format_of, with_format
from lstmmusic.data.halves import columns_of_notes

OCTAVE = 12  # semitones


def check_tune(n: int, tune: Any, restruck: bool | None = None) -> tuple[Any, int]:
    """Return tune n of a dataset, and how many of its columns say what sounds.

    The tune is an ndarray (steps, N), with its format if it has one, or the PackedRoll
    it is; ``restruck`` as for `columns_of_notes`.

    Raises
    ------
    ValueError
        If it has another shape, is less than an octave wide, or not as ``restruck``.
    """
    given = tune
    if not is_packed(tune):
        roll = np.asarray(getattr(tune, "piano_roll", tune))
        tune = with_format(roll, format_of(tune))
    notes = 0
    if len(tune.shape) == 2:
        notes = columns_of_notes(f"tune {n}", given, restruck)
    if notes < OCTAVE:
        raise ValueError(
            f"tune {n} has shape {tune.shape}; "
            f"allowed are (steps, notes) with at least {OCTAVE} notes"
        )
    return tune, notes


def transposed(tune: Any, notes: int, shift: int) -> Any:
    """Return what `check_tune` has returned, ``shift`` semitones higher.

    `datasets.transpose` says where notes go that would leave the keyboard.
    """
    if is_packed(tune):
        return tune.with_roll(transposed(tune.piano_roll, notes, shift))
    # Struck again or not, a note moves alike.
    shape = len(tune), tune.shape[1] // notes, notes
    shifted = np.zeros_like(tune)
    halves, moved = tune.reshape(shape), shifted.reshape(shape)
    sounding = np.flatnonzero(halves.any(axis=(0, 1))).tolist()
    if not sounding:
        return shifted
    shift = _fit_by_octaves(shift, -sounding[0], notes - 1 - sounding[-1])
    for column in sounding:
        to = column + _fit_by_octaves(shift, -column, notes - 1 - column)
        np.maximum(moved[..., to], halves[..., column], out=moved[..., to])
    return shifted


def _fit_by_octaves(shift: int, low: int, high: int) -> int:
    """Return ``shift`` plus the fewest octaves that bring it into [low, high], if any.

    Without such a number of octaves, return ``shift``.
    """
    up = -((shift - low) // OCTAVE)  # octaves, rounded up
    down = -((high - shift) // OCTAVE)
    moved = shift + OCTAVE * (max(up, 0) - max(down, 0))
    return moved if low <= moved <= high else shift
