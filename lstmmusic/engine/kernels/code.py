"""Define the kernels, which Numba compiles and XLA calls.

A kernel reads its arrays from XLA's call frame, see `header`, and returns 0: no error.
Nothing is allocated, no thread is started and no lock is held: threads may call a
kernel at once.

Shapes: M rows (steps and tunes), N notes, K and Q columns.
"""

from itertools import chain
from types import FunctionType

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lstmmusic.engine.kernels.header import EXTENSION_METADATA, FIELDS, MAJOR
from lstmmusic.engine.kernels.host import KERNELS, ROWS, VECTOR, VECTORS, host

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
WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)
KIND = np.float32(0)  # a number, for its type: `object_code` replaces it

inlined = numba.njit(inline="always")  # LLVM links a kernel without Numba


def inttoptr(context, builder, signature, given):
    """Write the code that casts a word to the pointer type of a signature."""
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


@inlined
def array(frame, place, n, kind):
    """Return the numbers of an array, its rows, and the length of one.

    ``place`` is `ARGUMENTS` or `RESULTS`.
    """
    buffer = as_pointer(as_pointer(frame[place])[n])
    rank, dims = buffer[RANK], as_pointer(buffer[DIMS])
    rows = 1
    for axis in range(rank - 1):
        rows *= dims[axis]
    return as_numbers(buffer[DATA], kind), rows, dims[rank - 1]


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


def roll_dot(frame):
    """Write ``W x + b``, or that ``+ below``, looking only at the notes that sound.

    Of x (…, N), W (N, Q), b (Q,) and below (…, Q), whose place the result takes.
    """
    if answer_version_query(frame):
        return 0
    x, M, N = array(frame, ARGUMENTS, 0, KIND)
    W, _, Q = array(frame, ARGUMENTS, 1, KIND)
    b, _, _ = array(frame, ARGUMENTS, 2, KIND)
    out, _, _ = array(frame, RESULTS, 0, KIND)
    on_below = frame[ARGUMENT_COUNT] == 4  # which lies in ``out``, by `in_jax`
    for m in range(M):
        row = offset(out, m * Q)
        if on_below:
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
    return 0


def roll_outer(frame):
    """Write ``Σ da x'`` (N, Q) of x (…, N) and da (…, Q)."""
    if answer_version_query(frame):
        return 0
    x, M, N = array(frame, ARGUMENTS, 0, KIND)
    da, _, Q = array(frame, ARGUMENTS, 1, KIND)
    out, _, _ = array(frame, RESULTS, 0, KIND)
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
    return 0


def pack(frame):
    """Write W (K, Q) in blocks of columns, (blocks K, columns), zeros at the end."""
    if answer_version_query(frame):
        return 0
    W, K, Q = array(frame, ARGUMENTS, 0, KIND)
    out, _, columns = array(frame, RESULTS, 0, KIND)
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
    return 0


def pack_transposed(frame):
    """Write the transpose of W (Q, K) as `pack` does; a few rows at a time."""
    if answer_version_query(frame):
        return 0
    W, Q, K = array(frame, ARGUMENTS, 0, KIND)
    out, _, columns = array(frame, RESULTS, 0, KIND)
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
    return 0


def packed_dot(frame):
    """Write the product of rows (M, K) and a packed matrix (K, Q): (M, width).

    ``width`` is that of all blocks, Q or more; behind Q there are zeros.  A block stays
    in a near cache while all rows go by.
    """
    if answer_version_query(frame):
        return 0
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
    return 0


def object_code(dtype):
    """Return the machine code of `KERNELS` for a dtype, an object file as bytes.

    It calls nothing of Numba's or Python's: LLVM alone can link it.
    """
    names = globals() | {"KIND": np.dtype(dtype).type(0)}
    compiled = numba.cfunc(types.int64(WORDS), fastmath=FUSED, error_model="numpy")
    module = llvm.parse_assembly("")
    for name in KERNELS:
        found = compiled(FunctionType(globals()[name].__code__, names))
        code = found.inspect_llvm().replace(found.native_name, name)
        kernel = llvm.parse_assembly(code)
        for called in kernel.functions:
            if called.is_declaration and not called.name.startswith(OUTSIDE):
                raise RuntimeError(f"{name} calls {called.name}")
        module.link_in(kernel)
    return host().emit_object(module)
