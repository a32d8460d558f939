"""Tiny runs of examples/main.py, for the tests of it."""

import os
import subprocess
import sys

import numpy as np
from conftest import ROOT

from midi.utils import midiwrite

EXAMPLES = ROOT / "examples"
R, DT = (50, 62), 0.25
TINY = (
    "--range 50 62 --dt 0.25 --sizes 5 4 3 --epochs 6 --minibatch 3 --length 9 "
    "--steps 30 --primer 7 --threshold 0 --rates 0.01 0.01 0.01 0.02"
).split()
FILES = (
    "generated.mid generated.wav original.mid original.wav parameters.npz index.html "
    "rolls.png probabilities.png statistics.png cost.png"
).split()


def write_tunes(folder):
    """Write four short tunes between 50 and 62, one step silent in each.

    The lowest note is among them, so that main must leave it in what it generates.
    """
    for n in range(4):
        roll = np.zeros((14 + 3 * n, 12), int)
        steps = np.arange(len(roll))
        roll[steps, (steps * (n + 1)) % 12] = 1
        roll[steps, (steps // 2 + 4) % 12] = 1
        roll[5] = 0
        midiwrite(folder / f"tune{n}.mid", roll, R, DT)


def run_main(*arguments, **environment):
    """Run main.py as a user does; return what came back."""
    root = str(EXAMPLES.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
