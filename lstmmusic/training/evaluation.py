"""Evaluate a network on tunes: likelihood and accuracy, of each tune and of all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmmusic.checks import counted
from lstmmusic.data.batches import in_and_out, padded
from lstmmusic.engine.backend import in_threads, threads
from lstmmusic.engine.functions import Functions


class Evaluation(NamedTuple):
    """Hold the likelihood and accuracy of predicted tunes, all steps pooled.

    Attributes
    ----------
    nll : float
        Negative log-likelihood: the cross-entropy summed over notes, mean over all
        steps of all tunes, in nats per step.
    accuracy : float
        TP / (TP + FP + FN) over all steps and notes, a note being predicted where its
        probability is above 0.5 (M. Bay, A. F. Ehmann, J. S. Downie 2009); NaN where
        no note sounds and none is predicted.
    steps : int
        Predicted steps.
    nll_of_tunes, accuracy_of_tunes, steps_of_tunes : ndarray of shape (tunes,)
        The same three of each tune.
    """

    nll: float
    accuracy: float
    steps: int
    nll_of_tunes: np.ndarray
    accuracy_of_tunes: np.ndarray
    steps_of_tunes: np.ndarray

    def __repr__(self):
        return (
            f"<Evaluation of {counted(len(self.steps_of_tunes), 'tune')}, "
            f"{counted(self.steps, 'step')}: "
            f"nll {self.nll:.4f} nats per step, accuracy {self.accuracy:.4f}>"
        )


def evaluate(
    functions: Functions, tunes: Sequence, dtype, size: int, skip_first: bool
) -> Evaluation:
    """Evaluate a network's `Functions` on tunes (steps, N), ``size`` at a time."""
    order = sorted(range(len(tunes)), key=lambda n: len(tunes[n]))  # saves padding
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    counts = np.zeros((len(tunes), 4))  # nats, and notes hit, added, missed
    steps = np.array([len(tune) - skip_first for tune in tunes])

    def count(batch):
        rolls = [in_and_out(tunes[n], skip_first) for n in batch]
        longest = max(len(x) for x, _ in rolls)
        arrays = padded(rolls, longest, size, dtype)
        counts[batch] = functions.counts(*arrays)[:, : len(batch)].T

    workers = min(threads(functions.backend), len(batches) - 1)
    count(batches[0])  # compiles
    if workers > 0:
        others = batches[1:]
        in_threads(lambda w: [count(b) for b in others[w::workers]], workers)
    nll, accuracy = _rates(counts.sum(axis=0), steps.sum())
    nlls, accuracies = _rates(counts.T, steps)
    pooled = float(nll), float(accuracy), int(steps.sum())
    return Evaluation(*pooled, nlls, accuracies, steps)


def _rates(counts, steps):
    """Return the nll and the accuracy of counts (4,) or (4, tunes)."""
    nats, hit, added, missed = counts
    with np.errstate(invalid="ignore"):
        return nats / steps, hit / (hit + added + missed)
