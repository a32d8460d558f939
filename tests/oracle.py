"""Compute Graves' eqs. 7-11 in a loop, one tune, one step and one gate at a time.

Tests compare the library with this file, which is written from the equations, on the
original's 57 matrices, and imports nothing of the library.  The same lines run on NumPy
arrays and on PyTensor variables, whose gradient is then PyTensor's own.
"""

from typing import NamedTuple

import numpy as np


class Maths(NamedTuple):
    """Hold the functions of NumPy, or those of PyTensor."""

    exp: object
    tanh: object
    stack: object = np.stack


NUMPY = Maths(np.exp, np.tanh)


def sigma(a, maths=NUMPY):
    return 1 / (1 + maths.exp(-a))


def first_state(w):
    """Return the state at step −1, as {layer: h}, {layer: c}."""
    return {n: w[f"htd1_{n}"] for n in (1, 2, 3)}, {
        n: w[f"ctd1_{n}"] for n in (1, 2, 3)
    }


def layers(w, x, h, c, original=False, maths=NUMPY, mask=None):
    """Run one step x (N,); return what leaves the layers, and h and c, {layer: (H,)}.

    ``original``: layer 1's output gate looks at a_g in place of c (D3).  ``mask``:
    {layer: (H,)}, dropout's factors of a layer's outputs to the layers above.
    """
    h, c, up = dict(h), dict(c), {}
    for n in (1, 2, 3):
        a_i = w[f"Wxi_{n}"] @ x + w[f"Whi_{n}"] @ h[n] + w[f"bi_{n}"]
        a_f = w[f"Wxf_{n}"] @ x + w[f"Whf_{n}"] @ h[n] + w[f"bf_{n}"]
        a_g = w[f"Wxc_{n}"] @ x + w[f"Whc_{n}"] @ h[n] + w[f"bc_{n}"]
        a_o = w[f"Wxo_{n}"] @ x + w[f"Who_{n}"] @ h[n] + w[f"bo_{n}"]
        if n > 1:  # the layer below has gone to this step already
            a_i = a_i + w[f"Wxj_{n}"] @ up[n - 1]
            a_f = a_f + w[f"Wfj_{n}"] @ up[n - 1]
            a_g = a_g + w[f"Wcj_{n}"] @ up[n - 1]
            a_o = a_o + w[f"Woj_{n}"] @ up[n - 1]
        i = sigma(a_i + w[f"Wci_{n}"] * c[n], maths)  # (7)
        f = sigma(a_f + w[f"Wcf_{n}"] * c[n], maths)  # (8)
        c[n] = f * c[n] + i * maths.tanh(a_g)  # (9)
        seen = a_g if original and n == 1 else c[n]
        o = sigma(a_o + w[f"Wco_{n}"] * seen, maths)  # (10)
        h[n] = o * maths.tanh(c[n])  # (11)
        up[n] = h[n] if mask is None else h[n] * mask[n]
    return up, h, c


def to_notes(w, up):
    """Return Y (N,)."""
    return sum(w[f"Why_{n}"] @ up[n] for n in (1, 2, 3)) + w["by"]


def step(w, x, *args, **more):
    """Do as `layers`, but return Y (N,) in place of what leaves them."""
    up, h, c = layers(w, x, *args, **more)
    return to_notes(w, up), h, c


def outputs(w, tune, original=False, maths=NUMPY, masks=None):
    """Return the list of Y (N,) over a tune (T, N), from the state at step −1.

    ``masks``: a mask, as in `step`, for each step.
    """
    return [to_notes(w, up) for up in hidden(w, tune, original, maths, masks)]


def hidden(w, tune, original=False, maths=NUMPY, masks=None):
    """Return the list of what leaves the layers over a tune, as `outputs` does of Y."""
    h, c = first_state(w)
    result = []
    for t, x in enumerate(tune):
        mask = None if masks is None else masks[t]
        up, h, c = layers(w, x, h, c, original, maths, mask)
        result.append(up)
    return result


def probabilities(w, tune, original=False):
    """Return y (T, N): row t is the probability of each note at step t+1."""
    return sigma(np.array(outputs(w, tune, original)))


