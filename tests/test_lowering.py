"""Test the lowering of the Ops: kernels, or plain products and a warning."""

import shutil
import signal
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.fg import FunctionGraph
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.scan.op import Scan
from pytensor.tensor.math import Dot
from sizes import H, N

from lstmmusic import RNN4Music
from lstmmusic.engine import export, lowering
from lstmmusic.model import ops
from lstmmusic.model.network import State, backward_pass, forward_pass
from lstmmusic.model.optimizers import Settings
from lstmmusic.model.outputs import joint_dot, joint_outer
from lstmmusic.model.parameters import pack

build = pytest.importorskip("lstmmusic.engine.kernels.build")
header = pytest.importorskip("lstmmusic.engine.kernels.header")
kernels = pytest.importorskip("lstmmusic.engine.kernels.lowering")

C_API = Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h"


@pytest.fixture
def asked_anew(monkeypatch):
    """Ask anew, and for this test alone, whether the kernels can be used."""
    monkeypatch.setattr(lowering, "_enabled", {})
    monkeypatch.setattr(build, "_processes", {})
    monkeypatch.setattr(kernels, "_engines", {})
    monkeypatch.setattr(kernels, "register_with_xla", lambda *_: None)


def lowered(device, dtype="float32"):
    """JAX's program of all Ops, for a device, as text."""
    rows, W = pt.tensor(shape=(3, 5), dtype=dtype), pt.tensor(shape=(5, 7), dtype=dtype)
    graph = ops.packed_dot(ops.roll_dot(rows, W, W[0]), rows, ops.pack(W))
    lowering.register_with_jax()
    arrays = np.ones((3, 5), dtype), np.ones((5, 7), dtype)
    run = jax.jit(jax_funcify(FunctionGraph([rows, W], [graph]), device=device))
    with jax.enable_x64(dtype == "float64"):
        return run.lower(*arrays).as_text(), np.asarray(run(*arrays)[0])


def test_who_multiplies_how(monkeypatch):
    for dtype in ("float32", "float64"):
        text, found = lowered("cpu", dtype)
        assert f"lstmmusic.packed_dot.{dtype}" in text
        assert "dot_general" not in text
        np.testing.assert_array_equal(found, np.full((3, 7), 11))
    text, found = lowered("cuda")
    assert "lstmmusic." not in text
    assert text.count("dot_general") >= 2
    np.testing.assert_array_equal(found, np.full((3, 7), 11))
    monkeypatch.setitem(lowering._enabled, ("products", "float32"), False)
    assert "lstmmusic." not in lowered("cpu")[0]
    assert "lstmmusic." in lowered("cpu", "float64")[0]


def test_numba_gets_plain_products():
    # Fails if Numba keeps an Op: it would call the Op's `perform`, through Python.
    rng = np.random.default_rng(4)
    x, W, b, a = (rng.normal(size=s) for s in ((5, 3, 7), (7, 4), (4,), (3, 4)))
    below = rng.normal(size=(5, 3, 4))
    products = (
        (ops.roll_dot, (x, W, b)),
        (ops.roll_dot, (x, W, b, below)),
        (ops.roll_outer, (x, below)),
        (ops.pack_transposed, (W,)),
        (ops.packed_dot, (a, x[0], W)),
    )
    inputs, outputs, given = [], [], []
    for op, arrays in products:
        own = [pt.tensor(shape=array.shape, dtype="float64") for array in arrays]
        inputs += own
        outputs.append(op(*own))
        given += arrays
    function = pytensor.function(inputs, outputs, mode="NUMBA")
    nodes = function.maker.fgraph.apply_nodes
    assert not any(isinstance(node.op, ops.Product) for node in nodes)
    for found, (op, arrays) in zip(function(*given), products, strict=True):
        np.testing.assert_allclose(found, op.compute(*arrays), rtol=1e-12)


def test_numba_gets_plain_products_within_scans():
    # Fails if the steps of a scan keep an Op.
    store = RNN4Music(5, 4, 3, 6, mode="NUMBA", dtype="float64")._store
    x = pt.tensor(shape=(None, None, 6), dtype="float64")
    state = State(
        *(
            tuple(pt.tensor(shape=(None, H), dtype="float64") for H in (5, 4, 3))
            for _ in range(2)
        )
    )
    Y, residuals = forward_pass(x, state, store.weights)
    gradients, _ = backward_pass(x, Y, state, residuals, store.weights)
    outputs = [Y, *(layer.W_h for layer in gradients.layers)]
    inputs = [x, *state.h, *state.c]
    found = pytensor.function(inputs, outputs, mode="NUMBA").maker.fgraph.apply_nodes
    scans = [node.op for node in found if isinstance(node.op, Scan)]
    inner = [node.op for op in scans for node in op.fgraph.apply_nodes]
    assert len(scans) == 6
    assert not any(isinstance(op, ops.Product) for op in inner)
    assert sum(isinstance(op, Dot) for op in inner) == 6


