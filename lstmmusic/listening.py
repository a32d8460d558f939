"""Listen to a tune: a player in a notebook, or a WAV file.

pretty_midi synthesizes the sound.  It and IPython are imported at the first call, and
come with the extra ``listen``.  No fluidsynth, sound font or MIDI file is needed.
"""

from __future__ import annotations

import io
import wave
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import PathLike, RollLike
from lstmmusic.statistics import held_notes

if TYPE_CHECKING:
    from IPython.display import Audio

RATE = 44_100  # samples per second
PEAK = 0.9  # of the largest 16-bit sample
LONGEST_S = 15 * 60  # takes 1 GB and 10 s to make


def listen(roll: RollLike, r: tuple[int, int] = (21, 109), dt: float = 0.2) -> Audio:
    """Return a player of the tune, for a notebook's output.

    Parameters
    ----------
    roll : array_like of shape (T, r[1] − r[0])
        Zeros and ones; or what `midi.midiread` returns.  A column that sounds in
        consecutive steps is one held note.
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

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import listen
    >>> player = listen(np.eye(8, 88, k=39), dt=0.25)  # doctest: +SKIP
    >>> len(player.data) // 1000  # kB, for 2 s  # doctest: +SKIP
    176
    """
    data = _wav(_samples(roll, r, dt))
    return _required("IPython.display", "ipython").Audio(data=data)


def save_wav(
    filename: PathLike | BinaryIO,
    roll: RollLike,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
) -> None:
    """Write a tune as a WAV file: 16 bits, mono, 44100 samples per second.

    Parameters
    ----------
    filename : path or writable binary file object
        A path gets the whole file, or on failure keeps the old one.
    roll, r, dt
        As for `listen`.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the tune lasts over 15 minutes.
    ImportError
        If pretty_midi is missing.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import save_wav
    >>> save_wav("scale.wav", np.eye(8, 88, k=39), dt=0.25)  # doctest: +SKIP
    """
    # midi already writes bytes to a path, a file object or a pipe.
    from midi.files import check_target, write_bytes

    if not hasattr(filename, "write"):
        check_target(filename)  # before the synthesis, which takes seconds
    write_bytes(filename, _wav(_samples(roll, r, dt)))


def _samples(roll: RollLike, r: tuple[int, int], dt: float) -> np.ndarray:
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
    heard = piano.synthesize(fs=RATE, wave=_tone)[: len(sound)]
    sound[: len(heard)] = heard
    # Scaled by the loudest sample, so that no chord clips, however many notes it has.
    sound *= PEAK * 32767 / max(np.abs(sound).max(initial=0), 1e-9)
    return np.rint(sound).astype("<i2")


def _tone(phase: np.ndarray) -> np.ndarray:
    """Return Σ 2^(1−k) sin(k phase), k = 1, 2, …: each partial is half as loud.

    A sine alone is nearly inaudible at low pitches, and dull at high ones.
    """
    return np.sin(phase) / (1.25 - np.cos(phase))


def _wav(samples: np.ndarray) -> bytes:
    """Return the bytes of a WAV file of one channel."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def _required(module: str, package: str) -> ModuleType:
    """Import a module of the extra ``listen``; the error says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"listening needs {package}, which cannot be imported ({error}): "
            "pip install pretty_midi ipython"
        ) from error
