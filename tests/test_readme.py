"""Run what the README shows, and check what it says of files."""

import re
import subprocess

import numpy as np
import pytest
from shown import ROOT, blocks, folder_of_tunes

import lstmmusic
from midi import midiread

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = blocks("README.md")
SHELL = [block.strip() for block in blocks("README.md", "sh")]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_tunes(tmp_path_factory.mktemp("readme"))


def test_ten_lines_from_midi_to_music(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    lines = [line for line in PYTHON[0].splitlines() if line]
    assert len(lines) == 10
    assert len(PYTHON) == 1, "the README has Python that no test runs"
    names = {}
    exec(PYTHON[0], names)
    assert names["tune"].shape == names["probabilities"].shape == (300, 88)
    assert len(names["model"].instantaneousCost) == 100
    assert names["model"].fromFile("parameters.npz").loss == names["model"].loss
    written = midiread("generated.mid", dt=0.5, unit="beats", steps=300).piano_roll
    assert np.array_equal(written, names["tune"])
    assert "distance" in capsys.readouterr().out


def test_it_is_short_and_says_first_what_counts():
    """Fails if it grows over 150 lines, or buries what a visitor asks first."""
    lines = README.splitlines()
    assert len(lines) <= 150
    first_screen = "\n".join(lines[:45])
    for wanted in (
        "cannot",
        "generated.png",
        "generated.mid",
        "generated.mp3",
        "56 of its 57 weight arrays",
        "--midi FOLDER",
        "Windows",
        *SHELL[:2],
    ):
        assert wanted in first_screen


def test_ci_runs_the_test_command_of_the_readme():
    """Fails if .ci/run no longer finds it: grep's pattern is taken from the script."""
    pattern = re.search(r"grep -m1 '(.*)' README\.md", CI)[1]
    (command,) = (line for line in README.splitlines() if re.match(pattern, line))
    assert command == SHELL[1]
    for command in SHELL[:2]:
        assert "\n" not in command
        assert re.match(r"python3 -m venv (\S+) && \1/bin/pip install -e ", command)


def test_ci_runs_what_the_command_leaves_out():
    """Fails if a test could run in neither of the two."""
    assert SHELL[1].endswith("-m pytest -m 'not slow'")
    assert ".venv-test/bin/python -m pytest -m 'slow and not long'" in CI


def test_ci_and_pre_commit_check_the_same():
    hooks = re.findall("entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert len(hooks) == 3
    assert re.findall(r"^\.venv-test/bin/((?:ruff|mypy).*)$", CI, re.MULTILINE) == hooks


def test_the_first_command_runs_main():
    assert SHELL[0].endswith(".venv/bin/python examples/main.py")
    assert (ROOT / "examples" / "main.py").is_file()


def test_every_option_named_is_one_of_main():
    options = (ROOT / "examples" / "options.py").read_text(encoding="utf-8")
    named = {n for n in re.findall(r"[ `](--[a-z-]+)", README) if n != "--seeds"}
    assert len(named) > 4
    assert [
        name for name in sorted(named - {"--help"}) if f'"{name}"' not in options
    ] == []


def test_ci_script_is_sound_shell():
    done = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False)
    assert done.returncode == 0


def test_every_link_leads_to_a_file():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)]+)\)", text)
        files = [link for link in links if not link.startswith("https://")]
        assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_file_is_named():
    """Fails if a module of the library is missing in the table, or one is not there."""
    modules = {
        file.name
        for package in ("lstmmusic", "midi")
        for file in (ROOT / package).rglob("*.py")
        if file.stem[0] != "_"
    }
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## What each file holds")[1].split("\n## ")[0]
    named = set(re.findall(r"(\w+\.py)", table))
    in_examples = {file.name for file in (ROOT / "examples").glob("*.py")}
    assert named - in_examples == modules
    assert in_examples <= named


def test_every_departure_has_its_row_and_its_tag_in_the_code():
    page = ROOT / "docs" / "explanation" / "departures.md"
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (D\d+) \|.*\| (.+) \|$", text, re.MULTILINE)
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


def test_citation_names_this_version():
    assert f"version = {{{lstmmusic.__version__}}}" in README


def test_pictures_are_there_and_small():
    paths = re.findall(r"!\[[^]]*\]\((.*?)\)", README)
    assert len(paths) == 2
    for path in paths:
        picture = (ROOT / path).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 100_000


def test_music_is_there_small_and_as_long_as_the_picture_says():
    path = ROOT / "docs" / "generated.mid"
    assert path.stat().st_size < 20_000
    tune = midiread(path, (21, 109), 0.5, unit="beats")
    assert 290 <= len(tune.piano_roll) <= 300


def test_sound_is_there_small_and_of_30_s():
    soundfile = pytest.importorskip("soundfile", reason="it reads MP3")
    path = ROOT / "docs" / "generated.mp3"
    assert path.stat().st_size < 300_000
    assert 29.9 < soundfile.info(path).duration < 30.2
