"""Define the kernels, which Numba compiles and XLA calls.

A kernel reads its arrays from XLA's call frame and writes its results, see `frame`.
Nothing is allocated, no thread is started and no lock is held: threads may call a
kernel at once.

Shapes: M rows (steps and tunes), N notes, K and Q columns.
"""

from types import FunctionType

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from lstmmusic.engine.kernels import joint
from lstmmusic.engine.kernels.frame import (
    ARGUMENT_COUNT,
    ARGUMENTS,
    RESULTS,
    WORDS,
    answer_version_query,
    array,
    inlined,
    numbers,
    offset,
)
from lstmmusic.engine.kernels.host import KERNELS, ROWS, host
from lstmmusic.engine.kernels.vectors import multiply_rows

FASTMATH = {"contract"}  # a product and a sum may be rounded once for both
OUTSIDE = ("llvm.", "memset", "memcpy")  # LLVM links these itself
KIND = np.float32(0)  # a number, for its type: `object_code` replaces it


def roll_dot(frame):
    """Write ``W x + b``, or that ``+ below``, looking only at the notes that sound.

    Of x (…, N), W (N, Q), b (Q,) and below (…, Q), whose place the result takes.
    """
    x, M, N = array(frame, ARGUMENTS, 0, KIND)
    W, _, Q = array(frame, ARGUMENTS, 1, KIND)
    b = numbers(frame, ARGUMENTS, 2, KIND)
    out = numbers(frame, RESULTS, 0, KIND)
    has_below = frame[ARGUMENT_COUNT] == 4  # it lies in ``out``: see `lowering.call`
    for m in range(M):
        row = offset(out, m * Q)
        if has_below:
            for q in range(Q):
                row[q] += b[q]
        else:
            for q in range(Q):
                row[q] = b[q]
        for n in range(N):
            value = x[m * N + n]
            if value != 0:
                of_note = offset(W, n * Q)
                for q in range(Q):
                    row[q] += value * of_note[q]


def roll_outer(frame):
    """Write ``Σ da x'`` (N, Q) of x (…, N) and da (…, Q)."""
    x, M, N = array(frame, ARGUMENTS, 0, KIND)
    da, _, Q = array(frame, ARGUMENTS, 1, KIND)
    out = numbers(frame, RESULTS, 0, KIND)
    for place in range(N * Q):
        out[place] = 0
    for m in range(M):
        row = offset(da, m * Q)
        for n in range(N):
            value = x[m * N + n]
            if value != 0:
                of_note = offset(out, n * Q)
                for q in range(Q):
                    of_note[q] += value * row[q]


@inlined
def lesser(a, b):
    """Return the lesser of two numbers; `min` calls Python in Numba 0.68."""
    return a if a < b else b


def pack(frame):
    """Write W (K, Q) in blocks of columns, (blocks K, columns), zeros at the end."""
    W, K, Q = array(frame, ARGUMENTS, 0, KIND)
    out, _, columns = array(frame, RESULTS, 0, KIND)
    for block in range((Q + columns - 1) // columns):
        first = block * columns
        full = lesser(columns, Q - first)
        for k in range(K):
            row = offset(W, k * Q + first)
            new = offset(out, (block * K + k) * columns)
            for column in range(full):
                new[column] = row[column]
            for column in range(full, columns):
                new[column] = 0


def pack_transposed(frame):
    """Write the transpose of W (Q, K) as `pack` does; a few rows at a time."""
    W, Q, K = array(frame, ARGUMENTS, 0, KIND)
    out, _, columns = array(frame, RESULTS, 0, KIND)
    for block in range((Q + columns - 1) // columns):
        new = offset(out, block * K * columns)
        full = lesser(columns, Q - block * columns)
        for start in range(0, K, 32):
            end = lesser(start + 32, K)
            for column in range(full):
                row = offset(W, (block * columns + column) * K)
                for k in range(start, end):
                    new[k * columns + column] = row[k]
            for column in range(full, columns):
                for k in range(start, end):
                    new[k * columns + column] = 0


def packed_dot(frame):
    """Write the product of rows (M, K) and a packed matrix (K, Q): (M, width).

    ``width`` is that of all blocks, Q or more; behind Q there are zeros.  A block stays
    in a near cache while all rows go by.
    """
    rows, M, K = array(frame, ARGUMENTS, 0, KIND)
    packed, _, columns = array(frame, ARGUMENTS, 1, KIND)
    out, _, width = array(frame, RESULTS, 0, KIND)
    turns = (M + ROWS - 1) // ROWS
    for block in range(width // columns):
        first = 0
        for left in range(turns, 0, -1):
            number = (M - first + left - 1) // left  # as evenly as possible
            multiply_rows(
                number,
                offset(rows, first * K),
                K,
                offset(packed, block * K * columns),
                offset(out, first * width + block * columns),
                width,
            )
            first += number


def handler_of(kernel):
    """Return what XLA calls: a kernel, or the answer to its query; 0 is no error."""

    def handler(frame):
        if not answer_version_query(frame):
            kernel(frame)
        return 0

    return handler


def object_code(group, dtype):
    """Return the machine code of a group of `KERNELS`, an object file as bytes.

    It calls nothing of Numba's or Python's: LLVM alone can link it.
    """
    kind = {"KIND": np.dtype(dtype).type(0)}
    module = llvm.parse_assembly("")
    for name in KERNELS[group]:
        function = getattr(joint, name, None) or globals()[name]
        names = function.__globals__ | kind
        found = numba.cfunc(
            types.int64(WORDS), fastmath=names["FASTMATH"], error_model="numpy"
        )(handler_of(inlined(FunctionType(function.__code__, names))))
        code = found.inspect_llvm().replace(found.native_name, name)
        kernel = llvm.parse_assembly(code)
        for called in kernel.functions:
            if called.is_declaration and not called.name.startswith(OUTSIDE):
                raise RuntimeError(f"{name} calls {called.name}")
        module.link_in(kernel)
    return host().emit_object(module)
