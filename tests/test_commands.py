"""Each command that main.py prints works when it is typed, whenever it is printed."""

import contextlib
import errno
import importlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from journeys import EXAMPLES, TINY, run_main

from lstmmusic import RNN4Music
from lstmmusic.training.loop import Training
from lstmmusic.training.state import Position

UPDATES = 6  # of TINY


def interrupt(*_, **__):
    raise KeyboardInterrupt


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def at_update(n, act):
    """Return what makes something happen at the end of update n."""

    def prepare(monkeypatch, _):
        record = Training.record

        def recorded(training, *args):
            record(training, *args)
            if len(training.state.costs) == n:
                act(training.model)

        monkeypatch.setattr(Training, "record", recorded)

    return prepare


def in_place_of(name, act):
    """Return what puts a function in place of another."""
    return lambda monkeypatch, _: monkeypatch.setattr(name, act)


def ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def ctrl_c_twice(*_):
    ctrl_c(), ctrl_c()


def both(*preparations):
    def prepare(monkeypatch, out):
        for each in preparations:
            each(monkeypatch, out)

    return prepare


def disk_is_full_from_update_4(monkeypatch, _):
    monkeypatch.setattr(importlib.import_module("journey"), "EVERY", 1)
    savez = np.savez

    def full(file, **arrays):
        if "out" in file.name and len(arrays["instantaneousCost"]) >= 4:
            no_room()
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)


def folder_vanishes(monkeypatch, out):
    monkeypatch.setattr(importlib.import_module("journey"), "EVERY", 1)
    at_update(4, lambda _: shutil.rmtree(out))(monkeypatch, out)


def generate_on(monkeypatch, _):
    generate = RNN4Music.genMusic

    def lost(*args, **kwargs):
        with contextlib.suppress(KeyboardInterrupt):  # as in a hook of JAX's
            ctrl_c()
        return generate(*args, **kwargs)

    monkeypatch.setattr(RNN4Music, "genMusic", lost)


def no_memory_at_update_5(monkeypatch, _):
    masks, calls = Training.masks, []

    def fifth(*args):
        calls.append(args)
        if len(calls) == 5:
            raise MemoryError("not a byte")
        return masks(*args)

    monkeypatch.setattr(Training, "masks", fifth)


def diverged(model):
    raise importlib.import_module("journey").TrainingError("update 4 gave NaN.")


STATES = {  # what happens: the message, and how many updates there are in the end
    "while reading": (in_place_of("journey.read_tunes", interrupt), "stopped;", 6),
    "before training": (
        in_place_of("lstmmusic.RNN4Music.train", interrupt), "stopped;", 6),
    "at the first update": (
        in_place_of("lstmmusic.training.loop.Training.masks", ctrl_c_twice),
        "stopped;", 6),
    "while training": (at_update(4, ctrl_c), "stopped after 4 updates;", 6),
    "twice": (at_update(4, ctrl_c_twice), "stopped after 4 updates;", 6),
    "generating": (
        in_place_of("journey.generate", interrupt), "after all 6 updates;", 6),
    "generating, where Python loses it": (
        generate_on, "after all 6 updates;", 6),
    "generating after a stop": (
        both(at_update(1, ctrl_c), in_place_of("journey.generate", interrupt)),
        "stopped after 1 update;", 6),
    "writing": (
        in_place_of("results.write_folder", interrupt), "after all 6 updates;", 6),
    "no room for the page": (
        in_place_of("results.write_folder", no_room),
        "files cannot be written .*No space left", 6),
    "no room for the page after a stop": (
        both(at_update(4, ctrl_c), in_place_of("results.write_folder", no_room)),
        "files cannot be written .*No space left", 6),
    "no room for a checkpoint": (
        disk_is_full_from_update_4,
        r"after 4 updates; --save is .*: No space left on device; saved to \S*npz;", 6),
    "no folder": (
        folder_vanishes, r"--save is .*: No such file or directory; saved to \S*npz;", 6
    ),
    "no memory": (
        no_memory_at_update_5,
        r"after 4 updates: there is not enough memory .*--minibatch and --length", 6),
    "divergence": (at_update(4, diverged), "update 4 gave NaN. This goes", 4 + 6),
}  # fmt: skip


