"""Warn of a generated tune that falls silent, or holds a note without end."""

import warnings

import numpy as np

from lstmmusic.statistics import longest_held, note_name

LONG = 32  # steps of silence, or of one note, beyond which a tune is stuck
SHORT = 8  # steps of a tune without notes that may be a rest in music


def warn_if_stuck(model, tunes: np.ndarray, temperature: float) -> None:
    """Warn `genMusic`'s caller of silence and of notes that never end.

    One warning serves all tunes (tunes, T, io_length); its message describes the first
    that is stuck.
    """
    format, N = model.rollFormat, model.notes
    lowest = None if format is None else format.r[0]
    halves = ((tune[:, :N], tune[:, N:] if model.restruck else None) for tune in tunes)
    each = (what_is_stuck(*half, lowest) for half in halves)
    stuck = {n: found for n, found in enumerate(each) if found}
    if not stuck:
        return
    n, (fault, remedy) = next(iter(stuck.items()))
    which = "the tune"
    if len(tunes) > 1:
        which = f"{len(stuck)} of {len(tunes)} tunes got stuck: tune {n}"
    warnings.warn(
        f"{which} {fault}. {remedy} may help (temperature is {temperature:g}, "
        f"genProbThreshold {model.genProbThreshold:g}).",
        stacklevel=3,
    )


def what_is_stuck(
    tune: np.ndarray, struck: np.ndarray | None = None, lowest: int | None = None
) -> tuple[str, str] | None:
    """Return what is wrong with a tune (T, N) and what helps, or None if nothing is.

    Wrong are over 32 steps of silence at the end, over 8 that are the whole tune, and a
    note held for over 32.  ``struck`` (T, N) says what is struck again, ``lowest`` the
    pitch of column 0.
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
    if is_held(tune, LONG + 1, struck):
        steps, column = longest_held(tune, struck)
        mark = " (a rest, if mark_silence has marked rests)" if column == 0 else ""
        name = "" if lowest is None else f", {note_name(lowest + (column or 0))}"
        return (
            f"holds note {column}{name}{mark} for {steps} of {len(tune)} steps",
            "A higher temperature, another primer or more training",
        )
    return None


def is_held(tune: np.ndarray, steps: int, struck: np.ndarray | None = None) -> bool:
    """Return whether a note of a tune (T, N) is held for that many steps, over 1.

    A tenth of the time of `longest_held`, which looks at every note.
    """
    sounding = tune > 0
    held, so_far = sounding[:-1] & sounding[1:], 2  # from each step on, for so_far
    if struck is not None:
        held &= struck[1:] == 0
    while so_far < steps:
        more = min(so_far - 1, steps - so_far)
        held = held[:-more] & held[more:]
        so_far += more
    return bool(held.any())
