"""Find what a tune has in common with other tunes, in the same or in another key.

Steps are compared by hashes of 64 bits.  With x and y odd, all modulo 2^64, a step's
hash is Σ x^n over the columns n that sound, and that of steps t, t + 1, … is the sum of
the steps' hashes times 1, y, y^2, …  To transpose notes by k columns is to multiply
their hash by x^k.  So a hash times x^−low, with ``low`` the lowest column that sounds,
is the same in every key.  Two of a thousand million different pairs have the same hash
with a probability of about 10^−10.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STRETCH = 8  # steps, a power of 2
SILENT = 255  # in place of the lowest column: above all
# Odd, to have inverses; 5 modulo 8, to have 2^62 different powers.
X, Y = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95
INVERSE_X, INVERSE_Y = pow(X, -1, 2**64), pow(Y, -1, 2**64)


class Steps(NamedTuple):
    """Hold the steps of a tune, or of several one after another."""

    hashes: np.ndarray  # uint64 (T,), 0 in silence
    lows: np.ndarray  # uint8 (T,): the lowest column that sounds, or SILENT
    tunes: np.ndarray  # int32 (T,): to which tune each step belongs


class Patterns(NamedTuple):
    """Hold the hashes of chords or stretches, and the tune that has each."""

    hashes: np.ndarray  # uint64 (n,)
    tunes: np.ndarray  # int32 (n,)


def hash_steps(sounds: np.ndarray) -> Steps:
    """Return the Steps of one roll of truth values (T, N), N <= 128."""
    hashes = sounds @ _powers(X, sounds.shape[1])
    lows = np.where(hashes == 0, SILENT, sounds.argmax(axis=1))
    return Steps(hashes, lows.astype(np.uint8), np.zeros(len(sounds), np.int32))


def join(tunes: Sequence[Steps]) -> Steps:
    """Return the Steps of several tunes, at least one, one after another."""
    hashes, lows, _ = map(np.concatenate, zip(*tunes, strict=True))
    lengths = [len(steps.lows) for steps in tunes]
    return Steps(hashes, lows, np.arange(len(tunes), dtype=np.int32).repeat(lengths))


def chords(steps: Steps) -> Patterns:
    """Return the chord of each step that sounds."""
    sounds = steps.lows < SILENT
    return Patterns(steps.hashes[sounds], steps.tunes[sounds])


def stretches(steps: Steps, any_key: bool = False) -> Patterns:
    """Return the stretches of 8 steps, one from each step, in which a note sounds.

    Two steps are a pair, two pairs are four steps, and twice four are eight.  With
    ``any_key`` those that are the same, but transposed, have the same hash.
    """
    hashes, lows, length = steps.hashes, steps.lows, 1
    while length < STRETCH:
        power = np.uint64(pow(Y, length, 2**64))
        hashes = hashes[:-length] + power * hashes[length:]
        lows = np.minimum(lows[:-length], lows[length:])
        length *= 2
    first, last = steps.tunes[: -STRETCH + 1], steps.tunes[STRETCH - 1 :]
    inside = (first == last) & (lows < SILENT)
    hashes = hashes[inside]
    if any_key:
        hashes *= _powers(INVERSE_X, SILENT)[lows[inside]]
    return Patterns(hashes, first[inside])


def known_shares(
    mine: Patterns, theirs: Patterns, tunes: int
) -> tuple[float, np.ndarray]:
    """Return the share of a tune's patterns that occur in others, and the others' own.

    Parameters
    ----------
    mine : Patterns
    theirs : Patterns
        Of several tunes.
    tunes : int
        How many.

    Returns
    -------
    share : float
        Of mine that occur in theirs.  NaN without patterns.
    their_shares : ndarray of shape (tunes,)
        Of each of their tunes, of what occurs in another of them.
    """
    order = np.argsort(theirs.hashes, kind="stable")
    hashes, owners = theirs.hashes[order], theirs.tunes[order]
    new = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    start = np.flatnonzero(new)  # of each run of equal hashes; in it the owners ascend
    end = np.append(start[1:], len(hashes))[: len(start)]
    several = np.repeat(owners[start] != owners[end - 1], end - start)
    found = np.bincount(owners, several, tunes), np.bincount(owners, minlength=tunes)
    known = _are_in(hashes, mine.hashes)
    with np.errstate(invalid="ignore"):  # a tune without patterns
        return float(known.mean()) if len(known) else np.nan, found[0] / found[1]


def longest_run(mine: Steps, theirs: Steps) -> int:
    """Return how many steps of a tune occur on end in another, in any key.

    Both are counted, and begin and end, at steps that sound; silent steps between them
    must be the same.
    """
    my_runs, their_runs = _Runs(mine), _Runs(theirs)
    least, most = 0, min(len(my_runs.tunes), len(their_runs.tunes))
    while least < most:
        middle = (least + most + 1) // 2  # a run of so many has one of each fewer
        if _any_in(np.unique(my_runs.of(middle)), their_runs.of(middle)):
            least = middle
        else:
            most = middle - 1
    return least


class _Runs:
    """Hash the runs of steps of one or several tunes, the same in any key."""

    def __init__(self, steps: Steps) -> None:
        sounds = np.flatnonzero(steps.lows < SILENT)
        self.tunes = steps.tunes[sounds]
        hashes = steps.hashes[sounds] * _powers(Y, len(steps.lows))[sounds]
        self.sums = np.append(np.uint64(0), np.cumsum(hashes))
        self.to_start = _powers(INVERSE_Y, len(steps.lows))[sounds]
        self.to_start *= _powers(INVERSE_X, SILENT)[steps.lows[sounds]]

    def of(self, length: int) -> np.ndarray:
        """Return the hashes of all runs of so many sounding steps within a tune."""
        last = len(self.tunes) - length + 1
        hashes = (self.sums[length:] - self.sums[:last]) * self.to_start[:last]
        return hashes[self.tunes[:last] == self.tunes[length - 1 :]]


def _powers(base: int, count: int) -> np.ndarray:
    """Return base^0, base^1, … modulo 2^64, uint64 (count,)."""
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _are_in(known: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return for each hash whether it is one of the known, which are sorted."""
    place = np.searchsorted(known, hashes)
    return np.append(known, np.uint64(0))[place] == hashes if len(known) else place < 0


def _any_in(known: np.ndarray, hashes: np.ndarray) -> bool:
    """Return whether one of many hashes is one of a few, which are sorted.

    Their first 16 bits leave out most.
    """
    first = np.zeros(2**16, bool)
    first[known >> np.uint64(48)] = True
    return bool(_are_in(known, hashes[first[hashes >> np.uint64(48)]]).any())
