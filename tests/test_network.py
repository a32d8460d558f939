"""The hand-written gradients of all 57 parameters, and the forward pass they are of."""

import numpy as np
import oracle
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from sizes import B, H, N, T

from lstmmusic.model.network import State, fields, from_leaves
from lstmmusic.model.parameters import unpack, weight_shapes

NAMES = list(weight_shapes(H, N))
FORMS = [
    pytest.param(False, id="paper"),
    pytest.param(True, id="originalForward"),
]
# Each cost and each form once: a cost's derivative by Y knows nothing of the layers.
forms = pytest.mark.parametrize(
    ("cost", "original"),
    [
        pytest.param("cross-entropy", False, id="cross-entropy-paper"),
        pytest.param("squared-error", True, id="squared-error-originalForward"),
    ],
)


def autodiff(cost, original, values, inputs, targets):
    """The cost and {name: gradient}, by pytensor.grad of the loop in `oracle`.

    The loop is unrolled: nothing of the library is in the graph, not even a scan.
    """
    w = {
        name: pt.tensor(name, shape=a.shape, dtype="float64")
        for name, a in values.items()
    }
    x, k = pt.dmatrices("x", "k")  # of one tune
    rows = ([roll[t] for t in range(T)] for roll in (x, k))
    maths = oracle.Maths(pt.exp, pt.tanh)
    with pytensor.config.change_flags(traceback__limit=0):  # thrice as fast
        total = oracle.cost(cost, w, *([r] for r in rows), original, pt.log, maths)
        function = pytensor.function(
            [x, k, *w.values()],
            [total, *pytensor.grad(total, [w[name] for name in NAMES])],
            mode=Mode(linker="py", optimizer=None),
        )
    tunes = [
        function(*tune, *values.values()) for tune in zip(inputs, targets, strict=True)
    ]
    total, *gradients = (
        np.mean(of_tunes, axis=0) for of_tunes in zip(*tunes, strict=True)
    )
    return float(total), dict(zip(NAMES, gradients, strict=True))


def relative_error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_there_are_57_parameters():
    assert len(NAMES) == len(set(NAMES)) == 57


@forms
def test_every_gradient_is_that_of_pytensor_grad(network, minibatch, cost, original):
    # Fails if any term of any of the 57 gradients is missing, belongs to another step,
    # gate or layer, or if the forward pass is not eqs. 7-11: the graph that PyTensor
    # differentiates shares no line with ours.
    model = network(cost, original)
    ours, gradients = model.gradients(*minibatch)
    value, wanted = autodiff(cost, original, model.parameters(), *minibatch)
    assert ours == pytest.approx(value, rel=1e-12)
    assert sorted(gradients) == sorted(NAMES)
    errors = {name: relative_error(gradients[name], wanted[name]) for name in NAMES}
    worst = max(errors, key=errors.get)
    print(f"{cost}, originalForward={original}: worst {worst}, {errors[worst]:.1e}")
    assert all(np.linalg.norm(wanted[name]) > 1e-4 for name in NAMES)  # none trivial
    assert {name: e for name, e in errors.items() if not e <= 1e-12} == {}


@forms
def test_gradients_are_slopes_of_the_cost(network, minibatch, cost, original):
    # Along a random direction of every parameter, by central differences of fourth
    # order of the cost that `gradients` itself returns. Fails if cost and gradient do
    # not belong together, whatever both are.
    model = network(cost, original)
    rng = np.random.default_rng(15)
    values = model.parameters()
    _, gradients = model.gradients(*minibatch)
    step = 1e-3
    for name in NAMES:
        direction = rng.normal(size=values[name].shape)
        direction /= np.linalg.norm(direction)
        costs = {}
        for n in (-2, -1, 1, 2):
            model.setParameters({name: values[name] + n * step * direction})
            costs[n] = model.gradients(*minibatch)[0]
        model.setParameters({name: values[name]})
        slope = (8 * (costs[1] - costs[-1]) - (costs[2] - costs[-2])) / (12 * step)
        error = abs(slope - (gradients[name] * direction).sum())
        assert error <= 1e-6 * np.abs(gradients[name]).max(), name


@pytest.fixture(scope="module", params=FORMS)
def passes(request):
    """`forwardPass` and `backwardPass` for any T and B, and the network they are of.

    Run by PyTensor's plain Python, the cost being Σ (coefficients ∘ Y).
    """
    from conftest import shared_model

    pytest.importorskip("jax")
    form = "cross-entropy", request.param, "float64", "JAX", "RMSprop"
    model, first = shared_model(*form)
    values = first.weights | first.state
    model.setParameters(values)
    flags = {"floatX": "float64", "linker": "py", "cxx": ""}
    with pytensor.config.change_flags(**flags):
        x, coefficients = pt.tensor3("x"), pt.tensor3("coefficients")
        weights, vectors = model._store.weights, model._store.state
        state = State(
            *(tuple(pt.tile(v, (x.shape[1], 1)) for v in part) for part in vectors)
        )
        Y, residuals = model.forwardPass(x, state, weights, request.param)
        back, _ = model.backwardPass(
            x, coefficients, state, residuals, weights, request.param
        )
        function = pytensor.function(
            [x, coefficients],
            [Y, *(g for _, _, g in fields(back))],
            mode=Mode(linker="py", optimizer="fast_compile"),
        )

    def run(rolls, dY):
        with pytensor.config.change_flags(**flags):
            Y, *packed = function(rolls, dY)
        return Y, unpack(from_leaves(weights, packed))

    return run, values, request.param


