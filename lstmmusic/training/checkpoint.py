"""Take snapshots of a network, restore them, save them, resume a stopped training.

A ``model`` is an `RNN4Music`; its ``_train_state`` is a `TrainState`.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from lstmmusic import checks
from lstmmusic.data.formats import FormatCheck
from lstmmusic.model import parameters
from lstmmusic.model.optimizers import Moments
from lstmmusic.training import parameter_file, provenance
from lstmmusic.training.log import refuse_in_callback
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.parameter_file import Saved
from lstmmusic.training.settings import OUTPUT, SETTINGS, check_output
from lstmmusic.training.state import Arguments, Plan, TrainState

FIXED = ("cost", "originalForward", "optimizer")  # settings that a file cannot change


def snapshot(model) -> Saved:
    """Return a copy of all that a parameter file holds of a model."""
    weights = weights_of(model)
    state = {n: a for n, a in model.parameters().items() if n not in weights}
    return Saved(
        h_lengths=model.h_lengths,
        io_length=model.io_length,
        weights=weights,
        state=state,
        moments=model._store.get_moments(),
        settings={name: getattr(model, name) for name in SETTINGS},
        training=model._train_state.snapshot(),
    )


def weights_of(model) -> dict[str, np.ndarray]:
    """Return a copy of the weights alone, by original name."""
    names = parameters.weight_shapes(*model._sizes)
    values = model.parameters()
    return {name: values[name].copy() for name in names}


def read_for(model, filename) -> Saved:
    """Read a parameter file; raise ValueError if its sizes are not the model's.

    RuntimeError in the callback of the model's training.
    """
    refuse_in_callback(model, "loadParameters")
    saved = parameter_file.read(filename)
    ours = (*model.h_lengths, model.io_length)
    theirs = (*saved.h_lengths, saved.io_length)
    if ours != theirs:
        raise ValueError(
            f"{filename} holds a network of sizes {theirs}, this one has {ours} "
            "(h1_length, h2_length, h3_length, io_length); RNN4Music.fromFile "
            "makes one of the file's own sizes"
        )
    return with_output(saved, output_of(model), filename, model.rng)


def output_of(model) -> dict[str, Any]:
    """Return the settings of a model's output."""
    return {name: getattr(model, name) for name in OUTPUT}


def with_output(saved: Saved, wanted: dict[str, Any], source, rng=None) -> Saved:
    """Return what is saved, with the output ``wanted``: a joint one may be new.

    A network trained with independent notes then has the same likelihood as before, and
    an optimizer that starts anew.  ``rng`` draws new weights where the file has no
    random state.  Raise ValueError for another joint output than the file's, or for an
    unfinished training.
    """
    theirs = {name: saved.settings[name] for name in OUTPUT}
    default = theirs if theirs["output"] == "joint" else OUTPUT
    given = {name: value for name, value in wanted.items() if value is not None}
    wanted = default | given
    cost = saved.settings.get("cost", "cross-entropy")
    try:
        check_output(wanted, cost, saved.io_length)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if theirs["output"] == wanted["output"] == "independent" or theirs == wanted:
        return saved._replace(settings=saved.settings | wanted)
    if theirs["output"] == "joint":
        raise ValueError(
            f"{source} holds a network with {theirs}, but wanted is {wanted}; allowed "
            "is the file's own output"
        )
    if wanted["restruck"]:
        raise ValueError(
            f"{source} holds a network with output='independent', whose columns all "
            "say what sounds; allowed with restruck=True is a file of the same"
        )
    if not saved.training.over:
        raise ValueError(
            f"{source} holds a training that is not over, with output='independent'; "
            "allowed with output='joint' is one that has ended"
        )
    rng = saved.training.rng or rng or np.random.default_rng()
    sizes = saved.h_lengths, saved.io_length, wanted["jointUnits"]
    first = parameters.first_joint(rng, *sizes, saved.settings.get("sigRand", 0.1))
    training = replace(saved.training, plan=None, best=None)
    return saved._replace(
        weights=saved.weights | first,
        moments=saved.moments and Moments(),
        settings=saved.settings | wanted,
        training=training,
    )


def restore(model, saved: Saved, source) -> None:
    """Set all that a model has to what is saved; change nothing in an error.

    ``source`` is named in warnings.
    """
    warn_of_departures(model, saved, source)
    state = saved.state or {
        name: np.zeros(shape)
        for name, shape in parameters.state_shapes(model.h_lengths).items()
    }
    moments = saved.moments or Moments()
    if saved.settings["optimizer"] != model.optimizer:
        moments = Moments()
    training = saved.training
    for arrays in (moments.means, moments.momenta, training.best):
        model._store.check(arrays or {})  # before anything is set
    model._store.set(saved.weights | state)
    model._store.set_moments(moments)
    for name, value in saved.settings.items():
        if name not in FIXED and name not in OUTPUT:
            setattr(model, name, value)
    restored, rng = training.snapshot(), model.rng
    if training.rng is not None:
        rng.bit_generator.state = training.rng.bit_generator.state
    restored.rng = rng
    model._train_state = restored


def make_model(kind: type, saved: Saved, source, where: dict):
    """Make an `RNN4Music` of what is saved; ``where`` has mode, device, tf32, dtype."""
    sizes = dict(zip(parameter_file.H_LENGTHS, saved.h_lengths, strict=True))
    model = kind(**sizes, io_length=saved.io_length, **where, **saved.settings)
    restore(model, saved, source)
    return model


