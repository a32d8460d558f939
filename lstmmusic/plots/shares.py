"""Draw `MusicStatistics`: pitch classes, and the shares that tell of harmony."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sized
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.plots.figures import new_axes, new_figure, ticker
from lstmmusic.plots.times import Grid, grid_of
from lstmmusic.statistics import (
    NAMES,
    SHARES,
    MusicStatistics,
    music_statistics,
    note_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Control characters, characters that turn the direction of writing, and lone
# surrogates, by which Python stands for bytes that are not UTF-8.  No font has them,
# and no file takes the last.
NOT_SHOWN = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
Describable = MusicStatistics | RollLike


def plot_statistics(
    statistics: Describable | Mapping[str, Describable],
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
    dataset: str = "data set",
) -> Axes:
    """Draw how often each pitch class sounds; the legend tells the other numbers.

    Parameters
    ----------
    statistics : MusicStatistics, roll, or dict of str to either
        What to draw, under which names.  The data set that statistics have been
        compared with is drawn beside them.
    r, dt, unit
        As for `plot_roll`; by default those of each tune.
    ax : matplotlib.axes.Axes, optional
        By default the upper axes of a new figure, with `plot_shares` below.
    dataset : str
        The name of the data set in the legend.

    Returns
    -------
    matplotlib.axes.Axes
        Of the pitch classes.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a roll is not one of zeros and ones that fits r.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import music_statistics
    >>> from lstmmusic.plots import plot_statistics
    >>> tune = np.eye(12, 88, k=39)
    >>> ax = plot_statistics({"tune": music_statistics(tune, [tune]), "half": tune[6:]})
    >>> [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    ['tune', 'half', 'data set']
    """
    grid_of(None, dt, unit)  # checks them
    drawn = _named(statistics, r, dataset)
    below = None
    if ax is None:
        heights = 2.6 + 0.2 * len(drawn), _height_of_shares(drawn)
        ax, below = new_figure(9, sum(heights)).subplots(2, 1, height_ratios=heights)
    width = 0.8 / len(drawn)
    for n, (_, found) in enumerate(drawn):
        middle = np.arange(12) + (n - (len(drawn) - 1) / 2) * width
        ax.bar(middle, found.pitch_classes, width, label=f"{n}", color=f"C{n}")
    ax.set_xticks(range(12), NAMES)
    ax.set(xlim=(-0.6, 11.6), xlabel="pitch class", ylabel="share of what sounds")
    ax.yaxis.set_major_locator(ticker().MaxNLocator(8, steps=(1, 2, 5, 10)))
    ax.yaxis.set_major_formatter(ticker().FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    _rule_behind(ax, "y")
    top = max(found.pitch_classes.max() for _, found in drawn)
    ax.set_ylim(0, 1.05 * top or 1)
    _name_bars(
        ax,
        [
            f"{name}: {_in_words(found, grid_of(found, dt, unit))}"
            for name, found in drawn
        ],
    )
    if below is not None:
        plot_shares(statistics, r, below, dataset=dataset)
    return ax


def plot_shares(
    statistics: Describable | Mapping[str, Describable],
    r: tuple[int, int] | None = None,
    ax: Axes | None = None,
    *,
    dataset: str = "data set",
) -> Axes:
    """Draw the shares of `MusicStatistics` that tell of harmony, melody and rhythm.

    The parameters and errors are those of `plot_statistics`.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import plot_shares
    >>> ax = plot_shares(np.eye(12, 88, k=39))
    >>> ax.get_xlim() == (0, 1.08)
    True
    """
    drawn = _named(statistics, r, dataset)
    ax = new_axes(9, _height_of_shares(drawn)) if ax is None else ax
    lines = len(drawn) + 2  # of each share: its label, its bars, an empty one
    for n, (_, found) in enumerate(drawn):
        y = np.arange(len(SHARES)) * lines + n
        shares = [getattr(found, name) for name in SHARES]
        bars = ax.barh(y, np.nan_to_num(shares), 0.9, color=f"C{n}", label=n)
        numbers = ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]
        ax.bar_label(bars, numbers, padding=2, fontsize="small")
    for n, label in enumerate(SHARES.values()):
        text = label.format(shown(dataset))
        ax.text(0.002, n * lines - 1, text, va="center", parse_math=False)
    ax.set(xlim=(0, 1.08), ylim=(len(SHARES) * lines - 1.5, -2), yticks=[])
    ax.xaxis.set_major_formatter(ticker().PercentFormatter(1, decimals=0))
    _rule_behind(ax, "x")
    _name_bars(ax, [name for name, _ in drawn], ncols=4)
    return ax


def shown(text: str) -> str:
    """Return a name with U+FFFD for each character that cannot be shown or seen.

    These are control characters, characters that turn the direction of writing, and
    the surrogates that stand for bytes of a file name that are not UTF-8.

    Examples
    --------
    >>> from lstmmusic.plots import shown
    >>> shown("caf\\udce9.mid")
    'caf�.mid'
    """
    return NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def _named(
    statistics: Describable | Mapping[str, Describable],
    r: tuple[int, int] | None,
    dataset: str,
) -> list[tuple[str, MusicStatistics]]:
    """Return pairs of a name and MusicStatistics, those of the data set last."""
    if not isinstance(statistics, Mapping):
        statistics = {"tune": statistics}
    if not statistics:
        raise ValueError("statistics is empty; allowed is at least 1 tune")
    drawn, compared = [], []
    for name, found in statistics.items():
        if not isinstance(found, MusicStatistics):
            found = music_statistics(found, r=r)
        drawn.append((shown(name), found))
        if found.dataset is not None:
            compared = [(shown(dataset), found.dataset)]
    return drawn + compared


def _height_of_shares(drawn: Sized) -> float:
    return 0.7 + 0.17 * len(SHARES) * (len(drawn) + 2)  # inches


def _rule_behind(ax: Axes, axis: Literal["x", "y"]) -> None:
    """Draw the grid lines of an axis behind the bars."""
    ax.set_axisbelow(True)
    ax.grid(axis=axis, alpha=0.3)


def _name_bars(ax: Axes, names: list[str], ncols: int = 1) -> None:
    """Put a legend above; a name is not parsed as mathematics."""
    place: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}
    legend = ax.legend(**place, fontsize="small", ncols=ncols)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def _in_words(statistics: MusicStatistics, grid: Grid) -> str:
    """Return the numbers that a legend has room for."""
    words = [
        f"{statistics.notes_per_step:.1f} notes per step",
        f"{statistics.silent_share:.0%} silent",
        checks.counted(statistics.distinct_notes, "pitch", "pitches"),
    ]
    if statistics.longest_held_pitch is not None:
        pitch = note_name(statistics.longest_held_pitch)
        words.append(f"longest note {pitch}, {grid.in_words(statistics.longest_held)}")
    return ", ".join(words)
