"""Build and test the kernels in a subprocess, cache them, and link them here.

Numba takes seconds to build them, which pass while PyTensor simplifies the first graph.
A process that finds them in the cache only links them.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import llvmlite.binding as llvm

from lstmmusic.engine import cache
from lstmmusic.engine.kernels.host import host

LONGEST_S = 120
# Garbage collection would take a tenth of the time.
CODE = """
import gc, json, sys
gc.disable()
sys.path[:] = json.loads(sys.argv[1])
from lstmmusic.engine.kernels import self_test
self_test.build(*sys.argv[2:])
"""
LOCK = threading.Lock()
_processes: dict = {}  # (group, dtype): its subprocess, running or ended


def start_build(group, dtype):
    """Start to build a group of kernels if it is not cached; do not wait."""
    key = group, dtype
    with LOCK:
        if key not in _processes and cache.read_entry(path_of(*key)) is None:
            _processes[key] = start(*key)


def start(group, dtype):
    """Start the subprocess; return it, or the error that says why there is none."""
    if not is_python():
        return OSError(f"{sys.executable!r} is not Python")
    path = [entry for entry in sys.path if isinstance(entry, str)]
    arguments = CODE, json.dumps(path), group, dtype, str(path_of(group, dtype))
    plain = {key: v for key, v in os.environ.items() if not key.startswith("NUMBA_")}
    # Isolated as this process is (``python -I``, ``-E``, ``-s``).
    options = "-P" + "E" * sys.flags.ignore_environment + "s" * sys.flags.no_user_site
    try:
        process = subprocess.Popen(
            [sys.executable, options, "-W", "ignore", "-c", *arguments],
            env=plain | {"JAX_PLATFORMS": "cpu"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C reaches the user's process alone
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        return error
    atexit.register(end_own, process, os.getpid())
    return process


def is_python():
    """Tell whether ``sys.executable`` is Python, not a program that embeds it."""
    name = Path(sys.executable or "").name.lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)


def end_own(process, pid):
    """Kill a subprocess in the process that started it, not in its forked children."""
    if os.getpid() == pid:
        end(process)


def end(process):
    """Kill a subprocess and wait for its end."""
    process.kill()
    process.communicate()


def is_built(group, dtype):
    """Tell whether `object_code` does not wait: kernels are cached, or cannot be."""
    process = _processes.get((group, dtype))
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    return process is not None or cache.read_entry(path_of(group, dtype)) is not None


def object_code(group, dtype):
    """Return a group of kernels, an object file that passed the self-test.

    Raises
    ------
    OSError, RuntimeError
        If the subprocess cannot start, or fails, crashes or does not end.
    """
    start_build(group, dtype)
    process = _processes.get((group, dtype))
    if isinstance(process, OSError):
        raise process
    if process is not None:
        try:
            _, said = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            end(process)
            raise RuntimeError(f"it took longer than {LONGEST_S} s") from None
        if process.returncode:
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(last or f"it ended with {process.returncode}")
    path = path_of(group, dtype)
    code = cache.read_entry(path)
    if code is None:
        raise RuntimeError(f"{path} cannot be written or read")
    return code


def path_of(group, dtype):
    """Return the path of the cache entry of a group of kernels."""
    return cache.entry_path("kernels", group, dtype)


def link(code):
    """Link an object file; return LLVM's engine, which keeps it in memory."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
