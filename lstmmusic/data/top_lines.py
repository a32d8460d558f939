"""Find the tunes that have the top line of another tune, transposed or not."""

from collections.abc import Sequence

import numpy as np

from lstmmusic.checks import RollLike
from lstmmusic.data.keys import OCTAVE, check_tune
from lstmmusic.data.notes import top_line

MOST_CHANGED = 10  # per cent of the steps of the longer line


def shared_top_lines(
    tunes: Sequence[RollLike], others: Sequence[RollLike]
) -> np.ndarray:
    """Return which tunes have, transposed or not, the top line of one of the others.

    Chorales share sopranos: several are settings of one hymn.  A network that was
    trained on one of them knows part of the other.

    Parameters
    ----------
    tunes, others : sequence of array_like (steps, N), MidiRoll or PackedRoll
        Of the same N, N ≥ 12.  What is not zero sounds; of a tune whose
        `midi.RollFormat` has restruck columns, N are those that say what sounds.

    Returns
    -------
    bool ndarray of shape (len(tunes),)

    Raises
    ------
    ValueError
        If a tune's shape is not allowed, or the tunes differ in N.

    Notes
    -----
    A top line is the highest note of each step that is not silent; repeated and held
    notes count at each step.  Two lines are the same if one of them, transposed by at
    most 11 semitones up or down, becomes the other by changing, inserting and deleting
    at most 10 % of the steps of the longer: the edit distance [1]_.  So an ornament or
    a held final note is no difference.  A silent tune shares no line.

    By this, 28 of the 77 test tunes of JSB Chorales share the top line of a training
    tune, 9 of them in all steps.  Any limit from 8.8 to 10.2 % gives 28, 5 % gives 22.
    Two more have a line of the training tunes an octave higher or lower.

    References
    ----------
    .. [1] V. I. Levenshtein, Binary codes capable of correcting deletions, insertions,
       and reversals, 1966.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.datasets import shared_top_lines, transpose
    >>> tune = np.eye(12, 24, dtype=np.uint8)
    >>> shared_top_lines([tune, tune[::-1]], transpose([tune], 3)).tolist()
    [True, False]
    """
    mine, theirs = (
        [_line(n, tune) for n, tune in enumerate(given)] for given in (tunes, others)
    )
    widths = sorted({width for _, width in mine + theirs})
    if len(widths) > 1:
        raise ValueError(
            f"tunes and others are {widths[0]} to {widths[-1]} notes wide; allowed is "
            "one width"
        )
    known = [line for line, _ in theirs if len(line)]
    if not known:
        return np.zeros(len(mine), bool)
    counts = np.array([np.bincount(line, minlength=widths[0]) for line in known])
    return np.array([_is_known(line, known, counts) for line, _ in mine], bool)


def _line(n: int, tune: RollLike) -> tuple[np.ndarray, int]:
    """Return the top line without silent steps, and the width of the roll."""
    checked, notes = check_tune(n, tune)
    line = top_line(getattr(checked, "piano_roll", checked)[:, :notes])
    return line[line >= 0], notes


def _is_known(
    line: np.ndarray, others: Sequence[np.ndarray], counts: np.ndarray
) -> bool:
    """Return whether a line is one of the others; counts (others, N) are their notes.

    Edit distances take time, so a bound leaves out most pairs: at most as many steps
    can stay as the lines have notes in common, whatever their order.
    """
    N = counts.shape[1]
    longer = np.maximum(counts.sum(axis=1), len(line))
    most = longer * MOST_CHANGED // 100
    padded = np.pad(np.bincount(line, minlength=N), N)
    for shift in range(1 - OCTAVE, OCTAVE):
        shifted = padded[N - shift : 2 * N - shift]
        common = np.minimum(shifted, counts).sum(axis=1)
        for n in np.flatnonzero(longer - common <= most):
            if _edit_distance(line + shift, others[int(n)]) <= most[n]:
                return True
    return False


def _edit_distance(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many steps to change, insert or delete to make b of a."""
    place = np.arange(len(b) + 1)
    distance = place  # from the first 0 steps of a to each beginning of b
    for n, step in enumerate(a):
        changed_or_deleted = np.minimum(distance[:-1] + (b != step), distance[1:] + 1)
        distance = np.concatenate([[n + 1], changed_or_deleted])
        # Insertions: the least of distance[i] + j - i over i <= j.
        distance = np.minimum.accumulate(distance - place) + place
    return int(distance[-1])
