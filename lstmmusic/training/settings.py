"""Name, bound and read the settings of RNN4Music that a parameter file holds."""

import math

from lstmmusic import checks
from lstmmusic.engine.store import OPTIMIZERS
from lstmmusic.model.outputs import COSTS, ORDERS

LARGEST = 1e30  # a first value; well within float32
MOST_DROPOUT = 0.99
# Bounds of the settings of RNN4Music that are numbers.
LIMITS = {
    **{name: {} for name in ("R1", "R2", "R3", "Rout", "epsilon", "gradClip")},
    **{name: {"low_allowed": True, "high": LARGEST} for name in ("sigRand", "muRand")},
    "genProbThreshold": {"low_allowed": True, "high": 1.0},
    "dropout": {"low_allowed": True, "high": MOST_DROPOUT},
}
SINCE_2 = {"optimizer", "gradNorm", "dropout", "fixedMasks"}
OUTPUT = {
    "output": "independent",
    "jointUnits": 128,
    "noteOrder": "up",
    "restruck": False,
}
SETTINGS = (
    *(*LIMITS, "cost", "originalForward", "optimizer", "gradNorm", "fixedMasks"),
    *OUTPUT,
)


def check_setting(name: str, value) -> float:
    """Return a float within `LIMITS`, or raise ValueError."""
    return checks.check_float(name, value, **LIMITS[name])


def read_settings(arrays, version, io_length):
    """Read arguments of RNN4Music; version 0 is the original's."""
    names = ("R1", "R2", "R3", "gradClip")
    if version:
        names = LIMITS.keys() - (SINCE_2 if version < 2 else set())
    settings = {
        name: check_setting(name, arrays.numbers(name).item()) for name in names
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
    if version < 4:
        return settings | OUTPUT
    found = {name: arrays.text(name) for name in ("output", "noteOrder")}
    found["jointUnits"] = arrays.numbers("jointUnits").item()
    found["restruck"] = version >= 5 and arrays.truth("restruck")
    return settings | check_output(found, settings["cost"], io_length)


def check_output(settings, cost, io_length):
    """Return the settings of `OUTPUT`, checked, or raise ValueError."""
    units, kind = settings["jointUnits"], settings["output"]
    checked = {
        "output": checks.one_of("output", kind, ("independent", "joint")),
        "jointUnits": checks.check_int("jointUnits", units, 0, checks.LONGEST),
        "noteOrder": checks.one_of("noteOrder", settings["noteOrder"], ORDERS),
        "restruck": checks.truth("restruck", settings["restruck"]),
    }
    if kind == "joint" and cost != "cross-entropy":
        raise ValueError(
            f"cost is {cost!r}; allowed with output='joint' is 'cross-entropy'"
        )
    if checked["restruck"] and kind != "joint":
        raise ValueError(f"output is {kind!r}; allowed with restruck=True is 'joint'")
    if checked["restruck"] and io_length % 2:
        raise ValueError(
            f"io_length is {io_length}; allowed with restruck=True are even numbers, "
            "two columns for each note"
        )
    return checked


def joint_units(settings):
    """Return the units of the joint output; None for the independent one."""
    return settings["jointUnits"] if settings["output"] == "joint" else None
