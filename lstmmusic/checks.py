"""Refuse what cannot work, before any work is done, and say what would."""

import math
import numbers

import numpy as np


def whole(name, value, low=1):
    """Return an int of at least ``low``; a ValueError names what was given."""
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, numbers.Integral)
        or value < low
    ):
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers from {low}")
    return int(value)


def real(name, value, low=0.0, high=math.inf, low_allowed=False):
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


def truth(name, value):
    """Return a bool; nothing else is taken for one."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}; allowed are True and False")
    return bool(value)


def one_of(name, value, allowed):
    """Return ``value`` if it is among the strings ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")
    return value


class Checked:
    """An attribute whose every new value goes through ``check(name, value, …)``."""

    def __init__(self, check, **limits):
        self.check, self.limits = check, limits

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self if instance is None else instance.__dict__[self.name]

    def __set__(self, instance, value):
        instance.__dict__[self.name] = self.check(self.name, value, **self.limits)


def roll(name, value, width, dtype, low=1):
    """Return a piano-roll as an array (steps, width) of finite values in [0, 1]."""
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not an array of numbers: {value!r:.60}") from None
    if array.ndim != 2 or array.shape[1] != width or len(array) < low:
        raise ValueError(
            f"{name} has shape {array.shape}; "
            f"allowed are (steps, {width}) with at least {low} steps"
        )
    return unit_values(name, array)


def unit_values(name, array):
    """Return ``array`` if all its values lie in [0, 1]."""
    inside = (array >= 0) & (array <= 1)  # False for NaN, too
    if not inside.all():
        where = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise ValueError(
            f"{name} holds {array[where]} at {where}; allowed are values from 0 to 1"
        )
    return array