def cost(name, w, inputs, targets, original=False, log=np.log, maths=NUMPY):
    """Return the mean over tunes (B, T, N) of the cost summed over steps and notes."""
    total = 0.0
    for tune, target in zip(inputs, targets, strict=True):
        for Y, k in zip(outputs(w, tune, original, maths), target, strict=True):
            y = sigma(Y, maths)
            if name == "cross-entropy":
                total = total + (-k * log(y) - (1 - k) * log(1 - y)).sum()
            else:
                total = total + (0.5 * (y - k) ** 2).sum()
    return total / len(inputs)


def chances(Y, threshold, temperature=1.0):
    """Return each note's probability of being drawn, 0 for a y below the threshold.

    At temperature 0 a y above ½ gives 1, another 0.
    """
    result = []
    for value in Y:
        y = sigma(value)
        at = float(y > 0.5) if temperature == 0 else sigma(value / temperature)
        result.append(0.0 if y < threshold else at)
    return np.array(result)


def generate(w, primer, uniform, threshold, original=False, temperature=1.0, most=None):
    """Feed a primer (P, N), then the network's own samples; uniform is (T, N).

    ``most``: of the notes drawn at a step only so many sound, those with the largest Y,
    and of equal ones the lowest.  Returns samples and probabilities, each (T, N).
    """
    h, c = first_state(w)
    for x in primer:
        Y, h, c = step(w, x, h, c, original)
    samples, ys = [], []
    for u in uniform:
        y = chances(Y, threshold, temperature)
        drawn = [n for n in range(len(u)) if u[n] < y[n]]
        x = np.zeros(len(u))
        x[sorted(drawn, key=lambda n: -Y[n])[:most]] = 1
        samples.append(x)
        ys.append(y)
        Y, h, c = step(w, x, h, c, original)
    return np.array(samples), np.array(ys)


def prepared(w, gradients, clip, lam, norm):
    """Return the gradient with its norm limited, then clipped, then with L1 added."""
    length = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    result = {}
    for name, g in gradients.items():
        if norm is not None and length > norm:
            g = g / length * norm
        g = np.minimum(np.maximum(g, -clip), clip)
        if not name.startswith("b"):
            g = g + lam * np.sign(w[name])
        result[name] = g
    return result


def rate(name, rates):
    """Return the rate of a weight; ``rates`` is R1, R2, R3, Rout.

    The name of a layer's weight ends in the layer's number.
    """
    is_output = name == "by" or name.startswith("Why")
    return rates[3] if is_output else rates[int(name[-1]) - 1]


def rmsprop(w, gradients, means, rates, epsilon, clip, lam, norm=None):
    """Make one update of {name: array}; return the new weights and the new means."""
    new_w, new_means = {}, {}
    for name, g in prepared(w, gradients, clip, lam, norm).items():
        v = 0.9 * means[name] + 0.1 * g**2
        new_means[name] = v
        step = g / np.sqrt(np.maximum(v, epsilon))
        new_w[name] = w[name] - rate(name, rates) * step
    return new_w, new_means


def adam(w, gradients, means, momenta, t, rates, clip, lam, norm=None):
    """Make update number t = 1, 2, …; return the new weights, means and momenta.

    D. P. Kingma, J. Ba 2015, algorithm 1, with the constants that it suggests.
    """
    new_w, new_means, new_momenta = {}, {}, {}
    for name, g in prepared(w, gradients, clip, lam, norm).items():
        m = new_momenta[name] = 0.9 * momenta[name] + (1 - 0.9) * g
        v = new_means[name] = 0.999 * means[name] + (1 - 0.999) * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        new_w[name] = w[name] - rate(name, rates) * m_hat / (np.sqrt(v_hat) + 1e-8)
    return new_w, new_means, new_momenta


def evaluate(w, tunes, skip_first):
    """Return a row for each tune: nats, hits, notes added and missed, and steps."""
    rows = []
    for tune in tunes:
        before = tune[:-1] if skip_first else [np.zeros(len(tune[0])), *tune[:-1]]
        after = tune[1:] if skip_first else tune
        row = np.zeros(5)
        for Y, k in zip(outputs(w, before), after, strict=True):
            for y, note in zip(sigma(Y), k, strict=True):
                row[0] -= np.log(y) if note else np.log(1 - y)
                row[1] += note and y > 0.5
                row[2] += not note and y > 0.5
                row[3] += note and y <= 0.5
            row[4] += 1
        rows.append(row)
    return np.array(rows)
