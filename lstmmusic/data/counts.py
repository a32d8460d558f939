"""Count what sounds in piano-rolls: notes, chords, melody, copied stretches."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lstmmusic.data import copying
from lstmmusic.data.halves import Halves
from lstmmusic.data.notes import held_notes, longest_of, top_line


class Counts(NamedTuple):
    """Hold the counts of one roll, or of several, before they are divided."""

    pitches: np.ndarray  # (N,): steps at which each sounds
    at_once: np.ndarray  # (N + 1,): steps with 0, 1, … N notes
    lengths: np.ndarray  # (longest + 1,): notes of 0, 1, … steps
    held: tuple[int, int | None]  # steps and column of the note held longest


class Found(NamedTuple):
    """Hold what `count` finds in a roll of T steps."""

    counts: Counts
    shares: dict[str, float]  # those that need no other tune
    steps: copying.Steps  # to compare with those of other tunes


def count(halves: Halves) -> Found:
    """Return what is Found in a roll of truth values (T, N)."""
    sounds = halves.sounds
    notes, width = sounds.sum(axis=1), sounds.shape[1]
    first, end, column = held_notes(sounds, halves.restruck)
    counts = Counts(
        pitches=sounds.sum(axis=0),
        at_once=np.bincount(notes, minlength=width + 1),
        lengths=np.bincount(end - first, minlength=1),
        held=longest_of(first, end, column),
    )

    def apart(semitones: int) -> np.ndarray:
        return (sounds[:, semitones:] & sounds[:, :-semitones]).any(axis=1)

    moves = np.abs(np.diff(top_line(sounds)))[(notes[1:] > 0) & (notes[:-1] > 0)]
    moves = moves[moves > 0]
    shares = {
        "semitone_share": share(apart(1)),
        "seventh_ninth_share": share(apart(11) | apart(13)),
        "four_notes_share": share(notes == 4),
        "small_move_share": share(moves <= 2),
        "leap_share": share(moves > 7),
        "one_step_share": share(end - first == 1),
    }
    return Found(counts, shares, copying.hash_steps(sounds))


def compare(tune: Found, dataset: Sequence[Found]) -> tuple[dict[str, Any], list[dict]]:
    """Return what of a tune's chords, stretches and steps occurs in a data set.

    Returns
    -------
    of_tune : dict of str to float or int
    of_dataset : list of dict of str to float
        The shares for each of its tunes, of what occurs in another of them.
    """
    mine = tune.steps
    theirs = copying.join([each.steps for each in dataset])
    of_tune, of_dataset = {}, {}
    for name, patterns in (
        ("known_chord_share", copying.chords),
        ("copied_share", copying.stretches),
        ("copied_any_key_share", partial(copying.stretches, any_key=True)),
    ):
        of_tune[name], of_dataset[name] = copying.known_shares(
            patterns(mine), patterns(theirs), len(dataset)
        )
    of_tune["longest_copied"] = copying.longest_run(mine, theirs)
    each = zip(*of_dataset.values(), strict=True)
    return of_tune, [dict(zip(of_dataset, shares, strict=True)) for shares in each]


def share(truths: np.ndarray) -> float:
    """Return the share of true values, or NaN if there are none."""
    return np.count_nonzero(truths) / len(truths) if len(truths) else np.nan


def mean(values: Any) -> float:
    """Return the mean of the values that are not NaN, or NaN if there are none."""
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def mean_shares(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each share over tunes."""
    return {name: mean([of_tune[name] for of_tune in shares]) for name in shares[0]}


def add_up(counts: Sequence[Counts]) -> Counts:
    """Return the Counts of several rolls together."""
    pitches, at_once, lengths, held = zip(*counts, strict=True)
    return Counts(
        pitches=np.sum(pitches, axis=0),
        at_once=np.sum(at_once, axis=0),
        lengths=np.sum(same_size(*lengths), axis=0),
        # Of notes held equally long, the one in the lower column.
        held=max(held, key=lambda held: (held[0], -(held[1] or 0))),
    )


def same_size(*histograms: np.ndarray) -> np.ndarray:
    """Return the histograms as rows, with zeros appended to the shorter ones."""
    rows = np.zeros((len(histograms), max(map(len, histograms))), int)
    for row, found in zip(rows, histograms, strict=True):
        row[: len(found)] = found
    return rows