def test_the_kernels_change_nothing_beyond_rounding(network, monkeypatch, minibatch):
    # The Ops, which the kernels replace, are the same with originalForward.
    assert lowering.enabled("products", "float64")
    model = network()
    cost, found = model.gradients(*minibatch)
    plain = RNN4Music(*H, N, dtype="float64")
    plain.setParameters(model.parameters())
    monkeypatch.setitem(lowering._enabled, ("products", "float64"), False)
    plain_cost, gradients = plain.gradients(*minibatch)
    assert cost == pytest.approx(plain_cost, rel=1e-13)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-11, atol=1e-12)


def test_weights_may_be_arrays(network):
    # As `RNN4Music.forwardPass` says of itself and of `backwardPass`.
    model = network()
    weights = pack(model.parameters())
    state = State(
        *(tuple(pt.zeros((2, H), dtype="float64") for H in (5, 4, 3)) for _ in range(2))
    )
    x = pt.as_tensor(np.ones((7, 2, 6)))
    flags = pytensor.config.change_flags(mode="JAX", floatX="float64")
    with flags, jax.enable_x64(True):  # whoever has used JAX before
        Y, residuals = model.forwardPass(x, state, weights)
        found, _ = model.backwardPass(x, Y, state, residuals, weights)
        Y, W_h = pytensor.function([], [Y, found.layers[1].W_h])()
    assert Y.shape == (7, 2, 6)
    assert W_h.shape == (4, 16)


# Plain products, and a warning


def assert_plain(match):
    with pytest.warns(UserWarning, match=f"slower than it could be.*{match}") as seen:
        assert not lowering.enabled("products", "float32")
    assert len(seen) == 1
    assert not lowering.enabled("products", "float32")  # without another warning
    assert "lstmmusic." not in lowered("cpu")[0]


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
BREAK = """
import sys
sys.path[:] = __import__("json").loads(sys.argv[1])
import numpy as np
from lstmmusic.engine.kernels import code, header, lowering, self_test
self_test.object_code = lambda *_: b""
self_test.builder.link = lambda code: None
lowering.register_with_xla = lambda *_: None
"""
WRONG = "lowering.in_jax = lambda op, *a: op.compute(*a) + 1\n"
HEADER = "header.MAJOR = 1\n"
RUN = "self_test.build(*sys.argv[2:])"


@pytest.mark.parametrize(
    ("code", "match"),
    [
        pytest.param(
            CRASH, "it ended with -11", id="a crash",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGSEGV"), reason="none"),
        ),
        pytest.param("1 / 0", "ZeroDivisionError: division", id="an exception"),
        pytest.param(BREAK + WRONG + RUN, "ArithmeticError: self-test", id="a number"),
        pytest.param(BREAK + HEADER + RUN, "XLA_FFI_API_MAJOR is not 1", id="a header"),
        pytest.param("", "cannot be written or read", id="nothing"),
    ],
)  # fmt: skip
def test_what_fails_in_the_subprocess_ends_in_a_warning(
    monkeypatch, tmp_path, asked_anew, code, match
):
    # Fails if this process runs what crashed, or was found wrong, there.
    path = tmp_path / "kernels"
    monkeypatch.setattr(build, "path_of", lambda *_: path)
    monkeypatch.setattr(build, "CODE", code)
    assert_plain(match)
    assert not path.exists()


def test_a_build_that_cannot_start_ends_in_a_warning(monkeypatch, asked_anew):
    monkeypatch.setattr(build, "start_build", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="slower than it could be.*division"):
        lowering.start_build("products", "float32")
    assert lowering.ready("products", "float32")
    assert not lowering.enabled("products", "float32")


def test_a_program_traced_for_kernels_that_then_fail_is_compiled_anew(
    monkeypatch, tmp_path, asked_anew
):
    # Fails if XLA is given the names of kernels that nothing has registered.
    monkeypatch.setattr(build, "path_of", lambda *_: tmp_path / "kernels")
    monkeypatch.setattr(build, "CODE", "import time; time.sleep(1); 1 / 0")
    monkeypatch.setattr(lowering, "ready", lambda *key: key in lowering._enabled)
    codes, trace, x = [], export.trace, np.zeros((2, 5, 6))

    def traced(*args):
        program, code, error = trace(*args)
        codes.append(code)
        return program, code, error

    def gradients():
        return RNN4Music(3, 2, 2, 6, seed=1, dtype="float64").gradients(x, x)

    monkeypatch.setattr(export, "trace", traced)
    with pytest.warns(UserWarning, match="cannot be used.*division") as seen:
        cost, found = gradients()
    assert len(seen) == 1
    # Once it is among the names whose check is left out.
    first, second = (code.count(b"lstmmusic.packed_dot.float64") for code in codes)
    assert first > second
    monkeypatch.undo()
    monkeypatch.setitem(lowering._enabled, ("products", "float64"), False)
    plain_cost, plain = gradients()  # without kernels from the first
    assert cost == plain_cost
    for name, gradient in plain.items():
        np.testing.assert_array_equal(found[name], gradient)


