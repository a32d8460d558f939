"""Integrate a note's derivatives along the straight path from silence to a tune.

The path is cut into intervals.  What the parts of an interval must add up to is known:
the difference between the log-odds at its ends.  Where they miss it, as where gates
change fast, the interval is halved.
"""

import numpy as np

from lstmmusic import checks
from lstmmusic.engine.inside import Answers, Inside, Questions

ORDER = 5  # points in an interval, by the rule of Gauss and Legendre
NODES, WEIGHTS = np.polynomial.legendre.leggauss(ORDER)  # from -1 to 1
NODES, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
WORST = 4  # intervals of a question that are halved in a round
ROUNDS = 24
MISS = 0.01  # of the difference, that the parts may miss
ROUNDING = 1e-4  # nats; of float32


def integrate(inside: Inside, asked: Questions, n: int) -> Answers:
    """Return `Answers` whose ``past`` and ``chord`` are shares of the log-odds.

    They add up to ``log_odds[:, 1] − log_odds[:, 0]``, to 1 % or with a warning.

    Parameters
    ----------
    inside : Inside
    asked : Questions
        Its points and weights are not used.
    n : int
        Points to begin with, rounded up to whole intervals.
    """
    P, K = len(asked.steps), -(-n // ORDER)
    edges = np.linspace(0, 1, K + 1)
    points = np.r_[nodes_of(edges[:-1], edges[1:]).ravel(), edges]
    weights = np.r_[np.tile(WEIGHTS / K, K), np.zeros(K + 1)]
    found = ask(inside, asked, np.tile(points, (P, 1)), np.tile(weights, (P, 1)))
    s = found.log_odds[:, -K - 1 :].astype(float)
    sums = (found.along * weights)[:, : -K - 1].reshape(P, K, ORDER).sum(axis=2)
    starts, ends = np.broadcast_arrays(edges[:-1], edges[1:], s[:, 1:])[:2]
    table = np.stack([starts, ends, s[:, :-1], s[:, 1:], sums])

    difference, rough = s[:, -1] - s[:, 0], np.arange(P)
    for done in range(ROUNDS + 1):
        keep = misses(table) > MISS * abs(difference[rough]) + ROUNDING
        rough, table = rough[keep], table[:, keep]
        if not rough.size:
            break
        if done == ROUNDS:
            warn(rough.size, P)
            break
        part = asked._replace(steps=asked.steps[rough], notes=asked.notes[rough])
        table, finer = halve(inside, part, table)
        found.past[rough, : finer.past.shape[1]] += finer.past
        found.chord[rough] += finer.chord
    past, chord, log_odds, along = found
    past *= asked.roll[: past.shape[1]]
    chord *= np.pad(asked.roll, ((0, 1), (0, 0)))[asked.steps]
    return Answers(past, chord, log_odds[:, [-K - 1, -1]], along)


def ask(inside: Inside, asked: Questions, points, weights) -> Answers:
    """Ask about points (P, Q) of the path, with the weights of their derivatives."""
    dtype = asked.roll.dtype
    return inside.influence(
        asked._replace(points=points.astype(dtype), weights=weights.astype(dtype))
    )


def nodes_of(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the points of each interval, (…, ORDER)."""
    return starts[..., None] + (ends - starts)[..., None] * NODES


def misses(table: np.ndarray) -> np.ndarray:
    """Return by how much the parts of each question's intervals miss, added up."""
    _, _, s_start, s_end, sums = table
    return abs(s_end - s_start - sums).sum(axis=1)


def halve(inside: Inside, asked: Questions, table: np.ndarray):
    """Halve each question's worst intervals.

    Parameters
    ----------
    inside : Inside
    asked : Questions
        Of R notes.
    table : ndarray of shape (5, R, K)
        Of each interval its start and end, the log-odds there, and the sum of its
        parts.

    Returns
    -------
    table : ndarray of shape (5, R, K + W)
    answers : Answers
        What is to be added: the parts of the halves, less those of the whole.
    """
    R = table.shape[1]
    worst = abs(table[3] - table[2] - table[4]).argsort(axis=1)[:, -WORST:]
    W = worst.shape[1]
    start, end, s_start, s_end, _ = np.take_along_axis(table, worst[None], axis=2)
    middle = (start + end) / 2
    whole, left = nodes_of(start, end), nodes_of(start, middle)
    right = nodes_of(middle, end)
    points = np.concatenate([whole, left, right, middle[..., None]], axis=2)
    scale = np.r_[-WEIGHTS, WEIGHTS / 2, WEIGHTS / 2, 0]
    weights = (end - start)[..., None] * scale
    found = ask(inside, asked, points.reshape(R, -1), weights.reshape(R, -1))
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


def warn(rough: int, of: int) -> None:
    """Warn of notes whose parts do not add up to the difference."""
    checks.warn_caller(
        f"along the path from silence the log-odds of {rough} of "
        f"{checks.counted(of, 'note')} change too fast: the shares may miss the "
        "difference in log-odds by more than 1 %; a larger `integrated` comes nearer"
    )
