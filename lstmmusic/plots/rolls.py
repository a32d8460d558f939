"""Draw piano-rolls: a tune, probabilities, a tune above the one generated from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.plots.figures import new_axes, new_figure
from lstmmusic.statistics import note_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Which pitches of an octave are named on an axis, while it shows at most so many.
NAMED = ((14, range(12)), (48, (0, 4, 7)), (64, (0, 7)), (128, (0,)))


def plot_roll(
    roll: RollLike,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
    ax: Axes | None = None,
    *,
    start: int = 0,
    pitches: tuple[int, int] | None = None,
    cmap: str = "gray_r",
) -> Axes:
    """Draw a piano-roll.

    Parameters
    ----------
    roll : array_like of shape (T, r[1] − r[0])
        Values from 0 to 1; or what `midi.midiread` returns.
    r : (int, int)
        Column n is pitch r[0] + n.
    dt : float
        Seconds from one row to the next.
    ax : matplotlib.axes.Axes, optional
    start : int
        The step at which the roll begins, for the time axis.
    pitches : (int, int), optional
        Lowest and highest pitch to show; by default those that sound, with a margin.
    cmap : str

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the roll's shape does not fit r, it has no steps, or dt is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_roll
    >>> scale = np.eye(8, 88, k=39)
    >>> ax = plot_roll(scale, dt=0.5)
    >>> ax.get_xlim() == (0, 4)  # seconds
    True
    >>> ax.figure.savefig("scale.png")
    """
    rows, dt = _check_roll(roll, r), checks.check_float("dt", dt)
    ax = new_axes(9, 3.2) if ax is None else ax
    checks.check_int("start", start, low=0)
    if pitches is None:
        pitches = sounding_pitches([rows], r)
    low, high = checks.pitch_range(pitches, "pitches", apart=0)
    ends = (start * dt, (start + len(rows)) * dt)
    ax.imshow(
        rows.T,
        cmap=cmap,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(*ends, r[0] - 0.5, r[1] - 0.5),
    )
    ax.set(xlim=ends, ylim=(low - 0.5, high + 0.5), xlabel="time (s)", ylabel="note")
    _name_notes(ax, low, high)
    return ax


def plot_probabilities(
    probabilities: RollLike,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
    ax: Axes | None = None,
    *,
    start: int = 0,
    pitches: tuple[int, int] | None = None,
    cmap: str = "magma_r",
) -> Axes:
    """Draw the probability of each note at each step, with a colour bar.

    The parameters and errors are those of `plot_roll`.

    Returns
    -------
    matplotlib.axes.Axes

    Notes
    -----
    The colour bar is above the axes, so that they are as wide as those of `plot_tune`.
    ``magma_r`` gets darker evenly from 0 to 1; the original drew with
    ``cmap="gist_stern_r"``, whose order is hard to see.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_probabilities
    >>> ax = plot_probabilities(np.linspace(0, 1, 20 * 88).reshape(20, 88))
    >>> ax.images[0].get_clim()
    (0.0, 1.0)
    """
    ax = plot_roll(probabilities, r, dt, ax, start=start, pitches=pitches, cmap=cmap)
    ax.figure.colorbar(
        ax.images[-1],
        ax=ax,
        label="probability",
        location="top",
        anchor=(0, 0),
        shrink=0.3,
        aspect=30,
        pad=0.01,
    )
    return ax


def plot_tune(
    original: RollLike,
    generated: RollLike,
    r: tuple[int, int] = (21, 109),
    dt: float = 0.2,
    ax: Sequence[Axes] | None = None,
    *,
    primer: int = 0,
    pitches: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draw a tune, and below it the tune generated from its beginning.

    Parameters
    ----------
    original : array_like of shape (T, r[1] − r[0])
    generated : array_like of shape (T', r[1] − r[0])
        Without the primer.
    r, dt
        As for `plot_roll`.
    ax : sequence of two matplotlib.axes.Axes, optional
    primer : int
        Steps of the original that were the primer, drawn before the generated ones.
    pitches : (int, int), optional
        Lowest and highest pitch to show; by default those that sound, with a margin.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes
        They share both scales.

    Raises
    ------
    ValueError
        If a roll's shape does not fit r, or another argument is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_tune
    >>> tune = np.eye(12, 88, k=39)
    >>> above, below = plot_tune(tune, generated=tune[4:], primer=4)
    >>> below.get_title(loc="left")
    'generated'
    """
    tune, after = _check_roll(original, r), _check_roll(generated, r)
    primer = checks.check_int("primer", primer, low=0, high=len(tune))
    dt = checks.check_float("dt", dt)
    rolls = (tune, np.concatenate([tune[:primer], after]))
    pitches = sounding_pitches(rolls, r) if pitches is None else pitches
    axes = np.asarray(new_figure(9, 6).subplots(2, 1) if ax is None else ax)
    for a, roll, title in zip(axes, rolls, ("original", "generated"), strict=True):
        plot_roll(roll, r, dt, a, pitches=pitches)
        a.set_title(title, loc="left")
        a.set_xlim(0, max(map(len, rolls)) * dt)
        if primer:
            a.axvspan(0, primer * dt, color="tab:orange", alpha=0.15, lw=0)
            a.axvline(primer * dt, color="tab:orange", label="end of the primer")
    if primer:
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    axes[0].set_xlabel("")
    return axes


def sounding_pitches(
    rolls: Iterable[RollLike], r: tuple[int, int] = (21, 109), margin: int = 2
) -> tuple[int, int]:
    """Return the lowest and highest pitch that sounds, with a margin, within r.

    Parameters
    ----------
    rolls : iterable of array_like (T, r[1] − r[0])
        Where nothing sounds, all pitches of r are returned.
    r : (int, int)
        Column n is pitch r[0] + n.
    margin : int
        Semitones.

    Raises
    ------
    ValueError
        If a roll's shape does not fit r.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import sounding_pitches
    >>> sounding_pitches([np.eye(8, 88, k=39)])
    (58, 69)
    """
    checked = [_check_roll(roll, r) for roll in rolls]
    sounds = np.any([(roll > 0).any(axis=0) for roll in checked], axis=0)  # NaN: no
    found = np.flatnonzero(sounds) if sounds.any() else np.array([0, len(sounds) - 1])
    return (
        max(r[0], r[0] + int(found[0]) - margin),
        min(r[1] - 1, r[0] + int(found[-1]) + margin),
    )


def _check_roll(roll: RollLike, r: tuple[int, int]) -> np.ndarray:
    """Return a roll as an array, if its width is that of r."""
    r = checks.pitch_range(r)
    rows = checks.array("the roll", getattr(roll, "piano_roll", roll), float)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != r[1] - r[0]:
        raise ValueError(
            f"the roll has shape {rows.shape}; allowed for r = {r} are "
            f"(steps, {r[1] - r[0]}) with at least 1 step"
        )
    return rows


def _name_notes(ax: Axes, low: int, high: int) -> None:
    """Name notes on the y axis, fewer in a wider range, and rule a line at each C."""
    named = next(classes for most, classes in NAMED if high - low <= most)
    ticks = [p for p in range(low, high + 1) if p % 12 in named] or [low, high]
    ax.set_yticks(ticks, [note_name(p) for p in ticks])
    for pitch in ticks:
        if pitch % 12 == 0:
            ax.axhline(pitch, color="tab:blue", lw=0.5, alpha=0.4)
