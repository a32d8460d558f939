"""Train on a standard data set by one recipe, evaluate, print a row of the table.

    python examples/standard_benchmark.py "JSB Chorales" FOLDER
    python examples/standard_benchmark.py Nottingham FOLDER --seeds 1 2 3

FOLDER holds the published files (`lstmmusic.datasets.load_standard`).  Each seed has a
checkpoint: the same command resumes a training that was stopped, and prints the row of
one that has ended.

The recipe: whole tunes, each transposed by −3 to 3 semitones; forget gates that start
open; outputs that start at the notes' frequencies; Adam with cosine decay; a limit on
the gradient's norm; dropout; the weights that do best on the validation tunes.  It was
chosen on the validation tunes of JSB Chorales and Nottingham alone.  The test tunes are
evaluated once for each row: all of them, and in the column "others" those that do not
have the top line of a training tune (`lstmmusic.datasets.shared_top_lines`).
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstmmusic import RNN4Music, datasets

KEYS = range(-3, 4)  # semitones
NORM = 5.0
FIRST_WEIGHTS = 0.07  # standard deviation
MINIBATCH = 8  # tunes


class Sizes(NamedTuple):
    """Hold the settings that differ between the data sets, and between the outputs."""

    cells: int  # in each layer
    dropout: float
    epochs: int  # passes over all tunes in all keys
    rate: float = 0.006


SIZES = {
    "independent": {
        "JSB Chorales": Sizes(200, 0.5, 12),
        "Nottingham": Sizes(200, 0.2, 10),
        "MuseData": Sizes(200, 0.4, 6),
        "Piano-midi.de": Sizes(200, 0.5, 12),
    },
    "joint": {
        "JSB Chorales": Sizes(200, 0.5, 24, 0.012),
        "Nottingham": Sizes(200, 0.2, 10),
        "MuseData": Sizes(200, 0.4, 6),
        "Piano-midi.de": Sizes(200, 0.5, 24, 0.012),
    },
}


def main(arguments=None):
    """Train once for each seed; print a row for each, and the mean."""
    options = make_parser().parse_args(arguments)
    sizes = SIZES[options.output][options.dataset]
    named = {name: getattr(options, name) for name in sizes._fields}
    sizes = sizes._replace(**{n: v for n, v in named.items() if v is not None})
    data = datasets.load_standard(options.dataset, options.path)
    options.out.mkdir(parents=True, exist_ok=True)
    shared = datasets.shared_top_lines(data.test, data.train)
    tunes = f"{sum(shared)} of the {len(shared)} test tunes"
    print(f"{tunes} have the top line of a training tune.\n")
    columns = "data set|seed|validation|test|others|accuracy|updates|minutes".split("|")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    found = [run(options, sizes, data, seed, ~shared) for seed in options.seeds]
    if len(found) > 1:
        for name, nll in zip(("test", "others"), np.transpose(found), strict=True):
            spread = f"from {min(nll):.3f} to {max(nll):.3f}"
            print(f"{name}: mean {np.mean(nll):.3f}, {spread} nats per step")


def make_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", choices=SIZES["joint"])
    parser.add_argument("path", type=Path, help="the data set's file, or its folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--output", choices=SIZES, default="joint")
    parser.add_argument("--out", type=Path, default=Path("standard_benchmark"))
    for name, kind in Sizes.__annotations__.items():
        parser.add_argument(f"--{name}", type=kind, help="in place of the recipe's")
    return parser


def run(options, sizes, data, seed, others):
    """Train or resume with one seed; print its row.

    Returns the nats per step of the test tunes, and of those for which ``others`` is
    true, as `nll_of` has it.
    """
    name = options.dataset.replace(" ", "_")
    settings = "_".join(map(str, (options.output, *sizes, seed)))
    path = options.out / f"{name}_{settings}"
    model = RNN4Music(
        **dict.fromkeys(("h1_length", "h2_length", "h3_length"), sizes.cells),
        **dict.fromkeys(("R1", "R2", "R3", "Rout"), sizes.rate),
        io_length=88,
        output=options.output,
        noteOrder="down",
        optimizer="Adam",
        gradNorm=NORM,
        sigRand=FIRST_WEIGHTS,
        dropout=sizes.dropout,
        seed=seed,
    )
    tunes = datasets.transpose(data.train, KEYS)
    model.setParameters(first_values(model.parameters(), tunes))
    start = time.monotonic()
    model.train(
        tunes,
        noOfEpochPerMB=1,
        noOfEpoch=sizes.epochs,
        sizeOfMiniBatch=MINIBATCH,
        lengthOfMB=None,
        average="step",
        rateDecay="cosine",
        validation=data.valid,
        checkpoint=path,
        resume=True,
        sources=data.train,
    )
    minutes = (time.monotonic() - start) / 60
    valid, test = model.evaluate(data.valid), model.evaluate(data.test)
    nll = test.nll, nll_of(test, others)
    print(
        f"| {options.dataset} | {seed} | {valid.nll:.3f} | {nll[0]:.3f} | {nll[1]:.3f} "
        f"| {test.accuracy:.1%} | {len(model.instantaneousCost)} | {minutes:.1f} |",
        flush=True,
    )
    return nll


def nll_of(evaluation, chosen):
    """Return the nats per step of chosen tunes, their steps pooled; NaN of none.

    Parameters
    ----------
    evaluation : lstmmusic.training.evaluation.Evaluation
    chosen : bool ndarray of shape (tunes,)
    """
    if not chosen.any():
        return np.nan
    nats = evaluation.nll_of_tunes * evaluation.steps_of_tunes
    return nats[chosen].sum() / evaluation.steps_of_tunes[chosen].sum()


def first_values(drawn, tunes):
    """Return the initial biases, and weights of the output, by their original names.

    Forget gates have biases about 1 (R. Jozefowicz, W. Zaremba, I. Sutskever 2015), the
    outputs the log odds of each note, which need not be learnt then.
    """
    frequency = np.concatenate(tunes).mean(axis=0).clip(1e-4, 1 - 1e-4)
    return {
        **{name: drawn[name] + 1 for name in ("bf_1", "bf_2", "bf_3")},
        **{name: drawn[name] / 2 for name in drawn if name[:3] in ("Why", "Wha")},
        "by": np.log(frequency / (1 - frequency)),
    }


if __name__ == "__main__":
    main()
