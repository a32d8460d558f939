"""Check the arguments of `RNN4Music.train`, and make its `Training`."""

from typing import Any, NamedTuple

from lstmmusic import checks
from lstmmusic.data.batches import check_dataset
from lstmmusic.training import memory
from lstmmusic.training.checkpoint import make_saver
from lstmmusic.training.loop import Training, TrainingData
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.provenance import make_source
from lstmmusic.training.state import make_plan

RATES = ("R1", "R2", "R3", "Rout", "epsilon", "gradClip", "gradNorm")


class Given(NamedTuple):
    """Hold arguments of `RNN4Music.train`, unchecked."""

    dataset: Any
    validation: Any
    sources: Any
    command: Any


def check_tunes(model, dataset, name: str = "validation", least: int = 2) -> list:
    """Return a dataset's tunes, each checked; raise ValueError for others.

    ``name`` stands in errors; ``least`` is the fewest steps of a tune.
    """
    memory.check_copies(name, dataset, model.dtype)
    return check_dataset(dataset, model.io_length, model.dtype, name, least)


def prepare_training(
    model, ranks: Ranks, given: Given, saving: tuple, **planned: Any
) -> Training:
    """Make a `Training` of checked arguments; raise ValueError before any work.

    Parameters
    ----------
    model : RNN4Music
    ranks : Ranks
    given : Given
    saving : tuple
        checkpoint, checkpointEvery, checkpointMinutes.
    **planned
        The arguments that a `Plan` holds.
    """
    whole = planned["lengthOfMB"] is None
    tunes = check_tunes(model, given.dataset, "the dataset", least=1 + whole)
    validation = given.validation
    validation = [] if validation is None else check_tunes(model, validation)
    rates = {name: getattr(model, name) for name in RATES}
    checks.stay_above_zero(rates, model.dtype)
    plan = make_plan(tunes, validation, model.dtype, **planned)
    memory.check_training(model, tunes, validation, plan, ranks)
    checkpoint, every, minutes = saving
    saver = make_saver(checkpoint, every, minutes, ranks)
    sources = tunes
    if given.sources is not None:
        sources = check_tunes(model, given.sources, "sources", least=1)
    source = make_source(given.command, sources)
    return Training(model, TrainingData(tunes, validation, source), plan, saver, ranks)
