"""examples/main.py: the whole journey as a user runs it, its options, its refusals."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmmusic import RNN4Music
from midi.utils import midiread, midiwrite

EXAMPLES = Path(__file__).parents[1] / "examples"
R, DT = (50, 62), 0.25
TINY = (
    "--range 50 62 --dt 0.25 --sizes 5 4 3 --epochs 6 --minibatch 3 --length 9 "
    "--steps 30 --primer 7 --threshold 0 --rates 0.01 0.01 0.01 0.02"
).split()
PICTURES = ["rolls.png", "probabilities.png", "cost.png"]


@pytest.fixture(scope="module")
def midi_folder(tmp_path_factory):
    """Return a folder of four short tunes between 50 and 62, one step silent in each.

    The lowest note is among them, so that main must leave it in what it generates.
    """
    folder = tmp_path_factory.mktemp("midi")
    for n in range(4):
        roll = np.zeros((14 + 3 * n, 12), int)
        steps = np.arange(len(roll))
        roll[steps, (steps * (n + 1)) % 12] = 1
        roll[steps, (steps // 2 + 4) % 12] = 1
        roll[5] = 0
        midiwrite(folder / f"tune{n}.mid", roll, R, DT)
    return folder


def run_main(*arguments, **environment):
    """Run main.py as a user does; return what came back."""
    root = str(EXAMPLES.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def journey(midi_folder, tmp_path_factory):
    """Run main.py once, tiny, on the folder; return its output folder and text."""
    out = tmp_path_factory.mktemp("out") / "new" / "folder"
    done = run_main("--midi", midi_folder, "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    return out, done


def check_files(out, pictures=PICTURES):
    for name in pictures:
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), name
    assert (out / "generated.mid").is_file()
    assert (out / "parameters.npz").is_file()


def test_journey_writes_all_files_and_names_the_folder(journey):
    out, done = journey
    check_files(out)
    assert done.stdout.splitlines()[-1] == f"written to {out.resolve()}"
    assert "cost per step: " in done.stdout
    assert "of the scale of the primer's tune" in done.stdout


def test_journey_takes_its_options(journey):
    """Fails if an option does not reach what it is for."""
    out, _ = journey
    roll = midiread(out / "generated.mid", R, DT).piano_roll
    assert 1 <= len(roll) <= 30
    assert roll[:, 0].any(), "the lowest note, which the tunes have, was taken out"
    model = RNN4Music.fromFile(out / "parameters.npz")
    assert model.h_lengths == (5, 4, 3)
    assert model.io_length == 12
    assert (model.R1, model.Rout) == (0.01, 0.02)
    assert model.genProbThreshold == 0
    assert len(model.instantaneousCost) == 6


def test_load_goes_on_and_save_goes_where_told(journey, midi_folder, tmp_path):
    """Fails if loading starts afresh, or if no epochs still train."""
    out, _ = journey
    saved = tmp_path / "again.npz"
    arguments = ["--midi", midi_folder, "--load", out / "parameters.npz"]
    arguments += ["--save", saved, "--out", tmp_path, *TINY, "--epochs", 0]
    done = run_main(*arguments)
    assert done.returncode == 0, done.stderr
    before = RNN4Music.fromFile(out / "parameters.npz")
    after = RNN4Music.fromFile(saved)
    assert after.instantaneousCost == before.instantaneousCost
    for name, value in before.parameters().items():
        assert np.array_equal(value, after.parameters()[name]), name
    first, second = (
        (folder / "generated.mid").read_bytes() for folder in (out, tmp_path)
    )
    assert first == second, "same weights, same seed, but other music"


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
        "--load --save --seed --out --mode"
    ).split():
        assert option in text


@pytest.fixture
def main(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("main")


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
        ("--cost entropy", "entropy", "cross-entropy"),
        ("--mode C", "'C'", "JAX"),
        ("--seed -3", "-3", "whole numbers from 0"),
        ("--midi /no/such/folder", "/no/such/folder", "No such file"),
        ("--load /no/such/file", "/no/such/file", "No such file"),
        ("--load {folder}/tune0.mid", "tune0.mid", "parameter file"),
        ("--save /no/such/folder/file", "/no/such/folder/file", "that exists"),
        ("--out {folder}/tune0.mid", "tune0.mid", "exists"),
        ("--colour red", "--colour", "unrecognized"),
    ],
)
def test_bad_option_gives_one_line_and_exit_code_2(
    main, midi_folder, tmp_path, capsys, arguments, given, allowed
):
    """Fails on a traceback, on a second line, or if value or allowed are not named."""
    arguments = arguments.format(folder=midi_folder).split()
    if "--midi" not in arguments:
        arguments = ["--midi", str(midi_folder), *arguments]
    if "--out" not in arguments:
        arguments = ["--out", str(tmp_path / "out"), *arguments]
    with pytest.raises(SystemExit) as exit_:
        main.main(arguments)
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    assert given in text
    assert allowed in text


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("--sizes 6 4 3 --range 50 62", "[5, 4, 3]"),
        ("--range 50 63", "12"),
        ("--cost squared-error --range 50 62", "cross-entropy"),
    ],
)
def test_options_that_differ_from_the_loaded_file(
    main, journey, tmp_path, capsys, arguments, value
):
    load = ["--load", str(journey[0] / "parameters.npz"), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as exit_:
        main.main([*load, *arguments.split()])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert value in text


def test_folder_without_midi_gives_one_line(tmp_path):
    done = run_main("--midi", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr


def test_missing_music21_gives_one_line(main, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "music21", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as exit_:
        main.main(["--out", str(tmp_path / "out")])
    assert exit_.value.code == 2
    assert "pip install music21" in capsys.readouterr().err


def test_training_that_leaves_the_finite_numbers_gives_one_line(
    main, midi_folder, tmp_path, capsys, monkeypatch
):
    def fail(*_):
        raise main.TrainingError("update 7 gave a cost that is not finite")

    monkeypatch.setattr(main, "train", fail)
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path), *TINY])
    assert exit_.value.code == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "update 7" in text
    assert str(tmp_path / "parameters.npz") in text
    assert RNN4Music.fromFile(tmp_path / "parameters.npz").h1_length == 5


def test_primers_longer_than_the_picture_are_drawn_whole(main, tmp_path):
    # Fails if what was generated is cut away, or to a negative length.
    options = main.make_parser().parse_args(["--primer", "180"])
    options.out, options.range = tmp_path, [50, 62]
    roll = np.eye(12)[np.arange(200) % 12]

    class Untrained:
        instantaneousCost = ()

    main.draw(Untrained, roll, roll[:30], roll[:30], options)
    assert (tmp_path / "rolls.png").stat().st_size > 1000


def test_pieces_cover_every_step_and_leave_the_primers_tune_out(main):
    """Fails if a tune's end is never trained on, or if the primer's tune is."""
    options = main.make_parser().parse_args(["--length", "9"])
    tunes = [
        np.eye(40, dtype=int)[first:end]
        for first, end in ((0, 3), (3, 12), (12, 22), (22, 39))
    ]
    original, pieces = main.split(tunes, options)
    trained = np.concatenate(pieces).any(axis=0)
    kept = original.any(axis=0)
    assert np.array_equal(trained[:39], ~kept[:39])
    assert all(1 <= len(piece) <= 9 for piece in pieces)
    assert options.minibatch == len(pieces)


# The chorales' cache


@pytest.fixture
def chorales(monkeypatch):
    """Return the module, with five corpus files and a quick way to write them."""
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("chorales")
    monkeypatch.setattr(
        module, "corpus_files", lambda count: [Path(f"{n}.mxl") for n in range(count)]
    )
    monkeypatch.setattr(
        module, "write_chorale", lambda source, target: target.write_text(source.stem)
    )
    return module


def test_cache_is_written_once(chorales, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = chorales.chorales_folder(count=5)
    assert folder == tmp_path / "lstmmusic" / "chorales"
    assert sorted(file.name for file in folder.iterdir()) == [
        f"{n}.mid" for n in range(5)
    ]
    monkeypatch.setattr(chorales, "write_chorale", None)  # a second writing would fail
    assert chorales.chorales_folder(count=5) == folder
    assert [path.name for path in folder.parent.iterdir()] == ["chorales"]


def test_half_written_cache_is_not_taken_for_a_whole_one(
    chorales, tmp_path, monkeypatch
):
    write = chorales.write_chorale

    def stop_at_the_third(source, target):
        if source.stem == "2":
            raise KeyboardInterrupt
        write(source, target)

    monkeypatch.setattr(chorales, "write_chorale", stop_at_the_third)
    folder = tmp_path / "chorales"
    with pytest.raises(KeyboardInterrupt):
        chorales.chorales_folder(folder, 5)
    assert not folder.exists()
    monkeypatch.setattr(chorales, "write_chorale", write)
    assert len(list(chorales.chorales_folder(folder, 5).iterdir())) == 5
    (folder / "3.mid").unlink()  # as a cleaner of old files may do
    assert len(list(chorales.chorales_folder(folder, 5).iterdir())) == 5


@pytest.mark.slow
def test_no_argument_journey_on_the_chorales(tmp_path):
    """Fails if the default journey breaks, or if it makes noise.

    Fewer epochs than the default; everything else, the chorales too, is the default's.
    Noise would have seven twelfths of its notes in the scale of C major.
    """
    pytest.importorskip("music21", reason="the chorales come from music21's corpus")
    out = tmp_path / "output"
    done = run_main("--epochs", 150, "--out", out, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    check_files(out)
    files = list((tmp_path / "lstmmusic" / "chorales").glob("*.mid"))
    assert len(files) >= 60

    cost = RNN4Music.fromFile(out / "parameters.npz").instantaneousCost
    assert len(cost) == 150
    assert np.mean(cost[-20:]) < cost[0] / 2
    roll = midiread(out / "generated.mid", (21, 109), 0.3).piano_roll
    sounding = roll.sum(axis=1)
    assert np.mean((sounding >= 1) & (sounding <= 8)) > 0.7
    pitch_class = (21 + np.nonzero(roll)[1]) % 12
    assert np.isin(pitch_class, (0, 2, 4, 5, 7, 9, 11)).mean() > 0.75
