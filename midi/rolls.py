"""Times -> rows of a piano-roll, and back. T steps, N = r[1] - r[0] notes."""

import io
import os
from functools import cached_property

import numpy as np

from midi import events
from midi.checks import counted
from midi.files import shown

PIECE = 4096  # rows that are drawn at once
NOTE_DTYPE = np.dtype([("pitch", np.uint8), ("onset_s", "f8"), ("offset_s", "f8")])


class MidiRoll:
    """What `midiread` returns: a file as a piano-roll.

    Attributes
    ----------
    piano_roll : uint8 ndarray of shape (T, N)
        1 where a note sounds: row t at time t * dt, column n for pitch r[0] + n.
    notes : structured ndarray of shape (notes,)
        Fields `pitch` (uint8), `onset_s` and `offset_s` (float64, seconds), in order
        of onset, then pitch: every note of the file that is not left out.
    r : (int, int)
        Lowest pitch, and one above the highest.
    dt : float
        Seconds from one row to the next.
    name : str
        The file's name: a path, where it was read by path.
    left_out : dict of str to int
        How many notes are missing, and why; each is counted once, so that these and
        the notes in some row are all that the file begins.

        - Not in `notes`: ``"never ended"``; of the others ``"percussion"``; of the
          others ``"below r"`` and ``"above r"``.
        - In `notes`, but in no row: ``"after steps"``, which begin after the last of
          the `steps` asked for, if those cut the file; of the others
          ``"between steps"``, with no row from onset to offset.
    """

    def __init__(self, piano_roll, notes, r, dt, name, left_out, tracks, paired):
        self.piano_roll = piano_roll
        self.notes = notes
        self.r = r
        self.dt = dt
        self.name = name
        self._left_out = left_out
        self._tracks = tracks
        self._paired = paired

    @cached_property
    def left_out(self):
        # The fast parser drops unended notes without a word: they are counted by a
        # walk over the bytes, on first use, to keep reading a folder fast.
        begun = events.count_note_ons(self._tracks)
        return {**self._left_out, "never ended": max(begun - self._paired, 0)}

    def __repr__(self):
        left_out = ", ".join(f"{n} {why}" for why, n in self.left_out.items() if n)
        return (
            f"<MidiRoll {shown(self.name)}: "
            f"{counted(len(self.piano_roll), 'step')} of {self.dt:g} s, "
            f"pitches {self.r[0]} to {self.r[1] - 1}; "
            f"{counted(len(self.notes), 'note')}, "
            f"left out: {left_out or 'none'}>"
        )

    def _repr_png_(self):
        """Return a PNG of the roll: what a notebook shows."""
        file = io.BytesIO()
        _picture(self).savefig(file, format="png")
        return file.getvalue()


def first_step_from(times_s, dt):
    """Return ceil(times_s / dt): the first row at or after each time.

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


def fill_roll(column, first, end, shape):
    """Draw notes into a piano-roll.

    Parameters
    ----------
    column, first, end : int64 ndarrays of shape (notes,)
        Each note sounds in rows first <= t < end of its column; may overlap.
    shape : (int, int)
        (T, N); what lies beyond T is cut.

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
    line = column[order] * (steps + 1)
    first, end = line + first[order], line + end[order]
    # Overlapping notes become one, so that the work is bounded by the roll's size.
    reach = np.maximum.accumulate(end)
    opens = np.ones(len(first), bool)
    opens[1:] = first[1:] > reach[:-1]
    closes = np.append(opens[1:], True)[: len(first)]

    column = first[opens] // (steps + 1)
    line = column * (steps + 1)
    return _draw_runs(column, first[opens] - line, reach[closes] - line, shape)


def _draw_runs(column, first, end, shape):
    """Return a roll of ones in rows first <= t < end; the runs are disjoint."""
    # Zeros cost nothing until written to, so a day of silence is as quick as a tune.
    roll = np.zeros(shape, np.uint8)
    length = end - first
    if length.sum() <= 2**20:  # all cells at once: quicker, but 16 bytes for each
        before = np.cumsum(length) - length
        row = np.arange(length.sum()) + np.repeat(first - before, length)
        roll[row, np.repeat(column, length)] = 1
        return roll
    # Runs in pieces, in order of their rows: what one has drawn on is still at hand for
    # the next, five times as fast where many notes are held for long.
    pieces = -(-length // PIECE)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.repeat(first, pieces) + number * PIECE
    stop = np.minimum(start + PIECE, np.repeat(end, pieces))
    drawn = np.stack([np.repeat(column, pieces), start, stop], axis=1)
    for n, row, past in drawn[np.argsort(start)].tolist():
        roll[row:past, n] = 1
    return roll


def find_notes(roll):
    """Find the runs of ones in each column.

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


def _picture(midi_roll):
    """Draw a MidiRoll: a matplotlib Figure, time in seconds, a name at each C."""
    # Imported here, as `import midi` is not to pay for it; not pyplot, which keeps
    # every figure. lstmmusic.plots crops and compares, but belongs to the network.
    from matplotlib.figure import Figure

    (steps, _), (low, high), dt = midi_roll.piano_roll.shape, midi_roll.r, midi_roll.dt
    # At least a pixel for each column: of a long roll some rows are drawn as one.
    rows = -(-steps // 800)
    drawn = np.maximum.reduceat(midi_roll.piano_roll, np.arange(0, steps, rows))
    ax = Figure(figsize=(9, 3), layout="constrained").add_subplot()
    ax.imshow(
        drawn.T,
        cmap="gray_r",
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(drawn) * rows * dt, low - 0.5, high - 0.5),
    )
    ax.set(xlim=(0, steps * dt), xlabel="time (s)", ylabel="pitch")
    ax.locator_params(axis="y", integer=True)
    octaves = [pitch for pitch in range(low, high) if pitch % 12 == 0]
    if octaves:
        ax.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
        ax.set_ylabel("note")
        ax.grid(axis="y", color="tab:blue", lw=0.5, alpha=0.4)
    # A file may have any name; the font has the letters of Latin-1, at least.
    name = os.path.basename(midi_roll.name)[-80:].encode("latin-1", "replace")
    ax.set_title(name.decode("latin-1"), loc="left", parse_math=False)
    return ax.figure
