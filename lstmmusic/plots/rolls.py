"""Draw piano-rolls: a tune, probabilities, a tune above the one generated from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.data.formats import check_same_time
from lstmmusic.data.halves import pitches_of
from lstmmusic.plots.figures import new_axes, new_figure
from lstmmusic.plots.times import grid_of, scale_time
from lstmmusic.statistics import note_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Which pitches of an octave are named on an axis, while it shows at most so many.
GAP = 1.6  # points, before a note struck again
NAMED = ((14, range(12)), (48, (0, 4, 7)), (64, (0, 7)), (128, (0,)))


def plot_roll(
    roll: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
    beats_per_bar: float = 4,
    start: int = 0,
    pitches: tuple[int, int] | None = None,
    cmap: str = "gray_r",
) -> Axes:
    """Draw a piano-roll.

    Parameters
    ----------
    roll : array_like of shape (T, N) or (T, 2 N), N = r[1] − r[0]
        Values from 0 to 1; or what `midi.midiread` returns.  Of 2 N columns, the second
        N are 1 where a note is struck again: there the note has a gap.
    r : (int, int), optional
        Column n is pitch r[0] + n.  By default the roll's own, if it has a format, else
        (21, 109).
    dt : float or Fraction, optional
        From one row to the next, in seconds or beats, as ``unit``.  By default the
        roll's own, if it has a format, else 0.2.
    ax : matplotlib.axes.Axes, optional
    unit : {'seconds', 'beats'}, optional
        With 'beats', which are quarter notes, the axis shows bars and beats.  By
        default that of the roll's format, if it has one, else 'seconds'.
    beats_per_bar : float
        Quarter notes in a bar: 4, or 3 for 3/4 and 6/8.
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
        If the roll's shape does not fit r, it has no steps, or another argument is not
        allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_roll
    >>> scale = np.eye(8, 88, k=39)
    >>> ax = plot_roll(scale, dt=0.5)
    >>> ax.get_xlim() == (0, 4)  # seconds
    True
    >>> plot_roll(scale, dt=0.5, unit="beats").get_xlabel()
    'bar (4 beats)'
    >>> ax.figure.savefig("scale.png")
    """
    r, (dt, unit) = pitches_of(roll, r), grid_of(roll, dt, unit)
    rows = _check_roll(roll, r)
    notes = r[1] - r[0]
    ax = new_axes(9, 3.2) if ax is None else ax
    checks.check_int("start", start, low=0)
    if pitches is None:
        pitches = sounding_pitches([rows], r)
    low, high = checks.pitch_range(pitches, "pitches", apart=0)
    ends = (start * dt, (start + len(rows)) * dt)
    image = ax.imshow(
        rows[:, :notes].T,
        cmap=cmap,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(*ends, r[0] - 0.5, r[1] - 0.5),
    )
    ax.set(xlim=ends, ylim=(low - 0.5, high + 0.5), ylabel="note")
    if rows.shape[1] > notes:
        _draw_gaps(image, rows[:, notes:])
    scale_time(ax, unit, beats_per_bar)
    _name_notes(ax, low, high)
    return ax


def plot_probabilities(
    probabilities: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
    beats_per_bar: float = 4,
    start: int = 0,
    pitches: tuple[int, int] | None = None,
    cmap: str = "magma_r",
) -> Axes:
    """Draw the probability of each note at each step, with a colour bar.

    The parameters and errors are those of `plot_roll`.  A gap is as clear as the note's
    being struck again is probable.

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
    ax = plot_roll(
        probabilities,
        r,
        dt,
        ax,
        unit=unit,
        beats_per_bar=beats_per_bar,
        start=start,
        pitches=pitches,
        cmap=cmap,
    )
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
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Sequence[Axes] | None = None,
    *,
    unit: str | None = None,
    beats_per_bar: float = 4,
    primer: int = 0,
    pitches: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draw a tune, and below it the tune generated from its beginning.

    Parameters
    ----------
    original : array_like of shape (T, N) or (T, 2 N)
    generated : array_like of shape (T', N) or (T', 2 N)
        Without the primer.
    r, dt, unit, beats_per_bar
        As for `plot_roll`; by default those of the original.
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
        If a roll's shape does not fit r, the two are known to differ in pitches, dt or
        unit, or another argument is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_tune
    >>> tune = np.eye(12, 88, k=39)
    >>> above, below = plot_tune(tune, generated=tune[4:], primer=4)
    >>> below.get_title(loc="left")
    'generated'
    """
    check_same_time("the generated tune", generated, "the original has", original)
    r, (dt, unit) = pitches_of(original, r), grid_of(original, dt, unit)
    tune, after = _check_roll(original, r), _check_roll(generated, r)
    primer = checks.check_int("primer", primer, low=0, high=len(tune))
    width = max(tune.shape[1], after.shape[1])
    tune, after = (
        np.pad(roll, ((0, 0), (0, width - roll.shape[1]))) for roll in (tune, after)
    )
    rolls = (tune, np.concatenate([tune[:primer], after]))
    pitches = sounding_pitches(rolls, r) if pitches is None else pitches
    axes = np.asarray(new_figure(9, 6).subplots(2, 1) if ax is None else ax)
    for a, roll, title in zip(axes, rolls, ("original", "generated"), strict=True):
        plot_roll(roll, r, dt, a, unit=unit, pitches=pitches)
        a.set_title(title, loc="left")
        a.set_xlim(0, max(map(len, rolls)) * dt)
        scale_time(a, unit, beats_per_bar)
        if primer:
            a.axvspan(0, primer * dt, color="tab:orange", alpha=0.15, lw=0)
            a.axvline(primer * dt, color="tab:orange", label="end of the primer")
    if primer:
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    axes[0].set_xlabel("")
    return axes


def sounding_pitches(
    rolls: Iterable[RollLike], r: tuple[int, int] | None = None, margin: int = 2
) -> tuple[int, int]:
    """Return the lowest and highest pitch that sounds, with a margin, within r.

    Parameters
    ----------
    rolls : iterable of array_like (T, N) or (T, 2 N), N = r[1] − r[0]
        Where nothing sounds, all pitches of r are returned.
    r : (int, int), optional
        Column n is pitch r[0] + n.  By default the first roll's own, if it has a
        format, else (21, 109).
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
    rolls = list(rolls)
    r = pitches_of(rolls[0] if rolls else None, r)
    checked = [_check_roll(roll, r)[:, : r[1] - r[0]] for roll in rolls]
    sounds = np.any([(roll > 0).any(axis=0) for roll in checked], axis=0)  # NaN: no
    found = np.flatnonzero(sounds) if sounds.any() else np.array([0, len(sounds) - 1])
    return (
        max(r[0], r[0] + int(found[0]) - margin),
        min(r[1] - 1, r[0] + int(found[-1]) + margin),
    )


