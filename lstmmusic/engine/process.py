"""Change what holds for the whole process, not for this library alone.

Besides this, `home` may name PyTensor's cache folder in the environment, and `forks`
registers a hook; neither can be turned off.
"""

import ctypes
import functools
import os
import signal
import sys
import warnings
from contextlib import contextmanager

from lstmmusic.engine import cache

SWITCH = "LSTMMUSIC_PROCESS_SETTINGS"
KEPT_BYTES = 2**30
MIN_COMPILE_S = 0.2
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
LARGE_BLOCK, MOST_LARGE_BLOCKS = 2**25, 2**16  # its highest threshold, and its default
_memory_is_short = False  # for the rest of the process


@functools.cache
def is_allowed():
    """Read the switch, once: LSTMMUSIC_PROCESS_SETTINGS=0 means that nothing is set."""
    value = os.environ.get(SWITCH) or "1"
    if value not in ("0", "1"):
        raise ValueError(f"{SWITCH} is {value!r}; allowed are 0, 1")
    return value == "1"


@functools.cache
def apply_settings():
    """Set what makes JAX's functions on a CPU faster, once, before JAX starts.

    ``LSTMMUSIC_PROCESS_SETTINGS=0`` in the environment prevents all of it.  Numbers do
    not depend on it.

    ``jax_cpu_enable_async_dispatch`` = False
        Run on the calling thread.  Without: a change of threads for each call.
    ``jax_compilation_cache_dir``, if it is None
        Cache XLA's machine code in our cache.  Without: XLA compiles in each process.
    ``jax_persistent_cache_min_compile_time_secs`` = 0.2, with the former
        JAX caches only what takes a second.
    glibc's M_MMAP_MAX = 0, M_ARENA_MAX = 1, M_TRIM_THRESHOLD = 1 GiB, on Linux
        Keep freed memory for the next update.  XLA asks for all of an update's work
        space at once and frees it after; glibc would return so large a block to the
        system, and the system clears each page anew: a fifth of the time of an update
        of 20 tunes (benchmarks/RESULTS.md).  The other two settings hold for the first
        arena alone.  Where memory is short, `return_freed_memory` undoes this.
    """
    with postponed_ctrl_c():  # a JAX that is imported in part may crash
        import jax
    if not is_allowed():
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if jax.config.jax_compilation_cache_dir is None:
        use_xla_cache(cache.entry_path("xla"))
    set_malloc((M_MMAP_MAX, 0), (M_ARENA_MAX, 1), (M_TRIM_THRESHOLD, KEPT_BYTES))
    if _memory_is_short:
        return_freed_memory()


@contextmanager
def postponed_ctrl_c():
    """Postpone Ctrl-C to the end of the context.

    Only the main thread handles signals; an ignored SIGINT stays ignored.
    """
    usual, asked = signal.getsignal(signal.SIGINT), []
    try:
        if callable(usual):
            signal.signal(signal.SIGINT, lambda *signalled: asked.append(signalled))
    except ValueError:  # not the main thread, as the interpreter sees it
        usual = None
    try:
        yield
    finally:
        if callable(usual):
            signal.signal(signal.SIGINT, usual)
        if asked:
            usual(*asked[0])


def use_xla_cache(folder):
    """Have JAX cache XLA's machine code in a folder, if it is its user's alone."""
    import jax

    try:
        fault = cache.make_private(folder)
    except OSError:
        return
    if fault:
        warnings.warn(f"{fault}: it is not used as a cache", stacklevel=2)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_S)


def return_freed_memory():
    """Let glibc return large blocks to the system at once, where memory is short.

    Small blocks split those that glibc keeps.  The next large block then needs a new
    place: an update could take twice the memory that it needs.  `apply_settings`, if it
    comes later, calls this again.
    """
    global _memory_is_short
    _memory_is_short = True
    if is_allowed():
        set_malloc((M_MMAP_MAX, MOST_LARGE_BLOCKS), (M_MMAP_THRESHOLD, LARGE_BLOCK))


def set_malloc(*settings):
    """Call glibc's mallopt with each (parameter, value); other systems have none."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        for setting in settings if mallopt else ():
            mallopt(*setting)
