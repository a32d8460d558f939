"""Test the settings of the process, and the switch that prevents them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Prints JAX's settings, the calls of mallopt, and what a training gives.
JOURNEY = """
import ctypes, json
import numpy as np
calls = []
class Watched(ctypes.CDLL):
    def __getattr__(self, name):
        found = super().__getattr__(name)
        if name != "mallopt":
            return found
        return lambda *setting: calls.append(setting) or found(*setting)
ctypes.CDLL = Watched
import jax
from lstmmusic import RNN4Music
def settings():
    return [
        jax.config.read("jax_cpu_enable_async_dispatch"),
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_persistent_cache_min_compile_time_secs,
    ]
before = settings()
tunes = [(np.random.default_rng(n).random((n, 6)) < 0.3) * 1.0 for n in (20, 21, 22)]
model = RNN4Music(5, 4, 3, 6, seed=1, dtype="float64")  # programs of other tests, too
costs = model.train(tunes, 2, 2, 2, 8, progress=False)
sums = [float(np.sum(value)) for value in model.parameters().values()]
made = model.genMusic(tunes[0], 4, seed=2)[1].tolist()
from lstmmusic.engine.process import return_freed_memory
return_freed_memory()
print(json.dumps([before, settings(), calls, [list(costs), sums, made]]))
"""


@pytest.fixture(scope="module")
def journeys():
    """What `JOURNEY` prints with the switch on and off."""

    def run(switch):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        if switch is not None:
            environment["LSTMMUSIC_PROCESS_SETTINGS"] = switch
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", JOURNEY],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return {switch: run(switch) for switch in (None, "0")}


def test_the_settings_are_those_that_are_listed(journeys):
    before, after, calls, _ = journeys[None]
    assert before[1] is None
    dispatch, folder, seconds = after
    assert dispatch is False
    assert "lstmmusic" in folder
    assert seconds == 0.2
    if sys.platform == "linux":
        applied = [[-4, 0], [-8, 1], [-1, 2**30]]
        undone = [[-4, 65536], [-3, 2**25]]
        assert calls in ([], applied + undone)  # [] without glibc


def test_the_switch_prevents_all_of_them(journeys):
    # Fails if one setting is made elsewhere.
    before, after, calls, _ = journeys["0"]
    assert after == before
    assert calls == []


def test_numbers_do_not_depend_on_the_switch(journeys):
    assert journeys[None][3] == journeys["0"][3]


def test_short_memory_stays_short_when_the_settings_come_later(in_new_process):
    # Fails if the first compiled function makes glibc keep what a training, before it,
    # found no room for.
    code = """
from lstmmusic.engine import process
calls = []
process.set_malloc = lambda *settings: calls.append(settings)
process.return_freed_memory()
process.apply_settings()
print(len(calls), calls[0] == calls[-1] != calls[1])
"""
    assert in_new_process(code) == "3 True"


def test_a_new_network_does_not_import_jax(in_new_process):
    # Fails if the half second of its import no longer passes beside the kernels' build.
    code = """
import sys
from lstmmusic import RNN4Music
RNN4Music(3, 2, 2, 6).parameters()
print("jax" in sys.modules)
"""
    assert in_new_process(code) == "False"


def test_another_value_of_the_switch_is_refused(in_new_process):
    code = """
from lstmmusic import RNN4Music
try:
    RNN4Music(3, 2, 2, 6)
except ValueError as error:
    print(error)
"""
    printed = in_new_process(code, LSTMMUSIC_PROCESS_SETTINGS="off")
    assert printed == "LSTMMUSIC_PROCESS_SETTINGS is 'off'; allowed are 0, 1"


def test_ctrl_c_does_not_interrupt_the_import_of_jax(in_new_process):
    # Fails if parts of JAX are left, with which a later import fails or crashes.
    code = """
import os, signal, sys
from lstmmusic.engine import process
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "jax.numpy":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
try:
    process.apply_settings()
except KeyboardInterrupt:
    print("jax" in sys.modules)
import jax
print(jax.numpy.ones(3).sum(), signal.getsignal(2) is signal.default_int_handler)
"""
    assert in_new_process(code) == "True\n3.0 True"


def test_a_thread_that_passes_for_the_main_one_imports_jax(in_new_process):
    # As in a program that embeds Python.  Up to Python 3.12 `threading` takes the
    # thread that imports it first for the main one, which alone can set signals.
    code = """
import _thread, sys
done = _thread.allocate_lock()
done.acquire()
def first():
    try:
        from lstmmusic.engine import process
        process.apply_settings()
        print("jax" in sys.modules)
    finally:
        done.release()
_thread.start_new_thread(first, ())
done.acquire()
"""
    assert in_new_process(code) == "True"


def test_jax_keeps_the_users_settings(in_new_process):
    # Fails if the import of PyTensor's dispatch sets x64 by the network's dtype, or if
    # a compiled program is called where the user has disabled `jax.jit`.
    code = """
import numpy as np, jax
from lstmmusic import RNN4Music
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_jit", True)
for dtype in "float32", "float64":
    RNN4Music(5, 4, 3, 6, dtype=dtype).genMusic(np.zeros((8, 6)), 2)
    print(jax.config.jax_enable_x64, jax.config.jax_disable_jit)
"""
    assert in_new_process(code) == "True True\nTrue True"


def test_a_network_of_float64_leaves_jax_at_32_bits(in_new_process):
    code = """
import sys
import numpy as np, jax
from lstmmusic import RNN4Music
from lstmmusic.engine import cache, lowering
cache.read_entry, lowering.kernels = (lambda path: None), None  # compile, by PyTensor
RNN4Music(5, 4, 3, 6, dtype="float64").genMusic(np.zeros((8, 6)), 2)
print("pytensor.link.jax.dispatch" in sys.modules, jax.config.jax_enable_x64)
"""
    assert in_new_process(code) == "True False"
