"""Write a piano-roll as the bytes of a Standard MIDI File."""

from collections.abc import Iterable
from fractions import Fraction
from math import floor

import numpy as np
import numpy.typing as npt

from midi.events import NOTE_ON, Message
from midi.rolls import find_note_changes

MAX_TICKS_PER_BEAT = 480
MAX_TEMPO_US = 2**24 - 1  # µs per beat, in three bytes
VELOCITY = 64
MAX_DELTA_TICKS = 2**28 - 1  # a variable-length quantity of four bytes


def encode_roll(roll: npt.NDArray[np.int8], low: int, dt: float, patch: int) -> bytes:
    """Return a MIDI file of format 0.

    Parameters
    ----------
    roll : int8 ndarray of shape (T, N), zeros and ones
    low : int
        Pitch of column 0.
    dt : float
        Seconds from one row to the next.
    patch : int
        Program, 0 to 127.
    """
    # One beat is one step of 480 ticks, so that a dt of whole µs is exact. Very long
    # rolls get coarser ticks, so that every delta fits into its four bytes.
    ticks_per_beat = min(MAX_TICKS_PER_BEAT, 2**28 * 9 // (10 * len(roll)))
    dt_us = Fraction(repr(dt)) * 1_000_000  # the decimal that was typed, exactly
    tempo_us = min(round(dt_us), MAX_TEMPO_US)
    ticks_per_step = ticks_per_beat * dt_us / tempo_us
    # D12: each boundary is rounded from its exact time, so that errors do not add up.
    # It is rounded down: a boundary at most one tick early is read as the same step, as
    # ceil(t - less than 1) = t, while one late by any amount is read as the next.
    numerator, denominator = ticks_per_step.as_integer_ratio()
    messages = [
        (step * numerator // denominator, NOTE_ON << 4, low + column, VELOCITY * begins)
        for step, begins, column in find_note_changes(roll).tolist()
    ]
    track = (
        b"\x00\xff\x51\x03" + tempo_us.to_bytes(3, "big")  # set tempo
        + b"\x00\xc0" + bytes([patch])  # program change
        + encode_messages(messages, floor(len(roll) * ticks_per_step))
    )  # fmt: skip
    header = b"MThd\0\0\0\6\0\0\0\1" + ticks_per_beat.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


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
