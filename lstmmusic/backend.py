"""Which of PyTensor's backends runs, and what it needs set before it starts."""

import ctypes
import importlib.util
import sys
from contextlib import nullcontext
from functools import cache

MODES = ("JAX", "NUMBA")
KEEP_BYTES = 2**30

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


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


def precision(mode, dtype):
    """Return a context in which JAX computes in ``dtype``; it has one for everything.

    PyTensor alone would fix it once, by the floatX of its first use.
    """
    if mode != "JAX":
        return nullcontext()
    import jax

    return jax.enable_x64(dtype == "float64")


@cache
def prepare(mode):
    """Set, once, what makes a backend fast; has no effect where it runs already."""
    if mode == "JAX":
        import jax

        # Nothing is to be done while an update runs; handing it to another thread
        # costs time, and puts its work space where `keep_freed_memory` cannot reach.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        keep_freed_memory()


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
            libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
