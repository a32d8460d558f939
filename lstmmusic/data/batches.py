"""Make minibatches of tunes of unequal length: NumPy only.

A tune is a piano-roll (steps, N); a dataset is a sequence of tunes.  A packed tune has
the interface of `midi.PackedRoll`; a minibatch unpacks only the rows that it takes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstmmusic import checks

LONGEST_BLOCK = 128  # steps; longer tunes go in blocks of up to LONGEST_PART
LONGEST_PART = 100  # steps; takes a tenth less memory, and a hundredth more time
WHOLE_BLOCK = 32  # steps; to a multiple of it whole tunes are padded
WHOLE_BLOCKS = 128, 64, 32, 16  # steps; the blocks of whole tunes, whose lengths vary
GROUP = 8  # minibatches among which tunes are sorted by length


def check_dataset(
    dataset, io_length: int, dtype, name: str = "the dataset", least: int = 1
) -> list:
    """Check a dataset, and return its tunes as arrays (steps, io_length).

    The arrays have ``dtype``, or uint8 where a tune is given in bytes, to save memory.
    Packed tunes stay packed; they hold bits, which need no check.

    Raises
    ------
    ValueError
        If there is no tune; if one has fewer than ``least`` steps, another width, NaN,
        or values outside [0, 1].  The message says which tune.
    """
    checked = []
    for n, tune in enumerate(list_tunes(dataset, name)):
        checked.append(check_tune(f"tune {n} of {name}", tune, io_length, dtype))
        if len(checked[-1]) < least:
            raise ValueError(
                f"tune {n} of {name} has {len(checked[-1])} step; "
                f"allowed are {least} or more"
            )
    return checked


def list_tunes(dataset, name: str) -> list:
    """Return the tunes of a dataset, unchecked; raise ValueError if there are none."""
    tunes = list(checks.tunes_of(name, dataset))
    if not tunes:
        raise ValueError(f"{name} is empty; at least one tune is needed")
    return tunes


def check_tune(name: str, tune, io_length: int, dtype):
    """Check a tune, and return it as `check_dataset` does."""
    if is_packed(tune):
        checks.roll_shape(name, tune.shape, io_length)
        return tune
    tune = getattr(tune, "piano_roll", tune)
    small = isinstance(tune, np.ndarray) and tune.dtype in (np.uint8, np.bool_)
    return checks.roll(name, tune, io_length, np.uint8 if small else dtype)


def is_packed(tune) -> bool:
    """Return whether a tune has the interface of `midi.PackedRoll`."""
    return hasattr(tune, "with_roll")


def unpacked(tune, most: int | None = None) -> np.ndarray:
    """Return a tune's rows as an array, or at most the first ``most`` of them."""
    return tune.rows(0, most) if is_packed(tune) else tune[:most]


class Minibatch(NamedTuple):
    """Hold the arrays of one update; T steps, B tunes, N notes.

    The cost is the sum over steps and tunes of each step's cost times its
    ``loss_weight``: 1/B gives the mean over tunes, 0 is padding.
    """

    x: np.ndarray  # (T, B, N): the rolls
    targets: np.ndarray  # (T, B, N): the rows that follow
    loss_weight: np.ndarray  # (T, B)
    block: int  # steps that the passes take at once
    steps: float = math.nan  # summed in the cost: cost / steps is per step
    shorter: tuple[int, ...] = ()  # blocks for what is left, the longest first

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, targets and loss_weight."""
        return self[:3]

    @property
    def in_one(self) -> bool:
        """Return whether one block has all steps."""
        return self.block == len(self.x) and not self.shorter

    def blocks(self, steps: int) -> list[int]:
        """Return the blocks that have the first ``steps``, and as few more as can be.

        Each length is a multiple of the shortest.

        >>> Minibatch(None, None, None, block=64, shorter=(32, 16)).blocks(100)
        [64, 32, 16]
        """
        lengths, taken = (self.block, *self.shorter), []
        left = -(-steps // lengths[-1]) * lengths[-1]
        while left > 0:
            taken.append(next(length for length in lengths if length <= left))
            left -= taken[-1]
        return taken


def draw_tunes(
    rng: np.random.Generator, tunes: Sequence, size: int
) -> list[np.ndarray]:
    """Draw an epoch's only minibatch without replacement: a list of one array."""
    return [rng.choice(len(tunes), size=size, replace=False)]


def cut_tunes(tunes: Sequence, length: int, dtype) -> Minibatch:
    """Make the Minibatch of tunes brought to ``length`` steps.

    A shorter tune is repeated, a longer one truncated.  Every step but the last is
    input, every one but the first is target (D7).
    """
    steps = np.arange(length)
    begun = (unpacked(tune, length) for tune in tunes)
    rolls = np.stack([tune[steps % len(tune)] for tune in begun], axis=1)
    rolls = rolls.astype(dtype, copy=False)
    return mean_over_tunes(rolls[:-1], rolls[1:])


def mean_over_tunes(x: np.ndarray, targets: np.ndarray) -> Minibatch:
    """Make the Minibatch of rolls (T, B, N) whose cost is the mean over the tunes."""
    T, B, _ = x.shape
    return Minibatch(x, targets, np.full((T, B), 1 / B, x.dtype), block_of(T), T)


def block_of(T: int) -> int:
    """Return how many of T steps the passes take at once."""
    blocks = 1 if T <= LONGEST_BLOCK else math.ceil(T / LONGEST_PART)
    return math.ceil(T / blocks)


