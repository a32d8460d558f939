"""Make the network of main.py, new or from a file, and hold how each output is trained.

The joint output is trained as `standard_benchmark.py` does, in as many updates as two
cores make in under two minutes; the independent one as the original program does.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from option_names import naming
from stopping import refuse_to_overwrite

from lstmmusic import RNN4Music
from lstmmusic.checks import target
from lstmmusic.training import parameter_file
from midi import RollFormat

SIZES = (120, 120, 120)
OCTAVE = 12  # notes; fewer are not transposed
JOINT = {"output": "joint", "jointUnits": 128, "noteOrder": "down"}
RATES = ("R1", "R2", "R3", "Rout")
FORMAT = ("range", "unit", "dt", "quantize", "restruck")  # options, as in RollFormat
STEP = {"beats": 0.5, "seconds": 0.3}
TEMPO = 100.0  # quarter notes per minute
PRIMER = 20  # steps


class Recipe(NamedTuple):
    """Hold the settings of a training that differ between the outputs."""

    optimizer: str
    rate: float
    dropout: float
    gradNorm: float | None
    sigRand: float
    epochs: int  # minibatches
    keys: int  # semitones of transposition, up and down
    threshold: float  # in generation


RECIPES = {
    "joint": Recipe("Adam", 0.012, 0.4, 5.0, 0.07, 3000, 3, 0.02),
    "independent": Recipe("RMSprop", 0.003, 0.0, None, 0.1, 800, 0, 0.05),
}


def make_model(options):
    """Return a new network, or that of the file which ``--load`` or ``--resume`` names.

    ``--resume`` without a file starts the training; the settings of a file must agree
    with the options.  ``--epochs`` and ``--keys`` that were not given become those of
    the recipe, ``--threshold`` the network's, and ``options.is_new`` says whether the
    network is new.
    """
    check_options(options)
    save = options.save or options.out / "parameters.npz"
    options.save = Path(target("--save", save, ".npz"))
    resumed = options.resume and options.save.is_file()
    source = options.save if resumed else options.load
    if source is None or source.resolve() != options.save.resolve():
        refuse_to_overwrite(options.save, options.load)
    options.is_new = source is None
    if options.is_new:
        if options.epochs == 0 and options.save.is_file():
            raise ValueError(
                f"--epochs is 0, and an untrained network would overwrite "
                f"{options.save}; allowed are --load {options.save}, which generates "
                "with it, and another --out or --save"
            )
        restruck = options.output != "independent"
        options.format = choose_format(options, {"unit": "beats", "restruck": restruck})
        model = new_model(options)
    else:
        model = load_model(source, resumed, options)
    take_format(options, options.format)
    check_length(options)
    if options.threshold is None:
        options.threshold = model.genProbThreshold
    recipe = RECIPES[model.output]
    if options.epochs is None:
        options.epochs = recipe.epochs
    if options.keys is None:
        options.keys = recipe.keys if options.format.notes >= OCTAVE else 0
    return model


def check_options(options):
    """Raise ValueError for options that do not fit together."""
    if options.range and options.range[0] >= options.range[1]:
        low, high = options.range
        raise ValueError(f"--range is {low} {high}; allowed is LOW below HIGH")
    if options.melody and options.continued:
        raise ValueError(f"--melody is {options.melody} and --continue is "
                         f"{options.continued}; allowed is one of them")  # fmt: skip
    if options.save and not options.save.resolve().parent.is_dir():
        raise ValueError(f"--save is {options.save}; allowed is a file in a folder "
                         "that exists")  # fmt: skip


def check_length(options):
    """Raise ValueError if the tunes would be too long, or for a tempo in seconds."""
    seconds = options.steps * step_s(options)
    if options.unit == "seconds" and options.tempo is not None:
        raise ValueError(f"--tempo is {options.tempo:g} and --unit is seconds; allowed "
                         "is --tempo with --unit beats")  # fmt: skip
    if seconds > 86400:
        raise ValueError(f"--steps is {options.steps} and --dt {options.dt}, together "
                         f"{seconds:.6g} s; allowed are 24 hours of music")  # fmt: skip


def tempo(options):
    """Return the quarter notes per minute of what is written; None in seconds."""
    return None if options.unit == "seconds" else options.tempo or TEMPO


def step_s(options):
    """Return the seconds of a step of what is written."""
    return float(options.dt) * 60 / (tempo(options) or 60)


def choose_format(options, otherwise):
    """Return the RollFormat of the options; ``otherwise`` has those not given."""
    given = {name: getattr(options, name) for name in FORMAT}
    found = otherwise | {name: v for name, v in given.items() if v is not None}
    found.setdefault("dt", STEP[found["unit"]])
    return RollFormat(tuple(found.pop("range", (21, 109))), **found)


def take_format(options, format):
    """Set ``options.format``, and the options that it consists of."""
    options.format = format
    options.range, options.dt, options.unit = format.r, format.dt, format.unit
    options.quantize, options.restruck = format.quantize, format.restruck


def held_format(model, source, options):
    """Return the RollFormat of a file's network; ValueError if the options differ.

    A file that does not say gives the options', with steps in seconds.
    """
    held = model.rollFormat
    if held is None:
        plain = {"unit": "seconds", "restruck": model.restruck}
        return choose_format(options, plain)
    known = dict(zip(FORMAT, (held.r, held.unit, held.dt, held.quantize, held.restruck),
                     strict=True))  # fmt: skip
    wanted = choose_format(options, known)
    if wanted != held:
        raise ValueError(f"the options ask for {wanted}; {source} has {held}; allowed "
                         "are the file's values, or none of --range, --unit, --dt, "
                         "--quantize and --restruck")  # fmt: skip
    return held


def load_model(source, resumed, options):
    """Return the network of a file; raise ValueError if the options differ from it.

    ``--load`` takes up a network with independent notes for ``--output joint``.
    """
    where = {"mode": options.mode, "device": options.device}
    with naming("--save" if resumed else "--load", source):
        if options.output == "joint" and not resumed:
            held = parameter_file.read(source).settings["output"]
            where |= JOINT | wanted_output(options) if held == "independent" else {}
        model = RNN4Music.fromFile(source, **where)
    options.format = held_format(model, source, options)
    for name, given, held in (
        ("--sizes", options.sizes, list(model.h_lengths)),
        ("--cost", options.cost, model.cost),
        ("--output", options.output, model.output),
        ("--joint-units", options.joint_units, model.jointUnits),
        ("--note-order", options.note_order, model.noteOrder),
        ("width of the rolls", options.format.width, model.io_length),
        ("--rates", options.rates if resumed else None, list(model.rates)),
        ("--dropout", options.dropout if resumed else None, model.dropout),
    ):
        if given not in (None, held):
            raise ValueError(f"{name} is {given}, but {source} has {held}")
    if options.rates:
        model.setNewRates(*options.rates)
    if options.dropout is not None:
        model.dropout = options.dropout
    return model


def wanted_output(options):
    """Return those of RNN4Music's arguments about the output that the options give."""
    given = options.output, options.joint_units, options.note_order
    named = zip(JOINT, given, strict=True)
    return {name: value for name, value in named if value is not None}


