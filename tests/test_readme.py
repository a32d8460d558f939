"""What the README shows is run; what it promises about files is looked at."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from midi.utils import midiread, midiwrite, read_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the folder ``tunes`` of five short tunes in it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "tunes").mkdir()
    rng = np.random.default_rng(0)
    for n in range(5):
        roll = np.zeros((30 + n, 88), int)
        for voice in (30, 42, 50):
            roll[np.arange(len(roll)), voice + rng.integers(0, 8, len(roll))] = 1
        midiwrite(folder / "tunes" / f"{n}.mid", roll, (21, 109), 0.3)
    return folder


def test_ten_lines_from_midi_to_music(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = [line for line in PYTHON[0].splitlines() if line]
    assert len(lines) == 10
    names = {}
    exec(PYTHON[0], names)
    assert names["tune"].shape == names["probabilities"].shape == (300, 88)
    assert len(names["model"].instantaneousCost) == 100
    assert names["model"].fromFile("parameters.npz").loss == names["model"].loss
    written = midiread("generated.mid", (21, 109), 0.3, steps=300).piano_roll
    assert np.array_equal(written, names["tune"])
    assert Path("generated.png").read_bytes().startswith(b"\x89PNG")


def test_training_in_earnest(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = {"tunes": read_folder("tunes", r=(21, 109), dt=0.3)}
    exec(PYTHON[1], names)
    model = names["model"]
    assert len(names["train"]) == 21
    assert len(model.instantaneousCost) == 3 * len(model.validationCost)
    best = min(nll for _, nll in model.validationCost)
    assert model.evaluate(names["valid"]).nll == pytest.approx(best)
    assert f"nll {best:.4f}" in capsys.readouterr().out
    assert Path("checkpoint.npz").is_file()


def test_old_script_in_its_new_form(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(PYTHON[2], names)
    assert len(PYTHON) == 3, "the README has Python that no test runs"
    assert names["dataset"][0].dtype == names["theano"].config.floatX
    assert len(names["myRNN4Music"].instantaneousCost) == 20
    assert Path("old.mid").is_file()


def test_ci_runs_the_test_command_of_the_readme():
    """Fails if .ci/run no longer finds it: grep's pattern is taken from the script."""
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -m1 '(.*)' README\.md", script)[1]
    (command,) = (line for line in README.splitlines() if re.match(pattern, line))
    assert command == SHELL[1]
    assert len(SHELL) == 2
    for command in SHELL:
        assert "\n" not in command
        assert re.match(r"python3 -m venv (\S+) && \1/bin/pip install -e ", command)


def test_the_first_command_runs_main():
    assert SHELL[0].endswith(".venv/bin/python examples/main.py")
    assert (ROOT / "examples" / "main.py").is_file()


def test_ci_script_is_sound_shell():
    done = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False)
    assert done.returncode == 0


def test_every_file_is_named():
    """Fails if a module of the library is missing in the table, or one is not there."""
    modules = {
        file.name for file in (ROOT / "lstmmusic").rglob("*.py") if file.stem[0] != "_"
    }
    table = README.split("## What each file holds")[1].split("\n## ")[0]
    named = set(re.findall(r"(\w+\.py)", table))
    in_examples = {file.name for file in (ROOT / "examples").glob("*.py")}
    assert named - in_examples == modules
    assert in_examples <= named


def test_every_departure_has_its_row_and_its_tag_in_the_code():
    rows = re.findall(r"^\| (D\d+) \|.*\| (.+) \|$", README, re.MULTILINE)
    assert [tag for tag, _ in rows] == [f"D{n}" for n in range(1, 13)]
    code = "".join(
        file.read_text(encoding="utf-8")
        for room in ("lstmmusic", "midi")
        for file in (ROOT / room).rglob("*.py")
    )
    for tag, test in rows:
        assert re.search(rf"\b{tag}\b", code), f"{tag} stands nowhere in the code"
        file, name = re.fullmatch(r"`(test_\w+\.py)`: `(test_\w+)`", test).groups()
        tests = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {name}(" in tests, f"{tag}: tests/{file} has no {name}"


def test_picture_is_there_and_small():
    (path,) = re.findall(r"!\[[^]]*\]\((.*?)\)", README)
    picture = (ROOT / path).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000
