"""Refuse compiled code in a process that was forked while JAX ran.

The child has JAX's locks and memory but none of its threads, and would wait for them
for ever.  A child that was forked before JAX started is not refused: JAX starts anew.
Nor is Numba, whose functions need no threads.
"""

import os

from lstmmusic.engine import internals

_ours_ran = False  # this library used JAX, in this process or an ancestor
_refused = False  # in this process


def note_jax():
    """Note that JAX runs in this process."""
    global _ours_ran
    _ours_ran = True


def note_fork():
    """Note in a new child whether JAX ran in its parent, for us or for other code."""
    global _refused
    _refused = _refused or _ours_ran or internals.jax_has_started()


def refuse(call, mode="JAX"):
    """Raise RuntimeError if ``call`` would wait for threads that a fork has ended."""
    if _refused and mode == "JAX":
        raise RuntimeError(
            f"{call} would wait for ever: this process was forked from one in which "
            "JAX ran; allowed are processes started by multiprocessing's 'spawn' or "
            "'forkserver', or forked before JAX ran"
        )


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=note_fork)
