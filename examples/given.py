"""Read the tune to harmonise or to go on from: ``main.py --melody``, ``--continue``."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from lstmmusic.statistics import top_line
from midi import MidiError, RollArray, midiread

LONGEST = 100_000  # steps, as many as --steps allows
ALL_PITCHES = (0, 128)


def read_tune(option, file, options):
    """Return the MidiRoll of all pitches of a file, in the format of the options.

    Raises
    ------
    ValueError
        If the file is not MIDI, has no notes, or has too many steps.
    """
    wanted = {name: getattr(options, name) for name in ("unit", "quantize", "restruck")}
    others = ("drums", "pedal", "unended")
    wanted |= {name: getattr(options, name) for name in others}
    try:
        tune = midiread(file, ALL_PITCHES, options.dt, **wanted)
    except OSError as error:
        raise ValueError(f"{option} is {file}: {error.strerror}") from error
    except MidiError as error:  # it begins with the file's name
        raise ValueError(f"{option} is {error}") from error
    between = tune.left_out["between steps"]
    if between:
        what = (
            f"{option} is {file}: {between} of its {len(tune.notes)} notes lie "
            "between the steps of --dt, and are lost; --quantize keeps them"
        )
        if not tune.piano_roll.any():
            raise ValueError(what)
        warnings.warn(what, stacklevel=2)
    if len(tune.piano_roll) > LONGEST:
        raise ValueError(f"{option} is {file}: {len(tune.piano_roll)} steps of --dt "
                         f"{options.dt}; allowed are {LONGEST}")  # fmt: skip
    return tune


def halves(roll, pitches):
    """Return the columns of sounding notes, and of notes struck again (or none)."""
    return roll[:, :pitches], roll[:, pitches:]


def moved(roll, semitones, source, target):
    """Return a roll of the pitches ``source`` transposed, as one of those ``target``.

    Both are (low, high), at most 128 pitches; notes that leave the target are left out.
    """
    (low, high), parts = source, []
    for half in halves(np.asarray(roll), high - low):
        if half.shape[1]:
            wide = np.pad(half, ((0, 0), (128 + low, 256 - high)))
            first, end = (128 + pitch - semitones for pitch in target)
            parts.append(wide[:, first:end])
    return np.concatenate(parts, axis=1)


def best_shift(notes, common, shifts, low):
    """Return the shift that makes notes the likeliest; of equally good, the nearest.

    Parameters
    ----------
    notes : int ndarray of shape (notes,)
        MIDI pitches.
    common : ndarray of shape (N,)
        How often the tunes have each pitch from ``low``.
    shifts : sequence of int
        Semitones; a note that a shift moves out of the N pitches counts as never heard.
    low : int
    """
    scale = np.pad(np.log1p(common), 256)
    fits = [scale[np.asarray(notes) + shift - low + 256].sum() for shift in shifts]
    ranked = zip(shifts, fits, strict=True)
    return int(min(ranked, key=lambda pair: (-pair[1], abs(pair[0])))[0])


def read_melody(file, tunes, options):
    """Return the tune of ``--melody``, in the range and the key of the tunes.

    It begins with its first note, and is transposed by as many semitones as make the
    notes of its top line the likeliest among those of the tunes' top lines.

    Parameters
    ----------
    file : Path
    tunes : sequence of MidiRoll
    options : argparse.Namespace
        Its ``format`` is taken.

    Returns
    -------
    SimpleNamespace
        ``name``, the file's path; ``piano_roll``, uint8 RollArray, all notes of the
        file that fit the range; ``semitones``, by how many it was transposed.

    Raises
    ------
    ValueError
        As `read_tune`, or if the top line is wider than the range.
    """
    read = read_tune("--melody", file, options)
    roll = read.piano_roll[read.piano_roll.any(axis=1).argmax() :]
    line = top_line(halves(roll, 128)[0])
    line = line[line >= 0]
    low, high = options.range
    shifts = np.arange(low + 1 - line.min(), high - line.max())
    if not len(shifts):
        raise ValueError(
            f"--melody is {file}: its top line has pitches {line.min()} to "
            f"{line.max()}; with --range {low} {high}, whose lowest pitch marks rests, "
            f"allowed are at most {high - low - 2} semitones from lowest to highest"
        )
    best = best_shift(line, count_top_notes(tunes, high - low), shifts, low)
    fitting = moved(roll, best, ALL_PITCHES, options.range)
    return SimpleNamespace(
        name=read.name,
        piano_roll=RollArray.of(fitting, options.format),
        semitones=best,
    )


def count_top_notes(tunes, pitches):
    """Return how often each note is the highest of a step of the tunes, (N,)."""
    lines = (top_line(halves(tune.piano_roll, pitches)[0]) for tune in tunes)
    return sum(np.bincount(line[line >= 0], minlength=pitches) for line in lines)


def harmonisation(melody, tunes, pitches):
    """Return the primer, and what is given, to harmonise the top line of a roll.

    The primer is one step: of the chords with which the tunes begin, one whose highest
    note is nearest to the melody's first.  At each step the melody's note sounds, the
    notes above it are silent, and those below are free.  Where the melody rests, all
    notes are silent, with the mark of `lstmmusic.mark_silence`: the top line of a file
    rests only where all of it does.  Where notes struck again are marked, the melody's
    marks are given, too.

    Parameters
    ----------
    melody : ndarray of shape (T, N) or (T, 2 N)
        Its first step sounds.
    tunes : sequence of MidiRoll
    pitches : int
        N.

    Returns
    -------
    primer : ndarray of shape (1, N) or (1, 2 N)
    given : float32 ndarray of the melody's shape
        1 sounds, 0 is silent, NaN is free.
    """
    sounding, struck = halves(np.asarray(melody), pitches)
    line = top_line(sounding)
    rolls = [np.asarray(tune.piano_roll) for tune in tunes]
    chords = np.stack([roll[roll.any(axis=1).argmax()] for roll in rolls])
    nearest = np.abs(top_line(chords[:, :pitches]) - line[0]).argmin()
    free = np.arange(pitches) < line[:, None]
    steps, notes = np.arange(len(line)), np.maximum(line, 0)
    given = np.where(free, np.float32(np.nan), np.float32(0))
    given[steps, notes] = 1  # of a rest, the mark
    if struck.shape[1]:
        again = np.where(free, np.float32(np.nan), np.float32(0))
        again[steps, notes] = np.where(line < 0, 0, struck[steps, notes])
        given = np.append(given, again, axis=1)
    return chords[nearest][None], given


def read_continued(file, tunes, options):
    """Return the tune of ``--continue``, in the range and the key of the tunes.

    Returns
    -------
    SimpleNamespace
        ``name``; ``whole``, the MidiRoll of all its pitches; ``piano_roll``, RollArray,
        the primer: its last ``--primer`` steps, or all; ``semitones``, by how many the
        primer was transposed; ``lost``, the number of its notes out of range.

    Raises
    ------
    ValueError
        As `read_tune`, or if none of the last ``--primer`` steps sounds in the range.
    """
    whole = read_tune("--continue", file, options)
    roll = whole.piano_roll
    roll = roll[-options.primer :] if options.primer else roll
    low, high = options.range
    sounding = halves(np.asarray(roll), 128)[0]
    common = sum(halves(np.asarray(t.piano_roll), high - low)[0].sum(axis=0, dtype=int)
                 for t in tunes)  # fmt: skip
    best = best_shift(sounding.nonzero()[1], common, range(-6, 7), low)
    primer = moved(roll, best, ALL_PITCHES, options.range)
    if not primer.any():
        raise ValueError(f"--continue is {file}: its last {len(roll)} steps have no "
                         f"note in --range {low} {high}; allowed is a larger --primer "
                         "or --range")  # fmt: skip
    lost = int(sounding.sum()) - int(halves(primer, high - low)[0].sum())
    return SimpleNamespace(
        name=whole.name,
        whole=whole,
        piano_roll=RollArray.of(primer, options.format),
        semitones=best,
        lost=lost,
    )


def continued_roll(original, generated, options):
    """Return the whole original, and after it what was generated, in its key.

    What sounds at its end and goes on is struck again, so that the original ends as it
    was.

    Parameters
    ----------
    original : SimpleNamespace
        Of `read_continued`.
    generated : uint8 ndarray of shape (T, options.format.width)

    Returns
    -------
    uint8 RollArray of all pitches, with notes struck again
    """
    after = moved(generated, -original.semitones, options.range, ALL_PITCHES)
    roll = np.append(np.asarray(original.whole.piano_roll), after, axis=0)
    if roll.shape[1] == 128:
        roll = np.pad(roll, ((0, 0), (0, 128)))
    seam = len(roll) - len(after)
    roll[seam, 128:] = roll[seam - 1 : seam + 1, :128].all(axis=0)
    format = replace(options.format, r=ALL_PITCHES, restruck=True)
    return RollArray.of(roll.astype(np.uint8), format)
