"""Prime, then sample and feed back: the symbolic loop behind `genMusic`."""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.model.network import (
    State,
    from_leaves,
    leaves,
    pack_weights,
    step_forward,
)
from lstmmusic.model.ops import total
from lstmmusic.model.outputs import Independent, halves

SOUNDS, SILENT = -1.0, 2.0  # in place of a random number: the note is given


class Drawing(NamedTuple):
    """Hold the scalars that steer sampling."""

    threshold: pt.TensorVariable  # see `chances`
    temperature: pt.TensorVariable
    most: pt.TensorVariable | None = None  # notes at a step: see `rank`


def generate(
    source, is_primer, row, state, network, output, drawing, original_forward=False
):
    """Run the network over the rows of a primer and then over its own samples.

    Each step reads a row and gives the next: the primer's, as long as ``is_primer``,
    and after it a sample, in which a note sounds if its random number is below its
    probability.

    Parameters
    ----------
    source : (T, B, N)
        The primer's next rows, then random numbers U[0, 1), `SOUNDS` or `SILENT`.
    is_primer : (T,)
        Truth values.
    row : (B, N)
        What the first step reads.
    state : State
        At the step before the first.
    network : Network
    output : Independent or JointOutput
    drawing : Drawing
    original_forward : bool
        Layer 1's output gate looks at a_g (D3).

    Returns
    -------
    rows, probabilities : (T, B, N)
        What each step gave, and the probability of each note in it.
    state : State
        After the last step (D6: of all three layers, from the same step).
    """
    packed = pack_weights(network)
    n_layers = len(packed.layers)

    def step(source, is_primer, row, *args):
        state = State(args[:n_layers], args[n_layers : 2 * n_layers])
        packed_here = from_leaves(packed, args[2 * n_layers :])
        Z, state = step_forward(row, state, packed_here, original_forward)
        if isinstance(output, Independent):
            row_next, y = draw_independent(source, Z, drawing)
        else:
            joint = output, packed_here.joint
            row_next, y = draw_joint(source, is_primer, row, Z, joint, drawing)
        row = pt.switch(is_primer, source, row_next)
        return row, *state.h, *state.c, y

    rows, *states, probabilities = scan(
        step,
        sequences=[source, is_primer],
        outputs_info=[row, *state.h, *state.c, None],
        non_sequences=leaves(packed),
        return_updates=False,
        name="generate",
    )
    last = [s[-1] for s in states]
    return rows, probabilities, State(tuple(last[:n_layers]), tuple(last[n_layers:]))


def draw_independent(uniform, Y, drawing):
    """Return a row of notes, 0 or 1, and the probability of each, (B, N) both."""
    drawn = uniform < chances(Y, drawing.threshold, drawing.temperature)
    return as_row(drawn, Y, uniform, drawing)


def draw_joint(source, is_primer, row, Z, joint, drawing):
    """Return what `draw_independent` does, by a `JointOutput` and its `Joint` weights.

    In a primer the probabilities are those given its own notes, values above ½.  Only
    notes that sound in ``row``, the row before, and in this one after the limit
    ``drawing.most``, can be struck again.
    """
    output, weights = joint
    own = pt.switch(source > 0.5, -np.inf, np.inf)
    bounds = bound(source, drawing.threshold, drawing.temperature)
    bounds = pt.switch(is_primer, own, bounds)
    if not output.restruck:
        drawn, s = output.chord(Z, bounds, weights)
        return as_row(drawn, s, source, drawing)
    (source, source_again), (bounds, bounds_again) = halves(source), halves(bounds)
    drawn, s = output.chord(Z, bounds, weights)
    notes, y = as_row(drawn, s, source, drawing)
    notes = pt.switch(is_primer, pt.cast(source > 0.5, notes.dtype), notes)
    possible = (halves(row)[0] > 0.5) & (notes > 0.5)
    bounds_again = pt.switch(possible, bounds_again, np.inf)
    drawn, s = output.strikes(Z, notes, bounds_again, weights)
    again, y_again = as_row(drawn, s, source_again, drawing._replace(most=None))
    y_again = pt.switch(possible, y_again, 0)
    return pt.concatenate([notes, again], -1), pt.concatenate([y, y_again], -1)


def as_row(drawn, s, uniform, drawing):
    """Limit the notes drawn by s (B, N); return them and their probabilities.

    Given notes are kept first, and have their probability without the threshold.
    """
    threshold, temperature, most = drawing
    sounds, is_given = uniform < 0, (uniform < 0) | (uniform > 1)
    y = chances(s, pt.switch(is_given, 0, threshold), temperature)
    if most is not None:
        kept = rank(drawn, pt.switch(sounds, np.inf, s)) < most
        drawn = drawn & (kept | sounds)
    return pt.cast(drawn, uniform.dtype), y


def bound(uniform, threshold, temperature):
    """Return what s must exceed for a note to sound, (B, N).

    That is where ``uniform < σ(s / temperature)`` and ``threshold < σ(s)``, but for
    rounding.
    """
    inside = pt.clip(uniform, 0, 1)
    drawn = pt.switch(temperature > 0, temperature * logit(inside), 0)
    free = pt.maximum(drawn, logit(threshold))
    return pt.switch(uniform < 0, -np.inf, pt.switch(uniform > 1, np.inf, free))


def logit(y):
    """Return log y − log(1 − y), the inverse of σ; infinite at 0 and 1."""
    return pt.log(y) - pt.log1p(-y)


def chances(Y, threshold, temperature):
    """Return sampling probabilities: σ(Y / temperature), 0 below the threshold.

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
