"""Scale the time axis: seconds, or bars and beats."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from lstmmusic import checks
from lstmmusic.data.formats import format_of
from lstmmusic.plots.figures import ticker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DT = 0.2  # of rolls without a format
MOST_BARS, MOST_BEATS = 20, 80  # with a number, and with a tick


class Grid(NamedTuple):
    """Hold the time from one row to the next."""

    dt: float
    unit: str  # 'seconds' or 'beats'

    def in_words(self, steps: int) -> str:
        """Return how long so many steps last: 1.5 s, 1 beat, 6 beats."""
        time = steps * self.dt
        length = f"{time:.4g}" if time < 1000 else f"{time:.0f}"
        if self.unit == "seconds":
            return f"{length} s"
        return f"{length} beat{'s' * (length != '1')}"


def grid_of(roll: Any, dt: float | Fraction | None, unit: str | None) -> Grid:
    """Return the Grid of a roll or of MusicStatistics.

    By default dt and unit are those of the format, if there is one, as in `midiwrite`.

    Raises
    ------
    ValueError
        If the unit is not that of the format, and there is no dt.
    """
    format = format_of(roll)
    own_unit = "seconds" if format is None else format.unit
    unit = own_unit if unit is None else unit
    checks.one_of("unit", unit, ("seconds", "beats"))
    if dt is None and format is not None:
        if unit != own_unit:
            raise ValueError(
                f"unit is {unit!r}, and the roll's dt is {format.dt} in {own_unit}; "
                f"allowed is a dt in {unit} as well"
            )
        dt = format.dt
    return Grid(checks.check_float("dt", DT if dt is None else dt), unit)


def scale_time(ax: Axes, unit: str, beats_per_bar: float) -> None:
    """Name the time axis; in beats, number the bars, and rule a line at each.

    The first bar begins at beat 0.  Long tunes have a number for every other bar, every
    fourth, and so on.
    """
    beats_per_bar = checks.check_float("beats_per_bar", beats_per_bar)
    if unit == "seconds":
        ax.set_xlabel("time (s)")
        return
    first, end = ax.get_xlim()
    bars = (end - first) / beats_per_bar
    every = 2 ** max(0, math.ceil(math.log2(bars / MOST_BARS)))
    locators, axis = ticker(), ax.xaxis
    axis.set_major_locator(locators.MultipleLocator(every * beats_per_bar))
    axis.set_major_formatter(
        locators.FuncFormatter(lambda beat, _: f"{1 + round(beat / beats_per_bar)}")
    )
    if end - first <= MOST_BEATS:
        axis.set_minor_locator(locators.MultipleLocator(1))
    ax.grid(axis="x", color="tab:blue", lw=0.5, alpha=0.4)
    ax.set_xlabel(f"bar ({beats_per_bar:g} beats)")