@pytest.fixture
def typed(main, midi_folder, tmp_path, monkeypatch, capsys):
    """A function that runs main.py until it ends early, and types what it prints."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out = tmp_path / "out"
    arguments = ["--midi", str(midi_folder), "--out", str(out), *TINY]

    def run(prepare, message, more=()):
        with monkeypatch.context() as patch:
            prepare(patch, out)
            with pytest.raises(SystemExit):
                main.main([*arguments, *more])
        text = capsys.readouterr().err
        assert text.count("\n") == 1 + text.count("can be resumed\n"), text
        assert re.search(message, text), text
        command = text[text.rindex(": python examples/main.py ") :]
        _, _, _, *words = shlex.split(command)
        main.main(words)
        return words

    return run


@pytest.mark.parametrize("state", STATES)
def test_the_printed_command_works(typed, tmp_path, state):
    prepare, message, updates = STATES[state]
    words = typed(prepare, message)
    path = tmp_path / "out" / "parameters.npz"
    if "--save" in words:
        path = words[words.index("--save") + 1]
    assert len(RNN4Music.fromFile(path).instantaneousCost) == updates
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize("state", ["before training", "at the first update", "writing"])
def test_the_printed_command_works_with_load(typed, tmp_path, whole, state):
    prepare, _, _ = STATES[state]
    typed(prepare, "stopped", ["--load", str(whole)])
    model = RNN4Music.fromFile(tmp_path / "out" / "parameters.npz")
    assert len(model.instantaneousCost) == UPDATES + UPDATES


@pytest.fixture(scope="module")
def whole(midi_folder, tmp_path_factory):
    """The parameter file of a run that was not stopped."""
    out = tmp_path_factory.mktemp("whole")
    done = run_main("--midi", midi_folder, "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    return out / "parameters.npz"


def test_ctrl_c_at_the_last_update_stops_nothing(
    main, midi_folder, tmp_path, monkeypatch
):
    at_update(UPDATES, ctrl_c)(monkeypatch, None)
    main.main(["--midi", str(midi_folder), "--out", str(tmp_path), *TINY])
    assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize("state", ["generating", "writing", "no room for the page"])
def test_without_training_the_same_command_works_again(
    typed, main, tmp_path, whole, state
):
    # Also where the file is of a training that was stopped: the copy that the first
    # run saved is none that a second one would lose.
    model = RNN4Music.fromFile(whole)
    model._train_state.position = Position(epoch=3)
    model.saveParameters(tmp_path / "stopped.npz")
    prepare, _, _ = STATES[state]
    load = ["--load", str(tmp_path / "stopped.npz"), "--epochs", "0"]
    words = typed(prepare, "this begins again: ", load)
    assert words[-4:] == load
    main.main(words)


@pytest.mark.parametrize("name", ["parameters.npz", "rolls.png", "cost.png/"])
def test_a_users_own_file_in_the_output_folder_stays(
    main, midi_folder, tmp_path, capsys, name
):
    out = tmp_path / "out"
    out.mkdir()
    if name.endswith("/"):
        (out / name).mkdir()
    else:
        (out / name).write_text("mine")
    with pytest.raises(SystemExit):
        main.main(["--midi", str(midi_folder), "--out", str(out), *TINY])
    text = capsys.readouterr().err
    assert "would be written over" in text
    assert name.rstrip("/") in text
    assert os.listdir(out) == [name.rstrip("/")]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_streams_that_are_closed_cost_no_work(midi_folder, tmp_path, closed):
    words = [sys.executable, EXAMPLES / "main.py", "--midi", midi_folder]
    words += ["--out", tmp_path / "out", *TINY]
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(map(str, words))} {closed}"],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "index.html").is_file()


def test_what_was_trained_is_not_written_over_by_what_was_not(
    main, midi_folder, tmp_path, whole, capsys
):
    path = tmp_path / "parameters.npz"
    shutil.copy(whole, path)
    arguments = [*TINY, "--out", str(tmp_path), "--epochs", "0"]
    with pytest.raises(SystemExit):
        main.main(["--midi", str(midi_folder), *arguments])
    text = capsys.readouterr().err
    assert f"{path} would be written over by a network that is not trained" in text
    assert path.read_bytes() == whole.read_bytes()


def test_a_training_that_is_nowhere_to_be_saved_is_said_to_be_lost(
    main, midi_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(main, "EVERY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(np, "savez", no_room)
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path / "out"), *TINY])
    assert exit_.value.code == 1
    text = capsys.readouterr().err
    assert text.startswith("main.py: stopped after 1 update; --save is ")
    assert text.endswith(": No space left on device; what was learnt is lost\n")
    assert os.listdir(tmp_path) == []  # nor is an empty output folder left


def test_no_room_for_the_parameters_without_training(
    main, midi_folder, tmp_path, whole, monkeypatch, capsys
):
    monkeypatch.setattr(np, "savez", no_room)
    arguments = ["--load", str(whole), "--epochs", "0", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main.main(["--midi", str(midi_folder), *TINY, *arguments])
    assert re.fullmatch(
        r"main.py: error: --save is \S*: No space left on device\n",
        capsys.readouterr().err,
    )


# Odd names, readers that go, interruptions at any time


def test_commands_of_odd_names_are_typed_as_they_are(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    command = importlib.import_module("command")
    words = [
        "printf",
        "%s|",
        "caf\udce9",
        "a b",
        "it's",
        "",
        "$x",
        "\n\t",
        "é",
        "\\",
        "'\x01",
    ]
    line = command.as_typed(words)
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"|".join(map(os.fsencode, [*words[2:], ""]))


def test_only_resume_is_taken_out(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    command = importlib.import_module("command")
    words = [
        "main.py",
        "--res",
        "--range",
        "1",
        "--resume",
        "--out",
        "a --resume",
        "--r",
    ]
    left = ["main.py", "--range", "1", "--out", "a --resume", "--r"]
    assert command.without_resume(words) == left


def test_a_reader_that_goes_costs_no_work(midi_folder, tmp_path):
    # `main.py … | head -1`. Fails on a traceback, or if the run ends with its reader.
    arguments = ["--midi", midi_folder, "--out", tmp_path / "out", *TINY]
    with subprocess.Popen(
        [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_an_output_that_is_full_costs_no_work(midi_folder, tmp_path):
    arguments = ["--midi", midi_folder, "--out", tmp_path / "out", *TINY]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out" / "index.html").is_file()


def test_help_whose_reader_has_gone():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "main.py", "--help"],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


CTRL_C_WHILE_IMPORTING = """
import signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "lstmmusic":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.path.insert(0, sys.argv.pop(1))
import main
main.main()
"""


def test_ctrl_c_while_importing_is_one_line():
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_WHILE_IMPORTING, EXAMPLES],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "main.py: stopped\n")


@pytest.mark.parametrize("arguments", ["--minibatch 99", "--midi /no/such/folder"])
def test_a_run_that_fails_leaves_no_folder(main, midi_folder, tmp_path, arguments):
    out = tmp_path / "new" / "out"
    with pytest.raises(SystemExit):
        main.main(["--midi", str(midi_folder), "--out", str(out), *arguments.split()])
    assert os.listdir(tmp_path) == []
    (tmp_path / "own").mkdir()
    with pytest.raises(SystemExit):
        main.main(["--midi", "/no", "--out", str(tmp_path / "own")])
    assert (tmp_path / "own").is_dir(), "a folder that was there is no run's to remove"


@pytest.mark.parametrize("option", ["--midi", "--load", "--save", "--out"])
def test_an_empty_path_is_refused(main, midi_folder, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path), option, ""])
    assert exit_.value.code == 2
    assert f"argument {option}: ''; allowed is " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--load {tmp}/nofile.npz", "--load is {tmp}/nofile.npz: No such file or dir"),
        ("--save {tmp}", "--save is '{tmp}', but '{tmp}.npz' is a folder"),
        ("--save {tmp}/", "argument --save: '{tmp}/'; allowed is the path of a file"),
        ("--save {tmp}/.", "argument --save: '{tmp}/.'; allowed is the path of a file"),
        ("--load {tmp}/", "argument --load: '{tmp}/'; allowed is the path of a file"),
        ("--save /dev/full", "--save is '/dev/full', but '/dev/full' is no regular"),
        ("--out /dev/null/a", "--out is /dev/null/a: Not a directory"),
        ("--resume --save {whole} --length 8", "--length was 9, is 8"),
    ],
)
def test_errors_speak_of_options(
    main, midi_folder, tmp_path, whole, capsys, arguments, message
):
    names = {"tmp": tmp_path / "tmp", "whole": whole}
    for name in ("tmp", "tmp.npz"):
        (tmp_path / name).mkdir()
    arguments = arguments.format(**names).split()
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), *TINY, *out, *arguments])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert message.format(**names) in text
    assert "PosixPath" not in text
    assert text.count("\n") == 1


def test_errors_of_training_speak_of_options_too(
    main, midi_folder, tmp_path, capsys, monkeypatch
):
    rates = ["--rates", *4 * ["1e7"], "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        main.main(["--midi", str(midi_folder), *TINY, *rates])
    text = capsys.readouterr().err
    assert "Smaller --rates (they are 1e+07, 1e+07, 1e+07, 1e+07) may help. " in text
    main.warn_in_options("training may be diverging. Smaller rates (R1, R2, R3, Rout "
                         "are 1, 2, 3, 4) or a smaller gradClip may help.")  # fmt: skip
    assert capsys.readouterr().err == (
        "main.py: training may be diverging. Smaller --rates (they are 1, 2, 3, 4) "
        "may help.\n"
    )


def test_a_second_run_knows_what_the_first_one_trained_on(
    main, midi_folder, whole, tmp_path
):
    # The first, with seed 1, kept one of the four tunes apart; others keep another.
    page, found = tmp_path / "index.html", {}
    for seed in range(1, 30):
        chosen = np.random.default_rng(seed).integers(4)
        if chosen not in found:  # one run for each tune
            load = ["--load", str(whole), "--epochs", "0", "--seed", str(seed)]
            arguments = [*TINY, "--out", str(tmp_path), *load]
            main.main(["--midi", str(midi_folder), *arguments])
            found[chosen] = "among the tunes trained on" in page.read_text("utf-8")
    kept_apart = np.random.default_rng(1).integers(4)
    assert found == {n: n != kept_apart for n in range(4)}
    assert "cost per step: 8.54 nats" in page.read_text("utf-8")
    main.main(["--midi", str(midi_folder), *arguments, "--length", "5"])
    assert "cost per step: 8.54 nats" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--length 100000000", r"--length is 100000000; training with it needs about"),
        ("--sizes 65536 4 4 --range 0 128", "the first of --sizes is 65536; the net"),
    ],
)
def test_what_needs_too_much_memory_is_refused_by_its_option(
    main, midi_folder, tmp_path, monkeypatch, capsys, arguments, message
):
    freememory = importlib.import_module("lstmmusic.engine.free_memory")
    monkeypatch.setattr(freememory, "free", lambda: 2**30)
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), *TINY, *out, *arguments.split()])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith(f"main.py: error: {message}")
    assert re.search(r", and 1.07 GB are free; at most \d+ fits\n", text)
    assert os.listdir(tmp_path) == []
