"""Training shared out to ranks by MPI is the training of one process, to rounding."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from journeys import load_module
from sizes import N

from lstmmusic import RNN4Music
from lstmmusic.data.batches import Minibatch, mean_over_tunes
from lstmmusic.engine.gradient import PartialGradient
from lstmmusic.training.mpi import Ranks
from midi import midiwrite

MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which(
    "mpiexec"
)
# Of Open MPI; others ignore it. Tests may run as root in a container.
ROOT_ALLOWED = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
SIZES = (6, 5, 4, 9)  # H1, H2, H3, N

# A network and tunes, the same for all but for the first weights, which are the first
# rank's, and two trainings: of pieces in float32, and of whole tunes.
SETTING = f"""
import os, signal, sys, time
import numpy as np
import pytensor
from lstmmusic import RNN4Music, TrainingError
from lstmmusic.training.loop import Training

def make(dtype="float64", seed=3 + rank, **settings):
    with pytensor.config.change_flags(floatX=dtype):
        return RNN4Music(*{SIZES}, 0.01, 0.02, 0.03, 0.04, seed=seed, **settings)

rng = np.random.default_rng(8)
tunes = [(rng.random((n, 9)) < 0.3) * 1.0 for n in (12, 30, 7, 30, 30, 30)]
others = [tune[1:] for tune in tunes[2:5]]
CUT = (2, 10, 5, 11)
WHOLE = (1, 26, 3, None)  # of any three tunes, one has 30 steps

def train_on_pieces(**more):
    model = make("float32", gradNorm=5.0)
    model.train(tunes, *CUT, **more)
    return model

def train_on_tunes(seed=3 + rank, **more):
    form = dict(output="joint", jointUnits=7, optimizer="Adam", dropout=0.4)
    model = make(seed=seed, **form)
    plan = dict(average="step", rateDecay="cosine", validation=others, lam=0.01)
    model.train(tunes, *WHOLE, **plan, **more)
    return model
"""
# What every program of ranks here begins with.
BEGIN = f"""
from mpi4py import MPI
comm = MPI.COMM_WORLD
rank = comm.Get_rank()
{SETTING}
def now_ends():  # what the ranks do after it is timed
    with open("ended", "w") as file:
        file.write(str(time.time()))

def at_update(number, do):
    record = Training.record
    def recording(self, *args):
        record(self, *args)
        if len(self.state.costs) == number:
            do()
    Training.record = recording
