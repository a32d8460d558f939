"""Turn ticks into seconds, beats and rows, under a file's division and tempo map."""

from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from midi.checks import MidiError

DEFAULT_TEMPO_US = 500_000  # per beat: 120 beats per minute
MINUTE_US = 60_000_000
# tempo: quarter notes per minute
TEMPO_DTYPE = np.dtype([("onset_beats", "f8"), ("onset_s", "f8"), ("tempo", "f8")])
# SMPTE rates as (frames, seconds); code 29 is 29.97 frames per second, drop-frame.
_SMPTE_RATES = {24: (24, 1), 25: (25, 1), 29: (30_000, 1001), 30: (30, 1)}
_Ints: TypeAlias = npt.NDArray[np.int64]


class TickLength(NamedTuple):
    """Hold a tick's length, numerator / denominator seconds.

    If it `follows_tempo`, the numerator is 1 and stands for the µs per beat; SMPTE time
    does not.
    """

    numerator: int
    denominator: int
    follows_tempo: bool


class TempoMap(NamedTuple):
    """Hold the tempo events of all tracks; int64 arrays of shape (events,), by tick."""

    tick: _Ints
    us_per_beat: _Ints


class Clock(NamedTuple):
    """Convert ticks to seconds and beats.

    ticks_per_beat : 0 for SMPTE time, which has no beats, tempo changes or mean tempo
    """

    ticks_per_beat: int
    length: TickLength
    tempos: TempoMap

    def seconds(self, ticks: _Ints) -> npt.NDArray[np.float64]:
        """Return ticks, an int64 array, as seconds from the beginning."""
        return ticks_to_seconds(ticks, self.tempos, self.length)

    def beats(self, ticks: _Ints) -> npt.NDArray[np.float64]:
        """Return ticks, an int64 array, as quarter notes, each rounded once."""
        return ticks / self.ticks_per_beat

    def tempo_changes(self) -> npt.NDArray[np.void]:
        """Return the tempo map as an array of TEMPO_DTYPE, from beat 0 on."""
        tick, tempo_us = _with_default_tempo(self.tempos)
        is_last_on_tick = np.append(tick[1:] > tick[:-1], True)
        tick, tempo_us = tick[is_last_on_tick], tempo_us[is_last_on_tick]
        changes = np.append(True, tempo_us[1:] != tempo_us[:-1])
        table = np.empty(np.count_nonzero(changes), TEMPO_DTYPE)
        table["onset_beats"] = self.beats(tick[changes])
        table["onset_s"] = self.seconds(tick[changes])
        table["tempo"] = MINUTE_US / tempo_us[changes]
        return table

    def mean_tempo(self, first_tick: int, last_tick: int) -> float:
        """Return the mean tempo between two ticks, in quarter notes per minute.

        From a tick to itself that is the tempo there.
        """
        last_tick = max(last_tick, first_tick + 1)
        begin, end = self.seconds(np.array([first_tick, last_tick]))
        begin_beats, end_beats = self.beats(np.array([first_tick, last_tick]))
        return float((end_beats - begin_beats) / (end - begin) * 60)


def tick_length(division: int, name: str) -> TickLength:
    """Return the length of a tick under a header's division.

    Raises
    ------
    MidiError
        If the division is 0, or of no SMPTE rate.
    """
    if division == 0:
        raise MidiError(f"{name}: division of 0 ticks per beat; allowed: 1 or more")
    if division < 0x8000:
        return TickLength(1, division * 1_000_000, follows_tempo=True)
    rate, ticks_per_frame = 256 - (division >> 8), division & 0xFF
    if rate not in _SMPTE_RATES or ticks_per_frame == 0:
        raise MidiError(
            f"{name}: SMPTE division of {rate} frames per second, {ticks_per_frame} "
            f"ticks per frame; allowed: 24, 25, 29 or 30 frames, 1 or more ticks"
        )
    frames, seconds = _SMPTE_RATES[rate]
    return TickLength(seconds, frames * ticks_per_frame, follows_tempo=False)


