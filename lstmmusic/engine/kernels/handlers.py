"""Handlers, by which XLA calls the kernels, and the machine code of all of them.

XLA hands its arrays over in a call frame, whose fields a handler reads by offsets: see
`header`.
"""

from types import FunctionType

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from lstmmusic.engine.kernels import code
from lstmmusic.engine.kernels.code import (
    WORDS,
    as_pointer,
    pack,
    pack_transposed,
    packed_dot,
    roll_dot,
    roll_outer,
)
from lstmmusic.engine.kernels.header import EXTENSION_METADATA, FIELDS, MAJOR
from lstmmusic.engine.kernels.host import KERNELS, host

_FRAME, _BUFFER = FIELDS["XLA_FFI_CallFrame"], FIELDS["XLA_FFI_Buffer"]
# Numba takes numbers as constants, not what is in a dict.
EXTENSION, ARGUMENT_COUNT = _FRAME["extension_start"], _FRAME["args.size"]
ARGUMENTS, RESULTS = _FRAME["args.args"], _FRAME["rets.rets"]
DATA, RANK, DIMS = _BUFFER["data"], _BUFFER["rank"], _BUFFER["dims"]
TYPE = FIELDS["XLA_FFI_Extension_Base"]["type"]
NEXT = FIELDS["XLA_FFI_Extension_Base"]["next"]
METADATA = FIELDS["XLA_FFI_Metadata_Extension"]["metadata"]
VERSION = FIELDS["XLA_FFI_Metadata"]["api_version.major_version"]
FUSED = {"contract"}  # a product and a sum may be rounded once for both
OUTSIDE = ("llvm.", "memset", "memcpy")  # LLVM links these itself

inlined = numba.njit(inline="always")  # LLVM links a handler without Numba


@inlined
def shape(buffer):
    """Return (rows, length of one) of an array (…, length)."""
    rank, dims = buffer[RANK], as_pointer(buffer[DIMS])
    rows = 1
    for n in range(rank - 1):
        rows *= dims[n]
    return rows, dims[rank - 1]


@inlined
def argument(frame, n):
    """Return an argument's address, rows and length of one."""
    buffer = as_pointer(as_pointer(frame[ARGUMENTS])[n])
    rows, length = shape(buffer)
    return buffer[DATA], rows, length


@inlined
def result(frame):
    """Return the result's address, rows and length of one."""
    buffer = as_pointer(as_pointer(frame[RESULTS])[0])
    rows, length = shape(buffer)
    return buffer[DATA], rows, length


@inlined
def answer_version_query(frame):
    """Tell whether XLA only asks for the version of the interface; answer it."""
    extension = frame[EXTENSION]
    while extension != 0:
        fields = as_pointer(extension)
        if fields[TYPE] & 0xFFFFFFFF == EXTENSION_METADATA:
            as_pointer(fields[METADATA])[VERSION] = (1 << 32) + MAJOR  # minor 1
            return True
        extension = fields[NEXT]
    return False


def xla_roll_dot(frame):
    """Call `roll_dot`."""
    if answer_version_query(frame):
        return 0
    x, M, N = argument(frame, 0)
    W, _, Q = argument(frame, 1)
    b, _, _ = argument(frame, 2)
    below = 0
    if frame[ARGUMENT_COUNT] == 4:
        below, _, _ = argument(frame, 3)
    roll_dot(x, W, b, below, result(frame)[0], M, N, Q)
    return 0


def xla_roll_outer(frame):
    """Call `roll_outer`."""
    if answer_version_query(frame):
        return 0
    x, M, N = argument(frame, 0)
    da, _, Q = argument(frame, 1)
    roll_outer(x, da, result(frame)[0], M, N, Q)
    return 0


def xla_pack(frame):
    """Call `pack`."""
    if answer_version_query(frame):
        return 0
    W, K, Q = argument(frame, 0)
    out, _, columns = result(frame)
    pack(W, out, K, Q, columns)
    return 0


def xla_pack_transposed(frame):
    """Call `pack_transposed`."""
    if answer_version_query(frame):
        return 0
    W, Q, K = argument(frame, 0)
    out, _, columns = result(frame)
    pack_transposed(W, out, K, Q, columns)
    return 0


def xla_packed_dot(frame):
    """Call `packed_dot`."""
    if answer_version_query(frame):
        return 0
    rows, M, K = argument(frame, 0)
    packed, _, columns = argument(frame, 1)
    out, _, width = result(frame)
    packed_dot(rows, packed, out, M, K, width, columns)
    return 0


HANDLERS = xla_roll_dot, xla_roll_outer, xla_pack, xla_pack_transposed, xla_packed_dot


def object_code(dtype):
    """Return the machine code of `KERNELS` and `HANDLERS`, an object file as bytes.

    It calls nothing of Numba's or Python's: LLVM alone can link it.
    """
    signatures = {
        name: types.void(*[types.int64] * arguments)
        for name, arguments in KERNELS.items()
    }
    names = vars(code) | {"KIND": np.dtype(dtype).type(0)}
    called = globals() | {
        n: types.ExternalFunction(n, s) for n, s in signatures.items()
    }
    module = llvm.parse_assembly("")
    for name, signature in signatures.items():
        module.link_in(compiled(names[name], signature, names))
        llvm.add_symbol(name, 1)  # Numba links what it compiles; nothing is called
    for handler in HANDLERS:
        module.link_in(compiled(handler, types.int64(WORDS), called))
    return host().emit_object(module)


def compiled(function, signature, names):
    """Return LLVM's module of a function that has some global names."""
    wrap = numba.cfunc(signature, fastmath=FUSED, error_model="numpy")
    found = wrap(FunctionType(function.__code__, names))
    text = found.inspect_llvm().replace(found.native_name, function.__name__)
    module = llvm.parse_assembly(text)
    for called in module.functions:
        allowed = called.name.startswith(OUTSIDE) or called.name in KERNELS
        if called.is_declaration and not allowed:
            raise RuntimeError(f"{function.__name__} calls {called.name}")
    return module
