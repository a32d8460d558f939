"""Listen to a tune: a player in a notebook, or a sound file.

A piano plays, or another of 128 instruments: midirenderer plays the SoundFont that
pretty_midi brings.  Both come with the extra ``listen``.  Without them, NumPy makes a
plain tone with an attack and a decay, so that WAV files need no other package.
"""

from __future__ import annotations

import io
import os
import wave
from fractions import Fraction
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import PathLike, RollLike
from lstmmusic.synthesis import (
    FADE,
    RATE,
    add_tones,
    find_soundfont,
    import_required,
    play_soundfont,
)

if TYPE_CHECKING:
    from IPython.display import Audio

PEAK = 0.9  # of the largest 16-bit sample
LONGEST_S = 15 * 60  # takes 1 GB and 10 s to make
COMPRESSED = {  # libsndfile's format and subtype
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
KINDS = ("wav", *COMPRESSED)  # of sound files


def listen(
    roll: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    *,
    unit: str | None = None,
    tempo: float | None = None,
    program: int = 0,
) -> Audio:
    """Return a player of the tune, for a notebook's output.

    Parameters
    ----------
    roll : array_like of shape (T, N) or (T, 2 N)
        Zeros and ones; or what `midi.midiread` returns.  A column that sounds in
        consecutive steps is one held note, unless N more columns mark it as struck
        again.
    r : (int, int), optional
        Column n is pitch r[0] + n; N = r[1] − r[0].  By default the roll's own, if it
        has one, else (21, 109).
    dt : float or Fraction, optional
        From one row to the next, in ``unit``.  By default the roll's own, if it has
        one, else 0.2.
    unit : {'seconds', 'beats'}, optional
        A beat is a quarter note.  By default the roll's own, if it has one, else
        seconds.
    tempo : float, optional
        Beats per minute, with ``unit='beats'``.  By default that of a MidiRoll in
        beats, the mean of its file; else 120.
    program : int
        Instrument, 0 to 127, numbered as in General MIDI; 0 is a grand piano.

    Returns
    -------
    IPython.display.Audio
        Of T steps, mono, 6 MB for each minute.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the tune lasts over 15 minutes.
    ImportError
        If IPython is missing; or midirenderer or pretty_midi, with a program other than
        0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import listen
    >>> player = listen(np.eye(8, 88, k=39), dt=0.25)  # doctest: +SKIP
    >>> len(player.data) // 1000  # kB, for 2 s  # doctest: +SKIP
    192
    """
    audio = import_required("IPython.display").Audio
    return audio(data=_wav(_samples(roll, r, dt, unit, tempo, program)))


def save_sound(
    filename: PathLike | BinaryIO,
    roll: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    *,
    unit: str | None = None,
    tempo: float | None = None,
    program: int = 0,
    kind: str | None = None,
) -> None:
    """Write a tune as a WAV, OGG (Vorbis) or MP3 file: mono, 48000 samples per second.

    Parameters
    ----------
    filename : path or writable binary file object
        A path gets the whole file, or on failure keeps the old one.
    roll, r, dt, unit, tempo, program
        As for `listen`.
    kind : {'wav', 'ogg', 'mp3'}, optional
        By default the suffix of the path, in any letter case.  A file object needs it.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the tune lasts over 15 minutes.
    ImportError
        If soundfile is missing, which writes OGG and MP3; or midirenderer or
        pretty_midi, with a program other than 0.
    OSError
        If the file cannot be written.

    Notes
    -----
    A minute of WAV has 16 bits per sample and takes 6 MB; of MP3 or OGG about 0.5 MB.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import save_sound
    >>> save_sound("scale.mp3", np.eye(8, 88, k=39), dt=0.25)  # doctest: +SKIP
    """
    # midi already writes bytes to a path, a file object or a pipe.
    from midi.files import check_target, write_bytes

    if not hasattr(filename, "write"):
        check_target(filename)  # before the synthesis, which takes seconds
    kind = _kind_of(filename) if kind is None else checks.one_of("kind", kind, KINDS)
    encode = _wav
    if kind != "wav":
        soundfile = import_required("soundfile")
        encode = partial(_compressed, kind=kind, soundfile=soundfile)
    write_bytes(filename, encode(_samples(roll, r, dt, unit, tempo, program)))


def save_wav(
    filename: PathLike | BinaryIO,
    roll: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    *,
    unit: str | None = None,
    tempo: float | None = None,
    program: int = 0,
) -> None:
    """Write a tune as a WAV file, whatever its name: `save_sound` with ``kind="wav"``.

    Parameters
    ----------
    filename : path or writable binary file object
        A path gets the whole file, or on failure keeps the old one.
    roll, r, dt, unit, tempo, program
        As for `listen`.

    Raises
    ------
    ValueError, ImportError, OSError
        As `save_sound`.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from lstmmusic import save_wav
    >>> file = io.BytesIO()
    >>> save_wav(file, np.eye(8, 88, k=39), dt=0.25)
    >>> len(file.getvalue())  # 2 s of 48000 samples, after a header
    192044
    """
    save_sound(
        filename, roll, r, dt, unit=unit, tempo=tempo, program=program, kind="wav"
    )


def _samples(
    roll: RollLike,
    r: tuple[int, int] | None,
    dt: float | Fraction | None,
    unit: str | None,
    tempo: float | None,
    program: int,
) -> np.ndarray:
    """Return the sound of T steps as int16 samples, as loud as PEAK at most."""
    from midi import writing

    notes, format = writing.check_written(roll, r, dt, unit)
    step_s = writing.seconds_per_step(
        format, writing.check_tempo(tempo, format.unit, roll)
    )
    program = checks.check_int("program", program, low=0, high=127)
    length_s = len(notes) * step_s
    if length_s > LONGEST_S:
        raise ValueError(
            f"the tune lasts {length_s:.6g} s; allowed are up to {LONGEST_S} s: "
            f"roll[:{int(LONGEST_S / step_s)}] is its beginning"
        )
    font = find_soundfont(program)
    sound = np.zeros(round(length_s * RATE), np.float32)
    if font is None:
        add_tones(sound, notes, format.r, step_s)
    elif notes.any():
        heard = play_soundfont(font, notes, format.r, step_s, program)[: len(sound)]
        sound[: len(heard)] = heard
    end = sound[-FADE:]  # which may cut notes off
    end *= np.arange(len(end), 0, -1, dtype=np.float32) / FADE
    # Scaled by the loudest sample, so that no chord clips, however many notes it has.
    sound *= PEAK * 32767 / max(np.abs(sound).max(initial=0), 1e-9)
    return np.rint(sound).astype("<i2")


def _kind_of(filename: PathLike | BinaryIO) -> str:
    """Return the kind of sound file that a path's suffix names."""
    name = f"{filename!r:.60}"
    if not hasattr(filename, "write"):
        name = repr(os.fsdecode(filename))
        kind = os.path.splitext(os.fsdecode(filename))[1].lower().removeprefix(".")
        if kind in KINDS:
            return kind
    raise ValueError(
        f"filename is {name}; allowed are paths that end with .wav, .ogg or .mp3, or "
        "kind='wav', 'ogg' or 'mp3'"
    )


def _wav(samples: np.ndarray) -> bytes:
    """Return the bytes of a WAV file of one channel."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def _compressed(samples: np.ndarray, kind: str, soundfile: ModuleType) -> bytes:
    """Return the bytes of an OGG or MP3 file of one channel."""
    format, subtype = COMPRESSED[kind]
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", RATE, 1, subtype, format=format) as file:
        # In one piece, a minute overflows the stack of libsndfile's Vorbis encoder.
        for first in range(0, len(samples), RATE):
            file.write(samples[first : first + RATE])
    return data.getvalue()
