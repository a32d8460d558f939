"""Prime, then sample and feed back: the symbolic loop behind `genMusic`."""

import numpy as np
import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.model.network import State, step_forward, total
from lstmmusic.model.ops import PLAIN


def generate(
    given, is_primer, threshold, temperature, most, row, state, network, original,
    products=PLAIN,
):  # fmt: skip
    """Run the network over the rows of a primer and then over its own samples.

    Each step reads a row and gives the next: the primer's, as long as ``is_primer``,
    and after it a sample, in which a note sounds if its random number is below its
    probability.

    Parameters
    ----------
    given : (T, B, N)
        The primer's next rows, then random numbers U[0, 1).
    is_primer : (T,)
        Truth values.
    threshold, temperature : scalar
        See `chances`.
    most : scalar or None
        Of the notes drawn at a step, at most so many sound: see `rank`.
    row : (B, N)
        What the first step reads.
    state : State
        At the step before the first.
    network : Network
    original : bool
        Layer 1's output gate looks at a_g (D3).
    products : Products
        How to multiply.

    Returns
    -------
    rows, probabilities : (T, B, N)
        What each step gave, and the probability of each note in it.
    state : State
        After the last step (D6: of all three layers, from the same step).
    """
    n_layers = len(network.layers)
    layers = [W for layer in network.layers for W in (layer.W_h, layer.W_j)]
    laid = {W: products.lay_out(W) for W in (*layers, *network.W_y) if W is not None}

    def step(given, is_primer, row, *args):
        state = State(args[:n_layers], args[n_layers : 2 * n_layers])
        weights = dict(zip(laid, args[2 * n_layers :], strict=True))

        def times(rows, W):
            return laid[W][1](rows, weights[W])

        Y, state = step_forward(row, state, network, original, products.roll, times)
        y = chances(Y, threshold, temperature)
        drawn = given < y
        if most is not None:
            drawn = drawn & (rank(drawn, Y) < most)
        row = pt.switch(is_primer, given, pt.cast(drawn, row.dtype))
        return row, *state.h, *state.c, y

    rows, *states, probabilities = scan(
        step,
        sequences=[given, is_primer],
        outputs_info=[row, *state.h, *state.c, None],
        non_sequences=[W for W, _ in laid.values()],
        return_updates=False,
        name="generate",
    )
    last = [s[-1] for s in states]
    return rows, probabilities, State(tuple(last[:n_layers]), tuple(last[n_layers:]))


def chances(Y, threshold, temperature):
    """Return what notes are sampled with: σ(Y / temperature), and 0 where σ(Y) is low.

    Temperature 0 gives 1 where σ(Y) is above ½, and 0 elsewhere.  ``threshold`` is for
    the network's own σ(Y): which notes can sound does not depend on the temperature.
    """
    divisor = pt.maximum(temperature, np.finfo(Y.dtype).tiny)
    y = pt.switch(temperature > 0, pt.sigmoid(Y / divisor), pt.cast(Y > 0, Y.dtype))
    return pt.switch(pt.sigmoid(Y) < threshold, 0, y)


def rank(drawn, Y):
    """Return the place, from 0, of each note among those drawn at its step, (B, N).

    The most probable is first; of equally probable ones, the lowest.  By Y: at a low
    temperature the probabilities themselves are all 1.
    """
    N = Y.type.shape[1]
    Y = pt.switch(drawn, Y, -np.inf)
    this, other = Y[:, :, None], Y[:, None, :]
    other_is_lower = np.tri(N, k=-1, dtype=bool)
    is_before = (other > this) | (pt.eq(other, this) & other_is_lower)
    return total(pt.cast(is_before, Y.dtype), axis=2)
