"""The machine code of `products`: Numba compiles it, XLA calls it.

XLA hands a target its arrays in a call frame, laid out as ``xla/ffi/api/c_api.h`` of
jaxlib says; here that is read as words of 64 bits.  Nothing is allocated, no thread is
started and no lock is held: threads may call a target at once.

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

from lstmmusic.engine.kernels.host import ROWS, VECTOR, VECTORS, host

# Of XLA_FFI_CallFrame and XLA_FFI_Buffer, which words are what.
EXTENSION, ARGUMENT_COUNT, ARGUMENTS, RESULTS = 1, 7, 9, 14
DATA, RANK, DIMS = 3, 4, 5
METADATA = 1  # a type of extension
FUSED = {"contract"}  # a product and a sum may be rounded once for both
OUTSIDE = ("llvm.", "memset", "memcpy")  # what machine code may ask for
WORD = ir.IntType(64)
WORDS = types.CPointer(types.int64)
KIND = np.float32(0)  # a number, for its type: `object_code` puts others here

inlined = numba.njit(inline="always")  # so that a target needs nothing else


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


@inlined
def shape(buffer):
    """Return (rows, length of one) of an array (…, length)."""
    rank, dims = buffer[RANK], words(buffer[DIMS])
    rows = 1
    for n in range(rank - 1):
        rows *= dims[n]
    return rows, dims[rank - 1]


@inlined
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


def roll_dot(frame):
    """Write b + x W, or below + b + x W, looking only at the notes that sound.

    Of ``x`` (…, N), ``W`` (N, Q), ``b`` (Q,) and, perhaps, ``below`` (…, Q), in whose
    place the result may come.
    """
    if asked(frame):
        return 0
    given, made = words(frame[ARGUMENTS]), words(words(frame[RESULTS])[0])
    M, N = shape(words(given[0]))
    Q = shape(made)[1]
    x = numbers(words(given[0])[DATA], KIND)
    W = numbers(words(given[1])[DATA], KIND)
    b = numbers(words(given[2])[DATA], KIND)
    out_at = made[DATA]
    on_below = frame[ARGUMENT_COUNT] == 4
    below_at = words(given[3])[DATA] if on_below else out_at
    out, below = numbers(out_at, KIND), numbers(below_at, KIND)
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
    return 0


def roll_outer(frame):
    """Write Σ x da' (N, Q) of ``x`` (…, N) and ``da`` (…, Q)."""
    if asked(frame):
        return 0
    given, made = words(frame[ARGUMENTS]), words(words(frame[RESULTS])[0])
    M, N = shape(words(given[0]))
    Q = shape(made)[1]
    x = numbers(words(given[0])[DATA], KIND)
    da = numbers(words(given[1])[DATA], KIND)
    out = numbers(made[DATA], KIND)
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
    return 0


def blocks(frame):
    """Write ``W`` (K, Q) in blocks of columns, (blocks, K, columns), zeros at the end.

    See `columns_of_block`.
    """
    if asked(frame):
        return 0
    given, made = words(frame[ARGUMENTS]), words(words(frame[RESULTS])[0])
    K, Q = shape(words(given[0]))
    columns = shape(made)[1]
    W = numbers(words(given[0])[DATA], KIND)
    out = numbers(made[DATA], KIND)
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
    return 0


def blocks_turned(frame):
    """Write the transpose of ``W`` (Q, K) as `blocks` does; a few rows at a time."""
    if asked(frame):
        return 0
    given, made = words(frame[ARGUMENTS]), words(words(frame[RESULTS])[0])
    Q, K = shape(words(given[0]))
    columns = shape(made)[1]
    W = numbers(words(given[0])[DATA], KIND)
    out = numbers(made[DATA], KIND)
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
    return 0


def step_dot(frame):
    """Write rows W, with W in blocks of columns.

    ``rows`` (M, K), ``W`` (blocks, K, columns), the result (M, blocks columns): see
    `columns_of_block`.  A block stays in a near cache while all rows go by.
    """
    if asked(frame):
        return 0
    given, made = words(frame[ARGUMENTS]), words(words(frame[RESULTS])[0])
    M, K = shape(words(given[0]))
    columns = shape(words(given[1]))[1]
    width = shape(made)[1]
    rows = numbers(words(given[0])[DATA], KIND)
    W = numbers(words(given[1])[DATA], KIND)
    out = numbers(made[DATA], KIND)
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
    return 0


TARGETS = roll_dot, roll_outer, blocks, blocks_turned, step_dot


def object_code(dtype):
    """Return the machine code of `TARGETS` for a dtype, an object file as bytes.

    It calls nothing of Numba's or Python's: LLVM alone can link it.
    """
    module = llvm.parse_assembly("")
    for target in TARGETS:
        names = target.__globals__ | {"KIND": np.dtype(dtype).type(0)}
        function = FunctionType(target.__code__, names)
        compiled = numba.cfunc(types.int64(WORDS), fastmath=FUSED, error_model="numpy")(
            function
        )
        code = compiled.inspect_llvm().replace(compiled.native_name, target.__name__)
        code = llvm.parse_assembly(code)
        for called in code.functions:
            if called.is_declaration and not called.name.startswith(OUTSIDE):
                raise RuntimeError(f"{target.__name__} calls {called.name}")
        module.link_in(code)
    return host().emit_object(module)
