"""Norm, clip, L1, RMSprop, Adam and the layers' own rates, against loops over names."""

import numpy as np
import oracle
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors
from sizes import N, T

from lstmmusic.data.batches import WHOLE_BLOCK
from lstmmusic.model.network import tree_map
from lstmmusic.model.optimizers import Settings, new_values
from lstmmusic.training.checkpoint import weights_of

USUAL = {"gradClip": 30.0, "epsilon": 1e-5, "lam": 0.0, "gradNorm": None}
SETTINGS = {
    # In all: unequal rates, and some running means below epsilon, some above.
    "plain": {"gradClip": 1e3, "epsilon": 1e-3},
    "clipped": {"gradClip": 0.05},
    "L1": {"lam": 0.3},
    # The order matters: clipped first, L1 added after.
    "clipped, L1": {"gradClip": 0.05, "epsilon": 1e-3, "lam": 0.2},
    # The norm is about 8 before it is limited: then few elements are left to clip.
    "norm, clipped, L1": {"gradClip": 0.05, "lam": 0.01, "gradNorm": 0.4},
}
RATES = (1e-3, 2e-3, 5e-4, 3e-3)
LONG = WHOLE_BLOCK + 1  # steps: a shape that test_training compiles, too


def configure(model, settings):
    model.setNewRates(*RATES)
    for name in ("gradClip", "epsilon", "gradNorm"):
        setattr(model, name, settings[name])


def means(model, everything, last="p"):
    arrays = everything(model)
    return {
        name: arrays[f"D{name.replace('_', '')}{last}"]
        for name in model.parameters()
        if "td1" not in name
    }


def of_length(tunes, length):
    """Inputs and targets (B, length − 1, N) of tunes that are repeated."""
    rolls = np.array([tune[np.arange(length) % len(tune)] for tune in tunes])
    return rolls[:, :-1], rolls[:, 1:]


def zeros(model):
    return {name: np.zeros_like(a) for name, a in weights_of(model).items()}


def assert_all_close(found, wanted):
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, 1e-9, 1e-12, err_msg=name)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_updates_are_those_of_a_loop(network, tunes, everything, settings):
    # Four updates, each from the gradient at the weights before it. Fails if the norm,
    # the clip or the L1 term is missing, in the wrong order, or on a bias, if a rate
    # belongs to another layer, or if epsilon is added where the greater of the two is
    # wanted.
    model = network()
    settings = USUAL | settings
    lam, norm = settings["lam"], settings["gradNorm"]
    clip, epsilon = settings["gradClip"], settings["epsilon"]
    configure(model, settings)
    x, k = of_length(tunes, T + 1)
    w, v = model.parameters(), zeros(model)
    bound = {"clip": False, "no clip": False, "epsilon": False, "no epsilon": False}
    for _ in range(4):
        _, gradients = model.gradients(x, k)
        new_w, v = oracle.rmsprop(w, gradients, v, RATES, epsilon, clip, lam, norm)
        model.train(tunes, 1, 1, len(tunes), T + 1, lam, progress=False)
        w |= new_w
        assert_all_close(model.parameters(), w)
        g = np.concatenate([a.ravel() for a in gradients.values()])
        if norm is not None:
            assert np.linalg.norm(g) > 2 * norm
            bound["clip without the norm"] = (abs(g) > clip).mean() > 0.2
            g *= norm / np.linalg.norm(g)
        flat_v = np.concatenate([a.ravel() for a in v.values()])
        bound["clip"] |= (abs(g) > clip).any()
        bound["no clip"] |= (abs(g) < clip).mean() > 0.5
        bound["epsilon"] |= (flat_v < epsilon).any()
        bound["no epsilon"] |= (flat_v > epsilon).any()
    assert bound.get("clip without the norm", True)
    assert bound["no clip"]
    assert bound["no epsilon"]
    assert bound["clip"] == (clip < 1)
    assert bound["epsilon"] or lam  # with L1, nearly all means lie above it
    found = means(model, everything)
    for name, mean in found.items():
        np.testing.assert_allclose(mean, v[name], 1e-9, 1e-15, err_msg=name)


