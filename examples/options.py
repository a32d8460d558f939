"""Parse the options of main.py, and name them in errors."""

import argparse
import contextlib
import math
import os
import re
from pathlib import Path

MINIBATCH = 10
OPTION_OF = {  # by the argument that an error of RNN4Music names
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
    "output": "--output",
    "jointUnits": "--joint-units",
    "noteOrder": "--note-order",
    "dropout": "--dropout",
    "dataset": "the music (--midi, --range, --dt, --keys, --length, --seed)",
    **{rate: f"{rate} of --rates" for rate in ("R1", "R2", "R3", "Rout")},
}


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def with_option_names(message):
    """Replace the arguments' names in a message of RNN4Music by the options' names."""
    message = re.sub(r" or a smaller gradClip( \([^)]*\))?", "", message)
    message = message.replace("rates (R1, R2, R3, Rout are", "--rates (they are")
    message = message.replace("output='joint'", "--output joint")
    sizes = "h1_length, h2_length, h3_length, io_length"
    message = message.replace(f"each of {sizes}", "each of --sizes")
    # Some names are also words: those stand for an argument only before its value.
    words = "|".join(name for name in OPTION_OF if name.isalpha() and name.islower())
    names = "|".join(name for name in OPTION_OF if name not in words.split("|"))
    pattern = rf"\b(?:({names})\b|({words})(?= (?:was|is) ))"
    return re.sub(pattern, lambda found: OPTION_OF[found[0]], message)


@contextlib.contextmanager
def naming(option, value):
    """Turn an OSError into a ValueError that names the option and its value."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{option} is {value}: {error.strerror}") from error


def path(text):
    """Return the Path of an option's text; refuse an empty one."""
    if not text:  # Path would take it for the current folder
        raise argparse.ArgumentTypeError("''; allowed is a path")
    return Path(text)


def file_path(text):
    """Return the Path of a file; refuse a name that ends in a separator."""
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
    """Return the parser; a default of None depends on other options."""
    parser = Parser(
        prog="main.py",
        description="Train an LSTM on MIDI files, generate music, and show it with "
        "pictures on a page. Defaults are in brackets.",
    )
    for title, add_options in (
        ("music", add_music_options),
        ("network", add_network_options),
        ("training", add_training_options),
        ("generation", add_generation_options),
        ("files", add_file_options),
        ("randomness, processes, backend", add_machine_options),
    ):
        add_options(parser.add_argument_group(title).add_argument)
    return parser


def add_number(add, name, allowed, default, meaning, metavar="N"):
    """Add an option for one number, whose help ends with its default."""
    text = f"{meaning} (%(default)s)"
    add(name, type=allowed, default=default, metavar=metavar, help=text)


def add_music_options(add):
    add(
        "--midi",
        type=path,
        metavar="FOLDER",
        help="folder whose .mid and .midi files are read, subfolders too (Bach's "
        "chorales, from music21, in C major or A minor, an eighth note to 0.3 s)",
    )
    add(
        "--range",
        type=number(int, 0, 128),
        nargs=2,
        default=[21, 109],
        metavar=("LOW", "HIGH"),
        help="MIDI pitches from LOW up to HIGH, HIGH not included (21 109)",
    )
    add_number(add, "--dt", number(float, 1e-4), 0.3, "seconds per step", "S")


def add_network_options(add):
    add(
        "--sizes",
        type=number(int, 1),
        nargs=3,
        metavar=("H1", "H2", "H3"),
        help="cells in each layer (120 120 120, or the file's)",
    )
    add(
        "--output",
        choices=("joint", "independent"),
        help="whether a step's notes are drawn one after the other, each knowing of "
        "those before, or independently, as in the original program (joint, or the "
        "file's)",
    )
    add(
        "--joint-units",
        type=number(int, 0),
        metavar="N",
        help="hidden units of the joint output (128, or the file's)",
    )
    add(
        "--note-order",
        choices=("down", "up"),
        help="whether the joint output draws a step's highest or lowest note first "
        "(down, or the file's)",
    )
    add(
        "--cost",
        choices=("cross-entropy", "squared-error"),
        help="the cost that training minimizes (cross-entropy, or the file's)",
    )


def add_training_options(add):
    count = number(int, 1)
    add(
        "--rates",
        type=number(float, 1e-12),
        nargs=4,
        metavar=("R1", "R2", "R3", "ROUT"),
        help="learning rates of the layers and the output, which fall to zero over "
        "the training (0.012, with --output independent 0.003, or the file's)",
    )
    add(
        "--dropout",
        type=number(float, 0, 0.99),
        metavar="P",
        help="share of each layer's outputs that training hides, so that it learns "
        "less by heart (0.4, with --output independent 0, or the file's)",
    )
    add(
        "--epochs",
        type=number(int, 0),
        metavar="N",
        help="minibatches to draw; 0 with --load generates without training (3000, "
        "with --output independent 800)",
    )
    add(
        "--keys",
        type=number(int, 0, 11),
        metavar="N",
        help="train on each tune in all keys up to N semitones lower and higher "
        "(3, with --output independent 0)",
    )
    add_number(add, "--updates", count, 1, "updates on each minibatch")
    add(
        "--minibatch",
        type=count,
        metavar="N",
        help=f"pieces in a minibatch ({MINIBATCH}, or all if there are fewer)",
    )
    add_number(add, "--length", number(int, 2), 65, "steps in a piece")


def add_generation_options(add):
    add(
        "--melody",
        type=file_path,
        metavar="FILE",
        help="MIDI file whose top line is harmonised, from its first note to its last: "
        "transposed to where it fits the tunes, its notes are given, and those below "
        "are drawn; --primer and --steps are not used then",
    )
    continued = "steps of a tune that generation continues"
    add_number(add, "--primer", number(int, 1), 20, continued)
    add_number(add, "--steps", number(int, 1, 100_000), 300, "steps to generate")
    add(
        "--threshold",
        type=number(float, 0, 1),
        metavar="P",
        help="probabilities below it count as zero (0.02, with --output independent "
        "0.05, or the file's)",
    )
    add(
        "--temperature",
        type=number(float, 0),
        nargs="+",
        default=[1.0],
        metavar="T",
        help="one tune for each; below 1 makes likely notes likelier, above 1 unlikely "
        "ones (1)",
    )
    add(
        "--max-notes",
        type=number(int, 1, 128),
        metavar="N",
        help="largest number of notes at once (no limit)",
    )


def add_file_options(add):
    add(
        "--load",
        type=file_path,
        metavar="FILE",
        help="parameter file to continue from",
    )
    add(
        "--save",
        type=file_path,
        metavar="FILE",
        help="parameter file to write, also during training (parameters.npz in the "
        "output folder)",
    )
    add(
        "--resume",
        action="store_true",
        help="add this to the command of a run that was stopped or killed: its "
        "training continues, and ends with the same weights",
    )
    add(
        "--out",
        type=path,
        default=Path("output"),
        metavar="FOLDER",
        help="output folder (%(default)s)",
    )


def add_machine_options(add):
    add_number(
        add,
        "--seed",
        number(int, 0),
        1,
        "the same seed, backend and number of CPUs give the same music; with --load it "
        "draws the primer and the samples, while training continues the file's random "
        "numbers",
    )
    add(
        "--mpi",
        action="store_true",
        help="train in all processes of mpiexec: "
        "mpiexec -n 2 python examples/main.py --mpi",
    )
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda is an NVIDIA GPU (%(default)s)",
    )
    add(
        "--mode",
        choices=("JAX", "NUMBA"),
        help="PyTensor's backend (default: JAX)",
    )
