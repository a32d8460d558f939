"""Take a roll apart: the notes that sound, and those of them that are struck again."""

from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike

PIANO = (21, 109)


class Halves(NamedTuple):
    """Hold the two halves of a roll of 2 N columns, or a roll of N columns."""

    sounds: np.ndarray  # bool (T, N)
    restruck: np.ndarray | None  # bool (T, N), or None if the roll does not tell


def format_of(roll: Any) -> Any:
    """Return a roll's `midi.RollFormat`, or that of its MusicStatistics; else None."""
    format = getattr(roll, "format", None)  # a string has one, too
    return format if hasattr(format, "restruck") else None


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


def check_same_time(name: str, tune: Any, than: Any) -> None:
    """Raise ValueError if two rolls are known to differ in pitches, dt or unit."""
    theirs, format = format_of(tune), format_of(than)
    if theirs is None or format is None:
        return
    for field in ("r", "dt", "unit"):
        value, allowed = getattr(theirs, field), getattr(format, field)
        if value != allowed:
            raise ValueError(
                f"{name} has {field} = {value}; allowed is that of the roll, {allowed}"
            )
