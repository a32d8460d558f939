"""Test what examples/main.py makes after training: tunes, files, warnings."""

import sys
import warnings
import wave
from types import SimpleNamespace

import numpy as np
import pytest
from journeys import DT, SECONDS, R, load_module, parse
from pages import make_original, page_of, write_tunes

from midi.utils import midiread

SCALE = np.eye(12, dtype=int)  # each note once


def scale(steps):
    return SCALE[np.arange(steps) % 12]


def make_results(folder, roll, generated, arguments=()):
    """Write results for a tune that is both the original and the training data."""
    tune = make_original(roll)
    return write_tunes(folder, [tune, tune], generated, arguments)


@pytest.mark.usefixtures("no_pictures")
def test_each_temperature_has_its_tune_its_files_and_its_warnings(tmp_path):
    roll = scale(40)
    generated = {
        "0.5": (0 * roll, 0.1 * roll, ["it fell silent: turn <this>"]),
        "1.5": (roll[:20], 0.2 * roll[:20], []),
    }
    (tmp_path / "generated-0.5.mid").write_bytes(b"of an earlier run")
    text = make_results(tmp_path, roll, generated)
    assert "temperature 0.5: it fell silent: turn <this>" in text
    assert text.count("temperature 0.5: ") == 1
    page = page_of(tmp_path)
    assert "it fell silent: turn &lt;this&gt;" in page
    assert page.count("<audio") == 2
    assert not (tmp_path / "generated-0.5.mid").exists(), "silence has no MIDI file"
    written = midiread(tmp_path / "generated-1.5.mid", R, DT).piano_roll
    assert np.array_equal(written, roll[:20])
    for name in ("rolls", "probabilities"):
        for temperature in ("0.5", "1.5"):
            assert f'src="{name}-{temperature}.png"' in page
            assert (tmp_path / f"{name}-{temperature}.png").is_file()


def test_temperatures_and_most_notes_reach_the_generation(main):
    calls = []

    class Model:
        def genMusic(self, primer, steps, **settings):
            calls.append((len(primer), steps, settings))
            warnings.warn("stuck", stacklevel=1)
            return np.ones((steps, 12), int), np.ones((steps, 12))

    options = parse(
        *SECONDS,
        *"--temperature 0.50 1.5 0.5 --max-notes 3".split(),
        *"--seed 5 --steps 8 --primer 4".split(),
    )
    tune = make_original(SCALE)
    made = main.generate(Model(), tune, [tune], options)
    assert list(made) == ["0.5", "1.5"]
    assert made["1.5"].warnings == ["stuck"]
    assert len(calls) == 2
    assert calls[1] == (4, 8, {"seed": 5, "temperature": 1.5, "maxNotes": 3})


def test_pieces_are_taken_in_other_keys(main):
    """Fails if a mark of silence is transposed, or the primer's tune is trained on."""
    options = main.make_parser().parse_args(["--length", "9", "--keys", "1"])
    tune = np.zeros((5, 20), np.uint8)
    tune[[0, 1, 3, 4], 7] = 1
    _, rest, pieces = main.split([tune], options)
    assert len(rest) == 1
    found = {tuple(piece.argmax(axis=1)) for piece in pieces}
    assert found == {(n, n, 0, n, n) for n in (6, 7, 8)}


def test_primers_longer_than_the_picture_are_drawn_whole(tmp_path):
    # Fails if the generated steps are cut off, or cut to a negative length.
    roll = scale(200)
    generated = {"1": (roll[:30], roll[:30], [])}
    make_results(tmp_path, roll, generated, ["--primer", "180"])
    assert (tmp_path / "rolls.png").stat().st_size > 1000


@pytest.mark.usefixtures("no_pictures")
def test_without_the_extra_listen_there_is_sound(tmp_path, monkeypatch):
    for package in ("pretty_midi", "midirenderer", "soundfile"):
        monkeypatch.setitem(sys.modules, package, None)
    make_results(tmp_path, SCALE, {"1": (SCALE, SCALE, [])})
    assert "<audio" in page_of(tmp_path)
    assert (tmp_path / "generated.wav").is_file()


@pytest.mark.usefixtures("no_pictures")
def test_the_sound_of_a_long_tune_is_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(load_module("results"), "HEARD_S", 2)
    make_results(tmp_path, SCALE, {"1": (SCALE, SCALE, [])})
    with wave.open(str(tmp_path / "generated.wav")) as file:
        assert file.getnframes() == 2 * file.getframerate()
    assert "its first 2 s" in page_of(tmp_path)
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
    kept_out = original.any(axis=0)
    assert np.array_equal(trained[:39], ~kept_out[:39])
    assert all(1 <= len(piece) <= 9 for piece in pieces)
    assert options.minibatch == len(pieces)


@pytest.mark.parametrize(
    ("meter", "beats"), [((3, 4), 3), ((6, 8), 3), ((2, 2), 4), (None, 4)]
)
def test_a_bar_has_the_beats_of_the_file_s_time_signature(meter, beats):
    """Fails if 6/8 has 6 quarter notes, or a continued file's own is not seen."""
    results = load_module("results")
    tune = SimpleNamespace(time_signature=meter)
    assert results.beats_per_bar(tune) == beats
    assert results.beats_per_bar(SimpleNamespace(whole=tune)) == beats
    assert results.beats_per_bar(SimpleNamespace()) == 4  # a melody's
