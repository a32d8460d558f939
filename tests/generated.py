"""Hold generated music against an oracle's."""

import numpy as np

# Random weights hold notes; where a tune gets stuck is not what these tests are about.
STUCK = r"ignore:.*genProbThreshold \d"


def uniform(seed, *shape):
    return np.random.default_rng(seed).random(shape)


def assert_generated(found, wanted):
    samples, y = found
    np.testing.assert_allclose(y, wanted[1], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(samples, wanted[0])
