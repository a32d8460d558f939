"""Each cost and its derivative, for any output."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from lstmmusic.model.outputs import COSTS

PYTHON = Mode(linker="py", optimizer=None)


@pytest.fixture(scope="module", params=COSTS)
def cost_of(request):
    Y, k = pt.dvectors("Y", "k")
    function = pytensor.function([Y, k], COSTS[request.param](Y, k), mode=PYTHON)
    return request.param, function


def test_the_cost_is_its_definition(cost_of):
    # Fails if a factor, a sign, or k and 1−k are wrong.
    name, function = cost_of
    Y = np.linspace(-5, 5, 23)
    k = np.tile([0.0, 1.0, 0.25], 8)[:23]
    y = 1 / (1 + np.exp(-Y))
    cost, _ = function(Y, k)
    if name == "cross-entropy":
        wanted = -k * np.log(y) - (1 - k) * np.log(1 - y)
    else:
        wanted = (y - k) ** 2 / 2
    np.testing.assert_allclose(cost, wanted, rtol=1e-12)


def test_the_derivative_is_the_slope_of_the_cost(cost_of):
    _, function = cost_of
    Y = np.linspace(-5, 5, 23)
    k = np.tile([0.0, 1.0, 0.25], 8)[:23]
    above, below = (function(Y + d, k)[0] for d in (1e-5, -1e-5))
    _, dY = function(Y, k)
    np.testing.assert_allclose((above - below) / 2e-5, dY, atol=1e-9)


def test_D8_cost_and_derivative_stay_finite_and_together_for_huge_outputs(cost_of):
    # Fails with log(y) unguarded (infinite), and with a guard in one of the two: where
    # the guard holds, the cost no longer changes as its derivative says.
    name, function = cost_of
    Y = np.array([-1e4, -750.0, -40.0, 40.0, 750.0, 1e4])
    for k in (np.zeros(6), np.ones(6)):
        cost, dY = function(Y, k)
        assert np.isfinite(cost).all()
        assert np.isfinite(dY).all()
        above, below = (function(Y + d, k)[0] for d in (0.5, -0.5))
        np.testing.assert_allclose(above - below, dY, rtol=0, atol=1e-9)
        if name == "cross-entropy":
            wrong = (Y > 0) != (k > 0)
            np.testing.assert_allclose(cost, np.where(wrong, abs(Y), 0), atol=1e-15)
            np.testing.assert_allclose(
                dY, np.where(wrong, np.sign(Y), 0), rtol=0, atol=1e-15
            )
