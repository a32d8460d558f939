"""Check arguments; each error says what the value is and what is allowed."""

import math
import numbers
import os
import sys
import warnings
from typing import Protocol

import numpy as np
import numpy.typing as npt

LONGEST = 2**16  # cells in a layer, or notes
PathLike = str | bytes | os.PathLike


class HasRoll(Protocol):
    """Describe what `midi.midiread` returns, and anything else with a piano-roll."""

    @property
    def piano_roll(self) -> np.ndarray: ...


RollLike = npt.ArrayLike | HasRoll


def check_int(name, value, low=1, high=None):
    """Return an int from ``low`` to ``high``, or raise ValueError."""
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, numbers.Integral)
        or value < low
        or (high is not None and value > high)
    ):
        wanted = f"from {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers {wanted}")
    return int(value)


def check_float(name, value, low=0.0, high=math.inf, low_allowed=False):
    """Return a finite float in (low, high], or [low, high] with ``low_allowed``."""
    wanted = f"{'from' if low_allowed else 'above'} {low:g}"
    if high < math.inf:
        wanted += f" to {high:g}"
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    below = number < low if low_allowed else number <= low
    if not math.isfinite(number) or below or number > high:
        raise ValueError(f"{name} is {value!r}; allowed are finite numbers {wanted}")
    return number


def optional(check, name, value, *args, **limits):
    """Return None, or ``check(name, value, …)``, whose error then allows None, too."""
    if value is None:
        return None
    try:
        return check(name, value, *args, **limits)
    except ValueError as error:
        message = str(error).replace("allowed are", "allowed are None and", 1)
        raise ValueError(message) from None


def truth(name, value):
    """Return a bool, or raise ValueError: 0 and 1 are none."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}; allowed are True and False")
    return bool(value)


def one_of(name, value, allowed):
    """Return ``value`` if it is one of the strings ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} is {value!r}; allowed are {names}")
    return value


def path(name, value):
    """Return a path as a string, or raise ValueError, as for '' and ints."""
    try:
        text = os.fsdecode(value)
    except TypeError:
        text = ""
    if not text or "\0" in text:
        raise ValueError(f"{name} is {value!r:.60}; allowed is the path of a file")
    return text


def target(name, value, suffix):
    """Return the path, with ``suffix``, of a file to write.

    If the path without the suffix is a folder, warn that the file is beside it.

    Raises
    ------
    ValueError
        If the value names a folder (``run/``, ``.``, ``..``), or if the path, with the
        suffix or without it, leads to anything but a regular file or such a folder.
    """
    text = path(name, value)
    written = text if text.endswith(suffix) else text + suffix
    allowed = f"allowed is the path of a file, such as 'name{suffix}'"
    if os.path.basename(written).strip(".") == suffix.strip("."):
        raise ValueError(
            f"{name} is {text!r}, which names no file: {written!r} would have been "
            f"written; {allowed}"
        )
    for place in (written, text):
        beside = os.path.isdir(place) and place != written
        if os.path.exists(place) and not os.path.isfile(place) and not beside:
            kind = "a folder" if os.path.isdir(place) else "no regular file"
            raise ValueError(f"{name} is {text!r}, but {place!r} is {kind}; {allowed}")
    if os.path.isdir(text):
        warn_caller(f"{text!r} is a folder; the file beside it is {written!r}")
    return written


def rng_state(name, state):
    """Return ``state`` if a NumPy bit generator takes it, or raise ValueError."""
    try:
        np.random.default_rng().bit_generator.state = state
    except Exception as error:
        raise ValueError(f"{name} is no random state: {error}") from None
    return state


def counted(number, noun, plural=None):
    """Return a number with its noun: 1 update, 2 updates."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def warn_caller(message):
    """Warn at the line outside this library that called it."""
    caller, level = sys._getframe(1), 2
    while caller.f_back and caller.f_globals.get("__name__", "").startswith(
        "lstmmusic."
    ):
        caller, level = caller.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def tunes_of(name, dataset):
    """Return an iterator over a dataset's tunes; refuse one roll, a path, a number."""
    allowed = "allowed is a sequence of tunes"
    shape = getattr(getattr(dataset, "piano_roll", dataset), "shape", ())
    if isinstance(shape, tuple) and len(shape) == 2:
        raise ValueError(f"{name} is one roll of shape {shape}; {allowed}: [roll]")
    try:
        tunes = iter(dataset)
    except TypeError:
        tunes = None
    if tunes is None or isinstance(dataset, (str, bytes)):
        raise ValueError(f"{name} is {dataset!r:.60}; {allowed}")
    return tunes


def generator(name, seed, default=None):
    """Return a random generator of a seed; of None ``default``, or else a new one."""
    if optional(check_int, name, seed, low=0) is None and default is not None:
        return default
    return np.random.default_rng(seed)


