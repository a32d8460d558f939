"""The compiled functions of one network: arrays in, arrays out.

Numba takes arrays of any shape with one compilation.  JAX wants static shapes, so it
compiles once for each (T, B) met; where lengths vary from call to call, in generation
and `probabilities`, tunes run in chunks of fixed length with the state carried over.
"""

from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt

from lstmmusic.backend import function, on_device, precision, prepare
from lstmmusic.costs import COSTS
from lstmmusic.generation import generate
from lstmmusic.network import State, backward_pass, fields, forward_pass, total
from lstmmusic.updates import only_if_finite, rmsprop

CHUNK = 32  # steps


class Functions:
    """Compiles each function of a network at its first use, and keeps it.

    Everything is time-major: T steps, B tunes, N notes.

    Parameters
    ----------
    store : Store
        The weights, and what else an update changes.
    cost : str
        A key of `COSTS`.
    original_forward : bool
    mode : str
        "JAX" or "NUMBA".
    """

    def __init__(self, store, cost, original_forward, mode):
        self.store = store
        self.cost = COSTS[cost]
        self.original_forward = original_forward
        self.mode = mode
        self.N = store.weights.b_y.type.shape[0]
        # In the instance, so that the compiled functions go when it goes.
        self._update = self._kept(self._compile_update)
        self._gradients = self._kept(self._compile_gradients)
        self._probabilities = self._kept(self._compile_probabilities)
        self._generate = self._kept(self._compile_generate)

    def update(self, x, k, settings):
        """Make one update; return the cost before it, or NaN if nothing was changed.

        ``x``, ``k`` (T, B, N); ``settings`` R1, R2, R3, Rout, epsilon, gradClip, lam.
        """
        run = self._update(*self._shape(*x.shape[:2]))
        return float(run(x, k, *settings))

    def gradients(self, x, k):
        """Return the cost, and its gradient as arrays in the order of `fields`."""
        run = self._gradients(*self._shape(*x.shape[:2]))
        cost, *gradients = run(x, k)
        return float(cost), [np.asarray(g) for g in gradients]

    def probabilities(self, x):
        """Return y (T, B, N) for x (T, B, N), from the state at step −1."""
        T, B, _ = x.shape
        length = self._chunk(T)
        run = self._probabilities(*self._shape(length, B))
        state = self._state_at_start(B)
        y = []
        for start in range(0, T, length):
            y_chunk, *state = run(part(x, start, length), *state)
            y.append(np.asarray(y_chunk))
        return np.concatenate(y)[:T]

    def generate(self, primer, uniform, threshold):
        """Sample after a primer (P, B, N), with random numbers U[0, 1) (T, B, N).

        Returns samples and probabilities, each (T, B, N).
        """
        P, B, N = primer.shape
        T = P + len(uniform) - 1  # the last row of the primer gives the first sample
        length = self._chunk(T)
        run = self._generate(*self._shape(length, B))
        uniform = np.concatenate([np.zeros((P - 1, B, N), uniform.dtype), uniform])
        is_primer = np.arange(T) < P
        sample, state = np.zeros((B, N), primer.dtype), self._state_at_start(B)
        chunks = []
        for start in range(0, T, length):
            rolls = (part(a, start, length) for a in (primer, is_primer, uniform))
            samples, y, *state = run(*rolls, threshold, sample, *state)
            sample = samples[-1]
            chunks.append((np.asarray(samples), np.asarray(y)))
        return (np.concatenate(c)[P - 1 : T] for c in zip(*chunks, strict=True))

    def _shape(self, *lengths):
        """Return the key of a compiled function: the lengths where JAX needs them."""
        return lengths if self.mode == "JAX" else (None,) * len(lengths)

    def _chunk(self, T):
        return CHUNK if self.mode == "JAX" else T

    def _state_at_start(self, B):
        """Give each of B tunes the state at step −1: arrays (B, H), all h, then c."""
        vectors = [v.get_value(borrow=True) for s in self.store.state for v in s]
        return [np.tile(vector, (B, 1)) for vector in vectors]

    def _compile_update(self, T, B):
        x, k, cost, gradients = self._cost_and_gradients(T, B)
        settings = pt.scalars("R1", "R2", "R3", "Rout", "epsilon", "clip", "lam")
        *rates, epsilon, clip, lam = settings
        updates = rmsprop(
            self.store.weights, gradients, self.store.means, rates, epsilon, clip, lam
        )
        updates, cost = only_if_finite(updates, cost)
        return self._compile([x, k, *settings], cost, updates)

    def _compile_gradients(self, T, B):
        x, k, cost, gradients = self._cost_and_gradients(T, B)
        return self._compile([x, k], [cost, *(g for _, _, g in fields(gradients))])

    def _cost_and_gradients(self, T, B):
        x, k = self._rolls(T, B, "x", "k")
        tunes = x.shape[1] if B is None else B
        state = State(
            *(
                tuple(pt.alloc(vector, tunes, vector.type.shape[0]) for vector in s)
                for s in self.store.state
            )
        )
        network, original = self.store.weights, self.original_forward
        Y, trace = forward_pass(x, state, network, original)
        cost, dY = self.cost(Y, k)
        tunes = pt.cast(tunes, x.dtype)
        gradients = backward_pass(x, dY / tunes, state, trace, network, original)
        per_tune = total(cost, axis=(0, 2))
        return x, k, total(per_tune) / tunes, gradients

    def _compile_probabilities(self, T, B):
        (x,), state = self._rolls(T, B, "x"), self._states(B)
        Y, trace = forward_pass(x, state, self.store.weights, self.original_forward)
        after = [values[-1] for values in (*trace.h, *trace.c)]
        return self._compile([x, *state.h, *state.c], [pt.sigmoid(Y), *after])

    def _compile_generate(self, T, B):
        primer, uniform = self._rolls(T, B, "primer", "uniform")
        is_primer = pt.tensor("is_primer", shape=(T,), dtype="bool")
        sample = pt.tensor("sample", shape=(B, self.N))
        threshold = pt.scalar("threshold")
        state = self._states(B)
        samples, probabilities, after = generate(
            primer, is_primer, uniform, threshold, sample, state,
            self.store.weights, self.original_forward,
        )  # fmt: skip
        return self._compile(
            [primer, is_primer, uniform, threshold, sample, *state.h, *state.c],
            [samples, probabilities, *after.h, *after.c],
        )

    def _rolls(self, T, B, *names):
        return [pt.tensor(name, shape=(T, B, self.N)) for name in names]

    def _states(self, B):
        return State(
            *(
                tuple(pt.tensor(shape=(B, *vector.type.shape)) for vector in s)
                for s in self.store.state
            )
        )

    def _compile(self, inputs, outputs, updates=None):
        return function(inputs, outputs, updates, self.mode)

    def _kept(self, build):
        """Return ``build`` with what it returns kept, one compiled function a shape.

        Where each variable was made is not recorded: that takes longer than the rest.
        """
        dtype = self.store.dtype.name
        flags = {"floatX": dtype, "traceback__limit": 0}

        @cache
        def get(*shape):
            prepare(self.mode)
            with pytensor.config.change_flags(**flags), precision(self.mode, dtype):
                run = build(*shape)

            def call(*args):
                with precision(self.mode, dtype):
                    return run(*on_device(self.mode, args))

            return call

        return get


def part(array, start, length):
    """Return array[start : start + length], filled up with zeros to that length."""
    piece = array[start : start + length]
    if len(piece) == length:
        return piece
    whole = np.zeros((length, *array.shape[1:]), array.dtype)
    whole[: len(piece)] = piece
    return whole
