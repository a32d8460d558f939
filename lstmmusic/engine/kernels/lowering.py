"""Lower the Ops of `model.ops` to the kernels, in JAX on a CPU."""

import ctypes
import math

from lstmmusic.engine.kernels import build
from lstmmusic.engine.kernels.host import KERNELS, columns_of_block
from lstmmusic.model import ops

# A larger W is a layer's of more than 768 cells.  The product of one step then is large
# enough to be shared out to threads by XLA, and W too large to be read by each of them.
LARGEST = 4 * 768**2
DTYPES = ("float32", "float64")
_engines: dict = {}  # dtype: what keeps its linked kernels in memory


def target(kernel, dtype):
    """Return the name of a kernel in XLA's programs."""
    return f"lstmmusic.{kernel}.{dtype}"


TARGETS = [target(kernel, dtype) for kernel in KERNELS for dtype in DTYPES]


def enable(dtype):
    """Wait for the kernels for a dtype, and register them with XLA, once.

    Raises what `build.object_code` raises.
    """
    _engines[dtype] = build.link(build.object_code(dtype))
    register_with_xla(_engines[dtype], dtype)


def register_with_xla(engine, dtype):
    """Tell XLA where the kernels' handlers are."""
    import jax

    for kernel in KERNELS:
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
    if isinstance(op, ops.RollDot):
        return call("roll_dot", (*first.shape[:-1], arrays[1].shape[1]), *arrays)
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


def call(kernel, shape, *arrays):
    """Call a kernel in a function that JAX traces."""
    import jax

    dtype = str(arrays[0].dtype)
    run = jax.ffi.ffi_call(
        target(kernel, dtype),
        jax.ShapeDtypeStruct(shape, dtype),
        input_output_aliases={3: 0} if len(arrays) == 4 else None,  # `below`
    )
    return run(*arrays)
