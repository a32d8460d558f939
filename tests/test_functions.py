"""Test what is compiled, how often, and that chunks of a tune add up to the tune."""

import warnings

import numpy as np
import oracle
import pytensor
import pytest
from sizes import H, N

from lstmmusic import RNN4Music
from lstmmusic.data.batches import mean_over_tunes
from lstmmusic.engine import gradient
from lstmmusic.engine.backend import choose_mode
from lstmmusic.engine.functions import CHUNK
from lstmmusic.model.optimizers import Settings


def rolls(steps, seed=41, width=N):
    return np.random.default_rng(seed).choice([0.0, 0.0, 1.0], size=(steps, width))


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("steps", [1, CHUNK, CHUNK + 1, 150])
def test_probabilities_are_those_of_a_loop(network, steps, original):
    # Fails if the state is lost or taken twice where one chunk of steps meets the
    # next, or if the zeros that fill up the last chunk come out.
    model = network(original=original)
    tune = rolls(steps)
    found = model.probabilities(tune)
    wanted = oracle.probabilities(model.parameters(), tune, original)
    assert found.shape == (steps, N)
    error = np.abs(found - wanted).max()
    print(f"{steps} steps, originalForward={original}: {error:.1e}")
    assert error <= 1e-10


def test_D3_originalForward_looks_at_the_cell_input_in_layer_1_alone(network):
    # The forms differ where W_co_1 is not zero, and only there: fails if the form does
    # nothing, or is taken in layers 2 and 3 too.
    tune = rolls(20)
    ours, originals = network(original=False), network(original=True)
    assert np.abs(ours.probabilities(tune) - originals.probabilities(tune)).max() > 1e-3
    for model in (ours, originals):
        model.setParameters({"Wco_1": np.zeros(H[0])})
    assert (originals.parameters()["Wco_2"] != 0).all()
    np.testing.assert_allclose(
        ours.probabilities(tune), originals.probabilities(tune), rtol=0, atol=1e-12
    )


@pytest.mark.filterwarnings("ignore:.*of the original program")
def test_the_authors_network_gives_the_probabilities_of_a_loop_over_his_file(shared):
    # On real chorales, in float32, as he trained it; one is longer than a chunk.
    scipy_io = pytest.importorskip("scipy.io")
    path = shared("original/fixedTrial_xEnError_182.npz")
    with np.load(path) as file:
        weights = {name: file[name].astype(float) for name in file.files}
    for n in (1, 2, 3):
        weights[f"htd1_{n}"] = weights[f"ctd1_{n}"] = np.zeros(120)
    chorales = scipy_io.loadmat(shared("polyphonic/JSB_Chorales.mat"))["testdata"][0]
    chorales = sorted(chorales, key=len)
    model = RNN4Music.fromFile(path)
    assert model.dtype == np.float32
    assert len(chorales[-1]) > 64
    for tune in (chorales[0], chorales[30], chorales[-1]):
        found = model.probabilities(tune)
        wanted = oracle.probabilities(weights, tune.astype(float), original=True)
        error = np.abs(found - wanted).max()
        print(f"{len(tune)} steps of a chorale: {error:.1e}")
        assert error <= 1e-5
        assert wanted.max() > 0.5  # it has learnt something


def test_new_lengths_and_thresholds_do_not_compile_again(compilations):
    pytest.importorskip("jax")
    model = RNN4Music(4, 3, 2, 5, seed=1)
    for call in (
        lambda steps: model.probabilities(rolls(steps, width=5)),
        lambda steps: model.genMusic(rolls(steps, width=5), 3 * steps),
    ):
        before = compilations.count("pytensor.function")
        call(3)
        assert compilations.count("pytensor.function") == before + 1
        call(64)  # JAX's own small programs, for joining chunks, may follow once
        before = list(compilations)
        for steps in (1, 17, 150):
            model.genProbThreshold = 0.2 / steps
            call(steps)
        assert compilations.count("pytensor.function") == before.count(
            "pytensor.function"
        )


