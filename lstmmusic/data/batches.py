"""Tunes of unequal length to minibatches: NumPy only.

A tune is a piano-roll (steps, N); a dataset is a sequence of tunes.  A tune may be
packed: it then has what `midi.PackedRoll` has, and only the rows that a minibatch takes
are unpacked.
"""

import math
from typing import NamedTuple

import numpy as np

from lstmmusic import checks

LONGEST_BLOCK = 128  # steps; tunes of more go in blocks of up to
LONGEST_PART = 100  # which take a tenth less memory, and a hundredth more time
WHOLE_BLOCK = 32  # steps, where lengths vary
GROUP = 8  # minibatches among which tunes are sorted by length


def check_dataset(dataset, io_length, dtype, name="the dataset", least=1):
    """Return the tunes of a dataset as arrays (steps, io_length).

    Of ``dtype``, but uint8 where a tune is given in bytes: a quarter of the memory.
    Packed tunes stay packed; they hold bits, which need no check.

    Raises
    ------
    ValueError
        If there is no tune; if one has fewer than ``least`` steps, another width, NaN,
        or values outside [0, 1].  The message says which tune.
    """
    try:
        tunes = list(dataset)
    except TypeError:
        raise ValueError(
            f"{name} is {dataset!r:.60}; allowed is a sequence of tunes"
        ) from None
    if not tunes:
        raise ValueError(f"{name} is empty; at least one tune is needed")
    checked = []
    for n, tune in enumerate(tunes):
        checked.append(_checked_tune(f"tune {n} of {name}", tune, io_length, dtype))
        if len(checked[-1]) < least:
            raise ValueError(
                f"tune {n} of {name} has {len(checked[-1])} step; "
                f"allowed are {least} or more"
            )
    return checked


def _checked_tune(name, tune, io_length, dtype):
    if is_packed(tune):
        checks.roll_shape(name, tune.shape, io_length)
        return tune
    tune = getattr(tune, "piano_roll", tune)
    small = isinstance(tune, np.ndarray) and tune.dtype in (np.uint8, np.bool_)
    return checks.roll(name, tune, io_length, np.uint8 if small else dtype)


def is_packed(tune):
    """Whether a tune is packed: what `midi.PackedRoll` has, and no array has."""
    return hasattr(tune, "with_roll")


def unpacked(tune, most=None):
    """Return a tune's rows, or ``most`` of them from its beginning, as an array."""
    return tune.rows(0, most) if is_packed(tune) else tune[:most]


class Minibatch(NamedTuple):
    """What an update is made from; T steps, B tunes, N notes.

    Its cost is the sum of what each step of each tune costs, times its ``share``: 1/B
    gives the mean over tunes, 0 is padding.
    """

    x: np.ndarray  # (T, B, N): the rolls
    k: np.ndarray  # (T, B, N): what is to follow
    share: np.ndarray  # (T, B)
    block: int  # steps that are gone through at once
    steps: float = math.nan  # how many the cost sums up: cost / steps is per step


def draw_tunes(rng, tunes, size):
    """Draw an epoch's one minibatch without replacement: a list of one list."""
    return [rng.choice(len(tunes), size=size, replace=False)]


def cut_tunes(tunes, length, dtype):
    """Make the Minibatch of tunes brought to ``length`` steps.

    A shorter tune is repeated, a longer one truncated.  Every step but the last is
    input, every one but the first is target (D7).
    """
    steps = np.arange(length)
    begun = (unpacked(tune, length) for tune in tunes)
    rolls = np.stack([tune[steps % len(tune)] for tune in begun], axis=1)
    rolls = rolls.astype(dtype, copy=False)
    return mean_over_tunes(rolls[:-1], rolls[1:])


def mean_over_tunes(x, k):
    """Make the Minibatch of rolls (T, B, N) whose cost is the mean over the tunes."""
    T, B, _ = x.shape
    return Minibatch(x, k, np.full((T, B), 1 / B, x.dtype), block_of(T), T)


