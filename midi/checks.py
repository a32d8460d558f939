"""Check every argument before any work, and hold the limits of files and rolls."""

import math
from fractions import Fraction
from numbers import Integral, Rational, Real
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ROLL_S = 24 * 60 * 60
MAX_ROLL_CELLS = 10**8  # steps x columns, one byte each
MAX_FILE_BYTES = 2**25  # hundreds of hours of piano
MAX_TRACKS = 10_000  # each costs more time than its bytes
MIN_WRITE_DT_S = 1e-4
UNITS = ("seconds", "beats")
DENOMINATORS = tuple(2**power for power in range(8))  # of a time signature
MAX_DENOMINATOR = 2**15 - 1  # of a beat: the header's division has 15 bits
MAX_FLOAT_DENOMINATOR = 1_000


class MidiError(ValueError):
    """Report a file that cannot be read as MIDI, or has no note for a piano-roll.

    Examples
    --------
    >>> import io
    >>> from midi import midiread
    >>> file = io.BytesIO(b"Once upon a time")
    >>> file.name = "tale.txt"
    >>> midiread(file)
    Traceback (most recent call last):
        ...
    midi.checks.MidiError: tale.txt: not MIDI: it begins with b'Once'; allowed: b'MThd'
    """


def check_range(r: Any) -> tuple[int, int]:
    """Return `r` as a tuple (low, high) of ints with 0 <= low < high <= 128."""
    allowed = "two whole numbers (low, high) with 0 <= low < high <= 128"
    try:
        low, high = r
    except (TypeError, ValueError):
        raise ValueError(f"r is {r!r}; allowed: {allowed}") from None
    if not (_is_int(low) and _is_int(high) and 0 <= low < high <= 128):
        raise ValueError(f"r is {r!r}; allowed: {allowed}")
    return int(low), int(high)


def check_unit(unit: Any) -> str:
    """Return `unit` if it is one of UNITS."""
    if unit not in UNITS or not isinstance(unit, str):
        raise ValueError(f"unit is {unit!r:.60}; allowed: 'seconds' and 'beats'")
    return unit


def check_dt(dt: Any, least: float = 0.0, unit: str = "seconds") -> float | Fraction:
    """Return `dt`, finite, above 0 and at least `least`, in `unit`.

    Seconds are a float.  Beats are a Fraction: the nearest to a float with a
    denominator up to 1,000, or one given with a denominator up to 32,767.
    """
    try:
        number = float(dt) if isinstance(dt, Real) and not _is_bool(dt) else math.nan
    except OverflowError:
        number = math.inf
    if not (0 < number < math.inf and number >= least):
        lowest = f"at least {least:g}" if least else "above 0"
        raise ValueError(
            f"dt is {dt!r:.60}; allowed: a finite number of {unit}, {lowest}"
        )
    return number if unit == "seconds" else _beats(dt)


def _beats(dt: Any) -> Fraction:
    """Return a checked number of beats as a Fraction."""
    if isinstance(dt, Rational):
        beats = Fraction(int(dt.numerator), int(dt.denominator))
    else:
        beats = Fraction(float(dt)).limit_denominator(MAX_FLOAT_DENOMINATOR)
    if beats <= 0 or beats.denominator > MAX_DENOMINATOR:
        raise ValueError(
            f"dt is {dt!r}; allowed in beats: a fraction with a denominator up to "
            f"{MAX_DENOMINATOR}, or a float of at least 1/{MAX_FLOAT_DENOMINATOR}"
        )
    return beats


def check_steps(steps: Any) -> int | str | None:
    """Return `steps` as None, 'end' or an int above 0."""
    if steps is None or (isinstance(steps, str) and steps == "end"):
        return steps
    if not (_is_int(steps) and steps > 0):
        allowed = "None, 'end', or a whole number from 1"
        raise ValueError(f"steps is {steps!r:.60}; allowed: {allowed}")
    return int(steps)


def check_unended(unended: Any) -> str:
    """Return `unended` if it is 'drop' or 'hold'."""
    if not isinstance(unended, str) or unended not in ("drop", "hold"):
        raise ValueError(f"unended is {unended!r:.60}; allowed: 'drop' and 'hold'")
    return unended


def check_bool(name: str, value: Any) -> bool:
    """Return `value` as a bool; accept no other type in its place."""
    if not _is_bool(value):
        raise ValueError(f"{name} is {value!r}; allowed are True and False")
    return bool(value)


