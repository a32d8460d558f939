"""The machine code of `kernels`: made once, in a process apart, and kept in a file.

Numba takes seconds to make it, which pass beside those that PyTensor takes; and a
process that finds it made needs no Numba, only LLVM to link it.
"""

import hashlib
import json
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytensor

from lstmmusic import wholefile
from lstmmusic.backend import kind_of_cpu

# Bytes of a vector, vectors beside one another, and rows at once, for which
# `kernels.multiply_rows` keeps sums: in 12 of 16 registers with AVX, in 16 of 32 with
# AVX-512.
HAS_AVX512 = llvm.get_host_cpu_features().get("avx512f", False)
VECTOR, VECTORS, ROWS = (64, 2, 8) if HAS_AVX512 else (32, 3, 4)

# At import: what is on the disk later is perhaps not what runs.
OUR_SOURCES = wholefile.digest_of(
    [Path(__file__).with_name("kernels.py"), Path(__file__)]
)
LONGEST_S = 120
APART = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lstmmusic import machinecode
machinecode.make(*sys.argv[2:4])
"""
_processes = {}  # dtype: the one that makes, or has made, code for it


def columns_of_block(dtype):
    """Return how many columns of a matrix stand together for `kernels.step_dot`."""
    return VECTORS * VECTOR // np.dtype(dtype).itemsize


def begin(dtype):
    """Have the code for a dtype made if it is not kept; do not wait for it."""
    frozen = getattr(sys, "frozen", False)  # then this starts the program once more
    if dtype in _processes or path_of(dtype).exists() or frozen or not sys.executable:
        return
    arguments = json.dumps(sys.path), dtype, pytensor.config.compiledir
    try:
        _processes[dtype] = subprocess.Popen(
            [sys.executable, "-c", APART, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        _processes[dtype] = None


def code_of(dtype):
    """Return the code for a dtype, an object file as bytes.

    It is made here where the process apart could not.
    """
    process = _processes.get(dtype)
    if process is not None:
        try:
            process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return wholefile.kept(path_of(dtype)) or make(dtype)


def make(dtype, folder=None):
    """Make the code for a dtype, and keep it in a folder if that can be."""
    from lstmmusic.kernels import object_code

    code = object_code(dtype)
    wholefile.keep(path_of(dtype, folder), code)
    return code


def path_of(dtype, folder=None):
    """Return where code is kept: all that it depends on is in the file's name."""
    what = repr((dtype, kind_of_cpu(), makers(), OUR_SOURCES))
    name = hashlib.sha256(what.encode()).hexdigest()
    return Path(folder or pytensor.config.compiledir, "kernels", name[:32])


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
