"""Place notes in the rows of a piano-roll.

A roll has T steps and N = r[1] - r[0] notes. Row t is time t * dt, column n is pitch
r[0] + n. A note sounds in rows first <= t < end of its column.
"""

from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from midi.clock import Clock, seconds_to_steps, ticks_to_steps
from midi.formats import RollFormat

_MAX_CELLS_AT_ONCE = 2**20  # indexing takes 16 bytes for each
_MAX_RUN_STEPS = 4096
_Ints: TypeAlias = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Hold the rows of notes, first <= row < end; arrays of shape (notes,).

    They are int64 in beats; in seconds float64 of whole numbers, or inf.
    """

    first: npt.NDArray[np.float64 | np.int64]
    end: npt.NDArray[np.float64 | np.int64]


class Drawn(NamedTuple):
    """Hold a roll, and how many notes begin in the row and column of another."""

    roll: npt.NDArray[np.uint8]
    doubled: int


def place_ticks(
    ticks: _Ints, clock: Clock, format: RollFormat, nearest: bool = False
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64 | np.int64]]:
    """Return ticks in the format's unit, and in rows: the next, or the nearest.

    Parameters
    ----------
    ticks : int64 ndarray of any shape
    clock, format
    nearest : bool
        Round to the nearest row, halves up, in place of up.

    Returns
    -------
    times : float64 ndarray
        Seconds or beats.
    rows : int64 ndarray, or in seconds float64
    """
    if format.unit == "seconds":
        times = clock.seconds(ticks)
        return times, seconds_to_steps(times, float(format.dt), nearest)
    division = clock.ticks_per_beat
    rows = ticks_to_steps(ticks, division, Fraction(format.dt), nearest)
    return clock.beats(ticks), rows


def draw_notes(rows: Rows, column: _Ints, steps: int, format: RollFormat) -> Drawn:
    """Return the piano-roll of notes, and how many are one with another.

    Parameters
    ----------
    rows : Rows
    column : int64 ndarray of shape (notes,)
        0 <= column < N. Notes of one column may overlap.
    steps : int
        T; rows from T are cut.
    format : RollFormat
        If restruck, [t, N + n] is 1 where note n sounds in row t, sounds in row t - 1,
        and a note of its column begins in row t.

    Returns
    -------
    Drawn
        With a uint8 roll of shape (T, format.width).
    """
    first, end = (np.minimum(x, steps).astype(np.int64) for x in rows)
    sounding = first < end
    column, first, end = column[sounding], first[sounding], end[sounding]
    drawn = fill_roll(column, first, end, (steps, format.width))
    if format.restruck:
        # A note that begins in row 0 follows none.
        column, first = column[first > 0], first[first > 0]
        sounded = drawn.roll[first - 1, column]
        drawn.roll[first, column + format.notes] = sounded
    return drawn


def fill_roll(column: _Ints, first: _Ints, end: _Ints, shape: tuple[int, int]) -> Drawn:
    """Return a piano-roll of notes that sound in a row or more, and may overlap.

    Parameters
    ----------
    column, first, end : int64 ndarrays of shape (notes,)
        0 <= column < width, 0 <= first < end <= T.
    shape : (int, int)
        (T, width)
    """
    steps = shape[0]
    order = np.lexsort((first, column.astype(np.uint8)))  # few bytes sort quickly
    # One time line holds all the columns, one after another, with a gap between them.
    start_of_line = column[order] * (steps + 1)
    first, end = start_of_line + first[order], start_of_line + end[order]
    doubled = int(np.count_nonzero(first[1:] == first[:-1]))
    # Overlapping notes become one run, so that the work is bounded by the roll's size.
    reach = np.maximum.accumulate(end)
    opens = np.ones(len(first), bool)
    opens[1:] = first[1:] > reach[:-1]
    closes = np.append(opens[1:], True)[: len(first)]

    column = first[opens] // (steps + 1)
    start_of_line = column * (steps + 1)
    first, end = first[opens] - start_of_line, reach[closes] - start_of_line
    return Drawn(_fill_runs(column, first, end, shape), doubled)


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