def new_model(options):
    """Return an untrained network of the options' sizes."""
    wanted = wanted_output(options)
    if wanted.get("output") != "independent":
        wanted = JOINT | wanted
    recipe = RECIPES[wanted["output"]]
    rates = options.rates or [recipe.rate] * len(RATES)
    threshold, dropout = (
        value if given is None else given
        for given, value in (
            (options.threshold, recipe.threshold),
            (options.dropout, recipe.dropout),
        )
    )
    return RNN4Music(
        *(options.sizes or SIZES),
        io_length=options.format.width,
        restruck=options.format.restruck,
        **dict(zip(RATES, rates, strict=True)),
        **wanted,
        cost=options.cost or "cross-entropy",
        optimizer=recipe.optimizer,
        dropout=dropout,
        gradNorm=recipe.gradNorm,
        sigRand=recipe.sigRand,
        genProbThreshold=threshold,
        seed=options.seed,
        mode=options.mode,
        device=options.device,
    )


def set_first_biases(model, tunes):
    """Open the forget gates of a new network, and start at the notes' frequencies.

    `standard_benchmark.first_values` halves the output's first weights, too.
    """
    drawn = model.parameters()
    frequency = frequencies(tunes, model.restruck).clip(1e-4, 1 - 1e-4)
    model.setParameters(
        {name: drawn[name] + 1 for name in ("bf_1", "bf_2", "bf_3")}
        | {"by": np.log(frequency / (1 - frequency))}
    )


def frequencies(tunes, restruck):
    """Return the share of the rows in which each cell is 1, (io_length,).

    For a restruck cell, of the rows in which its note can be struck again.
    """
    if not restruck:
        return np.concatenate(tunes).mean(axis=0)
    width = tunes[0].shape[1]
    struck, possible = np.zeros(width), np.zeros(width)
    for tune in tunes:
        sounding, again = np.split(np.asarray(tune, bool), 2, axis=1)
        held = sounding[1:] & sounding[:-1]
        struck += np.append(sounding.sum(axis=0), (again[1:] & held).sum(axis=0))
        possible += np.append(np.full(width // 2, len(tune)), held.sum(axis=0))
    return struck / np.maximum(possible, 1)
