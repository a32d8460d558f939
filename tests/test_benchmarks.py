"""benchmarks/run.py versus: the ratios that it prints, the processes behind them.

And benchmarks/music.py: what it has a network write, and the shares that it prints; the
joint output and whole tunes in PyTorch, and the tables of them.
"""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from lstmmusic import music_statistics
from lstmmusic.data.batches import draw_order
from lstmmusic.statistics import SHARES
from midi import RollFormat


@pytest.fixture
def versus(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("versus")


def test_ratios_pair_the_turns(versus, capsys):
    # Fails if medians are divided (new/old would be 1 in the first row), if the control
    # is the new code's, or if the means are arithmetic.
    rows = [
        (
            ["1", "2×3×4"],
            1e3,
            {"new": [1, 2, 6], "old": [2, 1, 2], "control": [2, 2, 2]},
        ),
        (["2", "2×3×4"], 1e3, {"new": [1.0], "old": [4.0], "control": [2.0]}),
    ]
    versus.print_ratios("threads T×B×H", rows)
    first, second, means = capsys.readouterr().out.split("\n")[2:5]
    assert first == "| 1 | 2×3×4 | 2000.0 | 2000.0 | 2000.0 | **2.000** | **1.000** |"
    assert second.endswith("| **0.250** | **0.500** |")
    assert means == "| geometric mean |  |  |  |  | **0.707** | **0.707** |"


@pytest.mark.slow
def test_each_side_imports_its_own_checkout(versus, monkeypatch, tmp_path):
    # Fails if a process trains with another checkout's library, or gives no seconds.
    for name, value in (("PROCESSES", 1), ("TURNS", 1), ("SHAPES", [(9, 2, 5)])):
        monkeypatch.setattr(versus, name, value)
    side = versus.caches_in(tmp_path) | {"PYTHONPATH": str(ROOT)}
    label, _, seconds = next(versus.update_rows({"new": side}))
    assert label == ["1", "9×2×5"]
    assert 0 < seconds["new"][0] < 5
    elsewhere = [sys.executable, "-c", "print('/elsewhere/lstmmusic/__init__.py')"]
    with pytest.raises(SystemExit, match="is imported, not that of"):
        versus.in_turns({"old": (elsewhere, side)})


@pytest.fixture
def music(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("music")


class Writer:
    """Write four notes that rise with the seed, after any primer; knows its tunes."""

    genProbThreshold = 0.03  # that of its training: main.py keeps it
    rollFormat = RollFormat(dt=0.5, unit="beats")

    def __init__(self, known):
        self.known, self.calls = known, []

    def wasTrainedOn(self, tune):
        return any(tune is known for known in self.known)

    def genMusic(self, primer, steps, seed, temperature, maxNotes):
        first = int(np.flatnonzero(primer[0])[0])
        self.calls.append((first, len(primer), steps, seed, temperature, maxNotes))
        roll = np.zeros((steps, 88), np.uint8)
        for step in range(steps):
            roll[step, 20 + (step * seed) % 40 + np.arange(4) * (1 + seed % 2)] = 1
        return roll, roll / 2


def tune_of(column):
    """Return a tune of 30 steps that rises by a semitone from a column."""
    return SimpleNamespace(piano_roll=np.eye(30, 88, column, np.uint8), name="t.mid")


def test_eight_tunes_are_written_with_main_s_settings_and_measured(music):
    """Fails for a primer trained on, another seed, a limit, or shares that are pooled.

    What is copied is looked up in the tunes trained on alone, so the tune kept out,
    which all the music would be a copy of, must not count.
    """
    tunes = [tune_of(column) for column in range(9)]
    writer = Writer(tunes[1:])
    options = [music.main_options(seed, writer, "file") for seed in music.SEEDS]
    tunes[0].piano_roll = writer.genMusic(np.eye(1, 88), 300, 1, 1, None)[0]
    writer.calls.clear()
    primers = [tune_of(20 + n) for n in range(8)]
    found = music.measure(writer, tunes, primers, options, "file")
    assert writer.calls == [(20 + n, 20, 300, n + 1, 1.0, None) for n in range(8)]
    assert writer.genProbThreshold == 0.03
    each = [
        music_statistics(
            writer.genMusic(np.eye(1, 88), 300, seed, 1, None)[0],
            [tune.piano_roll for tune in tunes[1:]],
        )
        for seed in range(1, 9)
    ]
    assert found.keys() == SHARES.keys()
    for share, mean in found.items():
        assert mean == pytest.approx(np.mean([getattr(one, share) for one in each]))
    assert found["copied_share"] == found["known_chord_share"] == 0
    assert found["semitone_share"] == 1 / 2


def test_networks_whose_primers_are_known_are_refused(music):
    tunes = [tune_of(3)]
    options = [music.main_options(1, Writer(tunes), "file")]
    with pytest.raises(SystemExit, match=r"file was trained on the primers t\.mid"):
        music.measure(Writer(tunes), tunes, tunes, options, "file")
    with pytest.raises(SystemExit, match="file does not say that it was trained on"):
        music.measure(Writer([]), tunes, [tune_of(4)], options, "file")


def test_columns_are_printed_in_percent(music, capsys):
    columns = {"Bach": dict.fromkeys(SHARES, 0.25), "a.npz": dict.fromkeys(SHARES, 1)}
    music.print_columns(columns)
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert head == "| share of | Bach | a.npz |"
    assert len(rows) == len(SHARES)
    assert "| chords that occur in the training tunes | 25.0% | 100.0% |" in rows


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_the_joint_output_in_pytorch_is_its_formula(module):
    """Fails if a form lets a note see itself or a later one, or if a piece is lost."""
    torch = pytest.importorskip("torch")
    peers_joint, rng = module("peers_joint"), np.random.default_rng(3)
    M, N, D = peers_joint.PIECE + 3, 7, 5
    A, U, V = (rng.standard_normal(s) for s in ((M, D), (N, D), (N, D)))
    k = (rng.random((M, N)) < 0.4).astype(float)
    wanted = np.empty((M, N))
    for n in range(N):
        a = A + k[:, :n] @ V[:n]
        wanted[:, n] = (1 / (1 + np.exp(-a))) @ U[n]
    given = [torch.from_numpy(array) for array in (A, k, U, V)]
    for name, form in peers_joint.FORMS.items():
        np.testing.assert_allclose(form(*given), wanted, 1e-10, 1e-12, err_msg=name)


def test_an_epoch_s_update_and_an_evaluation_are_pytorch_s_too(module):
    """Fails if padding costs something, or if a form of the output does not train."""
    pytest.importorskip("torch")
    whole, joint = module("peers_whole"), module("peers_joint")
    rng = np.random.default_rng(4)
    tunes = [(rng.random((n, 88)) < 0.1).astype(np.uint8) for n in (9, 30, 2, 14)]
    for output in ("independent", "joint"):
        network = whole.torch_network(88, 3, 0.0, output, joint.loop)
        alone = [whole.torch_evaluation(network, [tune])()[0] for tune in tunes]
        steps = [len(tune) - 1 for tune in tunes]
        nll, accuracy = whole.torch_evaluation(network, tunes)()
        assert nll == pytest.approx(np.average(alone, weights=steps), rel=1e-5)
        assert 0 <= accuracy <= 1
        update = whole.torch_training(network, tunes)
        first = update(range(4))
        assert first == pytest.approx(nll, rel=1e-5)
        assert [update(range(4)) for _ in range(20)][-1] < first


@pytest.mark.slow
def test_our_update_is_that_of_train(module):
    """Fails if the updates that are measured are not those that `train` makes."""
    whole = module("peers_whole")
    rng = np.random.default_rng(5)
    tunes = [(rng.random((n, 88)) < 0.1).astype(np.uint8) for n in range(9, 17)]
    measured, trained = (whole.our_network(3, 0.5, "independent") for _ in range(2))
    rng = np.random.default_rng()
    rng.bit_generator.state = measured.rng.bit_generator.state
    [numbers] = draw_order(rng, tunes, whole.TUNES)
    measured.rng.bit_generator.state = rng.bit_generator.state
    whole.our_training(measured, tunes)(numbers)
    trained.train(
        tunes, 1, 12, whole.TUNES, None, average="step", rateDecay="cosine",
        progress=False,
    )  # fmt: skip
    assert measured.instantaneousCost == trained.instantaneousCost[:1]


def test_tables_of_outputs_have_their_ratios(module, monkeypatch, capsys):
    """Fails if a ratio is of the wrong two figures."""
    outputs = module("outputs")
    seconds = {"independent": 1.0, "L": 1.1, "joint": 1.5, "nn.LSTM": 2.0}
    seconds |= {"floor": 1.25}
    seconds |= dict.fromkeys(outputs.FORMS, 6.0) | {outputs.FORMS[1]: 5.0}
    generated = {"independent one": 1.0, "joint one": 3.0}
    generated |= {"independent 64": 2.0, "joint 64": 7.0}
    first = {"independent": 4.0, "joint": 6.5}
    found = {
        "updates_joint": lambda *_: seconds,
        "generate_joint": lambda *_: generated,
        "first_update": lambda *w: {"import to first update": first[w[-1]]},
        "memory_joint": lambda o, *_: {"imports": 1.0, "peak": 3.0 + (o == "joint")},
        "epoch": lambda *_: {
            "ours": [0.3, 0.2],
            "torch": [0.6, 0.8],
            "floor": [0.2, 0.1],
        },
        "evaluation": lambda *_: {"ours": [0.3, 0.2], "torch": [0.4, 0.5]},
    }
    monkeypatch.setattr(outputs, "measure", lambda what, *w, **_: found[what](*w))
    outputs.joint()
    outputs.epoch()
    rows = capsys.readouterr().out.splitlines()
    assert "| 1 | 1000.0 | 1100.0 | 1500.0 | **1.10** | **1.50** | **0.75** |" in rows
    assert any(
        r.startswith("| 2 | 1500.0 ") and r.endswith("| 1250.0 | **0.30** | **0.25** |")
        for r in rows
    )
    assert any(r.endswith("| 7000.0 | **3.00** | **3.50** |") for r in rows)
    assert "| 4.00 | 6.50 | 2.50 |" in rows
    assert "| dense | 2 | 3 | **1.50** |" in rows
    update = "300 | 600 | **0.50** | 0.25 | 200 | **0.33** |"
    assert f"| update | Nottingham | joint | {update}" in rows
    evaluate = "300 | 400 | **0.75** | 0.40 |  |  |"
    assert f"| evaluate | JSB Chorales | joint | {evaluate}" in rows
