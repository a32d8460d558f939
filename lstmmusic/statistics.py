"""Describe a tune in numbers, alone or beside a data set: NumPy only."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.data.copying import STRETCH
from lstmmusic.data.counts import (
    Counts,
    add_up,
    compare,
    count,
    mean_shares,
    same_size,
)
from lstmmusic.data.formats import check_same_time, format_of
from lstmmusic.data.halves import Halves, halves, pitches_of
from lstmmusic.data.notes import NAMES, held_notes, longest_held, note_name, top_line

__all__ = [
    "MusicStatistics",
    "held_notes",
    "jensen_shannon",
    "longest_held",
    "music_statistics",
    "note_name",
    "top_line",
]
SHARES = {  # the label of each share of `MusicStatistics`; {} is the data set's name
    "semitone_share": "steps with two notes 1 semitone apart",
    "seventh_ninth_share": "steps with two notes 11 or 13 semitones apart",
    "four_notes_share": "steps with exactly 4 notes",
    "known_chord_share": "chords that occur in the {}",
    "small_move_share": "moves of the top line of at most 2 semitones",
    "leap_share": "moves of the top line of over 7 semitones",
    "one_step_share": "notes of one step",
    "copied_share": f"stretches of {STRETCH} steps that occur in the {{}}",
    "copied_any_key_share": f"stretches of {STRETCH} steps that occur in the {{}} in "
    "any key",
}
LONGEST_COPIED = "longest run that occurs in the {} in any key"


class MusicStatistics(NamedTuple):
    """Hold the numbers that `music_statistics` counts; print it to read them.

    Attributes
    ----------
    steps : int
    notes_per_step : float
        Mean number of notes that sound at a step.
    silent_share : float
        Share of the steps at which nothing sounds, 0 to 1.
    pitch_classes : ndarray of shape (12,)
        Share of C, C♯, … B in the notes of all steps: a note held for two steps counts
        twice.  Sums to 1; all zero in silence.
    distinct_notes : int
        Number of pitches that sound.
    longest_held : int
        Steps of the note held longest; 0 where nothing sounds.
    longest_held_pitch : int or None
        Its MIDI pitch; the lowest, if several are held as long.
    distance : float or None
        To the data set, if one is given: the mean of `distance_parts`, 0 to ln 2.
    distance_parts : dict of str to float, or None
        Jensen-Shannon divergences in nats, each 0 to ln 2: of ``pitch_classes``, of
        ``notes_at_once`` (how often a step has 0, 1, 2, … notes) and of
        ``note_lengths`` (how many notes are held for 1, 2, 3, … steps).
    dataset : MusicStatistics or None
        Those of all tunes of the data set together; but the nine shares below are
        means over its tunes, to compare with one tune's.
    semitone_share, seventh_ninth_share : float
        Share of all steps, silent ones too, with two notes 1 semitone apart; with two
        11 or 13 apart, a major seventh or a minor ninth.
    four_notes_share : float
        Share of all steps with exactly 4 notes, the four voices of a chorale.
    known_chord_share : float
        Share of the steps that are not silent whose chord, the set of its pitches,
        occurs in a tune of the data set; in ``dataset``, in another of its tunes.  NaN
        without a data set.
    small_move_share, leap_share : float
        Share of the moves of the top line of at most 2 semitones; of over 7.  The top
        line is the highest note of each step (`top_line`); from a step to the next it
        makes a move if both have notes and their highest are not the same.
    one_step_share : float
        Share of the notes that last exactly one step.
    copied_share : float
        Share of the stretches of 8 steps, one beginning at each step, that occur in a
        tune of the data set: the same notes at each of the 8 steps.  In ``dataset``, in
        another of its tunes.  Silent stretches are left out.  NaN without a data set.
    copied_any_key_share : float
        The same, literally or transposed: all notes of the 8 steps higher, or lower, by
        the same number of semitones.
    longest_copied : int or None
        Steps of the longest run that occurs in a tune of the data set, literally or
        transposed.  Silent steps within the run must be the same, but do not count.
        None without a data set, and in ``dataset``.
    format : RollFormat or None
        The roll's, if it has one (`midi.RollFormat`): with it `lstmmusic.plots` knows
        the time of a step.

    A share is NaN where there is nothing to count: no move, no note, no stretch.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import music_statistics
    >>> music_statistics(np.eye(8, 88, k=39))  # doctest: +ELLIPSIS
    <MusicStatistics of 8 steps: 1.00 notes per step, 0.0% of the steps silent
      8 pitches, C4 held longest: 1 step
    ...
      notes of one step: 100.0%>
    """

    steps: int
    notes_per_step: float
    silent_share: float
    pitch_classes: np.ndarray
    distinct_notes: int
    longest_held: int
    longest_held_pitch: int | None
    distance: float | None = None
    distance_parts: dict[str, float] | None = None
    dataset: "MusicStatistics | None" = None
    semitone_share: float = np.nan
    seventh_ninth_share: float = np.nan
    four_notes_share: float = np.nan
    known_chord_share: float = np.nan
    small_move_share: float = np.nan
    leap_share: float = np.nan
    one_step_share: float = np.nan
    copied_share: float = np.nan
    copied_any_key_share: float = np.nan
    longest_copied: int | None = None
    format: Any = None

    def __repr__(self) -> str:
        held = ""
        if self.longest_held_pitch is not None:
            steps = checks.counted(self.longest_held, "step")
            held = f", {note_name(self.longest_held_pitch)} held longest: {steps}"
        named = zip(NAMES, self.pitch_classes, strict=True)
        shares = ", ".join(f"{name} {x:.0%}" for name, x in named if x >= 0.005)
        lines = [
            f"<MusicStatistics of {checks.counted(self.steps, 'step')}: "
            f"{self.notes_per_step:.2f} notes per step, "
            f"{self.silent_share:.1%} of the steps silent",
            f"  {checks.counted(self.distinct_notes, 'pitch', 'pitches')}{held}",
            f"  pitch classes: {shares or 'none'}",
        ]
        for field, label in SHARES.items():
            share, theirs = (getattr(s, field, np.nan) for s in (self, self.dataset))
            if not np.isnan(share):
                beside = "" if np.isnan(theirs) else f" (data set: {theirs:.1%})"
                lines.append(f"  {label.format('data set')}: {share:.1%}{beside}")
        if self.longest_copied is not None:
            steps = checks.counted(self.longest_copied, "step")
            lines.append(f"  {LONGEST_COPIED.format('data set')}: {steps}")
        if self.distance_parts and self.dataset:
            parts = ", ".join(f"{k} {v:.3f}" for k, v in self.distance_parts.items())
            lines += [
                f"  distance {self.distance:.3f}: {parts.replace('_', ' ')}",
                f"  from a data set of {self.dataset.notes_per_step:.2f} notes per "
                f"step, {self.dataset.silent_share:.1%} of the steps silent",
            ]
        return "\n".join(lines) + ">"


def music_statistics(
    roll: RollLike,
    dataset: Iterable[RollLike] | None = None,
    r: tuple[int, int] | None = None,
) -> MusicStatistics:
    """Count how dense, varied and harmonious a tune is, alone or beside a data set.

    Parameters
    ----------
    roll : array_like of shape (T, N) or (T, 2 N), N = r[1] − r[0]
        Zeros and ones; or what `midi.midiread` returns.  Of 2 N columns, the second N
        are 1 where a note that sounds is struck again: it is two notes then, for
        ``one_step_share``, ``longest_held`` and ``note_lengths``.  All else is that of
        the first N.
    dataset : iterable of the same, optional
        Tunes to compare with, each taken once: packed ones are unpacked one by one.
    r : (int, int), optional
        Column n of a roll is pitch r[0] + n.  By default the roll's own, if it has a
        format, else (21, 109).

    Returns
    -------
    MusicStatistics

    Raises
    ------
    ValueError
        If a roll's shape does not fit r, or it holds anything but zeros and ones; or
        if a tune of the data set is known to have other pitches or steps than the roll.

    Notes
    -----
    The distance compares histograms of the tune with those of all tunes of the data set
    pooled, so that long tunes count for more.  With H the entropy, the Jensen-Shannon
    divergence of the shares p and q is H((p + q) / 2) − (H(p) + H(q)) / 2: 0 if they
    are the same, ln 2 ≈ 0.693 nats if they have nothing in common (as silence and
    sound).  It does not see melody, rhythm or harmony: notes drawn independently, a
    quarter of whose steps clash, are near to Bach by it.  The nine shares see some of
    these.  A short tune, or one in a single key, is some way from a data set of many
    keys.  So are the data set's own tunes: they give the scale.

    The 120 chorales of examples/chorales.py, in steps of 0.3 s, have in the order of
    the shares 1.6, 4.0, 92, 88, 81.5, 0.6, 36, 1.3 and 2.1 %.

    References
    ----------
    .. [1] J. Lin, Divergence measures based on the Shannon entropy, 1991.
    .. [2] L.-C. Yang, A. Lerch, On the evaluation of generative models in music, 2020,
       compare such histograms of generated music and of a data set.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import music_statistics
    >>> tune = np.zeros((8, 88))
    >>> tune[:4, [39, 43, 46]] = 1  # a chord of three notes, held for four steps
    >>> found = music_statistics(tune, [tune, tune[:5]])
    >>> found.notes_per_step, found.silent_share, found.longest_held
    (1.5, 0.5, 4)
    >>> round(found.distance, 3)
    0.002
    """
    r = pitches_of(roll, r)
    found = count(halves("roll", roll, r))
    format = format_of(roll)
    if dataset is None:
        return _statistics(found.counts, r, found.shares, format)
    each = [count(tune) for tune in _checked(dataset, r, roll)]
    known, known_of_each = compare(found, each)
    tune, pooled = found.counts, add_up([of_tune.counts for of_tune in each])
    shares = [a.shares | b for a, b in zip(each, known_of_each, strict=True)]
    parts = {
        "pitch_classes": jensen_shannon(_classes(tune, r), _classes(pooled, r)),
        "notes_at_once": jensen_shannon(tune.at_once, pooled.at_once),
        "note_lengths": jensen_shannon(*same_size(tune.lengths, pooled.lengths)),
    }
    return _statistics(tune, r, found.shares | known, format)._replace(
        distance=sum(parts.values()) / len(parts),
        distance_parts=parts,
        dataset=_statistics(pooled, r, mean_shares(shares), format),
    )


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence of two histograms, in nats.

    Parameters
    ----------
    p, q : ndarray of shape (n,)
        Counts or shares, at least 0.  Each is divided by its sum; one that is all zero
        has nothing in common with the other, unless that is all zero, too.

    Returns
    -------
    float
        From 0 to ln 2.

    Examples
    --------
    >>> round(jensen_shannon(np.array([1, 0]), np.array([1, 1])), 4)
    0.2158
    """

    def entropy(shares: np.ndarray) -> float:
        return -(shares[shares > 0] * np.log(shares[shares > 0])).sum()

    if not (p.any() and q.any()):
        return 0.0 if p.any() == q.any() else float(np.log(2))
    p, q = p / p.sum(), q / q.sum()
    divergence = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return float(np.clip(divergence, 0, np.log(2)))  # rounding leaves −1e-17


