"""Describe what the rows and columns of a piano-roll stand for."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from midi import checks


@dataclass(frozen=True)
class RollFormat:
    """Hold what a roll's rows and columns stand for.

    Attributes
    ----------
    r : (int, int)
        Column n is pitch r[0] + n; 0 <= low < high <= 128.
    dt : float or Fraction
        From one row to the next, in seconds (float) or beats (Fraction), as `unit`.
    unit : {'seconds', 'beats'}
        A beat is a quarter note.
    quantize : bool
        Whether onsets and ends went to the nearest step, not to the next.
    restruck : bool
        Whether N more columns mark notes struck again; N = r[1] - r[0].

    Raises
    ------
    ValueError
        If a value is not allowed.

    Examples
    --------
    >>> from midi import RollFormat
    >>> eighths = RollFormat((36, 84), 0.5, "beats", restruck=True)
    >>> eighths.width
    96
    >>> print(eighths)
    pitches 36 to 83, steps of 1/2 beat, notes struck again marked
    """

    r: tuple[int, int] = (21, 109)
    dt: float | Fraction = 0.2
    unit: str = "seconds"
    quantize: bool = False
    restruck: bool = False

    def __post_init__(self) -> None:
        unit = checks.check_unit(self.unit)
        checked = {
            "r": checks.check_range(self.r),
            "dt": checks.check_dt(self.dt, unit=unit),
            "quantize": checks.check_bool("quantize", self.quantize),
            "restruck": checks.check_bool("restruck", self.restruck),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def notes(self) -> int:
        """Return N, the number of pitches."""
        return self.r[1] - self.r[0]

    @property
    def width(self) -> int:
        """Return the number of columns: N, or 2 N with notes struck again."""
        return self.notes * (2 if self.restruck else 1)

    def __str__(self) -> str:
        dt = f"{self.dt:g} s" if self.unit == "seconds" else in_beats(self.dt)
        parts = f"pitches {self.r[0]} to {self.r[1] - 1}", f"steps of {dt}"
        flags = {"quantized": self.quantize, "notes struck again marked": self.restruck}
        return ", ".join([*parts, *(name for name, is_set in flags.items() if is_set)])


def in_beats(dt: float | Fraction) -> str:
    """Return a number of beats in words: 1/2 beat, 1 beat, 3/2 beats."""
    return f"{dt} beat{'s' if dt > 1 else ''}"


class RollArray(np.ndarray):
    """Hold a roll, or many of equal length, as an array that knows its `RollFormat`.

    It is an ndarray in all else, of shape (T, columns) or (tunes, T, columns).  Copies
    and results of the same shape keep the format, and so do consecutive rows in order,
    with all columns: ``tune[2:5]``, ``tunes[0]``, ``tunes[1:3, 2:5]``.  Any other part
    has none: ``tune[::2]`` is not at steps of dt.

    Attributes
    ----------
    format : RollFormat or None

    Examples
    --------
    >>> import numpy as np
    >>> from midi import RollArray, RollFormat
    >>> roll = RollArray.of(np.eye(4, dtype=np.uint8), RollFormat((60, 64), 0.25))
    >>> roll[1:3].format.dt
    0.25
    >>> print(roll[::2].format, roll[:, :2].format)
    None None
    >>> np.asarray(roll)
    array([[1, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 0, 1]], dtype=uint8)
    """

    format: RollFormat | None = None

    @classmethod
    def of(cls, roll: npt.ArrayLike, format: RollFormat | None) -> "RollArray":
        """Return ``roll``, of format.width columns, as an array with that format.

        Raises
        ------
        ValueError
            If it has another number of columns.
        """
        array = np.asarray(roll).view(cls)
        if format is not None and array.shape[-1:] != (format.width,):
            raise ValueError(
                f"roll has shape {array.shape}; allowed with a format of {format}: "
                f"{checks.counted(format.width, 'column')}"
            )
        array.format = format
        return array

    def __array_finalize__(self, source: Any) -> None:
        is_same = getattr(source, "shape", None) == self.shape
        self.format = getattr(source, "format", None) if is_same else None

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if isinstance(part, RollArray):
            is_roll = part.ndim in (2, 3) and part.shape[-1] == self.shape[-1]
            part.format = self.format if is_roll and _is_consecutive(index) else None
        return part

    def repeat(self, repeats: Any, axis: Any = None) -> "RollArray":
        """Repeat elements, as `ndarray.repeat` does; the result has no format."""
        # NumPy below 2.3 would let it keep the format.
        return np.asarray(self).repeat(repeats, axis).view(RollArray)

    def __reduce__(self) -> tuple[Any, ...]:
        return RollArray.of, (np.asarray(self), self.format)

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def _is_consecutive(index: Any) -> bool:
    """Return whether an index takes slices without a step, of one tune or of all."""
    parts = index if isinstance(index, tuple) else (index,)
    if parts and (parts[0] is None or isinstance(parts[0], int | np.integer)):
        parts = parts[1:]
    return all(
        part is ... or (isinstance(part, slice) and part.step in (None, 1))
        for part in parts
    )


def roll_format(roll: Any) -> RollFormat | None:
    """Return the format that a MidiRoll, PackedRoll or RollArray brings; else None.

    Examples
    --------
    >>> import numpy as np
    >>> from midi import roll_format
    >>> roll_format(np.eye(4)) is None
    True
    """
    format = getattr(roll, "format", None)  # a str and a memoryview have another
    return format if isinstance(format, RollFormat) else None
