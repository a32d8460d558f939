"""Choose where compiled functions run, and give arrays to them."""

import functools
import importlib.util
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytensor

from lstmmusic import checks
from lstmmusic.engine import forks, process

MODES = ("JAX", "NUMBA")
DEVICES = ("cpu", "cuda")
CUDA_BUILDS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
INSTALL_CUDA = "pip install 'lstmmusic[cuda]'"
_config_lock = threading.RLock()


class Backend(NamedTuple):
    """Name where a network's compiled functions run."""

    mode: str  # of `MODES`
    device: str = "cpu"  # of `DEVICES`
    tf32: bool = False  # products on a GPU with 10 bits of each factor's fraction


def choose_mode(mode=None):
    """Return the PyTensor mode's name: the given one, or JAX, the faster, for None."""
    return checks.optional(checks.one_of, "mode", mode, MODES) or "JAX"


def choose_dtype(dtype=None):
    """Return the NumPy dtype of a name; None takes PyTensor's floatX."""
    if dtype is None:
        with pytensor_config():
            dtype = pytensor.config.floatX
    is_scalar = isinstance(dtype, type) and issubclass(dtype, np.generic)
    if is_scalar or isinstance(dtype, np.dtype):
        dtype = np.dtype(dtype).name
    return np.dtype(checks.one_of("dtype", dtype, ("float32", "float64")))


def choose_device(mode, device):
    """Return the device's name; raise ValueError if JAX cannot use it."""
    if checks.one_of("device", device, DEVICES) == "cpu":
        return device
    if mode != "JAX":
        raise ValueError(
            f"device is {device!r}, but mode is {mode!r}; allowed is 'JAX': "
            f"{INSTALL_CUDA}"
        )
    forks.refuse(f"device={device!r}")
    process.apply_settings()
    import jax

    try:
        jax.devices("cuda")
    except RuntimeError as error:
        built = any(map(importlib.util.find_spec, CUDA_BUILDS))
        missing = "no GPU that it can use" if built else "no CUDA build of JAX"
        found = "" if built else f": {INSTALL_CUDA}"
        raise ValueError(
            f"device is {device!r}, but there is {missing}{found} ({error})"
        ) from error
    return device


@contextmanager
def pytensor_config(**flags):
    """Change PyTensor's flags within a context, for one thread at a time.

    PyTensor has one configuration for the whole process.
    """
    with _config_lock, pytensor.config.change_flags(**flags):
        yield


@contextmanager
def restored_x64(backend):
    """Restore JAX's x64 at the end of the context in which PyTensor first uses JAX.

    PyTensor's dispatch sets x64 at import, by floatX, which `pytensor_config` changes.
    The user's own floatX of float64 switches x64 on, as without this library.
    """
    if backend.mode != "JAX" or "pytensor.link.jax.dispatch" in sys.modules:
        yield
        return
    process.apply_settings()
    import jax

    with pytensor_config():
        before, floatX = global_x64(), pytensor.config.floatX
        try:
            yield
        finally:
            if "pytensor.link.jax.dispatch" in sys.modules:
                jax.config.update("jax_enable_x64", before or floatX == "float64")


def global_x64():
    """Return JAX's x64 outside all contexts; a new thread has entered none."""
    import jax

    found = []
    thread = threading.Thread(target=lambda: found.append(jax.config.jax_enable_x64))
    thread.start()
    thread.join()
    return found[0]


def renew_lock():
    """Replace the lock in a forked child: the thread that holds it is not there."""
    global _config_lock
    _config_lock = threading.RLock()


@contextmanager
def precision(backend, dtype):
    """Return a context in which JAX computes in ``dtype``.

    PyTensor alone would fix it once for the process, by the floatX of its first use.
    All that the library does with JAX is within it, so JAX starts with our settings.
    """
    if backend.mode != "JAX":
        yield
        return
    process.apply_settings()
    import jax

    # The programs are compiled; JAX refuses to call them under `jax.disable_jit`.
    with jax.enable_x64(dtype == "float64"), jax.disable_jit(False):
        if backend.device == "cpu":
            yield
            return
        products = "tensorfloat32" if backend.tf32 else "highest"
        with jax.default_matmul_precision(products):
            yield


def as_given(backend, arrays):
    """Return arrays as the backend's functions take them in a call.

    On a CPU, XLA reads NumPy's arrays in place: that is faster than to copy them first,
    by a twentieth of an update of few tunes.  XLA may read after the call, so do not
    change them before the results are there.
    """
    if backend.mode != "JAX":
        return [np.asarray(array) for array in arrays]  # scalars among them
    return arrays if backend.device == "cpu" else on_device(backend, arrays)


def on_device(backend, arrays):
    """Copy arrays to the backend's device, to be used in many calls."""
    if backend.mode != "JAX":
        return list(arrays)
    import jax

    arrays = list(arrays)
    new = [n for n, array in enumerate(arrays) if not isinstance(array, jax.Array)]
    place = jax.devices(backend.device)[0]
    given = jax.device_put([arrays[n] for n in new], place)
    for n, array in zip(new, given, strict=True):
        arrays[n] = array
    return arrays


def threads(backend):
    """Return how many threads may work at once: the CPUs that this process may use.

    Numba holds the GIL; one GPU serves all threads.
    """
    if backend.mode != "JAX" or backend.device != "cpu":
        return 1
    return cpus()


def cpus():
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work, workers):
    """Return [work(0), …, work(workers − 1)]; the first runs on this thread."""
    others = [_pool().submit(work, worker) for worker in range(1, workers)]
    return [work(0), *(other.result() for other in others)]


@functools.cache
def _pool():
    return ThreadPoolExecutor(max(1, cpus() - 1), "lstmmusic")


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=renew_lock)
