"""examples/main.py: the whole journey as a user runs it, its options, its refusals."""

import html
import importlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
from journeys import DT, EXAMPLES, FILES, TINY, R, run_main

from lstmmusic import RNN4Music
from lstmmusic.training.loop import Training
from lstmmusic.training.state import Position
from midi.utils import midiread, midiwrite


@pytest.fixture(scope="module")
def journey(midi_folder, tmp_path_factory):
    """Run main.py once, tiny, on the folder; return its output folder and text."""
    out = tmp_path_factory.mktemp("out") / "new" / "folder & 'more'"
    done = run_main("--midi", midi_folder, "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    return out, done


def test_journey_writes_all_files_and_names_the_page(journey):
    out, done = journey
    assert sorted(file.name for file in out.iterdir()) == sorted(FILES)
    for name in FILES:
        if name.endswith(".png"):
            assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), name
    lines = done.stdout.splitlines()
    assert lines[-1] == f"to see and hear it: {(out / 'index.html').resolve().as_uri()}"
    assert "cost per step: " in done.stdout
    assert "distance from the training data 0." in done.stdout


def test_journey_leaves_sound_as_long_as_the_music(journey, midi_folder):
    """Fails if a WAV file is of another tune, or of another time grid."""
    out, _ = journey
    roll = midiread(out / "original.mid", R, DT).piano_roll
    tunes = [midiread(file, R, DT).piano_roll for file in midi_folder.iterdir()]
    assert any(np.array_equal(roll, tune) for tune in tunes)
    for name, steps in (("original", len(roll)), ("generated", 30)):
        with wave.open(str(out / f"{name}.wav")) as file:
            assert file.getnframes() == steps * DT * file.getframerate(), name


def test_page_says_how_to_repeat_the_run(journey, midi_folder):
    """Fails if the command is not the one that was run, quotes and all."""
    out, _ = journey
    page = (out / "index.html").read_text(encoding="utf-8")
    _, repeat = page.split("To repeat this")
    command = html.unescape(re.search("<pre>(.*?)</pre>", repeat, re.DOTALL)[1])
    typed = [sys.executable, EXAMPLES / "main.py", "--midi", midi_folder, "--out", out]
    assert shlex.split(command) == [*map(str, typed), *TINY]
    cells = dict(re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", repeat))
    assert cells["--seed"] == "1"
    assert cells["--temperature"] == "1.0"
    assert cells["--rates"] == "0.01 0.01 0.01 0.02"
    assert "4 tunes, 74 steps, SHA-256 " in cells["data"]
    assert "--ranks" not in cells, "what main.py keeps in its options is none of them"
    assert "12 notes" in cells["network"]
    for package in ("Python", "lstmmusic", "numpy", "pytensor", "pretty_midi"):
        assert re.search(rf"\b{package} \d", cells["versions"]), package


def test_page_names_files_beside_it_and_no_others(journey):
    """Fails if the page needs a script, the network, or a file that is not there."""
    out, _ = journey
    page = (out / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:src|href)="(.*?)"', page)) - {"data:,"}
    assert named == set(FILES) - {"index.html"}
    assert "<script" not in page
    assert "http" not in page


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
        "--load --save --seed --out --mode --resume --temperature --max-notes"
    ).split():
        assert option in text


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
        ("--resume --load /no/such/file", "/no/such/file", "No such file"),
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
    def fail(*_, **__):
        raise main.TrainingError("update 7 gave a cost that is not finite")

    monkeypatch.setattr(RNN4Music, "train", fail)
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path), *TINY])
    assert exit_.value.code == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "update 7" in text
    assert str(tmp_path / "parameters.npz") in text
    assert RNN4Music.fromFile(tmp_path / "parameters.npz").h1_length == 5


# Stopping and going on

