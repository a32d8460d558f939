"""Networks whose compiled functions all tests share.

To compile takes seconds, to run takes milliseconds.  So one object for each cost, form,
precision and backend serves every test that can do with its sizes; a test gets it as
new.  The sizes are those of ``../shared/data/original/weights.npz``: all different, and
in minibatches different from T and B too.
"""

import importlib
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytensor
import pytest

import lstmmusic
from lstmmusic import RNN4Music
from lstmmusic.engine import export, lowering
from lstmmusic.training.checkpoint import restore, snapshot

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does behind `&`
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files with slow tests first: at the end no process works at one by itself."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


ROOT = Path(lstmmusic.__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"

H = (5, 4, 3)
N = 6
T = 7
B = 2
# Large enough that a wrong term is not lost among the right ones.
WILD = {"sigRand": 0.6, "muRand": 0.7, "seed": 11}


@cache
def shared_model(cost, original, dtype, mode, optimizer):
    form = {"cost": cost, "originalForward": original, "optimizer": optimizer}
    with pytensor.config.change_flags(floatX=dtype):
        model = RNN4Music(*H, N, mode=mode, **form, **WILD)
    return model, snapshot(model)


@pytest.fixture
def network():
    """A function that returns a shared network as good as new.

    Float64, JAX and RMSprop, if not said otherwise.
    """

    def get(
        cost="cross-entropy",
        original=False,
        dtype="float64",
        mode="JAX",
        optimizer="RMSprop",
    ):
        model, first = shared_model(cost, original, dtype, mode, optimizer)
        model.rng = np.random.default_rng()  # a test may have put another there
        restore(model, first, "the first values")
        model.rng = np.random.default_rng(12)
        return model

    return get


@pytest.fixture
def minibatch():
    """Inputs and targets (B, T, N): a third of the notes sound, some only half."""
    rng = np.random.default_rng(13)
    rolls = rng.choice([0, 0, 0.5, 1], size=(2, B, T, N))
    return rolls[0], rolls[1]


@pytest.fixture
def tunes():
    """B tunes of T + 1 steps: the minibatch of a training is then known."""
    return list(np.random.default_rng(14).choice([0.0, 0.0, 1.0], size=(B, T + 1, N)))


@pytest.fixture
def shared():
    """A function that gives the path of a file below ../shared/data, or skips."""

    def get(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not there: real data is not part of the repository")
        return path

    return get


@pytest.fixture
def everything(tmp_path):
    """A function that gives all a network goes on from, as {name: array}."""

    def get(model):
        path = tmp_path / "everything.npz"
        model.saveParameters(path)
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        path.unlink()
        return arrays

    return get


@pytest.fixture
def in_new_process(tmp_path):
    """A function that runs Python code elsewhere and returns what it printed."""

    def run(code, fails=False, **environment):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
        )
        assert fails or done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def assert_same(first, second):
    """All arrays of two dicts are the same, bit for bit."""
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name, strict=True)


@pytest.fixture
def same():
    return assert_same


@pytest.fixture
def compilations(monkeypatch):
    """A list that grows with every compilation, PyTensor's or JAX's own.

    No program is loaded from the cache, which would save PyTensor's.
    """
    seen = []
    monkeypatch.setattr(export, "load_program", lambda path: None)

    def counted(module, name):
        compile_ = getattr(module, name)

        def call(*args, **kwargs):
            seen.append("pytensor.function")
            return compile_(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    counted(pytensor, "function")
    counted(export, "compile_graph")
    from jax import monitoring

    for dtype in ("float32", "float64"):
        lowering.enabled(dtype)  # which compiles, once
    export.has_options()  # the same

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    # It stays: JAX 0.8 cannot take a listener away.
    monitoring.register_event_duration_secs_listener(listen)
    return seen


@pytest.fixture(scope="module")
def midi_folder(tmp_path_factory):
    """A folder of the four tunes of `journeys.write_tunes`."""
    from journeys import write_tunes

    folder = tmp_path_factory.mktemp("midi")
    write_tunes(folder)
    return folder


@pytest.fixture
def main(monkeypatch):
    """The module that does what examples/main.py is for."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("journey")
