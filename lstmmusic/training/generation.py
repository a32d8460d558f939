"""Check the arguments of `RNN4Music.genMusic`, and generate."""

from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data.formats import FormatCheck, with_format
from lstmmusic.data.halves import check_strikes
from lstmmusic.data.primers import check_given, check_primers, with_first_rows
from lstmmusic.model.sampling import SILENT, SOUNDS
from lstmmusic.training import memory


class Wanted(NamedTuple):
    """Hold the arguments of `RNN4Music.genMusic`, unchecked, by their names."""

    startVectors: Any
    noOfSamps: Any
    seed: Any
    temperature: Any
    maxNotes: Any
    keepPrimer: Any
    noOfTunes: Any
    given: Any


def generate(model, wanted: Wanted) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return tunes and probabilities (tunes, steps, N), and whether many are wanted."""
    noOfSamps = checks.check_int("noOfSamps", wanted.noOfSamps)
    temperature = checks.check_float(
        "temperature", wanted.temperature, low_allowed=True
    )
    N, dtype = model.io_length, model.dtype
    most = checks.optional(checks.check_int, "maxNotes", wanted.maxNotes)
    most = None if most is None or most >= model.notes else most
    formats, given = FormatCheck.of_model(model), wanted.given
    formats.check_roll("the primer", wanted.startVectors)
    formats.check_roll("given", given)
    keep = checks.truth("keepPrimer", wanted.keepPrimer)
    keep = keep and wanted.startVectors is not None
    primers, many = check_primers(wanted.startVectors, wanted.noOfTunes, N, dtype)
    if model.restruck:
        check_strikes("the primer", primers)
    if given is not None:
        given = check_given(given, noOfSamps, primers.shape[1], N)
        if model.restruck:
            check_strikes("given", given, primers[-1])
    rng = checks.generator("seed", wanted.seed, model.rng)
    what = wanted.noOfTunes > 1, most is not None, keep
    memory.check_generation(model._functions, primers, noOfSamps, *what)
    with memory.explained("noOfSamps and noOfTunes"):
        uniform = rng.random((noOfSamps, *primers.shape[1:]), dtype=dtype)
        if given is not None:
            uniform[given == 1], uniform[given == 0] = SOUNDS, SILENT
        limits = model.genProbThreshold, temperature, most
        rolls = model._functions.generate(primers, uniform, *limits)
    rolls = with_first_rows(primers, rolls) if keep else rolls[:, -noOfSamps:]
    tunes, y = (with_format(a, model.rollFormat) for a in rolls.swapaxes(1, 2))
    return tunes, y, many
