"""Look inside a network: its states over a tune, and what made it play a note.

A tune is gone through in blocks of `WHOLE_BLOCK` steps.  A *target* is the note at one
step whose log-odds are differentiated.  Each target at each point of the path from
silence to the tune is one tune of a minibatch of B.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from lstmmusic.data.batches import WHOLE_BLOCK, piece
from lstmmusic.engine.backend import in_threads
from lstmmusic.engine.compiler import Graph
from lstmmusic.engine.gradient import flatten, last_state, unflatten
from lstmmusic.model.influence import backward_to_roll
from lstmmusic.model.network import BackwardCarry, Residuals, State, forward_pass

MOST_BYTES = 2**28  # of residuals at once, unless one tune has more
MOST_TUNES = 64  # that a thread takes at once


class Targets(NamedTuple):
    """Hold P notes of a tune, and Q points of the straight path from silence to it."""

    roll: np.ndarray  # (T, N)
    steps: np.ndarray  # (P,), the notes' rows, from 1 to T: T is the row after the end
    notes: np.ndarray  # (P,), their columns
    points: np.ndarray  # (P, Q), from 0, silence, to 1, the tune
    weights: np.ndarray  # (P, Q), of the derivatives in their sum over the path


class Batch(NamedTuple):
    """Hold the targets and points of a minibatch's tunes."""

    target: np.ndarray  # (B,)
    point: np.ndarray  # (B,)
    weight: np.ndarray  # (B,), zero where a tune only fills the minibatch


class Attributions(NamedTuple):
    """Hold the derivatives of the log-odds of `Targets`, summed over the path."""

    past: np.ndarray  # (P, max(steps), N), by the rows before the note's, else 0
    chord: np.ndarray  # (P, N), by the note's own row
    log_odds: np.ndarray  # (P, Q), at each point of the path
    along: np.ndarray  # (P, Q), its derivative there by the place on the path


