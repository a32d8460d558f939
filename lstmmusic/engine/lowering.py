"""Decide what the Ops of `model.ops` become, when a graph is lowered to a backend.

The kernels, in JAX on a CPU.  Plain products in Numba, on a GPU, and where the kernels
cannot be built, fail their self-test or are missing: the folder kernels/ may go.
"""

import functools
import threading

import pytensor
from pytensor.compile.mode import get_mode, optdb
from pytensor.graph.rewriting.basic import GraphRewriter, dfs_rewriter, node_rewriter
from pytensor.tensor.rewriting.ofg import inline_ofg_node

from lstmmusic import checks
from lstmmusic.model import ops

try:
    from lstmmusic.engine.kernels import build
    from lstmmusic.engine.kernels import lowering as kernels
except ImportError:  # llvmlite is missing, or the folder
    build = kernels = None  # type: ignore[assignment]

# Rewrites that gain nothing that XLA does not gain itself.  Without them PyTensor makes
# no expression stable: the costs are written stably (D8).
SLOW_REWRITES = (
    "fusion",
    "stabilize",
    "specialize",
    "scan_pushout",
    "local_subtensor_merge_slice",
    "dot_diag_to_elemwise",
    "selection_dot_to_indexing",
    "orthogonal_dot_transpose_to_eye",
    "useless_Tanh_of_Arctanh",
)
# Makes sums over an axis of length 1 (one tune, one step) float64, which JAX lacks.
WRONG_REWRITES = ("local_reduce_broadcastable",)
# In layers of more cells, XLA shares the product of a step out to its threads.
MOST_CELLS = 768
PRODUCTS = ops.RollDot, ops.RollOuter, ops.Pack, ops.PackedDot
# By group of kernels; see `kernels.host.KERNELS`.
SLOWER = {"products": "the network is", "joint": "the joint output is"}
TARGETS = kernels.TARGETS if kernels else []
LOCK = threading.Lock()
_enabled: dict[tuple[str, str], bool] = {}  # by group and dtype; asked once


def start_build(group, dtype):
    """Start to build a group of kernels if it is not cached; do not wait."""
    if kernels and (group, dtype) not in _enabled:
        try:
            build.start_build(group, dtype)
        except Exception as error:
            disable_kernels(group, dtype, error)


def ready(group, dtype):
    """Tell whether `enabled` answers without waiting."""
    key = group, dtype
    return not kernels or key in _enabled or build.is_built(*key)


def expected(group, dtype):
    """Tell whether a group of kernels can be used; assume so until that is known."""
    return not ready(group, dtype) or enabled(group, dtype)


def enabled(group, dtype):
    """Wait for a group of kernels, and tell whether it can be used.

    Warn once if it cannot.
    """
    key = group, dtype
    with LOCK:
        if key not in _enabled:
            try:
                if kernels:
                    kernels.enable(*key)
                _enabled[key] = bool(kernels)
            except Exception as error:
                disable_kernels(*key, error)
        return _enabled[key]


def disable_kernels(group, dtype, error):
    """Warn that XLA's own code takes the kernels' place."""
    _enabled[group, dtype] = False
    checks.warn_caller(
        f"{SLOWER[group]} slower than it could be: the kernels for {dtype} cannot be "
        f"used ({error})"
    )


def rewrite(graph):
    """Simplify a graph for JAX; so a scan keeps no more of its carry than is used."""
    mode = get_mode("JAX").excluding(*SLOW_REWRITES, *WRONG_REWRITES)
    with pytensor.config.change_flags(mode=mode):
        mode.optimizer.rewrite(graph)


@functools.cache
def register_with_jax():
    """Tell PyTensor what the Ops become in JAX.

    ``jax_funcify(graph, device=...)`` says where the graph will run; with
    ``wait=False`` JAX traces it before the kernels are known to work.
    """
    import jax
    from pytensor.link.jax.dispatch import jax_funcify

    def lower(op, device=None, wait=True, **_):
        on_cpu = (device or jax.default_backend()) == "cpu"

        @functools.cache
        def plain():
            return of_graph(op, device) if isinstance(op, ops.GraphOp) else op.compute

        if not on_cpu:
            plain()  # build now: JAX traces later, under other PyTensor flags

        group = "joint" if isinstance(op, ops.GraphOp) else "products"
        usable = enabled if wait else expected

        def compute(*arrays):  # JAX traces it
            if on_cpu and usable(group, str(arrays[0].dtype)):
                return kernels.in_jax(op, *arrays)
            return plain()(*arrays)

        return compute

    for op in (*PRODUCTS, ops.GraphOp):
        jax_funcify.register(op)(lower)


def of_graph(op, device):
    """Return the function of a `GraphOp`'s graph, which JAX traces."""
    from pytensor.link.jax.dispatch import jax_funcify

    graph = simplified(op)
    run = jax_funcify(graph, device=device)
    return run if len(graph.outputs) > 1 else lambda *arrays: run(*arrays)[0]


def simplified(op):
    """Return a copy of a `GraphOp`'s graph, simplified for JAX."""
    inner = op.fgraph  # PyTensor 3.3 freezes it
    graph = inner.unfreeze() if hasattr(inner, "unfreeze") else inner.clone()
    rewrite(graph)
    return graph


class RegisterWithJax(GraphRewriter):
    """Register the Ops when the first graph is compiled for JAX.

    At import, that would import JAX, which takes half a second.
    """

    def apply(self, fgraph):
        register_with_jax()


@node_rewriter([*PRODUCTS, ops.GraphOp])
def plain_products(fgraph, node):
    """Replace an Op by PyTensor's own."""
    if isinstance(node.op, ops.GraphOp):
        return inline_ofg_node(node)
    return [node.op.compute(*node.inputs)]


optdb.register("lstmmusic_jax", RegisterWithJax(), "jax", position=0)
optdb.register("lstmmusic_numba", dfs_rewriter(plain_products), "numba", position=0)
