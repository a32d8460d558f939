"""The cache of Bach's chorales, the journey on them, and figures that the pages have.

All of this is in one file, and so in one process: to convert the chorales takes long.
"""

import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from journeys import FILES, load_module, run_main

from lstmmusic import RNN4Music, music_statistics
from lstmmusic.statistics import SHARES
from midi import RollFormat
from midi.utils import midiread, read_folder


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


@pytest.fixture(scope="module")
def user_cache(tmp_path_factory):
    """A cache folder with the 120 chorales of main.py, and the 128 of music.py."""
    pytest.importorskip("music21", reason="the chorales come from music21's corpus")
    cache = tmp_path_factory.mktemp("cache")
    folder = cache / "lstmmusic" / "chorales"
    more = load_module("chorales").chorales_folder(f"{folder}-128", 128)
    folder.mkdir()
    for file in sorted(more.iterdir())[:120]:
        shutil.copy(file, folder)
    return cache


@pytest.mark.slow
def test_no_argument_journey_on_the_chorales(user_cache, tmp_path):
    """Fails if the default journey breaks, or if its music is noise.

    All but the number of epochs is the default; the chorales are converted already.
    Of noise, seven twelfths of the notes would be in the scale of C major.
    """
    out = tmp_path / "output"
    environment = {"XDG_CACHE_HOME": str(user_cache), "XLA_FLAGS": ""}  # as for users
    done = run_main("--epochs", 150, "--out", out, env=environment)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in out.iterdir()) == sorted(FILES)
    cost = RNN4Music.fromFile(out / "parameters.npz").instantaneousCost
    assert len(cost) == 150
    assert np.mean(cost[-20:]) < cost[0] / 2
    roll = midiread(out / "generated.mid", (21, 109), 0.3).piano_roll
    sounding = roll.sum(axis=1)
    assert np.mean((sounding >= 1) & (sounding <= 8)) > 0.7
    pitch_class = (21 + np.nonzero(roll)[1]) % 12
    assert np.isin(pitch_class, (0, 2, 4, 5, 7, 9, 11)).mean() > 0.75


@pytest.mark.slow
def test_shares_of_bachs_chorales(user_cache):
    """Fails if a share of these 120 tunes differs from the figure in the docstring."""
    tunes = read_folder(user_cache / "lstmmusic" / "chorales", (21, 109), 0.3)
    found = music_statistics(tunes[0], tunes).dataset
    shares = {name: 100 * getattr(found, name) for name in SHARES}
    assert shares == {
        "semitone_share": pytest.approx(1.6, abs=0.05),
        "seventh_ninth_share": pytest.approx(4.0, abs=0.05),
        "four_notes_share": pytest.approx(92, abs=0.5),
        "known_chord_share": pytest.approx(88, abs=0.5),
        "small_move_share": pytest.approx(81.5, abs=0.05),
        "leap_share": pytest.approx(0.6, abs=0.05),
        "one_step_share": pytest.approx(36, abs=0.5),
        "copied_share": pytest.approx(1.3, abs=0.05),
        "copied_any_key_share": pytest.approx(2.1, abs=0.05),
    }


@pytest.mark.slow
def test_table_has_bach_s_figures_and_a_column_for_each_file(
    user_cache, tmp_path, capsys, monkeypatch
):
    """Fails if the primers are main.py's chorales, or Bach's shares are not theirs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache))
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    music = importlib.import_module("music")
    format = RollFormat(dt=0.5, unit="beats", restruck=True)
    known = SimpleNamespace(rollFormat=format)
    tunes, primers = music.read_chorales(music.main_options(1, known, "file"))
    assert (len(tunes), len(primers)) == (120, 8)
    model = RNN4Music(3, 4, 5, 176, output="joint", restruck=True, seed=1)
    model.train(tunes[5:9], 1, 1, 2, 20, progress=False)
    files = [str(tmp_path / f"{name}.npz") for name in "ab"]
    for file in files:
        model.saveParameters(file)
    music.main(files)
    rows = capsys.readouterr().out.splitlines()
    assert f"| share of | Bach, 120 chorales | {files[0]} | {files[1]} |" in rows
    shares = [row.split("|")[2].strip() for row in rows[4:] if row]
    assert shares == "1.6% 4.0% 92.1% 88.2% 81.5% 0.6% 35.3% 1.3% 2.1%".split()
