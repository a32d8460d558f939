"""Count what sounds in piano-rolls: notes, chords, melody, copied stretches."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmmusic.data.notes import held_notes, longest_of, top_line

STRETCH = 8  # steps, a power of 2


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
    chords: np.ndarray  # its chords, each once: the rows as bits, 8 to a byte
    steps: np.ndarray  # (T,): each step's index in chords


def count(sounds: np.ndarray) -> Found:
    """Return what is Found in a roll of truth values (T, N)."""
    notes, width = sounds.sum(axis=1), sounds.shape[1]
    first, end, column = held_notes(sounds)
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
        "semitone_share": mean(apart(1)),
        "seventh_ninth_share": mean(apart(11) | apart(13)),
        "four_notes_share": mean(notes == 4),
        "small_move_share": mean(moves <= 2),
        "leap_share": mean(moves > 7),
        "one_step_share": mean(end - first == 1),
    }
    packed = np.packbits(sounds, axis=1)
    chords, steps = np.unique(
        packed.view(f"S{packed.shape[1]}")[:, 0], return_inverse=True
    )
    return Found(counts, shares, chords, steps)


def compare(
    tune: Found, dataset: Sequence[Found]
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Return the shares of chords and of stretches that occur in a data set.

    Returns
    -------
    of_tune : dict of str to float
    of_dataset : list of the same
        For each of its tunes, what occurs in another of them.
    """
    chords = _number_chords([*dataset, tune])
    names = "known_chord_share", "copied_share"
    found: list[dict[str, float]] = [{} for _ in chords]
    for name, patterns in zip(names, (chords, _number_stretches(chords)), strict=True):
        patterns = [numbers[numbers > 0] for numbers in patterns]  # 0 is silence
        each_once = [np.unique(numbers) for numbers in patterns[:-1]]
        tunes_with = np.bincount(
            np.concatenate(each_once), minlength=1 + max(patterns[-1], default=0)
        )
        for shares, numbers in zip(found, patterns, strict=True):
            own = 0 if shares is found[-1] else 1
            shares[name] = mean(tunes_with[numbers] > own)
    return found[-1], found[:-1]


def _number_chords(rolls: Sequence[Found]) -> list[np.ndarray]:
    """Return the chord of each step as a number, equal for equal chords, 0 silence."""
    names = np.concatenate([[b""], *(roll.chords for roll in rolls)])
    _, numbers = np.unique(names, return_inverse=True)  # b"" comes first
    ends = 1 + np.cumsum([len(roll.chords) for roll in rolls])
    parts = np.split(numbers[1:], ends[:-1] - 1)
    return [part[roll.steps] for part, roll in zip(parts, rolls, strict=True)]


def _number_stretches(chords: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return each stretch of 8 chords as a number, equal for equal ones, 0 silence.

    Two chords are a pair, two pairs are four chords, and twice four are eight.
    """
    # 8 silent steps come first, so that 0 is silence at each length.
    joined = np.concatenate([np.zeros(STRETCH, int), *chords])
    ends = STRETCH + np.cumsum([len(of_tune) for of_tune in chords])
    length = 1
    while length < STRETCH:
        pairs = joined[:-length] * (1 + joined.max()) + joined[length:]
        _, joined = np.unique(pairs, return_inverse=True)
        length *= 2
    return [
        joined[end - len(of_tune) : max(end - STRETCH + 1, end - len(of_tune))]
        for end, of_tune in zip(ends, chords, strict=True)
    ]


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


def same_size(*histograms: np.ndarray) -> list[np.ndarray]:
    """Return the histograms with zeros appended to the shorter ones."""
    size = max(map(len, histograms))
    return [np.pad(found, (0, size - len(found))) for found in histograms]
