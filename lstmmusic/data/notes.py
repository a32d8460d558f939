"""Find the notes of a piano-roll, and name pitches: NumPy only.

A piano-roll has T steps and N columns.  A note is a run of consecutive steps in which a
column sounds, as `midi.midiwrite` writes it.
"""

import numpy as np
import numpy.typing as npt

NAMES = "C C♯ D D♯ E F F♯ G G♯ A A♯ B".split()


def note_name(pitch: int) -> str:
    """Return the name of a MIDI pitch.

    Examples
    --------
    >>> note_name(60), note_name(21)
    ('C4', 'A0')
    """
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def held_notes(
    roll: npt.ArrayLike, restruck: npt.ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the notes of a roll.

    Parameters
    ----------
    roll : array_like of shape (T, N), zeros and ones
    restruck : array_like of shape (T, N), optional
        1 where a note that sounds, and sounded in the row before, is struck anew: one
        note ends, another begins.  Other ones have no effect.

    Returns
    -------
    first, end, column : int64 ndarrays of shape (notes,)
        Each sounds at steps first <= t < end; in order of column, then of first.

    Examples
    --------
    >>> first, end, column = held_notes([[1, 0], [1, 1], [0, 1], [1, 1]])
    >>> first.tolist(), end.tolist(), column.tolist()
    ([0, 3, 1], [2, 4, 4], [0, 0, 1])
    >>> [found.tolist() for found in held_notes([[1], [1], [1]], [[0], [0], [1]])]
    [[0, 2], [2, 3], [0, 0]]
    """
    sounds = _in_one_line(roll)
    before = np.zeros_like(sounds)
    before[1:] = sounds[:-1]
    change = sounds ^ before
    if restruck is not None:
        change |= _in_one_line(restruck) & sounds & before
    begins, ends = np.flatnonzero(change & sounds), np.flatnonzero(change & before)
    column, first = np.divmod(begins, 1 + len(np.asarray(roll)))
    return first, first + ends - begins, column  # begins and ends alternate


def _in_one_line(roll: npt.ArrayLike) -> np.ndarray:
    """Return the columns of a roll (T, N) in a line, a silent step after each."""
    columns = np.asarray(roll).T
    line = np.zeros((len(columns), columns.shape[1] + 1), bool)
    line[:, :-1] = columns
    return line.ravel()


def longest_held(
    roll: npt.ArrayLike, restruck: npt.ArrayLike | None = None
) -> tuple[int, int | None]:
    """Return steps and column of the note held longest, or (0, None) in silence.

    Of several, the one in the lowest column.  ``roll`` and ``restruck`` are as for
    `held_notes`.

    Examples
    --------
    >>> longest_held([[1, 0], [1, 1], [0, 1], [1, 1]])
    (3, 1)
    """
    return longest_of(*held_notes(roll, restruck))


def longest_of(
    first: np.ndarray, end: np.ndarray, column: np.ndarray
) -> tuple[int, int | None]:
    """Return what `longest_held` does, of the notes that `held_notes` has found."""
    if not len(column):
        return 0, None
    longest = np.argmax(end - first)
    return int(end[longest] - first[longest]), int(column[longest])


def top_line(roll: npt.ArrayLike) -> np.ndarray:
    """Return the column of the highest note of each step, −1 where none sounds.

    Parameters
    ----------
    roll : array_like of shape (T, N), zeros and ones

    Returns
    -------
    int64 ndarray of shape (T,)

    Examples
    --------
    >>> top_line([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]).tolist()
    [0, 1, -1, 1]
    """
    sounds = np.asarray(roll).astype(bool, copy=False)
    top = sounds.shape[1] - 1 - np.argmax(sounds[:, ::-1], axis=1)
    return np.where(sounds[np.arange(len(top)), top], top, -1)