@pytest.mark.parametrize(
    ("steps", "n_tunes"), [(1, 1), (1, 3), (2, 1), (9, 4)], ids=str
)
def test_passes_hold_for_one_step_and_one_tune(passes, steps, n_tunes):
    # The shortest scans: fails if a shift by one step takes a row too many, or an axis
    # of length 1 is broadcast away. W_co of every layer and one other matrix of each
    # kind, by central differences of Σ dY ∘ Y of the NumPy loop.
    run, values, original = passes
    rng = np.random.default_rng(16)
    x = rng.choice([0.0, 1.0], size=(steps, n_tunes, N))
    dY = rng.normal(size=x.shape)

    def total(w):
        tunes = (np.array(oracle.outputs(w, x[:, b], original)) for b in range(n_tunes))
        return sum((dY[:, b] * Y).sum() for b, Y in enumerate(tunes))

    Y, gradients = run(x, dY)
    for b in range(n_tunes):
        wanted = oracle.outputs(values, x[:, b], original)
        np.testing.assert_allclose(Y[:, b], wanted, rtol=0, atol=1e-12)
    for name in "Wco_1 Wco_2 Wco_3 Wcf_1 Wxi_1 Wcj_2 Whc_3 bf_2 Why_1".split():
        where = tuple(rng.integers(values[name].shape))
        slopes = []
        for change in (1e-5, -1e-5):
            moved = values[name].copy()
            moved[where] += change
            slopes.append(total(values | {name: moved}) / change / 2)
        slope = sum(slopes)
        assert gradients[name][where] == pytest.approx(slope, rel=1e-6, abs=1e-8), name


def test_D1_errors_meet_the_inputs_of_their_own_steps(passes):
    # Only the first step counts, and the roll sounds only in the last one or only in
    # the first. What comes after the cost has no part in it; were the scan's outputs
    # left in backward order, the error of step 0 would meet the roll's last row.
    run, _, _ = passes
    dY = np.zeros((8, B, N))
    dY[0] = 1
    rolls = {"first": np.zeros((8, B, N)), "last": np.zeros((8, B, N))}
    rolls["first"][0] = rolls["last"][-1] = 1
    for name in (f"Wx{gate}_{n}" for gate in "ifco" for n in (1, 2, 3)):
        assert np.abs(run(rolls["first"], dY)[1][name]).min() > 1e-6, name
        assert not run(rolls["last"], dY)[1][name].any(), name


def test_a_minibatch_is_the_mean_of_its_tunes(network, minibatch):
    # Fails if tunes see one another, or the cost is summed in place of averaged.
    model = network()
    inputs, targets = minibatch
    cost, gradients = model.gradients(inputs, targets)
    alone = [
        model.gradients(np.stack([inputs[b]] * B), np.stack([targets[b]] * B))
        for b in range(B)
    ]
    assert alone[0][0] != pytest.approx(alone[1][0], rel=1e-3)
    assert cost == pytest.approx(np.mean([c for c, _ in alone]), rel=1e-12)
    for name in NAMES:
        mean = np.mean([g[name] for _, g in alone], axis=0)
        np.testing.assert_allclose(gradients[name], mean, rtol=1e-9, atol=1e-13)


# The original's own numbers


@pytest.fixture
def originals(shared):
    def read(name):
        with np.load(shared(f"original/{name}.npz")) as file:
            return {name: file[name] for name in file.files}

    return read


def zero_state():
    return {f"{s}_{n}": np.zeros(H[n - 1]) for s in ("htd1", "ctd1") for n in (1, 2, 3)}


def test_original_forward_gives_the_originals_probabilities(network, originals):
    model = network(original=True)
    model.setParameters(originals("weights") | zero_state())
    forward = originals("forward")
    assert forward["x"].shape == (B, T, N)
    found = np.array([model.probabilities(tune) for tune in forward["x"]])
    error = np.abs(found - forward["yt"]).max()
    print(f"probabilities, largest difference from the original's: {error:.1e}")
    assert error <= 1e-10  # 1e-5 asked; the file is float64


@pytest.mark.parametrize(
    ("original", "file"),
    [(False, "gradients"), (True, "gradients_original_forward")],
)
def test_gradients_are_those_of_theano_and_complex_steps(
    network, originals, original, file
):
    # The file has each tune's own gradient, our cost is the mean over tunes.
    model = network(original=original)
    model.setParameters(originals("weights") | zero_state())
    forward, each_tune = originals("forward"), originals(file)
    cost, gradients = model.gradients(forward["x"], forward["k"])
    if original:
        assert cost == pytest.approx(forward["cost_sum"].mean(), rel=1e-6)
    errors = {
        name: relative_error(gradients[name], each_tune[name].mean(axis=0))
        for name in NAMES
    }
    worst = max(errors, key=errors.get)
    print(f"{file}: worst {worst}, {errors[worst]:.1e}")
    assert {name: e for name, e in errors.items() if not e <= 1e-9} == {}
