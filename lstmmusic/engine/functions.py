"""Compile the functions of one network: arrays in, arrays out.

In generation and `probabilities` lengths vary from call to call.  There JAX runs tunes
in chunks of a fixed length and carries the state over, so that it compiles once.
"""

import math
from collections.abc import Sequence
from functools import reduce
from itertools import chain, product

import numpy as np
import pytensor.tensor as pt

from lstmmusic.data.batches import Minibatch, in_columns, piece
from lstmmusic.engine.backend import in_threads, threads
from lstmmusic.engine.compiler import Compiler, Graph
from lstmmusic.engine.gradient import (
    Gradient,
    PartialGradient,
    flatten,
    last_state,
    like_partial,
)
from lstmmusic.engine.inside import Inside
from lstmmusic.engine.lowering import MOST_CELLS
from lstmmusic.model.network import forward_pass, from_leaves, leaves
from lstmmusic.model.ops import total
from lstmmusic.model.optimizers import Settings, new_values, reject_nonfinite
from lstmmusic.model.outputs import halves
from lstmmusic.model.sampling import Drawing, generate

CHUNK = 32  # steps
COUNTED = 32, 16  # steps that a chunk of `counts` may have; a tune's last is padded
CHUNK_ROWS = 75  # the fixed cost of a chunk, in rows; measured
FEWEST_TUNES, MOST_TUNES = 8, 64  # for each thread and call of `generate`


