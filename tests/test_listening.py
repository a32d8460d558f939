"""Read lstmmusic.listening's files by SciPy and soundfile; measure pitch and level.

Each test of the sound runs twice: with the SoundFont's piano, and with NumPy's tones.
"""

import base64
import doctest
import errno
import io
import os
import re
import sys
import time
from functools import partial

import numpy as np
import pytest
from scipy.io import wavfile

from lstmmusic import listen, listening, save_sound, save_wav
from midi import RollArray, RollFormat, midiread, midiwrite

R = (21, 109)
RATE = 48000


def use_tones(patch):
    """Hide the SoundFont's player, so that NumPy makes the sound."""
    patch.setitem(sys.modules, "midirenderer", None)


@pytest.fixture(params=["tones", "piano"])
def player(request, monkeypatch):
    """Play with NumPy's tones, then with the SoundFont's piano."""
    if request.param == "tones":
        use_tones(monkeypatch)
    else:
        pytest.importorskip("midirenderer")
        pytest.importorskip("pretty_midi")
    return request.param


@pytest.fixture
def tones(monkeypatch):
    use_tones(monkeypatch)


def read_wav(file):
    """Return the samples of a WAV file, as whole numbers."""
    file.seek(0)
    rate, samples = wavfile.read(file)
    assert rate == RATE
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    return samples.astype(int)


def sound(roll, r=R, dt=0.5, **how):
    """Return the samples that `save_wav` writes."""
    file = io.BytesIO()
    save_wav(file, roll, r, dt, **how)
    return read_wav(file)


def notes(*pitches, steps=4, r=R):
    roll = np.zeros((steps, r[1] - r[0]))
    roll[:, np.subtract(pitches, r[0])] = 1
    return roll


def spectrum(samples):
    """Return frequencies in Hz, 0.18 apart, and how strong each is."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return np.fft.rfftfreq(2**18, 1 / RATE), strength


@pytest.mark.parametrize(
    ("pitch", "hertz"),
    [(69, 440), (21, 27.5), (60, 261.6256), (108, 4186.009), (93, 1760)],
)
@pytest.mark.usefixtures("tones")
def test_pitch_by_fft(pitch, hertz):
    """Fails if r[0] is forgotten, or the file's rate is not the one it was made at."""
    frequencies, strength = spectrum(sound(notes(pitch)))
    strongest = frequencies[strength.argmax()]
    assert strongest == pytest.approx(hertz, abs=0.18)


@pytest.mark.parametrize(("pitch", "hertz"), [(69, 440), (60, 261.6256), (93, 1760)])
def test_pitch_of_the_piano_by_fft(pitch, hertz):
    """Its strongest partial is the 1st or 2nd, and 8 cents off at most, of 100."""
    pytest.importorskip("midirenderer")
    frequencies, strength = spectrum(sound(notes(pitch)))
    octaves = np.log2(frequencies[strength.argmax()] / hertz)
    assert round(octaves) in (0, 1)
    assert abs(octaves - round(octaves)) * 1200 < 8


@pytest.mark.usefixtures("tones")
def test_r_says_which_pitch_a_column_is():
    """Column 9 of (60, 72) is the A of 440 Hz."""
    frequencies, strength = spectrum(sound(notes(69, r=(60, 72)), (60, 72)))
    assert frequencies[strength.argmax()] == pytest.approx(440, abs=0.18)


@pytest.mark.usefixtures("tones")
def test_a_chord_is_all_its_notes():
    frequencies, strength = spectrum(sound(notes(57, 61, 64)))
    for hertz in (220, 277.183, 329.628):
        near = np.abs(frequencies - hertz) < 6
        peak = frequencies[near][strength[near].argmax()]
        assert peak == pytest.approx(hertz, abs=0.2)
        assert strength[near].max() > 0.2 * strength.max()


