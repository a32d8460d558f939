"""Runs of examples/main.py that are stopped, killed or fail, and how they resume."""

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from journeys import (
    EXAMPLES,
    FILES,
    ROOT,
    TINY,
    UPDATES,
    at_update,
    ctrl_c,
    disk_full,
    interrupt,
    load_module,
    save_unfinished,
)
from pages import files_in, page_of

from lstmmusic import RNN4Music

pytestmark = pytest.mark.usefixtures("no_pictures")
LONG = ["--epochs", "120"]
DIE_AT_UPDATE_70 = """
import os, signal, sys
sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]
import journeys, main, pytest

kill = journeys.at_update(70, lambda _: os.kill(os.getpid(), signal.SIGKILL))
kill(pytest.MonkeyPatch())
main.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def whole_run(midi_folder, tmp_path_factory):
    """The folder of a run that was not stopped; its --resume finds no file."""
    out, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    given = ["--midi", midi_folder, "--out", out, *TINY, *LONG, "--resume"]
    with contextlib.redirect_stdout(printed):
        load_module("journey").main(list(map(str, given)))
    missing = f"{out / 'parameters.npz'} does not exist: a new training starts"
    assert missing in printed.getvalue()
    return out


def assert_same_run(first, second):
    """Assert that two output folders hold the same training, bit for bit."""
    with (
        np.load(first / "parameters.npz") as a,
        np.load(second / "parameters.npz") as b,
    ):
        assert a.files == b.files
        for name in set(a.files) - {"trainings"}:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name, strict=True)
        records = [json.loads(file["trainings"].tobytes()) for file in (a, b)]
    commands = [record.pop("command") for (record,) in records]
    assert records[0] == records[1]
    assert not any(command.endswith("--resume") for command in commands)
    for name in ("generated.mid", "generated.wav"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_ctrl_c_leaves_music_and_a_command_that_resumes(
    main, error_of, whole_run, tmp_path, monkeypatch
):
    """Fails if a stopped and resumed run differs in a bit from one that ran through."""
    at_update(13, ctrl_c)(monkeypatch)
    out = tmp_path / "out"
    message, command = error_of(*LONG, code=130).split("; to resume: ")
    saved = out / "parameters.npz"
    assert message == f"main.py: stopped after 13 updates; saved to {saved}"
    assert files_in(out) == set(FILES)
    assert "stopped before its end" in page_of(out)
    assert len(RNN4Music.fromFile(saved).instantaneousCost) == 13

    python, script, *arguments = shlex.split(command)
    assert (python, script) == ("python", "examples/main.py")
    assert arguments[-1] == "--resume"
    main.main(arguments)
    assert_same_run(out, whole_run)
    assert "stopped" not in page_of(out)


def test_epochs_0_counts_as_no_stop(run, whole_run, tmp_path, capsys):
    # Of a file that holds a stopped training. Fails if the run ends with a message.
    stopped = tmp_path / "stopped.npz"
    save_unfinished(whole_run / "parameters.npz", stopped, 70)
    run("--load", stopped, "--epochs", 0)
    assert capsys.readouterr().err == ""


def test_killed_run_resumes_from_its_last_save(main, midi_folder, whole_run, tmp_path):
    arguments = ["--midi", midi_folder, "--out", tmp_path, *TINY, *LONG]
    root = os.environ | {"PYTHONPATH": str(ROOT)}
    places = [EXAMPLES, ROOT / "tests"]
    command = [sys.executable, "-c", DIE_AT_UPDATE_70, *places, *arguments]
    done = subprocess.run(command, env=root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = RNN4Music.fromFile(tmp_path / "parameters.npz")
    assert len(left.instantaneousCost) == 50
    main.main([*map(str, arguments), "--resume"])
    assert_same_run(tmp_path, whole_run)


def test_ctrl_c_after_training_keeps_the_training(
    main, error_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(main, "generate", interrupt)
    assert error_of(code=130).endswith(" --resume\n")
    model = RNN4Music.fromFile(tmp_path / "out" / "parameters.npz")
    assert len(model.instantaneousCost) == UPDATES


def test_ctrl_c_at_the_last_update_stops_nothing(run, tmp_path, monkeypatch):
    at_update(UPDATES, ctrl_c)(monkeypatch)
    run()
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize("more", [[], ["--epochs", "0"], ["--load", "{other}"]])
def test_a_stopped_training_is_not_overwritten(error_of, whole_run, tmp_path, more):
    """Fails if the command without --resume loses the training, or does not say how to
    resume it.  A training that has ended may be overwritten.
    """
    path, ended = tmp_path / "parameters.npz", whole_run / "parameters.npz"
    before = save_unfinished(ended, path, 70).read_bytes()
    more = [word.format(other=ended) for word in more]
    text = error_of("--out", tmp_path, *LONG, *more)
    assert f"{path} holds a training that was stopped after 120 updates" in text
    assert "allowed are --resume" in text
    assert path.read_bytes() == before
    for path in (ended, whole_run / "nothing.npz"):
        load_module("stopping").refuse_to_overwrite(path)


@pytest.mark.parametrize(
    ("arguments", "given", "held"),
    [
        ("--epochs 7", "is 7", "--epochs was 120"),
        ("--rates 1 1 1 1", "[1.0, 1.0, 1.0, 1.0]", "[0.01, 0.01, 0.01, 0.02]"),
        ("--sizes 6 4 3", "[6, 4, 3]", "[5, 4, 3]"),
        ("--length 8", "is 8", "--length was 9"),
        ("--output independent", "is independent", "has joint"),
        ("--dropout 0.25", "is 0.25", "has 0.4"),
        ("--keys 1", "--keys", "was"),
    ],
)
def test_resume_refuses_other_options(error_of, whole_run, arguments, given, held):
    text = error_of(*LONG, *arguments.split(), "--resume", "--out", whole_run)
    assert given in text
    assert held in text


# What cannot go on


def test_divergence_saves_the_weights(main, error_of, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise main.TrainingError("update 7 gave a cost that is not finite")

    monkeypatch.setattr(RNN4Music, "train", fail)
    text, path = error_of(code=1), tmp_path / "out" / "parameters.npz"
    assert "update 7" in text
    assert str(path) in text
    assert RNN4Music.fromFile(path).h1_length == 5


def test_a_training_that_cannot_be_saved_is_said_to_be_lost(
    main, error_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(main, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(np, "savez", disk_full)
    text = error_of(code=1)
    assert text.startswith("main.py: stopped after 1 update; --save is ")
    assert text.endswith(": No space left on device; the training is lost\n")
    assert os.listdir(tmp_path) == []  # the empty output folder is removed too


def test_parameters_that_cannot_be_saved_without_training(
    error_of, journey, monkeypatch
):
    monkeypatch.setattr(np, "savez", disk_full)
    text = error_of("--load", journey[0] / "parameters.npz", "--epochs", 0)
    assert re.fullmatch(
        r"main.py: error: --save is \S*: No space left on device\n", text
    )