class Functions:
    """Compile each function of a network at its first use, and keep it.

    Everything is time-major: T steps, B tunes, N notes.

    Parameters
    ----------
    store : Store
        The weights, and what else an update changes.
    output : Independent or JointOutput
    original_forward : bool
    backend : Backend
    """

    def __init__(self, store, output, original_forward, backend):
        self.store = store
        self.output = output
        self.original_forward = original_forward
        self.backend = backend
        self.asynchronous = backend.device != "cpu"  # a GPU computes in the background
        self.reset_cost()
        # In the instance, so that the compiled functions go when it goes.
        self.compiler = Compiler(store, (output, original_forward), backend)
        self.gradient = Gradient(self.compiler, output, original_forward)
        form = output, original_forward
        self.inside = Inside(self.compiler, *form, self.gradient.plan)
        self._step = self.compiler.compile_once(self._build_step)
        self._apply = self.compiler.compile_once(self._build_apply, has_products=False)
        self._counts = self.compiler.compile_once(self._build_counts)
        self._probabilities = self.compiler.compile_once(self._build_probabilities)
        self._generate = self.compiler.compile_once(self._build_generate)

    def step(
        self, minibatch: Minibatch, masks: Sequence[np.ndarray], settings: Settings
    ):
        """Make one update from a minibatch, in one program or from `partial_gradients`.

        Parameters
        ----------
        minibatch : Minibatch
        masks : sequence of 3 arrays (T, B, H_n) or (1, B, H_n), or nothing
            Dropout's; see `network.forward_pass`.
        settings : Settings
            Of arrays.

        Returns
        -------
        cost : float
            Before the update; NaN if the update would not be finite, and changed
            nothing.  On a GPU a JAX array: ``float(cost)`` waits for the update.  After
            a cost of NaN no update changes anything until `reset_cost`.
        """
        if not self.in_one_program(minibatch):
            return self.apply(self.partial_gradients(minibatch, masks), settings)
        T, B, _ = minibatch.x.shape
        run = self._step(T, B, len(masks[0]) if masks else 0, is_limited(settings))
        return self._call(run, settings, [*minibatch.arrays, *masks])

    def in_one_program(self, minibatch: Minibatch) -> bool:
        """Return whether one program makes the update: one thread takes one block."""
        one_part = self.parts(minibatch) == 1
        return self.backend.mode == "JAX" and one_part and minibatch.in_one

    def parts(self, minibatch: Minibatch) -> int:
        """Return the number of parts of a minibatch's gradient: one per thread."""
        return self.gradient.plan(minibatch.x.shape[1])[0]

    def partial_gradients(
        self, minibatch: Minibatch, masks: Sequence[np.ndarray] = ()
    ) -> list[PartialGradient]:
        """Return a minibatch's gradient in parts; nothing is changed yet."""
        return self.gradient.partial_gradients(minibatch, masks)

    def compile_apply(self, n_parts: int, settings: Settings) -> None:
        """Compile `apply`; if called first, while the gradient's kernels are built."""
        self._apply(n_parts, is_limited(settings))

    def apply(self, parts: Sequence[PartialGradient], settings: Settings):
        """Make one update from partial gradients; return the cost as `step` does."""
        run = self._apply(len(parts), is_limited(settings))
        arrays = chain.from_iterable((part.cost, *part.gradients) for part in parts)
        return self._call(run, settings, arrays)

    def _call(self, run, settings, arrays):
        [self._previous_cost] = run(self._previous_cost, *settings, *arrays)
        return self._previous_cost if self.asynchronous else float(self._previous_cost)

    def reset_cost(self) -> None:
        """Clear a NaN cost, which blocks all further updates."""
        self._previous_cost = np.zeros((), self.store.dtype)

    def gradients(self, minibatch: Minibatch) -> tuple[float, list[np.ndarray]]:
        """Return the cost, and its gradient as arrays in the order of `fields`."""
        parts = self.partial_gradients(minibatch)
        cost = sum(np.asarray(part.cost) for part in parts)
        by_weight = zip(*(part.gradients for part in parts), strict=True)
        return float(cost), [reduce(np.add, map(np.asarray, a)) for a in by_weight]

    def counts(self, lengths: np.ndarray, rolls_of, size: int) -> np.ndarray:
        """Return nats, and notes hit, added and missed, of each tune: (tunes, 4).

        The notes predicted are those drawn at temperature 0.  With restruck columns
        they are counted in the sounding half; its nats are in a fifth column.

        Parameters
        ----------
        lengths : ndarray of shape (tunes,)
            The tunes' predicted steps.
        rolls_of : callable
            Returns x and targets (steps, N) of a tune's number; threads call it.
        size : int
            At most so many tunes at once in each thread.
        """
        summed = np.zeros((len(lengths), 5 if self.output.restruck else 4))
        workers = min(threads(self.backend), len(lengths))
        T, B = self.chunks(lengths, size, workers)
        run = self._counts(*self.compiler.shape(T, B))
        first = self.compiler.state_at_start(B)
        order = sorted(range(len(lengths)), key=lambda n: -lengths[n])

        def work(worker):
            rolls = ((n, *rolls_of(n)) for n in order[worker::workers])
            state = first
            for chunk in in_columns(rolls, T, B, self.store.dtype):
                if chunk.begins.any():
                    fresh = zip(first, state, strict=True)
                    state = [np.where(chunk.begins[:, None], a, b) for a, b in fresh]
                counts, *state = run(*chunk.arrays, *state)
                used = chunk.tunes >= 0
                # JAX would add in its own precision.
                counts = np.asarray(counts).sum(axis=1, dtype=np.float64).T
                summed[chunk.tunes[used]] += counts[used]

        in_threads(work, workers)
        return summed

    def chunks(self, lengths: np.ndarray, size: int, workers: int):
        """Return the steps of a chunk in `counts`, and how many tunes it has.

        All, half or a quarter of ``size``, in the steps that make it fastest.  A chunk
        takes as long as its rows and `CHUNK_ROWS` more; on a GPU as long as its steps.
        There are as many chunks as the longest tune has, or more for many tunes.
        """

        def cost(form):
            T, B = form
            chunks = [math.ceil(length / T) for length in lengths]
            rows = T * (1 if self.asynchronous else B) + CHUNK_ROWS
            return rows * max(*chunks, sum(chunks) / (workers * B), 1)

        columns = [math.ceil(size / n) for n in (1, 2, 4)]
        return min(product(COUNTED, columns), key=cost)

    def probabilities(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return y (T, B, N) for x and targets (T, B, N), from the state at step −1."""
        T, B, _ = x.shape
        length = self.chunk_length(T)
        run = self._probabilities(*self.compiler.shape(length, B))
        state = self.compiler.state_at_start(B)
        y = []
        for start in range(0, T, length):
            chunk = (piece(a, start, length) for a in (x, targets))
            y_chunk, *state = run(*chunk, *state)
            y.append(np.asarray(y_chunk))
        return np.concatenate(y)[:T]

    def generate(self, primer, uniform, threshold, temperature, most=None):
        """Sample after a primer (P, B, N), with random numbers U[0, 1) (S, B, N).

        In place of a note's number, `SOUNDS` or `SILENT` fix the note.
        ``threshold``, ``temperature`` and ``most`` as for `sampling.generate`.

        Returns
        -------
        tunes, probabilities : ndarray of shape (P − 1 + S, B, N)
            From the primer's second row on, which is the first that is predicted.
        """
        P, B, N = primer.shape
        source = np.concatenate([primer[1:], uniform])
        T = len(source)
        is_primer = np.arange(T) < P - 1
        length = self.chunk_length(T)
        workers, tunes = self.share_out(B)
        limits = [threshold, temperature, *([] if most is None else [most])]
        with np.errstate(over="ignore"):  # a temperature may round to infinity
            limits = np.array(limits, dtype=primer.dtype)
        run = self._generate(*self.compiler.shape(length, tunes), most is not None)
        rolls = np.empty((2, T, B, N), primer.dtype)

        def work(first):
            part = piece(source, first, tunes, axis=1)
            out = rolls[:, :, first : first + tunes]
            row = piece(primer[0], first, tunes)
            state = row, *self.compiler.state_at_start(tunes)
            for start in range(0, T, length):
                chunk = (piece(a, start, length) for a in (part, is_primer))
                samples, y, *state = run(*chunk, *limits, *state)
                for to, new in zip(out[:, start:], (samples, y), strict=True):
                    to[:length] = np.asarray(new)[: len(to), : to.shape[1]]

        firsts = range(0, B, tunes)
        in_threads(lambda w: [work(first) for first in firsts[w::workers]], workers)
        return rolls

    def chunk_length(self, T):
        return CHUNK if self.backend.mode == "JAX" else T

    def share_out(self, B):
        """Return the number of threads that generate B tunes, and of tunes in a call.

        Samples are sensitive to rounding, so they must not depend on the number of
        threads: the kernels round the same for all numbers of tunes.  Layers of over
        `MOST_CELLS` go without kernels, in one thread.
        """
        if max(self.compiler.H) > MOST_CELLS:
            return 1, B
        workers = max(1, min(B // FEWEST_TUNES, threads(self.backend)))
        return workers, math.ceil(B / (workers * math.ceil(B / workers / MOST_TUNES)))

    def _build_apply(self, n_parts, limited):
        parts = [like_partial(self.store.weights) for _ in range(n_parts)]
        cost = sum(part.cost for part in parts)
        by_weight = zip(*(part.gradients for part in parts), strict=True)
        gradients = from_leaves(self.store.weights, map(sum, by_weight))
        inputs = [v for part in parts for v in (part.cost, *part.gradients)]
        return self._updating(inputs, cost, gradients, limited)

    def _build_step(self, T, B, mask_steps, limited):
        return self._updating(*self.gradient.whole(T, B, mask_steps), limited)

    def _updating(self, inputs, cost, gradients, limited):
        given = Settings(*pt.scalars(*Settings._fields))
        updates = new_values(
            self.store.weights, gradients, self.store.moments, given, limited
        )
        previous_cost = pt.scalar("previous_cost")
        weights = leaves(self.store.weights)
        updates, new_cost = reject_nonfinite(updates, weights, cost, previous_cost)
        return Graph([previous_cost, *given, *inputs], [new_cost], updates)

    def _pass(self, x, state):
        return forward_pass(x, state, self.store.weights, self.original_forward)

    def _build_counts(self, T, B):
        x, targets = self.compiler.rolls(T, B, "x", "targets")
        state = self.compiler.state(B)
        mask = pt.tensor("mask", shape=(T, B))
        joint = self.store.weights.joint
        Z, residuals = self._pass(x, state)
        _, nats = self.output.predict(Z, x, targets, joint)
        notes = halves(targets)[0] if self.output.restruck else targets
        predicted, _ = self.output.chord(Z, pt.zeros_like(notes), joint)
        sounds = notes > 0.5
        hit, added, missed = (
            sounds & predicted,
            predicted & ~sounds,
            sounds & ~predicted,
        )
        of_sounding = [halves(nats)[0]] if self.output.restruck else []
        counts = [
            mask * total(pt.cast(each_note, x.dtype), axis=2)
            for each_note in (nats, hit, added, missed, *of_sounding)
        ]
        outputs = [pt.stack(counts), *flatten(last_state(residuals))]
        return Graph([x, targets, mask, *flatten(state)], outputs)

    def _build_probabilities(self, T, B):
        x, targets = self.compiler.rolls(T, B, "x", "targets")
        state = self.compiler.state(B)
        Z, residuals = self._pass(x, state)
        y, _ = self.output.predict(Z, x, targets, self.store.weights.joint)
        outputs = [y, *flatten(last_state(residuals))]
        return Graph([x, targets, *flatten(state)], outputs)

    def _build_generate(self, T, B, has_most):
        (source,), state = self.compiler.rolls(T, B, "source"), self.compiler.state(B)
        is_primer = pt.tensor("is_primer", shape=(T,), dtype="bool")
        row = pt.tensor("row", shape=(B, self.compiler.N))
        threshold, temperature = pt.scalars("threshold", "temperature")
        most = pt.scalar("most") if has_most else None
        drawing = Drawing(threshold, temperature, most)
        rows, probabilities, after = generate(
            source, is_primer, row, state, self.store.weights, self.output, drawing,
            self.original_forward,
        )  # fmt: skip
        limits = [scalar for scalar in drawing if scalar is not None]
        return Graph(
            [source, is_primer, *limits, row, *flatten(state)],
            [rows, probabilities, rows[-1], *flatten(after)],
        )


def is_limited(settings: Settings) -> bool:
    """Return whether the settings limit the gradient's norm, which takes time."""
    return bool(np.isfinite(settings.gradNorm))