class Checked:
    """Pass each new value of an attribute through ``check(name, value, …)``."""

    def __init__(self, check=lambda name, value: value, **limits):
        self.check, self.limits = check, limits

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self if instance is None else instance.__dict__[self.name]

    def __set__(self, instance, value):
        instance.__dict__[self.name] = self.check(self.name, value, **self.limits)


class Fixed(Checked):
    """Check an attribute's first value, and refuse another."""

    def __set__(self, instance, value):
        if self.name in instance.__dict__:
            raise AttributeError(f"{self.name} is fixed when the object is made")
        super().__set__(instance, value)


def stay_above_zero(numbers, dtype):
    """Raise ValueError where ``dtype`` rounds one of {name: number or None} to 0."""
    numbers = {name: value for name, value in numbers.items() if value is not None}
    with np.errstate(over="ignore"):
        if all(map(dtype.type, numbers.values())):
            return
    values = ", ".join(f"{name} {value:g}" for name, value in numbers.items())
    raise ValueError(
        f"{values} in {dtype}; allowed are numbers that it does not round to 0"
    )


def array(name, value, dtype):
    """Return a new array in C order, or raise ValueError if it holds no numbers."""
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "biuf":
            raise TypeError
        with np.errstate(over="ignore"):  # callers check for finite values
            return np.array(found, dtype=dtype, order="C")
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not an array of numbers: {value!r:.60}") from None


def roll(name, value, width, dtype):
    """Return a piano-roll as an array (steps, width) of finite values in [0, 1].

    ``value`` is array_like, or has a ``piano_roll``, as `midi.midiread` returns.
    """
    found = array(name, getattr(value, "piano_roll", value), dtype)
    roll_shape(name, found.shape, width)
    return unit_values(name, found)


def roll_shape(name, shape, width):
    """Raise ValueError unless ``shape`` is (steps, width) with at least 1 step."""
    if len(shape) != 2 or shape[1] != width or shape[0] == 0:
        raise ValueError(
            f"{name} has shape {shape}; "
            f"allowed are (steps, {width}) with at least 1 step"
        )


def minibatch(name, value, width, dtype):
    """Check rolls (tunes, steps, width) and return them as (steps, tunes, width)."""
    if isinstance(value, list | tuple):  # of arrays, or of MidiRoll
        value = [getattr(roll, "piano_roll", roll) for roll in value]
    found = array(name, value, dtype)
    if found.ndim != 3 or 0 in found.shape or found.shape[2] != width:
        raise ValueError(
            f"{name} has shape {found.shape}; "
            f"allowed are (tunes, steps, {width}), at least one of each"
        )
    return np.ascontiguousarray(unit_values(name, found).swapaxes(0, 1))


def minibatches(given, width, dtype):
    """Check {name: rolls} as `minibatch` does, and that all have the same shape."""
    found = [minibatch(name, rolls, width, dtype) for name, rolls in given.items()]
    if len({rolls.shape for rolls in found}) > 1:
        shapes = " and ".join(str(np.shape(rolls)) for rolls in given.values())
        raise ValueError(
            f"{' and '.join(given)} have shapes {shapes}; they must be the same"
        )
    return found


def unit_values(name, array):
    """Return ``array`` if all its values lie in [0, 1]."""
    inside = (array >= 0) & (array <= 1)  # False for NaN, too
    if not inside.all():
        where = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise ValueError(
            f"{name} holds {array[where]} at {where}; allowed are values from 0 to 1"
        )
    return array


def zeros_and_ones(name, array):
    """Raise ValueError if ``array`` holds another value than 0 and 1."""
    other = (array != 0) & (array != 1)
    if other.any():
        where = tuple(int(i) for i in np.argwhere(other)[0])
        raise ValueError(
            f"{name} holds {array[where]} at {where}; allowed with output='joint' are "
            "0 and 1"
        )


def pitch_range(r, name="r", apart=1):
    """Return two pitches as ints, 0 <= low and low + apart <= high <= 127 + apart."""
    try:
        low, high = r
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} is {r!r:.60}; allowed are two pitches, (low, high)"
        ) from None
    low = check_int(f"the first of {name}", low, low=0, high=127)
    limits = {"low": low + apart, "high": 127 + apart}
    return low, check_int(f"the second of {name}", high, **limits)


def sounding(name, value, r):
    """Return a piano-roll of zeros and ones as booleans (steps, r[1] − r[0])."""
    found = roll(name, value, r[1] - r[0], np.float32)
    odd = found[(found != 0) & (found != 1)]
    if odd.size:
        raise ValueError(f"{name} holds {odd[0]:g}; allowed are zeros and ones")
    return found.astype(bool)
