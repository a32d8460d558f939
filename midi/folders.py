"""Find the MIDI files below a folder and read them, here or through joblib."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar

from midi.checks import MidiError
from midi.files import printable

if TYPE_CHECKING:
    from tqdm import tqdm

RollT = TypeVar("RollT")
Reader: TypeAlias = Callable[[str, str], RollT]  # of a path, and of the name to give it
Result: TypeAlias = tuple[RollT | None, str | None]  # the roll, or why there is none

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


def find_midi_files(folder: str) -> list[str]:
    """Return the paths of all .mid and .midi files below `folder`, sorted."""
    os.listdir(folder)  # raises for a missing folder, which os.walk would pass over
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".mid", ".midi"))
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
