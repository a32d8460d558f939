"""Evaluate a network on tunes: likelihood and accuracy, of each tune and of all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    nll_sounding, nll_sounding_of_tunes : float, ndarray of shape (tunes,), or None
        With restruck columns, the part of the nll that is for what sounds; the rest is
        for which of these notes are struck again.  Accuracy is of what sounds.
    """

    nll: float
    accuracy: float
    steps: int
    nll_of_tunes: np.ndarray
    accuracy_of_tunes: np.ndarray
    steps_of_tunes: np.ndarray
    nll_sounding: float | None = None
    nll_sounding_of_tunes: np.ndarray | None = None

    def __repr__(self):
        part = self.nll_sounding
        sounding = "" if part is None else f" ({part:.4f} of them for what sounds)"
        return (
            f"<Evaluation of {counted(len(self.steps_of_tunes), 'tune')}, "
            f"{counted(self.steps, 'step')}: "
            f"nll {self.nll:.4f} nats per step{sounding}, "
            f"accuracy {self.accuracy:.4f}>"
        )


def evaluate(
    functions: Functions, tunes: Sequence, size: int, skip_first: bool
) -> Evaluation:
    """Evaluate a network's `Functions` on tunes (steps, N).

    A thread takes up to ``size`` of them at a time.
    """
    steps = np.array([len(tune) - skip_first for tune in tunes])
    counts = functions.counts(steps, lambda n: in_and_out(tunes[n], skip_first), size)
    pooled: Any = map(float, _rates(counts.sum(axis=0), steps.sum()))
    nll, accuracy, *sounding = pooled
    nlls, accuracies, *of_tunes = _rates(counts.T, steps)
    found = Evaluation(nll, accuracy, int(steps.sum()), nlls, accuracies, steps)
    if not sounding:
        return found
    return found._replace(nll_sounding=sounding[0], nll_sounding_of_tunes=of_tunes[0])


def _rates(counts, steps):
    """Return the nll, the accuracy and, if counted, the nll of what sounds.

    Of counts (4,) or (5,), or of those of tunes, (4, tunes) or (5, tunes).
    """
    nats, hit, added, missed, *sounding = counts
    with np.errstate(invalid="ignore"):
        accuracy = hit / (hit + added + missed)
    return [nats / steps, accuracy, *(part / steps for part in sounding)]
