"""Find the code that README.md and docs/ show, and make tunes for it to read."""

import re
from pathlib import Path

import numpy as np

from midi import midiwrite

ROOT = Path(__file__).parents[1]
MODULES = (  # the modules that users import
    "lstmmusic",
    "lstmmusic.datasets",
    "lstmmusic.listening",
    "lstmmusic.plots",
    "lstmmusic.statistics",
    "midi",
)


def blocks(page, language="python"):
    """Return the code blocks of a page, as text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, text, re.MULTILINE | re.DOTALL)


def shorten(code):
    """Make networks of six cells a layer, and trainings of at most three epochs."""
    code = re.sub(r"(h\d_length)=\d+", r"\1=6", code)
    return re.sub(r"(noOfEpoch)=\d+", r"\1=3", code)


def folder_of_tunes(folder, n_tunes=5):
    """Write short tunes to the folder ``tunes`` of a folder; return that folder."""
    (folder / "tunes").mkdir()
    rng = np.random.default_rng(0)
    for n in range(n_tunes):
        roll = np.zeros((30 + n, 88), int)
        for voice in (30, 42, 50):
            roll[np.arange(len(roll)), voice + rng.integers(0, 8, len(roll))] = 1
        midiwrite(folder / "tunes" / f"{n}.mid", roll, (21, 109), 0.3)
    return folder
