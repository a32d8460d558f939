"""Run three layers, forward and backward, over a minibatch.

Everything here is symbolic and time-major.  Shapes: T steps, B tunes, N notes; layer
n has H_n cells.  A layer runs over the whole minibatch before the next one starts: its
input products come first, for all steps, only the product with h_prev stays inside the
scan, and each weight gradient is one contraction over steps and tunes.
"""

from functools import partial
from typing import NamedTuple

import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.model.lstm import Layer, backward_step, forward_step, split
from lstmmusic.model.ops import (
    built_apart,
    contraction,
    pack,
    pack_transposed,
    packed_dot,
    roll_dot,
    roll_outer,
    total,
)
from lstmmusic.model.outputs import Joint


class Network(NamedTuple):
    """Hold the weights, or their derivatives: same fields, same shapes."""

    layers: tuple[Layer, ...]
    W_y: tuple  # one (H_n, N + D) for each layer: to Y and, behind it, to A
    b_y: pt.TensorVariable  # (N + D,)
    joint: Joint | None = None  # of the joint output; D = 0 in the independent one


def fields(network):
    """Yield (place, name, weight) in a fixed order; place 0, 1, 2 a layer, 3 output."""
    for n, layer in enumerate(network.layers):
        for name, weight in layer._asdict().items():
            if weight is not None:
                yield n, name, weight
    for n, W in enumerate(network.W_y, start=1):
        yield 3, f"W_y{n}", W
    yield 3, "b_y", network.b_y
    for name, weight in (network.joint._asdict() if network.joint else {}).items():
        if weight is not None:
            yield 3, name, weight


def leaves(network):
    """Return the weights as a list, in the order of `fields`."""
    return [weight for _, _, weight in fields(network)]


def from_leaves(network, values):
    """Return a Network of other weights, given in the order of `leaves`."""
    left = iter(values)
    return tree_map(lambda _: next(left), network)


def tree_map(function, *networks):
    """Apply a function to every weight, in the order of `fields`; return a Network."""

    def over(kind, groups):
        fields = zip(*groups, strict=True)
        return kind(*(None if f[0] is None else function(*f) for f in fields))

    first = networks[0]
    of_layers = zip(*(network.layers for network in networks), strict=True)
    return Network(
        layers=tuple([over(Layer, of_layer) for of_layer in of_layers]),
        W_y=tuple(map(function, *(network.W_y for network in networks))),
        b_y=function(*(network.b_y for network in networks)),
        joint=first.joint and over(Joint, [network.joint for network in networks]),
    )


class State(NamedTuple):
    """Hold h and c of the previous step, (B, H_n); in the store (H_n,) for all."""

    h: tuple
    c: tuple


class BackwardCarry(NamedTuple):
    """Carry da and dc of each layer from step t+1 to step t."""

    da: tuple  # (B, 4 H_n)
    dc: tuple  # (B, H_n)


class Residuals(NamedTuple):
    """Hold what the backward pass needs of the forward pass, by layer."""

    h: tuple  # (T, B, H_n)
    c: tuple  # (T, B, H_n)
    gates: tuple  # (T, B, 4 H_n): i, f, g, o


def pack_weights(network):
    """Pack every matrix that `step_forward` multiplies with h."""
    layers = [layer._replace(W_h=pack(layer.W_h)) for layer in network.layers]
    layers[1:] = [layer._replace(W_j=pack(layer.W_j)) for layer in layers[1:]]
    W_y = tuple(map(pack, network.W_y))
    return network._replace(layers=tuple(layers), W_y=W_y)


def step_forward(x, state, packed, original_forward=False):
    """Run one step x (B, N) through a network of `pack_weights`.

    Returns Z (B, N + D) and the next State; the equations are those of `forward_pass`.
    """
    h, c = [], []
    for n, layer in enumerate(packed.layers):
        a_in = roll_dot(x, layer.W_x, layer.b)
        if n > 0:
            a_in = packed_dot(a_in, h[-1], layer.W_j)
        d3 = original_forward and n == 0
        h_n, c_n, _ = forward_step(
            a_in, state.h[n], state.c[n], layer.W_h, layer.w_c, d3
        )
        h.append(h_n)
        c.append(c_n)
    Z = packed.b_y
    for h_n, W in zip(h, packed.W_y, strict=True):
        Z = packed_dot(Z, h_n, W)
    return Z, State(tuple(h), tuple(c))


