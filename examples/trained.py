"""Describe on the page how a network was trained: cost, commands and settings."""

import numpy as np
from page import Part

from lstmmusic.checks import counted
from lstmmusic.plots import plot_cost

UNKNOWN = "The parameter file does not say whether or how it was trained."


def training_part(model, known, options, files):
    """Return the part with the cost and with each training's command and settings.

    ``known`` is None if the parameter file does not say what was trained on.
    """
    part = Part("How it was trained")
    cost = np.asarray(model.costPerStep, float)
    if np.isfinite(cost).any():
        ax = plot_cost(cost, unit=f"{unit_of(model)} per step")
        caption = f"The cost of each update, in {unit_of(model)} per step."
        files.draw(part, ax, "cost.png", caption)
    elif len(cost):
        part.text.append("Its cost per step is not in the parameter file.")
    for n, training in enumerate(model.trainings, 1):
        used = {
            name: value
            for name, value in training.items()
            if name != "command" and value is not None
        }
        if str(used.get("validation", "")).startswith("0 tunes"):
            del used["validation"]
        heading = f"Training {n} of {len(model.trainings)}"
        command = training["command"]
        part.parts.append(Part(heading, command=command, settings=used))
    if len(cost) and not model.trainings:
        part.text.append("Its settings are not in the parameter file.")
    if not len(cost):
        part.text.append(UNKNOWN if known is None else "It was not trained.")
    beside = options.save.resolve().parent == options.out.resolve()
    if beside and options.save.is_file():
        part.links.append(options.save.name)
    return part


def unit_of(model):
    """Return the unit of the cost."""
    return "halved squares" if model.cost == "squared-error" else "nats"


def summary(model, known):
    """Return a line about the training; ``known`` is that of `training_part`."""
    cost = np.asarray(model.costPerStep, float)
    if not len(cost):
        return UNKNOWN if known is None else "Not trained."
    stopped = "" if model.trainingOver else ", stopped before its end"
    line = f"Trained for {counted(len(cost), 'update')}{stopped}"
    last = cost[-20:]
    last = last[np.isfinite(last)]
    if not len(last):
        return f"{line}; cost per step: not known."
    unit = unit_of(model)
    first = (
        f"{cost[0]:.2f} {unit} at first"
        if np.isfinite(cost[0])
        else "not known at first"
    )
    return f"{line}; cost per step: {first}, {last.mean():.2f} {unit} in the end."
