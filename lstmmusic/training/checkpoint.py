"""Take snapshots of a network, restore them, and resume a stopped training."""

import copy
import math
from dataclasses import replace

import numpy as np

from lstmmusic import checks
from lstmmusic.model import parameters
from lstmmusic.model.optimizers import Moments
from lstmmusic.training import parameter_file, provenance
from lstmmusic.training.state import Progress

FIXED = ("cost", "originalForward", "optimizer")  # settings that a file cannot change


def snapshot(model):
    """Return what a file keeps of an RNN4Music, as `parameter_file.Saved`."""
    weights = weights_of(model)
    state = {n: a for n, a in model.parameters().items() if n not in weights}
    return parameter_file.Saved(
        h_lengths=model.h_lengths,
        io_length=model.io_length,
        weights=weights,
        state=state,
        moments=model._store.get_moments(),
        settings={name: getattr(model, name) for name in parameter_file.SETTINGS},
        loss=model.loss,
        history=list(model.instantaneousCost),
        validation=list(model.validationCost),
        rng_state=model.rng.bit_generator.state,
        progress=model._progress and replace(model._progress),
        steps=steps_of(model),
        trained_on=model._trained_on,
        trainings=copy.deepcopy(model.trainings),
    )


def steps_of(model):
    """Return the steps that each cost of the model's history sums up.

    NaN where a user has changed the history, so that it has another length.
    """
    history, steps = model.instantaneousCost, model.stepsOfCost
    return list(steps) if len(steps) == len(history) else [math.nan] * len(history)


def weights_of(model):
    """Return {original name: array} of the weights alone."""
    names = parameters.weight_shapes(model.h_lengths, model.io_length)
    values = model.parameters()
    return {name: values[name].copy() for name in names}


def read_for(model, filename):
    """Read a `Saved` of the model's sizes; ValueError if it has others."""
    saved = parameter_file.read(filename)
    ours = (*model.h_lengths, model.io_length)
    theirs = (*saved.h_lengths, saved.io_length)
    if ours != theirs:
        raise ValueError(
            f"{filename} holds a network of sizes {theirs}, this one has {ours} "
            "(h1_length, h2_length, h3_length, io_length); RNN4Music.fromFile "
            "makes one of the file's own sizes"
        )
    return saved


def restore(model, saved, source):
    """Give a model all that is saved; in an error it stays as it was."""
    warn_of_departures(model, saved, source)
    state = saved.state or {
        name: np.zeros(shape)
        for name, shape in parameters.state_shapes(model.h_lengths).items()
    }
    moments = saved.moments or Moments()
    if saved.settings["optimizer"] != model.optimizer:
        moments = Moments()
    best = saved.progress and saved.progress.best
    for arrays in (moments.means, moments.momenta, best):
        model._store.check(arrays or {})  # before anything is set
    model._store.set(saved.weights | state)
    model._store.set_moments(moments)
    for name, value in saved.settings.items():
        if name not in FIXED:
            setattr(model, name, value)
    if saved.rng_state is not None:
        model.rng.bit_generator.state = saved.rng_state
    model.instantaneousCost = list(saved.history)
    model.validationCost = list(saved.validation)
    model.stepsOfCost = list(saved.steps)
    model._trained_on = saved.trained_on
    model.trainings = copy.deepcopy(saved.trainings)
    model.loss = saved.loss
    model._progress = saved.progress


def broadcast_first(model, ranks):
    """Give the networks of all `Ranks` what the first one has, its training too."""
    if not ranks.alone:
        saved = ranks.comm.bcast(snapshot(model) if ranks.first else None)
        if not ranks.first:
            restore(model, saved, "rank 0")


def warn_of_departures(model, saved, source):
    """Warn of what is in a file and the model cannot take."""
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


def differences(model, saved):
    """Return (name, theirs, ours) of what differs, and a file cannot change."""
    ours = {name: getattr(model, name) for name in FIXED}
    theirs = {name: saved.settings.get(name, own) for name, own in ours.items()}
    return [(n, theirs[n], ours[n]) for n in FIXED if theirs[n] != ours[n]]


def restore_training(model, plan, checkpoint):
    """Restore the training of ``checkpoint``, or go on with the model's, or begin it.

    Keep the model's if it is the checkpoint's training with more updates, as when the
    disk was full at the next checkpoint.
    """
    saved, progress = None, model._progress
    if checkpoint is not None:
        if parameter_file.with_suffix(checkpoint).is_file():
            saved = read_for(model, checkpoint)
            progress = saved.progress
        elif progress is None or progress.over:
            model._progress = Progress(plan._asdict())
            return
    if progress is None:
        raise ValueError(
            "resume is True, but there is no training to go on with: "
            f"{'this object' if saved is None else checkpoint} holds none"
        )
    found = progress.differences(plan)
    if saved is not None:
        found += differences(model, saved)
    if found:
        raise ValueError(
            "not the training that was stopped: "
            + "; ".join(f"{n} was {was!r:.60}, is {is_!r}" for n, was, is_ in found)
        )
    if saved is not None and not has_gone_on(model, saved):
        restore(model, saved, checkpoint)


def has_gone_on(model, saved):
    """Return whether a model's training is the saved one with more updates."""
    done, history = len(saved.history), model.instantaneousCost
    if model._progress is None or model._progress.plan != saved.progress.plan:
        return False
    if done == 0 and model.trainings:  # no cost tells it from another one
        began = provenance.digest_of_state(saved.rng_state)
        return model.trainings[-1].get("randomState") == began
    return 0 < done < len(history) and history[:done] == saved.history
