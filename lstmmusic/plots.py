"""Pictures of piano-rolls, probabilities and cost.

Each function draws into the axes it is given, or into those of a figure of its own,
and returns them: ``plotRoll(roll).figure.savefig("roll.png")``.  Time is in seconds,
pitches have their names (C4 is middle C, MIDI 60), and the notes that never sound
above and below are cropped.  matplotlib is imported at the first call.
"""

import numpy as np

NAMES = "C C♯ D D♯ E F F♯ G G♯ A A♯ B".split()


def noteName(pitch):
    """Return the name of a MIDI pitch: 60 is C4."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def plotRoll(
    roll, r=(21, 109), dt=0.2, ax=None, *, start=0, pitches=None, cmap="gray_r"
):
    """Draw a piano-roll.

    Parameters
    ----------
    roll : array_like of shape (T, r[1] − r[0])
        Values from 0 to 1.
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
        If the roll's shape does not fit r, or it has no steps.
    """
    roll = _checked(roll, r)
    ax = _axes((9, 3.2)) if ax is None else ax
    low, high = _sounding([roll], r) if pitches is None else pitches
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


def plotProbabilities(
    probabilities, r=(21, 109), dt=0.2, ax=None, *, start=0, pitches=None
):
    """Draw the probability of each note at each step, with a colour bar.

    The parameters are those of `plotRoll`; returns the axes.
    """
    ax = plotRoll(
        probabilities, r, dt, ax, start=start, pitches=pitches, cmap="gist_stern_r"
    )
    ax.figure.colorbar(ax.images[-1], ax=ax, label="probability", pad=0.01)
    return ax


def plotTune(original, generated, r=(21, 109), dt=0.2, ax=None, *, primer=0):
    """Draw a tune, and below it what was generated from its beginning.

    Parameters
    ----------
    original : array_like of shape (T, r[1] − r[0])
    generated : array_like of shape (T', r[1] − r[0])
        Without the primer.
    r, dt
        As for `plotRoll`.
    ax : sequence of two matplotlib.axes.Axes, optional
    primer : int
        Steps of the original that were the primer; shown before what was generated.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes
        They share both scales.
    """
    original, generated = _checked(original, r), _checked(generated, r)
    generated = np.concatenate([original[:primer], generated])
    pitches = _sounding([original, generated], r)
    if ax is None:
        ax = _figure((9, 6)).subplots(2, 1)
    for a, roll, title in zip(
        ax, (original, generated), ("original", "generated"), strict=True
    ):
        plotRoll(roll, r, dt, a, pitches=pitches)
        a.set_title(title, loc="left")
        a.set_xlim(0, max(len(original), len(generated)) * dt)
        if primer:
            a.axvspan(0, primer * dt, color="tab:orange", alpha=0.15, lw=0)
            a.axvline(primer * dt, color="tab:orange", label="end of the primer")
    if primer:
        ax[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    ax[0].set_xlabel("")
    return np.asarray(ax)


def plotCost(history, ax=None, *, steps=None, window=25):
    """Draw the cost of each update, and its running median.

    Parameters
    ----------
    history : sequence of float
        What `RNN4Music.train` returns.
    ax : matplotlib.axes.Axes, optional
    steps : int, optional
        Steps that each cost is summed over, lengthOfMB − 1; the cost per step is shown.
    window : int
        Updates in the running median.

    Returns
    -------
    matplotlib.axes.Axes
    """
    cost = np.asarray(history, dtype=float) / (steps or 1)
    if cost.ndim != 1 or len(cost) == 0:
        raise ValueError(f"history has shape {cost.shape}; allowed is at least 1 cost")
    ax = _axes((7, 3.5)) if ax is None else ax
    update = np.arange(1, len(cost) + 1)
    ax.plot(update, cost, color="0.75", lw=0.8, label="each update")
    if len(cost) > window:
        medians = np.median(np.lib.stride_tricks.sliding_window_view(cost, window), 1)
        middle = update[window // 2 :][: len(medians)]
        ax.plot(middle, medians, color="tab:red", lw=1.5, label=f"median of {window}")
    ax.set(xlabel="update", ylabel="cost per step" if steps else "cost", yscale="log")
    # Plain numbers: on a scale of less than two decades 10¹ alone says little.
    ax.yaxis.set_major_locator(_ticker().LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(_ticker().FormatStrFormatter("%g"))
    ax.yaxis.set_minor_formatter(_ticker().NullFormatter())
    ax.set_xlim(1, max(len(cost), 2))
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def _checked(roll, r):
    """Return a roll as an array, if its width is that of r."""
    roll = np.asarray(roll, dtype=float)
    if roll.ndim != 2 or len(roll) == 0 or roll.shape[1] != r[1] - r[0]:
        raise ValueError(
            f"the roll has shape {roll.shape}; allowed for r = {tuple(r)} are "
            f"(steps, {r[1] - r[0]}) with at least 1 step"
        )
    return roll


def _sounding(rolls, r, margin=2):
    """Return the lowest and highest pitch that sounds, with a margin, within r."""
    sounds = np.any([roll.any(axis=0) for roll in rolls], axis=0)
    found = np.flatnonzero(sounds) if sounds.any() else np.array([0, len(sounds) - 1])
    return (
        max(r[0], r[0] + int(found[0]) - margin),
        min(r[1] - 1, r[0] + int(found[-1]) + margin),
    )


def _name_notes(ax, low, high):
    """Name notes on the y axis, fewer in a wider range, and rule a line at each C."""
    wanted = next(
        (p for most, p in ((14, range(12)), (48, (0, 4, 7)), (64, (0, 7)))
         if high - low <= most),
        (0,),
    )  # fmt: skip
    ticks = [p for p in range(low, high + 1) if p % 12 in wanted] or [low, high]
    ax.set_yticks(ticks, [noteName(p) for p in ticks])
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
