"""midiread, midiwrite and read_folder: what a user calls."""

import warnings
from fractions import Fraction
from functools import partial
from math import floor

import numpy as np

from midi import checks, events, folders, parsing, rolls
from midi.checks import MidiError
from midi.files import checked_path, read_file, shown, write_bytes
from midi.packed import PackedRoll

MAX_TEMPO = 2**24 - 1  # µs per beat: three bytes


def midiread(filename, r=(21, 109), dt=0.2, *, steps=None, drums=False, pedal=False):
    """Read a MIDI file as a piano-roll.

    Row t shows what sounds at time t * dt: a note sounds in rows
    ceil(onset / dt) <= t < ceil(offset / dt).

    Parameters
    ----------
    filename : path or binary file object
    r : (int, int)
        Pitches low <= pitch < high, 0 <= low < high <= 128; others are left out.
    dt : float
        Seconds from one row to the next.
    steps : int, optional
        Number of rows; by default ceil(offset / dt) of the last note to end, of those
        not left out. Silence follows, or notes are cut, as it takes.
    drums : bool
        Take the notes of channel 10, percussion, as if they had pitches.
    pedal : bool
        Hold a note that ends under its channel's sustain pedal (CC 64 of 64 or more)
        until the pedal is released, or the file ends.

    Returns
    -------
    MidiRoll
        With `piano_roll`, uint8 of shape (steps, high - low), `notes` and `left_out`.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    MidiError
        If the path leads to a pipe, a device or a socket; if the file is not MIDI,
        empty, cut off or broken, has no note to show, or is too large: over 32 MiB or
        10,000 tracks, or a roll of over 24 hours or 10**8 cells.
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.

    Notes
    -----
    All tracks, also those of format 2, begin together and follow one tempo map. A
    note-off ends the oldest sounding note of its pitch in its track and channel; notes
    never ended are left out. System exclusive events are passed over, and so are events
    that have no place in a file, such as a clock; running status may go on after them.
    Data bytes over 127, of a velocity or of what is no note, are taken as 127. Refused
    are a note's pitch over 127, tempo events of under 3 bytes, and variable-length
    quantities of over 4. A pipe can be read as a file object. Not supported: RIFF files
    that wrap a MIDI file.
    """
    r, dt = checks.checked_range(r), checks.checked_dt(dt)
    steps = checks.checked_steps(steps, r, dt)
    drums = checks.checked_truth("drums", drums)
    pedal = checks.checked_truth("pedal", pedal)
    data, path = read_file(filename)
    name = shown(path)
    chunks = parsing.read_chunks(data, name)
    parsing.seconds_per_tick(chunks.division, name)
    found = parsing.read_notes(chunks, name, pedal)

    # D11: a pitch outside r is left out and counted.
    percussion = found.percussion & (not drums)
    below, above = found.pitch < r[0], found.pitch >= r[1]
    left_out = {
        "below r": int(np.count_nonzero(below & ~percussion)),
        "above r": int(np.count_nonzero(above & ~percussion)),
        "percussion": int(np.count_nonzero(percussion)),
    }
    keep = ~(percussion | below | above)
    if not keep.any():
        begun = events.count_note_ons(chunks.tracks)
        left_out["never ended"] = max(begun - len(keep), 0)
        raise MidiError(f"{name}: no notes for r = {r}; left out: {left_out}")

    ticks = np.stack([found.onset_tick[keep], found.offset_tick[keep]])
    onset_s, offset_s = parsing.ticks_to_seconds(
        ticks, found.tempos, chunks.division, name
    )
    notes = np.empty(onset_s.shape, rolls.NOTE_DTYPE)
    notes["pitch"], notes["onset_s"], notes["offset_s"] = (
        found.pitch[keep], onset_s, offset_s
    )  # fmt: skip
    notes = notes[np.lexsort((notes["pitch"], notes["onset_s"]))]
    roll = _draw(notes, r, dt, steps, name, left_out)
    return rolls.MidiRoll(
        roll, notes, r, dt, path, left_out, chunks.tracks, len(found.pitch)
    )


def _draw(notes, r, dt, steps, name, left_out):
    """Return the roll of `notes`; count in `left_out` those that reach no row."""
    first = rolls.first_step_from(notes["onset_s"], dt)
    end = rolls.first_step_from(notes["offset_s"], dt)
    length = end.max()
    if steps is None:
        checks.check_size(length, notes["offset_s"].max(), r, name)
        steps = int(length)
    if steps == 0:
        raise MidiError(f"{name}: no notes: all are of no length, at time 0")
    cut = (first >= steps) & (length > steps)
    left_out["between steps"] = int(np.count_nonzero((first == end) & ~cut))
    left_out["after steps"] = int(np.count_nonzero(cut))
    first, end = (np.minimum(x, steps).astype(np.int64) for x in (first, end))
    column = notes["pitch"].astype(np.int64) - r[0]
    return rolls.fill_roll(column, first, end, (steps, r[1] - r[0]))


