"""The original's parameter file, an .npz, read and written.

The layout is the original's (EQUATIONS: one array for each of its names), with what it
lacked added under new names, so that a training can go on where it stopped.  Nothing is
ever unpickled (`safe_npz`).
"""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstmmusic import atomic, checks
from lstmmusic.engine.store import OPTIMIZERS
from lstmmusic.model.optimizers import Moments
from lstmmusic.model.outputs import COSTS
from lstmmusic.model.parameters import state_shapes, weight_shapes
from lstmmusic.training import provenance
from lstmmusic.training.provenance import TrainedOn
from lstmmusic.training.safe_npz import Arrays, File, NpzError
from lstmmusic.training.state import Progress

# Version 1 had RMSprop alone, and no unfinished training; 2 not what a network was
# trained on, how, and over how many steps each cost is summed.
FORMAT_VERSION = 3
H_LENGTHS = ("h1_length", "h2_length", "h3_length")
LONGEST_RECORDS = 2**23  # bytes: a hundred trainings, as JSON escapes them
LARGEST = 1e30  # a first value; well within float32
MOST_DROPOUT = 0.99
# What RNN4Music takes: beside the original's settings, ours.
LIMITS = {
    **{name: {} for name in ("R1", "R2", "R3", "gradClip", "Rout", "epsilon")},
    **{name: {"low_allowed": True, "high": LARGEST} for name in ("sigRand", "muRand")},
    "genProbThreshold": {"low_allowed": True, "high": 1.0},
    "dropout": {"low_allowed": True, "high": MOST_DROPOUT},
}
SINCE_2 = {"optimizer", "gradNorm", "dropout", "fixedMasks"}
SETTINGS = (*LIMITS, "cost", "originalForward", "optimizer", "gradNorm", "fixedMasks")


class ParameterFileError(ValueError):
    """A file is not one of `saveParameters`, or is damaged."""


class Saved(NamedTuple):
    """What a parameter file holds; None where the original's files lack it."""

    h_lengths: tuple
    io_length: int
    weights: dict  # {original name: array}
    state: dict | None  # {original name: array}
    moments: Moments | None  # of {original name of the weight: array}
    settings: dict  # arguments of RNN4Music
    loss: float
    history: list  # costs
    validation: list  # (updates, nats per step)
    rng_state: dict | None
    progress: Progress | None  # of a training that can be resumed
    steps: list  # over which each cost of the history is summed; NaN where not known
    trained_on: TrainedOn
    trainings: list  # of dict, a record of each


def with_suffix(filename):
    """Append .npz when missing, as numpy.savez does."""
    path = checks.path("fileName", filename)
    return Path(path if path.endswith(".npz") else path + ".npz")


def check_checkpoint(path):
    """Raise ValueError where no checkpoint can be written: before training, not after.

    Returns the path of the file.
    """
    target = checks.target("checkpoint", path, ".npz")
    folder = Path(os.path.realpath(target)).parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(
            f"checkpoint is {os.fsdecode(path)!r}, but {str(folder)!r} is no folder "
            "that can be written to; allowed is the path of a file in one"
        )
    return target


def mean_name(name):
    """Return the original's name for what RMSprop keeps of a weight: Wxi_1 → DWxi1p."""
    return f"D{name.replace('_', '')}p"


def momentum_name(name):
    """Return where Adam's running mean of a gradient is kept: Wxi_1 → DWxi1m."""
    return f"D{name.replace('_', '')}m"


def write(filename, saved):
    """Write a `Saved`; a failed or killed write leaves the old file whole.

    Returns the path written, ``filename`` with .npz appended when missing.
    """
    provenance.check_trainings(saved.trainings)
    arrays = {
        **saved.weights,
        **saved.state,
        **_moments_to_write(saved.moments),
        **_progress_to_write(saved.progress),
        **dict(zip(H_LENGTHS, saved.h_lengths, strict=True)),
        **saved.settings,
        "gradNorm": saved.settings["gradNorm"] or math.inf,
        "io_length": saved.io_length,
        "loss": float(saved.loss),
        "instantaneousCost": np.array(saved.history, dtype=np.float64),
        "validationCost": np.array(saved.validation, dtype=np.float64).reshape(-1, 2),
        "stepsOfCost": np.array(saved.steps, dtype=np.float64),
        "trainedOn": saved.trained_on.digests,
        "trainedOnComplete": saved.trained_on.complete,
        "trainings": np.frombuffer(json.dumps(saved.trainings).encode(), np.uint8),
        "rngState": json.dumps(saved.rng_state),
        "formatVersion": FORMAT_VERSION,
    }
    path = checks.target("fileName", filename, ".npz")
    return atomic.write(path, lambda file: np.savez(file, **arrays))


def _moments_to_write(moments):
    arrays = {mean_name(name): mean for name, mean in moments.means.items()}
    if moments.momenta is not None:
        arrays |= {momentum_name(n): m for n, m in moments.momenta.items()}
        arrays["optimizerUpdates"] = moments.updates
    return arrays


def _progress_to_write(progress):
    if progress is None:
        return {"progress": "null"}
    numbers = {**vars(progress), "best": None}
    best = progress.best or {}
    return {
        "progress": json.dumps(numbers),
        **{f"best_{name}": array for name, array in best.items()},
    }


