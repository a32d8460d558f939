"""Products by compiled kernels, where JAX computes on a CPU.

They look only at the notes that sound, few in a roll, and have the weights of a scan
laid out once for all its steps.
"""

import ctypes
import math
import threading
import warnings
from functools import cache, partial

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from lstmmusic.model.ops import PLAIN, Products

# With more cells, the product of one step is large enough to be shared out to the
# threads by itself, and the weights too large to be read by each of them.
MOST_CELLS = 768
PREFIX = "lstmmusic."  # of the targets' names in XLA's programs
TYPES = ("float32", "float64")
KERNELS = ("roll_dot", "roll_outer", "blocks", "blocks_turned", "step_dot")


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
    """Lay W (K, Q), or its transpose, out in blocks of columns; and how to multiply."""
    from lstmmusic.engine.kernels.host import columns_of_block

    K, Q = W.type.shape[::-1] if turned else W.type.shape
    columns = columns_of_block(W.dtype)
    number = math.ceil(Q / columns)

    def times(rows, W_laid):
        shape = (rows.type.shape[0], number * columns)
        return Kernel("step_dot", shape)(rows, W_laid)[:, :Q]

    name = "blocks_turned" if turned else "blocks"
    return Kernel(name, (number, K, columns))(W), times


COMPILED = Products(
    roll=compiled_roll,
    outer=compiled_outer,
    lay_out=blocks,
    turn=partial(blocks, turned=True),
)
# For layers of more than `MOST_CELLS`.
WIDE = COMPILED._replace(lay_out=PLAIN.lay_out, turn=PLAIN.turn)


FAILED = set()  # the dtypes for which the kernels have turned out to be of no use


def fastest(backend, dtype, wide=False):
    """Return the fastest `Products` that a backend can take, as far as is known.

    The kernels, if they are not kept, begin to be made: that takes seconds, which pass
    beside what is done until `usable` is asked.
    """
    if backend.mode != "JAX" or backend.device != "cpu" or dtype in FAILED:
        return PLAIN
    try:
        from lstmmusic.engine.kernels import build

        build.begin(dtype)
    except Exception as error:
        give_up(dtype, error)
        return PLAIN
    teach_jax()
    return WIDE if wide else COMPILED


def give_up(dtype, error):
    FAILED.add(dtype)
    warnings.warn(f"products are slower than they could be: {error}", stacklevel=3)


def usable(dtype):
    """Whether XLA can call the kernels for a dtype, and gets right numbers from them.

    It cannot before.  If not, there is a warning; all is as right without them.
    """
    return dtype not in FAILED and tried(dtype)


@cache
def tried(dtype):
    """Make the kernels known to XLA, and look at what they compute."""
    import jax

    def squares(x):
        x = x * jax.numpy.eye(3, dtype=dtype)
        laid = call("blocks", (1, 3, columns), None, x)
        product = call("step_dot", (3, columns), None, x, laid)[:, :3]
        return product + call("roll_outer", (3, 3), None, x, x)

    try:
        from lstmmusic.engine.kernels.host import columns_of_block

        columns = columns_of_block(dtype)
        register(dtype)
        cpu = jax.default_device(jax.devices("cpu")[0])
        with cpu, jax.enable_x64(dtype == "float64"):
            found = np.asarray(jax.jit(squares)(np.full((3, 3), 3, dtype)))
        if not np.array_equal(found, 18 * np.eye(3)):
            raise ArithmeticError(f"3² + 3² is not {found[0, 0]}")
    except Exception as error:
        give_up(dtype, error)
        return False
    return True


LOCK = threading.RLock()


def register(dtype):
    """Make the kernels for a dtype known to XLA, by name; once."""
    with LOCK:
        _register(dtype)


@cache
def _register(dtype):
    import jax

    from lstmmusic.engine.kernels.build import linked

    code = linked(dtype)
    for name in KERNELS:
        address = ctypes.c_void_p(code.get_function_address(name))
        capsule = jax.ffi.pycapsule(address)
        jax.ffi.register_ffi_target(name_of(name, dtype), capsule, platform="cpu")


def called_in(graph):
    """Return the dtype of the kernels that a graph calls; None if it calls none."""
    for node in graph.apply_nodes:
        if isinstance(node.op, Kernel):
            return node.outputs[0].type.dtype
        inside = getattr(node.op, "fgraph", None)  # of a scan
        found = inside and called_in(inside)
        if found:
            return found
    return None


def names():
    """Return the names of all targets."""
    return [name_of(kernel, dtype) for kernel in KERNELS for dtype in TYPES]


def name_of(kernel, dtype):
    return f"{PREFIX}{kernel}.{dtype}"


def call(kernel, shape, in_place_of, *arguments):
    """Call a target in a function that JAX traces."""
    import jax

    from lstmmusic.engine.kernels.host import columns_of_block

    dtype = str(arguments[0].dtype)
    if kernel == "step_dot" and arguments[1].shape[2] != columns_of_block(dtype):
        raise ValueError(
            f"blocks have {arguments[1].shape[2]} columns; allowed are "
            f"{columns_of_block(dtype)} of {dtype}"
        )
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