def reduce(model) -> tuple:
    """Return a function and its arguments, which copy a model without its functions.

    So `copy` and `pickle` take what a file would hold; functions are compiled anew.
    """
    where = {name: getattr(model, name) for name in ("mode", "device", "tf32")}
    where["dtype"] = model.dtype.name
    return make_model, (type(model), snapshot(model), repr(model), where)


def broadcast_first(model, ranks: Ranks) -> None:
    """Give all ranks' models what the first rank's has, its training included."""
    if not ranks.alone:
        saved = ranks.comm.bcast(snapshot(model) if ranks.first else None)
        if not ranks.first:
            restore(model, saved, "rank 0")


def warn_of_departures(model, saved: Saved, source) -> None:
    """Warn of settings and arrays that the model does not take from a file."""
    if saved.moments is None:
        checks.warn_caller(
            f"{source} is of the original program: its RMSprop state is set "
            "aside (D4), and the state at step −1 is zero (D9)"
        )
    for name, theirs, ours in differences(model, saved):
        checks.warn_caller(
            f"{source} was trained with {name}={theirs!r}; this object has "
            f"and keeps {ours!r}, so that its numbers differ"
        )


def differences(model, saved: Saved) -> list[tuple[str, Any, Any]]:
    """Return (name, theirs, ours) of each fixed setting that differs."""
    ours = {name: getattr(model, name) for name in FIXED}
    theirs = {name: saved.settings.get(name, own) for name, own in ours.items()}
    return [(n, theirs[n], ours[n]) for n in FIXED if theirs[n] != ours[n]]


def resume_training(model, plan: Plan, checkpoint, roll_format) -> None:
    """Restore the training of ``checkpoint``, go on with the model's, or begin it.

    The model's own is kept if it is the checkpoint's training with more updates, as
    when the disk was full at the next checkpoint.  Raise ValueError for another plan or
    format of the data set.
    """
    saved, training = None, model._train_state
    if checkpoint is not None:
        if parameter_file.with_suffix(checkpoint).is_file():
            saved = read_for(model, checkpoint)
            training = saved.training
        elif training.over:
            training.begin(plan)
            return
    if training.plan is None:
        if saved is None:
            raise ValueError(
                "resume is True, but this object holds no training to resume, and "
                "checkpoint is None; allowed is the path of a checkpoint, or False"
            )
        raise ValueError(
            f"resume is True, but {checkpoint} holds no training to resume with "
            f"output={model.output!r}; allowed is False, which replaces the file"
        )
    found = training.differences(plan)
    if saved is not None:
        found += differences(model, saved)
    if found:
        raise ValueError(
            "not the training that was stopped: "
            + "; ".join(f"{n} was {was!r:.60}, is {is_!r}" for n, was, is_ in found)
        )
    formats = FormatCheck(
        training.roll_format, "the stopped training has", "allowed is the same"
    )
    formats.check("the dataset", roll_format)
    if saved is not None and not has_gone_on(model._train_state, saved.training):
        restore(model, saved, checkpoint)


def has_gone_on(ours: TrainState, saved: TrainState) -> bool:
    """Return whether our training is the saved one with more updates."""
    done = len(saved.costs)
    if ours.plan is None or ours.plan != saved.plan:
        return False
    if done == 0 and ours.records:  # no cost tells it from another training
        began = provenance.digest_of_state(saved.rng.bit_generator.state)
        return ours.records[-1].get("randomState") == began
    return 0 < done < len(ours.costs) and ours.costs[:done] == saved.costs


class CheckpointError(OSError):
    """Say that the checkpoint cannot be written; the object holds what was learnt."""


class Saver:
    """Save a model as its training goes on, every so many updates or minutes.

    Parameters
    ----------
    path : str or None
        None saves nowhere.
    every : int or None
        Updates from one save to the next; None goes by the clock.
    minutes : float
        From one save to the next, without ``every``.
    """

    def __init__(self, path: str | None, every: int | None, minutes: float):
        self.path, self.every, self.minutes = path, every, minutes
        self.saved_at, self.updates = time.monotonic(), 0

    def is_due(self) -> bool:
        """Count one more update; return whether to save after it."""
        self.updates += 1
        if self.path is None:
            return False
        if self.every is None:
            return time.monotonic() - self.saved_at >= 60 * self.minutes
        return self.updates >= self.every

    def save(self, model, done: int) -> None:
        """Write the checkpoint after ``done`` updates, or raise CheckpointError."""
        try:
            model.saveParameters(self.path)
        except (OSError, ValueError) as error:  # ValueError: the path is now a folder
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"checkpoint is {self.path!r}, but it cannot be written after "
                f"{checks.counted(done, 'update')}: {reason}. The "
                "object holds what was learnt: saveParameters writes it to another "
                "path, and resume=True goes on with it"
            ) from error
        self.saved_at, self.updates = time.monotonic(), 0


def make_saver(arguments: Arguments, ranks: Ranks) -> Saver:
    """Check what a `Saver` needs of the arguments; return that of this rank."""
    checkpoint, every = arguments.checkpoint, arguments.checkpointEvery
    minutes = arguments.checkpointMinutes
    if checkpoint is None and every is not None:
        raise ValueError(f"checkpointEvery is {every!r}, but there is no checkpoint")
    checks.optional(checks.check_int, "checkpointEvery", every)
    checks.check_float("checkpointMinutes", minutes, low_allowed=True)
    path = None
    if checkpoint is not None and ranks.first:
        path = parameter_file.check_checkpoint(checkpoint)
    return Saver(path, every, minutes)
