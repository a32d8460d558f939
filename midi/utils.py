"""Read a MIDI file as a piano-roll, and write one."""

from fractions import Fraction
from typing import Any, BinaryIO

import numpy.typing as npt

from midi import checks, reading
from midi.encoding import encode_roll
from midi.files import FilePath, read_file, write_bytes
from midi.folders import read_folder
from midi.formats import RollFormat
from midi.packed import PackedRoll
from midi.rolls import MidiRoll

__all__ = ["midiread", "midiwrite", "read_folder"]


def midiread(
    filename: FilePath | BinaryIO,
    r: tuple[int, int] = (21, 109),
    dt: float | Fraction = 0.2,
    *,
    unit: str = "seconds",
    quantize: bool = False,
    restruck: bool = False,
    steps: int | str | None = None,
    drums: bool = False,
    pedal: bool = False,
    unended: str = "drop",
) -> MidiRoll:
    """Read a MIDI file as a piano-roll.

    Row t shows what sounds at time t * dt: a note sounds in rows
    ceil(onset / dt) <= t < ceil(offset / dt).

    Parameters
    ----------
    filename : path or binary file object
    r : (int, int)
        Pitches low <= pitch < high, 0 <= low < high <= 128; others are left out.
    dt : float or Fraction
        From one row to the next, in `unit`. Beats are a Fraction of a denominator up to
        32,767, or a float, which stands for the nearest Fraction of one up to 1,000.
    unit : {'seconds', 'beats'}
        A beat is a quarter note, whatever the metre: dt = 0.25 is a sixteenth note,
        Fraction(1, 3) a triplet's eighth. Rows of beats are exact, and no tempo moves a
        note from one to another.
    quantize : bool
        Move an onset to the nearest row, up if halfway, and an offset to the nearest
        row that leaves the note a row at least. No note falls between rows, and a chord
        played not quite together stands in one.
    restruck : bool
        Return a roll of 2 N columns, N = high - low: [t, N + n] is 1 where note n
        sounds in row t, sounds in row t - 1, and is struck again in row t. Without it
        a note struck again at once, and one held, are the same.
    steps : int or 'end', optional
        Number of rows. A longer roll is cut, a shorter one is filled up with silence.
        By default ceil(offset / dt) of the last note to end, of those not left out;
        'end' adds the silence up to the end of the last track.
    drums : bool
        Take the notes of channel 10, percussion, as if they had pitches.
    pedal : bool
        Hold a note that ends under its channel's sustain pedal (CC 64 of 64 or more)
        until the pedal is released, the same note is struck again on that channel, or
        the file ends.
    unended : {'drop', 'hold'}
        Leave out notes that are never ended, or hold them until their track ends.

    Returns
    -------
    MidiRoll
        With `piano_roll`, uint8 of shape (steps, N) or (steps, 2 N), `notes`,
        `left_out`, `doubled`, `tempo`, `tempos` and `end_s`.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    MidiError
        If the path leads to a pipe, a device or a socket; if the file is not MIDI,
        empty, cut off or broken, has no note to show, has SMPTE time where beats are
        asked for, or is too large: over 32 MiB or 10,000 tracks, or a roll of over 24
        hours, if in seconds, or 10**8 cells.
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.

    Notes
    -----
    All tracks, also those of format 2, begin together and follow one tempo map. A
    note-off ends the oldest sounding note of its pitch in its track and channel. A file
    wrapped in RIFF (``.rmi``) is read as what it wraps.

    System exclusive events are passed over, and so are events that have no place in a
    file, such as a clock; running status may go on after them. Data bytes over 127 are
    taken as 127, unless they are a note's pitch. Refused are a note's pitch over 127,
    tempo events of under 3 bytes, and variable-length quantities of over 4.

    Velocities and programs are dropped. A pipe is read as a file object only.

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
    >>> file.seek(0)
    0
    >>> tune = midiread(file, r=(60, 62), dt=0.5, unit="beats")  # eighth notes
    >>> tune.notes.tolist(), tune.tempo
    ([(60, 0.0, 2.0), (61, 1.0, 2.0)], 120.0)
    """
    format = RollFormat(r, dt, unit, quantize, restruck)
    options = reading.check_options(format, steps, drums, pedal, unended)
    return reading.read_roll(*read_file(filename), format, options)


def midiwrite(
    filename: FilePath | BinaryIO,
    piano_roll: MidiRoll | PackedRoll | npt.ArrayLike,
    r: tuple[int, int] | None = None,
    dt: float | None = None,
    patch: int = 0,
) -> None:
    """Write a piano-roll as a MIDI file.

    Reading it back with the same r and dt gives the same roll, less the silence at its
    end (`midiread(..., steps=T)` gives that back). Consecutive ones are one held note.

    Parameters
    ----------
    filename : path or writable binary file object
        A file at a path is written whole or not at all.
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
        If the file cannot be written; an existing file stays as it was.

    Notes
    -----
    Times are rounded to ticks, and the errors do not add up. Not supported: velocities
    (all are 64), several tracks or instruments, and tempo changes.

    Examples
    --------
    >>> import io
    >>> from midi import midiread, midiwrite
    >>> file = io.BytesIO()
    >>> midiwrite(file, [[1, 0], [1, 1]], r=(60, 62), dt=0.5)
    >>> file.seek(0)
    0
    >>> midiread(file, r=(60, 62), dt=0.5).piano_roll.tolist()
    [[1, 0], [1, 1]]
    """
    r = checks.check_range(_first_given(r, piano_roll, "r", (21, 109)))
    dt = checks.check_dt(_first_given(dt, piano_roll, "dt", 0.2), checks.MIN_WRITE_DT_S)
    patch = checks.check_patch(patch)
    roll = checks.check_roll(getattr(piano_roll, "piano_roll", piano_roll), r, dt)
    write_bytes(filename, encode_roll(roll, r[0], dt, patch))


def _first_given(value: Any, roll: Any, name: str, default: Any) -> Any:
    """Return the first that is not None: `value`, the roll's own, `default`."""
    if value is None and hasattr(roll, "piano_roll"):
        value = getattr(roll, name)
    return default if value is None else value