def test_the_optimizers_program_does_not_wait_for_the_kernels(monkeypatch):
    monkeypatch.setattr(lowering, "start_build", lambda *_: None)
    monkeypatch.setattr(lowering, "enabled", lambda *_: 1 / 0)
    model = RNN4Music(3, 2, 2, 6, dtype="float64")
    model._functions.compile_apply(2, Settings(*np.ones(len(Settings._fields))))


def test_jaxlibs_header_is_as_tested():
    header.check_header()


def test_a_later_header_names_extensions_otherwise():
    text = C_API.read_text()
    for later, name in header.RENAMED.items():
        text = text.replace(name, later)
    assert header.find_fault(text) is None
    assert "struct XLA_FFI_InternalExtension* next" in text


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("#define XLA_FFI_API_MAJOR 0", "#define XLA_FFI_API_MAJOR 1", "API_MAJOR is"),
        ("Extension_Metadata = 1", "Extension_Metadata = 2", "Extension_Metadata is"),
        ("  XLA_FFI_Args args;\n  XLA_FFI_Rets rets;",
         "  XLA_FFI_Rets rets;\n  XLA_FFI_Args args;", "args.size of"),
        ("  void* data;\n  int64_t rank;", "  int64_t rank;\n  void* data;", "data of"),
        ("  XLA_FFI_DataType dtype;\n  void* data;", "  void* data;", "data of"),
        ("  XLA_FFI_DataType dtype;\n", "  XLA_FFI_New dtype;\n", "data of"),
        ("  XLA_FFI_ExecutionStage stage;", "  int64_t stage;\n  int more;", "args"),
        ("struct XLA_FFI_Buffer {", "struct XLA_FFI_Array {", "data of XLA_FFI_Buffer"),
    ],
)  # fmt: skip
def test_a_header_with_other_offsets_is_refused(old, new, fault):
    text = C_API.read_text()
    assert old in text
    found = header.find_fault(text.replace(old, new))
    assert fault in found


def test_fields_that_a_header_adds_behind_are_no_fault():
    text = C_API.read_text()
    added = text.replace("  int64_t* dims;", "  int64_t* dims;\n  XLA_FFI_New layout;")
    assert added != text
    assert header.find_fault(added) is None


def test_a_jaxlib_without_a_header_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(jaxlib, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(RuntimeError, match=r"has no c_api\.h"):
        header.check_header()
    shutil.copytree(C_API.parent, tmp_path / "include/xla/ffi/api")
    header.check_header()


def test_the_plain_joint_output_keeps_no_array_of_all_steps_notes_and_units():
    # Fails if a scan over the notes stacks what it carries: (N, M, D) twice.
    M, N, D = 60, 88, 64
    shapes = (M, N), (M, D), (M, N), (N, D), (N, D)
    dz, *given = (pt.tensor(shape=shape, dtype="float32") for shape in shapes)
    for of, inputs in ((joint_dot, given), (joint_outer, [dz, *given])):
        found = of(*inputs)
        op = (found[0] if isinstance(found, list) else found).owner.op
        types = [jax.ShapeDtypeStruct(v.type.shape, "float32") for v in inputs]
        graph = lowering.simplified(op)
        made = jax.jit(jax_funcify(graph)).lower(*types).compile()
        assert made.memory_analysis().temp_size_in_bytes < 4 * M * N * D


@pytest.mark.parametrize(
    ("output", "wanted"),
    [("independent", {"products"}), ("joint", {"products", "joint"})],
)
def test_a_network_builds_the_kernels_that_it_needs(monkeypatch, output, wanted):
    # Fails if networks of independent notes wait for the joint output's kernels.
    begun, x = [], np.zeros((2, 5, 6))
    monkeypatch.setattr(lowering, "start_build", lambda *key: begun.append(key))
    monkeypatch.setattr(export, "function", lambda *_: 1 / 0)
    model = RNN4Music(3, 2, 2, 6, output=output, dtype="float64")
    assert begun == []  # a network that is only loaded, or looked at, needs none
    with pytest.raises(ZeroDivisionError):
        model.gradients(x, x)
    assert sorted(begun) == sorted((group, "float64") for group in wanted)
