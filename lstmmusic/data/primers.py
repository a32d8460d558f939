"""Check what generation begins with and is given; join primers with what it makes."""

import numpy as np

from lstmmusic import checks


def check_primers(
    given, n_tunes: int, io_length: int, dtype
) -> tuple[np.ndarray, bool]:
    """Check arguments of `RNN4Music.genMusic`; return primers, and whether as many.

    Parameters
    ----------
    given : array_like of shape (steps, io_length) or (tunes, steps, io_length)
        Rolls, or what `midi.midiread` returns; None is one row of silence.
    n_tunes : int
        Tunes to generate after the one primer.

    Returns
    -------
    primers : ndarray of shape (steps, tunes, io_length)
    many : bool
        Whether the caller asked for several tunes, so that one has an axis, too.
    """
    n_tunes = checks.check_int("noOfTunes", n_tunes)
    if given is None:
        given = np.zeros((1, io_length))
    primer = getattr(given, "piano_roll", given)
    if isinstance(primer, list | tuple):
        primer = [getattr(roll, "piano_roll", roll) for roll in primer]
    primer = checks.array("startVectors", primer, dtype)
    if primer.ndim != 3:
        primer = checks.roll("startVectors", primer, io_length, dtype)
        shape = (len(primer), n_tunes, io_length)
        return np.broadcast_to(primer[:, None], shape), n_tunes > 1
    primers = checks.minibatch("startVectors", primer, io_length, dtype)
    if n_tunes > 1:
        raise ValueError(
            f"noOfTunes is {n_tunes}, but startVectors holds {primers.shape[1]} "
            "primers, one for each tune; allowed is 1"
        )
    return primers, True


def check_given(given, steps: int, tunes: int, io_length: int) -> np.ndarray:
    """Return the notes that generation is given: (steps, tunes or 1, io_length).

    ``given`` is array_like of shape (steps, io_length), the same for all tunes, or
    (tunes, steps, io_length).  Raise ValueError for another shape or values other than
    0, 1 and NaN.
    """
    found = checks.array("given", getattr(given, "piano_roll", given), np.float32)
    allowed = [(steps, io_length), (tunes, steps, io_length)]
    if found.shape not in allowed:
        shapes = " or ".join(map(str, allowed))
        raise ValueError(f"given has shape {found.shape}; allowed is {shapes}")
    if not (np.isnan(found) | (found == 0) | (found == 1)).all():
        raise ValueError(
            "given holds other values than 0 (silent), 1 (sounds) and NaN (free)"
        )
    if found.ndim == 2:
        found = found[None]
    return np.broadcast_to(found, (tunes, steps, io_length)).swapaxes(0, 1)


def with_first_rows(primers: np.ndarray, rolls: np.ndarray) -> np.ndarray:
    """Put the first rows of primers before rolls and probabilities (2, T, B, N).

    Nothing comes before a first row, so its probability is NaN.
    """
    first = np.stack([primers[:1], np.full_like(primers[:1], np.nan)])
    return np.concatenate([first, rolls], axis=1)