def block_of(T):
    """Return how many of T steps are gone through at once."""
    blocks = 1 if T <= LONGEST_BLOCK else math.ceil(T / LONGEST_PART)
    return math.ceil(T / blocks)


def draw_order(rng, tunes, size):
    """Draw the minibatches of one pass over all tunes: lists of ``size`` numbers.

    At random, but tunes of like length together, as far as that can be within eight
    minibatches: so there is little padding.  The last may be smaller.
    """
    drawn = rng.permutation(len(tunes))
    batches = []
    for first in range(0, len(drawn), GROUP * size):
        group = sorted(drawn[first : first + GROUP * size], key=lambda n: len(tunes[n]))
        batches += [group[n : n + size] for n in range(0, len(group), size)]
    return [batches[n] for n in rng.permutation(len(batches))]


def whole_tunes(tunes, size, average, dtype):
    """Make the Minibatch of up to ``size`` whole tunes, padded.

    ``average``: 'tune' for the mean over tunes of the summed cost, 'step' for the mean
    over all their steps.
    """
    rolls = [in_and_out(tune) for tune in tunes]
    longest = max(len(x) for x, _ in rolls)
    T = -(-longest // WHOLE_BLOCK) * WHOLE_BLOCK
    x, k, there = padded(rolls, T, size, dtype)
    count = sum(len(x) for x, _ in rolls)
    divisor = len(tunes) if average == "tune" else count
    share = (there / divisor).astype(dtype)
    return Minibatch(x, k, share, WHOLE_BLOCK, count / divisor)


def in_and_out(tune, skip_first=True):
    """Return the rows (steps − 1, N) that go in, and those they are followed by.

    Without ``skip_first`` a row of zeros goes in first, and every row is followed.
    """
    tune = unpacked(tune)
    if not skip_first:
        tune = np.concatenate([np.zeros_like(tune[:1]), tune])
    return tune[:-1], tune[1:]


def padded(rolls, T, size, dtype):
    """Put pairs of rolls (steps, N) into arrays x, k (T, size, N), filled up with 0.

    Returns these and ``there`` (T, size), which is 1 where a step is no padding.
    """
    N = rolls[0][0].shape[1]
    x, k = np.zeros((2, T, size, N), dtype)
    there = np.zeros((T, size), dtype)
    for b, (row_in, row_out) in enumerate(rolls):
        x[: len(row_in), b], k[: len(row_in), b] = row_in, row_out
        there[: len(row_in), b] = 1
    return x, k, there


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


def mark_silence(dataset):
    """Return copies in which every silent row sounds the lowest note.

    So does the original's main() before training: no row is then without a note, and
    the network can tell a rest from the padding of a tune that has ended.

    Parameters
    ----------
    dataset : sequence of ndarray (steps, N), or of what `midi.read_folder` reads

    Returns
    -------
    list of ndarray, same shapes and dtypes
        Of a packed tune, a packed one.
    """
    marked = []
    for n, given in enumerate(dataset):
        tune = np.array(getattr(given, "piano_roll", given))
        if tune.ndim != 2 or tune.shape[1] == 0:
            raise ValueError(
                f"tune {n} has shape {tune.shape}; allowed are (steps, notes)"
            )
        tune[~tune.any(axis=1), 0] = 1
        marked.append(given.with_roll(tune) if is_packed(given) else tune)
    return marked


def unmark_silence(tune):
    """Return a copy of a tune (steps, N) with rows of only the lowest note silent.

    Undoes `mark_silence` in generated tunes (and silences a real lowest note played
    alone, which the marked tunes cannot tell from a rest).
    """
    tune = np.array(getattr(tune, "piano_roll", tune))
    if tune.ndim != 2 or tune.shape[1] == 0:
        raise ValueError(f"tune has shape {tune.shape}; allowed are (steps, notes)")
    tune[~tune[:, 1:].any(axis=1), 0] = 0
    return tune
