"""Compute a minibatch's gradient with the library's programs, and compare gradients."""

import numpy as np
import pytest
from sizes import H

from lstmmusic.data.batches import Minibatch
from lstmmusic.model.network import from_leaves
from lstmmusic.model.parameters import unpack


def as_minibatch(rolls, loss_weight, block):
    x, targets = (np.ascontiguousarray(roll.swapaxes(0, 1)) for roll in rolls)
    return Minibatch(x, targets, loss_weight, block)


def cost_and_gradients(model, minibatch, masks=()):
    """Return the summed parts of a minibatch's gradient, as {original name: array}."""
    parts = model._functions.partial_gradients(minibatch, masks)
    cost = sum(float(part.cost) for part in parts)
    by_weight = zip(*(part.gradients for part in parts), strict=True)
    packed = (sum(map(np.asarray, arrays)) for arrays in by_weight)
    network = from_leaves(model._store.weights, packed)
    return cost, unpack(network)


def make_masks(rng, steps, tunes):
    return [rng.choice([0.0, 2.0], size=(steps, tunes, cells)) for cells in H]


def assert_close(found, wanted, tolerance):
    assert found[0] == pytest.approx(wanted[0], rel=tolerance)
    assert found[1].keys() == wanted[1].keys()
    for name, gradient in wanted[1].items():
        norm = np.linalg.norm(gradient)
        assert norm > 0, name
        error = np.linalg.norm(found[1][name] - gradient) / norm
        assert error <= tolerance, name
