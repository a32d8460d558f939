"""Name the options of main.py in errors of the library."""

import contextlib
import re

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
    "dataset": "the music (--midi, --range, --unit, --dt, --keys, --length, --seed)",
    "rollFormat": "the rolls' format (--range, --unit, --dt, --quantize, --restruck)",
    **{rate: f"{rate} of --rates" for rate in ("R1", "R2", "R3", "Rout")},
}


def with_option_names(message):
    """Replace the arguments' names in a message of RNN4Music by the options' names."""
    message = re.sub(r" or a smaller gradClip( \([^)]*\))?", "", message)
    message = message.replace("rates (R1, R2, R3, Rout are", "--rates (they are")
    message = message.replace("output='joint'", "--output joint")
    for switch in ("quantize", "drums", "pedal", "restruck"):
        message = message.replace(f"{switch}=True", f"--{switch}")
    message = message.replace("unended='hold'", "--unended hold")
    message = re.sub(r"\bdt=(?=[\d.])", "--dt ", message)
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
