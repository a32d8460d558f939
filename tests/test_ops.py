"""Test the Ops: their numbers by NumPy, their shapes, and what they refuse."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from lstmmusic.model import ops

PYTHON = Mode(linker="py", optimizer="fast_compile")


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


CASES = {
    "roll_dot": (ops.roll_dot, [(5, 3, 7), (7, 4), (4,)], (5, 3, 4)),
    "roll_dot, a step": (ops.roll_dot, [(3, 7), (7, 4), (4,)], (3, 4)),
    "roll_dot, below": (ops.roll_dot, [(5, 3, 7), (7, 4), (4,), (5, 3, 4)], (5, 3, 4)),
    "roll_outer": (ops.roll_outer, [(5, 3, 7), (5, 3, 4)], (7, 4)),
    "packed_dot": (ops.packed_dot, [(3, 4), (3, 7), (7, 4)], (3, 4)),
    "packed_dot, one row": (ops.packed_dot, [(4,), (3, 7), (7, 4)], (3, 4)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("known", [True, False])
def test_shapes_are_known_where_those_of_the_arrays_are(case, known):
    # And `infer_shape` gives them without the product.
    op, shapes, wanted = case
    static = shapes if known else [(None,) * len(shape) for shape in shapes]
    variables = [pt.tensor(shape=shape, dtype="float64") for shape in static]
    result = op(*variables)
    assert result.type.shape == (wanted if known else (None,) * len(wanted))
    function = pytensor.function(variables, result.shape, mode=Mode("py", "fast_run"))
    assert tuple(function(*(normal(*shape) for shape in shapes))) == wanted
    nodes = function.maker.fgraph.apply_nodes
    assert not any(isinstance(node.op, ops.Product) for node in nodes)


def test_perform_is_the_equation():
    x, W, b, below = normal(5, 3, 7), normal(7, 4), normal(4), normal(5, 3, 4)
    a, rows = normal(3, 4), normal(3, 7)
    variables = [pt.as_tensor(array) for array in (x, W, b, below, a, rows)]
    x_, W_, b_, below_, a_, rows_ = variables
    graphs = {
        ops.roll_dot(x_, W_, b_): np.einsum("tbn,nq->tbq", x, W) + b,
        ops.roll_dot(x_, W_, b_, below_): np.einsum("tbn,nq->tbq", x, W) + b + below,
        ops.roll_outer(x_, below_): np.einsum("tbn,tbq->nq", x, below),
        ops.packed_dot(a_, rows_, ops.pack(W_)): a + rows @ W,
        ops.packed_dot(rows_, a_, ops.pack_transposed(W_)): rows + a @ W.T,
    }
    found = pytensor.function([], list(graphs), mode=PYTHON)()
    for array, wanted in zip(found, graphs.values(), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-12)
        assert array.flags.c_contiguous


def test_a_packed_constant_is_not_folded():
    # Fails if `perform` lays out what another backend then multiplies with.
    packed = ops.pack(pt.as_tensor(normal(7, 4)))
    function = pytensor.function([], packed, mode=Mode("py", "fast_run"))
    assert function.maker.fgraph.outputs[0].owner.op == ops.pack


def test_arrays_of_two_dtypes_are_refused():
    # A packed array of one dtype stands in other blocks than that of another.
    rows, W = pt.tensor(shape=(3, 7), dtype="float32"), pt.as_tensor(normal(7, 4))
    with pytest.raises(TypeError, match="the dtypes are float32, float64; allowed is"):
        ops.packed_dot(W[0], rows, ops.pack(W))
    assert ops.roll_dot(rows, W, W[0]).dtype == "float64"  # a roll may have any


@pytest.mark.parametrize("before", [(), (None,)], ids=["PyTensor 3.3", "PyTensor 3.0"])
def test_shapes_are_inferred_as_each_pytensor_asks(before):
    # PyTensor 3.0 also gives the FunctionGraph, in front.
    given = {
        ops.roll_dot: ([(7, 2, 6), (6, 9), (9,)], (7, 2, 9)),
        ops.roll_outer: ([(7, 2, 6), (7, 2, 9)], (6, 9)),
        ops.packed_dot: ([(2, 9), (2, 5), (5, 9)], (2, 9)),
    }
    for op, (shapes, wanted) in given.items():
        assert op.infer_shape(*before, None, shapes) == [wanted]
    x, y = pt.vector(), pt.matrix()
    like_y = ops.GraphOp([x, y], [x + y], "kernel", like=(1,))
    assert like_y.infer_shape(*before, None, [(3,), (4, 3)]) == [(4, 3)]
