"""Read MIDI files as piano-rolls, one or a folder's, and write them."""

import warnings
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from midi import checks, events, folders, parsing, rolls
from midi.checks import MidiError
from midi.files import FilePath, check_path, printable, read_file
from midi.folders import MidiFolder
from midi.formats import RollFormat
from midi.packed import PackedRoll
from midi.rolls import MidiRoll
from midi.writing import midiwrite

__all__ = ["MidiError", "midiread", "midiwrite", "read_folder"]


def midiread(
    filename: FilePath | BinaryIO,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
    *,
    steps: int | None = None,
    drums: bool = False,
    pedal: bool = False,
) -> MidiRoll:
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
        Number of rows. A longer roll is cut, a shorter one is filled up with silence.
        By default ceil(offset / dt) of the last note to end, of those not left out.
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
    never ended are left out.

    System exclusive events are passed over, and so are events that have no place in a
    file, such as a clock; running status may go on after them. Data bytes over 127 are
    taken as 127, unless they are a note's pitch. Refused are a note's pitch over 127,
    tempo events of under 3 bytes, and variable-length quantities of over 4.

    Velocities and programs are dropped. Not supported: RIFF files that wrap a MIDI
    file. A pipe is read as a file object only.

    Examples
    --------
    >>> import io
    >>> from midi import midiread, midiwrite
    >>> file = io.BytesIO()
    >>> midiwrite(file, [[1, 0], [1, 1]], r=(60, 62), dt=0.5)
    >>> file.seek(0)
    0
    >>> tune = midiread(file, r=(60, 62), dt=0.25)
    >>> tune.piano_roll.T
    array([[1, 1, 1, 1],
           [0, 0, 1, 1]], dtype=uint8)
    >>> tune.notes.tolist()  # pitch, onset and offset in seconds
    [(60, 0.0, 1.0), (61, 0.5, 1.0)]
    """
    r, dt = checks.check_range(r), checks.check_dt(dt)
    steps = checks.check_steps(steps, r, dt)
    drums = checks.check_bool("drums", drums)
    pedal = checks.check_bool("pedal", pedal)
    data, path = read_file(filename)
    name = printable(path)
    division, tracks = parsing.read_chunks(data, name)
    tick_length = parsing.tick_length(division, name)
    found, tempos = parsing.read_notes(tracks, name, pedal)

    keep, left_out = _select(found, r, drums)
    if not keep.any():
        begun = events.count_note_ons(tracks)
        left_out["never ended"] = max(begun - len(keep), 0)
        raise MidiError(f"{name}: no notes for r = {r}; left out: {left_out}")

    ticks = np.stack([found.onset_tick[keep], found.offset_tick[keep]])
    onset_s, offset_s = parsing.ticks_to_seconds(ticks, tempos, tick_length)
    notes = np.empty(onset_s.shape, rolls.NOTE_DTYPE)
    notes["pitch"], notes["onset_s"], notes["offset_s"] = (
        found.pitch[keep], onset_s, offset_s
    )  # fmt: skip
    notes = notes[np.lexsort((notes["pitch"], notes["onset_s"]))]
    roll = _draw(notes, r, dt, steps, name, left_out)
    format = RollFormat(r, dt)
    return MidiRoll(roll, notes, format, path, left_out, tracks, len(keep))


def _select(
    found: parsing.TickNotes, r: tuple[int, int], drums: bool
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Return a mask of the notes to keep, and the numbers of the others by reason."""
    # D11: a pitch outside r is left out and counted.
    percussion = found.percussion & (not drums)
    below, above = found.pitch < r[0], found.pitch >= r[1]
    left_out = {
        "below r": int(np.count_nonzero(below & ~percussion)),
        "above r": int(np.count_nonzero(above & ~percussion)),
        "percussion": int(np.count_nonzero(percussion)),
    }
    return ~(percussion | below | above), left_out


