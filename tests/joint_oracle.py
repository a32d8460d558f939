"""Compute the joint output note by note, from the equations, on top of `oracle`.

A step has ``up``, what leaves the layers, {layer: (H,)}, and ``k`` (N,), the notes of
the next row.  ``order`` is 'up', the lowest note first, or 'down'.
"""

from itertools import product

import numpy as np
import oracle
from oracle import NUMPY, sigma


def places(N, order):
    """Return the notes' numbers in the order of drawing."""
    return list(range(N)) if order == "up" else list(range(N))[::-1]


def logit(w, up, k, n, order, maths=NUMPY):
    """Return s of note n, given the notes of k that are drawn before it."""
    drawn = places(len(k), order)
    at = drawn.index(n)
    s = oracle.to_notes(w, up)[n]
    before = [(i, m) for i, m in enumerate(drawn[:at]) if k[m]]
    for i, _ in before:
        s = s + w["Wky"][at, i]
    if "ba" in w:
        a = sum(w[f"Wha_{layer}"] @ up[layer] for layer in (1, 2, 3)) + w["ba"]
        for _, m in before:
            a = a + w["Wka"][:, m]
        s = s + (w["Wuy"][n] * sigma(a, maths)).sum()
    return s


def nats_of(w, up, k, order, log=np.log, maths=NUMPY):
    """Return −log P(k | the past)."""
    nats = 0
    for n in range(len(k)):
        y = sigma(logit(w, up, k, n, order, maths), maths)
        nats = nats - (log(y) if k[n] else log(1 - y))
    return nats


def exact(w, up, order):
    """Return {chord: P} of all 2^N chords."""
    chords = product((0, 1), repeat=len(w["by"]))
    return {k: np.exp(-nats_of(w, up, k, order)) for k in chords}


def probabilities(w, tune, order):
    """Return y (T − 1, N) of the rows after the first, given these rows themselves."""
    ups = oracle.hidden(w, tune[:-1])
    pairs = zip(ups, tune[1:], strict=True)
    notes = range(tune.shape[1])
    s = [[logit(w, up, k, n, order) for n in notes] for up, k in pairs]
    return sigma(np.array(s))


def draw(w, up, uniform, order, limits, given=None):
    """Draw a step's notes, one after another; return them and their y, (N,).

    ``limits``: threshold, temperature, and most notes or None.  ``given`` has 0 and 1,
    and NaN where a note is free.  An ``order`` of None: notes are independent.
    """
    threshold, temperature, most = limits
    N = len(uniform)
    given = np.full(N, np.nan) if given is None else given
    k, y, s = np.zeros((3, N))
    for n in places(N, order):
        Y = oracle.to_notes(w, up)[n]
        s[n] = Y if order is None else logit(w, up, k, n, order)
        free = np.isnan(given[n])
        y[n] = oracle.chances([s[n]], threshold if free else 0, temperature)[0]
        k[n] = uniform[n] < y[n] if free else given[n]
    if most is not None:
        sounding = sorted(np.flatnonzero(k), key=lambda n: (given[n] != 1, -s[n]))
        for n in sounding[most:]:
            k[n] = given[n] == 1
    return k, y


def generate(w, primer, uniform, order, limits, given=None):
    """Feed a primer (P, N), then what is drawn; as `oracle.generate`."""
    h, c = oracle.first_state(w)
    for x in primer:
        up, h, c = oracle.layers(w, x, h, c)
    steps = []
    for t, numbers in enumerate(uniform):
        fixed = None if given is None else given[t]
        steps.append(draw(w, up, numbers, order, limits, fixed))
        up, h, c = oracle.layers(w, steps[-1][0], h, c)
    return [np.array(a) for a in zip(*steps, strict=True)]


def evaluate(w, tunes, order):
    """Return a row for each tune, as `oracle.evaluate`; the chord predicted is greedy."""
    rows = []
    for tune in tunes:
        row = np.zeros(5)
        for up, k in zip(oracle.hidden(w, tune[:-1]), tune[1:], strict=True):
            row[0] += nats_of(w, up, k, order)
            greedy, _ = draw(w, up, np.full(len(k), 0.5), order, (0, 0, None))
            row[1:4] += [(k * greedy).sum(), (greedy > k).sum(), (k > greedy).sum()]
            row[4] += 1
        rows.append(row)
    return np.array(rows)
