"""The compiled functions of one network: arrays in, arrays out.

Where lengths vary from call to call, in generation and `probabilities`, JAX runs tunes
in chunks of fixed length with the state carried over, so that it need not compile anew.
"""

import math
from itertools import chain
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from lstmmusic.data.batches import piece
from lstmmusic.engine.backend import in_threads, threads
from lstmmusic.engine.compiler import Compiler
from lstmmusic.engine.gradient import Gradient, like_sums
from lstmmusic.engine.lowering import MOST_CELLS
from lstmmusic.model.network import forward_pass, leaves, total, tree_map
from lstmmusic.model.optimizers import Settings, new_values, reject_nonfinite
from lstmmusic.model.outputs import cross_entropy
from lstmmusic.model.sampling import Drawing, generate

CHUNK = 32  # steps
FEWEST_TUNES, MOST_TUNES = 8, 64  # that a thread generates at once


class Whole(NamedTuple):
    """A minibatch that one program makes the update from: its shape, its arrays."""

    key: tuple
    arrays: list


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
    backend : Backend
    """

    def __init__(self, store, cost, original_forward, backend):
        self.store = store
        self.original_forward = original_forward
        self.backend = backend
        self.ahead = backend.device != "cpu"  # updates are asked for before costs
        self.begin()
        # In the instance, so that the compiled functions go when it goes.
        self.compiler = Compiler(store, (cost, original_forward), backend)
        self.gradient = Gradient(self.compiler, cost, original_forward)
        self._update = self.compiler.compile_once(self._build_update)
        self._whole_update = self.compiler.compile_once(self._build_whole_update)
        self._counts = self.compiler.compile_once(self._build_counts)
        self._probabilities = self.compiler.compile_once(self._build_probabilities)
        self._generate = self.compiler.compile_once(self._build_generate)

    def sums(self, minibatch, masks=()):
        """Return what `update` makes the update from; nothing is changed yet.

        `Gradient.sums`, or a `Whole`: where there is one thread and one block, a single
        program for all of an update is faster.
        """
        T, B, _ = minibatch.x.shape
        workers, _ = self.gradient.plan(B)
        if self.backend.mode != "JAX" or workers > 1 or minibatch.block < T:
            return self.gradient.sums(minibatch, masks)
        key = T, B, len(masks[0]) if masks else 0
        return Whole(key, [*minibatch[:3], *masks])

    def update(self, sums, settings):
        """Make one update; return the cost before it, or NaN if nothing was changed.

        ``sums`` as they come from `sums`; ``settings`` a `Settings` of arrays.  On a
        GPU the cost is still there, and the update perhaps not yet made: float(cost)
        waits.  After one that is NaN the next ones change nothing, either, until
        `begin`.
        """
        limited = bool(np.isfinite(settings.gradNorm))
        if isinstance(sums, Whole):
            run, arrays = self._whole_update(*sums.key, limited), sums.arrays
        else:
            run = self._update(len(sums), limited)
            arrays = chain.from_iterable(sums)
        [self._before] = run(self._before, *settings, *arrays)
        return self._before if self.ahead else float(self._before)

    def begin(self):
        """Forget that the cost before was NaN."""
        self._before = np.zeros((), self.store.dtype)

    def gradients(self, minibatch):
        """Return the cost, and its gradient as arrays in the order of `fields`."""
        sums = zip(*self.gradient.sums(minibatch), strict=True)
        cost, *gradients = (sum(map(np.asarray, parts)) for parts in sums)
        return float(cost), gradients

    def counts(self, x, k, there):
        """Return nats, and notes hit, added and missed: (4, B), summed over steps.

        ``x``, ``k`` (T, B, N); ``there`` (T, B) is 0 for padding.  A note is predicted
        if its probability is above 0.5.  Threads may call this at once, but for the
        first time.
        """
        T, B, _ = x.shape
        length = self._chunk(T)
        run = self._counts(*self.compiler.shape(length, B))
        state, found = self.compiler.state_at_start(B), np.zeros((4, B))
        for start in range(0, T, length):
            counts, *state = run(
                *(piece(a, start, length) for a in (x, k, there)), *state
            )
            found += np.asarray(counts)  # JAX would add in its own precision
        return found

    def probabilities(self, x):
        """Return y (T, B, N) for x (T, B, N), from the state at step −1."""
        T, B, _ = x.shape
        length = self._chunk(T)
        run = self._probabilities(*self.compiler.shape(length, B))
        state = self.compiler.state_at_start(B)
        y = []
        for start in range(0, T, length):
            y_chunk, *state = run(piece(x, start, length), *state)
            y.append(np.asarray(y_chunk))
        return np.concatenate(y)[:T]

    def generate(self, primer, uniform, threshold, temperature, most=None):
        """Sample after a primer (P, B, N), with random numbers U[0, 1) (S, B, N).

        ``threshold``, ``temperature`` and ``most`` as for `generation.generate`.

        Returns
        -------
        tunes, probabilities : ndarray of shape (P − 1 + S, B, N)
            From the primer's second row on, which is the first that is predicted.
        """
        P, B, N = primer.shape
        given = np.concatenate([primer[1:], uniform])
        T = len(given)
        is_primer = np.arange(T) < P - 1
        length = self._chunk(T)
        workers, tunes = self._share(B)
        limits = [threshold, temperature, *([] if most is None else [most])]
        with np.errstate(over="ignore"):  # a temperature may round to infinity
            limits = np.array(limits, dtype=primer.dtype)
        run = self._generate(*self.compiler.shape(length, tunes), most is not None)
        found = np.empty((2, T, B, N), primer.dtype)

        def work(first):
            part = piece(given, first, tunes, axis=1)
            out = found[:, :, first : first + tunes]
            row = piece(primer[0], first, tunes)
            state = row, *self.compiler.state_at_start(tunes)
            for start in range(0, T, length):
                chunk = (piece(a, start, length) for a in (part, is_primer))
                samples, y, *state = run(*chunk, *limits, *state)
                for kept, new in zip(out[:, start:], (samples, y), strict=True):
                    kept[:length] = np.asarray(new)[: len(kept), : kept.shape[1]]

        firsts = range(0, B, tunes)
        in_threads(lambda w: [work(first) for first in firsts[w::workers]], workers)
        return found

    def _chunk(self, T):
        return CHUNK if self.backend.mode == "JAX" else T

    def _share(self, B):
        """Return how many threads generate B tunes, and how many tunes one at once.

        As a sample hangs on rounding, that of a tune should not depend on the threads:
        the kernels, where there are any, round the same for all numbers of tunes.
        Layers of over `MOST_CELLS` do without, in one thread.
        """
        if max(self.compiler.H) > MOST_CELLS:
            return 1, B
        workers = max(1, min(B // FEWEST_TUNES, threads(self.backend)))
        return workers, math.ceil(B / (workers * math.ceil(B / workers / MOST_TUNES)))

    def _build_update(self, parts, limited):
        sums = [like_sums(self.store.weights) for _ in range(parts)]
        cost = sum(cost for cost, _ in sums)
        gradients = tree_map(lambda *g: sum(g), *(gradients for _, gradients in sums))
        inputs = [v for cost, g in sums for v in (cost, *leaves(g))]
        return self._updating(inputs, cost, gradients, limited)

    def _build_whole_update(self, T, B, mask_steps, limited):
        return self._updating(*self.gradient.whole(T, B, mask_steps), limited)

    def _updating(self, inputs, cost, gradients, limited):
        given = Settings(*pt.scalars(*Settings._fields))
        updates = new_values(
            self.store.weights, gradients, self.store.moments, given, limited
        )
        before = pt.scalar("before")  # the cost of the update before
        weights = leaves(self.store.weights)
        updates, new_cost = reject_nonfinite(updates, weights, cost, before)
        return [before, *given, *inputs], [new_cost], updates

    def _pass(self, x, state):
        return forward_pass(x, state, self.store.weights, self.original_forward)

    def _build_counts(self, T, B):
        (x, k), state = self.compiler.rolls(T, B, "x", "k"), self.compiler.state(B)
        there = pt.tensor("there", shape=(T, B))
        Y, trace = self._pass(x, state)
        nats, _ = cross_entropy(Y, k)
        sounds, predicted = k > 0.5, Y > 0
        found = [nats, sounds & predicted, predicted & ~sounds, sounds & ~predicted]
        counts = [
            total(there * total(pt.cast(each_note, x.dtype), axis=2), axis=0)
            for each_note in found
        ]
        after = [values[-1] for values in (*trace.h, *trace.c)]
        inputs = [x, k, there, *state.h, *state.c]
        return inputs, [pt.stack(counts), *after], None

    def _build_probabilities(self, T, B):
        (x,), state = self.compiler.rolls(T, B, "x"), self.compiler.state(B)
        Y, trace = self._pass(x, state)
        after = [values[-1] for values in (*trace.h, *trace.c)]
        return [x, *state.h, *state.c], [pt.sigmoid(Y), *after], None

    def _build_generate(self, T, B, limited):
        (given,), state = self.compiler.rolls(T, B, "given"), self.compiler.state(B)
        is_primer = pt.tensor("is_primer", shape=(T,), dtype="bool")
        row = pt.tensor("row", shape=(B, self.compiler.N))
        limits = threshold, temperature = pt.scalars("threshold", "temperature")
        most = pt.scalar("most") if limited else None
        rows, probabilities, after = generate(
            given, is_primer, row, state, self.store.weights,
            Drawing(threshold, temperature, most), self.original_forward,
        )  # fmt: skip
        limits = [*limits, most] if limited else limits
        return (
            [given, is_primer, *limits, row, *state.h, *state.c],
            [rows, probabilities, rows[-1], *after.h, *after.c],
            None,
        )
