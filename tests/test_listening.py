"""Read lstmmusic.listening's WAV files by SciPy, and measure pitch by FFT."""

import base64
import doctest
import errno
import io
import os
import re
import sys
import time

import numpy as np
import pytest
from scipy.io import wavfile

from lstmmusic import listen, listening, save_wav
from midi import midiread, midiwrite

pytest.importorskip("pretty_midi")
R = (21, 109)


def sound(roll, r=R, dt=0.5):
    """Return the samples that `save_wav` writes, as whole numbers."""
    file = io.BytesIO()
    save_wav(file, roll, r, dt)
    file.seek(0)
    rate, samples = wavfile.read(file)
    assert rate == 44100
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    return samples.astype(int)


def notes(*pitches, steps=4, r=R):
    roll = np.zeros((steps, r[1] - r[0]))
    roll[:, np.subtract(pitches, r[0])] = 1
    return roll


def spectrum(samples):
    """Return frequencies in Hz, 0.17 apart, and how strong each is."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return np.fft.rfftfreq(2**18, 1 / 44100), strength


@pytest.mark.parametrize(
    ("pitch", "hertz"),
    [(69, 440), (21, 27.5), (60, 261.6256), (108, 4186.009), (93, 1760)],
)
def test_pitch_by_fft(pitch, hertz):
    """Fails if r[0] is forgotten, or the file's rate is not the one it was made at."""
    frequencies, strength = spectrum(sound(notes(pitch)))
    strongest = frequencies[strength.argmax()]
    assert strongest == pytest.approx(hertz, abs=0.17)


def test_r_says_which_pitch_a_column_is():
    """Column 9 of (60, 72) is the A of 440 Hz."""
    frequencies, strength = spectrum(sound(notes(69, r=(60, 72)), (60, 72)))
    assert frequencies[strength.argmax()] == pytest.approx(440, abs=0.17)


def test_a_chord_is_all_its_notes():
    frequencies, strength = spectrum(sound(notes(57, 61, 64)))
    for hertz in (220, 277.183, 329.628):
        near = np.abs(frequencies - hertz) < 6
        peak = frequencies[near][strength[near].argmax()]
        assert peak == pytest.approx(hertz, abs=0.2)
        assert strength[near].max() > 0.2 * strength.max()


@pytest.mark.parametrize("r", [R, (0, 128)])
def test_all_notes_at_once_do_not_clip(r):
    """Fails if the sum is cut at 16 bits, or wraps round: then samples jump."""
    samples = sound(np.ones((3, r[1] - r[0])), r)
    loudest = np.abs(samples).max()
    assert 0.8 * 32767 < loudest < 32767
    assert np.count_nonzero(np.abs(samples) == loudest) <= 2  # no flat tops


def test_a_lone_note_is_as_loud():
    assert np.abs(sound(notes(60))).max() == pytest.approx(0.9 * 32767, abs=1)


def level(samples, at_s, of_s=0.02):
    """Return the root mean square around a time."""
    middle, half = round(at_s * 44100), round(of_s * 44100 / 2)
    return np.sqrt(np.mean(samples[middle - half : middle + half] ** 2))


def test_a_held_note_is_one_note():
    """Fails if each step strikes it again: it would fade out before each boundary."""
    held = sound(notes(60, steps=5), dt=0.3)
    for boundary in (0.3, 0.6, 0.9, 1.2):
        before, at = level(held, boundary - 0.1), level(held, boundary - 0.01)
        assert at == pytest.approx(before, rel=0.15)
    struck = notes(60, steps=5)
    struck[[1, 3]] = 0
    struck = sound(struck, dt=0.3)
    assert level(struck, 0.29) < 0.2 * level(struck, 0.19)
    assert level(struck, 0.45) == 0
    assert level(struck, 0.62) > 0.5 * level(struck, 0.02)


@pytest.mark.parametrize(("steps", "dt"), [(7, 0.3), (3, 1 / 3), (40, 0.0123)])
def test_lasts_as_long_as_the_roll(steps, dt):
    """Silence before and after counts, and steps begin where the picture has them."""
    roll = np.zeros((steps, 88))
    roll[1, 30] = 1
    samples = sound(roll, dt=dt)
    assert len(samples) == round(steps * dt * 44100)
    sounding = np.flatnonzero(samples)
    assert sounding[0] == pytest.approx(dt * 44100, abs=5)
    assert sounding[-1] < 2 * dt * 44100
    assert sounding[-1] > 1.8 * dt * 44100