@pytest.mark.parametrize("r", [R, (0, 128)])
@pytest.mark.usefixtures("player")
def test_all_notes_at_once_do_not_clip(r):
    """Fails if the sum is cut at 16 bits, or wraps round: then samples jump."""
    samples = sound(np.ones((3, r[1] - r[0])), r)
    loudest = np.abs(samples).max()
    assert 0.8 * 32767 < loudest < 32767
    assert np.count_nonzero(np.abs(samples) == loudest) <= 2  # no flat tops


@pytest.mark.usefixtures("player")
def test_a_lone_note_is_as_loud():
    assert np.abs(sound(notes(60))).max() == pytest.approx(0.9 * 32767, abs=1)


def level(samples, at_s, of_s=0.02):
    """Return the root mean square around a time."""
    middle, half = round(at_s * RATE), round(of_s * RATE / 2)
    return np.sqrt(np.mean(samples[middle - half : middle + half] ** 2))


@pytest.mark.usefixtures("player")
def test_a_held_note_decays_and_a_note_struck_again_is_heard():
    """Eight steps of 0.5 s. Fails if struck and held sound alike, as a steady tone."""
    held = np.hstack([notes(60, steps=8), np.zeros((8, 88))])
    struck = held.copy()
    struck[4, 88 + 60 - 21] = 1
    held, struck = sound(held), sound(struck)
    for boundary in (0.5, 1, 1.5, 2, 2.5, 3, 3.5):
        before, after = level(held, boundary - 0.05), level(held, boundary + 0.05)
        assert 0.5 * before < after < 1.1 * before  # a piano's strings beat
    assert level(held, 3.5) < 0.3 * level(held, 0.05)
    assert level(struck, 2.05) > 2 * level(struck, 1.95)
    assert level(struck, 2.05) == pytest.approx(level(struck, 0.05), rel=0.1)
    assert level(struck, 3) == pytest.approx(level(struck, 1), rel=0.1)
    assert np.array_equal(held, sound(notes(60, steps=8)))  # no column says so: held


@pytest.mark.usefixtures("player")
def test_a_note_begins_softly_and_at_once():
    """Fails if a note begins in a click: as loud in its first ms as after 20 ms."""
    note = sound(notes(60))
    assert level(note, 0.0005, 0.001) < 0.3 * level(note, 0.02)
    assert level(note, 0.02) > 0.3 * np.max(np.abs(note)) / np.sqrt(2)


@pytest.mark.usefixtures("player")
def test_a_pause_is_silent():
    """The piano rings for a while after its key is up, and NumPy's tones do not."""
    roll = notes(60, steps=8)
    roll[2:7] = 0
    samples = sound(roll)
    assert level(samples, 3.4) < 0.01 * level(samples, 0.05)
    assert level(samples, 3.55) > 0.5 * level(samples, 0.05)


@pytest.mark.parametrize(("steps", "dt"), [(7, 0.3), (3, 1 / 3), (40, 0.0123)])
def test_lasts_as_long_as_the_roll(steps, dt, player):
    """Silence before and after counts, and steps begin where the picture has them."""
    roll = np.zeros((steps, 88))
    roll[1, 30] = 1
    samples = sound(roll, dt=dt)
    assert len(samples) == round(steps * dt * RATE)
    sounding = np.flatnonzero(samples)
    late = {"tones": 5, "piano": 500}[player]  # its hammer takes 10 ms
    assert dt * RATE - 1 <= sounding[0] < dt * RATE + late
    if player == "tones":
        assert 1.8 * dt * RATE < sounding[-1] < 2 * dt * RATE
    assert abs(samples[-1]) < 0.01 * 32767  # no click


@pytest.mark.usefixtures("player")
def test_silence_sounds_as_silence():
    assert not sound(np.zeros((3, 88))).any()


@pytest.mark.usefixtures("player")
def test_steps_too_short_to_sound_raise_no_error():
    assert len(sound(np.eye(88), dt=1e-6)) == 4
    assert len(sound(np.eye(88), dt=1e-9)) == 0


