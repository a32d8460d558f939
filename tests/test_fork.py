"""A forked process is refused compiled code where it would wait for ever.

Each test forks in a process of its own: JAX runs in this one.
"""

import json
import os

import pytest

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

# `child` prints what each call gives in a forked process; it is killed if it hangs.
SETTING = """
import json, os, signal, sys, warnings
import numpy as np
from lstmmusic import RNN4Music, music_statistics
from midi.utils import midiread, midiwrite
# Python and JAX warn of a fork beside threads.
warnings.filterwarnings("ignore", "os.fork|.*multi-threaded")
# Sizes of which other tests compile most of the programs, too.
tunes = [(np.random.default_rng(n).random((8, 6)) < 0.3) * 1.0 for n in range(20)]
form = {"seed": 1, "mode": MODE, "dtype": "float64"}
pair = np.array(tunes[:2])[:, :7]
model = RNN4Music(5, 4, 3, 6, **form)

def compiled(model):
    return {
        "train": lambda: model.train(tunes, 1, 1, 16, 8, progress=False),
        "evaluate": lambda: model.evaluate(tunes, sizeOfBatch=2),
        "genMusic": lambda: model.genMusic(tunes[0], 2, noOfTunes=20, temperature=2),
        "probabilities": lambda: model.probabilities(tunes[0]),
        "gradients": lambda: model.gradients(pair, pair),
        "states": lambda: model.states(tunes[0]),
        "influence": lambda: model.influence(tunes[0], 5, 4),
    }

def save_and_load():
    model.saveParameters("parameters")
    model.loadParameters("parameters")
    model.setParameters(model.parameters())

def write_and_read():
    midiwrite("tune.mid", tunes[0], (60, 66), 0.3)
    midiread("tune.mid", (60, 66), 0.3)

def new():
    RNN4Music(5, 4, 3, 6, **form).genMusic(tunes[0], 2)

plain = {
    "files": save_and_load,
    "midi": write_and_read,
    "statistics": lambda: music_statistics(np.eye(8, 88), [np.eye(9, 88)]),
}

def child(calls):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    signal.alarm(120 if model.mode == "JAX" else 600)  # Numba compiles for minutes
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = "worked"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found), flush=True)
    os._exit(0)
"""
REFUSED = (
    "RuntimeError: {} would wait for ever: this process was forked from one in which "
    "JAX ran; allowed are processes started by multiprocessing's 'spawn' or "
    "'forkserver', or forked before JAX ran"
)
COMPILED = (
    "train", "evaluate", "genMusic", "probabilities", "gradients", "states", "influence"
)  # fmt: skip
PLAIN = "files", "midi", "statistics"


@pytest.fixture
def in_child(in_new_process):
    """Return a function that runs code after `SETTING`, and returns its output."""

    def run(code, mode="JAX"):
        setting = SETTING.replace("MODE", repr(mode))
        printed = in_new_process(setting + code)
        assert printed, "the child was killed: it hung"
        return json.loads(printed)

    return run


def test_after_compiled_code_a_fork_is_refused_more_of_it_and_can_do_without(in_child):
    # Fails, after two minutes, if a call goes on to wait for JAX's threads.  Trained
    # first: the weights are then JAX's arrays.
    found = in_child("""
compiled(model)["train"]()
child(compiled(model) | {"a new network's": new} | plain)
""")
    refused = {name: REFUSED.format(name) for name in COMPILED}
    refused["a new network's"] = REFUSED.format("genMusic")
    assert found == refused | dict.fromkeys(PLAIN, "worked")


def test_a_fork_before_compiled_code_works(in_child):
    # Fails if the mere import of JAX, or a network that has computed nothing, counts.
    found = in_child("import jax\nchild(compiled(model) | plain)")
    assert found == dict.fromkeys(COMPILED + PLAIN, "worked")


def test_a_fork_after_the_users_own_jax_is_refused(in_child):
    found = in_child("""
import jax
jax.numpy.zeros(3).block_until_ready()
child({"genMusic": new})
""")
    assert found == {"genMusic": REFUSED.format("genMusic")}


def test_a_fork_within_the_import_of_jax_is_refused(in_child):
    # Another thread may fork then; the child has half an import and its locks.
    found = in_child("""
class Fork:
    forked = False
    def find_spec(self, name, path=None, target=None):
        if name == "jax.numpy" and not Fork.forked:
            Fork.forked = True
            child({"genMusic": new})
sys.meta_path.insert(0, Fork())
new()
""")
    assert found == {"genMusic": REFUSED.format("genMusic")}


def test_a_fork_beside_a_compilation_can_make_networks(in_new_process):
    # Fails if the child waits for the lock that another thread of its parent holds.
    code = """
import os, signal, threading, time
from lstmmusic import RNN4Music
from lstmmusic.engine.backend import pytensor_config
def compile():
    with pytensor_config():
        time.sleep(1)
thread = threading.Thread(target=compile)
thread.start()
time.sleep(0.2)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    RNN4Music(3, 2, 2, 6)
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
    assert in_new_process(code) == "0"


def test_a_child_of_the_child_is_refused(in_child):
    # Fails if what a fork has noted is forgotten at the next.
    found = in_child("""
new()
pid = os.fork()
if pid == 0:
    child({"genMusic": new})
    os._exit(0)
os.waitpid(pid, 0)
""")
    assert found == {"genMusic": REFUSED.format("genMusic")}


@pytest.mark.slow
@pytest.mark.long
def test_numba_works_after_a_fork(in_child):
    found = in_child('compiled(model)["train"]()\nchild(compiled(model))', mode="NUMBA")
    assert found == dict.fromkeys(COMPILED, "worked")


def test_multiprocessing_by_fork_raises_the_error_in_the_parent(in_new_process):
    printed = in_new_process(
        SETTING.replace("MODE", "'JAX'")
        + """
from multiprocessing import get_context
def music(seed):
    return len(model.genMusic(tunes[0], 2, seed=seed)[0])
music(1)
with get_context("fork").Pool(1) as pool:
    try:
        pool.map(music, [1])
    except RuntimeError as error:
        print(error)
"""
    )
    assert printed == REFUSED.format("genMusic").removeprefix("RuntimeError: ")
