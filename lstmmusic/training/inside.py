"""Check the arguments of `RNN4Music.states` and `influence`, and compute both."""

from typing import NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data.formats import FormatCheck
from lstmmusic.engine.inside import Targets
from lstmmusic.training import memory
from lstmmusic.training.integrated import integrate
from lstmmusic.training.prepare import check_targets


class LayerStates(NamedTuple):
    """Hold what one layer of H cells does over a tune of T steps, arrays (T, H).

    Graves 2013, eqs. 7-11: gates ``i`` (input), ``f`` (forget) and ``o`` (output), in
    (0, 1); ``g``, what the input gate lets in, in (-1, 1); the memory ``c``; the output
    ``h`` = o tanh(c).  Row t is after row t of the tune was read.
    """

    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    h: np.ndarray


class States(NamedTuple):
    """Hold what a network does over a tune of T steps (`RNN4Music.states`).

    Attributes
    ----------
    layers : tuple of 3 LayerStates
        Of each layer, the first one first.
    Y : ndarray of shape (T, io_length)
        What the layers send to the notes.  With independent notes, row t has the
        log-odds of the notes of step t+1.
    A : ndarray of shape (T, jointUnits), or None
        What they send to the hidden units of the joint output; None without these.
    """

    layers: tuple[LayerStates, ...]
    Y: np.ndarray
    A: np.ndarray | None


class Influence(NamedTuple):
    """Hold what made a note likely or unlikely (`RNN4Music.influence`).

    With many notes each array has them as its first axis.

    Attributes
    ----------
    past : ndarray of shape (step, io_length)
        Of each cell of the rows before the note's: above zero it speaks for the note,
        below against it.  Derivatives, in nats for each unit of the roll; integrated,
        shares of the log-odds in nats, zero where nothing sounds.
    chord : ndarray of shape (io_length,)
        The same of the notes of the note's own row; zero but for those that the joint
        output draws before it.
    log_odds : float or ndarray
        Of the note, log y - log(1 - y) of its probability y.
    baseline : float or ndarray
        The same with silence in place of all these cells, if integrated, else NaN.
    """

    past: np.ndarray
    chord: np.ndarray
    log_odds: np.ndarray
    baseline: np.ndarray


def find_states(model, tune) -> States:
    """Return the `States` of a model over a tune (T, N)."""
    FormatCheck.of_model(model).check_roll("the tune", tune)
    roll = checks.roll("tune", tune, model.io_length, model.dtype)
    memory.check_states(model, len(roll))
    with memory.explained("tunes"):
        residuals, Z = model._functions.inside.states(roll)
    gates = [np.split(a, 4, axis=1) for a in residuals.gates]
    layers = zip(gates, residuals.c, residuals.h, strict=True)
    N = model.io_length
    A = Z[:, N:] if Z.shape[1] > N else None
    return States(tuple(LayerStates(*(*g, c, h)) for g, c, h in layers), Z[:, :N], A)


def find_influence(model, tune, step, note, integrated) -> Influence:
    """Return the `Influence` on notes of a tune (T, N); see `RNN4Music.influence`."""
    FormatCheck.of_model(model).check_roll("the tune", tune)
    roll = checks.roll("tune", tune, model.io_length, model.dtype)
    check_targets(model, "tune", roll)
    joint = model.output == "joint"  # whose last row has to be there
    high = {"step": len(roll) - joint, "note": model.io_length - 1}
    if high["step"] < 1:
        raise ValueError("tune has 1 step; allowed with output='joint' are at least 2")
    steps = check_numbers("step", step, 1, high["step"])
    notes = check_numbers("note", note, 0, high["note"])
    if steps.shape != notes.shape:
        raise ValueError(
            f"step and note have shapes {steps.shape} and {notes.shape}; they must be "
            "the same"
        )
    if model.restruck:
        check_possible(roll, steps.ravel(), notes.ravel())
    n = checks.optional(checks.check_int, "integrated", integrated, high=1000)
    alone = np.ones((steps.size, 1), model.dtype)  # the tune itself
    targets = Targets(roll, steps.ravel(), notes.ravel(), alone, alone)
    memory.check_influence(model, targets)
    inside = model._functions.inside
    with memory.explained("tunes, or fewer steps and notes,"):
        if n is None:
            attributions = inside.influence(targets)
        else:
            attributions = integrate(inside, targets, n)
    past, chord, log_odds, _ = attributions
    baseline = np.full_like(log_odds[:, 0], np.nan) if n is None else log_odds[:, 0]
    found = Influence(past, chord, log_odds[:, -1], baseline)
    return found if steps.ndim else Influence(*(a[0] for a in found))


def check_numbers(name: str, value, low: int, high: int) -> np.ndarray:
    """Return whole numbers as an array () or (P,), each from ``low`` to ``high``."""
    found = np.asarray(value)
    allowed = f"allowed are whole numbers from {low} to {high}, or a sequence of them"
    if found.dtype.kind not in "iu" or found.ndim > 1 or found.size == 0:
        raise ValueError(f"{name} is {value!r:.60}; {allowed}")
    outside = found[(found < low) | (found > high)]
    if outside.size:
        raise ValueError(f"{name} is {outside[0]}; {allowed}")
    return found.astype(np.int64)


def check_possible(roll: np.ndarray, steps: np.ndarray, notes: np.ndarray) -> None:
    """Raise ValueError for a strike that has no log-odds: its probability is 0.

    ``roll`` (T, 2 n) has what is struck again in its second half.
    """
    n = roll.shape[1] // 2
    sounds = roll[:, :n] > 0.5
    possible = (sounds[1:] & sounds[:-1])[steps - 1, notes % n]
    impossible = np.flatnonzero((notes >= n) & ~possible)
    if impossible.size:
        step, note = steps[impossible[0]], notes[impossible[0]]
        raise ValueError(
            f"step is {step} and note is {note}: note {note - n} cannot be struck "
            "again there; allowed are notes that sound in this step and the one before"
        )