"""


@pytest.fixture
def ranks(tmp_path):
    """Return a function that runs a program as some ranks, and returns its output."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec")

    def run(n, code, fails=False):
        program = tmp_path / "program.py"
        program.write_text(BEGIN + code)
        command = [MPIEXEC, "--oversubscribe", "-n", str(n), sys.executable, program]
        done = subprocess.run(
            command,
            env=os.environ | ROOT_ALLOWED | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,  # of a busy machine
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        ended = tmp_path / "ended"
        since = time.time() - float(ended.read_text()) if ended.is_file() else None
        return done.stdout, done.stderr, since

    return run


@pytest.fixture(scope="module")
def alone():
    """The names of `SETTING` in this process, which has no ranks."""
    names = {"rank": 0}
    exec(SETTING, names)
    return SimpleNamespace(**names)


def assert_trained_alike(found, wanted, tolerance):
    for name, value in wanted.parameters().items():
        np.testing.assert_allclose(
            found.parameters()[name], value, rtol=0, atol=tolerance, err_msg=name
        )
    np.testing.assert_allclose(
        found.instantaneousCost, wanted.instantaneousCost, rtol=tolerance
    )


@pytest.mark.slow
def test_ranks_with_a_part_each_follow_one_with_all(ranks, alone, tmp_path):
    # Fails if a part is weighted wrongly (5 tunes for 2 ranks), if ranks draw other
    # tunes, or do not take the first one's weights.
    ranks(2, 'train_on_pieces(comm=comm, checkpoint="pieces")')
    model = RNN4Music.fromFile(tmp_path / "pieces.npz")
    assert len(model.instantaneousCost) == 20
    assert_trained_alike(model, alone.train_on_pieces(), 1e-5)


TOLD = [2, 3, 4, 6, 8, 9, 10, 12]  # every third update, and each validation
STOPPED = """
from lstmmusic import log_to
told = []
log = log_to("log.csv")
def stop(progress):
    told.append(progress.updates)
    log(progress)
    return progress.updates == 12
model = train_on_tunes(comm=comm, checkpoint="tunes", callback=stop, callbackEvery=3)
print(f"rank {rank} by the callback at {len(model.instantaneousCost)}, told {told}")

if rank == 1:
    at_update(20, lambda: os.kill(os.getpid(), signal.SIGINT))
model = train_on_tunes(comm=comm, checkpoint="tunes", resume=True)
print(f"rank {rank} by Ctrl-C at {len(model.instantaneousCost)}")
"""


@pytest.mark.slow
def test_a_stopped_training_is_resumed_by_another_number_of_ranks(
    ranks, alone, tmp_path
):
    # The first rank's callback stops all, and Ctrl-C in one rank stops all after the
    # next update. Fails if the ranks stop apart, and then wait for each other, or if
    # the ranks' masks, validation or updates are not those of one process.
    out, err, _ = ranks(2, STOPPED)
    assert sorted(out.splitlines()) == [
        "rank 0 by Ctrl-C at 21",
        f"rank 0 by the callback at 12, told {TOLD}",
        "rank 1 by Ctrl-C at 21",
        "rank 1 by the callback at 12, told []",
    ]
    assert err.count("can be resumed") == 2  # the first rank says it
    with open(tmp_path / "log.csv", newline="") as file:
        assert [int(row["updates"]) for row in csv.DictReader(file)] == TOLD
    ranks(3, 'train_on_tunes(seed=77, comm=comm, checkpoint="tunes", resume=True)')
    model = RNN4Music.fromFile(tmp_path / "tunes.npz", dtype="float64")
    wanted = alone.train_on_tunes()
    assert model.trainingOver
    assert_trained_alike(model, wanted, 1e-10)
    assert len(model.instantaneousCost) == 52
    assert len(model.validationCost) == 26
    np.testing.assert_allclose(model.validationCost, wanted.validationCost, rtol=1e-9)


@pytest.mark.slow
def test_a_part_that_is_not_finite_ends_all_with_its_name(ranks):
    code = """
model = make("float32", gradNorm=5.0)
partial_gradients = model._functions.partial_gradients
def broken(*args):
    found = partial_gradients(*args)
    if rank == 1 and len(model.instantaneousCost) == 6:
        now_ends()
        nan = [np.full_like(array, np.nan) for array in found[0].gradients]
        found[0] = found[0]._replace(gradients=nan)
    return found
model._functions.partial_gradients = broken
try:
    model.train(tunes, *CUT, comm=comm)
except TrainingError as error:
    print(error)
    assert len(model.instantaneousCost) == 6
    assert all(np.isfinite(a).all() for a in model.parameters().values())
"""
    out, _, seconds = ranks(2, code)
    assert (
        out.count("update 7 gave a cost or weights that are not finite (rank 1)") == 2
    )
    assert seconds < 30


MAIN = f"""
sys.path.insert(0, {str(ROOT / "examples")!r})
import main
"""


def write_tunes(folder):
    folder.mkdir()
    for n in range(4):
        roll = np.random.default_rng(n).random((60, 88)) < 0.05
        midiwrite(folder / f"{n}.mid", roll, dt=0.3)


@pytest.mark.slow
def test_main_makes_the_same_music_with_two_ranks(ranks, tmp_path, capsys):
    # Fails if ranks draw other minibatches, or both write.
    write_tunes(tmp_path / "tunes")
    words = "--sizes 7 6 5 --epochs 12 --steps 40 --midi tunes --out".split()
    words[words.index("tunes")] = str(tmp_path / "tunes")
    load_module("journey").main([*words, str(tmp_path / "1")])
    out, _, _ = ranks(2, f"{MAIN}main.main({words} + ['2', '--mpi'])")
    for printed in (capsys.readouterr().out, out):
        assert printed.count("Trained for 12 updates") == 1
    one, two = ((tmp_path / n / "generated.mid").read_bytes() for n in "12")
    assert one == two


@pytest.mark.slow
def test_main_saves_what_was_learnt_before_a_part_was_not_finite(ranks, tmp_path):
    # Fails if the other rank ends the job before the first has saved.
    write_tunes(tmp_path / "tunes")
    code = f"""{MAIN}
record = Training.record
def broken(self, cost, *args):
    record(self, np.nan if len(self.state.costs) == 7 else cost, *args)
Training.record = broken
main.main(["--sizes", "7", "6", "5", "--midi", "tunes", "--out", "out", "--mpi"])
"""
    _, err, _ = ranks(2, code, fails=True)
    assert err.count("update 8 gave a cost or weights that are not finite") == 1
    assert err.count("To go on from there at a tenth of the rates: mpiexec") == 1
    saved = RNN4Music.fromFile(tmp_path / "out" / "parameters.npz")
    assert len(saved.instantaneousCost) == 7


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "an error"])
def test_a_rank_that_dies_ends_the_job(ranks, tmp_path, how):
    # Fails if the others wait for it, or if the last checkpoint is not whole.
    code = f"""
def die():
    now_ends()
    if {how!r} == "an error":
        raise OSError("the disk of rank 1 is gone")
    os.kill(os.getpid(), signal.SIGKILL)
if rank == 1:
    at_update(9, die)
train_on_pieces(comm=comm, checkpoint="whole", checkpointEvery=1)
"""
    _, err, seconds = ranks(2, code, fails=True)
    assert seconds < 30
    if how == "an error":
        assert "the disk of rank 1 is gone" in err
        assert "rank 1 of 2 ends the job" in err
    assert 8 <= len(RNN4Music.fromFile(tmp_path / "whole.npz").instantaneousCost) <= 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("tunes[rank:], *CUT, comm=comm", "the training is Plan("),
        (
            "tunes, *CUT, comm=comm, callback=print if rank else None",
            "the callback, callbackEvery is (False, None)",
        ),
    ],
)
def test_ranks_with_other_arguments_are_told(ranks, call, message):
    # They would wait for each other.
    _, err, seconds = ranks(2, f"model = make(); now_ends(); model.train({call})", True)
    assert message in err
    assert "on rank 0" in err
    assert seconds < 30


