"""The products of the passes that a CPU has faster than as one matrix product.

A piano-roll is nearly all zeros, and the weights of a scan are the same at each step:
`COMPILED` makes use of both, by `kernels`, where JAX computes on a CPU.  `PLAIN` is
what it stands for, for everything else.
"""

import ctypes
import math
import warnings
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

PREFIX = "lstmmusic."  # of the targets' names in XLA's programs
DTYPES = ("float32", "float64")
KERNELS = ("roll_dot", "roll_outer", "blocks", "blocks_turned", "step_dot")


class Products(NamedTuple):
    """How the passes multiply; all functions of symbolic arrays.

    Shapes: T steps, B tunes, N notes; K and Q columns.
    """

    roll: object  # x (T, B, N), W (N, Q), b (Q,), below (T, B, Q): b + W x + below
    outer: object  # x (T, B, N), da (T, B, Q): Σ over T and B of x da', (N, Q)
    lay_out: object  # W (K, Q): as ``step`` takes it, once for all steps
    turn: object  # the same of W (Q, K), for its transpose
    step: object  # Q: a function that multiplies rows (B, K) with W laid out


def plain_roll(x, W, b, below=None):
    a = pt.dot(x, W) + b
    return a if below is None else a + below


def contraction(a, b):
    """Contract (T, B, P) with (T, B, Q) to Σ over T and B of a b': (P, Q)."""
    return pt.dot(rows(a).T, rows(b))


def rows(a):
    return a.reshape((-1, a.shape[-1]))


PLAIN = Products(
    roll=plain_roll,
    outer=contraction,
    lay_out=lambda W: W,
    turn=lambda W: W.T,
    step=lambda Q: pt.dot,
)


class Kernel(Op):
    """An Op that is a target of `kernels`; its result's shape is given.

    PyTensor hands it to JAX as a call of the target, see `teach_jax`.
    """

    __props__ = ("name", "shape", "in_place_of")

    def __init__(self, name, shape, in_place_of=None):
        self.name = name
        self.shape = shape
        self.in_place_of = in_place_of  # the argument whose memory may be taken

    def make_node(self, *arguments):
        arguments = [pt.as_tensor_variable(a) for a in arguments]
        result = pt.tensor(dtype=arguments[0].dtype, shape=self.shape)
        return Apply(self, arguments, [result])

    def perform(self, node, inputs, outputs):
        raise NotImplementedError(f"{self.name} is for JAX alone")


def compiled_roll(x, W, b, below=None):
    shape = (*x.type.shape[:-1], W.type.shape[1])
    if below is None:
        return Kernel("roll_dot", shape)(x, W, b)
    return Kernel("roll_dot", shape, in_place_of=3)(x, W, b, below)


def compiled_outer(x, da):
    shape = (x.type.shape[-1], da.type.shape[-1])
    return Kernel("roll_outer", shape)(x, da)


def blocks(W, turned=False):
    """Lay W (K, Q), or its transpose, out in blocks of columns."""
    from lstmmusic.kernels import columns_of_block

    K, Q = W.type.shape[::-1] if turned else W.type.shape
    columns = columns_of_block(W.dtype)
    shape = (math.ceil(Q / columns), K, columns)
    return Kernel("blocks_turned" if turned else "blocks", shape)(W)


def compiled_step(Q):
    def times(rows, W):
        number, _, columns = W.type.shape
        shape = (rows.type.shape[0], number * columns)
        return Kernel("step_dot", shape)(rows, W)[:, :Q]

    return times


COMPILED = Products(
    roll=compiled_roll,
    outer=compiled_outer,
    lay_out=blocks,
    turn=partial(blocks, turned=True),
    step=compiled_step,
)


def fastest(backend):
    """Return the fastest `Products` that a backend can take."""
    on_cpu = backend.mode == "JAX" and backend.device == "cpu"
    return COMPILED if on_cpu and usable() else PLAIN


@cache
def usable():
    """Whether XLA can call the kernels, and gets the right number from one."""
    import jax

    try:
        teach_jax()
        with jax.enable_x64(False):
            one = np.ones((1, 1), np.float32)
            found = jax.jit(lambda x: call("roll_outer", (1, 1), None, x, x))(one)
        return bool(found == 1)
    except Exception as error:
        warnings.warn(f"products are slower than they could be: {error}", stacklevel=2)
        return False


@cache
def register(dtype):
    """Make the kernels for a dtype known to XLA, by name."""
    import jax

    from lstmmusic import kernels

    for name in KERNELS:
        address = ctypes.c_void_p(kernels.target(name, dtype).address)
        capsule = jax.ffi.pycapsule(address)
        jax.ffi.register_ffi_target(name_of(name, dtype), capsule, platform="cpu")


def ready_for(code):
    """Whether XLA can call the kernels that a program, as bytes, names."""
    for dtype in DTYPES:
        if any(name_of(kernel, dtype).encode() in code for kernel in KERNELS):
            try:
                register(dtype)
            except Exception:  # of Numba or JAX: then the program is made anew
                return False
    return True


def names():
    return [name_of(kernel, dtype) for kernel in KERNELS for dtype in DTYPES]


def name_of(kernel, dtype):
    return f"{PREFIX}{kernel}.{dtype}"


def call(kernel, shape, in_place_of, *arguments):
    """Call a target in a function that JAX traces."""
    import jax

    dtype = str(arguments[0].dtype)
    register(dtype)
    aliases = {} if in_place_of is None else {in_place_of: 0}
    run = jax.ffi.ffi_call(
        name_of(kernel, dtype),
        jax.ShapeDtypeStruct(shape, dtype),
        input_output_aliases=aliases,
    )
    return run(*arguments)


@cache
def teach_jax():
    """Tell PyTensor what a `Kernel` is in JAX."""
    from pytensor.link.jax.dispatch import jax_funcify

    @jax_funcify.register(Kernel)
    def _(op, **_):
        return lambda *arguments: call(op.name, op.shape, op.in_place_of, *arguments)
