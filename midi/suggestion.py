"""Find the step that suits a collection's rhythm."""

import os
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from midi import checks, clock, folders, reading
from midi.checks import MidiError, counted
from midi.files import READABLE, FilePath, check_path, printable, read_file
from midi.formats import RollFormat, in_beats
from midi.rolls import UNIT_SYMBOLS

CHORD_S = 0.03
LEAST_SHARE = 0.99
NEAR = 0.25  # of a step, from its grid
ROUNDING = 1e-6  # of a step, for times in float64
# From the longest; in beats the note values, and their triplets.
CANDIDATES: dict[str, tuple[float | Fraction, ...]] = {
    "beats": tuple(Fraction(1, n) for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)),
    "seconds": (
        1.0, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.125, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03,
        0.025, 0.02, 0.015, 0.01,
    ),
}  # fmt: skip


class Suggestion(NamedTuple):
    """Hold a step, and why it is suggested; `suggest_dt` returns it.

    Attributes
    ----------
    dt : float or Fraction
        Seconds or beats.
    share : float
        Of the onsets, how many stand apart from the others at that step.
    why : str
        Why, and what to read with.

    Examples
    --------
    >>> from midi.suggestion import Suggestion
    >>> dt, share, why = Suggestion(0.2, 0.995, "99.5 % of 200 onsets stand apart")
    >>> share
    0.995
    """

    dt: float | Fraction
    share: float
    why: str


def suggest_dt(
    path: FilePath | BinaryIO,
    unit: str = "seconds",
    *,
    r: tuple[int, int] = (21, 109),
    drums: bool = False,
) -> Suggestion:
    """Return the longest step that keeps all but 1 % of the onsets apart.

    Notes that begin within 0.03 s are one onset, a chord. Each onset goes to the
    nearest step, as with ``quantize=True``, and stands apart if no earlier one of its
    tune is there.

    A step that fits the rhythm is preferred: one from whose grid all but 1 % of the
    onsets are less than a quarter of a step away. Rows of eighth notes, for example,
    keep the onsets of a slow dotted rhythm apart, but those of a triplet are not at
    their rows. Played without a metronome, music fits no step; then the longest that
    keeps the onsets apart is taken, and if there is none, the shortest.

    What is said holds for onsets at their nearest step. Where over 1 % of them begin
    after it, `why` ends with ``quantize=True``: read without, they go to the next step,
    or are lost if they end before it.

    Parameters
    ----------
    path : path or binary file object
        A MIDI file, or a folder; of a folder the files below it, as `read_folder`
        finds them, less those that cannot be read.
    unit : {'seconds', 'beats'}
        Beats are tried at 1, 1/2, 1/3, 1/4, 1/6, 1/8, 1/12, 1/16, 1/24, 1/32 and 1/48
        quarter notes, seconds at 18 steps from 1 to 0.01 s.
    r, drums
        As for `midiread`: which notes count.

    Returns
    -------
    Suggestion
        The step `dt`, the `share` of onsets that stand apart, and `why`; it ends with
        what to read with.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    MidiError
        If the file, or every file of the folder, cannot be read.
    FileNotFoundError
        If there is nothing at the path.

    References
    ----------
    W. Goebl, Melody lead in piano performance: expressive device or artifact?, 2001,
    J. Acoust. Soc. Am. 110(1): the notes of a chord begin about 0.03 s apart.

    Examples
    --------
    >>> import io
    >>> from midi import midiwrite, suggest_dt
    >>> file = io.BytesIO()
    >>> midiwrite(file, [[1, 0], [0, 1]] * 8, r=(60, 62), dt=0.25)
    >>> file.seek(0)
    0
    >>> suggest_dt(file).dt
    0.25
    """
    format = RollFormat(r, 1, checks.check_unit(unit), quantize=True)
    options = reading.Options(drums=checks.check_bool("drums", drums))
    read = partial(_read_onsets, format=format, options=options)
    if not hasattr(path, "read"):
        path = check_path("path", path, f"a folder's path, or {READABLE}")
    if not isinstance(path, str) or not os.path.isdir(path):
        tunes, skipped = [read(path)], 0
    else:
        files = folders.find_midi_files(path)
        results = folders.read_all(files, lambda file, _: read(file), None, False)
        tunes = [onsets for onsets, _ in results if onsets is not None]
        skipped = len(files) - len(tunes)
        if not tunes:
            raise MidiError(f"{printable(path)}: no MIDI file below it can be read")
    return _choose(tunes, skipped, unit)


