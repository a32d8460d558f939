"""Networks whose compiled functions all tests share.

To compile takes seconds, to run takes milliseconds.  So one object for each cost, form,
precision and backend serves every test that can do with its sizes; a test gets it as
new.  The sizes are those of ``../shared/data/original/weights.npz``: all different, and
in minibatches different from T and B too.
"""

import copy
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pytensor
import pytest
import trainings
from sizes import FILLED_SIZES, JOINT_D, JOINT_N, B, H, N, T

import lstmmusic
from lstmmusic import ParameterFileError, RNN4Music
from lstmmusic.engine import export, lowering
from lstmmusic.model.optimizers import Moments
from lstmmusic.training.checkpoint import restore, snapshot, weights_of
from lstmmusic.training.state import Position
from midi import RollFormat

pytest_plugins = ["journeys"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does behind `&`
    signal.signal(signal.SIGINT, signal.default_int_handler)


# XLA compiles in a third of the time.  What it makes is slower, and rounds otherwise.
QUICK = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
SHIPPED = {"xla_cpu_use_fusion_emitters": True, "xla_backend_optimization_level": 3}
WITH_THESE = re.compile(r"0\.(8|9|10)\.")  # JAX aborts on a flag that it does not know


def pytest_addoption(parser):
    parser.addoption(
        "--as-shipped",
        action="store_true",
        help="have XLA optimize as for users, which takes three times as long",
    )


def pytest_configure(config):
    if not config.getoption("as_shipped") and WITH_THESE.match(version("jaxlib")):
        flags = [f"--{name}={str(value).lower()}" for name, value in QUICK.items()]
        # In the environment, so that subprocesses find the same bits.
        os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])


def pytest_collection_modifyitems(items):
    """Files with slow tests first: at the end no process works at one by itself."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


ROOT = Path(lstmmusic.__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"

# Large enough that a wrong term is not lost among the right ones.
WILD = {"sigRand": 0.6, "muRand": 0.7, "seed": 11}


@cache
def shared_model(cost, original, dtype, mode, optimizer):
    form = {"cost": cost, "originalForward": original, "optimizer": optimizer}
    model = RNN4Music(*H, N, mode=mode, dtype=dtype, **form, **WILD)
    return model, snapshot(model)


@pytest.fixture
def network():
    """Return a function that returns a shared network as good as new.

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
def as_shipped(monkeypatch):
    """Return a function that returns a copy of a network, compiled as for users."""
    if WITH_THESE.match(version("jaxlib")):
        options = export.EIGEN if export.has_options() else {}
        monkeypatch.setattr(export, "EIGEN", options | SHIPPED)
        monkeypatch.setattr(export, "has_options", lambda: True)
    return copy.deepcopy


_programs = {}


@pytest.fixture
def programs_stay(monkeypatch):
    """Share programs among networks: to load one takes a third of a second.

    Whether a new process finds them is for tests that run one.
    """
    cpu_program = export.cpu_program

    def shared_program(build, *what):
        path = export.path_of(build.__qualname__, *what)
        if path not in _programs:
            _programs[path] = cpu_program(build, *what)
        return _programs[path]

    monkeypatch.setattr(export, "cpu_program", shared_program)


@cache
def shared_joint(units, order, mode, dtype, restruck):
    form = {"output": "joint", "jointUnits": units, "noteOrder": order, "dtype": dtype}
    form["restruck"] = restruck
    model = RNN4Music(*H, JOINT_N, mode=mode, optimizer="Adam", **form, **WILD)
    rng = np.random.default_rng(61)
    values = {n: rng.normal(0, 0.6, a.shape) for n, a in model.parameters().items()}
    if units:  # with a D of 9, U · u is a sum of 9
        values["Wka"] *= 2
    model.setParameters(values | {"Wky": np.tril(values["Wky"], -1) * 2})
    return model, snapshot(model)


