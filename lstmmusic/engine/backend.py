"""Which of PyTensor's backends runs, and what it needs set before it starts."""

import contextlib
import ctypes
import functools
import gc
import hashlib
import importlib.util
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytensor
from pytensor.compile.mode import get_mode

from lstmmusic.engine import cache, forks

MODES = ("JAX", "NUMBA")
DEVICES = ("cpu", "cuda")
CUDA_BUILDS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
HOW_TO = "pip install 'lstmmusic[cuda]'"
KEEP_BYTES = 2**30
# Rewrites that find nothing to gain in these graphs that XLA does not find itself.  So
# none makes an expression stable: the costs stand in stable form (D8).
SLOW_REWRITES = (
    "fusion",
    "stabilize",
    "specialize",
    "scan_pushout",
    "local_subtensor_merge_slice",
    "dot_diag_to_elemwise",
    "selection_dot_to_indexing",
    "orthogonal_dot_transpose_to_eye",
    "useless_Tanh_of_Arctanh",
)
# Makes sums over an axis of length 1 (one tune, one step) float64, which JAX lacks.
WRONG_REWRITES = ("local_reduce_broadcastable",)

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
LARGE_BLOCK, MOST_LARGE_BLOCKS = 2**25, 2**16  # its highest threshold, and its default


class Backend(NamedTuple):
    """Where the compiled functions of one network run."""

    mode: str  # of `MODES`
    device: str = "cpu"  # of `DEVICES`
    tf32: bool = False  # products on a GPU with 10 bits of each factor's fraction


def choose_mode(mode=None):
    """Return the PyTensor mode's name: the one asked for, or the fastest installed."""
    if mode is None:
        return "JAX" if importlib.util.find_spec("jax") else "NUMBA"
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; allowed are None, {', '.join(MODES)}")
    if importlib.util.find_spec(mode.lower()) is None:
        raise ValueError(
            f"mode is {mode!r}, but {mode.lower()} is not installed: "
            f"pip install {mode.lower()}"
        )
    return mode


def choose_device(mode, device):
    """Return the device's name; ValueError where it cannot be had, and how it can."""
    if device not in DEVICES:
        raise ValueError(f"device is {device!r}; allowed are {', '.join(DEVICES)}")
    if device == "cpu":
        return device
    if mode != "JAX":
        raise ValueError(
            f"device is {device!r}, but mode is {mode!r}; allowed is 'JAX': {HOW_TO}"
        )
    forks.refuse(f"device={device!r}")
    import jax

    try:
        jax.devices("cuda")
    except RuntimeError as error:
        built = any(map(importlib.util.find_spec, CUDA_BUILDS))
        missing = "no GPU that it can use" if built else "no CUDA build of JAX"
        found = "" if built else f": {HOW_TO}"
        raise ValueError(
            f"device is {device!r}, but there is {missing}{found} ({error})"
        ) from error
    return device


@contextmanager
def precision(backend, dtype):
    """Return a context in which JAX computes in ``dtype``; it has one for everything.

    PyTensor alone would fix it once, by the floatX of its first use.
    """
    if backend.mode != "JAX":
        yield
        return
    import jax

    with jax.enable_x64(dtype == "float64"):
        if backend.device == "cpu":
            yield
            return
        products = "tensorfloat32" if backend.tf32 else "highest"
        with jax.default_matmul_precision(products):
            yield


def as_given(backend, arrays):
    """Return arrays as the backend's functions take them in a call.

    On a CPU, XLA reads NumPy's arrays where they are: that is faster than to give them
    to it first, by a twentieth of an update of few tunes.  It may do so after the call:
    they are not to be changed before the results are there.
    """
    if backend.mode != "JAX":
        return [np.asarray(array) for array in arrays]  # scalars among them
    return arrays if backend.device == "cpu" else on_device(backend, arrays)


def on_device(backend, arrays):
    """Give arrays to the backend, to be used in many calls."""
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


def compiled(inputs, outputs, mode, updates=None):
    """Return `pytensor.function` of these, which trusts its inputs."""
    excluded = (*SLOW_REWRITES, *WRONG_REWRITES) if mode == "JAX" else ()
    collecting = gc.isenabled()
    gc.disable()  # a fifth of the time: millions of objects, few of them garbage
    try:
        return pytensor.function(
            inputs,
            outputs,
            updates=updates,
            mode=get_mode(mode).excluding(*excluded),
            trust_input=True,
            on_unused_input="ignore",  # the top layer's mask, gradNorm without a limit
        )
    finally:
        if collecting:
            gc.enable()


def threads(backend):
    """Return how many threads may work at once: the CPUs that this process may use.

    Numba's functions hold Python's lock; a GPU is one for all.
    """
    if backend.mode != "JAX" or backend.device != "cpu":
        return 1
    return cpus()


def cpus():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work, workers):
    """Return [work(0), …, work(workers − 1)], the first done by this thread."""
    others = [_pool().submit(work, worker) for worker in range(1, workers)]
    return [work(0), *(other.result() for other in others)]


@functools.cache
def _pool():
    return ThreadPoolExecutor(max(1, cpus() - 1), "lstmmusic")


@functools.cache
def prepare(mode):
    """Set, once, what makes a backend fast; has no effect where it runs already.

    OSError where PyTensor's cache folder is unusable.
    """
    cache.folder()
    if mode == "JAX":
        import jax

        # What is ready runs in the thread that calls, without a change of threads.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        keep_freed_memory()
        if jax.config.jax_compilation_cache_dir is None:
            folder = cache.private_folder("xla", kind_of_cpu())
            if folder is not None:
                jax.config.update("jax_compilation_cache_dir", str(folder))
                jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@functools.cache
def kind_of_cpu():
    """Return a name for what this CPU's instructions are: as LLVM sees them, and Linux.

    XLA has an LLVM of its own, which may see more.
    """
    import llvmlite.binding as llvm

    what = [platform.machine(), llvm.get_host_cpu_name()]
    what.append(llvm.get_host_cpu_features().flatten())
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text()
        what += [line for line in cpu.splitlines() if line.startswith("flags")][:1]
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def keep_freed_memory():
    """Let glibc keep up to 1 GiB of freed memory for the next update's work space.

    XLA asks for all of an update's work space at once and frees it after.  Left alone,
    glibc returns so large a piece to the system each time, and the system clears every
    page anew: a fifth of the time of an update of 20 tunes (benchmarks/RESULTS.md).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_ARENA_MAX, 1)  # the other settings hold for the first alone
            libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)


def return_freed_memory():
    """Let glibc return large blocks to the system at once, where memory is short.

    Those that it keeps are split by small ones.  The next large one then needs a new
    place: an update could take twice the memory that it needs.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_MAX, MOST_LARGE_BLOCKS)
            libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
