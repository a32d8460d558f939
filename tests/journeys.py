"""Fixtures and helpers for tests of examples/main.py: tiny runs on four short tunes."""

import errno
import importlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from lstmmusic import RNN4Music
from lstmmusic.training.loop import Training
from lstmmusic.training.state import Position
from midi.utils import midiwrite

EXAMPLES = ROOT / "examples"
R, DT = (50, 62), 0.25
SECONDS = ["--range", "50", "62", "--unit", "seconds", "--dt", "0.25"]
UPDATES = 6
TINY = (
    f"{' '.join(SECONDS)} --sizes 5 4 3 --epochs {UPDATES} --minibatch 3 "
    "--length 9 --steps 30 --primer 7 --threshold 0 --rates 0.01 0.01 0.01 0.02"
).split()
FILES = (
    "generated.mid generated.wav original.mid original.wav parameters.npz index.html "
    "original.png rolls.png probabilities.png statistics.png cost.png"
).split()


def write_tunes(folder):
    """Write four short tunes between 50 and 62, one step silent in each.

    They hold the lowest note, which main.py must then keep in the generated tune.
    """
    for n in range(4):
        roll = np.zeros((14 + 3 * n, 12), int)
        steps = np.arange(len(roll))
        roll[steps, (steps * (n + 1)) % 12] = 1
        roll[steps, (steps // 2 + 4) % 12] = 1
        roll[5] = 0
        midiwrite(folder / f"tune{n}.mid", roll, R, DT)


def run_main(*arguments, **options):
    """Run main.py as a user does; return the completed process."""
    environment = options.pop("env", {})
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        **{"stdin": subprocess.DEVNULL, "capture_output": True, "text": True} | options,
        check=False,
    )


def parse(*arguments):
    """Return main.py's options, with the format of the rolls of a new network."""
    options = load_module("options").make_parser().parse_args(list(map(str, arguments)))
    recipes = load_module("recipes")
    format = recipes.choose_format(options, {"unit": "beats", "restruck": False})
    recipes.take_format(options, format)
    return options


def load_module(name):
    """Return a module of examples/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module(name)


@pytest.fixture(scope="session")
def midi_folder(tmp_path_factory):
    """A folder of the four tunes of `write_tunes`."""
    folder = tmp_path_factory.mktemp("midi")
    write_tunes(folder)
    return folder


@pytest.fixture
def main():
    """The module behind examples/main.py."""
    return load_module("journey")


@pytest.fixture(scope="session")
def journey(midi_folder, tmp_path_factory):
    """The output folder and the process of a tiny run of main.py by a user."""
    out = tmp_path_factory.mktemp("out") / "new" / "folder & 'more'"
    done = run_main("--midi", midi_folder, "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.fixture
def run(main, midi_folder, tmp_path):
    """Return a function that runs main.py here, on the tunes, into tmp_path/out."""

    def run_here(*arguments):
        given = ["--midi", midi_folder, "--out", tmp_path / "out", *TINY, *arguments]
        main.main(list(map(str, given)))

    return run_here


@pytest.fixture
def error_of(run, capsys):
    """Return a function that runs main.py to an error, and returns its one line."""

    def refused(*arguments, code=2):
        with pytest.raises(SystemExit) as exit_:
            run(*arguments)
        assert exit_.value.code == code
        lines = capsys.readouterr().err.splitlines(keepends=True)
        lines = [line for line in lines if not line.endswith("can be resumed\n")]
        assert len(lines) == 1, lines
        return lines[0]

    return refused


@pytest.fixture
def no_pictures(monkeypatch, programs_stay):
    """Write a few bytes for a picture: drawing takes two thirds of a tiny run."""
    monkeypatch.setattr(Figure, "savefig", lambda _, file, **__: file.write(b"drawn"))


@pytest.fixture
def no_sounds(monkeypatch):
    """Write a few bytes for a sound, which takes a third of what is left."""
    results = load_module("results")

    def write(file, roll, *, tempo):
        assert roll.any()
        file.write(b"...")

    monkeypatch.setattr(results, "save_wav", write)


def at_update(n, act):
    """Return a function that patches training to call ``act(model)`` after update n."""

    def prepare(monkeypatch, *_):
        record = Training.record

        def recorded(training, *args):
            record(training, *args)
            if len(training.state.costs) == n:
                act(training.model)

        monkeypatch.setattr(Training, "record", recorded)

    return prepare


def before_update(n, act):
    """Return a function that patches training to call ``act()`` before update n."""

    def prepare(monkeypatch, *_):
        masks, calls = Training.masks, []

        def counted(*args):
            calls.append(args)
            if len(calls) == n:
                act()
            return masks(*args)

        monkeypatch.setattr(Training, "masks", counted)

    return prepare


def save_unfinished(trained, path, epoch):
    """Save a network to a path as if its training had been stopped in an epoch."""
    model = RNN4Music.fromFile(trained)
    model._train_state.position = Position(epoch)
    model.saveParameters(path)
    return path


def ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
