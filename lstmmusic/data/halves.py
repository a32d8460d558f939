"""Split a roll into sounding notes and notes struck again.

A restruck roll has 2 N columns: the first N say which notes sound, the second which of
them are struck again.  Column N + n may be 1 only where note n sounds in this row and
in the row before.
"""

from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.data.formats import format_of

PIANO = (21, 109)


class Halves(NamedTuple):
    """Hold the two halves of a roll of 2 N columns, or a roll of N columns."""

    sounds: np.ndarray  # bool (T, N)
    restruck: np.ndarray | None  # bool (T, N), or None if the roll does not tell


def pitches_of(roll: Any, r: tuple[int, int] | None) -> tuple[int, int]:
    """Return r, or by default that of the roll's format; without one the piano's."""
    if r is None:
        r = getattr(format_of(roll), "r", PIANO)
    return checks.pitch_range(r)


def halves(name: str, roll: RollLike, r: tuple[int, int]) -> Halves:
    """Return the Halves of a roll of zeros and ones.

    Parameters
    ----------
    name : str
        The roll's, for errors.
    roll : array_like of shape (T, N) or (T, 2 N), N = r[1] − r[0], MidiRoll, PackedRoll
    r : (int, int)

    Raises
    ------
    ValueError
        If the roll has another shape, no steps, or other values.
    """
    notes = r[1] - r[0]
    found = np.asarray(getattr(roll, "piano_roll", roll))
    shape = found.shape
    if len(shape) != 2 or shape[1] not in (notes, 2 * notes) or shape[0] == 0:
        checks.array(name, found, float)
        raise ValueError(
            f"{name} has shape {shape}; allowed are (steps, {notes}), or "
            f"(steps, {2 * notes}) with notes struck again, with at least 1 step"
        )
    if found.dtype == np.uint8 and found.max() <= 1:  # as files are read, and fast
        both = found.astype(bool)
    else:
        both = checks.sounding(name, found, (0, shape[1]))
    restruck = both[:, notes:] if shape[1] > notes else None
    return Halves(both[:, :notes], restruck)


def columns_of_notes(name: str, tune: Any, restruck: bool | None = None) -> int:
    """Return how many columns of a tune say what sounds: all, or half of them.

    A tune's `midi.RollFormat` says which, or ``restruck`` for a tune without one; None
    counts as False.  Raise ValueError if the two differ, or for an odd width.
    """
    restruck = checks.optional(checks.truth, "restruck", restruck)
    format = format_of(tune)
    if format is not None:
        if restruck not in (None, format.restruck):
            raise ValueError(
                f"restruck is {restruck}, but the format of {name} has restruck="
                f"{format.restruck}; allowed are None and the same"
            )
        restruck = format.restruck
    width = np.shape(getattr(tune, "piano_roll", tune))[-1]
    if not restruck:
        return width
    if width % 2:
        raise ValueError(
            f"{name} has {width} columns; allowed with restruck=True is an even number"
        )
    return width // 2


def check_strikes(name: str, roll: np.ndarray, before: np.ndarray | None = None):
    """Raise ValueError if a note is struck again where it cannot be.

    Parameters
    ----------
    roll : (steps, …, 2 N)
        1 sounds or is struck again, NaN is not known.
    before : (…, 2 N), optional
        The row before the first; without it, any note may sound there.
    """
    notes = roll.shape[-1] // 2
    silent, again = roll[..., :notes] == 0, roll[..., notes:] == 1
    first = np.zeros_like(silent[:1])
    if before is not None:
        first[0] = before[..., :notes] <= 0.5  # as the network reads a primer
    wrong = again & (silent | np.concatenate([first, silent[:-1]]))
    if wrong.any():
        step, *_, note = map(int, np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} strikes note {note} again at step {step}; allowed are notes that "
            "sound in this step and in the one before"
        )
