"""Mark the silent rows of tunes, and undo it: NumPy only."""

from collections.abc import Iterable

import numpy as np

from lstmmusic import checks
from lstmmusic.data.batches import is_packed
from lstmmusic.data.formats import format_of, with_format
from lstmmusic.data.halves import columns_of_notes


def mark_silence(dataset: Iterable, *, restruck: bool | None = None) -> list:
    """Return copies in which every silent row sounds the lowest note.

    The original's main() does so before training.  Every row then has a note, and the
    network can tell a rest from the padding of a tune that has ended.

    Parameters
    ----------
    dataset : sequence of ndarray (steps, N), or of what `midi.read_folder` reads
    restruck : bool, optional
        Whether half of the columns say what is struck again; None: as a tune's
        `midi.RollFormat` says, or not.

    Returns
    -------
    list of ndarray, same shapes and dtypes
        A packed tune stays packed.

    Raises
    ------
    ValueError
        If a tune has another shape, or another ``restruck``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import mark_silence
    >>> mark_silence([np.array([[0, 1, 0], [0, 0, 0]])])
    [array([[0, 1, 0],
           [1, 0, 0]])]
    """
    marked = []
    for n, given in enumerate(checks.tunes_of("dataset", dataset)):
        tune = roll_copy(f"tune {n}", given)
        notes = columns_of_notes(f"tune {n}", given, restruck)
        tune[~tune[:, :notes].any(axis=1), 0] = 1
        marked.append(given.with_roll(tune) if is_packed(given) else tune)
    return marked


def unmark_silence(tune, *, restruck: bool | None = None) -> np.ndarray:
    """Return a copy of a tune (steps, N) with rows of only the lowest note silent.

    Undoes `mark_silence` in generated tunes; ``restruck`` as there.  It also silences a
    real lowest note played alone: marked tunes cannot tell it from a rest.

    Raises
    ------
    ValueError
        If the tune has another shape, or another ``restruck``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import unmark_silence
    >>> unmark_silence(np.array([[0, 1, 0], [1, 0, 0]]))
    array([[0, 1, 0],
           [0, 0, 0]])
    """
    given, tune = tune, roll_copy("tune", tune)
    notes = columns_of_notes("tune", given, restruck)
    silent = ~tune[:, 1:notes].any(axis=1)
    tune[silent, 0] = 0
    if notes < tune.shape[1]:  # what was silenced is not struck again, nor after it
        tune[silent, notes] = 0
        tune[1:][silent[:-1], notes] = 0
    return tune


def roll_copy(name: str, tune) -> np.ndarray:
    """Return a copy of a tune's roll (steps, N), with its format.

    Raise ValueError for other shapes.
    """
    roll = np.array(getattr(tune, "piano_roll", tune))
    if roll.ndim != 2 or roll.shape[1] == 0:
        raise ValueError(f"{name} has shape {roll.shape}; allowed are (steps, notes)")
    return with_format(roll, format_of(tune))
