"""Define the products that the passes are made of, as Ops that know their shapes.

``compute`` is what each is, of arrays of NumPy, JAX or PyTensor.  What it becomes in a
compiled function is decided when it is lowered to a backend: see `engine.lowering`.
``infer_shape`` is given (fgraph, node, shapes) by PyTensor 3.0, (node, shapes) by 3.3.
Shapes: M rows, N notes, K and Q columns; ``…`` any axes.
"""

import functools

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.replace import graph_replace


class Product(Op):
    """Share the node's construction and `perform` among the products."""

    __props__: tuple[str, ...] = ()

    def apply(self, inputs, shape):
        """Return the node whose result has the given shape, and the inputs' dtype."""
        dtypes = {variable.dtype for variable in inputs}
        if len(dtypes) > 1:
            found = ", ".join(sorted(dtypes))
            raise TypeError(f"the dtypes are {found}; allowed is one for all arrays")
        return Apply(self, inputs, [pt.tensor(dtype=dtypes.pop(), shape=shape)])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(self.compute(*inputs), order="C")


class RollDot(Product):
    """Compute ``W x + b``, plus ``below`` if it is given.

    Of a roll x (…, N), in which few notes sound, W (N, Q), b (Q,) and below (…, Q).
    """

    def make_node(self, x, W, b, *below):
        W = pt.as_tensor(W)
        inputs = [pt.cast(x, W.dtype), W, *map(pt.as_tensor, (b, *below))]
        return self.apply(inputs, (*inputs[0].type.shape[:-1], W.type.shape[1]))

    def infer_shape(self, *given):
        shapes = given[-1]
        return [(*shapes[0][:-1], shapes[1][1])]

    def compute(self, x, W, b, *below):
        return sum(below, start=x.dot(W) + b)


class RollOuter(Product):
    """Compute ``Σ da x'`` (N, Q) of a roll x (…, N) and da (…, Q).

    The sum goes over ``…``.
    """

    def make_node(self, x, da):
        da = pt.as_tensor(da)
        x = pt.cast(x, da.dtype)
        return self.apply([x, da], (x.type.shape[-1], da.type.shape[-1]))

    def infer_shape(self, *given):
        shapes = given[-1]
        return [(shapes[0][-1], shapes[1][-1])]

    def compute(self, x, da):
        return contraction(x, da)


class Pack(Product):
    """Pack W (K, Q), or the transpose of W (Q, K), for `PackedDot`.

    Once for all steps of a scan.  The result is a matrix, whose shape and layout the
    backend chooses.
    """

    __props__ = ("transposed",)

    def __init__(self, transposed=False):
        self.transposed = transposed

    def make_node(self, W):
        return self.apply([pt.as_tensor(W)], (None, None))

    def do_constant_folding(self, fgraph, node):
        return False  # `perform` may lay out otherwise than the backend

    def compute(self, W):
        return W.T if self.transposed else W


class PackedDot(Product):
    """Compute ``a + W rows`` of a (M, Q) or (Q,), rows (M, K) and a packed W (K, Q)."""

    def make_node(self, a, rows, packed):
        a, rows, packed = inputs = [*map(pt.as_tensor, (a, rows, packed))]
        return self.apply(inputs, (rows.type.shape[0], a.type.shape[-1]))

    def infer_shape(self, *given):
        a, rows, _ = given[-1]
        return [(rows[0], a[-1])]

    def compute(self, a, rows, packed):
        return a + rows.dot(packed)


roll_dot = RollDot()
roll_outer = RollOuter()
pack = Pack()
pack_transposed = Pack(transposed=True)
packed_dot = PackedDot()


def contraction(a, b):
    """Contract (T, B, P) with (T, B, Q) to Σ over T and B of a b': (P, Q)."""
    rows_a, rows_b = (array.reshape((-1, array.shape[-1])) for array in (a, b))
    return rows_a.T.dot(rows_b)


def total(a, axis=None):
    """Sum in a's own precision: JAX has no float64 unless all of it is float64."""
    return a.sum(axis=axis, dtype=a.dtype, acc_dtype=a.dtype)


class GraphOp(OpFromGraph):
    """Compute a graph, or run the kernel of the same name.

    ``like`` has, for each output, the number of the input whose shape it has.
    """

    def __init__(self, inputs, outputs, kernel, like):
        super().__init__(inputs, outputs, name=kernel)
        self.kernel, self.like = kernel, like

    def infer_shape(self, *given):
        return [given[-1][n] for n in self.like]  # not from the graph, which takes long


def with_kernel(*like):
    """Make a `GraphOp` of a function that returns a list of symbolic outputs."""

    def wrap(graph):
        @functools.wraps(graph)
        def call(*inputs):
            inputs = [pt.as_tensor(variable) for variable in inputs]
            own = [variable.type() for variable in inputs]
            return GraphOp(own, graph(*own), graph.__name__, like)(*inputs)

        return call

    return wrap


def built_apart(build):
    """Build the graph on fresh variables, then replace them by the arguments.

    To infer the shape of each of a scan's results, PyTensor copies all ancestors of its
    initial values: three quarters of the time of building an update's graph.  Only the
    arguments that are variables themselves are replaced.
    """

    @functools.wraps(build)
    def call(*given):
        own = [v.type() if isinstance(v, Variable) else v for v in given]
        pairs = zip(own, given, strict=True)
        replaced = {v: new for v, new in pairs if isinstance(v, Variable)}
        return graph_replace(build(*own), replaced)

    return call
