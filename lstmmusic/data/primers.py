"""Check the primers that generation begins with, and join them with what it gives."""

import numpy as np

from lstmmusic import checks


def check_primers(
    given, n_tunes: int, io_length: int, dtype
) -> tuple[np.ndarray, bool]:
    """Check arguments of `RNN4Music.genMusic`; return primers, and whether as many.

    Parameters
    ----------
    given : array_like of shape (steps, io_length) or (tunes, steps, io_length)
        Rolls, or what `midi.midiread` returns.
    n_tunes : int
        Tunes to generate after the one primer.

    Returns
    -------
    primers : ndarray of shape (steps, tunes, io_length)
    many : bool
        Whether the caller asked for several tunes, so that one has an axis, too.
    """
    n_tunes = checks.check_int("noOfTunes", n_tunes)
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


def with_first_rows(primers: np.ndarray, rolls: np.ndarray) -> np.ndarray:
    """Put the first rows of primers before rolls and probabilities (2, T, B, N).

    Nothing comes before a first row, so its probability is NaN.
    """
    first = np.stack([primers[:1], np.full_like(primers[:1], np.nan)])
    return np.concatenate([first, rolls], axis=1)
