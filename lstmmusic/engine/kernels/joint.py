"""Define the kernels of the joint output, a NADE: `code` says what a kernel is.

With ``a_n = A + Σ_{m<n} k_m V_m`` and units ``u_n = σ(a_n)``, of notes n in the order
in which they are drawn.  The units change only behind a note that sounds, so they are
computed once for each run of notes that ends with one.

Shapes: M rows (steps and tunes), N notes, D units, a multiple of `host.lanes`.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lstmmusic.engine.kernels.frame import (
    ARGUMENTS,
    RESULTS,
    array,
    inlined,
    numbers,
    offset,
)
from lstmmusic.engine.kernels.vectors import (
    broadcast,
    each_vector,
    every,
    load,
    multiply_add,
    outer_notes,
    store,
)

FASTMATH = {"contract", "reassoc"}  # so LLVM makes vectors of a sum over units
KIND = np.float32(0)  # a number, for its type: `object_code` replaces it

# By the width of a number, for `sigmoid`: of 2^i the exponent's bias and place, and how
# many terms of 2^f = Σ_j (f ln 2)^j / j!, |f| <= 1/2, give the last bit.
BIAS, MANTISSA, TERMS = {32: 127, 64: 1023}, {32: 23, 64: 52}, {32: 8, 64: 14}
LARGEST = 126.0  # 2^126 is a float32; σ is then 1e-38


def sigmoid(builder, x):
    """Return σ of a vector x, to 1e-7 (float32) or 2e-16 (float64); NaN of NaN.

    σ(x) = 1 / (1 + 2^t), t = -x / ln 2, and 2^t = 2^i 2^f, i an integer.
    """
    kind = x.type
    bits = 32 if isinstance(kind.element, ir.FloatType) else 64
    int32, word = (ir.VectorType(ir.IntType(b), kind.count) for b in (32, bits))
    t = builder.fmul(x, every(kind, -1 / math.log(2)))
    for order, limit in (("<", every(kind, -LARGEST)), (">", every(kind, LARGEST))):
        t = builder.select(builder.fcmp_ordered(order, t, limit), limit, t)
    # Positive, so a conversion rounds it down.
    i = builder.fptosi(builder.fadd(t, every(kind, BIAS[bits] + 0.5)), int32)
    whole = builder.sitofp(builder.sub(i, every(int32, BIAS[bits])), kind)
    f = builder.fsub(t, whole)
    fma = multiply_add(builder, kind)
    power = every(kind, 0.0)
    for j in reversed(range(TERMS[bits])):
        coefficient = every(kind, math.log(2) ** j / math.factorial(j))
        power = builder.call(fma, [power, f, coefficient])
    i = i if bits == 32 else builder.zext(i, word)
    scale = builder.bitcast(builder.shl(i, every(word, MANTISSA[bits])), kind)
    one = every(kind, 1.0)
    return builder.fdiv(one, builder.fadd(one, builder.fmul(power, scale)))


@intrinsic
def start_units(context, D, A, a, u):
    """Write a = A, and the units u = σ(a)."""

    def code(context, builder, signature, given):
        D, *starts = given
        with each_vector(builder, D, *starts) as (A, a, u):
            value = load(builder, [A])
            store(builder, [*value, sigmoid(builder, *value)], [a, u])
        return context.get_dummy_value()

    return types.void(types.int64, A, a, u), code


@intrinsic
def change_units(context, D, value, V, a, u):
    """Add ``value V`` to a, behind a note that sounds, and write the units u = σ(a)."""

    def code(context, builder, signature, given):
        D, value, *starts = given
        with each_vector(builder, D, *starts) as (V, a, u):
            kind = V.type.pointee
            fma = multiply_add(builder, kind)
            weights, sums = load(builder, [V, a])
            new = builder.call(fma, [broadcast(builder, value, kind), weights, sums])
            store(builder, [new, sigmoid(builder, new)], [a, u])
        return context.get_dummy_value()

    return types.void(types.int64, V.dtype, V, a, u), code


@inlined
def dot(U, u, D, zero):
    """Return the product of two rows of D numbers."""
    total = zero
    for d in range(D):
        total += U[d] * u[d]
    return total


def joint_dot(frame):
    """Write z (…, N), ``z_n = U_n · u_n``, of A (…, D), k (…, N), U and V (N, D).

    The second result, (2, D), is scratch memory.
    """
    A, M, D = array(frame, ARGUMENTS, 0, KIND)
    k, _, N = array(frame, ARGUMENTS, 1, KIND)
    U = numbers(frame, ARGUMENTS, 2, KIND)
    V = numbers(frame, ARGUMENTS, 3, KIND)
    z = numbers(frame, RESULTS, 0, KIND)
    a = numbers(frame, RESULTS, 1, KIND)
    u = offset(a, D)
    for m in range(M):
        start_units(D, offset(A, m * D), a, u)
        for n in range(N):
            z[m * N + n] = dot(offset(U, n * D), u, D, KIND)
            value = k[m * N + n]
            if value != 0:
                change_units(D, value, offset(V, n * D), a, u)


def joint_outer(frame):
    """Write dA (…, D), dU and dV (N, D) of dz (…, N), A, k, U and V.

    ``da_n = dz_n U_n ∘ u_n ∘ (1 − u_n)``, ``dA = Σ_n da_n``, and summed over rows
    ``dU_n = Σ dz_n u_n``, ``dV_m = Σ k_m Σ_{n>m} da_n``.  The fourth result,
    (N + 1, D), is scratch memory: a, and for each run of notes first u, then Σ da_n.
    """
    dz, M, N = array(frame, ARGUMENTS, 0, KIND)
    A, _, D = array(frame, ARGUMENTS, 1, KIND)
    k = numbers(frame, ARGUMENTS, 2, KIND)
    U = numbers(frame, ARGUMENTS, 3, KIND)
    V = numbers(frame, ARGUMENTS, 4, KIND)
    dA = numbers(frame, RESULTS, 0, KIND)
    dU = numbers(frame, RESULTS, 1, KIND)
    dV = numbers(frame, RESULTS, 2, KIND)
    a = numbers(frame, RESULTS, 3, KIND)
    runs = offset(a, D)
    for place in range(N * D):
        dU[place] = 0
        dV[place] = 0
    for m in range(M):
        first, last = 0, 0  # note of a run, and run
        start_units(D, offset(A, m * D), a, runs)
        for n in range(N):
            value = k[m * N + n]
            if value != 0 or n == N - 1:
                of_row = offset(dz, m * N + first)
                weights, sums = offset(U, first * D), offset(dU, first * D)
                units = offset(runs, last * D)
                outer_notes(n + 1 - first, D, of_row, weights, sums, units)
                if n < N - 1:
                    first, last = n + 1, last + 1
                    change_units(D, value, offset(V, n * D), a, offset(units, D))
        sum_later(last, N - 2, D, offset(k, m * N), runs, dV)
        for d in range(D):
            dA[m * D + d] = runs[d]


@inlined
def sum_later(last, n, D, k, runs, dV):
    """Form suffix sums over the runs; add each to dV of the note before its run.

    ``n`` is the last note that another one may follow.
    """
    while last > 0:
        while k[n] == 0:
            n -= 1
        later, run = offset(runs, last * D), offset(runs, (last - 1) * D)
        of_note = offset(dV, n * D)
        value = k[n]
        for d in range(D):
            of_note[d] += value * later[d]
            run[d] += later[d]
        n -= 1
        last -= 1


def joint_draw(frame):
    """Draw the notes of rows, in order: write chords (…, N) and s (…, N).

    ``s_n = Y_n + U_n · u_n + Σ_{m<n} L_nm k_m`` of Y (…, N) and L (N, N), which is
    strictly lower triangular; ``k_n = 1`` if ``s_n > bound_n``, of bound (…, N), else
    0.  A (…, D) and U, V (N, D) give the units; D may be 0.  The third result, (2, D),
    is scratch memory.
    """
    Y, M, N = array(frame, ARGUMENTS, 0, KIND)
    A, _, D = array(frame, ARGUMENTS, 1, KIND)
    bound = numbers(frame, ARGUMENTS, 2, KIND)
    U = numbers(frame, ARGUMENTS, 3, KIND)
    V = numbers(frame, ARGUMENTS, 4, KIND)
    L = numbers(frame, ARGUMENTS, 5, KIND)
    chord = numbers(frame, RESULTS, 0, KIND)
    s = numbers(frame, RESULTS, 1, KIND)
    a = numbers(frame, RESULTS, 2, KIND)
    u = offset(a, D)
    for place in range(M * N):
        s[place] = Y[place]
        chord[place] = 0
    for m in range(M):
        start_units(D, offset(A, m * D), a, u)
        for n in range(N):
            place = m * N + n
            s[place] += dot(offset(U, n * D), u, D, KIND)
            if s[place] > bound[place]:
                chord[place] = 1
                change_units(D, chord[place], offset(V, n * D), a, u)
                for later in range(n + 1, N):
                    s[m * N + later] += L[later * N + n]
