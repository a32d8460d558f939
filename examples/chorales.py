"""Write Bach's chorales, from the corpus in music21, to a folder of MIDI files.

They are written once, to the user's cache folder; nothing is downloaded.
"""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

COUNT = 120
FIRST, LAST = 253, 438  # BWV: the collected chorales in four parts
BEATS_PER_MINUTE = 100  # an eighth note is a step of 0.3 s


def cache_folder():
    """Return XDG_CACHE_HOME or the platform's cache folder; None without a home."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    if os.environ.get("HOME") == "":  # Path.home() would be the root folder
        return None
    with contextlib.suppress(RuntimeError):  # Path.home() finds none
        home = Path.home()
        if home.is_absolute() and home.is_dir():
            caches = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
            return home.joinpath(*caches)
    return None


def writable_folder(folder):
    """Return a folder, made if missing; if it is not writable, a temporary one.

    The fallback prints a line to standard error.
    """
    try:
        if folder is None:
            raise OSError("there is no home folder (HOME, XDG_CACHE_HOME)")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        temporary = tempfile.mkdtemp(prefix="lstmmusic-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        print(f"chorales are kept for this run alone: {error}", file=sys.stderr)
        return Path(temporary)


def chorales_folder(folder=None, count=COUNT, progress=True):
    """Return the folder of chorales as MIDI files; write it unless it is complete.

    The files are written to a folder that is renamed when all are there: a run that is
    stopped halfway leaves nothing that looks complete.

    Parameters
    ----------
    folder : path, optional
        By default ``lstmmusic/chorales`` in the cache folder; if that cannot be
        written, a temporary folder.
    count : int
        How many chorales.
    progress : bool
        Show a progress bar on a terminal.
    """
    if folder is None and (cache := cache_folder()) is not None:
        folder = cache / "lstmmusic" / "chorales"
    if folder is not None and is_complete(Path(folder), count):
        return Path(folder)
    parent = writable_folder(None if folder is None else Path(folder).parent)
    folder = parent / ("chorales" if folder is None else Path(folder).name)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".chorales-") as partial:
        complete = Path(partial, "complete")
        complete.mkdir()
        for file in tqdm(
            corpus_files(count),
            desc="chorales to MIDI, once",
            disable=None if progress else True,
        ):
            write_chorale(file, complete / f"{file.stem}.mid")
        if not is_complete(folder, count):  # another run may have finished first
            shutil.rmtree(folder, ignore_errors=True)
            complete.rename(folder)
    return folder


def is_complete(folder, count):
    """Return whether a folder holds all of its chorales."""
    return len(list(folder.glob("*.mid"))) == count


def corpus_files(count):
    """Return the corpus files of the first ``count`` of the collected chorales."""
    from music21 import corpus

    files = {
        int(file.stem.removeprefix("bwv")): file
        for file in corpus.getComposer("bach", fileExtensions=["mxl"])
        if file.stem.removeprefix("bwv").isdigit()
    }
    return [files[n] for n in sorted(files) if FIRST <= n <= LAST][:count]


def write_chorale(source, target):
    """Write a chorale as MIDI, in C major or A minor, at BEATS_PER_MINUTE.

    With one key a network learns in minutes what it would otherwise learn twelve times.
    The tempo puts every eighth note on a step of 0.3 s.
    """
    from music21 import converter, tempo

    score = converter.parse(source, forceSource=True, storePickle=False)
    key = score.analyze("key")
    semitones = (0 if key.mode == "major" else 9) - key.tonic.pitchClass
    semitones = (semitones + 5) % 12 - 5  # the shorter way round
    for mark in list(score.recurse().getElementsByClass(tempo.TempoIndication)):
        mark.activeSite.remove(mark)
    score.insert(0, tempo.MetronomeMark(number=BEATS_PER_MINUTE))
    for note in score.recurse().notes:
        for pitch in note.pitches:
            pitch.midi += semitones
    score.write("midi", target)
