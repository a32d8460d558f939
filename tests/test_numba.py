"""Numba finds what JAX does, and what a loop does.

All in one file, and so in one process: Numba takes half a minute or more to compile
the passes, and then keeps them for other networks.
"""

import numpy as np
import oracle
import pytest
from sizes import H, N

from lstmmusic.model.parameters import weight_shapes

NAMES = list(weight_shapes(H, N))

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_numba_and_jax_agree_on_gradients(network, minibatch):
    # In float32, where their sums are taken in other orders. Relative to each array's
    # largest element.
    cost, wanted = network(dtype="float32").gradients(*minibatch)
    numba_cost, found = network(dtype="float32", mode="NUMBA").gradients(*minibatch)
    errors = {
        name: np.abs(found[name] - wanted[name]).max() / np.abs(wanted[name]).max()
        for name in NAMES
    }
    worst = max(errors, key=errors.get)
    print(f"Numba and JAX, float32: worst {worst}, {errors[worst]:.1e}")
    assert all(found[name].dtype == np.float32 for name in NAMES)
    assert numba_cost == pytest.approx(cost, rel=1e-5)
    assert {name: e for name, e in errors.items() if not e <= 1e-5} == {}


@pytest.mark.parametrize(
    ("optimizer", "dropout", "plan"),
    [("RMSprop", 0.0, (2, 2, 2, 8)), ("Adam", 0.25, (2, 2, 2, None))],
)
def test_numba_trains_as_jax_does(network, optimizer, dropout, plan):
    # Fails if an update's settings do not reach Numba as arrays.
    rng = np.random.default_rng(61)
    tunes = [rng.choice([0.0, 0.0, 1.0], size=(n, N)) for n in (20, 40, 20)]
    found = {}
    for mode in ("JAX", "NUMBA"):
        model = network(dtype="float32", mode=mode, optimizer=optimizer)
        model.dropout = dropout
        model.setNewRates(1e-3, 1e-3, 1e-3, 1e-3)
        found[mode] = model.train(tunes, *plan, progress=False)
    assert found["NUMBA"] == pytest.approx(found["JAX"], rel=1e-5)
    assert len(found["JAX"]) == (8 if plan[-1] is None else 4)


@pytest.mark.filterwarnings(r"ignore:.*genProbThreshold \d")
def test_numba_generates_what_a_loop_generates(network):
    # Numba takes tunes of any length and number with one compilation; float32.
    rows = np.random.default_rng(31).choice([0.0, 1.0], size=(9, N))
    model = network(dtype="float32", mode="NUMBA")
    primers = np.stack([rows[:4], rows[4:8]])
    for primer, steps in ((primers, 12), (rows[None], 70)):
        numbers = np.random.default_rng(39).random((steps, len(primer), N), "float32")
        for temperature, most in ((1, None), (0.7, 2), (0, 1)):
            samples, y = model.genMusic(
                primer, steps, seed=39, temperature=temperature, maxNotes=most
            )
            for b, tune in enumerate(primer):
                wanted = oracle.generate(
                    model.parameters(), tune, numbers[:, b], 0.1,
                    temperature=temperature, most=most,
                )  # fmt: skip
                np.testing.assert_allclose(y[b], wanted[1], rtol=0, atol=1e-5)
                np.testing.assert_array_equal(samples[b], wanted[0])
