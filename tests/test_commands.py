"""Each command that main.py prints works when it is typed, whenever it is printed."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
from journeys import (
    UPDATES,
    at_update,
    before_update,
    ctrl_c,
    disk_full,
    interrupt,
    load_module,
    save_unfinished,
)

from lstmmusic import RNN4Music

pytestmark = pytest.mark.usefixtures("no_pictures", "no_sounds")


def in_place_of(name, act):
    """Return a function that patches another to be ``act``."""
    return lambda monkeypatch, _: monkeypatch.setattr(name, act)


def ctrl_c_twice(*_):
    ctrl_c(), ctrl_c()


def both(*preparations):
    """Return a function that makes several preparations."""

    def prepare(monkeypatch, out):
        for each in preparations:
            each(monkeypatch, out)

    return prepare


def disk_is_full_from_update_4(monkeypatch, _):
    monkeypatch.setattr(load_module("journey"), "CHECKPOINT_EVERY", 1)
    savez = np.savez

    def full(file, **arrays):
        if "out" in file.name and len(arrays["instantaneousCost"]) >= 4:
            disk_full()
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)


def folder_vanishes(monkeypatch, out):
    monkeypatch.setattr(load_module("journey"), "CHECKPOINT_EVERY", 1)
    at_update(4, lambda _: shutil.rmtree(out))(monkeypatch, out)


def generate_on(monkeypatch, _):
    generate = RNN4Music.genMusic

    def lost(*args, **kwargs):
        with contextlib.suppress(KeyboardInterrupt):  # as JAX's hook does
            ctrl_c()
        return generate(*args, **kwargs)

    monkeypatch.setattr(RNN4Music, "genMusic", lost)


def no_memory():
    raise MemoryError("not a byte")


def diverged(model):
    raise load_module("journey").TrainingError("update 4 gave NaN.")


STOPPED = {  # by Ctrl-C: what is patched, the message
    "while reading": (in_place_of("journey.read_tunes", interrupt), "stopped;"),
    "before training": (
        in_place_of("lstmmusic.RNN4Music.train", interrupt), "stopped;"),
    "at the first update": (before_update(1, ctrl_c_twice), "stopped;"),
    "while training": (at_update(4, ctrl_c), "stopped after 4 updates;"),
    "twice": (at_update(4, ctrl_c_twice), "stopped after 4 updates;"),
    "generating": (in_place_of("journey.generate", interrupt), "after all 6 updates;"),
    "generating, where Python loses it": (generate_on, "after all 6 updates;"),
    "generating after a stop": (
        both(at_update(1, ctrl_c), in_place_of("journey.generate", interrupt)),
        "stopped after 1 update;"),
    "writing": (in_place_of("results.write_folder", interrupt), "after all 6 updates;"),
}  # fmt: skip
FAILED = {  # with exit code 1
    "no room for the page": (
        in_place_of("results.write_folder", disk_full),
        "files cannot be written .*No space left"),
    "no room for the page after a stop": (
        both(at_update(4, ctrl_c), in_place_of("results.write_folder", disk_full)),
        "files cannot be written .*No space left"),
    "no room for a checkpoint": (
        disk_is_full_from_update_4,
        r"after 4 updates; --save is .*: No space left on device; saved to \S*npz;"),
    "no folder": (
        folder_vanishes, r"--save is .*: No such file or directory; saved to \S*npz;"),
    "no memory": (
        before_update(5, no_memory),
        r"after 4 updates: there is not enough memory .*--minibatch and --length"),
    "divergence": (at_update(4, diverged), "update 4 gave NaN. To go on"),
}  # fmt: skip


@pytest.fixture
def typed(main, error_of, tmp_path, monkeypatch):
    """Return a function that runs main.py to an early end, and types what it prints."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run_and_type(state, *more, message=None):
        prepare, usual_message = (STOPPED | FAILED)[state]
        with monkeypatch.context() as patch:
            prepare(patch, tmp_path / "out")
            text = error_of(*more, code=130 if state in STOPPED else 1)
        assert re.search(message or usual_message, text), text
        command = text[text.rindex(": python examples/main.py ") :]
        _, _, _, *words = shlex.split(command)
        main.main(words)
        return words

    return run_and_type


@pytest.mark.parametrize("state", [*STOPPED, *FAILED])
def test_the_printed_command_works(typed, tmp_path, state):
    words = typed(state)
    path = tmp_path / "out" / "parameters.npz"
    if "--save" in words:
        path = words[words.index("--save") + 1]
    # After a divergence a new training follows the four updates of the first.
    before = 4 if state == "divergence" else 0
    assert len(RNN4Music.fromFile(path).instantaneousCost) == before + UPDATES
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize("state", ["before training", "at the first update", "writing"])
def test_the_printed_command_works_with_load(typed, tmp_path, journey, state):
    typed(state, "--load", journey[0] / "parameters.npz", message="stopped")
    model = RNN4Music.fromFile(tmp_path / "out" / "parameters.npz")
    assert len(model.instantaneousCost) == UPDATES + UPDATES


@pytest.mark.parametrize("state", ["generating", "writing", "no room for the page"])
def test_the_same_command_works_again_without_training(
    typed, main, tmp_path, journey, state
):
    # Also with the file of a stopped training: a second run overwrites the copy that
    # the first one saved, by which nothing is lost.
    stopped = tmp_path / "stopped.npz"
    save_unfinished(journey[0] / "parameters.npz", stopped, 3)
    load = ["--load", str(stopped), "--epochs", "0"]
    words = typed(state, *load, message="to start again: ")
    assert words[-4:] == load
    main.main(words)


def test_odd_names_are_quoted_for_the_shell():
    words = ["printf", "%s|", "caf\udce9", "a b", "it's", "", "$x", "\n\t", "é", "\\"]
    words.append("'\x01")
    line = load_module("command").join_words(words)
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"|".join(map(os.fsencode, [*words[2:], ""]))


def test_only_resume_is_dropped():
    words = ["main.py", "--res", "--range", "1", "--resume", "--out", "a --resume"]
    left = ["main.py", "--range", "1", "--out", "a --resume", "--r"]
    assert load_module("command").without_resume([*words, "--r"]) == left
