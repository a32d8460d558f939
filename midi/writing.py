"""Write piano-rolls as MIDI files."""

import dataclasses
from fractions import Fraction
from numbers import Real
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from midi import checks, encoding
from midi.files import FilePath, write_bytes
from midi.formats import RollFormat, roll_format
from midi.packed import PackedRoll
from midi.reading import check_size
from midi.rolls import MidiRoll

TEMPO = 120.0  # quarter notes per minute, what a file without a tempo has
MIN_TEMPO = encoding.US_PER_MINUTE / encoding.MAX_TEMPO_US
MAX_TEMPO = float(encoding.US_PER_MINUTE)


def midiwrite(
    filename: FilePath | BinaryIO,
    piano_roll: MidiRoll | PackedRoll | npt.ArrayLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    patch: int = 0,
    *,
    unit: str | None = None,
    tempo: float | None = None,
    velocity: int = encoding.VELOCITY,
    time_signature: tuple[int, int] | None = None,
) -> None:
    """Write a piano-roll as a MIDI file.

    Reading it back with the same r, dt and unit gives the same roll, less the silence
    at its end (`midiread(..., steps=T)` gives that back). Consecutive ones are one held
    note, except where N more columns mark it as struck again (``restruck=True``): then
    it ends and begins anew at the same tick.

    Parameters
    ----------
    filename : path or writable binary file object
        A file at a path is written whole or not at all.
    piano_roll : array of shape (T, N) or (T, 2 N), MidiRoll or PackedRoll
        Zeros and ones, of a bool, int or float dtype, with at least one 1. With 2 N
        columns, N = high - low, column N + n is 1 where column n is struck again; it
        must sound there, and in the row before unless that is cut off.
    r : (int, int), optional
        Column n is pitch low + n; 0 <= low < high <= 128. By default the roll's own, if
        it has one, else (21, 109).
    dt : float or Fraction, optional
        From one row to the next: seconds, 0.0001 or more, or beats (quarter notes) with
        a denominator up to 32,767; of a float the nearest fraction with one up to
        1,000. By default the roll's own, if it has one, else 0.2.
    patch : int
        Program (instrument), 0 to 127; 0 is a grand piano.
    unit : {'seconds', 'beats'}, optional
        By default the roll's own, if it has one, else seconds.
    tempo : float, optional
        Beats per minute, 3.58 to 60,000,000, with ``unit='beats'``. By default that of
        a MidiRoll in beats, the mean of its file; else 120. The file holds it as whole
        µs per beat. In seconds it must be None.
    velocity : int
        How hard each note is struck, 1 to 127.
    time_signature : (int, int), optional
        Such as (3, 4), with ``unit='beats'``: notation programs draw bars by it, from
        the first row. By default that of a MidiRoll in beats, if it has one; else none
        is written, which stands for 4/4.

    Raises
    ------
    ValueError
        If an argument is not allowed; then nothing is written.
    OSError
        If the file cannot be written; an existing file stays as it was.

    Notes
    -----
    In beats each step is a whole number of ticks: dt = 1/2, an eighth, is 240 of 480
    ticks a beat, so that notation programs show the same note values. In seconds a step
    is a beat, times are rounded to ticks, and the errors do not add up. Not supported:
    a velocity for each note, several tracks or instruments, and tempo changes.

    Examples
    --------
    >>> import io
    >>> from midi import midiread, midiwrite
    >>> file = io.BytesIO()
    >>> midiwrite(file, [[1, 0], [1, 1]], r=(60, 62), dt=0.5)
    >>> file.seek(0)
    0
    >>> midiread(file, r=(60, 62), dt=0.5).piano_roll.tolist()
    [[1, 0], [1, 1]]

    Two eighths on C4 at 90 beats a minute, the second struck again:

    >>> file = io.BytesIO()
    >>> midiwrite(file, [[1, 0], [1, 1]], r=(60, 61), dt=0.5, unit="beats", tempo=90)
    >>> file.seek(0)
    0
    >>> tune = midiread(file, r=(60, 61), dt=0.5, unit="beats", restruck=True)
    >>> tune.piano_roll.tolist(), tune.notes["onset_beats"].tolist()
    ([[1, 0], [1, 1]], [0.0, 0.5])
    """
    roll, format = check_written(piano_roll, r, dt, unit)
    patch = checks.check_int("patch", patch, 0, 127)
    velocity = checks.check_int("velocity", velocity, 1, 127)
    tempo = check_tempo(tempo, format.unit, piano_roll)
    meter = _check_meter(time_signature, format.unit, piano_roll)
    check_size(len(roll), len(roll) * format.dt, format, "piano_roll", ValueError)
    if not roll.any():
        raise ValueError(
            "piano_roll is silent: a file without a note could not be read back; "
            "allowed: a roll with at least one 1"
        )
    if tempo is None:
        step_s = float(checks.check_dt(format.dt, checks.MIN_WRITE_DT_S))
        timing = encoding.time_in_seconds(step_s, len(roll))
    else:
        timing = encoding.time_in_beats(Fraction(format.dt), tempo, len(roll))
    data = encoding.encode_roll(roll, format.r, timing, patch, velocity, meter)
    write_bytes(filename, data)