def blocks(language):
    text = (ROOT / "docs/howto/many-processes.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_program_in_the_documentation_trains_and_goes_on(ranks, tmp_path):
    # Fails if what the page shows does not run, or begins anew when sent again.
    (tmp_path / "tunes").mkdir()
    for n in range(4):
        roll = np.random.default_rng(n).random((30, 88)) < 0.05
        midiwrite(tmp_path / "tunes" / f"{n}.mid", roll, dt=0.3)
    (program,) = blocks("python")
    program = program.replace("_length=200", "_length=7")
    stop = "at_update(30, lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    for code, updates in ((stop + program, 31), (program, 100)):
        ranks(2, code)
        model = RNN4Music.fromFile(tmp_path / "trained.npz")
        assert len(model.instantaneousCost) == updates
        assert model.trainingOver == (updates == 100)


def test_the_job_in_the_documentation_is_a_script():
    script = blocks("sh")[1]
    assert script.startswith("#!/bin/bash\n#SBATCH ")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_what_is_no_communicator_is_refused():
    with pytest.raises(ValueError, match="comm is 'world'; allowed are None and"):
        Ranks("world")


def test_a_rank_without_a_tune_adds_nothing(network):
    # There are more ranks than tunes. Fails if this one has no part to add.
    functions = network()._functions
    x = np.zeros((4, 0, N))
    (part,) = functions.partial_gradients(Minibatch(x, x, x[:, :, 0], 4))
    for array in (part.cost, *part.gradients):
        assert not np.asarray(array).any()


@pytest.mark.parametrize("size", [2, 3, 7])
def test_parts_are_all_of_a_minibatch_once(size):
    # Fails if a tune is taken twice, or left out.
    x, k = np.random.default_rng(1).random((2, 4, 5, 3))
    minibatch = mean_over_tunes(x, k)
    masks = [x[:1], k]
    parts = []
    for rank in range(size):
        ranks = Ranks()
        ranks.rank, ranks.size, ranks.comm = rank, size, SimpleNamespace()
        part, own = ranks.part(minibatch, masks)
        parts.append((*part[:3], *own))
    for found, wanted in zip(
        zip(*parts, strict=True), (*minibatch[:3], *masks), strict=True
    ):
        np.testing.assert_array_equal(np.concatenate(found, axis=1), wanted)


def test_sums_and_flags_are_those_of_all_ranks():
    # The other rank has the same part, and is not finite. Fails if a rank takes its
    # own sum, or its own flags, for that of all.
    def all_reduce(ours, out):
        theirs = ours.copy()
        theirs[:3] = 1, 0, 1  # it was asked to stop; rank 1 is broken
        np.add(ours, theirs, out=out)

    ranks = Ranks()
    ranks.size, ranks.comm = 2, SimpleNamespace(Allreduce=all_reduce)
    threads = [PartialGradient(1.5, [np.arange(6.0).reshape(2, 3), np.ones(2)])] * 2
    summed = ranks.added_up(threads, stop=False)
    assert summed.stop
    assert summed.broken == [1]
    assert summed.gradient.cost == 6
    for found, wanted in zip(
        summed.gradient.gradients, threads[0].gradients, strict=True
    ):
        np.testing.assert_array_equal(found, 4 * wanted)


def test_a_validation_is_a_mean_over_the_steps_of_all_ranks():
    ranks = Ranks()
    theirs = 30.0, 10  # nats, and steps
    ranks.comm = SimpleNamespace(allgather=lambda ours: [ours, theirs])
    ranks.size, ranks.alone = 2, False
    found = SimpleNamespace(nll=2.0, steps=5)
    assert ranks.pooled(lambda tunes: found, ["ours", "theirs"]) == (2 * 5 + 30) / 15
