"""Draw the inside of a network: its states over a tune, and what made a note likely."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lstmmusic import checks
from lstmmusic.checks import RollLike
from lstmmusic.data.halves import pitches_of
from lstmmusic.plots.figures import new_figure
from lstmmusic.plots.rolls import plot_roll, sounding_pitches
from lstmmusic.plots.times import grid_of, scale_time
from lstmmusic.statistics import note_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage

PARTS = {
    "c": "memory, tanh(c)",
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "g": "cell input g",
    "h": "output h",
}
GATES = ("i", "f", "o")  # from 0 to 1; the others have their middle at zero
DIVERGING = "coolwarm"  # its middle is a light grey, which shows on white


class HasInfluence(Protocol):
    """Describe what `lstmmusic.RNN4Music.influence` returns for one note."""

    @property
    def past(self) -> np.ndarray: ...
    @property
    def chord(self) -> np.ndarray: ...
    @property
    def log_odds(self) -> Any: ...


def plot_states(
    states: Any,
    roll: RollLike,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Sequence[Axes] | None = None,
    *,
    unit: str | None = None,
    beats_per_bar: float = 4,
    layer: int = 1,
    parts: Sequence[str] = ("c", "i", "f", "o"),
    start: int = 0,
) -> np.ndarray:
    """Draw a tune, and below it a layer's memory and gates on the same time axis.

    Each row of a picture is a cell.  Cells whose memories go alike stand together, in
    the same order (`order_cells`) in all pictures.

    Parameters
    ----------
    states : States
        What `lstmmusic.RNN4Music.states` returns for the tune.
    roll : array_like of shape (T, N) or (T, 2 N), N = r[1] − r[0]
        The tune.
    r, dt, unit, beats_per_bar
        As for `plot_roll`.
    ax : sequence of matplotlib.axes.Axes, optional
        One for the roll, and one for each of ``parts``.
    layer : int
        1, 2 or 3.
    parts : sequence of str
        Of 'c' (memory, as tanh(c)), 'i', 'f', 'o' (gates), 'g' (cell input) and 'h'
        (output).
    start : int
        The step at which the roll begins, for the time axis.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        The roll's first.

    Raises
    ------
    ValueError
        If the roll has another length than the states, or an argument is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import RNN4Music
    >>> from lstmmusic.plots import plot_states
    >>> tune = np.eye(24, 88, k=39)
    >>> model = RNN4Music(h1_length=9, h2_length=8, h3_length=7, seed=1)
    >>> axes = plot_states(model.states(tune), tune, layer=2, parts=("c", "f"))
    >>> [ax.get_ylabel() for ax in axes]
    ['note', 'memory, tanh(c)', 'forget gate f']
    """
    number = checks.check_int("layer", layer, high=len(states.layers))
    for part in parts:
        checks.one_of("parts", part, tuple(PARTS))
    of_layer, r = states.layers[number - 1], pitches_of(roll, r)
    dt, unit = grid_of(roll, dt, unit)
    steps = len(getattr(roll, "piano_roll", roll))  # type: ignore[arg-type]
    if len(of_layer.c) != steps:
        raise ValueError(
            f"the roll has {steps} steps; allowed are those of the states, "
            f"{len(of_layer.c)}"
        )
    if ax is None:
        figure = new_figure(9, 2.6 + 1.9 * len(parts))
        heights = [1.4, *(1 for _ in parts)]
        ax = figure.subplots(1 + len(parts), sharex=True, height_ratios=heights)
    axes = np.atleast_1d(np.asarray(ax))
    plot_roll(roll, r, dt, axes[0], unit=unit, start=start).set_xlabel("")
    order, ends = order_cells(np.tanh(of_layer.c)), (start * dt, (start + steps) * dt)
    barred = set()
    for a, part in zip(axes[1:], parts, strict=True):
        values = getattr(of_layer, part)[:, order]
        image = _draw_cells(a, np.tanh(values) if part == "c" else values, part, ends)
        if (part in GATES) not in barred:
            _add_bar(a, image).set_ticks([0, 0.5, 1] if part in GATES else [-1, 0, 1])
        barred.add(part in GATES)
    axes[0].set_title(
        f"layer {number}: {len(order)} cells, like ones together", loc="left"
    )
    for a in axes[:: len(axes) - 1 or 1]:
        scale_time(a, unit, beats_per_bar)
    axes[0].set_xlabel("")
    return axes


def plot_influence(
    influence: HasInfluence,
    tune: RollLike,
    step: int,
    note: int,
    r: tuple[int, int] | None = None,
    dt: float | Fraction | None = None,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
    beats_per_bar: float = 4,
    steps: int | None = None,
) -> Axes:
    """Draw the notes before one note, coloured by what they say of it.

    Red speaks for the note, blue against it, grey does neither; a frame marks the note.
    Silent cells are white: their part is in ``influence.past``.  The colours' scale is
    that of asinh, as the last steps say far more than all others.  Of 2 N columns the N
    that say what sounds are drawn.

    Parameters
    ----------
    influence : Influence
        What `lstmmusic.RNN4Music.influence` returns for one step and note.
    tune : array_like of shape (T, N) or (T, 2 N), N = r[1] − r[0]
    step, note : int
        What it was asked: row and column of the note.
    r, dt, unit, beats_per_bar
        As for `plot_roll`.
    ax : matplotlib.axes.Axes, optional
    steps : int, optional
        Draw so many rows before the note's; by default all.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the shapes do not fit each other and ``r``, or an argument is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import RNN4Music
    >>> from lstmmusic.plots import plot_influence
    >>> tune = np.eye(24, 88, k=39)
    >>> model = RNN4Music(h1_length=9, h2_length=8, h3_length=7, seed=1)
    >>> ax = plot_influence(model.influence(tune, 20, 59), tune, 20, 59, steps=12)
    >>> ax.get_title(loc="left").split(":")[0]
    'G♯5 at 4 s'
    """
    from matplotlib.colors import AsinhNorm

    r, grid = pitches_of(tune, r), grid_of(tune, dt, unit)
    rows, past = _check_influence(influence, tune, step, note, r)
    first = max(0, step - (checks.optional(checks.check_int, "steps", steps) or step))
    shown = np.concatenate([rows, np.zeros_like(rows[:1])])[first : step + 1]
    values = np.concatenate([past, [influence.chord]])[first:, : rows.shape[1]]
    asked = np.zeros_like(shown)
    asked[-1, note % rows.shape[1]] = 1
    pitches = sounding_pitches([np.maximum(shown, asked)], r)
    time: dict[str, Any] = {
        "unit": grid.unit,
        "beats_per_bar": beats_per_bar,
        "start": first,
    }
    ax = plot_roll(shown, r, grid.dt, ax, **time, pitches=pitches)
    most = abs(values[shown > 0]).max(initial=0) or 1.0
    image = ax.imshow(
        np.ma.masked_where(shown == 0, values).T,
        cmap=DIVERGING,
        norm=AsinhNorm(most / 10, -most, most),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=ax.images[0].get_extent(),
    )
    _add_influence_bar(ax, image, most)
    pitch = r[0] + note % rows.shape[1]
    _frame(ax, step * grid.dt, grid.dt, pitch)
    name = note_name(pitch) + " struck again" * (note >= rows.shape[1])
    ax.set_title(_title(influence, name, grid.in_words(step)), loc="left")
    return ax


def _check_influence(
    influence: HasInfluence, tune: RollLike, step: int, note: int, r: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (T, N) of what sounds, and ``past``; ValueError for others."""
    past = checks.array("influence", influence.past, float)
    rows = checks.array("tune", getattr(tune, "piano_roll", tune), float)
    checks.check_int("step", step, high=len(rows))
    checks.check_int("note", note, low=0, high=rows.shape[-1] - 1)
    if past.shape != (step, rows.shape[1]):
        raise ValueError(
            f"influence.past has shape {past.shape}; allowed with step {step} and this "
            f"tune is {(step, rows.shape[1])}"
        )
    notes = r[1] - r[0]
    return rows[:, :notes] if rows.shape[1] == 2 * notes else rows, past


