"""Turn gradients into new weights: clip, L1, RMSprop or Adam, a rate per layer."""

from typing import Any, NamedTuple

import pytensor.tensor as pt

from lstmmusic.model.network import Network, fields, leaves, tree_map
from lstmmusic.model.ops import total

RHO = 0.9  # decay of RMSprop's mean of squares
BETA_1, BETA_2, EPSILON_ADAM = 0.9, 0.999, 1e-8
LARGEST_WEIGHT = 1e6


class Settings(NamedTuple):
    """Hold the numbers of an update, each a scalar: float, array or symbolic."""

    R1: Any
    R2: Any
    R3: Any
    Rout: Any
    epsilon: Any
    gradClip: Any
    gradNorm: Any  # infinite: no limit
    lam: Any

    @property
    def rates(self):
        """Return the rate of each place of `network.fields`: the layers, the output."""
        return self.R1, self.R2, self.R3, self.Rout


class Moments(NamedTuple):
    """Hold an optimizer's running means; None for those that it does not use."""

    means: Network | None = None  # running means of the squared gradients
    momenta: Network | None = None  # of the gradients (Adam)
    updates: object | None = None  # how many there were (Adam)


def new_values(network, gradients, moments, settings, limited):
    """Return {shared variable: new value} for one update.

    For each weight, with g its gradient::

        g ← g min(1, gradNorm / ‖g of all weights‖)        if ``limited``
        g ← clip(g, −gradClip, gradClip), element by element
        g ← g + lam sign(W)                                (no L1 on biases)
        W ← W − R step

    with R the rate of the layer that W belongs to (D5: Rout drives W_y and b_y), and
    the step by RMSprop or, if ``moments`` has momenta, by Adam.

    Parameters
    ----------
    network, gradients : Network
    moments : Moments
    settings : Settings
    limited : bool
        Whether gradNorm is finite: the norm takes time.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio 2013, arXiv:1211.5063 (the norm); T. Tieleman,
    G. Hinton 2012, Coursera lecture 6.5 (RMSprop); D. P. Kingma, J. Ba 2015,
    arXiv:1412.6980 (Adam).
    """
    if limited:
        gradients = limit_norm(gradients, settings.gradNorm)
    updates = {}
    adam = moments.momenta is not None
    if adam:
        t = updates[moments.updates] = moments.updates + 1
    means = leaves(moments.means)
    momenta = leaves(moments.momenta) if adam else [None] * len(means)
    rows = zip(fields(network), leaves(gradients), means, momenta, strict=True)
    for (place, name, W), g, v, m in rows:
        g = pt.clip(g, -settings.gradClip, settings.gradClip)
        if name not in ("b", "b_y"):  # b_y includes b_a
            g = g + settings.lam * pt.sign(W)
        if adam:
            updates[v], updates[m], step = adam_step(g, v, m, t)
        else:
            updates[v], step = rmsprop_step(g, v, settings.epsilon)
        updates[W] = W - settings.rates[place] * step
    return updates


def limit_norm(gradients, largest):
    """Scale all gradients by one factor, so that their norm is ``largest`` at most."""
    norm = pt.sqrt(sum(total(g**2) for g in leaves(gradients)))
    scale = pt.minimum(1, largest / norm)
    return tree_map(lambda g: g * scale, gradients)


def rmsprop_step(g, v, epsilon):
    """Return the new running mean, and the step.

    ::

        v ← 0.9 v + 0.1 g²                                 (D4: of squares)
        step = g / sqrt(max(v, epsilon))
    """
    v_next = RHO * v + (1 - RHO) * g**2
    return v_next, g / pt.sqrt(pt.maximum(v_next, epsilon))


def adam_step(g, v, m, t):
    """Return the new running means of squares and of gradients, and the step.

    ::

        v ← 0.999 v + 0.001 g²    m ← 0.9 m + 0.1 g
        step = m / (1 − 0.9ᵗ) / (sqrt(v / (1 − 0.999ᵗ)) + 1e-8)
    """
    v_next = BETA_2 * v + (1 - BETA_2) * g**2
    m_next = BETA_1 * m + (1 - BETA_1) * g
    root = pt.sqrt(v_next / (1 - BETA_2**t))
    return v_next, m_next, m_next / (1 - BETA_1**t) / (root + EPSILON_ADAM)


def reject_nonfinite(updates, weights, cost, previous_cost):
    """Keep every old value if the cost or any new value is not finite.

    Keep them also if a weight exceeds ±`LARGEST_WEIGHT`, as the training has diverged
    by then, and if ``previous_cost``, that of the update before, which may be awaited
    later, is not finite.  Returns the guarded updates, and the cost, NaN if they are
    rejected.
    """
    others = [new for old, new in updates.items() if old not in weights]
    finite = pt.isfinite(previous_cost + cost + sum(map(total, others)))
    for weight in weights:
        inside = pt.all(abs(updates[weight]) <= LARGEST_WEIGHT)  # False for NaN
        finite = pt.and_(finite, inside)
    guarded = {old: pt.switch(finite, new, old) for old, new in updates.items()}
    return guarded, pt.switch(finite, cost, pt.constant(float("nan"), dtype=cost.dtype))
