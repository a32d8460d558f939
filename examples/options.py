"""Parse the options of main.py."""

import argparse
import math
import os
from fractions import Fraction
from pathlib import Path

MINIBATCH = 10


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


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


def step(text):
    """Return a number of seconds or beats from a text such as 0.5 or 1/3."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 1e-4 <= value <= 86400:
        allowed = "a number such as 0.5 or 1/3, from 0.0001 to 86400"
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is {allowed}")
    return value


def add_music_options(add):
    add(
        "--midi",
        type=path,
        metavar="FOLDER",
        help="folder whose MIDI files (.mid, .midi, .rmi, .kar) are read, subfolders "
        "too (Bach's chorales, from music21, in C major or A minor)",
    )
    add(
        "--range",
        type=number(int, 0, 128),
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="MIDI pitches from LOW up to HIGH, HIGH not included (21 109, or the "
        "file's)",
    )
    add(
        "--unit",
        choices=("beats", "seconds"),
        help="whether --dt is in beats (quarter notes) or seconds (beats, or the "
        "file's)",
    )
    add(
        "--dt",
        type=step,
        metavar="STEP",
        help="beats or seconds per step, such as 0.5 or 1/3 (0.5 beats, an eighth "
        "note; 0.3 seconds; or the file's)",
    )
    add_format_switches(add)
    add(
        "--tempo",
        type=number(float, 4, 1000),
        metavar="BPM",
        help="quarter notes per minute of the music written, if --unit is beats (100, "
        "or that of --continue's file)",
    )


def add_format_switches(add):
    for name, meaning in (
        ("--quantize", "move each onset and end to the nearest step, so that no note "
                       "is lost (off, or the file's)"),
        ("--restruck", "mark notes struck again, so that they are learned and written "
                       "(on with --output joint, or the file's)"),
    ):  # fmt: skip
        switch = argparse.BooleanOptionalAction
        add(name, action=switch, default=None, help=meaning)
    for name, meaning in (
        ("--drums", "take the notes of channel 10, percussion, as if they had pitches"),
        ("--pedal", "hold notes while the sustain pedal is down"),
    ):
        add(name, action="store_true", help=meaning)
    add(
        "--unended",
        choices=("drop", "hold"),
        default="drop",
        help="whether notes that are never ended are left out, or held to the end of "
        "their track (%(default)s)",
    )


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


def add_given_options(add):
    add(
        "--continue",
        dest="continued",
        type=file_path,
        metavar="FILE",
        help="MIDI file to go on from: its end is the primer, transposed to where it "
        "fits the tunes, and continued.mid plays it and the continuation, in its key",
    )
    add(
        "--melody",
        type=file_path,
        metavar="FILE",
        help="MIDI file whose top line is harmonised, from its first note to its last: "
        "transposed to where it fits the tunes, its notes are given, and those below "
        "are drawn; --primer and --steps are not used then",
    )
    add(
        "--primer",
        type=number(int, 1),
        metavar="N",
        help="steps of a tune that generation continues (its first 20; with "
        "--continue, its last N, or all)",
    )


def add_generation_options(add):
    add_given_options(add)
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
