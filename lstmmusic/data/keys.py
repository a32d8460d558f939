"""Move the notes of a tune to another key."""

from typing import Any

import numpy as np

from lstmmusic.data.batches import is_packed
from lstmmusic.data.formats import format_of, with_format

OCTAVE = 12  # semitones


def check_tune(n: int, tune: Any) -> Any:
    """Return tune n of a dataset as an ndarray (steps, N), or as the PackedRoll it is.

    The array is a RollArray if the tune has a format.

    Raises
    ------
    ValueError
        If it has another shape, or is less than an octave wide.
    """
    if not is_packed(tune):
        roll = np.asarray(getattr(tune, "piano_roll", tune))
        tune = with_format(roll, format_of(tune))
    if len(tune.shape) != 2 or tune.shape[1] < OCTAVE:
        raise ValueError(
            f"tune {n} has shape {tune.shape}; "
            f"allowed are (steps, notes) with at least {OCTAVE} notes"
        )
    return tune


def transposed(tune: Any, shift: int) -> Any:
    """Return a tune that `check_tune` has passed, ``shift`` semitones higher.

    `datasets.transpose` says where notes go that would leave the keyboard.
    """
    if is_packed(tune):
        return tune.with_roll(transposed(tune.piano_roll, shift))
    sounding = np.flatnonzero(tune.any(axis=0)).tolist()
    shifted = np.zeros_like(tune)
    if not sounding:
        return shifted
    N = tune.shape[1]
    shift = _fit_by_octaves(shift, -sounding[0], N - 1 - sounding[-1])
    for column in sounding:
        to = column + _fit_by_octaves(shift, -column, N - 1 - column)
        np.maximum(shifted[:, to], tune[:, column], out=shifted[:, to])
    return shifted


def _fit_by_octaves(shift: int, low: int, high: int) -> int:
    """Return ``shift`` plus the fewest octaves that bring it into [low, high], if any.

    Without such a number of octaves, return ``shift``.
    """
    up = -((shift - low) // OCTAVE)  # octaves, rounded up
    down = -((high - shift) // OCTAVE)
    moved = shift + OCTAVE * (max(up, 0) - max(down, 0))
    return moved if low <= moved <= high else shift