def output(h, network):
    """Return Z = W_y1 h1 + W_y2 h2 + W_y3 h3 + b_y: Y and, behind it, A."""
    return sum(map(pt.dot, h, network.W_y), start=network.b_y)


def dropped(values, masks):
    """Multiply each layer's values by its mask, if there are masks (dropout)."""
    if masks is None:
        return values
    return [value * mask for value, mask in zip(values, masks, strict=True)]


def forward_pass(x, state, network, original_forward=False, masks=None):
    """Run tunes through the network: Graves 2013, eqs. 1-4 with 7-11.

    Layer n = 1, 2, 3 reads the roll and, but for the first, the layer below; every
    layer's output reaches Z = (Y, A).  At each step, with a = (a_i, a_f, a_g, a_o)::

        a_in = W_x x + W_j h_below + b
        h, c = forward_step(a_in, h_prev, c_prev)       (7) to (11): see `lstm`
        Z    = W_y1 h1 + W_y2 h2 + W_y3 h3 + b_y

    With dropout, what leaves a layer upwards, to the next layer and to Z, is h ∘ mask;
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
    Z : (T, B, N + D)
        Y, the output before σ, and for the joint output A (see `outputs`).
    residuals : Residuals
    """
    network = tree_map(pt.as_tensor, network)
    h, c, gates, h_below = [], [], [], None
    for n, layer in enumerate(network.layers):
        below = [] if h_below is None else [pt.dot(h_below, layer.W_j)]
        a_in = roll_dot(x, layer.W_x, layer.b, *below)
        d3 = original_forward and n == 0
        gates_n, h_n, c_n = forward_scan(a_in, state.h[n], state.c[n], layer, d3)
        h.append(h_n)
        c.append(c_n)
        gates.append(gates_n)
        h_below = h_n if masks is None else h_n * masks[n]
    Z = output(dropped(h, masks), network)
    return Z, Residuals(tuple(h), tuple(c), tuple(gates))


@built_apart
def forward_scan(a_in, h_first, c_first, layer, original_forward):
    """Run one layer over all steps; return its gates, h and c, (T, B, …)."""
    gates, h, c = scan(
        partial(forward_at, original_forward=original_forward),
        sequences=[pt.arange(a_in.shape[0])],
        outputs_info=[a_in, h_first, c_first],
        non_sequences=[pack(layer.W_h), layer.w_c],
        n_steps=a_in.shape[0],
        strict=True,
        return_updates=False,
        name="forward",
    )
    return gates[-1], h, c  # the array as the last step left it: all gates


def forward_at(t, a_in, h_prev, c_prev, W_h, w_c, original_forward):
    """Do `forward_step` at step t of a_in (T, B, 4H), and put the gates in its place.

    No second array is filled: a step's pre-activations are not wanted after it.
    """
    h, c, gates = forward_step(a_in[t], h_prev, c_prev, W_h, w_c, original_forward)
    return pt.set_subtensor(a_in[t], gates), h, c


def backward_pass(
    x, dZ, state, residuals, network, original_forward=False, masks=None, carry=None
):
    """Carry dZ (T, B, N + D) back through `forward_pass`, from the top layer down.

    At each step, from the last to the first, and for each layer::

        dh = (W_y' dZ + W_j' da) ∘ mask       da of the layer above, with its W_j
        dh = dh + W_h' da_next
        da = backward_step(dh, …)     (7) to (11) reversed: see `lstm`

    and then, summed over steps and tunes::

        dW_x = Σ da x'    dW_j = Σ da h_below'    dW_h = Σ da h_prev'    db = Σ da
        dw_ci = Σ da_i ∘ c_prev    dw_cf = Σ da_f ∘ c_prev    dw_co = Σ da_o ∘ c
        dW_y = Σ dZ h'    db_y = Σ dZ         h and h_below with their masks

    Other arguments as there; ``carry`` is what reaches step T−1 from step T, zeros if
    these are the tunes' last steps.  So a long tune can be gone through in blocks, the
    last one first.

    Returns
    -------
    gradients : Network
        ∂cost/∂weight in place of each weight; None in place of ``joint``, whose
        derivatives come with dZ.
    carry : BackwardCarry
        What reaches step −1 from step 0.
    """
    network = tree_map(pt.as_tensor, network)
    if carry is None:
        carry = zero_carry(state)
    da, carry_prev = backward_errors(
        dZ, state, residuals, network, original_forward, masks, carry
    )
    h_out, layers = dropped(residuals.h, masks), []
    for n, layer in enumerate(network.layers):
        h_prev = shift_right(residuals.h[n], state.h[n])
        c_prev = shift_right(residuals.c[n], state.c[n])
        h_below, peephole_input = h_out[n - 1] if n else None, residuals.c[n]
        if original_forward and n == 0:
            peephole_input = pre_activation_g(x, h_prev, layer)
        layers.append(layer_gradient(x, h_below, h_prev, c_prev, peephole_input, da[n]))
    W_y = tuple(contraction(h_n, dZ) for h_n in h_out)
    gradients = Network(tuple(layers), W_y, b_y=total(dZ, axis=(0, 1)))
    return gradients, carry_prev


