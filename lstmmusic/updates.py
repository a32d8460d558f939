"""Clip, L1, RMSprop, one rate for each layer: gradients in, new values out."""

import pytensor.tensor as pt

from lstmmusic.network import fields, total

DECAY = 0.9


def rmsprop(network, gradients, means, rates, epsilon, grad_clip, lam):
    """Return {shared variable: new value} for one update.

    For each weight, element by element::

        g ← clip(g, −grad_clip, grad_clip) + lam sign(W)   (no L1 on biases)
        v ← 0.9 v + 0.1 g²                                 (D4: of squares)
        W ← W − R g / sqrt(max(v, epsilon))

    with R the rate of the layer that W belongs to (D5: the last drives W_y and b_y).

    Parameters
    ----------
    network, means : Network
        Shared variables: the weights W and the running means v.
    gradients : Network
    rates : sequence of 4 scalars
        R1, R2, R3, Rout.
    epsilon, grad_clip, lam : scalars
    """
    updates = {}
    for (place, name, W), (_, _, g), (_, _, v) in zip(
        fields(network), fields(gradients), fields(means), strict=True
    ):
        g = pt.clip(g, -grad_clip, grad_clip)
        if not name.startswith("b"):
            g = g + lam * pt.sign(W)
        v_next = DECAY * v + (1 - DECAY) * g**2
        updates[v] = v_next
        updates[W] = W - rates[place] * g / pt.sqrt(pt.maximum(v_next, epsilon))
    return updates


def only_if_finite(updates, cost):
    """Keep every old value where the cost or any new value is not finite.

    Returns the guarded updates, and the cost, NaN where they were kept.
    """
    finite = pt.isfinite(cost + sum(map(total, updates.values())))
    guarded = {old: pt.switch(finite, new, old) for old, new in updates.items()}
    return guarded, pt.switch(finite, cost, pt.constant(float("nan"), dtype=cost.dtype))
