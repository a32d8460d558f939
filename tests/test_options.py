"""Options of examples/main.py: what is refused, and in which words."""

import os
import re
import shutil
import sys

import pytest
from journeys import load_module, run_main

from lstmmusic.training import free_memory


@pytest.mark.parametrize(
    ("arguments", "given", "allowed"),
    [
        ("--dt -1", "-1", "from 0.0001"),
        ("--dt nan", "nan", "from 0.0001"),
        ("--dt soon", "soon", "from 0.0001"),
        ("--sizes 5 0 3", "0", "whole numbers from 1"),
        ("--sizes 5 4", "--sizes", "3 arguments"),
        ("--rates 1 1 1 0", "'0'", "numbers from 1e-12"),
        ("--range 60 50", "60 50", "LOW below HIGH"),
        ("--range 60 129", "129", "from 0 to 128"),
        ("--epochs -1", "-1", "whole numbers from 0"),
        ("--minibatch 1000", "1000", "allowed are 1 to"),
        ("--length 1", "'1'", "whole numbers from 2"),
        ("--primer 0", "'0'", "whole numbers from 1"),
        ("--steps 2.5", "2.5", "whole numbers from 1"),
        ("--steps 90000 --dt 1", "90000", "24 hours"),
        ("--threshold 1.5", "1.5", "from 0 to 1"),
        ("--temperature 1 -0.5", "-0.5", "finite numbers from 0"),
        ("--temperature inf", "inf", "finite numbers from 0"),
        ("--temperature", "--temperature", "at least one argument"),
        ("--max-notes 0", "'0'", "whole numbers from 1"),
        ("--output both", "'both'", "independent"),
        ("--joint-units -1", "'-1'", "whole numbers from 0"),
        ("--note-order sideways", "'sideways'", "up"),
        ("--dropout 1", "'1'", "from 0 to 0.99"),
        ("--keys 12", "'12'", "from 0 to 11"),
        ("--range 60 70 --keys 1", "shape", "at least 12 notes"),
        ("--cost squared-error", "squared-error", "with --output joint is 'cross"),
        ("--resume --load /no/such/file", "/no/such/file", "No such file"),
        ("--cost entropy", "entropy", "cross-entropy"),
        ("--mode C", "'C'", "JAX"),
        ("--seed -3", "-3", "whole numbers from 0"),
        ("--midi /no/such/folder", "/no/such/folder", "No such file"),
        ("--load /no/such/file", "/no/such/file", "No such file"),
        ("--load {folder}/tune0.mid", "tune0.mid", "parameter file"),
        ("--save /no/such/folder/file", "/no/such/folder/file", "that exists"),
        ("--out {folder}/tune0.mid", "tune0.mid", "is a file"),
        ("--colour red", "--colour", "unrecognized"),
    ],
)
def test_bad_option_gives_one_line_and_exit_code_2(
    error_of, midi_folder, arguments, given, allowed
):
    """Fails on a traceback, on a second line, or if value or allowed are not named."""
    text = error_of(*arguments.format(folder=midi_folder).split())
    assert given in text
    assert allowed in text


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("--sizes 6 4 3 --range 50 62", "[5, 4, 3]"),
        ("--range 50 63", "has pitches 50 to 61"),
        ("--cost squared-error --range 50 62", "cross-entropy"),
        ("--output independent --range 50 62", "joint"),
        ("--output joint --joint-units 3 --range 50 62", "128"),
        ("--note-order up --range 50 62", "down"),
        ("--range 50 62 --dt 0.375", "npz has pitches 50 to 61, steps of 0.25 s"),
        ("--unit beats --dt 0.25", "ask for pitches 50 to 61, steps of 1/4 beat"),
        ("--no-restruck", "has pitches 50 to 61, steps of 0.25 s, notes struck again"),
        ("--range 49 61 --epochs 0", "the options ask for pitches 49 to 60"),
    ],
)
def test_options_that_differ_from_the_loaded_file(error_of, journey, arguments, value):
    load = ["--load", journey[0] / "parameters.npz"]
    assert value in error_of(*load, *arguments.split())


def test_folder_without_midi_is_refused(error_of, tmp_path):
    assert str(tmp_path) in error_of("--midi", tmp_path)


