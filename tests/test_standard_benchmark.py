"""examples/standard_benchmark.py on a data set that trains in seconds."""

import re

import numpy as np
import pytest
from conftest import ROOT

from lstmmusic import RNN4Music, datasets
from lstmmusic.training.evaluation import Evaluation


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import standard_benchmark

    return standard_benchmark


@pytest.fixture
def data(monkeypatch):
    """Twelve tunes of a scale and its thirds, in place of a standard data set.

    Of the test tunes, the first is a training tune in another key, the second falls.
    """
    rolls = []
    for n in range(12):
        steps = np.arange(20 + 4 * (n % 2))  # each length compiles anew
        roll = np.zeros((len(steps), 88), np.uint8)
        for voice in (0, 4):
            roll[steps, 40 + voice + (steps + n) % 12] = 1
        rolls.append(roll)
    rolls[10:] = np.roll(rolls[2], 1, axis=1), rolls[11][::-1].copy()
    found = datasets.Splits(rolls[:8], rolls[8:10], rolls[10:])
    monkeypatch.setattr(datasets, "load_standard", lambda name, path: found)
    return found


ROW = r"\| Nottingham \| (\d) " + 3 * r"\| ([\d.]+) " + r"\| ([\d.]+)% \| (\d+) \| "


@pytest.mark.slow
def test_rows_are_what_the_saved_networks_give(
    benchmark, data, tmp_path, capsys, monkeypatch
):
    # Fails if a row describes another network than the file, if it has the last epoch's
    # weights, not the best, or if the same call again trains again.
    monkeypatch.setattr(benchmark, "KEYS", range(-1, 1))
    call = ["Nottingham", str(tmp_path), "--seeds", "1", "2", "--out", str(tmp_path)]
    call += ["--cells", "8", "--epochs", "4"]
    benchmark.main(call)
    printed = capsys.readouterr().out
    rows = re.findall(ROW, printed)
    assert [row[0] for row in rows] == ["1", "2"]
    assert "\n1 of the 2 test tunes have the top line" in f"\n{printed}"
    for seed, valid, test, others, accuracy, updates in rows:
        model = RNN4Music.fromFile(
            tmp_path / f"Nottingham_joint_8_0.2_4_0.006_{seed}.npz"
        )
        assert model.h_lengths == (8, 8, 8)
        assert int(updates) == len(model.instantaneousCost) == 8  # 16 tunes, 4 epochs
        found = model.evaluate(data.test)
        assert float(test) == pytest.approx(found.nll, abs=6e-4)
        assert float(others) == pytest.approx(found.nll_of_tunes[1], abs=6e-4)
        assert float(accuracy) == pytest.approx(100 * found.accuracy, abs=0.06)
        assert float(valid) == pytest.approx(
            min(nll for _, nll in model.validationCost), abs=6e-4
        )
    for column, name in ((2, "test"), (3, "others")):
        mean = np.mean([float(row[column]) for row in rows])
        assert f"{name}: mean {mean:.3f}"[:-1] in printed

    benchmark.main(call)
    assert re.findall(ROW, capsys.readouterr().out) == rows


def test_outputs_start_at_the_notes_frequencies(benchmark, data):
    # A network whose other weights are 0 predicts independent notes.
    model = RNN4Music(h1_length=3, h2_length=3, h3_length=3, seed=1)
    zero = {name: np.zeros_like(a) for name, a in model.parameters().items()}
    model.setParameters(benchmark.first_values(zero, data.train))
    y = model.probabilities(data.train[0])
    frequency = np.concatenate(data.train).mean(axis=0)
    played = frequency > 0
    np.testing.assert_allclose(y[:, played], np.tile(frequency[played], (20, 1)), 1e-5)
    assert (model.parameters()["bf_2"] == 1).all()


def test_chosen_tunes_are_pooled_by_their_steps(benchmark):
    """Fails if tunes count alike: they have 4, 1 and 7 nats in 2, 1 and 3 steps."""
    each = np.array([2, 1, 7 / 3]), np.zeros(3), np.array([2, 1, 3])
    found = Evaluation(2.0, 0.5, 6, *each)
    assert benchmark.nll_of(found, np.array([True, False, True])) == 11 / 5
    assert np.isnan(benchmark.nll_of(found, np.zeros(3, bool)))
