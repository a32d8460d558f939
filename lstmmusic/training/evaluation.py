"""Evaluate a network on tunes: likelihood and accuracy, of each tune and of all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmmusic.checks import counted
from lstmmusic.data.batches import in_and_out
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
    functions: Functions, tunes: Sequence, size: int, skip_first: bool
) -> Evaluation:
    """Evaluate a network's `Functions` on tunes (steps, N).

    A thread takes up to ``size`` of them at a time.
    """
    steps = np.array([len(tune) - skip_first for tune in tunes])
    counts = functions.counts(steps, lambda n: in_and_out(tunes[n], skip_first), size)
    nll, accuracy = _rates(counts.sum(axis=0), steps.sum())
    nlls, accuracies = _rates(counts.T, steps)
    pooled = float(nll), float(accuracy), int(steps.sum())
    return Evaluation(*pooled, nlls, accuracies, steps)


def _rates(counts, steps):
    """Return the nll and the accuracy of counts (4,) or (4, tunes)."""
    nats, hit, added, missed = counts
    with np.errstate(invalid="ignore"):
        return nats / steps, hit / (hit + added + missed)
