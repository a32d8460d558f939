"""Integrate a note's derivatives along the straight path from silence to a tune.

The path is divided into intervals.  The integral over an interval is known: the
difference between the log-odds at its ends.  Where the sum of the derivatives has an
error, as where gates change fast, the interval is halved.
"""

import numpy as np

from lstmmusic import checks
from lstmmusic.engine.inside import Attributions, Inside, Targets

ORDER = 5  # points in an interval, by the rule of Gauss and Legendre
NODES, WEIGHTS = np.polynomial.legendre.leggauss(ORDER)  # from -1 to 1
NODES, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
REFINED = 4  # intervals of a target that are halved in a round
ROUNDS = 24
RELATIVE_ERROR = 0.01  # of the difference in log-odds
ABSOLUTE_ERROR = 1e-4  # nats; more than float32's rounding


def integrate(inside: Inside, targets: Targets, n: int) -> Attributions:
    """Return `Attributions` whose ``past`` and ``chord`` are shares of the log-odds.

    They add up to ``log_odds[:, 1] − log_odds[:, 0]``, to 1 % and 1e-4 nats, or with a
    warning.

    Parameters
    ----------
    inside : Inside
    targets : Targets
        Its points and weights are not used.
    n : int
        Points to begin with, rounded up to whole intervals.
    """
    P, K = len(targets.steps), -(-n // ORDER)
    edges = np.linspace(0, 1, K + 1)
    points = np.r_[nodes_of(edges[:-1], edges[1:]).ravel(), edges]
    weights = np.r_[np.tile(WEIGHTS / K, K), np.zeros(K + 1)]
    found = evaluate(inside, targets, np.tile(points, (P, 1)), np.tile(weights, (P, 1)))
    s = found.log_odds[:, -K - 1 :].astype(float)
    sums = (found.along * weights)[:, : -K - 1].reshape(P, K, ORDER).sum(axis=2)
    starts, ends = np.broadcast_arrays(edges[:-1], edges[1:], s[:, 1:])[:2]
    table = np.stack([starts, ends, s[:, :-1], s[:, 1:], sums])

    allowed, inexact = abs(s[:, -1] - s[:, 0]) * RELATIVE_ERROR, np.arange(P)
    for done in range(ROUNDS + 1):
        keep = errors(table) > allowed[inexact] + ABSOLUTE_ERROR
        inexact, table = inexact[keep], table[:, keep]
        if not inexact.size:
            break
        if done == ROUNDS:
            warn(inexact.size, P)
            break
        steps, notes = targets.steps[inexact], targets.notes[inexact]
        table, change = refine(
            inside, targets._replace(steps=steps, notes=notes), table
        )
        for target, past in zip(inexact, change.past, strict=True):  # no copy of all
            found.past[target, : len(past)] += past
        found.chord[inexact] += change.chord
        del change, past
    past, chord, log_odds, along = found
    past *= targets.roll[: past.shape[1]]
    chord *= np.pad(targets.roll, ((0, 1), (0, 0)))[targets.steps]
    return Attributions(past, chord, log_odds[:, [-K - 1, -1]], along)


def evaluate(inside: Inside, targets: Targets, points, weights) -> Attributions:
    """Differentiate at points (P, Q) of the path, with the weights of their sum."""
    dtype = targets.roll.dtype
    points, weights = points.astype(dtype), weights.astype(dtype)
    return inside.influence(targets._replace(points=points, weights=weights))


def nodes_of(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the points of each interval, (…, ORDER)."""
    return starts[..., None] + (ends - starts)[..., None] * NODES


def errors(table: np.ndarray) -> np.ndarray:
    """Return the error of each target (P,): its intervals' absolute errors, summed."""
    _, _, s_start, s_end, sums = table
    return abs(s_end - s_start - sums).sum(axis=1)


def refine(inside: Inside, targets: Targets, table: np.ndarray):
    """Halve each target's intervals of the largest errors.

    Parameters
    ----------
    inside : Inside
    targets : Targets
        R notes.
    table : ndarray of shape (5, R, K)
        Of each interval its start and end, the log-odds there, and the sum of its
        derivatives.

    Returns
    -------
    table : ndarray of shape (5, R, K + W)
    change : Attributions
        The sums over the halves less those over the whole intervals.
    """
    R = table.shape[1]
    worst = abs(table[3] - table[2] - table[4]).argsort(axis=1)[:, -REFINED:]
    W = worst.shape[1]
    start, end, s_start, s_end, _ = np.take_along_axis(table, worst[None], axis=2)
    middle = (start + end) / 2
    whole, left = nodes_of(start, end), nodes_of(start, middle)
    right = nodes_of(middle, end)
    points = np.concatenate([whole, left, right, middle[..., None]], axis=2)
    scale = np.r_[-WEIGHTS, WEIGHTS / 2, WEIGHTS / 2, 0]
    weights = (end - start)[..., None] * scale
    found = evaluate(inside, targets, points.reshape(R, -1), weights.reshape(R, -1))
    parts = weights * found.along.reshape(R, W, -1)
    of_left, of_right = (
        parts[..., n * ORDER : (n + 1) * ORDER].sum(axis=2) for n in (1, 2)
    )
    s_middle = found.log_odds.reshape(R, W, -1)[..., -1]
    table = table.copy()
    lefts = np.stack([start, middle, s_start, s_middle, of_left])
    np.put_along_axis(table, worst[None], lefts, axis=2)
    rights = np.stack([middle, end, s_middle, s_end, of_right])
    return np.concatenate([table, rights], axis=2), found


def warn(inexact: int, of: int) -> None:
    """Warn of notes whose shares do not add up to the difference."""
    checks.warn_caller(
        f"along the path from silence the log-odds of {inexact} of "
        f"{checks.counted(of, 'note')} change too fast: the shares may miss the "
        "difference in log-odds by more than 1 %; a larger `integrated` comes nearer"
    )
