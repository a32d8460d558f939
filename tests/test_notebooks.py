"""The notebooks of examples/: their stored form, and small runs from start to end."""

import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from midi.utils import midiwrite

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SMALL = {
    "from-midi-to-music": {"sizes": (6, 5, 4), "epochs": 3, "steps": 24},
    "saving-loading-comparing": {
        "sizes": {"small": (3, 3, 3), "large": (6, 5, 4)},
        "epochs": 3,
        "steps": 24,
    },
    "inside-the-network": {"sizes": (6, 5, 4), "epochs": 3},
}
# Pictures, players, and parts of the text.
EXPECTED = {
    "from-midi-to-music": (5, 3, ["10 tunes", "nats per step", "'generated.wav'"]),
    "saving-loading-comparing": (
        4,
        2,
        [
            "8 tunes to train on, 2 held out",
            "3 updates before, 3 after",
            "same probabilities: True",
            "same music:         True",
            "the large one is better on",
        ],
    ),
    "inside-the-network": (
        4,
        0,
        [
            "pieces to train on: 9, tunes held out: 1",
            "joint: cell ",
            "R² of the beat",
            "independent: 0% from the chord",
            " nats of ",
        ],
    ),
}


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    """Return a folder of ten short tunes."""
    folder = tmp_path_factory.mktemp("tunes")
    rng = np.random.default_rng(0)
    for n in range(10):
        roll = np.zeros((30 + 4 * (n % 2), 88), int)  # each length compiles anew
        for voice in (30, 42, 50):
            roll[np.arange(len(roll)), voice + rng.integers(0, 8, len(roll))] = 1
        midiwrite(folder / f"{n}.mid", roll, (21, 109), 0.3)
    return folder


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_is_stored_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs_from_start_to_end(file, tunes, tmp_path, monkeypatch):
    """Fails if a cell fails or warns, or if a picture or a player is missing."""
    notebook = nbformat.read(file, as_version=4)
    make_small(notebook, SMALL[file.stem] | {"folder": str(tunes)})
    paths = map(str, (ROOT, ROOT / "examples"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    data = [output.data for output in outputs if "data" in output]
    text = "".join(output.get("text", "") for output in outputs)
    text += "".join(item.get("text/plain", "") for item in data)
    pictures, players, wanted = EXPECTED[file.stem]
    assert sum("image/png" in item for item in data) == pictures
    assert sum("<audio" in item.get("text/html", "") for item in data) == players
    for part in wanted:
        assert part in text


def make_small(notebook, values):
    """Add a cell with other values after the one tagged ``parameters``.

    It also turns warnings into errors, as this suite does.
    """
    (place,) = (
        n
        for n, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    )
    lines = notebook.cells[place].source.splitlines()
    assert {line.split(" = ")[0] for line in lines} == values.keys()
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    lines += ["import warnings", "warnings.simplefilter('error')"]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
