"""Say how many notes of a folder reach no row of its rolls, and what keeps them."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from midi.formats import RollFormat
from midi.rolls import ADVICE, UNIT_SYMBOLS, MidiRoll, in_words

MOST = 0.02  # share of the notes that may be lost without a word
_DIVISORS = (2, 4, 8, 16)  # of dt, for a finer grid


class Losses(NamedTuple):
    """Hold how many notes are lost, of one file or many.

    notes : int
        All that begin and are not left out as percussion or for their pitch.
    between_steps, never_ended, percussion : int
        As in `MidiRoll.left_out`.
    short : tuple of int
        How many are shorter than dt / 2, dt / 4, dt / 8 and dt / 16: these alone may
        fall between steps of that length.
    """

    notes: int
    between_steps: int
    never_ended: int
    percussion: int
    short: tuple[int, ...]


def count_losses(roll: MidiRoll) -> Losses:
    """Return the losses of one file."""
    left_out = roll.left_out
    never_ended = left_out["never ended"]
    short = [0] * len(_DIVISORS)
    if not roll.quantize:
        symbol = UNIT_SYMBOLS[roll.unit]
        length = roll.notes[f"offset_{symbol}"] - roll.notes[f"onset_{symbol}"]
        for n, divisor in enumerate(_DIVISORS):
            least = float(roll.dt) / divisor * (1 - 1e-9)  # offset - onset is rounded
            short[n] = int(np.count_nonzero(length < least))
            if not short[n]:
                break
    return Losses(
        len(roll.notes) + never_ended, left_out["between steps"], never_ended,
        left_out["percussion"], tuple(short),
    )  # fmt: skip


def describe_losses(losses: Sequence[Losses], format: RollFormat) -> str | None:
    """Return one line on the notes lost in many files; None if they are few."""
    notes, between, never_ended, percussion, all_short = zip(*losses, strict=True)
    counts = {"between steps": sum(between), "never ended": sum(never_ended)}
    total, lost = sum(notes), sum(counts.values())
    if lost <= MOST * total:
        return None
    short = [sum(each) for each in zip(*all_short, strict=True)]
    finer = {"between steps": f"quantize=True{_finer(short, total, format.dt)}"}
    reasons = in_words(counts, ADVICE | finer)
    others = in_words({"percussion": sum(percussion)})
    return f"{lost / total:.1%} of the notes are in no roll: {reasons}" + (
        f"; beside them, {others}" if others else ""
    )


def _finer(short: Sequence[int], total: int, dt: float | Fraction) -> str:
    """Return " or dt=..." for the largest dt that loses few; "" if there is none."""
    for number, divisor in zip(short, _DIVISORS, strict=True):
        if number <= MOST * total:
            finer = dt / divisor
            return f" or dt={finer if isinstance(finer, Fraction) else f'{finer:g}'}"
    return ""
