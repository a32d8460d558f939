"""Hold the piano-roll of a MIDI file, and find the notes of any roll."""

import io
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from midi import parsing
from midi.checks import counted
from midi.clock import Clock
from midi.files import printable
from midi.formats import RollArray, RollFormat, in_beats

UNIT_SYMBOLS = {"seconds": "s", "beats": "beats"}  # in the names of times
NOTE_DTYPES = {
    unit: np.dtype(
        [("pitch", "u1"), (f"onset_{symbol}", "f8"), (f"offset_{symbol}", "f8")]
    )
    for unit, symbol in UNIT_SYMBOLS.items()
}
ADVICE = {  # what brings the notes back that are left out
    "percussion": "drums=True",
    "between steps": "quantize=True or a smaller dt",
    "never ended": "unended='hold'",
}


class FileTimes(NamedTuple):
    """Hold when the notes of a file begin and end, in ticks, and its tracks.

    clock : Clock
        It tells the time of a tick.
    first_tick, last_tick : int
        From the first onset to the last end of the notes that are not left out.
    tracks : list of bytes
        As in `parsing.MidiChunks`; from them comes `end_tick`.
    time_signature : (int, int) or None
    """

    clock: Clock
    first_tick: int
    last_tick: int
    tracks: Sequence[bytes]
    time_signature: tuple[int, int] | None

    @property
    def end_tick(self) -> int:
        """Return where the last track ends, walking all tracks."""
        return parsing.find_end(self.tracks)


class MidiRoll:
    """Hold a MIDI file as a piano-roll; `midiread` returns it.

    `len` gives T; ``tune[10:50]`` are rows of the roll, with its format.

    Attributes
    ----------
    piano_roll : uint8 RollArray of shape (T, N), an ndarray
        1 where a note sounds: row t at time t * dt, column n for pitch r[0] + n. If
        restruck, of shape (T, 2 N): [t, N + n] is 1 where note n sounds in row t,
        sounds in row t - 1, and is struck again in row t.
    notes : structured ndarray of shape (notes,)
        Fields `pitch` (uint8), `onset_s` and `offset_s` (float64, seconds), in order
        of onset, then pitch: every note of the file that is not left out. In beats,
        `onset_beats` and `offset_beats` (float64, quarter notes) take their place.
    format : RollFormat
        What rows and columns stand for; its fields are attributes of the MidiRoll, too:
        `r`, `dt`, `unit`, `quantize`, `restruck`.
    name : str
        The file's name: a path, if read by path.
    left_out : dict of str to int
        How many notes are missing, and why. Each note that begins is either in some row
        or counted here once.

        - Not in `notes`: ``"percussion"``; of the others ``"below r"`` and
          ``"above r"``; of the others ``"never ended"``.
        - In `notes`, but in no row: ``"after steps"``, which begin after the last of
          the `steps` asked for, if those cut the file; of the others
          ``"between steps"``, with no row from onset to offset.
    doubled : int
        How many notes begin in the same row as another of their pitch, and are one note
        with it in the roll.
    tempo : float or None
        Mean tempo in quarter notes per minute, from the first onset to the last end of
        the `notes`. None for SMPTE time, which has no beats.
    tempos : structured ndarray of shape (tempos,), or None
        The tempo map: fields `onset_beats` (quarter notes), `onset_s` (seconds) and
        `tempo` (quarter notes per minute, until the next), float64. It begins at 0,
        with 120 unless the file says another.
    time_signature : (int, int) or None
        The file's first: (3, 4) for three quarter notes to a bar. None if it has none.
    end_s : float
        When the last track ends, in seconds; at the notes' end or later.
    end_beats : float or None
        The same in quarter notes.

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
    >>> tune.tempo, tune.end_s
    (120.0, 1.0)
    """

    def __init__(
        self,
        piano_roll: npt.NDArray[np.uint8],
        notes: npt.NDArray[np.void],
        format: RollFormat,
        name: str,
        left_out: dict[str, int],
        doubled: int,
        times: FileTimes,
    ) -> None:
        self.piano_roll = RollArray.of(piano_roll, format)
        self.notes = notes
        self.format = format
        self.name = name
        self.left_out = left_out
        self.doubled = doubled
        self._times = times

    r, dt, unit, quantize, restruck = (
        property(attrgetter(f"format.{field.name}")) for field in fields(RollFormat)
    )

    @property
    def tempo(self) -> float | None:
        clock, first_tick, last_tick, *_ = self._times
        return clock.mean_tempo(first_tick, last_tick) if clock.ticks_per_beat else None

    @property
    def tempos(self) -> npt.NDArray[np.void] | None:
        clock = self._times.clock
        return clock.tempo_changes() if clock.ticks_per_beat else None

    @property
    def end_s(self) -> float:
        return float(self._times.clock.seconds(np.array(self._end_tick)))

    @property
    def end_beats(self) -> float | None:
        per_beat = self._times.clock.ticks_per_beat
        return self._end_tick / per_beat if per_beat else None

    @cached_property
    def _end_tick(self) -> int:
        return self._times.end_tick  # it walks the tracks

    @property
    def time_signature(self) -> tuple[int, int] | None:
        return self._times.time_signature

    def __len__(self) -> int:
        return len(self.piano_roll)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        return self.piano_roll[rows]

    def __repr__(self) -> str:
        dt = f"{self.dt:g} s" if self.unit == "seconds" else in_beats(self.dt)
        doubled = f", {self.doubled} doubled" if self.doubled else ""
        return (
            f"<MidiRoll {printable(self.name)}: "
            f"{counted(len(self.piano_roll), 'step')} of {dt}, "
            f"pitches {self.r[0]} to {self.r[1] - 1}; "
            f"{counted(len(self.notes), 'note')}{doubled}, "
            f"left out: {in_words(self.left_out) or 'none'}>"
        )

    def _repr_png_(self) -> bytes:
        """Return the roll as a PNG, which a notebook shows."""
        from midi.picture import draw_roll  # matplotlib is slow to import

        file = io.BytesIO()
        figure = draw_roll(self.piano_roll, self.format, self.name)
        figure.savefig(file, format="png")
        return file.getvalue()


def in_words(counts: dict[str, int], advice: dict[str, str] = ADVICE) -> str:
    """Return how many notes are left out and why, and which argument keeps them."""
    return ", ".join(
        f"{number} {why}" + (f" ({advice[why]} keeps them)" if why in advice else "")
        for why, number in counts.items()
        if number
    )


def find_note_changes(roll: npt.NDArray[np.int8], notes: int) -> npt.NDArray[np.int64]:
    """Return where the notes of each column begin and end.

    Parameters
    ----------
    roll : int8 ndarray of shape (T, N) or (T, 2 N), zeros and ones
        Column n sounds in runs of ones; a one in column N + n ends a note and begins
        the next within a run.
    notes : int
        N.

    Returns
    -------
    int64 ndarray of shape (changes, 3)
        Rows (step, 1 where a note begins or 0 where it ends, column), in that order;
        step T ends what sounds in the last row.
    """
    change = np.diff(roll[:, :notes], axis=0, prepend=np.int8(0), append=np.int8(0))
    begins, ends = change > 0, change < 0
    struck = roll[1:, notes:] > 0  # in row 0 there is no note to end
    if struck.size:
        begins[1:-1] |= struck
        ends[1:-1] |= struck
    rows = [
        np.column_stack((step, np.full_like(step, is_begin), column))
        for is_begin, (step, column) in enumerate(map(np.nonzero, (ends, begins)))
    ]
    changes = np.concatenate(rows)
    return changes[np.lexsort(changes.T[::-1])]
