"""Test device='cuda' without a GPU: its program, and the order of its updates."""

import re
from functools import cache

import jax
import numpy as np
import pytensor
import pytest

from lstmmusic import RNN4Music, TrainingError
from lstmmusic.engine import backend, export
from lstmmusic.model.network import leaves
from lstmmusic.training.checkpoint import restore, snapshot, weights_of
from lstmmusic.training.loop import Training

TUNES = [(np.random.default_rng(n).random((n, 9)) < 0.3) * 1.0 for n in range(12, 17)]
SETTINGS = {"gradNorm": 5.0, "dropout": 0.2, "seed": 4}
RATES = 0.01, 0.02, 0.03, 0.04


def on_cuda(dtype="float64", **settings):
    with pytensor.config.change_flags(floatX=dtype):
        return RNN4Music(6, 5, 4, 9, *RATES, device="cuda", **(SETTINGS | settings))


@pytest.fixture
def a_gpu(monkeypatch):
    """A CPU that passes for a GPU."""
    cpu = jax.devices("cpu")
    monkeypatch.setattr(jax, "devices", lambda name: cpu)


@cache
def shared_cuda():
    model = on_cuda()
    return model, snapshot(model)


@pytest.fixture
def cuda(a_gpu):
    """Return a function that returns one network for a GPU, as good as new."""

    def get():
        model, first = shared_cuda()
        restore(model, first, "the first values")
        model.rng = np.random.default_rng(SETTINGS["seed"])
        return model

    return get


def on_cpu(**settings):
    with pytensor.config.change_flags(floatX="float64"):
        return RNN4Music(6, 5, 4, 9, *RATES, **(SETTINGS | settings))


@pytest.mark.parametrize(
    ("plan", "watched"), [((2, 6, 3, 11), True), ((1, 3, 2, None), False)]
)
def test_costs_that_are_not_awaited_change_nothing(cuda, monkeypatch, plan, watched):
    # Fails if an update that is asked for before the last one's cost is known is
    # counted, saved or drawn otherwise than one at a time.
    validation = [tune[1:] for tune in TUNES[:2]] if watched else None
    ahead = cuda()
    assert ahead._functions.asynchronous
    ahead.train(TUNES, *plan, validation=validation)
    assert ahead.trainingOver
    found, drawn = snapshot(ahead), ahead.rng.bit_generator.state
    one_by_one = on_cpu() if watched else cuda()
    one_by_one.rng = np.random.default_rng(SETTINGS["seed"])  # as that of `cuda`
    monkeypatch.setattr(one_by_one._functions, "asynchronous", False)
    one_by_one.train(TUNES, *plan, validation=validation)
    wanted = snapshot(one_by_one)
    costs, validations = found.training.costs, found.training.validation
    np.testing.assert_allclose(costs, wanted.training.costs, rtol=1e-12)
    np.testing.assert_allclose(validations, wanted.training.validation)
    for name, value in wanted.weights.items():
        np.testing.assert_allclose(found.weights[name], value, atol=1e-12)
    assert drawn == one_by_one.rng.bit_generator.state


def test_an_update_is_asked_for_before_the_last_ones_cost(cuda, monkeypatch):
    # Fails if every cost is awaited.
    model, order = cuda(), []
    step, record = model._functions.step, Training.record

    def noted(*args):
        order.append("update")
        return step(*args)

    def recorded(*args):
        order.append("cost")
        return record(*args)

    monkeypatch.setattr(model._functions, "step", noted)
    monkeypatch.setattr(Training, "record", recorded)
    model.train(TUNES, 1, 3, 3, 11)
    assert order == ["update", "update", "cost", "update", "cost", "cost"]


def test_what_follows_a_cost_that_is_not_finite_changes_nothing(cuda, monkeypatch):
    # The next update is on its way when NaN is seen. Fails if it is made.
    model = cuda()
    model.train(TUNES, 3, 1, 3, 11)
    before = weights_of(model)
    broken = iter([1, np.nan, 1, 1, 1, 1, 1])
    step = model._functions.step

    def once_nan(minibatch, *args):
        return step(minibatch._replace(x=minibatch.x * next(broken)), *args)

    with monkeypatch.context() as patch:
        patch.setattr(model._functions, "step", once_nan)
        with pytest.raises(TrainingError, match="update 5 gave"):
            model.train(TUNES, 5, 1, 3, 11)
    assert len(model.instantaneousCost) == 4
    assert model._train_state.position.update == 1
    model.train(TUNES, 5, 1, 3, 11, resume=True)
    assert len(model.instantaneousCost) == 8
    resumed = weights_of(model)
    same = cuda()
    for epochs, wanted in ((3, before), (5, resumed)):
        same.train(TUNES, epochs, 1, 3, 11)
        for name, value in weights_of(same).items():
            np.testing.assert_array_equal(wanted[name], value)


def program(model, monkeypatch):
    """Train a little; return all calls of compiled programs, with their arguments."""
    calls = []

    def watched(program):
        run = donate(program).run

        def call(*arrays):
            calls.append((run, jax.tree.map(jax.typeof, arrays), arrays))
            return run(*arrays)

        return program._replace(run=call)

    donate = export.donate
    monkeypatch.setattr(export, "donate", watched)
    model.train(TUNES, 1, 4, 3, 11)
    return calls


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        ("[HIGHEST, HIGHEST]", {"output": "joint", "jointUnits": 7}),
        ("[HIGH, HIGH]", {"tf32": True}),
    ],
)
def test_an_update_is_one_program_without_the_host(a_gpu, monkeypatch, wanted, form):
    # HIGH is TF32 where a GPU has it (jax.lax.Precision).
    # Fails if an update takes two programs, goes through the host, keeps the old
    # weights beside the new, or multiplies matrices in another precision.
    model = on_cuda("float32", **form)
    calls = program(model, monkeypatch)
    assert len(calls) == 4  # updates
    run, types, arrays = calls[0]
    kept = [array for array in arrays if isinstance(array, jax.Array)]
    gone = [array for array in kept if array.is_deleted()]
    assert len(gone) == 2 * len(leaves(model._store.weights))  # and the running means
    with backend.precision(model._functions.backend, "float32"):
        lowered = run.trace(*types).lower(lowering_platforms=("cuda",))
    text = lowered.as_text()
    assert "lstmmusic." not in text  # no kernel for a CPU
    assert "tensor<?" not in text  # all shapes are static
    assert not re.search("callback|infeed|outfeed|send|recv", text)
    donors = text.count("tf.aliasing_output") + text.count("jax.buffer_donor")
    assert donors == len(gone)
    products = re.findall(r"dot_general.*", text)
    assert products
    assert all(wanted in product for product in products), products


def test_a_device_that_is_not_there_is_refused_with_the_way_to_it():
    allowed = r"allowed are 'cpu', 'cuda'"
    with pytest.raises(ValueError, match=rf"device is 'gpu'; {allowed}"):
        on_cpu(device="gpu")
    with pytest.raises(ValueError, match=r"mode is 'NUMBA'; allowed is 'JAX'"):
        on_cpu(device="cuda", mode="NUMBA")
    try:
        jax.devices("cuda")
    except RuntimeError:
        with pytest.raises(ValueError, match=r"device is 'cuda', but there is no"):
            on_cpu(device="cuda")
    with pytest.raises(ValueError, match="tf32 is 1"):
        on_cpu(tf32=1)
