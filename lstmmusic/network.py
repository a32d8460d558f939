"""The stack of three layers and its output, forward and backward over a minibatch.

Everything here is symbolic and time-major.  Shapes: T steps, B tunes, N notes; layer
n has H_n cells.  A layer runs over the whole minibatch before the next one starts: its
input products for all steps are one matrix product, only the product with h_prev stays
inside the scan, and each weight gradient is one contraction over steps and tunes.
"""

from functools import partial
from typing import NamedTuple

import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.lstm import Layer, backward_step, forward_step, split


class Network(NamedTuple):
    """The weights, or equally their derivatives: same fields, same shapes."""

    layers: tuple[Layer, ...]
    W_y: tuple  # one (H_n, N) for each layer
    b_y: pt.TensorVariable  # (N,)


def fields(network):
    """Yield (place, name, weight) in a fixed order; place 0, 1, 2 a layer, 3 output."""
    for n, layer in enumerate(network.layers):
        for name, weight in layer._asdict().items():
            if weight is not None:
                yield n, name, weight
    for n, W in enumerate(network.W_y, start=1):
        yield 3, f"W_y{n}", W
    yield 3, "b_y", network.b_y


def values(network):
    """Return the weights as a list, in the order of `fields`."""
    return [weight for _, _, weight in fields(network)]


def each(function, *networks):
    """Apply a function to every weight, in the order of `fields`; return a Network."""
    layers = []
    for of_layer in zip(*(network.layers for network in networks), strict=True):
        weights = zip(*of_layer, strict=True)
        layers.append(Layer(*(None if w[0] is None else function(*w) for w in weights)))
    return Network(
        layers=tuple(layers),
        W_y=tuple(map(function, *(network.W_y for network in networks))),
        b_y=function(*(network.b_y for network in networks)),
    )


class State(NamedTuple):
    """What each layer remembers of the step before: one entry for each layer.

    (B, H_n); as it is kept between calls, the same for all tunes: (H_n,).
    """

    h: tuple
    c: tuple


class Later(NamedTuple):
    """What reaches a step of each layer from the step after it, backwards in time."""

    da: tuple  # (B, 4 H_n)
    dc: tuple  # (B, H_n)


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass, one entry for each layer."""

    h: tuple  # (T, B, H_n)
    c: tuple  # (T, B, H_n)
    gates: tuple  # (T, B, 4 H_n): i, f, g, o


def layer_input(x, h_below, layer):
    """Return b + W_x x + W_j h_below, the part of a_i, a_f, a_g, a_o known before."""
    a_in = pt.dot(x, layer.W_x) + layer.b
    return a_in if h_below is None else a_in + pt.dot(h_below, layer.W_j)


def step_forward(x, state, network, original_forward=False):
    """Run one step x (B, N) through the network; return Y (B, N) and the next State."""
    h, c = [], []
    for n, layer in enumerate(network.layers):
        h_n, c_n, _ = forward_step(
            layer_input(x, h[-1] if n else None, layer),
            state.h[n],
            state.c[n],
            layer.W_h,
            layer.w_c,
            original_forward=original_forward and n == 0,
        )
        h.append(h_n)
        c.append(c_n)
    return output(h, network), State(tuple(h), tuple(c))


def output(h, network):
    """Return Y = W_hy1 h1 + W_hy2 h2 + W_hy3 h3 + b_y."""
    return sum(map(pt.dot, h, network.W_y), start=network.b_y)


def dropped(values, masks):
    """Multiply each layer's values by its mask, if there are masks (dropout)."""
    return (
        values
        if masks is None
        else [value * mask for value, mask in zip(values, masks, strict=True)]
    )


def forward_pass(x, state, network, original_forward=False, masks=None):
    """Run tunes through the network: Graves 2013, eqs. 1-4 with 7-11.

    Layer n = 1, 2, 3 reads the roll and, but for the first, the layer below; every
    layer's output reaches Y.  At each step, with a = (a_i, a_f, a_g, a_o)::

        a_in = W_x x + W_j h_below + b
        h, c = forward_step(a_in, h_prev, c_prev)       (7) to (11): see `lstm`
        Y    = W_y1 h1 + W_y2 h2 + W_y3 h3 + b_y

    With dropout, what leaves a layer upwards, to the next layer and to Y, is h ∘ mask;
    what it remembers itself is h.

    Parameters
    ----------
    x : (T, B, N)
    state : State
        At step −1.
    network : Network
    original_forward : bool
        Layer 1's output gate looks at a_g (D3).
    masks : sequence of (T, B, H_n), or of (1, B, H_n), or None
        0 or 1 / (1 − dropout); N. Srivastava et al. 2014.

    Returns
    -------
    Y : (T, B, N)
        The output before σ.
    trace : Trace
    """
    h, c, gates, h_up = [], [], [], None
    for n, layer in enumerate(network.layers):
        h_n, c_n, gates_n = scan(
            partial(forward_step, original_forward=original_forward and n == 0),
            sequences=[layer_input(x, h_up, layer)],
            outputs_info=[state.h[n], state.c[n], None],
            non_sequences=[layer.W_h, layer.w_c],
            n_steps=x.shape[0],
            strict=True,
            return_updates=False,
            name=f"forward{n + 1}",
        )
        h.append(h_n)
        c.append(c_n)
        gates.append(gates_n)
        h_up = h_n if masks is None else h_n * masks[n]
    Y = output(dropped(h, masks), network)
    return Y, Trace(tuple(h), tuple(c), tuple(gates))


