"""How the passes multiply with a roll, and with the weights of a scan.

`PLAIN` is by matrix products, for every backend; the engine may take others.
"""

from typing import NamedTuple

import pytensor.tensor as pt


class Products(NamedTuple):
    """Functions of symbolic arrays.  Shapes: T steps, B tunes, N notes; K, Q columns.

    ``lay_out`` and ``turn`` give a pair: the weights as a scan takes them, and the
    function (rows (B, K), these) that multiplies with W, or with its transpose.
    """

    roll: object  # x (T, B, N), W (N, Q), b (Q,), below (T, B, Q): b + W x + below
    outer: object  # x (T, B, N), da (T, B, Q): Σ over T and B of x da', (N, Q)
    lay_out: object  # W (K, Q)
    turn: object  # W (Q, K)


def plain_roll(x, W, b, below=None):
    """Return b + W x, and ``below`` added if there is one."""
    a = pt.dot(x, W) + b
    return a if below is None else a + below


def contraction(a, b):
    """Contract (T, B, P) with (T, B, Q) to Σ over T and B of a b': (P, Q)."""
    return pt.dot(rows(a).T, rows(b))


def rows(a):
    return a.reshape((-1, a.shape[-1]))


PLAIN = Products(
    roll=plain_roll,
    outer=contraction,
    lay_out=lambda W: (W, pt.dot),
    turn=lambda W: (W.T, pt.dot),
)