def test_float64_lasts_though_floatX_changes_before_the_first_use():
    # Compilation waits for the first call; by then floatX may be another's.
    pytest.importorskip("jax")
    with pytensor.config.change_flags(floatX="float64"):
        model = RNN4Music(*H, N, seed=1)
    with pytensor.config.change_flags(floatX="float32"):
        tune = rolls(10)
        found = model.probabilities(tune)
        assert found.dtype == model.parameters()["by"].dtype == np.float64
        wanted = oracle.probabilities(model.parameters(), tune)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_float32_lasts_beside_float64(network):
    tune = rolls(10)
    network(dtype="float64").probabilities(tune)
    model = network(dtype="float32")
    found = model.probabilities(tune)
    assert found.dtype == np.float32
    wanted = oracle.probabilities(model.parameters(), tune)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n_tunes", "steps"), [(1, 4), (3, 1)])
def test_float32_lasts_for_one_tune_and_for_one_step(n_tunes, steps):
    # Fails if a sum over an axis of length 1 is taken in float64, of which JAX warns.
    pytest.importorskip("jax")
    model = RNN4Music(4, 3, 2, 5, seed=1, sigRand=0.6)
    x, k = (
        np.random.default_rng(seed).choice([0.0, 1.0], size=(n_tunes, steps, 5))
        for seed in (42, 43)
    )
    cost, gradients = model.gradients(x, k)
    wanted = oracle.cost("cross-entropy", model.parameters(), x, k)
    assert cost == pytest.approx(wanted, rel=1e-5)
    assert {g.dtype.name for g in gradients.values()} == {"float32"}


def test_the_mode_is_jax_unless_another_is_asked_for():
    assert choose_mode() == choose_mode("JAX") == "JAX"
    assert choose_mode("NUMBA") == "NUMBA"
    with pytest.raises(
        ValueError, match="mode is 'C'; allowed are None and 'JAX', 'NUMBA'"
    ):
        choose_mode("C")


def test_deleted_networks_leave_nothing_behind():
    # Fails if compiled functions, and the weights in them, outlive their object.
    import gc
    import weakref

    pytest.importorskip("jax")
    model = RNN4Music(4, 3, 2, 5, seed=1)
    model.probabilities(rolls(3, width=5))
    weights = weakref.ref(model._store)
    del model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    assert weights() is None


def test_an_update_in_one_program_is_that_of_its_parts(network):
    # Fails if the program of a whole update differs from gradients and update.
    settings = Settings(*np.array([0.01, 0.02, 0.03, 0.04, 1e-5, 0.1, np.inf, 0.001]))
    rng = np.random.default_rng(5)
    minibatch = mean_over_tunes(*(rng.random((2, 7, 2, N)) < 0.3).astype(float))
    masks = [(rng.random((7, 2, cells)) < 0.5) * 2.0 for cells in H]
    functions = network()._functions
    assert functions.in_one_program(minibatch)

    def step():
        return functions.step(minibatch, masks, settings)

    def parts():
        return functions.apply(functions.partial_gradients(minibatch, masks), settings)

    found = []
    for update in (step, parts):
        model = network()  # the same, with its first values
        found.append({"cost": update(), **model.parameters()})
    for name, value in found[1].items():
        np.testing.assert_allclose(found[0][name], value, rtol=1e-9, atol=1e-13)


def test_an_update_of_two_threads_is_that_of_one(network, monkeypatch):
    # Fails if an update leaves out the gradient of a thread, or counts its padding.
    monkeypatch.setattr(gradient, "FEWEST_TUNES", 1)
    settings = Settings(*np.array([0.01, 0.02, 0.03, 0.04, 1e-5, 1.0, np.inf, 0.001]))
    rolls = (np.random.default_rng(6).random((2, 7, 3, N)) < 0.3).astype(float)
    found = []
    for workers in (1, 2):
        monkeypatch.setattr(gradient, "threads", lambda backend, n=workers: n)
        model = network()
        parts = model._functions.partial_gradients(mean_over_tunes(*rolls))
        assert len(parts) == workers
        cost = model._functions.apply(parts, settings)
        found.append({"cost": cost, **model.parameters()})
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-9, atol=1e-12)


def test_a_step_in_blocks_is_made_of_its_parts(network, monkeypatch):
    # Fails if `step` takes a minibatch of several blocks in one piece.
    functions = network()._functions
    rolls = np.zeros((2, 7, 3, N))
    minibatch = mean_over_tunes(*rolls)._replace(block=4)
    monkeypatch.setattr(functions, "partial_gradients", lambda *given: given)
    monkeypatch.setattr(functions, "apply", lambda *given: given)
    assert functions.step(minibatch, (), "settings") == ((minibatch, ()), "settings")