def backward_pass(
    x, dY, state, trace, network, original_forward=False, masks=None, later=None
):
    """Carry dY (T, B, N) back through `forward_pass`, from the top layer to the first.

    At each step, from the last to the first, and for each layer::

        dh = (W_y' dY + W_j' da) ∘ mask       da of the layer above, with its W_j
        da = backward_step(dh, …)     (7) to (11) reversed: see `lstm`

    and then, summed over steps and tunes::

        dW_x = Σ da x'    dW_j = Σ da h_below'    dW_h = Σ da h_prev'    db = Σ da
        dw_ci = Σ da_i ∘ c_prev    dw_cf = Σ da_f ∘ c_prev    dw_co = Σ da_o ∘ c
        dW_y = Σ dY h'    db_y = Σ dY         h and h_below with their masks

    Other arguments as there; ``later`` is what reaches step T−1 from step T, nothing
    if these are the tunes' last steps.  So a long tune can be gone through in blocks,
    the last one first.

    Returns
    -------
    gradients : Network
        ∂cost/∂weight in place of each weight.
    later : Later
        What reaches step −1 from step 0.

    D1: what is contracted over time is turned round here, once, to the order of the
    scans' errors da, from step T−1 to 0; such arrays end in ``_back``.  The errors of a
    step then stand beside what the step was given.
    """
    T = x.shape[0]
    x_back, dY_back = x[::-1], dY[::-1]
    h_back = [values[::-1] for values in trace.h]
    c_back = [values[::-1] for values in trace.c]
    masks_back = None if masks is None else [mask[::-1] for mask in masks]
    h_up_back = dropped(h_back, masks_back)
    if later is None:
        later = nothing_later(state)
    layers, da_first, dc_first = [], [], []
    da_above_back = None
    for n, layer in reversed(list(enumerate(network.layers))):
        d3 = original_forward and n == 0
        dh_back = pt.dot(dY_back, network.W_y[n].T)
        if da_above_back is not None:
            dh_back = dh_back + pt.dot(da_above_back, network.layers[n + 1].W_j.T)
        if masks is not None:
            dh_back = dh_back * masks_back[n]
        c_from_start = pt.concatenate([state.c[n][None], trace.c[n]])
        da_back, dc_back = scan(
            partial(backward_at, original_forward=d3),
            sequences=[pt.arange(T)[::-1], dh_back],
            outputs_info=[later.da[n], later.dc[n]],
            non_sequences=[trace.gates[n], c_from_start, layer.W_h.T, layer.w_c],
            n_steps=T,
            strict=True,
            return_updates=False,
            name=f"backward{n + 1}",
        )
        h_below_back = h_up_back[n - 1] if n else None
        h_prev_back = before(h_back[n], state.h[n])
        c_prev_back = before(c_back[n], state.c[n])
        seen_back = c_back[n]
        if d3:
            seen_back = pre_activation_g(x_back, h_below_back, h_prev_back, layer)
        layers.append(
            layer_gradient(
                x_back, h_below_back, h_prev_back, c_prev_back, seen_back, da_back
            )
        )
        da_first.append(da_back[-1])
        dc_first.append(dc_back[-1])
        da_above_back = da_back
    gradients = Network(
        layers=tuple(reversed(layers)),
        W_y=tuple(over_steps_and_tunes(h_n, dY_back) for h_n in h_up_back),
        b_y=total(dY, axis=(0, 1)),
    )
    return gradients, Later(tuple(reversed(da_first)), tuple(reversed(dc_first)))


def nothing_later(state):
    """Return the `Later` of tunes that end: zeros."""
    dc = tuple(map(pt.zeros_like, state.c))
    return Later(tuple(pt.tile(zeros, (1, 4)) for zeros in dc), dc)


def backward_at(t, dh, da_next, dc_next, gates, c, W_h_T, w_c, original_forward):
    """Do `backward_step` at step t; c (T+1, B, H) begins with the memory at step −1.

    A step takes its part of gates (T, B, 4H) and c by number: as sequences of the scan
    they would first be copied in backward order, at a twelfth of an update's time.
    """
    return backward_step(
        dh, gates[t], c[t + 1], c[t], da_next, dc_next, W_h_T, w_c, original_forward
    )


def layer_gradient(x, h_below, h_prev, c_prev, seen, da):
    """Contract da (T, B, 4H) with what each weight multiplied, all in the same order.

    ``seen`` (T, B, H) is what the output gate's peephole looked at.
    """
    da_i, da_f, _, da_o = split(da)
    peepholes = [da_i * c_prev, da_f * c_prev, da_o * seen]
    return Layer(
        W_x=over_steps_and_tunes(x, da),
        W_j=None if h_below is None else over_steps_and_tunes(h_below, da),
        W_h=over_steps_and_tunes(h_prev, da),
        w_c=pt.stack([total(p, axis=(0, 1)) for p in peepholes]),
        b=total(da, axis=(0, 1)),
    )


def pre_activation_g(x, h_below, h_prev, layer):
    """Return a_g, which the forward pass does not keep (D3 only)."""
    a = layer_input(x, h_below, layer) + pt.dot(h_prev, layer.W_h)
    return split(a)[2]


def before(values, first):
    """Give each of T−1 … 0 the value one step before; ``first`` (B, H) is step −1's."""
    return pt.concatenate([values[1:], first[None]])


def over_steps_and_tunes(a, b):
    """Contract (T, B, P) with (T, B, Q) to Σ over T and B of a b': (P, Q)."""
    return pt.tensordot(a, b, axes=[(0, 1), (0, 1)])


def total(a, axis=None):
    """Sum in a's own precision: JAX has no float64 unless all of it is float64."""
    return a.sum(axis=axis, dtype=a.dtype, acc_dtype=a.dtype)
