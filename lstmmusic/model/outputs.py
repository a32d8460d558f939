"""Define each cost beside its derivative with respect to Y, the output before σ.

``Y`` and the target ``k`` have the same shape, (..., N).  Both functions return the
cost of every element, in nats for the cross-entropy, and its derivative ``dY``.
"""

import pytensor.tensor as pt


def cross_entropy(Y, k):
    """Return −k log y − (1−k) log(1−y) for y = σ(Y), and dY = y − k.

    Both are taken from Y in a form that neither overflows nor loses digits; no
    guard inside the logarithm, so cost and derivative belong together (D8).
    """
    cost = pt.softplus(Y) - k * Y
    dY = pt.sigmoid(Y) - k
    return cost, dY


def squared_error(Y, k):
    """Return ½ (y − k)² for y = σ(Y), and dY = (y − k) y (1 − y)."""
    y = pt.sigmoid(Y)
    cost = 0.5 * (y - k) ** 2
    dY = (y - k) * y * (1 - y)
    return cost, dY


COSTS = {"cross-entropy": cross_entropy, "squared-error": squared_error}
