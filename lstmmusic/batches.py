"""Tunes of unequal length to minibatches: NumPy only.

A tune is a piano-roll (steps, N); a dataset is a sequence of tunes.
"""

import math
from typing import NamedTuple

import numpy as np

from lstmmusic import checks

LONGEST_BLOCK = 128  # steps


def check_dataset(dataset, io_length, dtype):
    """Return the tunes of a dataset as arrays (steps, io_length) of ``dtype``.

    Raises
    ------
    ValueError
        If there is no tune; if one has no steps, another width, NaN, or values outside
        [0, 1].  The message says which tune.
    """
    try:
        tunes = list(dataset)
    except TypeError:
        raise ValueError(
            f"the dataset is {dataset!r:.60}; allowed is a sequence of tunes"
        ) from None
    if not tunes:
        raise ValueError("the dataset is empty; at least one tune is needed")
    return [
        checks.roll(f"tune {n}", tune, io_length, dtype) for n, tune in enumerate(tunes)
    ]


class Minibatch(NamedTuple):
    """What an update is made from; T steps, B tunes, N notes.

    Its cost is the sum of what each step of each tune costs, times its ``share``: 1/B
    gives the mean over tunes, 0 is padding.
    """

    x: np.ndarray  # (T, B, N): the rolls
    k: np.ndarray  # (T, B, N): what is to follow
    share: np.ndarray  # (T, B)
    block: int  # steps that are gone through at once


def draw_minibatch(rng, tunes, size, length):
    """Draw ``size`` tunes without replacement, each brought to ``length`` steps.

    A shorter tune is repeated, a longer one truncated.  Returns a Minibatch of
    ``length`` − 1 steps: every step but the last is input, every one but the first is
    target (D7).
    """
    drawn = rng.choice(len(tunes), size=size, replace=False)
    steps = np.arange(length)
    rolls = np.stack([tunes[n][steps % len(tunes[n])] for n in drawn], axis=1)
    return mean_over_tunes(rolls[:-1], rolls[1:])


def mean_over_tunes(x, k):
    """Make the Minibatch of rolls (T, B, N) whose cost is the mean over the tunes."""
    T, B, _ = x.shape
    blocks = math.ceil(T / LONGEST_BLOCK)
    share = np.full((T, B), 1 / B, x.dtype)
    return Minibatch(x, k, share, math.ceil(T / blocks))


def piece(array, start, length, axis=0):
    """Return ``length`` entries from ``start`` on, filled up with zeros to that length.

    In C order.
    """
    there = (
        array[start : start + length] if axis == 0 else array[:, start : start + length]
    )
    if there.shape[axis] == length:
        return np.ascontiguousarray(there)
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, length - there.shape[axis])
    return np.pad(there, missing)


def markSilence(dataset):
    """Return copies in which every silent row sounds the lowest note.

    So does the original's main() before training: no row is then without a note, and
    the network can tell a rest from the padding of a tune that has ended.

    Parameters
    ----------
    dataset : sequence of ndarray (steps, N)

    Returns
    -------
    list of ndarray, same shapes and dtypes
    """
    marked = []
    for n, tune in enumerate(dataset):
        tune = np.array(getattr(tune, "piano_roll", tune))
        if tune.ndim != 2 or tune.shape[1] == 0:
            raise ValueError(
                f"tune {n} has shape {tune.shape}; allowed are (steps, notes)"
            )
        tune[~tune.any(axis=1), 0] = 1
        marked.append(tune)
    return marked


def unmarkSilence(tune):
    """Return a copy of a tune (steps, N) with rows of only the lowest note silent.

    Undoes `markSilence` in generated tunes (and silences a real lowest note played
    alone, which the marked tunes cannot tell from a rest).
    """
    tune = np.array(tune)
    tune[~tune[:, 1:].any(axis=1), 0] = 0
    return tune