def _read_onsets(
    path: Any, format: RollFormat, options: reading.Options
) -> npt.NDArray[np.float64]:
    """Return the onsets of a file in its unit, in order, those of a chord as one."""
    tune = reading.read_roll(*read_file(path), format, options)
    onset: npt.NDArray[np.float64] = tune.notes[f"onset_{UNIT_SYMBOLS[format.unit]}"]
    tempos = tune.tempos if format.unit == "beats" else None
    onset_s = onset if tempos is None else _seconds(onset, tempos)
    chords, after = [], 0
    while after < len(onset):
        chords.append(after)
        after = int(np.searchsorted(onset_s, onset_s[after] + CHORD_S))
    return onset[chords]


class _Fit(NamedTuple):
    """Hold a step, and shares of the onsets.

    Those that stand apart; near its grid; and after their nearest row, so that they go
    to the next if not quantized.
    """

    dt: float | Fraction
    apart: float
    near: float
    late: float


def _fit(tunes: Sequence[npt.NDArray[np.float64]], dt: float | Fraction) -> _Fit:
    count = apart = near = late = 0
    for onset in tunes:
        rows = clock.round_half_up(onset / float(dt))
        after = onset / float(dt) - rows  # in steps
        count += len(onset)
        apart += 1 + int(np.count_nonzero(np.diff(rows)))
        near += int(np.count_nonzero(abs(after) < NEAR))
        late += int(np.count_nonzero(after > ROUNDING))
    return _Fit(dt, apart / count, near / count, late / count)


def _choose(
    tunes: Sequence[npt.NDArray[np.float64]], skipped: int, unit: str
) -> Suggestion:
    """Return the first step that fits, or keeps apart, or the last, and why."""
    fits = [_fit(tunes, dt) for dt in CANDIDATES[unit]]
    apart = [n for n, fit in enumerate(fits) if fit.apart >= LEAST_SHARE]
    near = [n for n in apart if fits[n].near >= LEAST_SHARE]
    chosen = [*near[:1], *apart[:1], len(fits) - 1][0]
    words = [f"{fit.dt:g} s" if unit == "seconds" else in_beats(fit.dt) for fit in fits]
    onsets = counted(sum(map(len, tunes)), "onset")
    share = fits[chosen].apart
    why = f"Of {onsets} {share:.1%} stand apart at {words[chosen]}"
    if near:
        why += f", and {fits[chosen].near:.1%} are near its grid"
    elif apart:
        why += "; no step fits the rhythm"
    else:
        why += ", the shortest tried"
    if chosen:
        longer = fits[chosen - 1]
        why += f"; at {words[chosen - 1]} {longer.apart:.1%} and {longer.near:.1%}"
    if skipped:
        why += f"; {counted(skipped, 'file')} cannot be read"
    return Suggestion(fits[chosen].dt, share, f"{why}. {_how(fits[chosen], unit)}")


def _how(fit: _Fit, unit: str) -> str:
    """Return a sentence that says what to read with."""
    arguments = f"dt={fit.dt!r}" + (f", unit={unit!r}" if unit == "beats" else "")
    if fit.late <= 1 - LEAST_SHARE:
        return f"Read with {arguments}."
    return (
        f"Read with {arguments}, quantize=True: {fit.late:.1%} begin after their step, "
        "and would else go to the next or be lost."
    )


def _seconds(
    beats: npt.NDArray[np.float64], tempos: npt.NDArray[np.void]
) -> npt.NDArray[np.float64]:
    """Return times in beats in seconds, by a tempo map."""
    at = np.searchsorted(tempos["onset_beats"], beats, side="right") - 1
    since = beats - tempos["onset_beats"][at]
    seconds: npt.NDArray[np.float64] = (
        tempos["onset_s"][at] + since * 60 / tempos["tempo"][at]
    )
    return seconds
