"""What may be asked of this package: every argument is looked at before any work."""

import math
from numbers import Integral, Real

import numpy as np

MAX_SECONDS = 24 * 60 * 60  # of a roll
MAX_CELLS = 10**8  # of a roll: steps x notes, one byte each
MAX_FILE_BYTES = 2**25  # of a MIDI file: hundreds of hours of piano
MAX_TRACKS = 10_000  # of a MIDI file: each costs more time than its bytes
MIN_WRITE_DT_S = 1e-4


class MidiError(ValueError):
    """A file that cannot be read as MIDI, or has nothing to show in a piano-roll."""


def checked_range(r):
    """Return `r` as a tuple (low, high) of ints with 0 <= low < high <= 128."""
    allowed = "two whole numbers (low, high) with 0 <= low < high <= 128"
    try:
        low, high = r
    except (TypeError, ValueError):
        raise ValueError(f"r is {r!r}; allowed: {allowed}") from None
    if not (_is_whole(low) and _is_whole(high) and 0 <= low < high <= 128):
        raise ValueError(f"r is {r!r}; allowed: {allowed}")
    return int(low), int(high)


def checked_dt(dt, at_least_s=0.0):
    """Return `dt` as a float: seconds, finite, above 0 and not below `at_least_s`."""
    ok = isinstance(dt, Real) and not isinstance(dt, bool | np.bool_)
    if not (ok and math.isfinite(dt) and dt > 0 and dt >= at_least_s):
        least = f"at least {at_least_s:g}" if at_least_s else "above 0"
        raise ValueError(f"dt is {dt!r}; allowed: a finite number of seconds, {least}")
    return float(dt)


def checked_steps(steps, r, dt):
    """Return `steps` as an int, or None; a roll of that length must be allowed."""
    if steps is None:
        return None
    if not (_is_whole(steps) and steps > 0):
        raise ValueError(f"steps is {steps!r}; allowed: None, or a whole number from 1")
    check_size(int(steps), steps * dt, r, "steps", ValueError)
    return int(steps)


def check_size(steps, length_s, r, name, error=MidiError):
    """Raise `error` if a roll of so many steps, or so long, is over the limits."""
    if length_s > MAX_SECONDS:
        raise error(
            f"{name}: the piano-roll would last {length_s:.6g} s; "
            f"allowed: up to 24 hours ({MAX_SECONDS} s)"
        )
    if steps * (r[1] - r[0]) > MAX_CELLS:
        raise error(
            f"{name}: the piano-roll would have {steps:.6g} steps of {r[1] - r[0]} "
            f"notes; allowed: up to {MAX_CELLS} cells (a larger dt makes it smaller)"
        )


def counted(number, noun):
    """Return a number with its noun: 1 step, 2 steps."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def checked_truth(name, value):
    """Return the argument `value` as a bool; nothing else stands for one."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}; allowed are True and False")
    return bool(value)


def checked_patch(patch):
    """Return `patch` as an int from 0 to 127."""
    if not (_is_whole(patch) and 0 <= patch <= 127):
        raise ValueError(f"patch is {patch!r}; allowed: a whole number from 0 to 127")
    return int(patch)


def checked_jobs(n_jobs):
    """Return `n_jobs` as an int, or None; for an int, joblib must be there."""
    if n_jobs is None:
        return None
    if not _is_whole(n_jobs) or n_jobs == 0:
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


def checked_roll(piano_roll, r, dt):
    """Return `piano_roll` as an int8 array of zeros and ones, shape (T, high - low)."""
    width = r[1] - r[0]
    allowed = f"an array of zeros and ones of shape (steps, {width}), as r is {r}"
    roll = _checked_array(piano_roll, width, allowed)
    if not len(roll):
        raise ValueError(f"piano_roll has no step; allowed: {allowed}")
    check_size(len(roll), len(roll) * dt, r, "piano_roll", ValueError)
    _check_zeros_and_ones(roll, allowed)
    if not roll.any():
        raise ValueError(
            "piano_roll is silent: a file without a note could not be read back; "
            "allowed: a roll with at least one 1"
        )
    return roll.astype(np.int8)


def checked_bits(piano_roll, r=None):
    """Return `piano_roll` as an array of zeros and ones, as wide as `r` if given."""
    width = None if r is None else r[1] - r[0]
    allowed = "an array of zeros and ones of shape "
    allowed += "(steps, notes)" if r is None else f"(steps, {width}), as r is {r}"
    roll = _checked_array(piano_roll, width, allowed)
    if roll.shape[1] == 0 or roll.size > MAX_CELLS:
        raise ValueError(
            f"piano_roll has shape {roll.shape}; allowed: a note or more, and up to "
            f"{MAX_CELLS} cells"
        )
    _check_zeros_and_ones(roll, allowed)
    return roll


def _checked_array(piano_roll, width, allowed):
    """Return `piano_roll` as an array (steps, `width`) of numbers."""
    try:
        roll = np.asarray(piano_roll)
    except ValueError as error:  # rows of unequal length
        raise ValueError(
            f"piano_roll is no array: {error}; allowed: {allowed}"
        ) from None
    fits = roll.ndim == 2 and width in (None, roll.shape[1])
    if not fits or roll.dtype.kind not in "buif":
        raise ValueError(
            f"piano_roll has shape {roll.shape} and dtype {roll.dtype}; "
            f"allowed: {allowed}"
        )
    return roll


def _check_zeros_and_ones(roll, allowed):
    odd = roll[(roll != 0) & (roll != 1)]  # NaN is neither
    if odd.size:
        raise ValueError(f"piano_roll holds the value {odd[0]}; allowed: {allowed}")


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
