"""Warn of a generated tune that falls silent, or holds a note without end."""

import warnings
from collections.abc import Sequence

import numpy as np

from lstmmusic.statistics import longest_held

LONG = 32  # steps of silence, or of one note, beyond which a tune is stuck
SHORT = 8  # steps of a tune without notes that may be a rest in music


def warn_if_stuck(
    tunes: np.ndarray | Sequence[np.ndarray], temperature: float, threshold: float
) -> None:
    """Warn `genMusic`'s caller of silence and of notes that never end.

    One warning serves all tunes, each (T, N); its message describes the first that is
    stuck.
    """
    stuck = {n: found for n, tune in enumerate(tunes) if (found := what_is_stuck(tune))}
    if not stuck:
        return
    n, (fault, remedy) = next(iter(stuck.items()))
    which = "the tune"
    if len(tunes) > 1:
        which = f"{len(stuck)} of {len(tunes)} tunes got stuck: tune {n}"
    warnings.warn(
        f"{which} {fault}. {remedy} may help (temperature is {temperature:g}, "
        f"genProbThreshold {threshold:g}).",
        stacklevel=3,
    )


def what_is_stuck(tune: np.ndarray) -> tuple[str, str] | None:
    """Return what is wrong with a tune (T, N) and what helps, or None if nothing is.

    Wrong are over 32 steps of silence at the end, over 8 that are the whole tune, and a
    note held for over 32.
    """
    sounding = np.flatnonzero(tune.any(axis=1))
    silent = len(tune) - 1 - sounding.max(initial=-1)
    if silent > (LONG if len(sounding) else SHORT):
        steps = f"last {silent} of {len(tune)}" if len(sounding) else silent
        return (
            f"has no note in its {steps} steps",
            "A lower genProbThreshold, a higher temperature, more training, or rests "
            "marked by mark_silence for training",
        )
    if is_held(tune, LONG + 1):
        steps, column = longest_held(tune)
        mark = " (a rest, if mark_silence has marked rests)" if column == 0 else ""
        return (
            f"holds note {column}{mark} for {steps} of {len(tune)} steps",
            "A higher temperature, another primer or more training",
        )
    return None


def is_held(tune: np.ndarray, steps: int) -> bool:
    """Return whether a note of a tune (T, N) sounds for that many steps on end.

    A tenth of the time of `longest_held`, which looks at every note.
    """
    held, so_far = tune > 0, 1  # from each step on, for so_far steps
    while so_far < steps:
        more = min(so_far, steps - so_far)
        held = held[:-more] & held[more:]
        so_far += more
    return bool(held.any())