def test_error_of_a_process_is_one_line(tmp_path):
    done = run_main("--range", 60, 50, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert (
        done.stderr == "main.py: error: --range is 60 50; allowed is LOW below HIGH\n"
    )


def test_missing_music21_is_named(main, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "music21", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as exit_:
        main.main(["--out", str(tmp_path / "out")])
    assert exit_.value.code == 2
    assert "pip install music21" in capsys.readouterr().err


def test_help_explains_each_option(main, capsys):
    with pytest.raises(SystemExit) as exit_:
        main.main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for action in main.make_parser()._actions:
        assert action.help, f"{action.option_strings} is not explained"
        assert action.option_strings[-1] in text
    for option in (
        "--midi --sizes --rates --epochs --minibatch --length --cost --dt --range "
        "--load --save --seed --out --mode --resume --temperature --max-notes --keys "
        "--output --joint-units --note-order --dropout --melody"
    ).split():
        assert option in text


@pytest.mark.parametrize("option", ["--midi", "--load", "--save", "--out"])
def test_an_empty_path_is_refused(error_of, option):
    assert f"argument {option}: ''; allowed is " in error_of(option, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--load {tmp}/nofile.npz", "--load is {tmp}/nofile.npz: No such file or dir"),
        ("--save {tmp}", "--save is '{tmp}', but '{tmp}.npz' is a folder"),
        ("--save {tmp}/", "argument --save: '{tmp}/'; allowed is the path of a file"),
        ("--save {tmp}/.", "argument --save: '{tmp}/.'; allowed is the path of a file"),
        (
            "--melody {tmp}/",
            "argument --melody: '{tmp}/'; allowed is the path of a file",
        ),
        ("--load {tmp}/", "argument --load: '{tmp}/'; allowed is the path of a file"),
        ("--save /dev/full", "--save is '/dev/full', but '/dev/full' is no regular"),
        ("--out /dev/null/a", "--out is /dev/null/a: Not a directory"),
        ("--resume --save {trained} --length 8", "--length was 9, is 8"),
    ],
)
def test_errors_name_options(error_of, tmp_path, journey, arguments, message):
    names = {"tmp": tmp_path / "tmp", "trained": journey[0] / "parameters.npz"}
    for name in ("tmp", "tmp.npz"):
        (tmp_path / name).mkdir()
    words = [word.format(**names) for word in arguments.split()]
    text = error_of(*words)
    assert message.format(**names) in text
    assert "PosixPath" not in text


def test_errors_of_training_name_options(error_of, capsys):
    text = error_of("--rates", *4 * ["1e7"], code=1)
    assert "Smaller --rates (they are 1e+07, 1e+07, 1e+07, 1e+07) may help. " in text
    load_module("journey").show_warning(
        "training may be diverging. Smaller rates (R1, R2, R3, Rout "
        "are 1, 2, 3, 4) or a smaller gradClip may help."
    )
    assert capsys.readouterr().err == (
        "main.py: training may be diverging. Smaller --rates (they are 1, 2, 3, 4) "
        "may help.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--length 100000000", r"--length is 100000000; training with it needs about"),
        ("--sizes 65536 4 4 --range 0 128", "the first of --sizes is 65536; the net"),
    ],
)
def test_too_large_a_size_is_refused_by_its_option(
    error_of, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.setattr(free_memory, "free", lambda: 2**30)
    text = error_of(*arguments.split())
    assert text.startswith(f"main.py: error: {message}")
    assert re.search(r", and 1.07 GB are free; at most \d+ fits\n", text)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", ["--minibatch 99", "--midi /no/such/folder"])
def test_a_run_that_fails_leaves_no_folder(error_of, tmp_path, arguments):
    error_of("--out", tmp_path / "new" / "out", *arguments.split())
    assert os.listdir(tmp_path) == []
    (tmp_path / "own").mkdir()
    error_of("--midi", "/no", "--out", tmp_path / "own")
    assert (tmp_path / "own").is_dir(), "a run removed a folder that it did not make"


@pytest.mark.parametrize("name", ["parameters.npz", "rolls.png", "cost.png/"])
def test_a_users_own_file_in_the_output_folder_stays(error_of, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    if name.endswith("/"):
        (out / name).mkdir()
    else:
        (out / name).write_text("mine")
    text = error_of()
    assert "would be overwritten" in text
    assert name.rstrip("/") in text
    assert os.listdir(out) == [name.rstrip("/")]


def test_an_untrained_network_does_not_overwrite_a_trained_one(
    error_of, tmp_path, journey
):
    trained, path = journey[0] / "parameters.npz", tmp_path / "parameters.npz"
    shutil.copy(trained, path)
    text = error_of("--epochs", 0, "--out", tmp_path)
    assert f"--epochs is 0, and an untrained network would overwrite {path}" in text
    assert path.read_bytes() == trained.read_bytes()


def test_each_output_has_its_recipe(main):
    """Fails if an option of the network has no effect, or a default is not as told."""
    recipes = load_module("recipes")

    def made(arguments):
        options = main.make_parser().parse_args(arguments.split())
        restruck = options.output != "independent"
        defaults = {"unit": "beats", "restruck": restruck}
        options.format = recipes.choose_format(options, defaults)
        return recipes.new_model(options)

    joint = made("")
    assert (joint.io_length, joint.restruck) == (176, True)
    assert (joint.output, joint.jointUnits, joint.noteOrder) == ("joint", 128, "down")
    assert (joint.optimizer, joint.gradNorm) == ("Adam", 5)
    independent = made("--output independent")
    assert (independent.io_length, independent.restruck) == (88, False)
    assert (independent.output, independent.dropout) == ("independent", 0)
    assert (independent.optimizer, independent.gradNorm) == ("RMSprop", None)
    assert independent.rates == (0.003,) * 4
    assert (joint.genProbThreshold, independent.genProbThreshold) == (0.02, 0.05)
    other = made("--joint-units 3 --note-order up --dropout 0.25 --rates 1 2 3 4")
    assert (other.output, other.jointUnits, other.noteOrder) == ("joint", 3, "up")
    assert (other.dropout, other.rates) == (0.25, (1, 2, 3, 4))
    assert made("--output independent --cost squared-error").cost == "squared-error"
    help_ = main.make_parser().format_help()
    for recipe in recipes.RECIPES.values():
        for value in (recipe.rate, recipe.dropout, recipe.epochs, recipe.keys):
            assert f"{value:g}" in help_
        assert f"{recipe.threshold:g}" in help_
