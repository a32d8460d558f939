"""Call the kernels in functions that Numba compiles.

A kernel gets addresses.  So its arrays are arguments of a function that only calls it:
the caller keeps them until that returns.
"""

import numpy as np
from numba import types
from pytensor.link.numba.dispatch.basic import numba_njit

from lstmmusic.engine.kernels import build
from lstmmusic.engine.kernels.host import KERNELS, columns_of_block
from lstmmusic.engine.kernels.lowering import LARGEST
from lstmmusic.model import ops


def in_numba(op, dtype):
    """Return a function that computes an Op by its kernel."""
    if isinstance(op, ops.Pack):
        return pack(op.transposed, dtype)
    make = {ops.RollDot: roll_dot, ops.RollOuter: roll_outer, ops.PackedDot: packed_dot}
    return make[type(op)](dtype)


def external(kernel, dtype):
    """Return a kernel as Numba calls what is outside: by the symbol LLVM knows."""
    signature = types.void(*[types.int64] * KERNELS[kernel])
    return types.ExternalFunction(build.symbols(dtype)[kernel], signature)


def roll_dot(dtype):
    """Return a function that computes a `RollDot`."""
    kernel = external("roll_dot", dtype)

    @numba_njit
    def call(x, W, b, out, on_out):
        N, Q = W.shape
        at = out.ctypes.data
        below = at if on_out else 0
        given = x.ctypes.data, W.ctypes.data, b.ctypes.data
        kernel(given[0], given[1], given[2], below, at, x.size // N, N, Q)

    @numba_njit
    def compute(x, W, b, *below):
        out = np.empty(x.shape[:-1] + (W.shape[1],), x.dtype)  # noqa: RUF005
        if len(below):
            out[...] = below[0]
        W, b = np.ascontiguousarray(W), np.ascontiguousarray(b)
        call(np.ascontiguousarray(x), W, b, out, len(below) > 0)
        return out

    return compute


def roll_outer(dtype):
    """Return a function that computes a `RollOuter`."""
    kernel = external("roll_outer", dtype)

    @numba_njit
    def call(x, da, out):
        N, Q = out.shape
        given = x.ctypes.data, da.ctypes.data
        kernel(given[0], given[1], out.ctypes.data, x.size // N, N, Q)

    @numba_njit
    def compute(x, da):
        out = np.empty((x.shape[-1], da.shape[-1]), x.dtype)
        call(np.ascontiguousarray(x), np.ascontiguousarray(da), out)
        return out

    return compute


def pack(transposed, dtype):
    """Return a function that computes a `Pack`."""
    kernel = external("pack_transposed" if transposed else "pack", dtype)
    columns = columns_of_block(dtype)

    @numba_njit
    def call(W, out, K, Q):
        kernel(W.ctypes.data, out.ctypes.data, K, Q, columns)

    @numba_njit
    def compute(W):
        if W.size > LARGEST:
            return np.ascontiguousarray(W.T if transposed else W)
        K, Q = W.shape[::-1] if transposed else W.shape
        out = np.empty(((Q + columns - 1) // columns * K, columns), W.dtype)
        call(np.ascontiguousarray(W), out, K, Q)
        return out

    return compute


def packed_dot(dtype):
    """Return a function that computes a `PackedDot`."""
    kernel = external("packed_dot", dtype)
    columns = columns_of_block(dtype)

    @numba_njit
    def call(rows, packed, out):
        (M, K), width = rows.shape, out.shape[1]
        given = rows.ctypes.data, packed.ctypes.data
        kernel(given[0], given[1], out.ctypes.data, M, K, width, columns)

    @numba_njit
    def compute(a, rows, packed):
        (M, K), Q = rows.shape, a.shape[-1]
        width = (Q + columns - 1) // columns * columns
        if packed.size != K * width or packed.shape[1] != columns:
            return a + np.dot(rows, packed)
        out = np.empty((M, width), rows.dtype)
        call(np.ascontiguousarray(rows), np.ascontiguousarray(packed), out)
        return a + out[:, :Q]

    return compute
