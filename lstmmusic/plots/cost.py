"""Draw the cost of a training, and of the tunes to validate with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lstmmusic import checks
from lstmmusic.plots.figures import new_axes, ticker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NATS = "nats per step"
Pairs = Sequence[tuple[int, float]] | np.ndarray  # updates, nats per step


def plot_cost(
    history: npt.ArrayLike,
    ax: Axes | None = None,
    *,
    steps: int | None = None,
    unit: str | None = None,
    window: int = 25,
    validation: Pairs | None = None,
) -> Axes:
    """Draw the cost of each update, its running median, and the validation cost.

    Parameters
    ----------
    history : sequence of float
        The costs that `lstmmusic.RNN4Music.train` returns; NaN is an unknown cost.
    ax : matplotlib.axes.Axes, optional
    steps : int, optional
        Steps that each cost is summed over, lengthOfMB − 1, to draw the cost per step.
    unit : str, optional
        Unit of the cost, for the axis: 'nats per step' of cross-entropy, 'halved
        squares per step' of squared error.
    window : int
        Updates in the running median.
    validation : sequence of (update, nats per step), optional
        On the scale of the cost if that is in nats per step (as it is taken to be with
        ``steps`` and no ``unit``), else on a second scale, right.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no cost, or an argument is not allowed.

    Examples
    --------
    >>> from lstmmusic.plots import plot_cost
    >>> ax = plot_cost([9.0, 7.5, 7.0], unit="nats per step", validation=[(3, 7.2)])
    >>> ax.get_ylabel()
    'cost, nats per step'
    """
    checks.check_int("window", window)
    if steps is not None:
        checks.check_int("steps", steps)
    cost = checks.array("history", history, float) / (steps or 1)
    if cost.ndim != 1 or len(cost) == 0:
        raise ValueError(f"history has shape {cost.shape}; allowed is at least 1 cost")
    ax = new_axes(7, 3.5) if ax is None else ax
    update = np.arange(1, len(cost) + 1)
    marker = "o" if len(cost) == 1 else None  # one point makes no line
    ax.plot(update, cost, color="0.75", lw=0.8, marker=marker, label="each update")
    if len(cost) > window:
        medians = np.median(np.lib.stride_tricks.sliding_window_view(cost, window), 1)
        middle = update[window // 2 :][: len(medians)]
        ax.plot(middle, medians, color="tab:red", lw=1.5, label=f"median of {window}")
    per_step = NATS if unit is None and steps else unit
    _scale_cost(ax, f"cost, {unit}" if unit else "cost per step" if steps else "cost")
    lines = [*ax.lines, *_plot_validation(ax, validation, per_step == NATS)]
    updates = np.concatenate([line.get_xdata() for line in lines])
    ax.set(xlabel="update", xlim=(updates.min(), max(updates.max(), 2)))
    ax.xaxis.set_major_locator(ticker().MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend(handles=lines, frameon=False)
    return ax


def _plot_validation(
    ax: Axes, validation: Pairs | None, same_scale: bool
) -> list[Line2D]:
    """Draw (update, nats per step) into ax, or over it, and return the lines."""
    if validation is None or len(validation) == 0:
        return []
    validation = np.asarray(validation, dtype=float)
    if validation.ndim != 2 or validation.shape[1] != 2:
        raise ValueError(
            f"validation has shape {validation.shape}; "
            "allowed are pairs (update, nats per step)"
        )
    if not same_scale:
        ax = ax.twinx()
        _scale_cost(ax, f"validation, {NATS}")
    return ax.plot(
        *validation.T, color="tab:blue", lw=1.5, marker="o", ms=3, label="validation"
    )


def _scale_cost(ax: Axes, label: str) -> None:
    ax.set(ylabel=label, yscale="log")
    # Plain numbers: on a scale of less than two decades 10¹ alone says little.
    ax.yaxis.set_major_locator(ticker().LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ticker().FormatStrFormatter("%g"))
    ax.yaxis.set_minor_formatter(ticker().NullFormatter())
