"""Lower the Ops of `model.ops` to the kernels, in JAX on a CPU."""

import ctypes
import math
from itertools import chain

from lstmmusic.engine.kernels import build
from lstmmusic.engine.kernels.host import KERNELS, columns_of_block, lanes
from lstmmusic.model import ops

# A larger W is a layer's of more than 768 cells.  The product of one step then is large
# enough to be shared out to threads by XLA, and W too large to be read by each of them.
LARGEST = 4 * 768**2
DTYPES = ("float32", "float64")
_engines: dict = {}  # (group, dtype): what keeps its linked kernels in memory


def target(kernel, dtype):
    """Return the name of a kernel in XLA's programs."""
    return f"lstmmusic.{kernel}.{dtype}"


TARGETS = [target(k, dtype) for k in chain(*KERNELS.values()) for dtype in DTYPES]


def enable(group, dtype):
    """Wait for a group of kernels, and register it with XLA, once.

    Raises what `build.object_code` raises.
    """
    _engines[group, dtype] = build.link(build.object_code(group, dtype))
    register_with_xla(_engines[group, dtype], group, dtype)


def register_with_xla(engine, group, dtype):
    """Tell XLA where the kernels' handlers are."""
    import jax

    for kernel in KERNELS[group]:
        address = ctypes.c_void_p(engine.get_function_address(kernel))
        capsule = jax.ffi.pycapsule(address)
        jax.ffi.register_ffi_target(target(kernel, dtype), capsule, platform="cpu")


def is_packed(packed, K, Q):
    """Return whether a matrix (K, Q) has been packed."""
    columns = columns_of_block(packed.dtype)
    return packed.shape == (math.ceil(Q / columns) * K, columns)


def in_jax(op, *arrays):
    """Compute an Op by its kernel, in a function that JAX traces."""
    if isinstance(op, ops.GraphOp):
        return JOINT[op.kernel](*arrays)
    return PRODUCTS[type(op)](op, *arrays)


def roll_dot(op, x, W, b, *below):
    """Call the kernel for a `RollDot`."""
    aliases = {3: 0} if below else None  # the result may take the place of ``below``
    shape = *x.shape[:-1], W.shape[1]
    return call("roll_dot", shape, x, W, b, *below, aliases=aliases)


def roll_outer(op, x, da):
    """Call the kernel for a `RollOuter`."""
    return call("roll_outer", (x.shape[-1], da.shape[-1]), x, da)


def pack(op, W):
    """Call the kernel for a `Pack`, unless W is too large."""
    if W.size > LARGEST:
        return op.compute(W)
    K, Q = W.shape[::-1] if op.transposed else W.shape
    columns = columns_of_block(W.dtype)
    shape = math.ceil(Q / columns) * K, columns
    return call("pack_transposed" if op.transposed else "pack", shape, W)


def packed_dot(op, a, rows, packed):
    """Call the kernel for a `PackedDot`, if the matrix has been packed."""
    (M, K), Q = rows.shape, a.shape[-1]
    if not is_packed(packed, K, Q):
        return op.compute(a, rows, packed)
    return a + call("packed_dot", (M, packed.size // K), rows, packed)[:, :Q]


PRODUCTS = {
    ops.RollDot: roll_dot,
    ops.RollOuter: roll_outer,
    ops.Pack: pack,
    ops.PackedDot: packed_dot,
}


def joint_dot(A, k, U, V):
    """Return z (…, N) of the joint output, ``z_n = U_n · u_n``: see `joint.joint_dot`.

    Of A (…, D), k (…, N), U and V (N, D), of one dtype, notes in drawing order.
    """
    A, U, V = pad_units(A, U, V)
    z, _ = call("joint_dot", (k.shape, (2, A.shape[-1])), A, k, U, V)
    return z


def joint_outer(dz, A, k, U, V):
    """Return dA (…, D), dU and dV (N, D) of dz (…, N): see `joint.joint_outer`.

    Of A (…, D), k (…, N), U and V (N, D), of one dtype, notes in drawing order.
    """
    N, D = U.shape
    A, U, V = pad_units(A, U, V)
    shapes = A.shape, U.shape, U.shape, (N + 1, A.shape[-1])
    *found, _ = call("joint_outer", shapes, dz, A, k, U, V)
    return tuple(derivative[..., :D] for derivative in found)


def joint_draw(Y, bound, L, A=None, U=None, V=None):
    """Return drawn chords (…, N) and their s (…, N): see `joint.joint_draw`.

    Of Y and bound (…, N), A (…, D), U and V (N, D) and L (N, N), of one dtype, notes in
    drawing order.  A, U and V are None where there are no units.
    """
    import jax.numpy as jnp

    if A is None:
        A = jnp.zeros((1, 0), Y.dtype)
        U = V = A
    A, U, V = pad_units(A, U, V)
    shapes = Y.shape, Y.shape, (2, A.shape[-1])
    chord, s, _ = call("joint_draw", shapes, Y, A, bound, U, V, L)
    return chord, s


JOINT = {f.__name__: f for f in (joint_dot, joint_outer, joint_draw)}


def pad_units(*arrays):
    """Return arrays (…, D) with zeros behind D, up to whole vectors.

    They change nothing: of U, V and A zeros give a derivative of zero.
    """
    import jax.numpy as jnp

    first = arrays[0]
    missing = -first.shape[-1] % lanes(first.dtype)
    if not missing:
        return arrays
    return [
        jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) for array in arrays
    ]


def call(kernel, shape, *arrays, aliases=None):
    """Call a kernel in a function that JAX traces.

    ``shape`` is that of the result, or a tuple of those of several.  ``aliases`` says
    which argument's memory which result may take.
    """
    import jax

    dtype = str(arrays[0].dtype)
    several = isinstance(shape[0], tuple)
    results = [jax.ShapeDtypeStruct(s, dtype) for s in (shape if several else [shape])]
    run = jax.ffi.ffi_call(
        target(kernel, dtype),
        results if several else results[0],
        input_output_aliases=aliases,
    )
    return run(*arrays)
