"""Turn note times into the rows of a piano-roll, and rows into note times.

A roll has T steps and N = r[1] - r[0] notes. Row t is time t * dt, column n is pitch
r[0] + n.
"""

import io
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from midi import events
from midi.checks import counted
from midi.files import printable
from midi.formats import RollArray, RollFormat

NOTE_DTYPE = np.dtype([("pitch", np.uint8), ("onset_s", "f8"), ("offset_s", "f8")])
_MAX_CELLS_AT_ONCE = 2**20  # indexing takes 16 bytes for each
_MAX_RUN_STEPS = 4096


class MidiRoll:
    """Hold a MIDI file as a piano-roll; `midiread` returns it.

    `len` gives T; ``tune[10:50]`` are rows of the roll, with its format.

    Attributes
    ----------
    piano_roll : uint8 RollArray of shape (T, N), an ndarray
        1 where a note sounds: row t at time t * dt, column n for pitch r[0] + n.
    notes : structured ndarray of shape (notes,)
        Fields `pitch` (uint8), `onset_s` and `offset_s` (float64, seconds), in order
        of onset, then pitch: every note of the file that is not left out.
    format : RollFormat
        What rows and columns stand for; its fields are attributes of the MidiRoll, too:
        `r`, `dt`, `unit`, `quantize`, `restruck`.
    name : str
        The file's name: a path, if read by path.
    left_out : dict of str to int
        How many notes are missing, and why. Each note that begins is either in some row
        or counted here once.

        - Not in `notes`: ``"never ended"``; of the others ``"percussion"``; of the
          others ``"below r"`` and ``"above r"``.
        - In `notes`, but in no row: ``"after steps"``, which begin after the last of
          the `steps` asked for, if those cut the file; of the others
          ``"between steps"``, with no row from onset to offset.

    Examples
    --------
    >>> import io
    >>> from midi import midiread, midiwrite
    >>> file = io.BytesIO()
    >>> file.name = "two.mid"
    >>> midiwrite(file, [[1, 0], [1, 1]], r=(60, 62), dt=0.5)
    >>> file.seek(0)
    0
    >>> tune = midiread(file, r=(60, 61), dt=0.5)
    >>> tune
    <MidiRoll two.mid: 2 steps of 0.5 s, pitches 60 to 60; 1 note, left out: 1 above r>
    >>> tune.notes["onset_s"], tune.notes["offset_s"]
    (array([0.]), array([1.]))
    """

    def __init__(
        self,
        piano_roll: npt.NDArray[np.uint8],
        notes: npt.NDArray[np.void],
        format: RollFormat,
        name: str,
        left_out: dict[str, int],
        tracks: Sequence[bytes],
        n_paired: int,
    ) -> None:
        self.piano_roll = RollArray.of(piano_roll, format)
        self.notes = notes
        self.format = format
        self.name = name
        self._left_out = left_out
        self._tracks = tracks
        self._n_paired = n_paired

    r, dt, unit, quantize, restruck = (
        property(attrgetter(f"format.{field.name}")) for field in fields(RollFormat)
    )

    @cached_property
    def left_out(self) -> dict[str, int]:
        # symusic drops unended notes without a word. To count them takes a walk over
        # the bytes, so it happens on first use: few who read a folder ask.
        begun = events.count_note_ons(self._tracks)
        return {**self._left_out, "never ended": max(begun - self._n_paired, 0)}

    def __len__(self) -> int:
        return len(self.piano_roll)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        return self.piano_roll[rows]

    def __repr__(self) -> str:
        left_out = ", ".join(f"{n} {why}" for why, n in self.left_out.items() if n)
        return (
            f"<MidiRoll {printable(self.name)}: "
            f"{counted(len(self.piano_roll), 'step')} of {self.dt:g} s, "
            f"pitches {self.r[0]} to {self.r[1] - 1}; "
            f"{counted(len(self.notes), 'note')}, "
            f"left out: {left_out or 'none'}>"
        )

    def _repr_png_(self) -> bytes:
        """Return the roll as a PNG, which a notebook shows."""
        from midi.picture import draw_roll  # matplotlib is slow to import

        file = io.BytesIO()
        figure = draw_roll(self.piano_roll, self.r, self.dt, self.name)
        figure.savefig(file, format="png")
        return file.getvalue()


