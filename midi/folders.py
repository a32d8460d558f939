"""Many files, one after the other or through joblib: what `read_folder` is made of."""

import math
import os

from midi.checks import MidiError
from midi.files import shown

LARGEST_BATCH = 64  # files to a task: at 1 ms a file, a task is worth sending
BATCHES_PER_JOB = 4  # at least, where there are files enough: some are slower to read


class MidiFolder(list):
    """What `read_folder` returns: a list of rolls, in order of their paths.

    Attributes
    ----------
    skipped : list of (str, str)
        Path and reason of each file that could not be read.
    """

    def __init__(self, read, skipped):
        super().__init__(read)
        self.skipped = skipped


def midi_files(folder):
    """Paths of all .mid and .midi files below `folder`, sorted."""
    os.listdir(folder)  # a missing folder is an error, which os.walk would swallow
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".mid", ".midi"))
    )


def read_all(files, read, n_jobs, progress):
    """Return for each file what ``read(path, name)`` does, and None or why it cannot.

    Parameters
    ----------
    files : list of str
    read : function
        One that can be pickled, where ``n_jobs`` is no None.
    n_jobs : int or None
        As for `read_folder`; checked.
    progress : bool
        Show a bar, if attached to a terminal; of files read, or of those handed out.

    Returns
    -------
    list of (roll or None, str or None)
    """
    from tqdm import tqdm  # not paid by `import midi`

    # disable=None: a bar only where there is a terminal.
    with tqdm(total=len(files), unit="file", disable=None if progress else True) as bar:
        if n_jobs is None:
            found = [_read_batch(each, "", read) for each in _batches(files, 1, bar)]
        else:
            found = _in_jobs(files, read, n_jobs, bar)
    return [each for batch in found for each in batch]


def _in_jobs(files, read, n_jobs, bar):
    import joblib

    jobs = joblib.effective_n_jobs(n_jobs)  # a cluster's own number, where one is set
    size = math.ceil(len(files) / (BATCHES_PER_JOB * jobs))
    batches = _batches(files, min(max(size, 1), LARGEST_BATCH), bar)
    # A worker may have been started in another folder: paths are joined to this one.
    task, here = joblib.delayed(_read_batch), os.getcwd()
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1)
    return parallel(task(batch, here, read) for batch in batches)


def _batches(files, size, bar):
    """Yield the files, ``size`` at a time; the bar counts them when the next go."""
    for first in range(0, len(files), size):
        batch = files[first : first + size]
        yield batch
        bar.update(len(batch))


def _read_batch(files, here, read):
    return [_read_one(file, os.path.join(here, file), read) for file in files]


def _read_one(file, path, read):
    try:
        return read(path, file), None
    except MidiError as error:
        return None, str(error).removeprefix(f"{shown(path)}: ")
    except OSError as error:
        return None, error.strerror or str(error)
