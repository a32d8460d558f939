"""The machine code of `products`: Numba compiles it, XLA calls it.

XLA hands a target its arrays in a call frame, laid out as ``xla/ffi/api/c_api.h`` of
jaxlib says; here that is read as words of 64 bits.  Nothing is allocated, no thread is
started and no lock is held: threads may call a target at once.

Shapes: M rows (steps and tunes), N notes, K and Q columns.  ``kind`` is a number, by
whose type a function is compiled for float32 or float64.

All is in one file, as Numba takes what it keeps on disk for new by its file's date.
"""

from functools import cache
from itertools import chain

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Of XLA_FFI_CallFrame and XLA_FFI_Buffer, which words are what.
EXTENSION, ARGUMENT_COUNT, ARGUMENTS, RESULTS = 1, 7, 9, 14
DATA, RANK, DIMS = 3, 4, 5
METADATA = 1  # a type of extension
FUSED = {"contract"}  # a product and a sum may be rounded once for both
WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)


def compiled_for(feature):
    """Whether Numba compiles for a feature: of this CPU, or of the one it was told."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES is not None:
        return f"+{feature}" in (numba.config.CPU_FEATURES or "")
    return llvm.get_host_cpu_features().get(feature, False)


# Bytes of a vector, vectors beside one another, and rows at once, for which
# `multiply_rows` keeps sums: in 12 of 16 registers with AVX, in 16 of 32 with AVX-512.
VECTOR, VECTORS, ROWS = (64, 2, 8) if compiled_for("avx512f") else (32, 3, 4)


def columns_of_block(dtype):
    """Return how many columns of a matrix stand together for `step_dot`."""
    return VECTORS * VECTOR // np.dtype(dtype).itemsize


def inttoptr(context, builder, signature, given):
    return builder.inttoptr(given[0], context.get_value_type(signature.return_type))


@intrinsic
def words(context, word):
    """Take a word for the address of words."""
    return WORDS(types.int64), inttoptr


@intrinsic
def numbers(context, word, kind):
    """Take a word for the address of numbers of a kind."""
    return types.CPointer(kind)(types.int64, kind), inttoptr


@intrinsic
def further(context, start, number):
    """Return the address so many numbers further on."""

    def code(context, builder, signature, given):
        return builder.gep(given[0], [given[1]])

    return start(start, types.int64), code


@intrinsic
def multiply_rows(context, number, rows, K, W, out, width):
    """Multiply rows, 1 to `ROWS` of K each, with a block W (K, columns).

    The sums stay in registers until all is added up.  ``width`` is that of a row of
    ``out``; the block's columns go to the first of it.
    """
    item = rows.dtype.bitwidth // 8
    lanes = VECTOR // item
    scalar = {4: ir.FloatType(), 8: ir.DoubleType()}[item]
    vector = ir.VectorType(scalar, lanes)
    nothing = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)

    def vectors(builder, start):
        for v in range(VECTORS):
            place = builder.gep(start, [WORD(v * lanes)])
            yield builder.bitcast(place, vector.as_pointer())

    def multiply(builder, fma, number, rows, K, W, out, width):
        before = builder.block
        loop, end = builder.append_basic_block(), builder.append_basic_block()
        starts = [builder.gep(rows, [builder.mul(K, WORD(r))]) for r in range(number)]
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(WORD)
        sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in starts]
        row = builder.gep(W, [builder.mul(k, WORD(VECTORS * lanes))])
        weights = [builder.load(p, align=item) for p in vectors(builder, row)]
        added = []
        for start, of_row in zip(starts, sums, strict=True):
            value = builder.load(builder.gep(start, [k]))
            value = builder.insert_element(nothing, value, ir.IntType(32)(0))
            value = builder.shuffle_vector(value, nothing, zeros)
            pairs = zip(weights, of_row, strict=True)
            added.append([builder.call(fma, [value, w, s]) for w, s in pairs])
        k_next = builder.add(k, WORD(1))
        k.add_incoming(WORD(0), before)
        k.add_incoming(k_next, loop)
        for s, new in zip(chain(*sums), chain(*added), strict=True):
            s.add_incoming(ir.Constant(vector, None), before)
            s.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", k_next, K), loop, end)
        builder.position_at_end(end)
        for r, of_row in enumerate(added):
            start = builder.gep(out, [builder.mul(width, WORD(r))])
            for place, new in zip(vectors(builder, start), of_row, strict=True):
                builder.store(new, place, align=item)

    def code(context, builder, signature, given):
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{lanes}f{8 * item}"
        fma = cgutils.get_or_insert_function(builder.module, kind, name)
        end = builder.append_basic_block()
        choice = builder.switch(given[0], end)
        for count in range(1, ROWS + 1):
            case = builder.append_basic_block()
            choice.add_case(WORD(count), case)
            builder.position_at_end(case)
            multiply(builder, fma, count, *given[1:])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, rows, word, W, out, word), code


@numba.njit
def argument(frame, n):
    return words(words(frame[ARGUMENTS])[n])


@numba.njit
def result(frame):
    return words(words(frame[RESULTS])[0])


@numba.njit
def shape(buffer):
    """Return (rows, length of one) of an array (…, length)."""
    rank, dims = buffer[RANK], words(buffer[DIMS])
    rows = 1
    for n in range(rank - 1):
        rows *= dims[n]
    return rows, dims[rank - 1]


@numba.njit(fastmath=FUSED)
def roll_dot(frame, kind):
    """Write b + x W, or below + b + x W, looking only at the notes that sound.

    Of ``x`` (…, N), ``W`` (N, Q), ``b`` (Q,) and, perhaps, ``below`` (…, Q), in whose
    place the result may come.
    """
    M, N = shape(argument(frame, 0))
    Q = shape(result(frame))[1]
    x = numbers(argument(frame, 0)[DATA], kind)
    W = numbers(argument(frame, 1)[DATA], kind)
    b = numbers(argument(frame, 2)[DATA], kind)
    out_at = result(frame)[DATA]
    on_below = frame[ARGUMENT_COUNT] == 4
    below_at = argument(frame, 3)[DATA] if on_below else out_at
    out, below = numbers(out_at, kind), numbers(below_at, kind)
    for m in range(M):
        row = further(out, m * Q)
        if not on_below:
            for q in range(Q):
                row[q] = b[q]
        elif below_at == out_at:  # by one name, or LLVM would not use vectors
            for q in range(Q):
                row[q] += b[q]
        else:
            for q in range(Q):
                row[q] = below[m * Q + q] + b[q]
        for n in range(N):
            value = x[m * N + n]
            if value != 0:
                of_note = further(W, n * Q)
                for q in range(Q):
                    row[q] += value * of_note[q]


@numba.njit(fastmath=FUSED)
def roll_outer(frame, kind):
    """Write Σ x da' (N, Q) of ``x`` (…, N) and ``da`` (…, Q)."""
    M, N = shape(argument(frame, 0))
    Q = shape(result(frame))[1]
    x = numbers(argument(frame, 0)[DATA], kind)
    da = numbers(argument(frame, 1)[DATA], kind)
    out = numbers(result(frame)[DATA], kind)
    for place in range(N * Q):
        out[place] = 0
    for m in range(M):
        row = further(da, m * Q)
        for n in range(N):
            value = x[m * N + n]
            if value != 0:
                of_note = further(out, n * Q)
                for q in range(Q):
                    of_note[q] += value * row[q]


