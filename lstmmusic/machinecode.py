"""The machine code of `kernels`: made once, in a process apart, and kept in a file.

Numba takes seconds to make it, which pass beside those that PyTensor takes; and a
process that finds it made needs no Numba, only LLVM to link it.
"""

import atexit
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

from lstmmusic import cachefolder, wholefile
from lstmmusic.backend import kind_of_cpu

# Bytes of a vector, vectors beside one another, and rows at once, for which
# `kernels.multiply_rows` keeps sums: in 12 of 16 registers with AVX, in 16 of 32 with
# AVX-512.
HAS_AVX512 = llvm.get_host_cpu_features().get("avx512f", False)
VECTOR, VECTORS, ROWS = (64, 2, 8) if HAS_AVX512 else (32, 3, 4)

SOURCES = [Path(__file__).with_name("kernels.py"), Path(__file__)]
# At import: what is on the disk later is perhaps not what runs.
OUR_SOURCES = wholefile.digest_of(SOURCES)
LONGEST_S = 120
SIGNALS = ("SIGABRT", "SIGBUS", "SIGILL", "SIGSEGV")  # not every system has all
CRASHES = [-getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
APART = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lstmmusic import machinecode
machinecode.make(*sys.argv[2:4])
"""
LOCK = threading.Lock()
_processes = {}  # dtype: the one that makes, or has made, code for it


def columns_of_block(dtype):
    """Return how many columns of a matrix stand together for `kernels.step_dot`."""
    return VECTORS * VECTOR // np.dtype(dtype).itemsize


def begin(dtype):
    """Have the code for a dtype made if it is not kept; do not wait for it."""
    with LOCK:
        if dtype in _processes or not is_python():
            return
        if wholefile.kept(path_of(dtype)) is None:
            _processes[dtype] = started(dtype)


def is_python():
    """Whether ``sys.executable`` is Python, and not a program that embeds it."""
    name = Path(sys.executable or "").name.lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)


def started(dtype):
    """Start the process apart, and return it; None if that cannot be."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    arguments = APART, json.dumps(path), dtype, str(cachefolder.folder())
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
    return wholefile.kept(path_of(dtype)) or make(dtype)


def make(dtype, folder=None):
    """Make the code for a dtype, and keep it in a folder if that can be."""
    from lstmmusic.kernels import object_code

    code = object_code(dtype)
    with contextlib.suppress(OSError):
        if wholefile.digest_of(SOURCES) == OUR_SOURCES:
            wholefile.keep(path_of(dtype, folder), code)
    return code


def path_of(dtype, folder=None):
    """Return where code is kept: all that it depends on is in the file's name."""
    what = repr((dtype, kind_of_cpu(), makers(), OUR_SOURCES))
    name = hashlib.sha256(what.encode()).hexdigest()
    return Path(folder or cachefolder.folder(), "kernels", name[:32])


@cache
def makers():
    """Return the versions of what makes the code."""
    return [version(name) for name in ("numba", "llvmlite")]


def host():
    """Return LLVM's description of this machine, for code that is linked here."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


@cache
def linked(dtype):
    """Return the code for a dtype, linked: it gives the addresses of the targets."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code_of(dtype)))
    engine.finalize_object()
    return engine
