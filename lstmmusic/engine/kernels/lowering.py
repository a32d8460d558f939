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
    """Tell whether a matrix (K, Q) was laid out for `packed_dot`, or is as it was."""
    columns = columns_of_block(packed.dtype)
    return packed.shape == (math.ceil(Q / columns) * K, columns)


def in_jax(op, *arrays):
    """Compute an Op by its kernel, in a function that JAX traces."""
    first, last = arrays[0], arrays[-1]
    if isinstance(op, ops.GraphOp):
        return JOINT[op.kernel](*arrays)
    if isinstance(op, ops.RollDot):
        shape = *first.shape[:-1], arrays[1].shape[1]
        on_below = {3: 0} if len(arrays) == 4 else None
        return call("roll_dot", shape, *arrays, aliases=on_below)
    if isinstance(op, ops.RollOuter):
        return call("roll_outer", (first.shape[-1], last.shape[-1]), *arrays)
    if isinstance(op, ops.Pack) and first.size <= LARGEST:
        K, Q = first.shape[::-1] if op.transposed else first.shape
        columns = columns_of_block(first.dtype)
        shape = math.ceil(Q / columns) * K, columns
        return call("pack_transposed" if op.transposed else "pack", shape, first)
    if isinstance(op, ops.PackedDot):
        a, rows, packed = arrays
        (M, K), Q = rows.shape, a.shape[-1]
        if is_packed(packed, K, Q):
            shape = M, packed.size // K
            return a + call("packed_dot", shape, rows, packed)[:, :Q]
    return op.compute(*arrays)


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