@numba.njit
def blocks(frame, kind):
    """Write ``W`` (K, Q) in blocks of columns, (blocks, K, columns), zeros at the end.

    See `columns_of_block`.
    """
    K, Q = shape(argument(frame, 0))
    columns = shape(result(frame))[1]
    W = numbers(argument(frame, 0)[DATA], kind)
    out = numbers(result(frame)[DATA], kind)
    for block in range((Q + columns - 1) // columns):
        first = block * columns
        full = min(columns, Q - first)
        for k in range(K):
            row = further(W, k * Q + first)
            new = further(out, (block * K + k) * columns)
            for column in range(full):
                new[column] = row[column]
            for column in range(full, columns):
                new[column] = 0


@numba.njit
def blocks_turned(frame, kind):
    """Write the transpose of ``W`` (Q, K) as `blocks` does; a few rows at a time."""
    Q, K = shape(argument(frame, 0))
    columns = shape(result(frame))[1]
    W = numbers(argument(frame, 0)[DATA], kind)
    out = numbers(result(frame)[DATA], kind)
    for block in range((Q + columns - 1) // columns):
        new = further(out, block * K * columns)
        full = min(columns, Q - block * columns)
        for start in range(0, K, 32):
            end = min(start + 32, K)
            for column in range(full):
                row = further(W, (block * columns + column) * K)
                for k in range(start, end):
                    new[k * columns + column] = row[k]
            for column in range(full, columns):
                for k in range(start, end):
                    new[k * columns + column] = 0


@numba.njit
def step_dot(frame, kind):
    """Write rows W, with W in blocks of columns.

    ``rows`` (M, K), ``W`` (blocks, K, columns), the result (M, blocks columns): see
    `columns_of_block`.  A block stays in a near cache while all rows go by.
    """
    M, K = shape(argument(frame, 0))
    columns = shape(argument(frame, 1))[1]
    width = shape(result(frame))[1]
    rows = numbers(argument(frame, 0)[DATA], kind)
    W = numbers(argument(frame, 1)[DATA], kind)
    out = numbers(result(frame)[DATA], kind)
    turns = (M + ROWS - 1) // ROWS
    for block in range(width // columns):
        first = 0
        for left in range(turns, 0, -1):
            number = (M - first + left - 1) // left  # as evenly as can be
            multiply_rows(
                number,
                further(rows, first * K),
                K,
                further(W, block * K * columns),
                further(out, first * width + block * columns),
                width,
            )
            first += number


@numba.njit
def asked(frame):
    """Whether XLA only asks for which version of its interface this is; answer it."""
    extension = frame[EXTENSION]
    while extension != 0:  # size, type, next, what it holds
        if words(extension)[1] & 0xFFFFFFFF == METADATA:
            version = words(words(extension)[3])
            version[3] = 1 << 32  # major 0, minor 1
            return True
        extension = words(extension)[2]
    return False


# Written out: what a function in a function refers to, Numba does not find on disk.


def roll_dot_float32(frame):
    if not asked(frame):
        roll_dot(frame, np.float32(0))
    return 0


def roll_dot_float64(frame):
    if not asked(frame):
        roll_dot(frame, np.float64(0))
    return 0


def roll_outer_float32(frame):
    if not asked(frame):
        roll_outer(frame, np.float32(0))
    return 0


def roll_outer_float64(frame):
    if not asked(frame):
        roll_outer(frame, np.float64(0))
    return 0


def blocks_float32(frame):
    if not asked(frame):
        blocks(frame, np.float32(0))
    return 0


def blocks_float64(frame):
    if not asked(frame):
        blocks(frame, np.float64(0))
    return 0


def blocks_turned_float32(frame):
    if not asked(frame):
        blocks_turned(frame, np.float32(0))
    return 0


def blocks_turned_float64(frame):
    if not asked(frame):
        blocks_turned(frame, np.float64(0))
    return 0


def step_dot_float32(frame):
    if not asked(frame):
        step_dot(frame, np.float32(0))
    return 0


def step_dot_float64(frame):
    if not asked(frame):
        step_dot(frame, np.float64(0))
    return 0


@cache
def target(name, dtype):
    """Return the C function of an XLA_FFI_CallFrame, which Numba keeps on disk."""
    function, signature = globals()[f"{name}_{dtype}"], types.int64(WORDS)
    try:
        return numba.cfunc(signature, cache=True)(function)
    except Exception:  # nowhere to write, a full disk, a damaged file
        return numba.cfunc(signature)(function)
