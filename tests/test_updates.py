"""Clip, L1, RMSprop and the layers' own rates, against a loop over names."""

import numpy as np
import oracle
import pytest
from conftest import T

SETTINGS = {
    # In all: unequal rates, and some running means below epsilon, some above.
    "plain": {"gradClip": 1e3, "epsilon": 1e-3, "lam": 0.0},
    "clipped": {"gradClip": 0.05, "epsilon": 1e-5, "lam": 0.0},
    "L1": {"gradClip": 30.0, "epsilon": 1e-5, "lam": 0.3},
    # The order matters: clipped first, L1 added after.
    "clipped, L1": {"gradClip": 0.05, "epsilon": 1e-3, "lam": 0.2},
}
RATES = (1e-3, 2e-3, 5e-4, 3e-3)


def configure(model, gradClip, epsilon):
    model.setNewRates(*RATES)
    model.gradClip, model.epsilon = gradClip, epsilon


def means(model, everything):
    arrays = everything(model)
    return {
        name: arrays[f"D{name.replace('_', '')}p"]
        for name in model.parameters()
        if "td1" not in name
    }


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_updates_are_those_of_a_loop(network, tunes, everything, settings):
    # Four updates, each from the gradient at the weights before it. Fails if the clip
    # or the L1 term is missing, in the wrong order, or on a bias, if a rate belongs to
    # another layer, or if epsilon is added where the greater of the two is wanted.
    model = network()
    lam = settings["lam"]
    clip, epsilon = settings["gradClip"], settings["epsilon"]
    configure(model, clip, epsilon)
    x, k = np.array([t[:-1] for t in tunes]), np.array([t[1:] for t in tunes])
    w = model.parameters()
    v = {name: np.zeros_like(a) for name, a in means(model, everything).items()}
    bound = {"clip": False, "no clip": False, "epsilon": False, "no epsilon": False}
    for _ in range(4):
        _, gradients = model.gradients(x, k)
        new_w, v = oracle.rmsprop(w, gradients, v, RATES, epsilon, clip, lam)
        model.train(tunes, 1, 1, len(tunes), T + 1, lam, progress=False)
        w |= new_w
        found = model.parameters()
        for name, wanted in w.items():
            np.testing.assert_allclose(found[name], wanted, 1e-9, 1e-12, err_msg=name)
        g = np.concatenate([a.ravel() for a in gradients.values()])
        flat_v = np.concatenate([a.ravel() for a in v.values()])
        bound["clip"] |= (abs(g) > clip).any()
        bound["no clip"] |= (abs(g) < clip).any()
        bound["epsilon"] |= (flat_v < epsilon).any()
        bound["no epsilon"] |= (flat_v > epsilon).any()
    assert bound["no clip"]
    assert bound["no epsilon"]
    assert bound["clip"] == (clip < 1)
    assert bound["epsilon"] or lam  # with L1, nearly all means lie above it
    for name, mean in means(model, everything).items():
        np.testing.assert_allclose(mean, v[name], 1e-9, 1e-15, err_msg=name)


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
