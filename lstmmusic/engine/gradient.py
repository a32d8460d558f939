"""The gradient of a minibatch, compiled: tunes to threads, steps in blocks.

A block is a fixed number of steps of a thread's tunes.  The forward pass goes through
the blocks from the first, the backward pass from the last, and what a block hands on
(`State`, `BackwardCarry`) is exact: blocks change no number beyond rounding.  They
bound the memory that is touched at once, and give tunes of all lengths one compilation.
"""

import math
from functools import cached_property, partial

import numpy as np
import pytensor.tensor as pt

from lstmmusic.data.batches import piece
from lstmmusic.engine.backend import in_threads, threads
from lstmmusic.engine.lowering import MOST_CELLS
from lstmmusic.model.network import (
    BackwardCarry,
    Residuals,
    State,
    backward_pass,
    dropped,
    forward_pass,
    leaves,
    output,
    total,
    tree_map,
)
from lstmmusic.model.outputs import COSTS

FEWEST_TUNES = 4  # for a thread: with fewer, the passes take it as long as with more


class Gradient:
    """Compiles the two passes at their first use; call `sums`.

    Parameters
    ----------
    compiler : Compiler
    cost : str
        A key of `COSTS`.
    original_forward : bool
    """

    def __init__(self, compiler, cost, original_forward):
        self.compiler = compiler
        self.cost = COSTS[cost]
        self.original_forward = original_forward
        self._forward = compiler.compile_once(self._build_forward)
        self._backward = compiler.compile_once(self._build_backward)
        self._whole = compiler.compile_once(self._build_whole)

    def sums(self, minibatch, masks=()):
        """Return the cost and its gradient in parts that are to be added up.

        Parameters
        ----------
        minibatch : Minibatch
        masks : sequence of 3 arrays (T, B, H_n) or (1, B, H_n), or nothing
            See `network.forward_pass`.

        Returns
        -------
        list of list of arrays
            For each thread the cost, and the gradient in the order of `fields`.
        """
        arrays = [*minibatch[:3], *masks]
        B = minibatch.x.shape[1]
        if B == 0:  # a rank with no part of a small minibatch
            return [self._nothing]
        workers, tunes = self.plan(B)
        mask_steps = min(len(masks[0]), minibatch.block) if masks else 0
        key = *self.compiler.shape(minibatch.block, tunes), mask_steps
        jax = self.compiler.backend.mode == "JAX"  # Numba compiles one program longer
        if jax and minibatch.block == len(minibatch.x):
            through = self._whole(*key)
        else:
            passes = self._forward(*key), self._backward(*key)
            through = partial(self._through_blocks, *passes, minibatch.block)

        def work(worker):
            first = worker * tunes
            return through(*(piece(array, first, tunes, axis=1) for array in arrays))

        return in_threads(work, workers)

    @cached_property
    def _nothing(self):
        store = self.compiler.store
        shapes = [(), *(weight.type.shape for weight in leaves(store.weights))]
        return self.compiler.given(np.zeros(shape, store.dtype) for shape in shapes)

    def plan(self, B):
        """Return the number of threads, and of tunes that one takes at once."""
        most = max(1, B // FEWEST_TUNES)
        if max(self.compiler.H) > MOST_CELLS:
            most = 1
        workers = min(most, threads(self.compiler.backend))
        tunes = math.ceil(B / workers)
        return math.ceil(B / tunes), tunes

    def _through_blocks(self, forward, backward, steps, *part):
        """Return a part's cost and gradient."""
        share = part[2]
        used = np.flatnonzero(share.any(axis=1)).max(initial=0) + 1  # beyond is padding
        B = share.shape[1]
        state = self.compiler.state_at_start(B)
        held = []
        for start in range(0, used, steps):
            x, k, share, *masks = (
                array if len(array) == 1 else piece(array, start, steps)
                for array in part
            )
            after = forward(x, *masks, *state)
            trace, after = after[:9], after[9:]
            held.append((x, k, share, *masks, *state, *trace))
            state = after
        later, sums = self.compiler.zero_carry(B), self._nothing
        while held:
            found = backward(*held.pop(), *later, *sums)
            later, sums = found[:6], found[6:]
        return sums

    def whole(self, T, B, mask_steps):
        """Return inputs, cost and gradients, symbolic, of a minibatch in one piece."""
        (x, k), masks, _ = self._inputs(T, B, mask_steps, "x", "k")
        share = pt.tensor("share", shape=(T, B))
        tunes = pt.zeros((B, 1), dtype=x.dtype)
        start = self.compiler.store.state
        state = State(*(tuple(tunes + vector for vector in all_h) for all_h in start))
        network, d3 = self.compiler.store.weights, self.original_forward
        Y, trace = forward_pass(x, state, network, d3, masks)
        cost, dY = self.cost(Y, k)
        gradients, _ = backward_pass(
            x, dY * share[:, :, None], state, trace, network, d3, masks
        )
        inputs = [x, k, share, *(masks or ())]
        return inputs, total(share * total(cost, axis=2)), gradients

    def _build_whole(self, T, B, mask_steps):
        inputs, cost, gradients = self.whole(T, B, mask_steps)
        return inputs, [cost, *leaves(gradients)], None

    def _inputs(self, T, B, mask_steps, *names):
        rolls = self.compiler.rolls(T, B, *names)
        masks = self.compiler.each_layer(mask_steps, B) if mask_steps else None
        return rolls, masks, self.compiler.state(B)

    def _build_forward(self, T, B, mask_steps):
        (x,), masks, state = self._inputs(T, B, mask_steps, "x")
        network = self.compiler.store.weights
        _, trace = forward_pass(x, state, network, self.original_forward, masks)
        after = [values[-1] for values in (*trace.h, *trace.c)]
        inputs = [x, *(masks or ()), *state.h, *state.c]
        return inputs, [*trace.h, *trace.c, *trace.gates, *after], None

    def _build_backward(self, T, B, mask_steps):
        (x, k), masks, state = self._inputs(T, B, mask_steps, "x", "k")
        share = pt.tensor("share", shape=(T, B))
        layers = self.compiler.each_layer
        trace = Residuals(layers(T, B), layers(T, B), layers(T, B, times=4))
        later = BackwardCarry(layers(B, times=4), layers(B))
        network = self.compiler.store.weights
        cost_so_far, so_far = like_sums(network)

        Y = output(dropped(trace.h, masks), network)
        cost, dY = self.cost(Y, k)
        gradients, before = backward_pass(
            x, dY * share[:, :, None], state, trace, network,
            self.original_forward, masks, later,
        )  # fmt: skip
        cost = cost_so_far + total(share * total(cost, axis=2))
        gradients = tree_map(pt.add, so_far, gradients)
        inputs = [x, k, share, *(masks or ())]
        for tuples in (state, trace, later):
            inputs += [variable for of_layers in tuples for variable in of_layers]
        return (
            [*inputs, cost_so_far, *leaves(so_far)],
            [*before.da, *before.dc, cost, *leaves(gradients)],
            None,
        )


def like_sums(network):
    """Return a symbolic cost and a symbolic Network like the given one."""
    return pt.scalar("cost"), tree_map(lambda weight: weight.type(), network)