def _check_meter(value: Any, unit: str, roll: Any) -> tuple[int, int] | None:
    """Return the time signature to write; by default a MidiRoll's own, in beats."""
    if value is not None and unit == "seconds":
        raise ValueError(
            f"time_signature is {value!r:.60}; allowed with unit='seconds': None"
        )
    if value is None:
        is_in_beats = isinstance(roll, MidiRoll) and unit == "beats"
        return roll.time_signature if is_in_beats else None
    return checks.check_time_signature(value)


def check_written(
    piano_roll: Any,
    r: tuple[int, int] | None,
    dt: float | Fraction | None,
    unit: str | None,
) -> tuple[npt.NDArray[np.int8], RollFormat]:
    """Return a roll as an array, and its format: as given, else its own, else usual.

    Parameters
    ----------
    piano_roll, r, dt, unit
        As those of `midiwrite`; the roll may be silent.

    Returns
    -------
    roll : int8 ndarray of shape (T, format.width)
    format : RollFormat

    Raises
    ------
    ValueError
        If an argument is not allowed.
    """
    own = roll_format(piano_roll)
    own_unit = "seconds" if own is None else own.unit
    unit = own_unit if unit is None else checks.check_unit(unit)
    known = own  # or an object that brings r or dt, such as a PackedRoll without format
    if own is None and hasattr(piano_roll, "piano_roll"):
        known = piano_roll
    if dt is None:
        dt = getattr(known, "dt", None)
        if dt is not None and unit != own_unit:
            raise ValueError(
                f"unit is {unit!r}, and the roll's dt is {dt} in {own_unit}; allowed: "
                f"a dt in {unit} as well"
            )
    r = getattr(known, "r", None) if r is None else r
    format = RollFormat((21, 109) if r is None else r, 0.2 if dt is None else dt, unit)
    roll = checks.check_roll(getattr(piano_roll, "piano_roll", piano_roll), format.r)
    format = dataclasses.replace(format, restruck=roll.shape[1] > format.notes)
    if own is not None and own.restruck != format.restruck:
        raise ValueError(
            f"r is {format.r}, of {format.notes} notes, but the roll's format is of "
            f"{own}; allowed: an r of {own.notes} notes"
        )
    return roll, format


def check_tempo(tempo: Any, unit: str, roll: Any = None) -> float | None:
    """Return beats per minute as a float; None in seconds.

    By default it is that of a MidiRoll in beats, else 120.
    """
    if unit == "seconds":
        if tempo is not None:
            raise ValueError(
                f"tempo is {tempo!r}; allowed with unit='seconds': None, as dt says "
                "how long a step is"
            )
        return None
    if tempo is None:
        is_in_beats = isinstance(roll, MidiRoll) and roll.unit == "beats"
        own = roll.tempo if is_in_beats else None
        return TEMPO if own is None else min(max(own, MIN_TEMPO), MAX_TEMPO)
    is_number = isinstance(tempo, Real) and not isinstance(tempo, bool | np.bool_)
    if is_number and MIN_TEMPO <= tempo <= MAX_TEMPO:
        return float(tempo)
    raise ValueError(
        f"tempo is {tempo!r}; allowed: a number of quarter notes per minute from 3.58 "
        "to 60000000, as a file holds 1 to 16777215 µs per quarter note"
    )


def seconds_per_step(format: RollFormat, tempo: float | None) -> float:
    """Return dt in seconds, at a tempo that `check_tempo` returned."""
    return float(format.dt if tempo is None else format.dt * 60 / tempo)