def test_silence_sounds_as_silence():
    assert not sound(np.zeros((3, 88))).any()


def test_steps_too_short_to_sound_raise_no_error():
    assert len(sound(np.eye(88), dt=1e-6)) == 4


def test_a_midi_roll_sounds_as_its_roll():
    roll = notes(60, 64, steps=6)
    file = io.BytesIO()
    midiwrite(file, roll, R, 0.3)
    file.seek(0)
    assert np.array_equal(sound(midiread(file, R, 0.3), dt=0.3), sound(roll, dt=0.3))


def test_300_steps_take_a_moment():
    """Four voices move at every second step; 0.5 s on the machine of the author."""
    rng = np.random.default_rng(5)
    roll = np.zeros((300, 88))
    for voice in (20, 32, 40, 50):
        pitch = np.repeat(voice + rng.integers(0, 8, 150), 2)
        roll[np.arange(300), pitch] = 1
    sound(roll[:2])
    started = time.process_time()
    sound(roll, dt=0.3)
    assert time.process_time() - started < 4


def test_a_notebook_gets_the_same_sound(tmp_path):
    ipython = pytest.importorskip("IPython")
    roll = notes(60, 64)
    audio = listen(roll, R, 0.25)
    assert isinstance(audio, ipython.display.Audio)
    save_wav(tmp_path / "tune.wav", roll, R, 0.25)
    html = audio._repr_html_()
    (data,) = re.findall(r'src="data:audio/wav;base64,(.*?)"', html)
    assert base64.b64decode(data) == (tmp_path / "tune.wav").read_bytes()


@pytest.mark.parametrize("function", [listen, save_wav])
def test_the_examples_give_what_they_show(tmp_path, monkeypatch, function):
    # The doctests skip them, because pretty_midi may be missing.
    pytest.importorskip("IPython")
    monkeypatch.chdir(tmp_path)
    text = function.__doc__.replace("# doctest: +SKIP", "")
    test = doctest.DocTestParser().get_doctest(text, {}, function.__name__, None, 0)
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, function):
    """Fails if a half file is left, under its own name or another."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "tune.wav"
    path.write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(OSError, match="No space left"):
            save_wav(path, notes(60))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    save_wav(path, notes(60))
    assert path.read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize(
    ("roll", "r", "dt", "message"),
    [
        (np.zeros((3, 5)), R, 0.2, r"roll has shape \(3, 5\); allowed are \(steps, 88"),
        (np.full((3, 88), 0.5), R, 0.2, "roll holds 0.5; allowed are zeros and ones"),
        (np.ones((3, 88)), (21, 129), 0.2, "second of r is 129"),
        (np.ones((3, 88)), R, 0, "dt is 0; allowed are finite numbers above 0"),
        (np.ones((10, 88)), R, 100.0, r"lasts 1000 s; .* up to 900 s: roll\[:9\]"),
        (np.ones((10, 88)), R, 1e300, r"lasts 1e\+301 s"),
    ],
)
def test_arguments_that_are_not_allowed_are_named_and_write_nothing(
    tmp_path, roll, r, dt, message
):
    with pytest.raises(ValueError, match=message):
        listen(roll, r, dt)
    with pytest.raises(ValueError, match=message):
        save_wav(tmp_path / "tune.wav", roll, r, dt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["pretty_midi", "IPython.display"])
def test_a_missing_package_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install pretty_midi ipython"):
        listen(notes(60))


def test_imports_only_when_called_and_without_a_warning(in_new_process):
    """Run with -W error: fails if pretty_midi's import or ours warns."""
    code = """
import sys
import lstmmusic
late = {"pretty_midi", "IPython", "midi", "matplotlib"}
assert not late & sys.modules.keys(), late & sys.modules.keys()
import numpy as np
print(len(lstmmusic.listen(np.ones((2, 88)), dt=0.5).data))
"""
    assert in_new_process(code) == str(44 + 2 * 44100)


@pytest.mark.parametrize("path", ["", ".", "run/", "run", None, 3])
def test_a_path_of_no_file_is_refused_before_the_synthesis(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(listening, "_samples", None)  # a call would fail
    with pytest.raises(ValueError, match=r"filename is .*; allowed: a file's path"):
        save_wav(path, notes(60))
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
