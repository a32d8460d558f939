"""The machine code of `kernels`: made once, in a process apart, and kept in a file.

Numba takes seconds to make it, which pass beside those that PyTensor takes; and a
process that finds it made needs no Numba, only LLVM to link it.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import llvmlite.binding as llvm

from lstmmusic.engine import cache, home
from lstmmusic.engine.kernels.host import host

LONGEST_S = 120
SIGNALS = ("SIGABRT", "SIGBUS", "SIGILL", "SIGSEGV")  # not every system has all
CRASHES = [-getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
APART = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lstmmusic.engine.kernels import build
build.make(*sys.argv[2:4])
"""
LOCK = threading.Lock()
_processes = {}  # dtype: the one that makes, or has made, code for it


def begin(dtype):
    """Have the code for a dtype made if it is not kept; do not wait for it."""
    with LOCK:
        if dtype in _processes or not is_python():
            return
        if cache.read_entry(path_of(dtype)) is None:
            _processes[dtype] = started(dtype)


def is_python():
    """Whether ``sys.executable`` is Python, and not a program that embeds it."""
    name = Path(sys.executable or "").name.lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)


def started(dtype):
    """Start the process apart, and return it; None if that cannot be."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    arguments = APART, json.dumps(path), dtype, str(home.folder())
    plain = {key: v for key, v in os.environ.items() if not key.startswith("NUMBA_")}
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", *arguments],
            env=plain,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        return None
    atexit.register(end, process)
    return process


def end(process):
    process.kill()
    process.wait()


def code_of(dtype):
    """Return the code for a dtype, an object file as bytes.

    It is made here where no process apart could; RuntimeError if one has crashed.
    """
    begin(dtype)
    process = _processes.get(dtype)
    if process is not None:
        try:
            process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            end(process)
        if process.returncode in CRASHES:  # as this one would
            raise RuntimeError(f"compiling them ended with {process.returncode}")
    return cache.read_entry(path_of(dtype)) or make(dtype)


def make(dtype, folder=None):
    """Make the code for a dtype, and keep it in a folder if that can be."""
    from lstmmusic.engine.kernels.code import object_code

    code = object_code(dtype)
    with contextlib.suppress(OSError):
        if cache.digest_of_sources() == cache.SOURCES:
            cache.write_entry(path_of(dtype, folder), code)
    return code


def path_of(dtype, folder=None):
    """Return where code is kept: all that it depends on is in the file's name."""
    path = cache.entry_path("kernels", dtype)
    return path if folder is None else Path(folder, *path.parts[-3:])


@functools.cache
def linked(dtype):
    """Return the code for a dtype, linked: it gives the addresses of the targets."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code_of(dtype)))
    engine.finalize_object()
    return engine