def test_adams_updates_are_those_of_a_loop(network, tunes, everything):
    # What is done to the gradient before is that of RMSprop.  Fails, too, if the first
    # means of zero are not made up for, from the first update on, or if they are not
    # remembered from one training to the next.
    model = network(optimizer="Adam")
    settings = USUAL | SETTINGS["norm, clipped, L1"]
    lam, norm = settings["lam"], settings["gradNorm"]
    configure(model, settings)
    x, k = of_length(tunes, LONG)
    w, v, m = model.parameters(), zeros(model), zeros(model)
    for t in range(1, 5):
        _, gradients = model.gradients(x, k)
        length = np.linalg.norm(np.concatenate([g.ravel() for g in gradients.values()]))
        assert length > 2 * norm
        new_w, v, m = oracle.adam(
            w, gradients, v, m, t, RATES, settings["gradClip"], lam, norm
        )
        model.train(tunes, 1, 1, len(tunes), LONG, lam, progress=False)
        w |= new_w
        assert_all_close(model.parameters(), w)
    assert_all_close(means(model, everything), v)
    assert_all_close(means(model, everything, last="m"), m)
    assert everything(model)["optimizerUpdates"] == 4
    model.resetRMSgrads()
    assert not any(mean.any() for mean in means(model, everything).values())
    assert not any(mean.any() for mean in means(model, everything, last="m").values())
    assert everything(model)["optimizerUpdates"] == 0


def test_a_norm_below_the_limit_and_a_gradient_of_zero_change_nothing(network, tunes):
    # Fails if the gradient is brought to the norm whatever it is, or if 0/0 comes up.
    model = network()
    first = model.parameters()
    found = []
    for norm in (None, 1e6):
        model.setParameters(first)
        model.resetRMSgrads()
        model.gradNorm = norm
        model.train(tunes, 1, 2, len(tunes), T + 1, progress=False)
        found.append(model.parameters())
    assert_all_close(*found)
    silent = {name: np.zeros_like(a) for name, a in first.items()}
    model.setParameters(silent | {"by": np.full(N, -1e3)})
    model.train(np.zeros((2, 3, N)), 1, 1, 2, T + 1, progress=False)
    assert model.loss == 0
    assert not model.parameters()["Why_1"].any()


def test_without_a_limit_no_norm_is_taken(network):
    # So that the bits of an update are those before there was a gradNorm.
    store = network()._store
    settings = Settings(*pt.dscalars(*Settings._fields))
    gradients = tree_map(lambda weight: weight.type(), store.weights)
    for limited in (False, True):
        updates = new_values(store.weights, gradients, store.moments, settings, limited)
        asked = {*ancestors(updates.values())}
        assert (settings.gradNorm in asked) == limited
        assert settings.gradClip in asked


def test_D4_the_running_mean_is_of_squares(network, tunes, everything):
    # After two updates: v = 0.9 · 0.1 g₁² + 0.1 g₂². The original keeps the last
    # normalised step, about ±3, in its place.
    model = network()
    x, k = np.array([t[:-1] for t in tunes]), np.array([t[1:] for t in tunes])
    squares = []
    for _ in range(2):
        squares.append({n: g**2 for n, g in model.gradients(x, k)[1].items()})
        model.train(tunes, 1, 1, len(tunes), T + 1, progress=False)
    for name, mean in means(model, everything).items():
        wanted = 0.09 * squares[0][name] + 0.1 * squares[1][name]
        np.testing.assert_allclose(mean, wanted, rtol=1e-9, atol=1e-18, err_msg=name)
    model.resetRMSgrads()
    assert all((mean == 0).all() for mean in means(model, everything).values())


def test_D5_Rout_drives_the_whole_output_layer_and_nothing_else(network, tunes):
    # Twice the rate, twice the step; so for each of the four rates and what is its own.
    model = network()
    first = model.parameters()

    def steps(**rates):
        model.setParameters(first)
        model.resetRMSgrads()
        for name in ("R1", "R2", "R3", "Rout"):
            setattr(model, name, rates.get(name, 1e-3))
        model.train(tunes, 1, 1, len(tunes), T + 1, progress=False)
        return {name: a - first[name] for name, a in model.parameters().items()}

    usual = steps()
    for rate, is_its_own in {
        "R1": lambda name: name.endswith("1") and not name.startswith("Why"),
        "R2": lambda name: name.endswith("2") and not name.startswith("Why"),
        "R3": lambda name: name.endswith("3") and not name.startswith("Why"),
        "Rout": lambda name: name == "by" or name.startswith("Why"),
    }.items():
        for name, step in steps(**{rate: 2e-3}).items():
            if "td1" in name:
                assert not step.any()
                continue
            assert step.any()
            factor = 2 if is_its_own(name) else 1
            np.testing.assert_allclose(step, factor * usual[name], 1e-9, 1e-14)


def test_D5_Rout_is_saved(network, tmp_path):
    model = network()
    model.Rout = 0.0375
    model.saveParameters(tmp_path / "a")
    with np.load(tmp_path / "a.npz") as file:
        assert file["Rout"] == 0.0375
    model.Rout = 1.0
    model.loadParameters(tmp_path / "a")
    assert model.Rout == 0.0375