def draw_order(rng: np.random.Generator, tunes: Sequence, size: int) -> list[list[int]]:
    """Draw the minibatches of one pass over all tunes: lists of ``size`` numbers.

    The order is random, but within eight minibatches tunes of like length stand
    together, which saves padding.  One minibatch may be smaller.
    """
    drawn = rng.permutation(len(tunes))
    batches = []
    for first in range(0, len(drawn), GROUP * size):
        group = sorted(drawn[first : first + GROUP * size], key=lambda n: len(tunes[n]))
        batches += [group[n : n + size] for n in range(0, len(group), size)]
    return [batches[n] for n in rng.permutation(len(batches))]


def whole_tunes(tunes: Sequence, size: int, average: str, dtype) -> Minibatch:
    """Make the Minibatch of up to ``size`` whole tunes, padded.

    ``average``: 'tune' for the mean over tunes of the summed cost, 'step' for the mean
    over all their steps.
    """
    rolls = [in_and_out(tune) for tune in tunes]
    longest = max(len(x) for x, _ in rolls)
    T = -(-longest // WHOLE_BLOCK) * WHOLE_BLOCK
    x, targets, mask = padded(rolls, T, size, dtype)
    count = sum(len(x) for x, _ in rolls)
    divisor = len(tunes) if average == "tune" else count
    loss_weight = (mask / divisor).astype(dtype)
    block, *shorter = whole_blocks(T)
    steps = count / divisor
    return Minibatch(x, targets, loss_weight, block, steps, tuple(shorter))


def whole_blocks(T: int) -> tuple[int, ...]:
    """Return the blocks that whole tunes of up to T steps are taken in.

    A block costs time of its own, so they are long; to compile the longest takes
    longer than a few long tunes among short ones gain.
    """
    return WHOLE_BLOCKS if T >= 2 * WHOLE_BLOCKS[0] else WHOLE_BLOCKS[1:]


def in_and_out(tune, skip_first: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (steps − 1, N) and targets, the rows that follow them.

    Without ``skip_first`` a row of zeros is the first input, so every row is a target.
    """
    tune = unpacked(tune)
    if not skip_first:
        tune = np.concatenate([np.zeros_like(tune[:1]), tune])
    return tune[:-1], tune[1:]


def padded(
    rolls: Sequence[tuple[np.ndarray, np.ndarray]], T: int, size: int, dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pad pairs of rolls (steps, N) with zeros to x and targets (T, size, N).

    Returns these and ``mask`` (T, size), which is 0 for padding, otherwise 1.
    """
    N = rolls[0][0].shape[1]
    x, targets = np.zeros((2, T, size, N), dtype)
    mask = np.zeros((T, size), dtype)
    for b, (row_in, row_out) in enumerate(rolls):
        x[: len(row_in), b], targets[: len(row_in), b] = row_in, row_out
        mask[: len(row_in), b] = 1
    return x, targets, mask


class Chunk(NamedTuple):
    """Hold some steps of tunes, one in each column: see `in_columns`."""

    x: np.ndarray  # (T, B, N)
    targets: np.ndarray  # (T, B, N)
    mask: np.ndarray  # (T, B): 0 for padding, otherwise 1
    tunes: np.ndarray  # (B,): the number of each column's tune; −1 for none
    begins: np.ndarray  # (B,): whether a tune begins

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, targets and mask."""
        return self[:3]


def in_columns(rolls: Iterable, T: int, B: int, dtype) -> Iterator[Chunk]:
    """Yield chunks of T steps in B columns, until all tunes have ended.

    A column whose tune has ended takes the next one in the next chunk.

    Parameters
    ----------
    rolls : iterable of (number, x, targets)
        Of each tune, x and targets (steps, N).
    """
    following = iter(rolls)
    left: list = [None] * B  # of each column, the rest of its tune
    while True:
        ended = [b for b in range(B) if left[b] is None]
        for b in ended:
            left[b] = next(following, None)
        if not any(left):
            return
        N = next(tune[1].shape[1] for tune in left if tune)
        x, targets = np.zeros((2, T, B, N), dtype)
        mask, tunes = np.zeros((T, B), dtype), np.full(B, -1)
        begins = np.isin(np.arange(B), ended)
        for b, tune in enumerate(left):
            if tune:
                tunes[b], row_in, row_out = tune
                n = min(T, len(row_in))
                x[:n, b], targets[:n, b], mask[:n, b] = row_in[:n], row_out[:n], 1
                more = len(row_in) > n
                left[b] = (tunes[b], row_in[n:], row_out[n:]) if more else None
        yield Chunk(x, targets, mask, tunes, begins)


def piece(array: np.ndarray, start: int, length: int, axis: int = 0) -> np.ndarray:
    """Return ``length`` entries from ``start`` on, padded with zeros, in C order."""
    stop = start + length
    cut = array[start:stop] if axis == 0 else array[:, start:stop]
    if cut.shape[axis] == length:
        return np.ascontiguousarray(cut)
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, length - cut.shape[axis])
    return np.pad(cut, missing)


def draw_masks(rng, shapes: Sequence, dropout: float, dtype) -> list:
    """Draw a mask of each shape: 0 with probability ``dropout``, else 1 / (1 − it)."""
    keep = 1 - dropout  # probability
    drawn = [rng.random(shape, dtype=dtype) for shape in shapes]
    return [(a < keep).astype(dtype) / dtype.type(keep) for a in drawn]