LONG = [*TINY, "--epochs", "120"]
DIE_AT_UPDATE_70 = """
import os, signal, sys
from lstmmusic.training.loop import Training

record = Training.record

def record_and_die(training, *args):
    record(training, *args)
    if len(training.state.costs) == 70:
        os.kill(os.getpid(), signal.SIGKILL)

Training.record = record_and_die
sys.path.insert(0, sys.argv[1])
import main
main.main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def whole_run(midi_folder, tmp_path_factory):
    """Train without a stop; the folder it leaves.  There is nothing to resume yet."""
    out = tmp_path_factory.mktemp("whole")
    done = run_main("--midi", midi_folder, "--out", out, *LONG, "--resume")
    assert done.returncode == 0, done.stderr
    nothing = f"{out / 'parameters.npz'} is not there to be resumed: training begins"
    assert nothing in done.stdout
    return out


def assert_same_run(first, second):
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


def test_ctrl_c_leaves_music_and_a_command_that_goes_on(
    main, midi_folder, whole_run, tmp_path, monkeypatch, capsys
):
    """Fails if the run that was stopped ends with other bits than one that was not."""
    record = Training.record

    def record_and_stop(training, *args):
        record(training, *args)
        if len(training.state.costs) == 13:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Training, "record", record_and_stop)
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path), *LONG])
    assert exit_.value.code == 130
    last = capsys.readouterr().err.splitlines()[-1]
    message, command = last.split("; this goes on: ")
    saved = tmp_path / "parameters.npz"
    assert message == f"main.py: stopped after 13 updates; saved to {saved}"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(FILES)
    assert "stopped before its end" in (tmp_path / "index.html").read_text("utf-8")
    stopped = RNN4Music.fromFile(tmp_path / "parameters.npz")
    assert len(stopped.instantaneousCost) == 13

    loaded = ["--load", str(tmp_path / "parameters.npz"), "--epochs", "0"]
    options = main.make_parser().parse_args(loaded)
    options.save, options.ranks = tmp_path / "copy.npz", main.Ranks()
    over = main.train(stopped, [], [], options, None)
    assert over, "no training is no stopped training"

    python, script, *arguments = shlex.split(command)
    assert (python, script) == ("python", "examples/main.py")
    assert arguments[-1] == "--resume"
    main.main(arguments)
    assert_same_run(tmp_path, whole_run)
    assert "stopped" not in (tmp_path / "index.html").read_text("utf-8")


def test_killed_run_goes_on_from_its_last_save(midi_folder, whole_run, tmp_path):
    arguments = ["--midi", midi_folder, "--out", tmp_path, *LONG]
    root = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, "-c", DIE_AT_UPDATE_70, EXAMPLES, *arguments]
    done = subprocess.run(command, env=root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = RNN4Music.fromFile(tmp_path / "parameters.npz")
    assert len(left.instantaneousCost) == 50
    done = run_main(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path, whole_run)


def test_ctrl_c_after_training_keeps_what_was_learnt(
    main, midi_folder, tmp_path, monkeypatch, capsys
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "generate", interrupt)
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), "--out", str(tmp_path), *TINY])
    assert exit_.value.code == 130
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith(" --resume\n")
    model = RNN4Music.fromFile(tmp_path / "parameters.npz")
    assert len(model.instantaneousCost) == 6


@pytest.mark.parametrize("more", [[], ["--epochs", "0"], ["--load", "{other}"]])
def test_a_stopped_training_is_not_written_over(
    main, midi_folder, whole_run, tmp_path, capsys, more
):
    """Fails if the same command without --resume loses what was learnt, or says less
    than how to go on.  A training that has ended may be written over.
    """
    path = tmp_path / "parameters.npz"
    model = RNN4Music.fromFile(whole_run / "parameters.npz")
    model._train_state.position = Position(epoch=70)
    model.saveParameters(path)
    before = path.read_bytes()
    arguments = ["--midi", str(midi_folder), "--out", str(tmp_path), *LONG]
    more = [word.format(other=whole_run / "parameters.npz") for word in more]
    with pytest.raises(SystemExit) as exit_:
        main.main([*arguments, *more])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert f"{path} holds a training that was stopped after 120 updates" in text
    assert "allowed are --resume" in text
    assert path.read_bytes() == before
    for path in (whole_run / "parameters.npz", whole_run / "nothing.npz"):
        main.keep_unfinished(path)


@pytest.mark.parametrize(
    ("arguments", "given", "held"),
    [
        ("--epochs 7", "is 7", "--epochs was 120"),
        ("--rates 1 1 1 1", "[1.0, 1.0, 1.0, 1.0]", "[0.01, 0.01, 0.01, 0.02]"),
        ("--sizes 6 4 3", "[6, 4, 3]", "[5, 4, 3]"),
        ("--length 8", "is 8", "--length was 9"),
    ],
)
def test_options_other_than_those_of_the_training_to_resume(
    main, midi_folder, whole_run, capsys, arguments, given, held
):
    arguments = [*LONG, *arguments.split(), "--resume", "--out", str(whole_run)]
    with pytest.raises(SystemExit) as exit_:
        main.main(["--midi", str(midi_folder), *arguments])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert given in text
    assert held in text


# Results


class Untrained:
    """As much of a network as the page asks for."""

    costPerStep = trainings = ()
    wasTrainedOn = staticmethod(lambda tune: False)


def as_midi_roll(roll):
    file = io.BytesIO()
    midiwrite(file, roll, R, DT)
    file.seek(0)
    return midiread(file, R, DT)


def make_results(main, folder, tunes, arguments=(), generated=None):
    """Write results for tunes (T, 12), the first of which is the original."""
    options = main.make_parser().parse_args(["--out", str(folder), *arguments])
    options.range, options.dt = R, DT
    options.command, options.save = "main.py", folder / "parameters.npz"
    original, *dataset = map(as_midi_roll, tunes)
    return main.write_results(Untrained, original, dataset, generated, options)


def test_each_temperature_has_its_tune_its_files_and_its_warnings(main, tmp_path):
    roll = np.eye(12, dtype=int)[np.arange(40) % 12]
    generated = {
        "0.5": main.Generated(0 * roll, 0.1 * roll, ["it fell silent: turn <this>"]),
        "1.5": main.Generated(roll[:20], 0.2 * roll[:20], []),
    }
    (tmp_path / "generated-0.5.mid").write_bytes(b"of an earlier run")
    text = make_results(main, tmp_path, [roll, roll], generated=generated)
    assert "temperature 0.5: it fell silent: turn <this>" in text
    assert text.count("temperature 0.5: ") == 1
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "it fell silent: turn &lt;this&gt;" in page
    assert page.count("<audio") == 2
    assert not (tmp_path / "generated-0.5.mid").exists(), "silence has no MIDI file"
    written = midiread(tmp_path / "generated-1.5.mid", R, DT).piano_roll
    assert np.array_equal(written, roll[:20])
    for name in ("rolls", "probabilities"):
        for temperature in ("0.5", "1.5"):
            assert f'src="{name}-{temperature}.png"' in page
            assert (tmp_path / f"{name}-{temperature}.png").is_file()


def test_temperatures_and_most_notes_reach_the_generation(main, monkeypatch):
    asked = []

    class Model:
        def genMusic(self, primer, steps, **settings):
            asked.append((len(primer), steps, settings))
            warnings.warn("stuck", stacklevel=1)
            return np.ones((steps, 12), int), np.ones((steps, 12))

    options = main.make_parser().parse_args(
        "--temperature 0.50 1.5 0.5 --max-notes 3 --seed 5 --steps 8 --primer 4".split()
    )
    options.range, options.dt = R, DT
    roll = as_midi_roll(np.eye(12, dtype=int))
    made = main.generate(Model(), roll, [roll], options)
    assert list(made) == ["0.5", "1.5"]
    assert made["1.5"].warnings == ["stuck"]
    assert len(asked) == 2
    assert asked[1] == (4, 8, {"seed": 5, "temperature": 1.5, "maxNotes": 3})


def test_primers_longer_than_the_picture_are_drawn_whole(main, tmp_path):
    # Fails if what was generated is cut away, or to a negative length.
    roll = np.eye(12, dtype=int)[np.arange(200) % 12]
    generated = {"1": main.Generated(roll[:30], roll[:30], [])}
    make_results(main, tmp_path, [roll, roll], ["--primer", "180"], generated)
    assert (tmp_path / "rolls.png").stat().st_size > 1000


def test_without_pretty_midi_all_but_the_sound_is_there(main, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    roll = np.eye(12, dtype=int)
    generated = {"1": main.Generated(roll, roll, [])}
    make_results(main, tmp_path, [roll, roll], generated=generated)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<audio" not in page
    assert "pip install pretty_midi" in page
    assert (tmp_path / "generated.mid").is_file()


def test_only_the_beginning_of_a_long_tune_is_made_to_sound(
    main, tmp_path, monkeypatch
):
    results = importlib.import_module("results")
    monkeypatch.setattr(results, "HEARD_S", 2)
    roll = np.eye(12, dtype=int)
    generated = {"1": main.Generated(roll, roll, [])}
    make_results(main, tmp_path, [roll, roll], generated=generated)
    with wave.open(str(tmp_path / "generated.wav")) as file:
        assert file.getnframes() == 2 * file.getframerate()
    assert "its first 2 s" in (tmp_path / "index.html").read_text("utf-8")
    assert len(midiread(tmp_path / "generated.mid", R, DT).piano_roll) == 12


def test_pieces_cover_every_step_and_leave_the_primers_tune_out(main):
    """Fails if a tune's end is never trained on, or if the primer's tune is."""
    options = main.make_parser().parse_args(["--length", "9"])
    tunes = [
        np.eye(40, dtype=int)[first:end]
        for first, end in ((0, 3), (3, 12), (12, 22), (22, 39))
    ]
    original, rest, pieces = main.split(tunes, options)
    assert sorted(map(len, [original, *rest])) == [3, 9, 10, 17]
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
    assert sorted(file.name for file in out.iterdir()) == sorted(FILES)
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