def seconds_to_steps(
    times_s: npt.NDArray[np.float64], dt: float
) -> npt.NDArray[np.float64]:
    """Return ceil(times_s / dt), the first row at or after each time.

    Parameters
    ----------
    times_s : float64 ndarray
        Seconds.
    dt : float
        Seconds.

    Returns
    -------
    float64 ndarray
        Whole numbers, or inf where dt is too small for them.
    """
    with np.errstate(over="ignore"):
        steps = times_s / dt
    # The time, the decimal dt as a float, and the quotient are each rounded by at most
    # 1.1e-16 of themselves. A note on the grid is thus within 4e-16 of a whole number,
    # and must not go up to the next; 1e-12 also forgives a dt that was itself computed.
    # A note truly off the grid by so little would be less than 0.1 µs off in 24 hours.
    nearest = np.rint(steps)
    with np.errstate(invalid="ignore"):  # inf - inf
        on_grid = np.abs(steps - nearest) <= 1e-12 * steps
    return np.where(on_grid, nearest, np.ceil(steps))


def fill_roll(
    column: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    shape: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Return a piano-roll of notes.

    Parameters
    ----------
    column, first, end : int64 ndarrays of shape (notes,)
        Each note sounds in rows first <= t < end of its column; notes may overlap.
    shape : (int, int)
        (T, N); rows from T are cut.

    Returns
    -------
    uint8 ndarray of shape (T, N)
    """
    steps = shape[0]
    end = np.minimum(end, steps)
    sounding = first < end
    column, first, end = column[sounding], first[sounding], end[sounding]
    order = np.lexsort((first, column))
    # One time line holds all the columns, one after another, with a gap between them.
    start_of_line = column[order] * (steps + 1)
    first, end = start_of_line + first[order], start_of_line + end[order]
    # Overlapping notes become one run, so that the work is bounded by the roll's size.
    reach = np.maximum.accumulate(end)
    opens = np.ones(len(first), bool)
    opens[1:] = first[1:] > reach[:-1]
    closes = np.append(opens[1:], True)[: len(first)]

    column = first[opens] // (steps + 1)
    start_of_line = column * (steps + 1)
    first, end = first[opens] - start_of_line, reach[closes] - start_of_line
    return _fill_runs(column, first, end, shape)


def _fill_runs(
    column: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    shape: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Return a roll of disjoint runs of ones, in rows first <= t < end of a column."""
    # Zeros cost nothing until written to, so a silent day is as quick as a tune.
    roll = np.zeros(shape, np.uint8)
    length = end - first
    if length.sum() <= _MAX_CELLS_AT_ONCE:
        before = np.cumsum(length) - length
        row = np.arange(length.sum()) + np.repeat(first - before, length)
        roll[row, np.repeat(column, length)] = 1
        return roll
    # Long runs are filled in pieces, in order of their rows. The pieces of many columns
    # then share cache lines: five times as fast where many notes are held for long.
    pieces = -(-length // _MAX_RUN_STEPS)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.repeat(first, pieces) + number * _MAX_RUN_STEPS
    stop = np.minimum(start + _MAX_RUN_STEPS, np.repeat(end, pieces))
    runs = np.stack([np.repeat(column, pieces), start, stop], axis=1)
    for n, row, row_end in runs[np.argsort(start)].tolist():
        roll[row:row_end, n] = 1
    return roll


def find_note_changes(roll: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Return where the runs of ones in each column begin and end.

    Parameters
    ----------
    roll : int8 ndarray of shape (T, N), zeros and ones

    Returns
    -------
    int64 ndarray of shape (changes, 3)
        Rows (step, 1 where a note begins or 0 where it ends, column), in that order;
        step T ends what sounds in the last row.
    """
    change = np.diff(roll, axis=0, prepend=np.int8(0), append=np.int8(0))
    step, column = np.nonzero(change)
    begins = change[step, column] > 0
    order = np.lexsort((column, begins, step))
    return np.stack([step, begins, column], axis=1)[order]