def _checked(
    dataset: Iterable[RollLike], r: tuple[int, int], roll: RollLike
) -> Iterator[Halves]:
    """Yield the Halves of a data set's tunes; refuse one without tunes."""
    n = -1
    for n, tune in enumerate(checks.tunes_of("the dataset", dataset)):
        name = f"tune {n} of the dataset"
        check_same_time(name, tune, "the roll has", roll)
        yield halves(name, tune, r)
    if n < 0:
        raise ValueError("the dataset is empty; at least one tune is needed")


def _classes(counts: Counts, r: tuple[int, int]) -> np.ndarray:
    """Return how often each pitch class sounds, (12,)."""
    return np.bincount(np.arange(*r) % 12, weights=counts.pitches, minlength=12)


def _statistics(
    counts: Counts, r: tuple[int, int], shares: dict, format: Any
) -> MusicStatistics:
    longest, column = counts.held
    sounding, steps = counts.pitches.sum(), counts.at_once.sum()
    return MusicStatistics(
        steps=int(steps),
        notes_per_step=float(sounding / steps),
        silent_share=float(counts.at_once[0] / steps),
        pitch_classes=_classes(counts, r) / max(sounding, 1),
        distinct_notes=int(np.count_nonzero(counts.pitches)),
        longest_held=longest,
        longest_held_pitch=None if column is None else r[0] + column,
        **shares,
        format=format,
    )
