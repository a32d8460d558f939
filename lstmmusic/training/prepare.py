"""Check the arguments of `RNN4Music.train`, and make its `Training`."""

from lstmmusic import checks
from lstmmusic.data.batches import check_dataset, is_packed, list_tunes, unpacked
from lstmmusic.data.formats import FormatCheck, check_format
from lstmmusic.data.halves import check_strikes
from lstmmusic.training import memory
from lstmmusic.training.checkpoint import make_saver
from lstmmusic.training.log import make_listener, refuse_in_callback
from lstmmusic.training.loop import Training, TrainingData
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.provenance import make_source, warn_of_overlap
from lstmmusic.training.state import Arguments, make_plan

ABOVE_ZERO = ("R1", "R2", "R3", "Rout", "epsilon", "gradClip", "gradNorm")


def check_tunes(
    model,
    dataset,
    name: str = "validation",
    least: int = 2,
    formats: FormatCheck | None = None,
) -> list:
    """Return a dataset's tunes, each checked; raise ValueError for others.

    ``name`` stands in errors; ``least`` is the fewest steps of a tune; ``formats`` has
    the format that they must have, by default the model's.
    """
    memory.check_copies(name, dataset, model.dtype)
    given = list_tunes(dataset, name)
    (formats or FormatCheck.of_model(model)).check_tunes(name, given)
    tunes = check_dataset(given, model.io_length, model.dtype, name, least)
    for n, tune in enumerate(tunes):
        check_targets(model, f"tune {n} of {name}", tune)
    return tunes


def check_targets(model, name: str, rows):
    """Return rows; raise ValueError if a joint output gives them no likelihood.

    Or if a tune (steps, N) strikes a note again where that is impossible.
    """
    if model.output == "joint" and not is_packed(rows):
        checks.zeros_and_ones(name, rows)
    if model.restruck and len(rows.shape) == 2:
        check_strikes(name, unpacked(rows))
    return rows


def prepare_training(model, ranks: Ranks, arguments: Arguments) -> Training:
    """Make a `Training` of checked arguments; raise ValueError before any work."""
    refuse_in_callback(model, "train")
    checks.truth("resume", arguments.resume)
    checks.truth("progress", arguments.progress)
    whole = arguments.lengthOfMB is None
    formats, rows = FormatCheck.of_model(model), (model.io_length, model.restruck)
    formats.check("rollFormat", check_format(arguments.rollFormat, *rows))
    tunes = check_tunes(model, arguments.dataset, "the dataset", 1 + whole, formats)
    validation, sources = [], tunes
    if arguments.validation is not None:
        validation = check_tunes(model, arguments.validation, formats=formats)
    if arguments.sources is not None:
        sources = check_tunes(model, arguments.sources, "sources", 1, formats)
    check_format(formats.format_found, *rows)
    numbers = {name: getattr(model, name) for name in ABOVE_ZERO}
    checks.stay_above_zero(numbers, model.dtype)
    plan = make_plan(tunes, validation, model.dtype, arguments)
    memory.check_training(model, tunes, validation, plan, ranks)
    saver, listener = make_saver(arguments, ranks), make_listener(arguments)
    source = make_source(arguments.command, sources)
    if ranks.first:
        warn_of_overlap(validation, source.digests)
    data = TrainingData(tunes, validation, source, formats.format_found)
    return Training(model, data, plan, saver, listener, ranks)
