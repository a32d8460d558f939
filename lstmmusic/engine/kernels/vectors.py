"""Write LLVM's code for vectors: what Numba's loops do not keep in registers."""

from itertools import chain

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lstmmusic.engine.kernels.host import ROWS, VECTOR, VECTORS

WORD = ir.IntType(64)


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
