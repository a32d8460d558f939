"""Extend the backward pass to the input: differentiate by each cell of the roll.

The backward pass ends at da, the derivative by each layer's pre-activations.  A row of
the roll enters all of them, so one product more for each layer gives its derivative.
Shapes as in `network`.
"""

import pytensor.tensor as pt

from lstmmusic.model.network import backward_errors


def backward_to_roll(dZ, state, residuals, network, carry, original_forward=False):
    """Return dx (T, B, N), the derivative by the roll, and the carry to step −1.

    ::

        dx = W_x1' da_1 + W_x2' da_2 + W_x3' da_3

    Arguments as for `network.backward_pass`; dZ (T, B, N + D) is the derivative of
    a scalar, such as the log-odds of one note at one step
    (`outputs.JointOutput.log_odds`).  As there, a long tune can be gone through in
    blocks, the last one first.
    """
    da, carry_prev = backward_errors(
        dZ, state, residuals, network, original_forward, None, carry
    )
    W_x = [layer.W_x for layer in network.layers]
    return sum(pt.dot(da_n, W.T) for da_n, W in zip(da, W_x, strict=True)), carry_prev
