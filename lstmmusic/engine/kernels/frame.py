"""Read XLA's call frame in a kernel: its arrays, and a query for the version.

Numba compiles these functions into each kernel.
"""

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lstmmusic.engine.kernels.header import EXTENSION_METADATA, FIELDS, MAJOR

_FRAME, _BUFFER = FIELDS["XLA_FFI_CallFrame"], FIELDS["XLA_FFI_Buffer"]
# Numba takes numbers as constants, not what is in a dict.
EXTENSION, ARGUMENT_COUNT = _FRAME["extension_start"], _FRAME["args.size"]
ARGUMENTS, RESULTS = _FRAME["args.args"], _FRAME["rets.rets"]
DATA, RANK, DIMS = _BUFFER["data"], _BUFFER["rank"], _BUFFER["dims"]
TYPE = FIELDS["XLA_FFI_Extension_Base"]["type"]
NEXT = FIELDS["XLA_FFI_Extension_Base"]["next"]
METADATA = FIELDS["XLA_FFI_Metadata_Extension"]["metadata"]
VERSION = FIELDS["XLA_FFI_Metadata"]["api_version.major_version"]
WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)

inlined = numba.njit(inline="always")  # LLVM links a kernel without Numba


@intrinsic
def as_pointer(context, word):
    """Cast a word to a pointer to words."""

    def code(context, builder, signature, given):
        return builder.inttoptr(given[0], WORD.as_pointer())

    return WORDS(types.int64), code


@intrinsic
def numbers(context, frame, place, n, kind):
    """Return a pointer to the numbers of an array, which are of a kind.

    ``place`` is `ARGUMENTS` or `RESULTS`.
    """

    def code(context, builder, signature, given):
        pointer = given[0]
        for field in (given[1], given[2], WORD(DATA)):
            word = builder.load(builder.gep(pointer, [field]))
            pointer = builder.inttoptr(word, WORD.as_pointer())
        return builder.bitcast(pointer, context.get_value_type(signature.return_type))

    word = types.int64
    return types.CPointer(kind)(WORDS, word, word, kind), code


@intrinsic
def offset(context, start, number):
    """Return the pointer so many numbers after another."""

    def code(context, builder, signature, given):
        return builder.gep(given[0], [given[1]])

    return start(start, types.int64), code


@inlined
def array(frame, place, n, kind):
    """Return the `numbers` of an array, its rows, and the length of one."""
    buffer = as_pointer(as_pointer(frame[place])[n])
    rank, dims = buffer[RANK], as_pointer(buffer[DIMS])
    rows = 1
    for axis in range(rank - 1):
        rows *= dims[axis]
    return numbers(frame, place, n, kind), rows, dims[rank - 1]


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
