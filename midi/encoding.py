"""Write a piano-roll as the bytes of a Standard MIDI File."""

from collections.abc import Iterable
from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from midi.checks import counted
from midi.events import NOTE_ON, Message
from midi.rolls import find_note_changes

TICKS_PER_BEAT = 480
US_PER_MINUTE = 60_000_000
MAX_TEMPO_US = 2**24 - 1  # µs per beat, in three bytes
VELOCITY = 64
MAX_DELTA_TICKS = 2**28 - 1  # a variable-length quantity of four bytes
MAX_TICKS = 2**31 - 1  # what midiread, and most programs, count to


class Timing(NamedTuple):
    """Hold how steps become ticks: the file's division and tempo.

    ticks_per_beat : int, 1 to 2**15 - 1
    tempo_us : int, µs per beat, 1 to 2**24 - 1
    ticks_per_step : Fraction
    """

    ticks_per_beat: int
    tempo_us: int
    ticks_per_step: Fraction


def time_in_seconds(dt: float, steps: int) -> Timing:
    """Return the timing of a roll of ``steps`` rows, ``dt`` > 0 seconds each."""
    # One beat is one step of 480 ticks, so that a dt of whole µs is exact. Very long
    # rolls get coarser ticks, so that every delta fits into its four bytes.
    ticks_per_beat = min(TICKS_PER_BEAT, 2**28 * 9 // (10 * steps))
    dt_us = Fraction(repr(dt)) * 1_000_000  # the decimal that was typed, exactly
    tempo_us = min(max(round(dt_us), 1), MAX_TEMPO_US)
    return Timing(ticks_per_beat, tempo_us, ticks_per_beat * dt_us / tempo_us)


def time_in_beats(dt: Fraction, tempo: float, steps: int) -> Timing:
    """Return the timing of a roll of ``steps`` rows, ``dt`` beats each.

    The division is the smallest of 480 or more, of which ``dt`` is a whole number of
    ticks: 480 itself for a dt of 1/2, 1/3 or 3/32. It is smaller where the file would
    pass 2**31 ticks.

    Parameters
    ----------
    dt : Fraction
        Its denominator is up to 2**15 - 1.
    tempo : float
        Beats per minute; rounded to whole µs per beat, as the format requires.
    steps : int

    Raises
    ------
    ValueError
        If the file would have too many ticks with any division.
    """
    multiple = -(-TICKS_PER_BEAT // dt.denominator)
    multiple = min(multiple, MAX_TICKS // (steps * dt.numerator))
    if multiple == 0:
        raise ValueError(
            f"dt is {dt} beats, for {counted(steps, 'step')}; allowed: up to "
            f"{MAX_TICKS} ticks of 1/{dt.denominator} beat in a file"
        )
    tempo_us = round(US_PER_MINUTE / tempo)
    ticks_per_step = Fraction(multiple * dt.numerator)
    return Timing(multiple * dt.denominator, tempo_us, ticks_per_step)


def encode_roll(
    roll: npt.NDArray[np.int8],
    r: tuple[int, int],
    timing: Timing,
    patch: int = 0,
    velocity: int = VELOCITY,
    time_signature: tuple[int, int] | None = None,
) -> bytes:
    """Return a MIDI file of format 0.

    Parameters
    ----------
    roll : int8 ndarray of shape (T, N) or (T, 2 N), zeros and ones
        N = r[1] - r[0]; N more columns mark notes struck again.
    r : (int, int)
        Column n is pitch r[0] + n.
    timing : Timing
    patch : int
        Program, 0 to 127.
    velocity : int
        Of each note, 1 to 127.
    time_signature : (int, int), optional
        Numerator, and denominator, a power of 2.
    """
    # D12: each boundary is rounded from its exact time, so that errors do not add up.
    # It is rounded down: a boundary at most one tick early is read as the same step, as
    # ceil(t - less than 1) = t, while one late by any amount is read as the next.
    numerator, denominator = timing.ticks_per_step.as_integer_ratio()
    messages = [
        (
            step * numerator // denominator,
            NOTE_ON << 4,
            r[0] + column,
            velocity * begins,
        )
        for step, begins, column in find_note_changes(roll, r[1] - r[0]).tolist()
    ]
    track = (
        b"\x00\xff\x51\x03" + timing.tempo_us.to_bytes(3, "big")  # set tempo
        + encode_time_signature(time_signature)
        + b"\x00\xc0" + bytes([patch])  # program change
        + encode_messages(messages, floor(len(roll) * timing.ticks_per_step))
    )  # fmt: skip
    header = b"MThd\0\0\0\6\0\0\0\1" + timing.ticks_per_beat.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def encode_time_signature(value: tuple[int, int] | None) -> bytes:
    """Return the event at tick 0, or no bytes for None."""
    if value is None:
        return b""
    upper, lower = value
    # A metronome's click is a quarter note, which has eight notated 32nds.
    return b"\x00\xff\x58\x04" + bytes([upper, lower.bit_length() - 1, 24, 8])


def encode_messages(messages: Iterable[Message], end_tick: int) -> bytes:
    """Return the bytes of messages in order of tick, and of an end-of-track event."""
    out, now = bytearray(), 0
    for tick, *message in [*messages, (end_tick, 0xFF, 0x2F, 0)]:
        while tick - now > MAX_DELTA_TICKS:  # an empty text carries a part of the delta
            out += encode_vlq(MAX_DELTA_TICKS) + b"\xff\x01\x00"
            now += MAX_DELTA_TICKS
        out += encode_vlq(tick - now) + bytes(message)
        now = tick
    return bytes(out)


def encode_vlq(value: int) -> bytes:
    """Return a variable-length quantity, 0 <= value < 2**28, as 1 to 4 bytes."""
    if value < 0x80:
        return bytes((value,))
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