def midiwrite(filename, piano_roll, r=None, dt=None, patch=0):
    """Write a piano-roll as a MIDI file.

    Reading it back with the same r and dt gives the same roll, less the silence at its
    end (`midiread(..., steps=T)` gives that back). Consecutive ones are one held note.

    Parameters
    ----------
    filename : path or writable binary file object
        At a path, the file is there whole or not at all.
    piano_roll : array of shape (T, high - low), MidiRoll or PackedRoll
        Zeros and ones, of a bool, int or float dtype, with at least one 1.
    r : (int, int), optional
        Column n is pitch low + n; 0 <= low < high <= 128. By default the roll's own, if
        it has one, else (21, 109).
    dt : float, optional
        Seconds from one row to the next, 0.0001 or more. By default the roll's own, if
        it has one, else 0.2.
    patch : int
        Program (instrument), 0 to 127; 0 is a grand piano.

    Raises
    ------
    ValueError
        If an argument is not allowed; then nothing is written.
    OSError
        If the file cannot be written; what was there stays.
    """
    r = checks.checked_range(_first_given(r, piano_roll, "r", (21, 109)))
    dt = _first_given(dt, piano_roll, "dt", 0.2)
    dt = checks.checked_dt(dt, at_least_s=checks.MIN_WRITE_DT_S)
    patch = checks.checked_patch(patch)
    roll = getattr(piano_roll, "piano_roll", piano_roll)
    roll = checks.checked_roll(roll, r, dt)
    write_bytes(filename, _encode(roll, r[0], dt, patch))


def _first_given(value, roll, name, default):
    """Return the first that is not None: `value`, the roll's own, `default`."""
    if value is None and hasattr(roll, "piano_roll"):
        value = getattr(roll, name)
    return default if value is None else value


def _encode(roll, low, dt, patch):
    """Bytes of a MIDI file of format 0 for a roll, its lowest pitch, dt and patch."""
    # One beat is one step, of 480 ticks, where dt is a whole number of µs. Very long
    # rolls get coarser ticks, so that all times stay within 2**28, a delta's limit.
    division = min(480, 2**28 * 9 // (10 * len(roll)))
    dt_us = Fraction(repr(dt)) * 1_000_000  # the decimal that was typed, exactly
    tempo = min(round(dt_us), MAX_TEMPO)
    ticks_per_step = division * dt_us / tempo
    # D12: each boundary is rounded by itself, from the exact time, on that grid. It is
    # rounded down: a boundary at most one tick early is read as the same step, as
    # ceil(t - less than 1) = t, while one late by any amount would be read as the next.
    numerator, denominator = ticks_per_step.as_integer_ratio()
    messages = [
        (step * numerator // denominator, 0x90, low + column, 64 * begins)
        for step, begins, column in rolls.find_notes(roll).tolist()
    ]
    track = (
        b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big") + b"\x00\xc0" + bytes([patch])
        + events.write_track(messages, floor(len(roll) * ticks_per_step))
    )  # fmt: skip
    header = b"MThd\0\0\0\6\0\0\0\1" + division.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def read_folder(
    path, r=(21, 109), dt=0.2, *, drums=False, pedal=False, progress=True, packed=False,
    n_jobs=None,
):  # fmt: skip
    """Read every MIDI file below a folder.

    Files are those named .mid or .midi, in any letter case, at any depth. One that
    cannot be read is skipped, and a single warning at the end names all of those.

    Parameters
    ----------
    path : path
        A folder.
    r, dt, drums, pedal
        As for `midiread`.
    progress : bool
        Show a progress bar, if attached to a terminal.
    packed : bool
        Keep of each file its roll alone, as bits: `PackedRoll`.
    n_jobs : int, optional
        Read through joblib (the extra ``lstmmusic[folders]``) in so many processes; -1
        takes as many as there are CPUs. Inside ``joblib.parallel_config`` its backend
        reads, a cluster too, where this library is installed and the files have the
        same paths. The result is the same. None reads in this process.

    Returns
    -------
    MidiFolder
        A list of MidiRoll or PackedRoll in sorted order of path; `skipped` lists
        (path, reason).

    Raises
    ------
    ValueError
        If an argument is not allowed, or joblib is wanted and not installed.
    MidiError
        If the folder holds no MIDI file that can be read.
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    """
    path = checked_path("path", path, "a folder's path (str, bytes or os.PathLike)")
    r, dt = checks.checked_range(r), checks.checked_dt(dt)
    drums = checks.checked_truth("drums", drums)
    pedal = checks.checked_truth("pedal", pedal)
    progress = checks.checked_truth("progress", progress)
    packed = checks.checked_truth("packed", packed)
    n_jobs = checks.checked_jobs(n_jobs)
    files = folders.midi_files(path)
    options = {"r": r, "dt": dt, "drums": drums, "pedal": pedal}
    read_one = partial(_read_named, packed=packed, **options)
    found = folders.read_all(files, read_one, n_jobs, progress)
    read = [roll for roll, _ in found if roll is not None]
    skipped = [
        (file, why)
        for file, (_, why) in zip(files, found, strict=True)
        if why is not None
    ]
    reasons = "\n".join(f"  {shown(file)}: {reason}" for file, reason in skipped)
    folder = shown(path)
    if not read:
        what = f"none can be read:\n{reasons}" if files else "there are none"
        raise MidiError(
            f"{folder}: no MIDI files (.mid, .midi) below this folder: {what}"
        )
    if skipped:
        count = f"{len(skipped)} of {len(files)} files skipped"
        warnings.warn(f"{folder}: {count}:\n{reasons}", UserWarning, stacklevel=2)
    return folders.MidiFolder(read, skipped)


def _read_named(path, name, packed, **options):
    """Read a file that is to be known by another name."""
    roll = midiread(path, **options)
    roll.name = name
    return PackedRoll.of(roll) if packed else roll