def ticks_to_seconds(
    ticks: _Ints, tempos: TempoMap, length: TickLength
) -> npt.NDArray[np.float64]:
    """Return ticks as seconds from the beginning, each rounded only once.

    At 500,000 µs per beat and 480 ticks per beat, a tick lasts
    500,000 / (480 * 10**6) = 0.00104 s.

    Parameters
    ----------
    ticks : int64 ndarray
    tempos : TempoMap
    length : TickLength

    Returns
    -------
    float64 ndarray
    """
    if not length.follows_tempo:
        return ticks * length.numerator / length.denominator
    start_tick, tempo_us = _with_default_tempo(tempos)
    # int64 is exact: the whole numbers stay below 2**31 ticks x 2**24 µs.
    start = np.concatenate([[0], np.cumsum(np.diff(start_tick) * tempo_us[:-1])])
    at = np.searchsorted(start_tick, ticks, side="right") - 1
    elapsed: _Ints = start[at] + (ticks - start_tick[at]) * tempo_us[at]
    return elapsed / length.denominator


def _with_default_tempo(tempos: TempoMap) -> tuple[_Ints, _Ints]:
    """Return ticks and µs per beat, beginning with the default tempo at tick 0."""
    # D10: one tempo map holds the tempo events of all tracks. Of several on one tick
    # the last counts.
    return (
        np.concatenate([[0], tempos.tick]),
        np.concatenate([[DEFAULT_TEMPO_US], tempos.us_per_beat]),
    )


def ticks_to_steps(
    ticks: _Ints, division: int, dt: Fraction, nearest: bool = False
) -> _Ints:
    """Return the first row at or after each tick, or the nearest, exactly.

    Parameters
    ----------
    ticks : int64 ndarray
        0 <= ticks < 2**31.
    division : int
        Ticks per beat, below 2**15.
    dt : Fraction
        Beats from one row to the next, of a denominator below 2**15.
    nearest : bool
        Round to the nearest row, halves up, in place of up.

    Returns
    -------
    int64 ndarray
    """
    # ticks / (division * dt) as a quotient of whole numbers: the dividend stays below
    # 2**46, so a divisor over 2**60 gives what 2**60 gives, and nothing overflows.
    dividend = ticks * dt.denominator
    divisor = min(division * dt.numerator, 2**60)
    steps: _Ints
    if nearest:
        steps = (2 * dividend + divisor) // (2 * divisor)
    else:
        steps = -(-dividend // divisor)
    return steps


def seconds_to_steps(
    times_s: npt.NDArray[np.float64], dt: float, nearest: bool = False
) -> npt.NDArray[np.float64]:
    """Return ceil(times_s / dt), the first row at or after each time, or the nearest.

    Parameters
    ----------
    times_s : float64 ndarray
        Seconds.
    dt : float
        Seconds.
    nearest : bool
        Return floor(times_s / dt + 1/2), the nearest row, halves up.

    Returns
    -------
    float64 ndarray
        Whole numbers, or inf where dt is too small for them.
    """
    with np.errstate(over="ignore"):
        steps = times_s / dt
    # The time, the decimal dt as a float, and the quotient are each rounded by at most
    # 1.1e-16 of themselves. A note on the grid is thus within 4e-16 of a whole number,
    # and must not go up to the next; 1e-12 also forgives a dt that was itself computed.
    # A note truly off the grid by so little would be less than 0.1 µs off in 24 hours.
    if nearest:
        return round_half_up(steps)
    rounded = np.rint(steps)
    with np.errstate(invalid="ignore"):  # inf - inf
        on_grid = np.abs(steps - rounded) <= 1e-12 * steps
    return np.where(on_grid, rounded, np.ceil(steps))


def round_half_up(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the nearest whole numbers; halves go up, also if rounded by 1e-12."""
    with np.errstate(over="ignore"):
        return np.floor(steps * (1 + 1e-12) + 0.5)