def order_cells(values: npt.ArrayLike) -> np.ndarray:
    """Return an order of cells in which those that go alike stand together.

    It begins with the cell of the least mean, and goes on each time with the nearest of
    those that are left, by the root of the squared differences over all steps.

    Parameters
    ----------
    values : array_like of shape (T, H)
        For memories, tanh(c) in place of c: a cell that counts has no bound.

    Returns
    -------
    ndarray of int, of shape (H,)

    Raises
    ------
    ValueError
        If there are no cells or steps, or values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic.plots import order_cells
    >>> order_cells([[0.1, 0.9, 0.2, 0.8], [0.2, 0.9, 0.1, 0.9]]).tolist()
    [0, 2, 3, 1]
    """
    courses = checks.array("values", values, float)
    if courses.ndim != 2 or 0 in courses.shape or not np.isfinite(courses).all():
        raise ValueError(
            f"values has shape {courses.shape}; allowed are finite numbers of shape "
            "(steps, cells)"
        )
    squares = (courses**2).sum(axis=0)
    distances = squares[:, None] + squares - 2 * courses.T @ courses
    order = [int(np.argmin(courses.mean(axis=0)))]
    for _ in squares[1:]:
        distances[:, order[-1]] = np.inf  # no longer left
        order.append(int(np.argmin(distances[order[-1]])))
    return np.array(order)


def _draw_cells(
    ax: Axes, values: np.ndarray, part: str, ends: tuple[float, float]
) -> AxesImage:
    """Draw (T, H), a row for each cell."""
    low, cmap = (0, "magma_r") if part in GATES else (-1, "RdBu_r")
    image = ax.imshow(
        values.T,
        cmap=cmap,
        vmin=low,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(*ends, 0, values.shape[1]),
    )
    ax.set(ylabel=PARTS[part], yticks=[])
    return image


def _add_bar(ax: Axes, image: AxesImage, label: str | None = None) -> Colorbar:
    """Put a colour bar above axes, at the right, so that they stay as wide."""
    return ax.figure.colorbar(
        image,
        ax=ax,
        label=label,
        location="top",
        anchor=(1, 0),
        shrink=0.3,
        aspect=30,
        pad=0.01,
    )


def _add_influence_bar(ax: Axes, image: AxesImage, most: float) -> None:
    bar = _add_bar(ax, image, "influence (nats)")
    bar.set_ticks([-most, -most / 5, 0, most / 5, most], minor=False)
    bar.set_ticks([], minor=True)
    bar.ax.xaxis.set_major_formatter(lambda v, _: f"{v:.2g}".replace("-", "−"))


def _frame(ax: Axes, time: float, dt: float, pitch: int) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle(
            (time, pitch - 0.5), dt, 1, fill=False, ec="black", lw=2, clip_on=False
        )
    )


def _title(influence: HasInfluence, name: str, time: str) -> str:
    odds = float(influence.log_odds)
    return f"{name} at {time}: probability {1 / (1 + np.exp(-odds)):.2g}"
