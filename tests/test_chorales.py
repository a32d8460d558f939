"""The cache of Bach's chorales, and the journey on them that the README begins with."""

from pathlib import Path

import numpy as np
import pytest
from journeys import FILES, load_module, run_main

from lstmmusic import RNN4Music
from midi.utils import midiread


@pytest.fixture
def chorales(monkeypatch):
    """Return the module, with corpus files that are quick to write."""
    module = load_module("chorales")
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
    monkeypatch.setattr(chorales, "write_chorale", None)  # writing again would fail
    assert chorales.chorales_folder(count=5) == folder
    assert [path.name for path in folder.parent.iterdir()] == ["chorales"]


def test_partial_cache_is_written_again(chorales, tmp_path, monkeypatch):
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
    (folder / "3.mid").unlink()  # as a program that removes old files may do
    assert len(list(chorales.chorales_folder(folder, 5).iterdir())) == 5


@pytest.mark.slow
def test_no_argument_journey_on_the_chorales(tmp_path):
    """Fails if the default journey breaks, or if its music is noise.

    All but the number of epochs is the default.  Of noise, seven twelfths of the notes
    would be in the scale of C major.
    """
    pytest.importorskip("music21", reason="the chorales come from music21's corpus")
    out = tmp_path / "output"
    done = run_main(
        "--epochs", 150, "--out", out, env={"XDG_CACHE_HOME": str(tmp_path)}
    )
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
