"""Turn a piano-roll into sound: by a SoundFont, or by tones of NumPy."""

from __future__ import annotations

import io
import wave
from importlib import import_module, util
from pathlib import Path
from types import ModuleType

import numpy as np

RATE = 48_000  # samples per second: midirenderer knows no other
VELOCITY = 100  # of 127: a forte
FADE = RATE // 100  # samples, 10 ms: a sudden end is heard as a click
ATTACK = RATE // 200  # samples


def find_soundfont(program: int) -> bytes | None:
    """Return pretty_midi's SoundFont, or None if it or midirenderer is missing.

    Raises
    ------
    ImportError
        If one is missing, and the program is not 0: tones have no instruments.
    """
    # It is found without importing pretty_midi, which takes a second.
    package = util.find_spec("pretty_midi")
    if package is not None and util.find_spec("midirenderer") is not None:
        font = Path(str(package.origin)).with_name("TimGM6mb.sf2")
        if font.is_file():
            return font.read_bytes()
    if program:
        raise ImportError(
            f"program is {program}; allowed without midirenderer and pretty_midi's "
            "SoundFont: 0; pip install 'lstmmusic[listen]'"
        )
    return None


def play_soundfont(
    font: bytes, notes: np.ndarray, r: tuple[int, int], step_s: float, program: int
) -> np.ndarray:
    """Return the samples of a roll, played with a SoundFont by midirenderer.

    Parameters
    ----------
    font : bytes
        A SoundFont, version 2.
    notes : int8 ndarray of shape (T, N) or (T, 2 N)
        At least one note, as `midi.midiwrite` takes it.
    r : (int, int)
    step_s : float
        Seconds from one row to the next.
    program : int

    Returns
    -------
    float32 ndarray
        About T * step_s * RATE samples, up to 65536: left and right added.
    """
    from midi import encoding

    timing = encoding.time_in_seconds(step_s, len(notes))
    midi = encoding.encode_roll(notes, r, timing, program, VELOCITY)
    data = import_required("midirenderer").render_wave_from(font, midi)
    with wave.open(io.BytesIO(data)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return frames.reshape(-1, 2).sum(axis=1, dtype=np.float32)  # left and right


def add_tones(
    sound: np.ndarray, notes: np.ndarray, r: tuple[int, int], step_s: float
) -> None:
    """Add a tone to the samples for each note of a roll.

    Parameters
    ----------
    sound : float32 ndarray of shape (samples,)
        RATE to a second.
    notes, r, step_s
        As for `play_soundfont`.
    """
    from midi.rolls import find_note_changes

    sounding: dict[int, int] = {}
    for step, begins, n in find_note_changes(notes, r[1] - r[0]).tolist():
        at = round(step * step_s * RATE)
        if begins:
            sounding[n] = at
        else:
            first = sounding.pop(n)
            tone = _tone(r[0] + n, at - first)
            sound[first : first + len(tone)] += tone


def _tone(pitch: int, length: int) -> np.ndarray:
    """Return a tone of at most ``length`` samples that begins at once and decays.

    The sound at time t is e^(−t/τ) Σ b^(k−1) sin(kφ) = e^(−t/τ) sin φ / (1 − 2 b cos φ
    + b²), a geometric series, with b = e^(−t/τ) / 2.  A sine alone, b = 0, is nearly
    inaudible at low pitches.  As with a string, high partials k fade first, and high
    notes sooner than low ones.
    """
    tau = 1.5 * 2 ** ((69 - pitch) / 24)  # s; twice as long two octaves lower
    length = min(length, round(10 * tau * RATE))  # then inaudible: e^−10, −87 dB
    time = np.arange(length) / RATE
    phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time
    decay = np.exp(-time / tau)
    b = decay / 2
    edges = np.minimum(np.arange(length) / ATTACK, np.arange(length, 0, -1) / FADE)
    tone = np.sin(phase) / (1 - 2 * b * np.cos(phase) + b * b)
    return tone * decay * np.minimum(1, edges)


def import_required(module: str) -> ModuleType:
    """Import a module of the extra ``listen``; the error says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this sound needs {module}, which cannot be imported ({error}): "
            "pip install 'lstmmusic[listen]'"
        ) from error
