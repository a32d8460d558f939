"""Compute the joint output note by note, from the equations, on top of `oracle`.

A row has ``up``, what leaves the layers, {layer: (H,)}, and its notes k, what is to be
predicted: (N,), of several rows (M, N).  ``order`` is 'up', the lowest note first, or
'down', or a list of the notes' numbers.
"""

from itertools import product

import numpy as np
import oracle
import pytensor
import pytensor.tensor as pt
from oracle import NUMPY, sigma
from pytensor.compile.mode import Mode


def places(N, order):
    """Return the notes' numbers in the order of drawing."""
    if isinstance(order, list):
        return order
    return list(range(N)) if order == "up" else list(range(N))[::-1]


def logits(w, ups, k, order, maths=NUMPY):
    """Return s (M, N): that of each note is given the notes of k drawn before it."""
    Y = maths.stack([oracle.to_notes(w, up) for up in ups])
    if "ba" in w:
        layers = 1, 2, 3
        A = [sum(w[f"Wha_{n}"] @ up[n] for n in layers) + w["ba"] for up in ups]
        A = maths.stack(A)
    drawn, s = np.array(places(getattr(k, "type", k).shape[1], order)), {}
    for at, n in enumerate(drawn):
        before = k[:, drawn[:at]]
        s[n] = Y[:, n] + before @ w["Wky"][at, :at]
        if "ba" in w:
            a = A + before @ w["Wka"].T[drawn[:at]]
            s[n] = s[n] + sigma(a, maths) @ w["Wuy"][n]
    return maths.stack([s[n] for n in sorted(s)], axis=1)


def nats_of(w, ups, k, order, log=np.log, maths=NUMPY):
    """Return −log P(k | the past) of each row, (M,)."""
    y = sigma(logits(w, ups, k, order, maths), maths)
    return -(k * log(y) + (1 - k) * log(1 - y)).sum(axis=1)


def exact(w, up, order):
    """Return all 2^N chords (2^N, N), and P of each."""
    chords = np.array(list(product((0, 1), repeat=len(w["by"]))))
    return chords, np.exp(-nats_of(w, [up] * len(chords), chords, order))


def probabilities(w, tune, order):
    """Return y (T − 1, N) of the rows after the first, given these rows themselves."""
    return sigma(logits(w, oracle.hidden(w, tune[:-1]), tune[1:], order))


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
        if order is None:
            s[n] = oracle.to_notes(w, up)[n]
        else:
            s[n] = logits(w, [up], k[None], order)[0, n]
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
    """Return a row for each tune, as `oracle.evaluate`; the prediction is greedy."""
    rows = []
    for tune in tunes:
        ups, after = oracle.hidden(w, tune[:-1]), tune[1:]
        half = np.full(tune.shape[1], 0.5)
        greedy = np.array([draw(w, up, half, order, (0, 0, None))[0] for up in ups])
        nats = nats_of(w, ups, after, order).sum()
        hit, added, missed = after * greedy, greedy > after, after > greedy
        rows.append([nats, hit.sum(), added.sum(), missed.sum(), len(ups)])
    return np.array(rows)


def autodiff(values, rolls, order, loss_weight, masks, counted=None):
    """Return the cost, and pytensor.grad of `logits`' cost, by name.

    One graph of one tune serves all.  ``rolls``: inputs and targets (B, T, N);
    ``masks``: for each layer (T, B, H); ``counted``: 1 where a note's nats count.
    """
    counted = np.ones_like(rolls[1]) if counted is None else counted
    factors = [mask.swapaxes(0, 1) for mask in masks]
    given = [*rolls, counted, loss_weight.T[:, :, None], *factors]
    w = {name: pt.tensor(shape=a.shape, dtype="float64") for name, a in values.items()}
    x, k, counts, weight, *factors = (
        pt.tensor(shape=a.shape[1:], dtype="float64") for a in given
    )
    maths = oracle.Maths(pt.exp, pt.tanh, pt.stack)
    steps = range(len(loss_weight))
    at = [{n: factors[n - 1][t] for n in (1, 2, 3)} for t in steps]
    ups = oracle.hidden(w, [x[t] for t in steps], False, maths, at)
    y = sigma(logits(w, ups, k, order, maths), maths)
    nats = -k * pt.log(y) - (1 - k) * pt.log(1 - y)
    total = (weight * counts * nats).sum()
    weights = [name for name in w if "td1" not in name]
    of = [w[name] for name in weights]
    with pytensor.config.change_flags(traceback__limit=0):
        function = pytensor.function(
            [x, k, counts, weight, *factors, *w.values()],
            [total, *pytensor.grad(total, of)],
            mode=Mode(linker="py", optimizer=None),
        )
    tunes = [function(*tune, *values.values()) for tune in zip(*given, strict=True)]
    total, *gradients = (sum(of_tunes) for of_tunes in zip(*tunes, strict=True))
    return float(total), dict(zip(weights, gradients, strict=True))


def assert_slopes(model, x, k, names, rng):
    """Hold `RNN4Music.gradients` against differences of the cost along random ways."""
    _, gradients = model.gradients(x, k)
    first = model.parameters()
    for name in names:
        way = rng.normal(size=first[name].shape)
        way = np.tril(way, -1) if name == "Wky" else way
        costs = []
        for step in (1e-5, -1e-5):
            model.setParameters({name: first[name] + step * way})
            costs.append(model.gradients(x, k)[0])
        model.setParameters({name: first[name]})
        slope = (costs[0] - costs[1]) / 2e-5
        np.testing.assert_allclose((gradients[name] * way).sum(), slope, rtol=1e-6)
    assert not np.triu(gradients["Wky"]).any()
