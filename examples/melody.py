"""Read the melody of a MIDI file, to be harmonised: ``main.py --melody FILE``."""

from types import SimpleNamespace

import numpy as np

from lstmmusic.statistics import top_line
from midi import MidiError, midiread

LONGEST = 100_000  # steps, as many as --steps allows


def read_melody(file, tunes, options):
    """Return the tune of ``--melody``, in the range and the key of the tunes.

    It begins with its first note, and is transposed by as many semitones as make the
    notes of its top line the likeliest among those of the tunes' top lines.

    Parameters
    ----------
    file : Path
    tunes : sequence of MidiRoll
    options : argparse.Namespace
        Its ``range`` and ``dt`` are taken.

    Returns
    -------
    SimpleNamespace
        ``name``, the file's path; ``piano_roll``, uint8 of shape (T, N), all notes of
        the file that fit the range; ``semitones``, by how many it was transposed.

    Raises
    ------
    ValueError
        If the file is not MIDI, has no notes, has too many steps, or its top line is
        wider than the range.
    """
    try:
        read = midiread(file, (0, 128), options.dt)
    except OSError as error:
        raise ValueError(f"--melody is {file}: {error.strerror}") from error
    except MidiError as error:  # it begins with the file's name
        raise ValueError(f"--melody is {error}") from error
    roll = read.piano_roll[read.piano_roll.any(axis=1).argmax() :]
    if len(roll) > LONGEST:
        raise ValueError(f"--melody is {file}: {len(roll)} steps of --dt {options.dt:g}"
                         f"; allowed are {LONGEST}")  # fmt: skip
    line = top_line(roll)
    line = line[line >= 0]
    low, high = options.range
    shifts = np.arange(low + 1 - line.min(), high - line.max())
    if not len(shifts):
        raise ValueError(
            f"--melody is {file}: its top line has pitches {line.min()} to "
            f"{line.max()}; with --range {low} {high}, whose lowest pitch marks rests, "
            f"allowed are at most {high - low - 2} semitones from lowest to highest"
        )
    common = np.log1p(count_top_notes(tunes))
    fits = [common[line + shift - low].sum() for shift in shifts]
    # Of equally good ones, the nearest.
    best = min(zip(shifts, fits, strict=True), key=lambda s: (-s[1], abs(s[0])))[0]
    shifted = np.roll(np.pad(roll, ((0, 0), (128, 128))), best, axis=1)
    return SimpleNamespace(
        name=read.name,
        piano_roll=shifted[:, 128 + low : 128 + high],
        semitones=int(best),
    )


def count_top_notes(tunes):
    """Return how often each note is the highest of a step of the tunes, (N,)."""
    width = tunes[0].piano_roll.shape[1]
    lines = (top_line(tune.piano_roll) for tune in tunes)
    return sum(np.bincount(line[line >= 0], minlength=width) for line in lines)


def harmonisation(melody, tunes):
    """Return the primer, and what is given, to harmonise the top line of a roll.

    The primer is one step: of the chords with which the tunes begin, one whose highest
    note is nearest to the melody's first.  At each step the melody's note sounds, the
    notes above it are silent, and those below are free.  Where the melody rests, all
    notes are silent, with the mark of `lstmmusic.mark_silence`: the top line of a file
    rests only where all of it does.

    Parameters
    ----------
    melody : ndarray of shape (T, N)
        Its first step sounds.
    tunes : sequence of MidiRoll

    Returns
    -------
    primer : ndarray of shape (1, N)
    given : float32 ndarray of shape (T, N)
        1 sounds, 0 is silent, NaN is free.
    """
    line = top_line(melody)
    chords = [roll[roll.any(axis=1).argmax()] for roll in (t.piano_roll for t in tunes)]
    nearest = np.abs(top_line(chords) - line[0]).argmin()
    notes = np.arange(melody.shape[1])
    given = np.where(notes < line[:, None], np.float32(np.nan), np.float32(0))
    given[np.arange(len(line)), np.maximum(line, 0)] = 1  # of a rest, the mark
    return chords[nearest][None], given