@pytest.mark.usefixtures("player")
def test_beats_last_as_long_as_the_tempo_says():
    """Half a beat at 90 beats a minute is 1/3 s, at 120 1/4 s."""
    roll = notes(60, 64, steps=6)
    assert len(sound(roll, dt=0.5, unit="beats", tempo=90)) == 2 * RATE
    in_beats = sound(roll, dt=0.5, unit="beats")
    assert np.array_equal(in_beats, sound(roll, dt=0.25))


def test_a_roll_brings_its_own_format():
    """Fails if r, dt, unit or the width come from anywhere else."""
    struck = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]])
    roll = RollArray.of(struck, RollFormat((60, 62), 0.5, "beats", restruck=True))
    file = io.BytesIO()
    midiwrite(file, roll)
    file.seek(0)
    tune = midiread(file, (60, 62), 0.5, unit="beats", restruck=True)
    expected = sound(struck, (60, 62), 0.25)
    for own in (roll, tune):
        assert np.array_equal(sound(own, None, None), expected)
    halved = sound(struck, (60, 62), 0.5)
    assert np.array_equal(sound(roll, None, None, tempo=60), halved)
    file = io.BytesIO()
    midiwrite(file, roll, tempo=60)
    file.seek(0)
    slow = midiread(file, (60, 62), 0.5, unit="beats", restruck=True)
    assert np.array_equal(sound(slow, None, None), halved)  # at the file's own tempo
    usual = sound(np.eye(3, 88), None, None)
    assert np.array_equal(usual, sound(np.eye(3, 88), (21, 109), 0.2))


def test_an_organ_does_not_decay():
    """Program 19 is a church organ; fails if the program is not passed on."""
    pytest.importorskip("midirenderer")
    organ, piano = (sound(notes(60, steps=8), program=n) for n in (19, 0))
    assert level(organ, 3.5) > 0.7 * level(organ, 0.5)
    assert level(piano, 3.5) < 0.2 * level(piano, 0.5)


@pytest.mark.usefixtures("tones")
def test_tones_have_no_instruments(tmp_path):
    with pytest.raises(
        ImportError, match=r"program is 19; .* pip install 'lstmmusic\[li"
    ):
        save_sound(tmp_path / "organ.wav", notes(60), program=19)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "begins"), [("ogg", b"OggS"), ("mp3", b"\xff")])