def _draw(
    notes: npt.NDArray[np.void],
    r: tuple[int, int],
    dt: float,
    steps: int | None,
    name: str,
    left_out: dict[str, int],
) -> npt.NDArray[np.uint8]:
    """Return the roll of `notes`; count in `left_out` those that reach no row."""
    first = rolls.seconds_to_steps(notes["onset_s"], dt)
    end = rolls.seconds_to_steps(notes["offset_s"], dt)
    length = end.max()
    if steps is None:
        checks.check_size(length, notes["offset_s"].max(), r, name)
        steps = int(length)
    if steps == 0:
        raise MidiError(f"{name}: no notes: all are of no length, at time 0")
    cut = (first >= steps) & (length > steps)
    left_out["between steps"] = int(np.count_nonzero((first == end) & ~cut))
    left_out["after steps"] = int(np.count_nonzero(cut))
    first_row, end_row = (np.minimum(x, steps).astype(np.int64) for x in (first, end))
    column = notes["pitch"].astype(np.int64) - r[0]
    return rolls.fill_roll(column, first_row, end_row, (steps, r[1] - r[0]))


def read_folder(
    path: FilePath,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
    *,
    drums: bool = False,
    pedal: bool = False,
    progress: bool = True,
    packed: bool = False,
    n_jobs: int | None = None,
) -> MidiFolder[Any]:
    """Read every MIDI file below a folder.

    Files are those named .mid or .midi, in any letter case, at any depth. Files that
    cannot be read are skipped, and a single warning at the end names them all.

    Parameters
    ----------
    path : path
        A folder.
    r, dt, drums, pedal
        As for `midiread`.
    progress : bool
        Show a progress bar, if attached to a terminal.
    packed : bool
        Return a `PackedRoll` of each file, without its notes.
    n_jobs : int, optional
        Number of processes that read through joblib (the extra
        ``lstmmusic[folders]``); -1 for one per CPU, None for this process alone. Inside
        ``joblib.parallel_config`` its backend reads; on a cluster this library must be
        installed and the files have the same paths. The result is the same.

    Returns
    -------
    MidiFolder
        A list of MidiRoll or PackedRoll in sorted order of path; `skipped` lists
        (path, reason).

    Raises
    ------
    ValueError
        If an argument is not allowed, or `n_jobs` is given and joblib not installed.
    MidiError
        If the folder holds no MIDI file that can be read.
    FileNotFoundError, NotADirectoryError
        If there is no such folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from midi import midiwrite, read_folder
    >>> with TemporaryDirectory() as folder:
    ...     midiwrite(Path(folder, "a.mid"), [[1], [1]], r=(60, 61))
    ...     midiwrite(Path(folder, "b.mid"), [[1], [0], [1]], r=(60, 61))
    ...     tunes = read_folder(folder, r=(60, 61))
    >>> [len(tune.piano_roll) for tune in tunes]
    [2, 3]
    >>> tunes.skipped
    []
    """
    path = check_path("path", path, "a folder's path (str, bytes or os.PathLike)")
    r, dt = checks.check_range(r), checks.check_dt(dt)
    drums = checks.check_bool("drums", drums)
    pedal = checks.check_bool("pedal", pedal)
    progress = checks.check_bool("progress", progress)
    packed = checks.check_bool("packed", packed)
    n_jobs = checks.check_jobs(n_jobs)
    files = folders.find_midi_files(path)
    read = partial(_read_as, packed=packed, r=r, dt=dt, drums=drums, pedal=pedal)
    results = folders.read_all(files, read, n_jobs, progress)
    tunes = [roll for roll, _ in results if roll is not None]
    skipped = [
        (file, reason)
        for file, (_, reason) in zip(files, results, strict=True)
        if reason is not None
    ]
    reasons = "\n".join(f"  {printable(file)}: {reason}" for file, reason in skipped)
    folder = printable(path)
    if not tunes:
        what = f"none can be read:\n{reasons}" if files else "there are none"
        raise MidiError(
            f"{folder}: no MIDI files (.mid, .midi) below this folder: {what}"
        )
    if skipped:
        count = f"{len(skipped)} of {len(files)} files skipped"
        warnings.warn(f"{folder}: {count}:\n{reasons}", UserWarning, stacklevel=2)
    return MidiFolder(tunes, skipped)


def _read_as(
    path: str, name: str, *, packed: bool, **options: Any
) -> MidiRoll | PackedRoll:
    """Read the file at `path`, and give its roll the name `name`."""
    roll = midiread(path, **options)
    roll.name = name
    return PackedRoll.of(roll) if packed else roll