def backward_errors(dZ, state, residuals, network, original_forward, masks, carry):
    """Return each layer's da (T, B, 4 H_n), and the carry: see `backward_pass`."""
    da, da_first, dc_first, da_above = [], [], [], None  # the top layer comes first
    for n, layer in reversed(list(enumerate(network.layers))):
        d3 = original_forward and n == 0
        dh = pt.dot(dZ, network.W_y[n].T)
        if da_above is not None:
            dh = dh + pt.dot(da_above, network.layers[n + 1].W_j.T)
        if masks is not None:
            dh = dh * masks[n]
        c = pt.concatenate([state.c[n][None], residuals.c[n]])
        gates = residuals.gates[n]
        da_above, da_0, dc_0 = backward_scan(
            dh, gates, c, carry.da[n], carry.dc[n], layer, d3
        )
        da.append(da_above)
        da_first.append(da_0)
        dc_first.append(dc_0)
    carry_prev = BackwardCarry(tuple(da_first[::-1]), tuple(dc_first[::-1]))
    return da[::-1], carry_prev  # layer 1 first again


def zero_carry(state):
    """Return the `BackwardCarry` of tunes that end: zeros."""
    dc = tuple(map(pt.zeros_like, state.c))
    return BackwardCarry(tuple(pt.tile(zeros, (1, 4)) for zeros in dc), dc)


@built_apart
def backward_scan(dh, gates, c, da_last, dc_last, layer, original_forward):
    """Run one layer over all steps, from the last to the first.

    Returns da (T, B, 4H) in the order of the steps (D1), and what reaches step −1: da
    and dc of step 0.
    """
    T = dh.shape[0]
    da, da_0, dc_0 = scan(
        partial(backward_at, original_forward=original_forward),
        sequences=[pt.arange(T)[::-1]],
        outputs_info=[pt.empty_like(gates), da_last, dc_last],
        non_sequences=[dh, gates, c, pack_transposed(layer.W_h), layer.w_c],
        n_steps=T,
        strict=True,
        return_updates=False,
        name="backward",
    )
    return da[-1], da_0[-1], dc_0[-1]


def backward_at(t, da, da_next, dc_next, *non_sequences, original_forward):
    """Do `backward_step` at step t, and write its errors to da (T, B, 4H).

    Index dh, gates, c and da by t: as sequences and outputs of the scan they would be
    reversed, which copies each of them.  c (T+1, B, H) begins with the memory at step
    −1.
    """
    dh, gates, c, W_h_T, w_c = non_sequences
    dh_t = packed_dot(dh[t], da_next, W_h_T)
    da_t, dc_prev = backward_step(
        dh_t, gates[t], c[t + 1], c[t], dc_next, w_c, original_forward
    )
    return pt.set_subtensor(da[t], da_t), da_t, dc_prev  # D1: at t, not in turn


def layer_gradient(x, h_below, h_prev, c_prev, peephole_input, da):
    """Return the gradients of one layer's weights from da (T, B, 4H).

    ``peephole_input`` (T, B, H) is what the output gate's peephole multiplied.
    """
    da_i, da_f, _, da_o = split(da)
    peepholes = [da_i * c_prev, da_f * c_prev, da_o * peephole_input]
    return Layer(
        W_x=roll_outer(x, da),
        W_j=None if h_below is None else contraction(h_below, da),
        W_h=contraction(h_prev, da),
        w_c=pt.stack([total(p, axis=(0, 1)) for p in peepholes]),
        b=total(da, axis=(0, 1)),
    )


def pre_activation_g(x, h_prev, layer):
    """Return layer 1's a_g, which the forward pass does not keep (D3 only)."""
    return split(pt.dot(x, layer.W_x) + layer.b + pt.dot(h_prev, layer.W_h))[2]


def shift_right(values, first):
    """Shift values by one step; ``first`` (B, H) is the value at step −1."""
    return pt.concatenate([first[None], values[:-1]])
