"""Describe a network in words: its repr, and tables of its arrays."""

import math
from collections.abc import Mapping

import numpy as np

from lstmmusic import checks
from lstmmusic.model import parameters


def notes(model) -> int:
    """Return how many of an `RNN4Music`'s columns say what sounds: all, or half."""
    return model.io_length // 2 if model.restruck else model.io_length


def describe(model) -> str:
    """Return the repr of an `RNN4Music`."""
    shapes = parameters.weight_shapes(*model._sizes)
    weights = sum(map(math.prod, shapes.values()))
    costs = model.instantaneousCost
    last = f", last cost {model.loss:g}" if costs else ""
    where = model.mode if model.device == "cpu" else f"{model.mode} on {model.device}"
    cost, again = model.cost, ", restruck=True" if model.restruck else ""
    if model.output == "joint":
        first = {"up": "lowest", "down": "highest"}[model.noteOrder]
        cost = f"joint output of {model.jointUnits} units, {first} note first"
    rolls = "" if model.rollFormat is None else f" ({model.rollFormat})"
    return (
        f"<RNN4Music {model.h1_length}-{model.h2_length}-{model.h3_length} cells, "
        f"{checks.counted(model.notes, 'note')}{again}{rolls}, {weights} weights, "
        f"{model.dtype}, {where}; "
        f"{cost}, rates {model.R1:g} {model.R2:g} {model.R3:g} {model.Rout:g}; "
        f"{checks.counted(len(costs), 'update')}{last}>"
    )


def table(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a line for each array: name, shape, mean, deviation, range."""
    return "\n".join(
        f"{name:8} {a.shape!s:12} mean {a.mean():+.4e}  std {a.std():.4e}  "
        f"from {a.min():+.4e} to {a.max():+.4e}"
        for name, a in arrays.items()
    )
