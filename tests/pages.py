"""Results of main.py without a run: models, tunes and pages for tests of the page."""

import html
import os
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes

import numpy as np
from journeys import DT, SECONDS, R, load_module, parse

from midi import RollArray
from midi.utils import midiread, midiwrite

STEPS = 30


def make_model(**attributes):
    """Return what the page reads of a trained network."""
    training = {
        "command": "main.py <first>",
        "updates": 60,
        "R1": 0.01,
        "lengthOfMB": 9,
    }
    defaults = {
        "cost": "cross-entropy",
        "costPerStep": [10 / (n + 1) for n in range(60)],
        "trainingOver": True,
        "trainings": [training],
        "wasTrainedOn": lambda tune: False,
    }
    return SimpleNamespace(**defaults | attributes)


def make_roll(steps=STEPS):
    """Return a random roll in which a quarter of the notes sound."""
    return np.random.default_rng(0).choice([0, 0, 0, 1], (steps, 12))


def make_original(roll, name="tune.mid"):
    """Return a roll as `midiread` returns it from a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        midiwrite(Path(folder, name), roll, R, DT)
        return midiread(Path(folder, name), R, DT, steps=len(roll))


def write(folder, model=None, temperatures=("1",), roll=None, arguments=(), name="t"):
    """Write a page of tunes made from a roll; return the lines to print.

    The first tune is the roll, each further one lacks five more of its steps and has a
    warning.  The lowest note has a probability everywhere.
    """
    roll = make_roll() if roll is None else roll
    probabilities = roll / 2
    probabilities[:, 0] = 0.1
    generated = {
        temperature: (roll[5 * n :], probabilities[5 * n :], ["it got <stuck>"] * n)
        for n, temperature in enumerate(temperatures)
    }
    original = make_original(roll, name)
    return write_tunes(folder, [original, original], generated, arguments, model)


def write_tunes(folder, tunes, generated, arguments=(), model=None):
    """Write a page of generated tunes, the first of ``tunes`` being the original."""
    main, results = load_module("journey"), load_module("results")
    typed = ["--out", str(folder), *SECONDS, *arguments]
    options = parse(*typed)
    options.save = options.save or folder / "parameters.npz"
    options.command = main.join_words(main.typed_words(typed))
    original, *dataset = tunes
    made = {
        name: main.Generated(RollArray.of(np.asarray(roll), options.format), *others)
        for name, (roll, *others) in generated.items()
    }
    return results.write_results(
        model or make_model(), original, dataset, made, options
    )


def page_of(folder):
    """Return a folder's page as HTML."""
    return (folder / "index.html").read_bytes().decode()


def words(page):
    """Return the text of a page."""
    return html.unescape(re.sub("<[^>]*>", " ", page.split("<body>")[1]))


def named(page):
    """Return the names of the files that a page shows or links to."""
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    return {os.fsdecode(unquote_to_bytes(link)) for link in links if link != "data:,"}


def files_in(folder):
    """Return the names of the files in a folder."""
    return {file.name for file in folder.iterdir()}