def check_int(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int from `low` to `high`."""
    if not (_is_int(value) and low <= value <= high):
        raise ValueError(
            f"{name} is {value!r}; allowed: a whole number from {low} to {high}"
        )
    return int(value)


def check_jobs(n_jobs: Any) -> int | None:
    """Return `n_jobs` as an int, or None; an int requires joblib."""
    if n_jobs is None:
        return None
    if not _is_int(n_jobs) or n_jobs == 0:
        raise ValueError(
            f"n_jobs is {n_jobs!r}; allowed: None, or a whole number that is not 0 "
            "(-1 for all CPUs)"
        )
    try:
        import joblib  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"n_jobs is {n_jobs}, but joblib cannot be imported ({error}); allowed: "
            "None, or to pip install 'lstmmusic[folders]' first"
        ) from error
    return int(n_jobs)


def check_roll(piano_roll: Any, r: tuple[int, int]) -> npt.NDArray[np.int8]:
    """Return a roll of T steps, 1 or more, as an array of int8.

    Its shape is (T, N), or (T, 2 N) with notes struck again; N = r[1] - r[0].
    """
    notes = r[1] - r[0]
    allowed = (
        f"an array of zeros and ones of shape (steps, {notes}), or (steps, {2 * notes})"
        f" with notes struck again, as r is {r}"
    )
    roll = _check_array(piano_roll, (notes, 2 * notes), allowed)
    if not len(roll):
        raise ValueError(f"piano_roll has no step; allowed: {allowed}")
    _check_zeros_and_ones(roll, allowed)
    roll = roll.astype(np.int8)
    _check_struck(roll[:, :notes], roll[:, notes:], r[0])
    return roll


def _check_struck(
    sounding: npt.NDArray[np.int8], struck: npt.NDArray[np.int8], low: int
) -> None:
    """Raise ValueError where `struck` marks a note that no other note precedes.

    Row 0 is free of the rule: that of a longer roll's slice follows rows cut off.
    """
    if not struck.size:
        return
    allowed = sounding.copy()
    allowed[1:] &= sounding[:-1]
    wrong = np.argwhere(struck > allowed)
    if len(wrong):
        step, column = wrong[0].tolist()
        why = "did not sound before" if sounding[step, column] else "does not sound"
        raise ValueError(
            f"piano_roll is 1 at [{step}, {column + sounding.shape[1]}]: pitch "
            f"{low + column} is struck again in step {step}, where it {why}; allowed: "
            "notes that sound there and in the step before"
        )


def check_bits(
    piano_roll: Any, r: tuple[int, int] | None = None, restruck: bool = False
) -> npt.NDArray[Any]:
    """Return an array of zeros and ones of any length, as wide as `r` if given."""
    width = None if r is None else (r[1] - r[0]) * (2 if restruck else 1)
    allowed = "an array of zeros and ones of shape "
    allowed += "(steps, notes)" if r is None else f"(steps, {width}), as r is {r}"
    roll = _check_array(piano_roll, None if width is None else (width,), allowed)
    if roll.shape[1] == 0 or roll.size > MAX_ROLL_CELLS:
        raise ValueError(
            f"piano_roll has shape {roll.shape}; allowed: a column or more, and up to "
            f"{MAX_ROLL_CELLS} cells"
        )
    _check_zeros_and_ones(roll, allowed)
    return roll


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 step, 2 steps."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _check_array(
    piano_roll: Any, widths: tuple[int, ...] | None, allowed: str
) -> npt.NDArray[Any]:
    """Return `piano_roll` as an array of numbers, (T, one of `widths` if given)."""
    try:
        roll = np.asarray(piano_roll)
    except ValueError as error:  # rows of unequal length
        raise ValueError(
            f"piano_roll is no array: {error}; allowed: {allowed}"
        ) from None
    fits = roll.ndim == 2 and (widths is None or roll.shape[1] in widths)
    if not fits or roll.dtype.kind not in "buif":
        raise ValueError(
            f"piano_roll has shape {roll.shape} and dtype {roll.dtype}; "
            f"allowed: {allowed}"
        )
    return roll


def _check_zeros_and_ones(roll: npt.NDArray[Any], allowed: str) -> None:
    others = roll[(roll != 0) & (roll != 1)]  # NaN included
    if others.size:
        raise ValueError(f"piano_roll holds the value {others[0]}; allowed: {allowed}")


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not _is_bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def check_time_signature(value: Any) -> tuple[int, int]:
    """Return a time signature as two ints, numerator and denominator."""
    allowed = "two whole numbers, from 1 to 255 and a power of 2 up to 128"
    try:
        upper, lower = value
    except (TypeError, ValueError):
        upper = lower = None
    fits = _is_int(upper) and _is_int(lower)
    if not (fits and 1 <= upper <= 255 and lower in DENOMINATORS):
        raise ValueError(f"time_signature is {value!r:.60}; allowed: {allowed}")
    return int(upper), int(lower)
