"""Read the bytes of a MIDI file as a piano-roll."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from midi import checks, clock, parsing, placing
from midi.checks import MidiError
from midi.files import printable
from midi.formats import RollFormat
from midi.rolls import NOTE_DTYPES, UNIT_SYMBOLS, FileTimes, MidiRoll, in_words


class Options(NamedTuple):
    """Hold the checked arguments of `midiread` that are no part of the format."""

    steps: int | str | None = None
    drums: bool = False
    pedal: bool = False
    unended: str = "drop"


def check_options(
    format: RollFormat, steps: Any, drums: Any, pedal: Any, unended: Any
) -> Options:
    """Return the options; a roll of that format and so many steps must be allowed."""
    steps = checks.check_steps(steps)
    if isinstance(steps, int):
        check_size(steps, steps * format.dt, format, "steps", ValueError)
    return Options(
        steps,
        checks.check_bool("drums", drums),
        checks.check_bool("pedal", pedal),
        checks.check_unended(unended),
    )


def check_size(
    steps: float,
    length: Any,
    format: RollFormat,
    name: str,
    error: type[ValueError] = MidiError,
) -> None:
    """Raise `error` if a roll of `steps` rows and a `length` in its unit is too large.

    In beats the number of rows alone is limited.
    """
    if format.unit == "seconds" and length > checks.MAX_ROLL_S:
        raise error(
            f"{name}: the piano-roll would last {length:.6g} s; "
            f"allowed: up to 24 hours ({checks.MAX_ROLL_S} s)"
        )
    if steps * format.width > checks.MAX_ROLL_CELLS:
        raise error(
            f"{name}: the piano-roll would have {steps:.6g} steps of {format.width} "
            f"columns; allowed: up to {checks.MAX_ROLL_CELLS} cells (a larger dt makes "
            "it smaller)"
        )


def read_roll(data: bytes, path: str, format: RollFormat, options: Options) -> MidiRoll:
    """Return the roll of a file's bytes; `path` names it.

    Raises
    ------
    MidiError
        As `midiread`.
    """
    name = printable(path)
    division, tracks = parsing.read_chunks(data, name)
    length = clock.tick_length(division, name)
    if format.unit == "beats" and not length.follows_tempo:
        raise MidiError(f"{name}: SMPTE time has no beats; allowed: unit='seconds'")
    begun = parsing.count_note_ons(tracks, name)
    found, tempos, meter = parsing.read_notes(tracks, name, options.pedal)
    if begun > len(found.pitch):
        found = parsing.walk_notes(tracks, options.pedal)
    keep, left_out = _select(found, format.r, options)
    if not keep.any():
        raise MidiError(
            f"{name}: no notes for r = {format.r}; "
            f"left out: {in_words(left_out) or 'none'}"
        )

    if not keep.all():
        found = found.select(keep)
    times = FileTimes(
        clock.Clock(division * length.follows_tempo, length, tempos),
        int(found.onset_tick.min()),
        int(found.offset_tick.max()),
        tracks,
        meter,
    )
    notes, rows = _place_notes(found, times.clock, format)
    steps = _count_steps(notes, rows, times, format, options.steps, name)
    column = notes["pitch"].astype(np.int64) - format.r[0]
    roll, doubled = placing.draw_notes(rows, column, steps, format)
    left_out |= _count_in_no_row(rows, steps)
    return MidiRoll(roll, notes, format, path, left_out, doubled, times)


def _select(
    found: parsing.TickNotes, r: tuple[int, int], options: Options
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Return a mask of the notes to keep, and the numbers of the others by reason."""
    # D11: a pitch outside r is left out and counted.
    reasons = {  # a note is counted for the first that it has
        "percussion": found.percussion & (not options.drums),
        "below r": found.pitch < r[0],
        "above r": found.pitch >= r[1],
        "never ended": ~found.ended & (options.unended == "drop"),
    }
    keep, left_out = np.ones(found.pitch.shape, np.bool_), {}
    for why, has_reason in reasons.items():
        left_out[why] = int(np.count_nonzero(keep & has_reason))
        keep &= ~has_reason
    return keep, left_out


def _place_notes(
    found: parsing.TickNotes, time: clock.Clock, format: RollFormat
) -> tuple[npt.NDArray[np.void], placing.Rows]:
    """Return notes in the format's unit, in order of onset, then pitch, and rows."""
    ticks = np.stack([found.onset_tick, found.offset_tick])
    times, (first, end) = placing.place_ticks(ticks, time, format, format.quantize)
    if format.quantize:
        end = np.maximum(end, first + 1)
    # Tracks are mostly in order, of which a stable sort makes use; lexsort does not.
    order = np.argsort(found.onset_tick * 128 + found.pitch, kind="stable")
    notes = np.empty(order.shape, NOTE_DTYPES[format.unit])
    columns = zip(notes.dtype.names or (), (found.pitch, *times), strict=True)
    for field, values in columns:
        notes[field] = values[order]
    return notes, placing.Rows(first[order], end[order])


def _count_steps(
    notes: npt.NDArray[np.void],
    rows: placing.Rows,
    times: FileTimes,
    format: RollFormat,
    steps: int | str | None,
    name: str,
) -> int:
    """Return the number of rows, in which a note must be able to sound."""
    if isinstance(steps, int):
        return steps
    length, last = rows.end.max(), notes[f"offset_{UNIT_SYMBOLS[format.unit]}"].max()
    if steps == "end":
        end, row = placing.place_ticks(np.array([times.end_tick]), times.clock, format)
        length, last = max(length, row[0]), max(last, end[0])
    check_size(length, last, format, name)
    if length == 0:
        raise MidiError(f"{name}: no notes: all are of no length, at time 0")
    return int(length)


def _count_in_no_row(rows: placing.Rows, steps: int) -> dict[str, int]:
    """Return the numbers of notes that sound in no row, by reason."""
    cut = (rows.first >= steps) & (rows.end.max() > steps)
    between = (rows.first == rows.end) & ~cut
    return {
        "between steps": int(np.count_nonzero(between)),
        "after steps": int(np.count_nonzero(cut)),
    }