class Inside:
    """Compile the functions behind `states` and `influence` at their first call.

    Parameters
    ----------
    compiler : Compiler
    output : Independent or JointOutput
    original_forward : bool
    threads_for : callable
        `Gradient.plan`.
    """

    def __init__(self, compiler, output, original_forward, threads_for):
        self.compiler = compiler
        self.output = output
        self.original_forward = original_forward
        self.threads_for = threads_for
        self.width = compiler.store.weights.b_y.type.shape[0]  # N + D
        self._forward = compiler.compile_once(self._build_forward)
        self._log_odds = compiler.compile_once(self._build_log_odds)
        self._backward = compiler.compile_once(self._build_backward)

    def states(self, roll: np.ndarray) -> tuple[Residuals, np.ndarray]:
        """Return the `Residuals` of a roll (T, N), arrays (T, …), and Z (T, N + D)."""
        T = len(roll)
        found: list[np.ndarray] = []
        forward = self._forward(*self.compiler.shape(WHOLE_BLOCK, 1))
        state = self.compiler.state_at_start(1)
        for start in range(0, T, WHOLE_BLOCK):
            x = piece(roll[:, None], start, WHOLE_BLOCK)
            Z, residuals, state = run_block(forward, x, state)
            arrays = [np.asarray(a)[: T - start, 0] for a in (Z, *residuals)]
            if not found:
                found = [np.empty((T, a.shape[1]), a.dtype) for a in arrays]
            for to, rows in zip(found, arrays, strict=True):
                to[start : start + WHOLE_BLOCK] = rows
        Z, *arrays = found
        [residuals, _] = unflatten(arrays, Residuals)
        return residuals, Z

    def plan(self, T: int, tunes: int) -> tuple[int, int]:
        """Return the number of threads, and of the tunes that each takes at once.

        That is a power of two, so that few programs are compiled.
        """
        workers, at_once = self.threads_for(tunes)
        fit = max(1, MOST_BYTES // self.bytes_of_tune(T))
        workers = min(workers, fit)
        at_once = min(1 << (at_once - 1).bit_length(), MOST_TUNES)
        return workers, min(at_once, 1 << (fit // workers).bit_length() - 1)

    def bytes_of_tune(self, T: int) -> int:
        """Return the bytes of a tune's residuals over T steps, and of its Z."""
        return self.compiler.store.dtype.itemsize * T * self.numbers_of_step()

    def numbers_of_step(self) -> int:
        """Return how many numbers the residuals and Z have at one step of one tune."""
        return 6 * sum(self.compiler.H) + self.width

    def influence(self, targets: Targets) -> Attributions:
        """Return the derivatives of notes' log-odds by the roll."""
        (P, Q), N = targets.points.shape, targets.roll.shape[1]
        T, dtype = int(max(targets.steps)), targets.roll.dtype
        shapes = (P, T, N), (P, N), (P, Q), (P, Q)
        found = Attributions(*(np.zeros(shape, dtype) for shape in shapes))
        workers, B = self.plan(T, P * Q)
        one_roll = np.ptp(targets.points) == 0  # whose forward pass is that of all
        key = self.compiler.shape(WHOLE_BLOCK, B)
        forward = self._forward(*self.compiler.shape(WHOLE_BLOCK, 1 if one_roll else B))
        programs = forward, self._log_odds(*key[1:]), self._backward(*key)
        batches = batches_of(targets, B)
        for first in range(0, len(batches), workers):
            at_hand = batches[first : first + workers]
            work = partial(self._differentiate, programs, targets, one_roll, at_hand)
            # Added up in order: the sums must not depend on the threads.
            for batch, part in zip(
                at_hand, in_threads(work, len(at_hand)), strict=True
            ):
                who = batch.target[first_tunes(batch.target)]
                found.past[who, : part.past.shape[1]] += part.past
                found.chord[who] += part.chord
                at = batch.target, batch.point
                found.log_odds[at], found.along[at] = part.log_odds, part.along
        return found

    def _differentiate(self, programs, targets, one_roll, batches, worker):
        """Return the `Attributions` of a batch, summed over each target's tunes."""
        forward, log_odds, backward = programs
        target, point, weight = batches[worker]
        alpha = targets.points[target, point][:, None]
        last = targets.steps[target] - 1  # what comes out there predicts the note
        T, B = int(max(last)) + 1, len(last)
        tunes = np.zeros(B, int) if one_roll else np.arange(B)  # of the forward pass
        scale = alpha[: max(tunes) + 1]
        blocks, Z = [], np.zeros((B, self.width), targets.roll.dtype)
        state = self.compiler.state_at_start(len(scale))
        for start in range(0, T, WHOLE_BLOCK):
            x = scale * piece(targets.roll, start, WHOLE_BLOCK)[:, None]
            Z_block, residuals, state_next = run_block(forward, x, state)
            here = np.flatnonzero(last // WHOLE_BLOCK == start // WHOLE_BLOCK)
            Z[here] = np.asarray(Z_block)[last[here] - start, tunes[here]]
            blocks.append((start, here, (*state, *residuals)))
            state = state_next

        rows = np.pad(targets.roll, ((0, 1), (0, 0)))[last + 1]
        note = np.eye(rows.shape[1], dtype=rows.dtype)[targets.notes[target]]
        s, dZ, dk = map(np.asarray, log_odds(Z, alpha * rows, note))
        starts, weight = first_tunes(target), weight[:, None]
        past = np.zeros((len(starts), T, rows.shape[1]), rows.dtype)
        along = (dk * rows).sum(axis=1)
        carry = self.compiler.zero_carry(B)
        while blocks:
            start, here, given = blocks.pop()
            if one_roll:
                given = [np.repeat(a, B, axis=-2) for a in given]
            dZ_block = np.zeros((WHOLE_BLOCK, B, self.width), rows.dtype)
            dZ_block[last[here] - start, here] = dZ[here]
            dx, *carry = backward(dZ_block, *given, *carry)
            dx, block = np.asarray(dx)[: T - start], slice(start, start + WHOLE_BLOCK)
            along += np.einsum("tbn,tn->b", dx, targets.roll[block][: len(dx)])
            past[:, block] = np.add.reduceat(weight * dx, starts, 1).swapaxes(0, 1)
        return Attributions(past, np.add.reduceat(weight * dk, starts), s, along)

    def _build_forward(self, T, B):
        [x], state = self.compiler.rolls(T, B, "x"), self.compiler.state(B)
        network = self.compiler.store.weights
        Z, residuals = forward_pass(x, state, network, self.original_forward)
        outputs = [Z, *flatten(residuals, last_state(residuals))]
        return Graph([x, *flatten(state)], outputs)

    def _build_log_odds(self, B):
        Z = pt.tensor("Z", shape=(B, self.width))
        k, note = (
            pt.tensor(name, shape=(B, self.compiler.N)) for name in ("k", "note")
        )
        joint = self.compiler.store.weights.joint
        return Graph([Z, k, note], [*self.output.log_odds(Z, k, note, joint)])

    def _build_backward(self, T, B):
        layers = self.compiler.each_layer
        dZ, state = pt.tensor("dZ", shape=(T, B, self.width)), self.compiler.state(B)
        residuals = Residuals(layers(T, B), layers(T, B), layers(T, B, times=4))
        carry = BackwardCarry(layers(B, times=4), layers(B))
        passed = state, residuals, self.compiler.store.weights, carry
        dx, carry_prev = backward_to_roll(dZ, *passed, self.original_forward)
        inputs = [dZ, *flatten(state, residuals, carry)]
        return Graph(inputs, [dx, *flatten(carry_prev)])


def run_block(forward, x, state):
    """Return Z, the residuals and the next state, flat, of a block x (T, B, N)."""
    Z, *found = forward(x, *state)
    residuals, state, _ = unflatten(found, Residuals, State)
    return Z, flatten(residuals), flatten(state)


def batches_of(targets: Targets, B: int) -> list[Batch]:
    """Return all targets and points in minibatches of B, the last one filled up.

    Targets of like steps stand together: they have as many blocks.
    """
    P, Q = targets.points.shape
    number = np.arange(-(-P * Q // B) * B)
    order = np.argsort(targets.steps, kind="stable")
    target, point = order[np.minimum(number // Q, P - 1)], number % Q
    weight = np.where(number < P * Q, targets.weights[target, point], 0)
    by_tune = (a.reshape(-1, B) for a in (target, point, weight))
    return [Batch(*of_one) for of_one in zip(*by_tune, strict=True)]


def first_tunes(target: np.ndarray) -> np.ndarray:
    """Return the first tune of each target of a batch, whose tunes stand together."""
    return np.flatnonzero(np.diff(target, prepend=-1))
