"""Write LLVM's code for vectors, which runs and compiles faster than Numba's loops."""

from contextlib import contextmanager
from itertools import chain

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lstmmusic.engine.kernels.frame import WORD
from lstmmusic.engine.kernels.host import ROWS, UNITS, VECTOR, VECTORS


@intrinsic
def multiply_rows(context, number, rows, K, W, out, width):
    """Multiply rows, 1 to `ROWS` of K each, with a block W (K, columns).

    The sums stay in registers until all is added up.  ``width`` is that of a row of
    ``out``; the block's columns go to the first of it.
    """

    def code(context, builder, signature, given):
        cases(builder, given[0], ROWS, multiply_count, *given[1:])
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, rows, word, W, out, word), code


@intrinsic
def outer_notes(context, notes, D, dz, U, dU, units):
    """Add ``dz u`` to dU, and put ``Σ dz U ∘ u ∘ (1 − u)`` in the place of units u.

    Of a run of notes that have the same units, at whose first U and dU start.  The sums
    of 1 to `UNITS` vectors stay in registers.
    """

    def code(context, builder, signature, given):
        notes, D, dz, *starts = given
        lanes = vector_of(dz).count
        step, most = WORD(UNITS * lanes), WORD(UNITS)
        with cgutils.for_range_slice(builder, WORD(0), D, step, inc=True) as (d, _):
            left = builder.udiv(builder.sub(D, d), WORD(lanes))
            few = builder.icmp_unsigned("<", left, most)
            number = builder.select(few, left, most)
            rows = [builder.gep(start, [d]) for start in starts]
            cases(builder, number, UNITS, outer_count, notes, D, dz, *rows)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, dz, U, dU, units), code


def cases(builder, number, most, write, *given):
    """Write a case for each value, 1 to most, of a number.

    ``write`` gets the builder, that value, and what else is given.
    """
    end = builder.append_basic_block()
    choice = builder.switch(number, end)
    for count in range(1, most + 1):
        case = builder.append_basic_block()
        choice.add_case(WORD(count), case)
        builder.position_at_end(case)
        write(builder, count, *given)
        builder.branch(end)
    builder.position_at_end(end)


def multiply_count(builder, count, rows, K, W, out, width):
    """Write the code that multiplies ``count`` rows, all of them in one loop over K."""
    vector = vector_of(rows)
    fma = multiply_add(builder, vector)
    before = builder.block
    loop, end = builder.append_basic_block(), builder.append_basic_block()
    starts = [builder.gep(rows, [builder.mul(K, WORD(r))]) for r in range(count)]
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(WORD)
    sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in starts]
    row = builder.gep(W, [builder.mul(k, WORD(VECTORS * vector.count))])
    weights = load(builder, vectors(builder, row, vector, VECTORS))
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
        store(builder, of_row, vectors(builder, start, vector, VECTORS))


def outer_count(builder, count, notes, D, dz, U, dU, units):
    """Write the code of `outer_notes` for ``count`` vectors of units."""
    vector = vector_of(units)
    fma = multiply_add(builder, vector)
    u_places = vectors(builder, units, vector, count)
    u = load(builder, u_places)
    before = builder.block
    loop, after = builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    n = builder.phi(WORD)
    sums = [builder.phi(vector) for _ in u]
    value = broadcast(builder, builder.load(builder.gep(dz, [n])), vector)
    row = builder.mul(n, D)
    weights = load(builder, vectors(builder, builder.gep(U, [row]), vector, count))
    places = vectors(builder, builder.gep(dU, [row]), vector, count)
    pairs = zip(u, load(builder, places), strict=True)
    store(builder, [builder.call(fma, [value, *pair]) for pair in pairs], places)
    pairs = zip(weights, sums, strict=True)
    added = [builder.call(fma, [value, *pair]) for pair in pairs]
    n_next = builder.add(n, WORD(1))
    n.add_incoming(WORD(0), before)
    n.add_incoming(n_next, loop)
    for s, new in zip(sums, added, strict=True):
        s.add_incoming(ir.Constant(vector, None), before)
        s.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", n_next, notes), loop, after)
    builder.position_at_end(after)
    slopes = [builder.call(fma, [builder.fneg(v), v, v]) for v in u]
    pairs = zip(added, slopes, strict=True)
    store(builder, [builder.fmul(*pair) for pair in pairs], u_places)


def vector_of(numbers):
    """Return the kind of a vector of the numbers at a pointer."""
    scalar = numbers.type.pointee
    return ir.VectorType(scalar, VECTOR // (4 if scalar == ir.FloatType() else 8))


def multiply_add(builder, vector):
    """Return LLVM's function for ``a b + c`` of vectors."""
    kind = ir.FunctionType(vector, [vector] * 3)
    name = f"llvm.fmuladd.v{vector.count}f{VECTOR * 8 // vector.count}"
    return cgutils.get_or_insert_function(builder.module, kind, name)


def every(vector, value):
    """Return the constant vector that holds one number in each lane."""
    return ir.Constant(vector, [value] * vector.count)


@contextmanager
def each_vector(builder, D, *starts):
    """Write a loop over the vectors of rows of D numbers; give the places of each."""
    vector = vector_of(starts[0])
    step = WORD(vector.count)
    with cgutils.for_range_slice(builder, WORD(0), D, step, inc=True) as (d, _):
        rows = [builder.gep(start, [d]) for start in starts]
        yield [builder.bitcast(row, vector.as_pointer()) for row in rows]


def load(builder, places):
    """Return the vectors at places, whose numbers alone are aligned."""
    align = [VECTOR // place.type.pointee.count for place in places]
    return [builder.load(p, align=a) for p, a in zip(places, align, strict=True)]


def store(builder, values, places):
    """Store vectors at places, whose numbers alone are aligned."""
    for value, place in zip(values, places, strict=True):
        builder.store(value, place, align=VECTOR // value.type.count)


def vectors(builder, start, vector, count):
    """Return the places of so many vectors, one behind another."""
    starts = [WORD(v * vector.count) for v in range(count)]
    pointer = vector.as_pointer()
    return [builder.bitcast(builder.gep(start, [at]), pointer) for at in starts]


def broadcast(builder, value, vector):
    """Return a vector that holds one number in each lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, nothing, lanes)
