"""Read the MIDI files below a folder, here or through joblib."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from midi import checks, reading
from midi.checks import MidiError
from midi.files import FilePath, check_path, printable, read_file
from midi.formats import RollFormat
from midi.losses import Losses, count_losses, describe_losses
from midi.packed import PackedRoll
from midi.reading import Options
from midi.rolls import MidiRoll

if TYPE_CHECKING:
    from tqdm import tqdm

RollT = TypeVar("RollT")
Reader: TypeAlias = Callable[[str, str], RollT]  # of a path, and of the name to give it
Result: TypeAlias = tuple[RollT | None, str | None]  # the roll, or why there is none

SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
MAX_BATCH = 64  # files to a task: at 1 ms a file, worth sending to another process
MIN_BATCHES_PER_JOB = 4  # so that a slow file does not leave the other jobs idle


class MidiFolder(list[RollT]):
    """Hold the rolls that `read_folder` read, in order of their paths.

    Attributes
    ----------
    skipped : list of (str, str)
        Path and reason of each file that could not be read.
    """

    def __init__(self, rolls: Sequence[RollT], skipped: list[tuple[str, str]]) -> None:
        super().__init__(rolls)
        self.skipped = skipped


def read_folder(
    path: FilePath,
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
) -> MidiFolder[Any]:
    """Read every MIDI file below a folder.

    Files are those named .mid, .midi, .kar or .rmi, in any letter case, at any depth.
    Files that cannot be read are skipped, and a single warning at the end names them
    all. Another says if over 2 % of the notes are between steps or never ended, and
    which arguments keep them.

    Parameters
    ----------
    path : path
        A folder.
    r, dt, unit, quantize, restruck, steps, drums, pedal, unended
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
    format = RollFormat(r, dt, unit, quantize, restruck)
    options = reading.check_options(format, steps, drums, pedal, unended)
    progress = checks.check_bool("progress", progress)
    packed = checks.check_bool("packed", packed)
    n_jobs = checks.check_jobs(n_jobs)
    files = find_midi_files(path)
    read = partial(_read_as, packed=packed, format=format, options=options)
    results = read_all(files, read, n_jobs, progress)
    found = [result for result, _ in results if result is not None]
    skipped = [
        (file, reason)
        for file, (_, reason) in zip(files, results, strict=True)
        if reason is not None
    ]
    reasons = "\n".join(f"  {printable(file)}: {reason}" for file, reason in skipped)
    folder = printable(path)
    if not found:
        files_wanted = f"MIDI files ({', '.join(SUFFIXES)}) below this folder"
        if not files:
            raise MidiError(f"{folder}: no {files_wanted}")
        raise MidiError(f"{folder}: none of the {files_wanted} can be read:\n{reasons}")
    if skipped:
        count = f"{len(skipped)} of {len(files)} files skipped"
        warnings.warn(f"{folder}: {count}:\n{reasons}", UserWarning, stacklevel=2)
    tunes, lost = zip(*found, strict=True)
    if line := describe_losses(lost, format):
        warnings.warn(f"{folder}: {line}", UserWarning, stacklevel=2)
    return MidiFolder(tunes, skipped)


def _read_as(
    path: str, name: str, packed: bool, format: RollFormat, options: Options
) -> tuple[MidiRoll | PackedRoll, Losses]:
    """Read the file at `path`, give its roll the name `name`, and count its losses."""
    roll = reading.read_roll(*read_file(path), format, options)
    roll.name = name
    return PackedRoll.of(roll) if packed else roll, count_losses(roll)


def find_midi_files(folder: str) -> list[str]:
    """Return the paths of all files below `folder` named as MIDI, sorted."""
    os.listdir(folder)  # raises for a missing folder, which os.walk would pass over
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES)
    )


def read_all(
    files: Sequence[str], read: Reader[RollT], n_jobs: int | None, progress: bool
) -> list[Result[RollT]]:
    """Read each file, and return its roll or the reason why it cannot be read.

    Parameters
    ----------
    files : list of str
    read : function
        ``read(path, name)`` returns a roll. joblib pickles it.
    n_jobs : int or None
        As for `read_folder`; checked.
    progress : bool
        Show a bar, if attached to a terminal, of files read or handed to joblib.

    Returns
    -------
    list of (roll or None, reason or None)
    """
    from tqdm import tqdm  # imported late to keep `import midi` fast

    # disable=None shows the bar only in a terminal.
    with tqdm(total=len(files), unit="file", disable=None if progress else True) as bar:
        if n_jobs is None:
            results = [_read_batch(each, "", read) for each in _batches(files, 1, bar)]
        else:
            results = _read_in_jobs(files, read, n_jobs, bar)
    return [result for batch in results for result in batch]


def _read_in_jobs(
    files: Sequence[str], read: Reader[RollT], n_jobs: int, bar: "tqdm[NoReturn]"
) -> list[list[Result[RollT]]]:
    import joblib

    jobs = joblib.effective_n_jobs(n_jobs)  # a cluster sets its own number
    size = math.ceil(len(files) / (MIN_BATCHES_PER_JOB * jobs))
    batches = _batches(files, min(max(size, 1), MAX_BATCH), bar)
    # A worker may have started in another folder, so it needs this one.
    task, folder = joblib.delayed(_read_batch), os.getcwd()
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1)
    results: list[list[Result[RollT]]] = parallel(
        task(batch, folder, read) for batch in batches
    )
    return results


def _batches(
    files: Sequence[str], size: int, bar: "tqdm[NoReturn]"
) -> Iterator[Sequence[str]]:
    """Yield `size` files at a time; advance the bar when the next are asked for."""
    for first in range(0, len(files), size):
        batch = files[first : first + size]
        yield batch
        bar.update(len(batch))


def _read_batch(
    files: Sequence[str], folder: str, read: Reader[RollT]
) -> list[Result[RollT]]:
    return [_read_one(file, os.path.join(folder, file), read) for file in files]


def _read_one(name: str, path: str, read: Reader[RollT]) -> Result[RollT]:
    try:
        return read(path, name), None
    except MidiError as error:
        return None, str(error).removeprefix(f"{printable(path)}: ")
    except OSError as error:
        return None, error.strerror or str(error)
