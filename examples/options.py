"""The options of main.py."""

import argparse
import contextlib
import math
import os
import re
from pathlib import Path

SIZES = (120, 120, 120)
RATES = (0.003, 0.003, 0.003, 0.003)
MINIBATCH = 10
OPTION_OF = {  # arguments of RNN4Music that its errors name
    "h1_length": "the first of --sizes",
    "h2_length": "the second of --sizes",
    "h3_length": "the third of --sizes",
    "io_length": "the width of --range",
    "noOfEpochPerMB": "--updates",
    "noOfEpoch": "--epochs",
    "sizeOfMiniBatch": "--minibatch",
    "lengthOfMB": "--length",
    "checkpoint": "--save",
    "resume": "--resume",
    "noOfSamps": "--steps",
    "maxNotes": "--max-notes",
    "genProbThreshold": "--threshold",
    "temperature": "--temperature",
    "seed": "--seed",
    "mode": "--mode",
    "device": "--device",
    "dataset": "the music (--midi, --range, --dt, --length, --seed)",
    **{rate: f"{rate} of --rates" for rate in ("R1", "R2", "R3", "Rout")},
}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def in_options(message):
    """Say a message of RNN4Music in the words of the command line."""
    message = re.sub(r" or a smaller gradClip( \([^)]*\))?", "", message)
    message = message.replace("rates (R1, R2, R3, Rout are", "--rates (they are")
    sizes = "h1_length, h2_length, h3_length, io_length"
    message = message.replace(f"each of {sizes}", "each of --sizes")
    # A name that is also a word stands for an argument before its value alone.
    words = "|".join(name for name in OPTION_OF if name.isalpha() and name.islower())
    names = "|".join(name for name in OPTION_OF if name not in words.split("|"))
    pattern = rf"\b(?:({names})\b|({words})(?= (?:was|is) ))"
    return re.sub(pattern, lambda found: OPTION_OF[found[0]], message)


@contextlib.contextmanager
def naming(option, value):
    """Have errors of the file system name the option that led to them."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{option} is {value}: {error.strerror}") from error


def path(text):
    """Return a Path of an option's text, which is not to be empty."""
    if not text:  # Path would take it for the current folder
        raise argparse.ArgumentTypeError("''; allowed is a path")
    return Path(text)


def file_path(text):
    """Return a `path` of a file; a name that ends in a separator is a folder's."""
    if os.path.basename(text) in ("", os.curdir, os.pardir):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is the path of a file")
    return path(text)


def number(kind, low, high=math.inf):
    """Return a function from text to a number of a kind (int, float) in a range."""
    wanted = f"{'whole' if kind is int else 'finite'} numbers from {low:g}"
    if high < math.inf:
        wanted += f" to {high:g}"

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f"{text!r}; allowed are {wanted}")
        return value

    return convert


def make_parser():
    """Describe all options; None stands for a default that depends on others."""
    parser = Parser(
        prog="main.py",
        description="Train an LSTM on MIDI files, generate music, draw pictures, show "
        "all on a page. Defaults stand in brackets.",
    )
    add_music_options(parser.add_argument_group("music"))
    add_training_options(parser.add_argument_group("network and training"))
    add_generation_options(parser.add_argument_group("generation"))
    add_file_options(parser.add_argument_group("files, randomness, backend"))
    return parser


def add_music_options(group):
    """Add what is read, and how."""
    add, pitch = group.add_argument, number(int, 0, 128)
    add(
        "--midi",
        type=path,
        metavar="FOLDER",
        help="read the .mid and .midi files below it (Bach's chorales, from music21, "
        "each in C major or A minor, an eighth note to 0.3 s)",
    )
    add(
        "--range",
        type=pitch,
        nargs=2,
        default=[21, 109],
        metavar=("LOW", "HIGH"),
        help="MIDI pitches from LOW up to, but without, HIGH (21 109)",
    )
    add(
        "--dt",
        type=number(float, 1e-4),
        default=0.3,
        metavar="S",
        help="seconds per step (%(default)s)",
    )


def add_training_options(group):
    """Add the network's sizes and the numbers of its training."""
    add, count, rate = group.add_argument, number(int, 1), number(float, 1e-12)
    add(
        "--sizes",
        type=count,
        nargs=3,
        metavar=("H1", "H2", "H3"),
        help=f"cells in each layer ({' '.join(map(str, SIZES))}, or the file's)",
    )
    add(
        "--rates",
        type=rate,
        nargs=4,
        metavar=("R1", "R2", "R3", "ROUT"),
        help="training rates of the layers and the output, which fall to zero over "
        f"the training ({' '.join(map(str, RATES))}, or the file's)",
    )
    add(
        "--cost",
        choices=("cross-entropy", "squared-error"),
        help="what training makes small (cross-entropy, or the file's)",
    )
    add(
        "--epochs",
        type=number(int, 0),
        default=800,
        metavar="N",
        help="minibatches drawn (%(default)s); 0, with --load, only generates",
    )
    add(
        "--updates",
        type=count,
        default=1,
        metavar="N",
        help="updates on each minibatch (%(default)s)",
    )
    add(
        "--minibatch",
        type=count,
        metavar="N",
        help=f"pieces in a minibatch ({MINIBATCH}, or all if there are fewer)",
    )
    add(
        "--length",
        type=number(int, 2),
        default=65,
        metavar="N",
        help="steps of a piece (%(default)s)",
    )


def add_generation_options(group):
    """Add how music is made after training."""
    add = group.add_argument
    add(
        "--primer",
        type=number(int, 1),
        default=20,
        metavar="N",
        help="steps that generation begins from (%(default)s)",
    )
    add(
        "--steps",
        type=number(int, 1, 100_000),
        default=300,
        metavar="N",
        help="steps to generate (%(default)s)",
    )
    add(
        "--threshold",
        type=number(float, 0, 1),
        default=0.05,
        metavar="P",
        help="in generation, smaller probabilities count as zero (%(default)s)",
    )
    add(
        "--temperature",
        type=number(float, 0),
        nargs="+",
        default=[1.0],
        metavar="T",
        help="a tune is made with each: below 1 the likely notes get likelier, above 1 "
        "the unlikely (1)",
    )
    add(
        "--max-notes",
        type=number(int, 1, 128),
        metavar="N",
        help="most notes at once (no limit)",
    )


def add_file_options(group):
    """Add where things come from and go to, and how they are computed."""
    add = group.add_argument
    add(
        "--load",
        type=file_path,
        metavar="FILE",
        help="train on from parameters saved earlier",
    )
    add(
        "--save",
        type=file_path,
        metavar="FILE",
        help="where to save the parameters, while training too (parameters.npz in the "
        "output folder)",
    )
    add(
        "--resume",
        action="store_true",
        help="added to the command of a run that was stopped or killed: goes on with "
        "its training as if nothing had been",
    )
    add(
        "--seed",
        type=number(int, 0),
        default=1,
        metavar="N",
        help="the same seed, with the same backend and as many CPUs, gives the same "
        "music (%(default)s); with --load it draws the primer and the samples; "
        "training goes on with the file's random numbers",
    )
    add(
        "--out",
        type=path,
        default=Path("output"),
        metavar="FOLDER",
        help="output folder (%(default)s)",
    )
    add(
        "--mpi",
        action="store_true",
        help="share the training out to all that mpiexec has started: "
        "mpiexec -n 2 python examples/main.py --mpi",
    )
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda computes on an NVIDIA GPU (%(default)s)",
    )
    add(
        "--mode",
        choices=("JAX", "NUMBA"),
        help="PyTensor's backend (JAX where installed, otherwise Numba)",
    )
