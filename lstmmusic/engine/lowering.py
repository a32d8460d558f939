"""Decide what the Ops of `model.ops` become, when a graph is lowered to a backend.

The kernels, in JAX on a CPU and in Numba, or else plain products: on a GPU, where the
kernels cannot be built or fail their self-test, and if the folder kernels/ is missing.
"""

import functools
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256

import numpy as np
from pytensor.compile.mode import optdb
from pytensor.graph.rewriting.basic import GraphRewriter

from lstmmusic.model import ops

try:
    from lstmmusic.engine.kernels import build
    from lstmmusic.engine.kernels import lowering as kernels
except ImportError:  # llvmlite is missing, or the folder
    build = kernels = None  # type: ignore[assignment]

# In layers of more cells, XLA shares the product of a step out to its threads.
MOST_CELLS = 768
PRODUCTS = ops.RollDot, ops.RollOuter, ops.Pack, ops.PackedDot
TARGETS = kernels.TARGETS if kernels else []
LOCK = threading.Lock()
_device = ContextVar("device", default=None)
_enabled: dict[
    str, bool
] = {}  # dtype: the answer of `enabled`, for the rest of the process


@contextmanager
def on(device):
    """Return a context in which functions are compiled for a device, cpu or cuda."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def start_build(dtype):
    """Start to build the kernels for a dtype if they are not cached; do not wait."""
    if kernels and dtype not in _enabled:
        try:
            build.start_build(dtype)
        except Exception as error:
            disable_kernels(dtype, error)


def ready(dtype):
    """Tell whether `enabled` answers without waiting."""
    return not kernels or dtype in _enabled or build.is_built(dtype)


def enabled(dtype):
    """Wait for the kernels for a dtype, and tell whether they can be used.

    Warn once if they cannot.
    """
    with LOCK:
        if dtype not in _enabled:
            try:
                if kernels:
                    kernels.enable(dtype)
                _enabled[dtype] = bool(kernels)
            except Exception as error:
                disable_kernels(dtype, error)
        return _enabled[dtype]


def disable_kernels(dtype, error):
    """Warn that plain products take the kernels' place."""
    _enabled[dtype] = False
    warnings.warn(
        f"products are slower than they could be: the kernels for {dtype} cannot be "
        f"used ({error})",
        stacklevel=3,
    )


@functools.cache
def register_with_jax():
    """Tell PyTensor what the Ops become in JAX."""
    import jax
    from pytensor.link.jax.dispatch import jax_funcify

    def lower(op, **_):
        device = _device.get() or jax.default_backend()

        def compute(*arrays):  # JAX traces it
            if device == "cpu" and enabled(str(arrays[0].dtype)):
                return kernels.in_jax(op, *arrays)
            return op.compute(*arrays)

        return compute

    for product in PRODUCTS:
        jax_funcify.register(product)(lower)


@functools.cache
def register_with_numba():
    """Tell PyTensor what the Ops become in Numba.

    Numba's functions are cached under a key: it tells plain products from kernels, and
    one build of the kernels from another.
    """
    from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

    def lower(op, node, **_):
        dtype = node.inputs[-1].dtype
        made_by, function = "plainly, 1", in_numba_plainly
        if enabled(dtype):
            from lstmmusic.engine.kernels.numba_calls import in_numba as function

            made_by = build.path_of(dtype).name
        key = sha256(f"{op} {dtype} {made_by}".encode()).hexdigest()
        return function(op, dtype), key

    for product in PRODUCTS:
        register_funcify_and_cache_key(product)(lower)


def in_numba_plainly(op, dtype):
    """Return a function that computes an Op by NumPy's products, compiled by Numba."""
    from pytensor.link.numba.dispatch.basic import numba_njit

    transposed = getattr(op, "transposed", False)

    def rows(a):
        return np.ascontiguousarray(a).reshape(-1, a.shape[-1])

    rows = numba_njit(rows)

    def roll_dot(x, W, b, *below):
        a = (np.dot(rows(x), W) + b).reshape(x.shape[:-1] + b.shape)
        return a + below[0] if len(below) else a

    def roll_outer(x, da):
        return np.dot(rows(x).T, rows(da))

    def pack(W):
        return np.ascontiguousarray(W.T if transposed else W)

    def packed_dot(a, rows, packed):
        return a + np.dot(rows, packed)

    functions = roll_dot, roll_outer, pack, packed_dot
    return numba_njit(functions[PRODUCTS.index(type(op))])


class Register(GraphRewriter):
    """Register the Ops with a backend when the first graph is compiled for it.

    At import, that would import JAX and Numba, which takes seconds.
    """

    def __init__(self, function):
        self.function = function

    def apply(self, fgraph):
        self.function()


optdb.register("lstmmusic_jax", Register(register_with_jax), "jax", position=0)
optdb.register("lstmmusic_numba", Register(register_with_numba), "numba", position=0)