def _check_roll(roll: RollLike, r: tuple[int, int]) -> np.ndarray:
    """Return a roll as an array, if its width is N or 2 N of r."""
    notes = r[1] - r[0]
    rows = checks.array("the roll", getattr(roll, "piano_roll", roll), float)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] not in (notes, 2 * notes):
        raise ValueError(
            f"the roll has shape {rows.shape}; allowed for r = {r} are "
            f"(steps, {notes}), or (steps, {2 * notes}) with notes struck again, with "
            "at least 1 step"
        )
    return rows


def _draw_gaps(image: AxesImage, restruck: np.ndarray) -> None:
    """Draw a line, in the colour of silence, before each note struck again."""
    step, column = np.nonzero(restruck > 0)  # NaN: no
    silence = image.cmap(0.0)[:3]
    colours = [(*silence, probability) for probability in restruck[step, column]]
    first, end, lowest, _ = image.get_extent()
    time = first + step * (end - first) / len(restruck)
    ax = image.axes
    points = 72 * ax.get_window_extent().width / ax.figure.dpi / len(restruck)
    width = min(GAP, 0.4 * points)  # of a narrow step, less than half
    ax.vlines(time, lowest + column, lowest + column + 1, colours, lw=width)


def _name_notes(ax: Axes, low: int, high: int) -> None:
    """Name notes on the y axis, fewer in a wider range, and rule a line at each C."""
    named = next(classes for most, classes in NAMED if high - low <= most)
    ticks = [p for p in range(low, high + 1) if p % 12 in named] or [low, high]
    ax.set_yticks(ticks, [note_name(p) for p in ticks])
    for pitch in ticks:
        if pitch % 12 == 0:
            ax.axhline(pitch, color="tab:blue", lw=0.5, alpha=0.4)