@pytest.mark.usefixtures("tones")
def test_compressed_files_sound_as_the_wav(tmp_path, suffix, begins):
    """libsndfile reads them: the same length and pitch, and 5 times smaller.

    Of 70 s, as its Vorbis encoder crashes where it is given a minute in one piece.
    """
    soundfile = pytest.importorskip("soundfile")
    roll = notes(69, steps=140)
    roll[::4] = 0
    for name in (f"tune.{suffix}", f"TUNE.{suffix.upper()}"):
        save_sound(tmp_path / name, roll, dt=0.5)
        data = (tmp_path / name).read_bytes()
        assert begins in data[:4]
        samples, rate = soundfile.read(io.BytesIO(data))
        assert rate == RATE
        assert len(samples) == pytest.approx(70 * RATE, abs=3000)
        frequencies, strength = spectrum(samples[RATE // 2 : 2 * RATE])
        assert frequencies[strength.argmax()] == pytest.approx(440, abs=0.5)
        assert len(data) * 5 < 70 * RATE * 2
    file = io.BytesIO()
    save_sound(file, roll, dt=0.5, kind=suffix)
    assert begins in file.getvalue()[:4]


def test_save_sound_writes_wav_as_save_wav_does(tmp_path):
    save_sound(tmp_path / "a.wav", notes(60))
    save_sound(tmp_path / "b.txt", notes(60), kind="wav")
    save_wav(tmp_path / "c.mp3", notes(60))  # as ever, whatever the name
    a, b, c = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b == c


@pytest.mark.parametrize(
    ("filename", "kind", "message"),
    [
        (
            "tune.flac",
            None,
            r"filename is '.*tune.flac'; allowed .* .wav, .ogg or .mp3",
        ),
        ("tune", None, "filename is"),
        ("mp3", None, "filename is"),
        ("tune.wav", "flac", "kind is 'flac'; allowed are 'wav', 'ogg', 'mp3'"),
        ("tune.wav", "", "kind is ''"),
    ],
)
def test_kinds_that_are_unknown_are_refused(tmp_path, filename, kind, message):
    with pytest.raises(ValueError, match=message):
        save_sound(tmp_path / filename, notes(60), kind=kind)
    assert not list(tmp_path.iterdir())


def test_a_file_object_needs_its_kind():
    with pytest.raises(ValueError, match=r"filename is <_io.BytesIO .* or kind='wav'"):
        save_sound(io.BytesIO(), notes(60))


def test_a_midi_roll_sounds_as_its_roll():
    roll = notes(60, 64, steps=6)
    file = io.BytesIO()
    midiwrite(file, roll, R, 0.3)
    file.seek(0)
    assert np.array_equal(sound(midiread(file, R, 0.3), dt=0.3), sound(roll, dt=0.3))


@pytest.mark.usefixtures("player")
def test_300_steps_take_a_moment():
    """Four voices move at every second step; 1.5 s on the machine of the author."""
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


@pytest.mark.parametrize("function", [listen, save_sound])
def test_the_examples_give_what_they_show(tmp_path, monkeypatch, function):
    # The doctests skip them, because a package may be missing.
    pytest.importorskip("IPython")
    pytest.importorskip("soundfile")
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
        (np.zeros((3, 5)), R, 0.2, r"roll has shape \(3, 5\) .* shape \(steps, 88\)"),
        (np.full((3, 88), 0.5), R, 0.2, r"roll holds the value 0.5; allowed: .* ones"),
        (np.ones((3, 88)), (21, 129), 0.2, r"r is \(21, 129\)"),
        (np.ones((3, 88)), R, 0, "dt is 0; allowed: a finite number of seconds, above"),
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


BAD_HOW = [
    ({"tempo": 90}, "tempo is 90; allowed with unit='seconds': None"),
    ({"unit": "beats", "tempo": 0}, "tempo is 0"),
    ({"unit": "bars"}, "unit is 'bars'"),
    ({"program": 128}, "program is 128; allowed are whole numbers from 0 to 127"),
    ({"program": 1.0}, "program is 1.0"),
    ({"unit": "beats", "dt": 4, "tempo": 4}, r"lasts 1800 s; .* roll\[:15\] is its"),
]


@pytest.mark.parametrize(("how", "message"), BAD_HOW)
def test_a_way_to_play_that_is_not_allowed_is_named(tmp_path, how, message):
    roll = np.ones((30, 88))
    with pytest.raises(ValueError, match=message):
        listen(roll, **how)
    for save in (save_wav, save_sound):
        with pytest.raises(ValueError, match=message):
            save(tmp_path / "tune.wav", roll, **how)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["soundfile", "IPython.display"])
def test_a_missing_package_is_named(tmp_path, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    save_mp3 = partial(save_sound, tmp_path / "tune.mp3")
    call = save_mp3 if missing == "soundfile" else listen
    with pytest.raises(ImportError, match=rf"{missing}.* pip install 'lstmmusic\[list"):
        call(notes(60))
    assert not list(tmp_path.iterdir())
    save_sound(tmp_path / "tune.wav", notes(60))  # which needs neither


def test_imports_only_when_called_and_without_a_warning(in_new_process):
    """Run with -W error: fails if a package's import or ours warns."""
    code = """
import sys
import lstmmusic
late = {"IPython", "midi", "midirenderer", "soundfile", "matplotlib"}
assert not late & sys.modules.keys(), late & sys.modules.keys()
import numpy as np
print(len(lstmmusic.listen(np.ones((2, 88)), dt=0.5).data))
"""
    assert in_new_process(code) == str(44 + 2 * RATE)


@pytest.mark.parametrize("path", ["", ".", "run/", "run", None, 3])
def test_a_path_of_no_file_is_refused_before_the_synthesis(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(listening, "_samples", None)  # a call would fail
    with pytest.raises(ValueError, match=r"filename is .*; allowed: a file's path"):
        save_wav(path, notes(60))
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
