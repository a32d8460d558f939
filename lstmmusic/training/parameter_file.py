"""Read and write the original's parameter file, an .npz.

The layout is the original's, one array for each of its names.  Under new names it has
what a stopped training needs to be resumed.  Nothing is ever unpickled (`safe_npz`).
"""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmmusic import atomic, checks
from lstmmusic.data import formats
from lstmmusic.model.optimizers import Moments
from lstmmusic.model.parameters import (
    check_joint,
    joint_shapes,
    state_shapes,
    weight_shapes,
)
from lstmmusic.training import provenance
from lstmmusic.training.provenance import TrainedOn
from lstmmusic.training.safe_npz import Arrays, File, NpzError
from lstmmusic.training.settings import joint_units, read_settings
from lstmmusic.training.state import Position, TrainState

# Version 1 had RMSprop alone, and no unfinished training.  Version 2 lacked the tunes
# and records of trainings, and the steps that each cost sums up.  Version 3 had the
# independent output alone, version 4 no restruck columns and no format of the rolls.
FORMAT_VERSION = 5
MOST_UPDATES = 2**53  # of an epoch; a float still tells one from the next
PROGRESS = {  # names in the file, and what they are before the first update
    "epoch": 0,
    "update": 0,
    "epochState": None,
    "bestNll": math.inf,
    "sinceBest": 0,
    "stopped": False,
    "best": None,
}
H_LENGTHS = ("h1_length", "h2_length", "h3_length")
LONGEST_RECORDS = 2**23  # bytes: a hundred trainings, as JSON escapes them


class ParameterFileError(ValueError):
    """Say that a file is not one of `saveParameters`, or is damaged."""


class Saved(NamedTuple):
    """Hold the contents of a parameter file; None where the original's lack them."""

    h_lengths: tuple[int, int, int]
    io_length: int
    weights: dict[str, np.ndarray]  # by original name
    state: dict[str, np.ndarray] | None  # at step −1, by original name
    moments: Moments | None  # of {original name of the weight: array}
    settings: dict[str, Any]  # arguments of RNN4Music
    training: TrainState  # its rng is None where the file has none


def with_suffix(filename) -> Path:
    """Append .npz when missing, as numpy.savez does."""
    path = checks.path("fileName", filename)
    return Path(path if path.endswith(".npz") else path + ".npz")


def check_checkpoint(path) -> str:
    """Return the path of a checkpoint's file; raise ValueError if it is not writable.

    So a training fails before its first update, not at its first checkpoint.
    """
    target = checks.target("checkpoint", path, ".npz")
    folder = Path(os.path.realpath(target)).parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(
            f"checkpoint is {os.fsdecode(path)!r}, but {str(folder)!r} is no folder "
            "that can be written to; allowed is the path of a file in one"
        )
    return target


def mean_name(name: str) -> str:
    """Return the original's name of a weight's mean of squares: Wxi_1 → DWxi1p."""
    return f"D{name.replace('_', '')}p"


def momentum_name(name: str) -> str:
    """Return the name of Adam's mean of a weight's gradient: Wxi_1 → DWxi1m."""
    return f"D{name.replace('_', '')}m"


