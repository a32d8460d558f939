"""Pictures of piano-rolls, probabilities, statistics and cost.

Each function draws into the axes it is given, or into those of a figure of its own,
and returns them: ``plot_roll(roll).figure.savefig("roll.png")``.  Time is in seconds,
pitches have their names (C4 is middle C, MIDI 60), and the notes that never sound
above and below are cropped.  matplotlib is imported at the first call.
"""

import re

import numpy as np

from lstmmusic import checks
from lstmmusic.statistics import (
    NAMES,
    SHARES,
    MusicStatistics,
    music_statistics,
    note_name,
)

# Control characters, those that turn the direction of writing, lone surrogates: what
# Python makes of bytes that are not UTF-8.  No font has them, no file takes the last.
NOT_SHOWN = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
NATS = "nats per step"


def plot_roll(
    roll, r=(21, 109), dt=0.2, ax=None, *, start=0, pitches=None, cmap="gray_r"
):
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
        Lowest and highest pitch to show; by default those that sound, and a little.
    cmap : str

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the roll's shape does not fit r, it has no steps, or dt is not above 0.
    """
    roll, dt = _checked(roll, r), checks.check_float("dt", dt)
    ax = _axes((9, 3.2)) if ax is None else ax
    checks.check_int("start", start, low=0)
    low, high = sounding_pitches([roll], r) if pitches is None else _ordered(pitches)
    ends = (start * dt, (start + len(roll)) * dt)
    ax.imshow(
        roll.T,
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
    probabilities, r=(21, 109), dt=0.2, ax=None, *,
    start=0, pitches=None, cmap="magma_r",
):  # fmt: skip
    """Draw the probability of each note at each step, with a colour bar.

    The parameters are those of `plot_roll`; returns the axes.  The bar is above them,
    so that they are as wide as those of `plot_tune`.  ``magma_r`` gets darker evenly
    from 0 to 1; the original drew with ``cmap="gist_stern_r"``, whose order is
    hard to see.
    """
    ax = plot_roll(probabilities, r, dt, ax, start=start, pitches=pitches, cmap=cmap)
    place = {"location": "top", "anchor": (0, 0), "shrink": 0.3, "aspect": 30}
    ax.figure.colorbar(ax.images[-1], ax=ax, label="probability", pad=0.01, **place)
    return ax


def plot_tune(
    original, generated, r=(21, 109), dt=0.2, ax=None, *, primer=0, pitches=None
):
    """Draw a tune, and below it what was generated from its beginning.

    Parameters
    ----------
    original : array_like of shape (T, r[1] − r[0])
    generated : array_like of shape (T', r[1] − r[0])
        Without the primer.
    r, dt
        As for `plot_roll`.
    ax : sequence of two matplotlib.axes.Axes, optional
    primer : int
        Steps of the original that were the primer; shown before what was generated.
    pitches : (int, int), optional
        Lowest and highest pitch to show; by default those that sound, and a little.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes
        They share both scales.
    """
    original, generated = _checked(original, r), _checked(generated, r)
    primer = checks.check_int("primer", primer, low=0, high=len(original))
    dt = checks.check_float("dt", dt)
    generated = np.concatenate([original[:primer], generated])
    pitches = sounding_pitches([original, generated], r) if pitches is None else pitches
    if ax is None:
        ax = _figure((9, 6)).subplots(2, 1)
    for a, roll, title in zip(
        ax, (original, generated), ("original", "generated"), strict=True
    ):
        plot_roll(roll, r, dt, a, pitches=pitches)
        a.set_title(title, loc="left")
        a.set_xlim(0, max(len(original), len(generated)) * dt)
        if primer:
            a.axvspan(0, primer * dt, color="tab:orange", alpha=0.15, lw=0)
            a.axvline(primer * dt, color="tab:orange", label="end of the primer")
    if primer:
        ax[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    ax[0].set_xlabel("")
    return np.asarray(ax)


def plot_statistics(statistics, r=(21, 109), dt=0.2, ax=None, *, dataset="data set"):
    """Draw how often each pitch class sounds; the other numbers are in the legend.

    Parameters
    ----------
    statistics : MusicStatistics, roll, or dict of str to either
        What to draw, and the names to draw it under.  The data set that statistics
        have been compared with is drawn beside them.
    r, dt
        As for `plot_roll`.
    ax : matplotlib.axes.Axes, optional
        By default those of a figure that has what `plot_shares` draws below.
    dataset : str
        The name to draw the data set under.

    Returns
    -------
    matplotlib.axes.Axes
        Of the pitch classes.
    """
    dt = checks.check_float("dt", dt)
    drawn = _named(statistics, r, dataset)
    below = None
    if ax is None:
        heights = 2.6 + 0.2 * len(drawn), _height_of_shares(drawn)
        ax, below = _figure((9, sum(heights))).subplots(2, 1, height_ratios=heights)
    width = 0.8 / len(drawn)
    for n, (_, found) in enumerate(drawn):
        middle = np.arange(12) + (n - (len(drawn) - 1) / 2) * width
        ax.bar(middle, found.pitch_classes, width, label=f"{n}", color=f"C{n}")
    ax.set_xticks(range(12), NAMES)
    ax.set(xlim=(-0.6, 11.6), xlabel="pitch class", ylabel="share of what sounds")
    ax.yaxis.set_major_locator(_ticker().MaxNLocator(8, steps=(1, 2, 5, 10)))
    ax.yaxis.set_major_formatter(_ticker().FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    ax.set_axisbelow(True)
    ax.grid(axis="y", alpha=0.3)
    top = max(found.pitch_classes.max() for _, found in drawn)
    ax.set_ylim(0, 1.05 * top or 1)
    _name_bars(ax, [f"{name}: {_in_words(found, dt)}" for name, found in drawn])
    if below is not None:
        plot_shares(statistics, r, below, dataset=dataset)
    return ax


def plot_shares(statistics, r=(21, 109), ax=None, *, dataset="data set"):
    """Draw the shares of `MusicStatistics` that tell of harmony, melody and rhythm.

    The parameters are those of `plot_statistics`; returns the axes.
    """
    drawn = _named(statistics, r, dataset)
    ax = _axes((9, _height_of_shares(drawn))) if ax is None else ax
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
    ax.xaxis.set_major_formatter(_ticker().PercentFormatter(1, decimals=0))
    ax.set_axisbelow(True)
    ax.grid(axis="x", alpha=0.3)
    _name_bars(ax, [name for name, _ in drawn], ncols=4)
    return ax


def plot_cost(history, ax=None, *, steps=None, unit=None, window=25, validation=None):
    """Draw the cost of each update, its running median, and that of other tunes.

    Parameters
    ----------
    history : sequence of float
        What `lstmmusic.RNN4Music.train` returns; NaN is a cost that is not known.
    ax : matplotlib.axes.Axes, optional
    steps : int, optional
        Steps that each cost is summed over, lengthOfMB − 1; the cost per step is shown.
    unit : str, optional
        What the cost is drawn in, for the axis: 'nats per step' of cross-entropy,
        'halved squares per step' of squared error.
    window : int
        Updates in the running median.
    validation : sequence of (update, nats per step), optional
        On the scale of the cost if that is in nats per step (with ``steps`` and no
        ``unit`` it is taken to be), else on one of its own, right.

    Returns
    -------
    matplotlib.axes.Axes
    """
    checks.check_int("window", window)
    if steps is not None:
        checks.check_int("steps", steps)
    cost = checks.array("history", history, float) / (steps or 1)
    if cost.ndim != 1 or len(cost) == 0:
        raise ValueError(f"history has shape {cost.shape}; allowed is at least 1 cost")
    ax = _axes((7, 3.5)) if ax is None else ax
    update = np.arange(1, len(cost) + 1)
    alone = "o" if len(cost) == 1 else None  # else there is no line to see
    ax.plot(update, cost, color="0.75", lw=0.8, marker=alone, label="each update")
    if len(cost) > window:
        medians = np.median(np.lib.stride_tricks.sliding_window_view(cost, window), 1)
        middle = update[window // 2 :][: len(medians)]
        ax.plot(middle, medians, color="tab:red", lw=1.5, label=f"median of {window}")
    per_step = NATS if unit is None and steps else unit
    _scale_cost(ax, f"cost, {unit}" if unit else "cost per step" if steps else "cost")
    lines = [*ax.lines, *_plot_validation(ax, validation, per_step == NATS)]
    updates = np.concatenate([line.get_xdata() for line in lines])
    ax.set(xlabel="update", xlim=(updates.min(), max(updates.max(), 2)))
    ax.xaxis.set_major_locator(_ticker().MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend(handles=lines, frameon=False)
    return ax


def _plot_validation(ax, validation, same_scale):
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


def _scale_cost(ax, label):
    ax.set(ylabel=label, yscale="log")
    # Plain numbers: on a scale of less than two decades 10¹ alone says little.
    ax.yaxis.set_major_locator(_ticker().LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(_ticker().FormatStrFormatter("%g"))
    ax.yaxis.set_minor_formatter(_ticker().NullFormatter())


def shown(text):
    """Return a name with U+FFFD in place of what cannot be shown, or would not be seen.

    Such are control characters, those that turn the direction of writing, and the
    surrogates that stand for bytes of a file name that are not UTF-8.
    """
    return NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def _named(statistics, r, dataset):
    """Return pairs of a name and MusicStatistics, those of the data set last."""
    if not isinstance(statistics, dict):
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


def _height_of_shares(drawn):
    return 0.7 + 0.17 * len(SHARES) * (len(drawn) + 2)  # inches


def _name_bars(ax, names, ncols=1):
    """Put a legend above; names may hold what matplotlib would read as mathematics."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}
    legend = ax.legend(**place, fontsize="small", ncols=ncols)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def _in_words(statistics, dt):
    """Say what a legend has room for, times in seconds."""
    words = [
        f"{statistics.notes_per_step:.1f} notes per step",
        f"{statistics.silent_share:.0%} silent",
        checks.counted(statistics.distinct_notes, "pitch", "pitches"),
    ]
    if statistics.longest_held_pitch is not None:
        pitch = note_name(statistics.longest_held_pitch)
        words.append(f"longest note {pitch}, {statistics.longest_held * dt:.3g} s")
    if statistics.distance is not None:
        words.append(f"distance {statistics.distance:.2f}")
    return ", ".join(words)


def _checked(roll, r):
    """Return a roll as an array, if its width is that of r."""
    r = checks.pitch_range(r)
    roll = checks.array("the roll", getattr(roll, "piano_roll", roll), float)
    if roll.ndim != 2 or len(roll) == 0 or roll.shape[1] != r[1] - r[0]:
        raise ValueError(
            f"the roll has shape {roll.shape}; allowed for r = {r} are "
            f"(steps, {r[1] - r[0]}) with at least 1 step"
        )
    return roll


def sounding_pitches(rolls, r=(21, 109), margin=2):
    """Return the lowest and highest pitch that sounds, with a margin, within r."""
    rolls = [_checked(roll, r) for roll in rolls]
    sounds = np.any([(roll > 0).any(axis=0) for roll in rolls], axis=0)  # NaN: no
    found = np.flatnonzero(sounds) if sounds.any() else np.array([0, len(sounds) - 1])
    return (
        max(r[0], r[0] + int(found[0]) - margin),
        min(r[1] - 1, r[0] + int(found[-1]) + margin),
    )


def _ordered(pitches):
    """Return the argument ``pitches`` as the lowest and the highest to show."""
    try:
        low, high = pitches
    except (TypeError, ValueError):
        raise ValueError(
            f"pitches is {pitches!r:.60}; allowed are two pitches, (low, high)"
        ) from None
    low = checks.check_int("the first of pitches", low, low=0, high=127)
    return low, checks.check_int("the second of pitches", high, low=low, high=127)


def _name_notes(ax, low, high):
    """Name notes on the y axis, fewer in a wider range, and rule a line at each C."""
    wanted = next(
        (p for most, p in ((14, range(12)), (48, (0, 4, 7)), (64, (0, 7)))
         if high - low <= most),
        (0,),
    )  # fmt: skip
    ticks = [p for p in range(low, high + 1) if p % 12 in wanted] or [low, high]
    ax.set_yticks(ticks, [note_name(p) for p in ticks])
    for pitch in ticks:
        if pitch % 12 == 0:
            ax.axhline(pitch, color="tab:blue", lw=0.5, alpha=0.4)


def _figure(size):
    # Not pyplot: it keeps every figure and looks for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _axes(size):
    return _figure(size).add_subplot()


def _ticker():
    from matplotlib import ticker

    return ticker
