"""Compute the joint output over restruck columns, cell by cell.

A row has 2 n cells: what sounds, and behind it what is struck again.  ``x`` is the row
before a row of k, both (2 n,), of several rows (M, 2 n).
"""

from itertools import product

import joint_oracle
import numpy as np
import oracle
from oracle import NUMPY, sigma


def cells(width, order):
    """Return the cells' numbers in the order of drawing: each half in the order."""
    half = joint_oracle.places(width // 2, order)
    return half + [width // 2 + n for n in half]


def possible(x, k):
    """Return which cells of a row may be 1, as a list of truth values."""
    n = len(k) // 2
    again = [x[note] > 0.5 and k[note] == 1 for note in range(n)]
    return [True] * n + again


def cleared(x, k):
    """Return rows k (M, 2 n) without what is impossible, and 1 for what is possible."""
    mask = np.array([possible(*rows) for rows in zip(x, k, strict=True)], float)
    return np.where(mask, k, 0), mask


def nats_of(w, ups, x, k, order, log=np.log, maths=NUMPY):
    """Return −log P of each cell of rows k, (M, 2 n); 0 for what is impossible."""
    k, mask = cleared(x, k)
    s = joint_oracle.logits(w, ups, k, cells(k.shape[1], order), maths)
    y = sigma(s, maths)
    return -(k * log(y) + (1 - k) * log(1 - y)) * mask


def chords(x):
    """Return all rows that may come after a row x."""
    rows = np.array(list(product((0, 1), repeat=len(x))))
    fit = [k for k in rows if not (np.array(k) > possible(x, k)).any()]
    return np.array(fit)


def probabilities(w, tune, order):
    """Return y (T − 1, 2 n) of the rows after the first, given these rows."""
    k, mask = cleared(tune[:-1], tune[1:])
    ups = oracle.hidden(w, tune[:-1])
    return mask * sigma(joint_oracle.logits(w, ups, k, cells(k.shape[1], order)))


def draw(w, up, x, uniform, order, limits, given):
    """Draw a row after x, one cell after another; return it and its y, (2 n,).

    ``limits``: threshold, temperature, and most notes or None.  ``given`` has 0 and 1,
    and NaN where a cell is free.
    """
    threshold, temperature, most = limits
    width = len(uniform)
    k, y, s = np.zeros((3, width))
    drawn = cells(width, order)

    def draw_cell(n):
        s[n] = joint_oracle.logits(w, [up], k[None], drawn)[0, n]
        free = np.isnan(given[n])
        y[n] = oracle.chances([s[n]], threshold if free else 0, temperature)[0]
        k[n] = uniform[n] < y[n] if free else given[n]

    for n in drawn[: width // 2]:
        draw_cell(n)
    if most is not None:
        sounding = sorted(np.flatnonzero(k), key=lambda n: (given[n] != 1, -s[n]))
        for n in sounding[most:]:
            k[n] = given[n] == 1
    may = possible(x, k)
    for n in drawn[width // 2 :]:
        if may[n]:
            draw_cell(n)
    return k, y


def generate(w, primer, uniform, order, limits, given=None):
    """Feed a primer (P, 2 n), then what is drawn; return rows and y, (T, 2 n)."""
    h, c = oracle.first_state(w)
    for x in primer:
        up, h, c = oracle.layers(w, x, h, c)
    rows, ys = [primer[-1]], []
    for t, numbers in enumerate(uniform):
        fixed = np.full(len(numbers), np.nan) if given is None else given[t]
        row, y = draw(w, up, rows[-1], numbers, order, limits, fixed)
        rows.append(row)
        ys.append(y)
        up, h, c = oracle.layers(w, row, h, c)
    return np.array(rows[1:]), np.array(ys)


def evaluate(w, tunes, order, skip_first=True):
    """Return for each tune: nats, those of what sounds, hits, added, missed, steps."""
    rows = []
    for tune in tunes:
        if not skip_first:
            tune = np.vstack([0 * tune[:1], tune])
        x, after, n = tune[:-1], tune[1:], tune.shape[1] // 2
        ups = oracle.hidden(w, x)
        half = np.full(2 * n, 0.5)
        drawn = [
            draw(w, up, row, half, order, (0, 0, None), np.nan * half)[0]
            for up, row in zip(ups, x, strict=True)
        ]
        greedy, notes = np.array(drawn)[:, :n], after[:, :n]
        nats = nats_of(w, ups, x, after, order)
        hit, added, missed = notes * greedy, greedy > notes, notes > greedy
        counts = [nats.sum(), nats[:, :n].sum(), hit.sum(), added.sum(), missed.sum()]
        rows.append([*counts, len(ups)])
    return np.array(rows)