def read(filename):
    """Read a `Saved`, from a file of ours or of the original program.

    The original's RMSprop state is not a running mean of squares (D4), its training
    ignored the state at step −1 (D9), and it looked at a_g (D3): for its files
    ``moments`` and ``state`` are None and ``settings["originalForward"]`` is True.

    Raises
    ------
    FileNotFoundError
    ParameterFileError
        If what is there is no regular file, or no .npz, is cut off, lacks an array, or
        holds one of the wrong shape, of objects, or with values that are not finite.
    """
    path = with_suffix(filename)
    if not path.is_file() and os.path.isfile(filename):
        path = Path(os.fsdecode(filename))
    if path.exists() and not path.is_file():
        raise ParameterFileError(f"{path} is no regular file")
    with File(str(path)) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(Arrays(archive, os.path.getsize(path)))
        except (ParameterFileError, NpzError) as error:
            raise ParameterFileError(f"{path}: {error}") from None
        except Exception as error:  # zip, zlib and npy each have their own
            raise ParameterFileError(
                f"{path} is not a parameter file, or is damaged: {error}"
            ) from error


def _read(arrays):
    ours = "formatVersion" in arrays or "Rout" in arrays  # neither in the original's
    if ours:
        version = arrays.numbers("formatVersion").item()
        if checks.check_int("formatVersion", version) > FORMAT_VERSION:
            raise ParameterFileError(
                f"formatVersion is {version}; this version of lstmmusic reads up to "
                f"{FORMAT_VERSION}"
            )
    if ours or "h3_length" in arrays:
        h_lengths = tuple(arrays.length(name) for name in H_LENGTHS)
    else:  # the original's early files
        h_lengths = (*map(arrays.length, H_LENGTHS[:2]), arrays.rows("Whi_3"))
    io_length = arrays.length("io_length")
    shapes = weight_shapes(h_lengths, io_length)
    history = arrays.history("instantaneousCost")
    extra = {"state": None, "moments": None, "rng_state": None, "progress": None}
    settings = _settings(arrays, version if ours else 0)
    if ours:
        extra = {
            "state": {
                name: arrays.numbers(name, shape)
                for name, shape in state_shapes(h_lengths).items()
            },
            "moments": _moments(arrays, shapes, settings["optimizer"] == "Adam"),
            "rng_state": arrays.rng_state("rngState"),
            "progress": _progress(arrays, shapes) if version > 1 else None,
        }
    if ours and version > 2:
        extra |= _provenance(arrays, len(history))
    else:
        extra |= {
            "steps": [math.nan] * len(history),
            "trained_on": TrainedOn(complete=ours and not history),
            "trainings": provenance.unknown_trainings(history, extra["progress"]),
        }
    return Saved(
        h_lengths=h_lengths,
        io_length=io_length,
        weights={name: arrays.numbers(name, shape) for name, shape in shapes.items()},
        settings=settings,
        loss=float(arrays.numbers("loss", finite=False)),
        history=history,
        validation=arrays.validation() if ours and version > 1 else [],
        **extra,
    )


def _settings(arrays, version):
    """Read the arguments of RNN4Music; version 0 is the original's."""
    names = ("R1", "R2", "R3", "gradClip")
    if version:
        names = LIMITS.keys() - (SINCE_2 if version < 2 else set())
    settings = {
        name: checks.check_float(name, arrays.numbers(name).item(), **LIMITS[name])
        for name in names
    }
    settings["originalForward"] = True
    settings["optimizer"] = "RMSprop"
    if version:
        settings["originalForward"] = arrays.truth("originalForward")
        settings["cost"] = checks.one_of("cost", arrays.text("cost"), COSTS)
    if version >= 2:
        optimizer = arrays.text("optimizer")
        settings["optimizer"] = checks.one_of("optimizer", optimizer, OPTIMIZERS)
        settings["fixedMasks"] = arrays.truth("fixedMasks")
        limit = arrays.numbers("gradNorm", finite=False).item()
        settings["gradNorm"] = (
            None if limit == math.inf else checks.check_float("gradNorm", limit)
        )
    return settings


def _moments(arrays, shapes, adam):
    means = {
        name: arrays.mean_of_squares(mean_name(name), shape)
        for name, shape in shapes.items()
    }
    if not adam:
        return Moments(means)
    momenta = {n: arrays.numbers(momentum_name(n), s) for n, s in shapes.items()}
    updates = arrays.numbers("optimizerUpdates").item()
    return Moments(means, momenta, checks.check_int("optimizerUpdates", updates, low=0))


def _progress(arrays, shapes):
    numbers = json.loads(arrays.text("progress"))
    if numbers is None:
        return None
    try:
        progress = Progress(**numbers)
        progress.check()
    except (TypeError, ValueError) as error:
        raise ParameterFileError(f"progress is none of a training: {error}") from None
    if progress.bestNll < math.inf:
        progress.best = {n: arrays.numbers(f"best_{n}", s) for n, s in shapes.items()}
    return progress


def _provenance(arrays, updates):
    steps = arrays.history("stepsOfCost")
    if len(steps) != updates or any(n <= 0 or n == math.inf for n in steps):
        raise ParameterFileError(
            f"stepsOfCost must hold {updates} numbers above 0, one for each cost"
        )
    complete = arrays.truth("trainedOnComplete")
    records = json.loads(arrays.bytes("trainings", LONGEST_RECORDS))
    return {
        "steps": steps,
        "trained_on": TrainedOn(arrays.digests("trainedOn"), complete),
        "trainings": provenance.check_trainings(records),
    }
