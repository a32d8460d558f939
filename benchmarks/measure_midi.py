"""Measure how fast MIDI files become rolls, and how large these are."""

import shutil
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

from timing import alternate


def import_midi():
    """Measure the import of midi, which needs no PyTensor."""
    start = time.perf_counter()
    import midi  # noqa: F401

    seconds = time.perf_counter() - start
    assert "pytensor" not in sys.modules
    return {"import midi": seconds}


def write_random(path, files):
    """Write MIDI files of 3000 random notes in 240 s each to a folder."""
    warnings.simplefilter("ignore")  # pretty_midi's imports
    import numpy as np
    import pretty_midi

    rng = np.random.default_rng(0)
    for n in range(files):
        song = pretty_midi.PrettyMIDI()
        piano = pretty_midi.Instrument(0)
        starts = np.sort(rng.uniform(0, 240, 3000))
        for start, pitch in zip(starts, rng.integers(21, 109, 3000), strict=True):
            piano.notes.append(pretty_midi.Note(64, int(pitch), start, start + 0.4))
        song.instruments.append(piano)
        song.write(str(Path(path, f"{n:02}.mid")))


def folder(files=40):
    """Measure a folder of MIDI files of 3000 notes to rolls, dt 0.2 s, per file."""
    import midi

    with tempfile.TemporaryDirectory() as path:
        write_random(path, files)
        import pretty_midi

        def theirs():
            for file in sorted(Path(path).iterdir()):
                pretty_midi.PrettyMIDI(str(file)).get_piano_roll(fs=5)

        found = alternate(
            {
                "ours": lambda: midi.read_folder(path, dt=0.2, progress=False),
                "pretty_midi": theirs,
            },
            seconds=4,
        )
    return {name: seconds / files for name, seconds in found.items()}


def collection(kind, files=640):
    """Measure bytes and files per second of read_folder, dt 0.2 s.

    ``kind``: 'random', as for `folder`, each of 40 many times; or 'Nottingham', the
    data set's own tunes, a step of which is an eighth note of 0.2 s.
    """
    import midi

    with tempfile.TemporaryDirectory() as path:
        write_collection(kind, path, files)

        def read(**options):
            return lambda: midi.read_folder(path, progress=False, **options)

        def held(packed):
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            kept = read(packed=packed)()
            after = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            return (after - before) / len(kept)

        steps = sum(len(roll) for roll in read(packed=True)()) / files
        found = alternate(
            {str(n): read(packed=True, n_jobs=n) for n in (None, 1, 2)}
            | {"MidiRoll": read()},
            seconds=15,
        )
        return {
            "files": files,
            "steps": steps,
            "bytes": [held(False), held(True)],
            "files per second": {name: files / s for name, s in found.items()},
        }


def write_collection(kind, path, files):
    """Write MIDI files of one kind to a folder, as `collection` reads them."""
    if kind == "random":
        write_random(path, 40)
        for n in range(40, files):
            shutil.copy(Path(path, f"{n % 40:02}.mid"), Path(path, f"{n:02}.mid"))
    else:
        write_tunes(kind, path, files)


def write_tunes(name, path, files):
    """Write tunes of a standard data set, found in ../shared/data, to a folder."""
    import midi
    from lstmmusic import datasets

    data = Path(__file__).parents[2] / "shared" / "data" / "polyphonic"
    for n, roll in enumerate(datasets.load_standard(name, data).train[:files]):
        midi.midiwrite(Path(path, f"{n:02}.mid"), roll)
