"""A tune to hear: a player in a notebook, or a WAV file.

pretty_midi makes the sound; it and IPython are imported at the first call, and come
with the extra ``listen``.  No fluidsynth is needed, no sound font, no MIDI file.
"""

import io
import wave
from importlib import import_module

import numpy as np

from lstmmusic import checks
from lstmmusic.statistics import held_notes

RATE = 44_100  # samples per second
PEAK = 0.9  # of what 16 bits hold
LONGEST_S = 15 * 60  # takes 1 GB and 10 s to make


def listen(roll, r=(21, 109), dt=0.2):
    """Return a player for a notebook's output, with the tune in it.

    Parameters
    ----------
    roll : array_like of shape (T, r[1] − r[0])
        Zeros and ones; or what `midi.midiread` returns.  A note of consecutive steps is
        one note, held.
    r : (int, int)
        Column n is pitch r[0] + n.
    dt : float
        Seconds from one row to the next.

    Returns
    -------
    IPython.display.Audio
        Of T * dt seconds, mono, 5 MB for each minute.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the tune lasts over 15 minutes.
    ImportError
        If IPython or pretty_midi is missing.
    """
    data = _wav(_samples(roll, r, dt))
    return _required("IPython.display", "ipython").Audio(data=data)


def save_wav(filename, roll, r=(21, 109), dt=0.2):
    """Write a tune as a WAV file: 16 bits, mono, 44100 samples per second.

    Parameters
    ----------
    filename : path or writable binary file object
        At a path, the file is there whole or not at all.
    roll, r, dt
        As for `listen`.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the tune lasts over 15 minutes.
    ImportError
        If pretty_midi is missing.
    """
    # The one thing that this room takes from that of the files: how bytes get there.
    from midi.files import check_target, write_bytes

    if not hasattr(filename, "write"):
        check_target(filename)  # before the sound, which takes seconds
    write_bytes(filename, _wav(_samples(roll, r, dt)))


def _samples(roll, r, dt):
    """Return the sound as int16 samples, T * dt seconds, as loud as PEAK at most."""
    r, dt = checks.pitch_range(r), checks.check_float("dt", dt)
    sounds = checks.sounding("roll", roll, r)
    length_s = len(sounds) * dt
    if length_s > LONGEST_S:
        raise ValueError(
            f"the tune lasts {length_s:.6g} s; allowed are up to {LONGEST_S} s: "
            f"roll[:{int(LONGEST_S / dt)}] is its beginning"
        )
    pretty_midi = _required("pretty_midi", "pretty_midi")
    piano = pretty_midi.Instrument(program=0)
    piano.notes = [
        pretty_midi.Note(velocity=1, pitch=r[0] + n, start=first * dt, end=end * dt)
        for first, end, n in np.transpose(held_notes(sounds)).tolist()
    ]
    sound = np.zeros(round(length_s * RATE))
    made = piano.synthesize(fs=RATE, wave=_tone)[: len(sound)]
    sound[: len(made)] = made
    # By the loudest sample, so that no chord is cut off, however many notes it has.
    sound *= PEAK * 32767 / max(np.abs(sound).max(initial=0), 1e-9)
    return np.rint(sound).astype("<i2")


def _tone(phase):
    """Return Σ 2^(1−k) sin(k phase), k = 1, 2, …: each partial half the one before.

    A sine alone is hardly heard where it is low, and is dull where it is not.
    """
    return np.sin(phase) / (1.25 - np.cos(phase))


def _wav(samples):
    """Return the bytes of a WAV file of one channel."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def _required(module, package):
    """Import what the extra ``listen`` brings, or say how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"listening needs {package}, which cannot be imported ({error}): "
            "pip install pretty_midi ipython"
        ) from error
