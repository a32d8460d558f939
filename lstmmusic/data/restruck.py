"""Tell the two halves of a restruck roll apart: NumPy only.

A restruck roll has 2 N columns: the first N say which notes sound, the second which of
them are struck again.  Column N + n may be 1 only where note n sounds in this row and
in the row before.
"""

from typing import Any

import numpy as np

from lstmmusic import checks


def columns_of_notes(name: str, tune: Any, restruck: bool | None = None) -> int:
    """Return how many columns of a tune say what sounds: all, or half of them.

    A tune's `midi.RollFormat` says which, or ``restruck`` for a tune without one; None
    counts as False.  Raise ValueError if the two differ, or for an odd width.
    """
    restruck = checks.optional(checks.truth, "restruck", restruck)
    format = getattr(tune, "format", None)
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