def write(filename, saved: Saved) -> Path:
    """Write a `Saved`; a failed or killed write leaves the old file whole.

    Returns the path written, ``filename`` with .npz appended when missing.
    """
    training = saved.training
    provenance.check_trainings(training.records)
    validation = np.array(training.validation, dtype=np.float64).reshape(-1, 2)
    arrays = {
        **saved.weights,
        **(saved.state or {}),
        **_moments_to_write(saved.moments),
        **_progress_to_write(training),
        **dict(zip(H_LENGTHS, saved.h_lengths, strict=True)),
        **saved.settings,
        "gradNorm": saved.settings["gradNorm"] or math.inf,
        "io_length": saved.io_length,
        "loss": float(training.loss),
        "instantaneousCost": np.array(training.costs, dtype=np.float64),
        "validationCost": validation,
        "stepsOfCost": np.array(training.steps, dtype=np.float64),
        "trainedOn": training.trained_on.digests,
        "trainedOnComplete": training.trained_on.complete,
        "trainings": np.frombuffer(json.dumps(training.records).encode(), np.uint8),
        "rollFormat": formats.to_text(training.roll_format),
        "rngState": json.dumps(training.rng.bit_generator.state),
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


def _progress_to_write(training):
    if training.plan is None:
        return {"progress": "null"}
    place = training.position
    numbers = {
        "plan": training.plan,
        "epoch": place.epoch,
        "update": place.update,
        "epochState": place.epoch_rng_state,
        "bestNll": training.best_nll,
        "sinceBest": training.since_best,
        "stopped": training.stopped,
        "best": None,
    }
    best = training.best or {}
    return {
        "progress": json.dumps(numbers),
        **{f"best_{name}": array for name, array in best.items()},
    }


def read(filename) -> Saved:
    """Read a `Saved`, from a file of ours or of the original program.

    For the original's files ``moments`` and ``state`` are None: its RMSprop state is no
    running mean of squares (D4), and its training ignored the state at step −1 (D9).
    ``settings["originalForward"]`` is True: its output gate looked at a_g (D3).

    Raises
    ------
    FileNotFoundError
    ParameterFileError
        If the path is no regular file, or the file is no .npz, is cut off, lacks an
        array, or holds one of the wrong shape, of objects, or with values that are not
        finite.
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
    version = 0
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
    settings = read_settings(arrays, version, io_length)
    shapes = weight_shapes(h_lengths, io_length, joint_units(settings))
    for name in joint_shapes(h_lengths, io_length, 1):
        if name in arrays and name not in shapes:
            raise ParameterFileError(f"{name} is none of an output of its settings")
    weights = {name: arrays.numbers(name, shape) for name, shape in shapes.items()}
    state = moments = None
    if ours:
        shapes_of_state = state_shapes(h_lengths).items()
        state = {name: arrays.numbers(name, shape) for name, shape in shapes_of_state}
        moments = _moments(arrays, shapes, settings["optimizer"] == "Adam")
    training = _training(arrays, shapes, version)
    if version > 4:
        text, restruck = arrays.text("rollFormat"), settings["restruck"]
        training.roll_format = formats.from_text(text, io_length, restruck)
    for values in (weights, *(moments or ())[:2], training.best):
        check_joint(values or {})
    return Saved(
        h_lengths=h_lengths,
        io_length=io_length,
        weights=weights,
        state=state,
        moments=moments,
        settings=settings,
        training=training,
    )


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


def _training(arrays, shapes, version):
    """Read a `TrainState`; its rng is None in the original's files, version 0."""
    rng = None
    if version:
        rng = np.random.default_rng()
        rng.bit_generator.state = arrays.rng_state("rngState")
    costs = arrays.history("instantaneousCost")
    training = TrainState(
        rng=rng,
        costs=costs,
        steps=[math.nan] * len(costs),
        loss=float(arrays.numbers("loss", finite=False)),
        trained_on=TrainedOn(complete=bool(version) and not costs),
    )
    if version > 1:
        training.validation = arrays.validation()
        _read_progress(training, arrays, shapes)
    if version > 2:
        training.steps = _steps(arrays, len(costs))
        complete = arrays.truth("trainedOnComplete")
        training.trained_on = TrainedOn(arrays.digests("trainedOn"), complete)
        records = json.loads(arrays.bytes("trainings", LONGEST_RECORDS))
        training.records = provenance.check_trainings(records)
    else:
        training.records = provenance.unknown_trainings(len(costs), training.plan)
    return training


def _steps(arrays, updates):
    steps = arrays.history("stepsOfCost")
    if len(steps) != updates or any(n <= 0 or n == math.inf for n in steps):
        raise ParameterFileError(
            f"stepsOfCost must hold {updates} numbers above 0, one for each cost"
        )
    return steps


def _read_progress(training, arrays, shapes):
    """Set the plan, the position and the best weights of a training."""
    numbers = json.loads(arrays.text("progress"))
    if numbers is None:
        return
    try:
        numbers = _checked_progress(numbers)
    except ValueError as error:
        raise ParameterFileError(f"progress is none of a training: {error}") from None
    place = (numbers[name] for name in ("epoch", "update", "epochState"))
    training.plan, training.position = numbers["plan"], Position(*place)
    training.best_nll = numbers["bestNll"]
    training.since_best = numbers["sinceBest"]
    training.stopped = numbers["stopped"]
    if training.best_nll < math.inf:
        best = {n: arrays.numbers(f"best_{n}", shape) for n, shape in shapes.items()}
        training.best = best


def _checked_progress(numbers):
    """Return the numbers of a training's progress; raise ValueError for others.

    Of the plan only noOfEpoch is checked: `TrainState.differences` compares the rest.
    """
    if not isinstance(numbers, dict) or not isinstance(numbers.get("plan"), dict):
        raise ValueError(f"it is {numbers!r:.60}; it must hold a plan")
    if others := numbers.keys() - PROGRESS.keys() - {"plan"}:
        raise ValueError(f"it holds {', '.join(others)}")
    numbers = PROGRESS | numbers
    last = checks.check_int("noOfEpoch", numbers["plan"].get("noOfEpoch"))
    epoch = checks.check_int("epoch", numbers["epoch"], low=0, high=last)
    update = checks.check_int("update", numbers["update"], low=0, high=MOST_UPDATES)
    checks.check_int("sinceBest", numbers["sinceBest"], low=0, high=epoch)
    checks.truth("stopped", numbers["stopped"])
    best_nll = numbers["bestNll"]
    if not isinstance(best_nll, float) or not best_nll > -math.inf:
        raise ValueError(f"bestNll is {best_nll!r}")
    if numbers["best"] is not None:
        raise ValueError("best is among the numbers")
    if update > 0 or numbers["epochState"] is not None:
        checks.rng_state("epochState", numbers["epochState"])
    return numbers
