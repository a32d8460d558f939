"""Hold rolls to one format: what their rows and columns stand for.

`midi.RollFormat` is the word that files and networks have in common.  It is imported
late, so that `import lstmmusic` does not pay for `midi`.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmmusic import checks

if TYPE_CHECKING:
    from midi.formats import RollFormat

ONE = "allowed is one format"
LIFTED = "model.rollFormat = None lifts this"


def format_of(roll: Any) -> "RollFormat | None":
    """Return the format that a MidiRoll, PackedRoll or RollArray brings; else None."""
    from midi.formats import roll_format

    return roll_format(roll)


def with_format(roll: np.ndarray, format: "RollFormat | None") -> np.ndarray:
    """Return a roll as a `midi.RollArray`, or unchanged if there is no format."""
    if format is None:
        return roll
    from midi.formats import RollArray

    return RollArray.of(roll, format)


def check_format(value: Any, io_length: int, restruck: bool) -> "RollFormat | None":
    """Return `RNN4Music.rollFormat`; raise ValueError if the network's rolls differ.

    ``io_length`` and ``restruck`` are the network's.
    """
    if value is None:
        return None
    from midi.formats import RollFormat

    if not isinstance(value, RollFormat):
        raise ValueError(
            f"rollFormat is {value!r:.60}; allowed are None and a midi.RollFormat"
        )
    if value.width != io_length:
        raise ValueError(
            f"rollFormat has {checks.counted(value.width, 'column')} ({value}); "
            f"allowed are the {io_length} of io_length"
        )
    if value.restruck != restruck:
        raise ValueError(
            f"rollFormat has restruck={value.restruck} ({value}), the network has "
            f"restruck={restruck}; allowed is the same"
        )
    return value


class FormatCheck:
    """Check that rolls have one format: a given one, or that of the first roll.

    Parameters
    ----------
    format : RollFormat or None
        None allows any.
    owner : str
        Whose it is, with a verb, for errors.
    allowed : str
        What helps, for errors.

    Attributes
    ----------
    format_found : RollFormat or None
        The format of the rolls checked so far.
    """

    def __init__(
        self,
        format: "RollFormat | None" = None,
        owner: str = "",
        allowed: str = ONE,
    ):
        self.format, self.owner, self.allowed = format, owner, allowed
        self.format_found: RollFormat | None = None

    @classmethod
    def of_model(cls, model) -> "FormatCheck":
        """Return the check against the format that a network was trained on."""
        return cls(model.rollFormat, "the network was trained on", LIFTED)

    def check(self, name: str, format: "RollFormat | None") -> None:
        """Check the format of a roll ``name``; raise ValueError if it is another."""
        if format is None:
            return
        if self.format is None:
            self.format, self.owner, self.allowed = format, f"{name} has", ONE
        if format == self.format:
            self.format_found = format
            return
        _compare(
            name, _in_words(format), self.owner, _in_words(self.format), self.allowed
        )

    def check_roll(self, name: str, roll: Any) -> None:
        """Check what may be a roll, or a list or tuple of rolls."""
        self._check(name, roll)
        if isinstance(roll, list | tuple):
            self.check_tunes(name, roll)

    def check_tunes(self, name: str, tunes: Iterable) -> None:
        """Check each tune of a data set ``name``."""
        for n, tune in enumerate(tunes):
            self._check(f"tune {n} of {name}", tune)

    def _check(self, name: str, roll: Any) -> None:
        format = format_of(roll)
        if format is None or format is self.format_found:
            return
        from midi.files import printable

        file = getattr(roll, "name", None)  # of a MidiRoll or PackedRoll
        self.check(name if file is None else f"{name} ({printable(file)})", format)


def check_same_time(name: str, tune: Any, owner: str, other: Any) -> None:
    """Raise ValueError if two rolls are known to differ in pitches, dt or unit.

    ``owner`` is whose the other roll is, with a verb.
    """
    theirs, format = format_of(tune), format_of(other)
    if theirs is not None and format is not None:
        words, ours = (_in_words(each)[:2] for each in (theirs, format))
        _compare(name, words, owner, ours, "allowed are the same pitches and step")


def _compare(name: str, theirs: list, owner: str, ours: list, allowed: str) -> None:
    """Raise ValueError that says in which words two formats differ, if in any."""
    differing = [pair for pair in zip(theirs, ours, strict=True) if len(set(pair)) == 2]
    if differing:
        its, others = (" and ".join(words) for words in zip(*differing, strict=True))
        raise ValueError(f"{name} has {its}, {owner} {others}; {allowed}")


def _in_words(format: "RollFormat") -> list[str]:
    """Return the values of a format by name: r, dt with its unit, and others."""
    values = asdict(format)
    values["dt"] = f"{format.dt} {values.pop('unit')}"
    return [f"{name} = {value}" for name, value in values.items()]


def to_text(format: "RollFormat | None") -> str:
    """Return a format as JSON; dt in beats is [numerator, denominator]."""
    if format is None:
        return "null"
    dt = format.dt
    pair = list(dt.as_integer_ratio()) if isinstance(dt, Fraction) else dt
    return json.dumps(asdict(format) | {"dt": pair})


def from_text(text: str, io_length: int, restruck: bool) -> "RollFormat | None":
    """Return the format that `to_text` wrote; raise ValueError for another text."""
    found = json.loads(text)
    if found is None:
        return None
    from midi.formats import RollFormat

    names = [field.name for field in fields(RollFormat)]
    if not isinstance(found, dict) or found.keys() != set(names):
        raise ValueError(
            f"rollFormat is {found!r:.60}; it must hold {', '.join(names)}"
        )
    dt = found["dt"]
    if found["unit"] == "beats":
        found["dt"] = Fraction(*(checks.check_int("dt", n) for n in _pair(dt)))
    elif not isinstance(dt, float):
        raise ValueError(f"rollFormat has a dt of {dt!r:.60}; it must be a float")
    return check_format(RollFormat(**found), io_length, restruck)


def _pair(dt: Any) -> list:
    if not isinstance(dt, list) or len(dt) != 2:
        raise ValueError(
            f"rollFormat has a dt of {dt!r:.60}; it must be a numerator and a "
            "denominator"
        )
    return dt
