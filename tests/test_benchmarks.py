"""benchmarks/run.py versus: the ratios that it prints, the processes behind them."""

import importlib
import sys

import pytest
from conftest import ROOT


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