@pytest.fixture
def joint():
    """Return a function that returns a shared, fresh network with the joint output.

    No weight is zero that need not be.
    """

    def get(units=JOINT_D, order="up", mode="JAX", dtype="float64", restruck=False):
        model, first = shared_joint(units, order, mode, dtype, restruck)
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
    """Return a function that finds a file below ../shared/data, or skips."""

    def get(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not there: real data is not part of the repository")
        return path

    return get


class Everything(Mapping):
    """Give the arrays of a file, by name; `sums`: the CRC-32 of each array's bytes."""

    def __init__(self, path):
        self.file = np.load(io.BytesIO(path.read_bytes()))
        self.sums = {m.filename: m.CRC for m in self.file.zip.infolist()}

    def __getitem__(self, name):
        return self.file[name]

    def __iter__(self):
        return iter(self.file.files)

    def __len__(self):
        return len(self.file.files)


@pytest.fixture
def everything(tmp_path):
    """Return a function that gives all a network goes on from, by name, as arrays."""

    def get(model):
        path = tmp_path / "everything.npz"
        model.saveParameters(path)
        found = Everything(path)
        path.unlink()
        return found

    return get


@pytest.fixture
def in_new_process(tmp_path):
    """Return a function that runs Python code elsewhere and returns what it printed."""

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
    if isinstance(first, Everything) and first.sums == getattr(second, "sums", None):
        return  # a hundredth of the time
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name, strict=True)


@pytest.fixture
def same():
    return assert_same


def new_network(**form):
    """A network that differs from `filled` in all that a file can change."""
    return RNN4Music(*FILLED_SIZES, **({"seed": 2, "optimizer": "Adam"} | form))


def fill():
    model = RNN4Music(
        *FILLED_SIZES, 0.01, 0.02, 0.03, 0.04, seed=1, muRand=0.5, optimizer="Adam"
    )
    weights = weights_of(model)
    means = {n: abs(a) for n, a in weights.items()}
    model._store.set_moments(Moments(means, {n: 2 * a for n, a in weights.items()}, 3))
    model.epsilon, model.gradClip, model.genProbThreshold = 1e-4, 7.0, 0.25
    model.gradNorm, model.dropout, model.fixedMasks = 9.0, 0.125, True
    model.instantaneousCost, model.loss = [3.5, 2.5, 1.25], 1.25
    model.validationCost = [(1, 2.25), (2, 2.5)]
    model.rollFormat = RollFormat((60, 65), 0.5, "beats", quantize=True)
    training = model._train_state
    training.plan = {"noOfEpoch": 7}
    training.position = Position(2, 1, model.rng.bit_generator.state)
    training.best_nll, training.since_best = 2.25, 1
    training.best = {n: 3 * a for n, a in weights.items()}
    model.rng.random(5)
    return model


@pytest.fixture
def filled():
    """A network nothing of which is as a new one's; nothing is compiled."""
    return fill()


@cache
def saved_bytes():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        fill().saveParameters(path)
        return path.read_bytes()


@pytest.fixture
def saved(tmp_path):
    """The path of a file of the network `filled`."""
    path = tmp_path / "saved.npz"
    path.write_bytes(saved_bytes())
    return path


@pytest.fixture
def refused(everything, same):
    """Check that a file is refused, and that the object it is loaded into stays."""

    def check(path, message="", error=ParameterFileError):
        other = new_network()
        before = everything(other)
        with pytest.raises(error, match=message) as caught:
            other.loadParameters(path)
        assert type(caught.value) is error
        same(before, everything(other))
        with pytest.raises(error, match=message):
            RNN4Music.fromFile(path)

    return check


def rewritten(path, **changes):
    """Write the file again with some arrays changed; None leaves one out."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name, array in changes.items():
        members.pop(f"{name}.npy", None)
        if array is not None:
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array))
            members[f"{name}.npy"] = content.getvalue()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


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

    for group, dtype in product(("products", "joint"), ("float32", "float64")):
        lowering.enabled(group, dtype)  # which compiles, once
    export.has_options()  # the same

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    # It stays: JAX 0.8 cannot take a listener away.
    monitoring.register_event_duration_secs_listener(listen)
    return seen


@pytest.fixture
def begin(network):
    """Return a function that gives the network as it is before any training.

    With all that draws random numbers, or remembers something.
    """

    def get():
        model = network(optimizer="Adam")
        model.setNewRates(0.05, 0.05, 0.05, 0.05)
        model.dropout, model.gradNorm = 0.25, 2.0
        return model

    return get


ENDS = {}


@pytest.fixture
def straight(begin, everything):
    """All that the plans, never stopped, end with: found once, for all tests."""
    for plan in trainings.PLANS.keys() - ENDS.keys():
        model = begin()
        trainings.train(model, plan)
        ENDS[plan] = everything(model)
    return ENDS
