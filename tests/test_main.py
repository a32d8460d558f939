"""The whole journey of examples/main.py, as a user runs it."""

import html
import re
import shlex
import sys
import wave

import numpy as np
import pytest
from journeys import DT, EXAMPLES, FILES, TINY, UPDATES, R
from pages import page_of

from lstmmusic import RNN4Music
from midi.utils import midiread


def test_journey_writes_all_files_and_names_the_page(journey):
    out, done = journey
    assert sorted(file.name for file in out.iterdir()) == sorted(FILES)
    for name in FILES:
        if name.endswith(".png"):
            assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), name
    lines = done.stdout.splitlines()
    assert lines[-1] == f"to see and hear it: {(out / 'index.html').resolve().as_uri()}"
    assert "cost per step: " in done.stdout
    assert "% of the chords in the training data\n" in done.stdout
    assert "\ntraining data: " in done.stdout


def test_sound_is_as_long_as_the_music(journey, midi_folder):
    """Fails if a WAV file is of another tune or another time grid."""
    out, _ = journey
    roll = midiread(out / "original.mid", R, DT).piano_roll
    tunes = [midiread(file, R, DT).piano_roll for file in midi_folder.iterdir()]
    assert any(np.array_equal(roll, tune) for tune in tunes)
    for name, steps in (("original", len(roll)), ("generated", 30)):
        with wave.open(str(out / f"{name}.wav")) as file:
            assert file.getnframes() == steps * DT * file.getframerate(), name


def test_page_shows_the_command_of_the_run(journey, midi_folder):
    """Fails if the command differs from the one that ran, in its quotes too."""
    out, _ = journey
    page = page_of(out)
    _, repeat = page.split("To repeat this")
    command = html.unescape(re.search("<pre>(.*?)</pre>", repeat, re.DOTALL)[1])
    typed = [sys.executable, EXAMPLES / "main.py", "--midi", midi_folder, "--out", out]
    assert shlex.split(command) == [*map(str, typed), *TINY]
    cells = dict(re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", repeat))
    assert cells["--seed"] == "1"
    assert cells["--temperature"] == "1.0"
    assert cells["--rates"] == "0.01 0.01 0.01 0.02"
    assert "4 tunes, 74 steps, SHA-256 " in cells["data"]
    assert "--ranks" not in cells, "an attribute that main.py added"
    assert "12 notes" in cells["network"]
    for package in ("Python", "lstmmusic", "numpy", "pytensor", "pretty_midi"):
        assert re.search(rf"\b{package} \d", cells["versions"]), package


def test_page_uses_the_files_beside_it_alone(journey):
    """Fails if the page needs the network, a script's file, or a missing file."""
    out, _ = journey
    page = page_of(out)
    named = set(re.findall(r'(?:src|href)="(.*?)"', page)) - {"data:,"}
    assert named == set(FILES) - {"index.html"}
    assert re.findall("<script[^>]*>", page) == ["<script>"]
    assert "http" not in page


def test_journey_takes_its_options(journey):
    """Fails if an option has no effect."""
    out, _ = journey
    roll = midiread(out / "generated.mid", R, DT).piano_roll
    assert 1 <= len(roll) <= 30
    assert roll[:, 0].any(), "the lowest note, which the tunes have, is missing"
    model = RNN4Music.fromFile(out / "parameters.npz")
    assert (model.output, model.noteOrder) == ("joint", "down")
    assert model.h_lengths == (5, 4, 3)
    assert (model.io_length, model.restruck) == (24, True)
    assert (model.rollFormat.r, model.rollFormat.dt) == (R, DT)
    assert (model.R1, model.Rout) == (0.01, 0.02)
    assert model.genProbThreshold == 0
    assert len(model.instantaneousCost) == UPDATES


@pytest.mark.usefixtures("no_pictures")
def test_load_without_epochs_only_generates(journey, run, tmp_path):
    """Fails if --load starts with other weights, or if --epochs 0 trains."""
    out, saved = journey[0], tmp_path / "again.npz"
    run("--load", out / "parameters.npz", "--save", saved, "--epochs", 0)
    before = RNN4Music.fromFile(out / "parameters.npz")
    after = RNN4Music.fromFile(saved)
    assert after.instantaneousCost == before.instantaneousCost
    for name, value in before.parameters().items():
        assert np.array_equal(value, after.parameters()[name]), name
    first, second = (
        (folder / "generated.mid").read_bytes() for folder in (out, tmp_path / "out")
    )
    assert first == second, "same weights, same seed, but other music"


@pytest.mark.usefixtures("no_pictures")
def test_a_second_run_knows_what_the_first_one_trained_on(journey, run, tmp_path):
    # The first, with seed 1, kept one of the four tunes out; other seeds keep another.
    load = ["--load", journey[0] / "parameters.npz", "--epochs", 0]
    kept_out = {int(np.random.default_rng(s).integers(4)): s for s in range(29, 0, -1)}
    trained_on = {}
    for tune, seed in kept_out.items():
        run(*load, "--seed", seed)
        page = page_of(tmp_path / "out")
        trained_on[tune] = "among the tunes trained on" in page
    assert trained_on == {n: kept_out[n] != 1 for n in range(4)}
    first = RNN4Music.fromFile(load[1]).costPerStep[0]
    assert f"cost per step: {first:.2f} nats at first" in page
    run(*load, "--length", "5")  # other pieces of the same tunes
    assert f"cost per step: {first:.2f} nats at first" in page_of(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_independent_notes_are_taken_up_as_joint_ones(run, tmp_path):
    """Fails if ``--output joint`` begins anew, or is not what is trained."""
    first, second = (tmp_path / name for name in ("first.npz", "second.npz"))
    run("--output", "independent", "--save", first, "--keys", 0)
    load = ["--load", first, "--output", "joint", "--joint-units", 3]
    run(*load, "--save", second)
    before, after = map(RNN4Music.fromFile, (first, second))
    assert (before.output, after.output) == ("independent", "joint")
    assert (after.jointUnits, after.noteOrder) == (3, "down")
    assert len(after.instantaneousCost) == 2 * UPDATES
    assert after.instantaneousCost[:UPDATES] == before.instantaneousCost
    run("--load", first, "--save", second)
    assert RNN4Music.fromFile(second).output == "independent"
