"""Define a peephole LSTM layer and its hand-written derivative.

A. Graves 2013 (arXiv:1308.0850), eqs. 7-11.

Shapes: T steps, B tunes, H cells.  Weights are stored (inputs, outputs), so ``W x`` is
computed as ``x.dot(W)``.  The four pre-activations (and so the weights that lead to
them) stand side by side in the order i, f, g, o, as one array (…, 4H): input gate,
forget gate, cell input (Graves' tanh term of eq. 9) and output gate.
``dX`` is ∂cost/∂X and has X's shape; ``_prev`` and ``_next`` are neighbours in time.

For example, one cell that remembers 1: with weights of zero i = f = o = ½ and g = 0,
so c = ½.

>>> import pytensor.tensor as pt
>>> from lstmmusic.model.lstm import forward_step
>>> shapes = (1, 4), (1, 1), (1, 1), (1, 4), (3, 1)
>>> a_in, h_prev, c_prev, W_h, w_c = map(pt.zeros, shapes)
>>> h, c, gates = forward_step(a_in, h_prev, c_prev + 1, W_h, w_c)
>>> print(c.eval(mode="FAST_COMPILE"), gates.eval(mode="FAST_COMPILE"))
[[0.5]] [[0.5 0.5 0.  0.5]]
"""

from typing import NamedTuple

import pytensor.tensor as pt

from lstmmusic.model.ops import packed_dot


class Layer(NamedTuple):
    """Hold the weights of one layer; ``W_j`` is None in layer 1."""

    W_x: pt.TensorVariable  # (N, 4H)       from the roll
    W_j: pt.TensorVariable | None  # (H_below, 4H) from the layer below
    W_h: pt.TensorVariable  # (H, 4H)       from this layer's output one step before
    w_c: pt.TensorVariable  # (3, H)        peepholes of the gates i, f, o
    b: pt.TensorVariable  # (4H,)


def split(a):
    """Return the blocks i, f, g, o of an array (…, 4H)."""
    H = (a.type.shape[-1] or a.shape[-1]) // 4  # the static size, if the type has it
    return a[..., :H], a[..., H : 2 * H], a[..., 2 * H : 3 * H], a[..., 3 * H :]


def forward_step(a_in, h_prev, c_prev, W_h, w_c, original_forward=False):
    """Compute one forward step: h, c (B, H), and the gates i, f, g, o as one (B, 4H).

    ::

        a = a_in + W_h h_prev            its blocks: a_i, a_f, a_g, a_o
        i = σ(a_i + w_ci ∘ c_prev)                      (7)
        f = σ(a_f + w_cf ∘ c_prev)                      (8)
        g = tanh(a_g)
        c = f ∘ c_prev + i ∘ g                          (9)
        o = σ(a_o + w_co ∘ c)                           (10)
        h = o ∘ tanh(c)                                 (11)

    ``a_in`` (B, 4H) is b + W_x x + W_j h_below; ``h_prev`` and ``c_prev`` (B, H);
    ``W_h`` comes from `ops.pack`; ``w_c`` (3, H).  With ``original_forward`` eq. 10
    reads a_g in place of c (D3).
    """
    a_i, a_f, a_g, a_o = split(packed_dot(a_in, h_prev, W_h))
    w_ci, w_cf, w_co = w_c[0], w_c[1], w_c[2]
    i = pt.sigmoid(a_i + w_ci * c_prev)  # (7)
    f = pt.sigmoid(a_f + w_cf * c_prev)  # (8)
    g = pt.tanh(a_g)
    c = f * c_prev + i * g  # (9)
    peephole_input = a_g if original_forward else c  # D3: a_g in the original's layer 1
    o = pt.sigmoid(a_o + w_co * peephole_input)  # (10)
    h = o * pt.tanh(c)  # (11)
    return h, c, pt.concatenate([i, f, g, o], axis=-1)


def backward_step(dh, gates, c, c_prev, dc_next, w_c, original_forward=False):
    """Differentiate `forward_step`: return da (B, 4H), and dc (B, H) for step t−1.

    ::

        da_o = dh ∘ tanh(c) ∘ o ∘ (1 − o)               (11), (10)
        dc   = dc_next + dh ∘ o ∘ (1 − tanh(c)²) + da_o ∘ w_co
        da_g = dc ∘ i ∘ (1 − g²)                        (9)
        da_f = dc ∘ c_prev ∘ f ∘ (1 − f)                (9), (8)
        da_i = dc ∘ g ∘ i ∘ (1 − i)                     (9), (7)
        dc_prev = dc ∘ f + da_i ∘ w_ci + da_f ∘ w_cf    (9), (7), (8)

    ``dh`` (B, H) comes from the output, from the layer above and, as W_h' da_next, from
    step t+1, like ``dc_next`` (B, H).  With ``original_forward``, da_o ∘ w_co is added
    to da_g, not to dc (D3).
    """
    i, f, g, o = split(gates)
    w_ci, w_cf, w_co = w_c[0], w_c[1], w_c[2]
    tanh_c = pt.tanh(c)
    da_o = dh * tanh_c * o * (1 - o)  # (11), (10)
    dc = dc_next + dh * o * (1 - tanh_c**2)  # (11)
    if not original_forward:
        dc = dc + da_o * w_co  # (10), at the SAME step (D2)
    da_g = dc * i * (1 - g**2)  # (9)
    if original_forward:
        da_g = da_g + da_o * w_co  # D3: the peephole read a_g
    da_f = dc * c_prev * f * (1 - f)  # (9), (8)
    da_i = dc * g * i * (1 - i)  # (9), (7)
    dc_prev = dc * f + da_i * w_ci + da_f * w_cf  # (9), (7), (8)
    return pt.concatenate([da_i, da_f, da_g, da_o], axis=-1), dc_prev
