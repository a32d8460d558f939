"""Prime, then sample and feed back: the symbolic loop behind `genMusic`."""

import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.network import State, step_forward


def generate(primer, is_primer, uniform, threshold, sample, state, network, original):
    """Run the network over a primer's rows and then over its own samples.

    At every step a note sounds next if its number in ``uniform`` is below its
    probability; as long as ``is_primer``, the input is the primer's row, and after it
    the sample of the step before.

    Parameters
    ----------
    primer, uniform : (T, B, N)
        The rows of ``primer`` beyond its end do not matter; ``uniform`` is U[0, 1).
    is_primer : (T,)
        Truth values.
    threshold : scalar
        Probabilities below it count as zero.
    sample : (B, N)
        Sampled at the step before the first.
    state : State
        At the step before the first.
    network : Network
    original : bool
        Layer 1's output gate looks at a_g (D3).

    Returns
    -------
    samples, probabilities : (T, B, N)
    state : State
        After the last step (D6: of all three layers, from the same step).
    """
    n_layers = len(network.layers)

    def step(row, is_primer, uniform, sample, *state):
        x = pt.switch(is_primer, row, sample)
        state = State(state[:n_layers], state[n_layers : 2 * n_layers])
        Y, state = step_forward(x, state, network, original)
        y = pt.sigmoid(Y)
        y = pt.switch(y < threshold, 0, y)
        return pt.cast(uniform < y, x.dtype), *state.h, *state.c, y

    samples, *states, probabilities = scan(
        step,
        sequences=[primer, is_primer, uniform],
        outputs_info=[sample, *state.h, *state.c, None],
        return_updates=False,
        name="generate",
    )
    last = [s[-1] for s in states]
    return samples, probabilities, State(tuple(last[:n_layers]), tuple(last[n_layers:]))
