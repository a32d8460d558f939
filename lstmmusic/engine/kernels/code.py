"""The kernels: Numba compiles them; XLA, and Numba's other functions, call them.

A kernel takes addresses and sizes, all of them 64 bits: from XLA by `handlers`.
Nothing is allocated, no thread is started and no lock is held: threads may call a
kernel at once.

Shapes: M rows (steps and tunes), N notes, K and Q columns.
"""

from itertools import chain

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lstmmusic.engine.kernels.host import ROWS, VECTOR, VECTORS

WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)
KIND = np.float32(0)  # a number, for its type: `handlers` replaces it


def inttoptr(context, builder, signature, given):
    """Write the code of a cast."""
    return builder.inttoptr(given[0], context.get_value_type(signature.return_type))


@intrinsic
def as_pointer(context, word):
    """Cast a word to a pointer to words."""
    return WORDS(types.int64), inttoptr


@intrinsic
def as_numbers(context, word, kind):
    """Cast a word to a pointer to numbers of a kind."""
    return types.CPointer(kind)(types.int64, kind), inttoptr


@intrinsic
def offset(context, start, number):
    """Return the pointer so many numbers after another."""

    def code(context, builder, signature, given):
        return builder.gep(given[0], [given[1]])

    return start(start, types.int64), code


@intrinsic
def multiply_rows(context, number, rows, K, W, out, width):
    """Multiply rows, 1 to `ROWS` of K each, with a block W (K, columns).

    The sums stay in registers until all is added up.  ``width`` is that of a row of
    ``out``; the block's columns go to the first of it.
    """
    scalar = {32: ir.FloatType(), 64: ir.DoubleType()}[rows.dtype.bitwidth]
    vector = ir.VectorType(scalar, VECTOR * 8 // rows.dtype.bitwidth)

    def code(context, builder, signature, given):
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{vector.count}f{rows.dtype.bitwidth}"
        fma = cgutils.get_or_insert_function(builder.module, kind, name)
        end = builder.append_basic_block()
        choice = builder.switch(given[0], end)
        for count in range(1, ROWS + 1):
            case = builder.append_basic_block()
            choice.add_case(WORD(count), case)
            builder.position_at_end(case)
            multiply_count(builder, fma, count, *given[1:])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, rows, word, W, out, word), code


def multiply_count(builder, fma, count, rows, K, W, out, width):
    """Write the code that multiplies ``count`` rows, all of them in one loop over K."""
    vector = fma.ftype.return_type
    before = builder.block
    loop, end = builder.append_basic_block(), builder.append_basic_block()
    starts = [builder.gep(rows, [builder.mul(K, WORD(r))]) for r in range(count)]
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(WORD)
    sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in starts]
    row = builder.gep(W, [builder.mul(k, WORD(VECTORS * vector.count))])
    places = vectors(builder, row, vector)
    weights = [builder.load(place, align=VECTOR // vector.count) for place in places]
    added = []
    for start, of_row in zip(starts, sums, strict=True):
        value = broadcast(builder, builder.load(builder.gep(start, [k])), vector)
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
        for place, new in zip(vectors(builder, start, vector), of_row, strict=True):
            builder.store(new, place, align=VECTOR // vector.count)


def vectors(builder, start, vector):
    """Return the places of the vectors of a block's row, from its start."""
    starts = [WORD(v * vector.count) for v in range(VECTORS)]
    pointer = vector.as_pointer()
    return [builder.bitcast(builder.gep(start, [at]), pointer) for at in starts]


def broadcast(builder, value, vector):
    """Return a vector that holds one number in each lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, nothing, lanes)


def roll_dot(x, W, b, below, out, M, N, Q):
    """Write ``W x + b``, or that ``+ below``, looking only at the notes that sound.

    Of x (M, N), W (N, Q), b (Q,) and below (M, Q), which may lie where ``out`` does; 0
    is for none.
    """
    on_below, in_place = below != 0, below == out
    x, W, b = as_numbers(x, KIND), as_numbers(W, KIND), as_numbers(b, KIND)
    below, out = as_numbers(below, KIND), as_numbers(out, KIND)
    for m in range(M):
        row = offset(out, m * Q)
        if not on_below:
            for q in range(Q):
                row[q] = b[q]
        elif in_place:  # by one name, or LLVM would not use vectors
            for q in range(Q):
                row[q] += b[q]
        else:
            for q in range(Q):
                row[q] = below[m * Q + q] + b[q]
        for n in range(N):
            value = x[m * N + n]
            if value != 0:
                of_note = offset(W, n * Q)
                for q in range(Q):
                    row[q] += value * of_note[q]


def roll_outer(x, da, out, M, N, Q):
    """Write ``Σ da x'`` (N, Q) of x (M, N) and da (M, Q)."""
    x, da, out = as_numbers(x, KIND), as_numbers(da, KIND), as_numbers(out, KIND)
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


def pack(W, out, K, Q, columns):
    """Write W (K, Q) in blocks of columns, (blocks K, columns), zeros at the end."""
    W, out = as_numbers(W, KIND), as_numbers(out, KIND)
    for block in range((Q + columns - 1) // columns):
        first = block * columns
        full = min(columns, Q - first)
        for k in range(K):
            row = offset(W, k * Q + first)
            new = offset(out, (block * K + k) * columns)
            for column in range(full):
                new[column] = row[column]
            for column in range(full, columns):
                new[column] = 0


def pack_transposed(W, out, K, Q, columns):
    """Write the transpose of W (Q, K) as `pack` does; a few rows at a time."""
    W, out = as_numbers(W, KIND), as_numbers(out, KIND)
    for block in range((Q + columns - 1) // columns):
        new = offset(out, block * K * columns)
        full = min(columns, Q - block * columns)
        for start in range(0, K, 32):
            end = min(start + 32, K)
            for column in range(full):
                row = offset(W, (block * columns + column) * K)
                for k in range(start, end):
                    new[k * columns + column] = row[k]
            for column in range(full, columns):
                for k in range(start, end):
                    new[k * columns + column] = 0


def packed_dot(rows, packed, out, M, K, width, columns):
    """Write the product of rows (M, K) and a packed matrix (K, Q): (M, width).

    ``width`` is that of all blocks, Q or more; behind Q there are zeros.  A block stays
    in a near cache while all rows go by.
    """
    rows, packed = as_numbers(rows, KIND), as_numbers(packed, KIND)
    out = as_numbers(out, KIND)
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
