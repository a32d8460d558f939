"""Compute the gradient of a minibatch: tunes in threads, steps in blocks.

A block is some steps of a thread's tunes, of few lengths.  The forward pass goes
through the blocks from the first, the backward pass from the last.  A block hands its
exact `State` or `BackwardCarry` to the next, so blocks change no number beyond
rounding.  They bound the memory that is touched at once, and tunes of all lengths share
one compilation.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from lstmmusic.data.batches import Minibatch, piece
from lstmmusic.engine.backend import in_threads, threads
from lstmmusic.engine.compiler import Graph
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
)
from lstmmusic.model.ops import total

Carried = type[State] | type[Residuals] | type[BackwardCarry]

FEWEST_TUNES = 4  # a thread takes as long with fewer


class PartialGradient(NamedTuple):
    """Hold the cost and the gradient of some of a minibatch's tunes; parts add up."""

    cost: Any  # ()
    gradients: list  # in the order of `network.fields`


class Gradient:
    """Compile the two passes at their first use; `partial_gradients` calls them.

    Parameters
    ----------
    compiler : Compiler
    output : Independent or JointOutput
    original_forward : bool
    """

    def __init__(self, compiler, output, original_forward):
        self.compiler = compiler
        self.output = output
        self.original_forward = original_forward
        self._forward = compiler.compile_once(self._build_forward)
        self._backward = compiler.compile_once(self._build_backward)
        self._whole = compiler.compile_once(self._build_whole)

    def partial_gradients(
        self, minibatch: Minibatch, masks: Sequence[np.ndarray] = ()
    ) -> list[PartialGradient]:
        """Return the gradient of a minibatch, one part per thread.

        Parameters
        ----------
        minibatch : Minibatch
        masks : sequence of 3 arrays (T, B, H_n) or (1, B, H_n), or nothing
            See `network.forward_pass`.
        """
        arrays = [*minibatch.arrays, *masks]
        B = minibatch.x.shape[1]
        if B == 0:  # this rank received no tunes
            return [self._zero]
        workers, tunes = self.plan(B)
        mask_steps = len(masks[0]) if masks else 0
        jax = self.compiler.backend.mode == "JAX"  # Numba compiles one program longer
        if jax and minibatch.in_one:
            whole = self._whole(*self._key(minibatch.block, tunes, mask_steps))
            through = [whole] * workers
        else:
            through = self._through(minibatch, workers, tunes, mask_steps)

        def work(worker):
            first = worker * tunes
            part = (piece(array, first, tunes, axis=1) for array in arrays)
            cost, *gradients = through[worker](*part)
            return PartialGradient(cost, gradients)

        return in_threads(work, workers)

    @cached_property
    def _zero(self) -> PartialGradient:
        store = self.compiler.store
        shapes = [(), *(weight.type.shape for weight in leaves(store.weights))]
        cost, *gradients = self.compiler.given(
            np.zeros(shape, store.dtype) for shape in shapes
        )
        return PartialGradient(cost, gradients)

    def plan(self, B: int) -> tuple[int, int]:
        """Return the number of threads, and of the tunes that each takes at once."""
        most = max(1, B // FEWEST_TUNES)
        if max(self.compiler.H) > MOST_CELLS:
            most = 1
        workers = min(most, threads(self.compiler.backend))
        tunes = math.ceil(B / workers)
        return math.ceil(B / tunes), tunes

    def _key(self, block, tunes, mask_steps):
        """Return the key of a pass; Numba's takes masks of all lengths but one."""
        jax = self.compiler.backend.mode == "JAX"
        mask_steps = min(mask_steps, block if jax else 2)
        return *self.compiler.shape(block, tunes), mask_steps

    def _through(self, minibatch, workers, tunes, mask_steps):
        """Return a function of each thread's part, after compiling what they need."""
        weights = (minibatch.loss_weight[:, n * tunes :] for n in range(workers))
        lengths = [minibatch.blocks(steps_used(w[:, :tunes])) for w in weights]
        passes = {}
        for block in dict.fromkeys(chain.from_iterable(lengths)):
            key = self._key(block, tunes, mask_steps)
            passes[block] = self._forward(*key), self._backward(*key)
        return [partial(self._through_blocks, passes, blocks) for blocks in lengths]

    def _through_blocks(self, passes, lengths, *part):
        """Return a part's cost, then its gradients.

        ``passes`` holds the forward and backward pass of each length of a block.
        """
        B = part[2].shape[1]
        state = self.compiler.state_at_start(B)
        blocks, start = [], 0
        for steps in lengths:
            x, targets, loss_weight, *masks = (
                array if len(array) == 1 else piece(array, start, steps)
                for array in part
            )
            forward, backward = passes[steps]
            found = forward(x, *masks, *state)
            residuals, last, _ = unflatten(found, Residuals, State)
            given = x, targets, loss_weight, *masks, *state
            blocks.append((backward, (*given, *flatten(residuals))))
            state = flatten(last)
            start += steps
        carry, sums = self.compiler.zero_carry(B), [self._zero[0], *self._zero[1]]
        while blocks:
            backward, given = blocks.pop()
            found = backward(*given, *carry, *sums)
            carry_prev, sums = unflatten(found, BackwardCarry)
            carry = flatten(carry_prev)
        return sums

    def whole(self, T, B, mask_steps):
        """Return inputs, cost and gradients, symbolic, of a minibatch in one piece."""
        (x, targets), masks, _ = self._inputs(T, B, mask_steps, "x", "targets")
        loss_weight = pt.tensor("loss_weight", shape=(T, B))
        tunes = pt.zeros((B, 1), dtype=x.dtype)
        start = self.compiler.store.state
        state = State(*(tuple(tunes + vector for vector in all_h) for all_h in start))
        network, d3 = self.compiler.store.weights, self.original_forward
        Z, residuals = forward_pass(x, state, network, d3, masks)
        cost, dZ, joint = self.output.cost_of(Z, x, targets, network.joint, loss_weight)
        gradients, _ = backward_pass(x, dZ, state, residuals, network, d3, masks)
        gradients = gradients._replace(joint=joint)
        inputs = [x, targets, loss_weight, *(masks or ())]
        return inputs, total(loss_weight * total(cost, axis=2)), gradients

    def _build_whole(self, T, B, mask_steps):
        inputs, cost, gradients = self.whole(T, B, mask_steps)
        return Graph(inputs, [cost, *leaves(gradients)])

    def _inputs(self, T, B, mask_steps, *names):
        rolls = self.compiler.rolls(T, B, *names)
        steps = T if mask_steps > 1 else mask_steps
        masks = self.compiler.each_layer(steps, B) if mask_steps else None
        return rolls, masks, self.compiler.state(B)

    def _build_forward(self, T, B, mask_steps):
        (x,), masks, state = self._inputs(T, B, mask_steps, "x")
        network = self.compiler.store.weights
        _, residuals = forward_pass(x, state, network, self.original_forward, masks)
        outputs = flatten(residuals, last_state(residuals))
        return Graph([x, *(masks or ()), *flatten(state)], outputs)

    def _build_backward(self, T, B, mask_steps):
        (x, targets), masks, state = self._inputs(T, B, mask_steps, "x", "targets")
        loss_weight = pt.tensor("loss_weight", shape=(T, B))
        layers = self.compiler.each_layer
        residuals = Residuals(layers(T, B), layers(T, B), layers(T, B, times=4))
        carry = BackwardCarry(layers(B, times=4), layers(B))
        network = self.compiler.store.weights
        so_far = like_partial(network)

        Z = output(dropped(residuals.h, masks), network)
        cost, dZ, joint = self.output.cost_of(Z, x, targets, network.joint, loss_weight)
        gradients, carry_prev = backward_pass(
            x, dZ, state, residuals, network, self.original_forward, masks, carry
        )
        gradients = gradients._replace(joint=joint)
        cost = so_far.cost + total(loss_weight * total(cost, axis=2))
        gradients = map(pt.add, so_far.gradients, leaves(gradients))
        inputs = [x, targets, loss_weight, *(masks or ())]
        inputs += [*flatten(state, residuals, carry), so_far.cost, *so_far.gradients]
        return Graph(inputs, [*flatten(carry_prev), cost, *gradients])


def steps_used(loss_weight: np.ndarray) -> int:
    """Return the number of steps up to the last of weight; all others are padding."""
    return int(np.flatnonzero(loss_weight.any(axis=1)).max(initial=0)) + 1


def like_partial(network) -> PartialGradient:
    """Return a symbolic part for a symbolic Network."""
    return PartialGradient(pt.scalar("cost"), [w.type() for w in leaves(network)])


def last_state(residuals: Residuals) -> State:
    """Return the State after the last step."""
    return State(*(tuple(a[-1] for a in layers) for layers in residuals[:2]))


def flatten(*groups: tuple) -> list:
    """Return the arrays of `State`, `Residuals` or `BackwardCarry` in one list."""
    return [array for group in groups for layers in group for array in layers]


def unflatten(arrays: Iterable, *kinds: Carried) -> list:
    """Undo `flatten`: return one of each of ``kinds``, and a list of the other arrays.

    Each field of a kind has one array for each of the three layers.
    """
    left = iter(arrays)
    groups = [kind(*(tuple(islice(left, 3)) for _ in kind._fields)) for kind in kinds]
    return [*groups, list(left)]
