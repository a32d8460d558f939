"""What main.py leaves in its folder: tunes as MIDI and WAV, pictures, and a page."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from page import Part, settings, write_page

from lstmmusic import musicStatistics, saveWav
from lstmmusic.plots import plotCost, plotProbabilities, plotStatistics, plotTune
from lstmmusic.statistics import noteName
from midi.utils import midiwrite

SHOWN = 150  # steps in the pictures: more are too fine to see
HEARD_S = 300  # of a tune in its WAV file: 26 MB


class Generated(NamedTuple):
    """A tune of the network's: its roll, its probabilities, warnings about it."""

    roll: np.ndarray  # (T, N)
    probabilities: np.ndarray  # (T, N)
    warnings: list


def write_results(model, original, dataset, generated, options):
    """Write all files; return a few lines about them.

    Parameters
    ----------
    model : RNN4Music
    original : MidiRoll
        The tune that generation began from.
    dataset : sequence of MidiRoll
        What was trained on.
    generated : dict of str to Generated
        By temperature.
    options : argparse.Namespace
        Those of main.py.
    """
    parts = [original_part(original, dataset, options)]
    tunes = {"original": original.piano_roll}
    lines = [summary(model, options)]
    for temperature, tune in generated.items():
        # One tune's files have plain names; of several, each has its temperature's.
        suffix = f"-{temperature}" * (len(generated) > 1)
        part = Part(f"Generated, at temperature {temperature}", [*tune.warnings])
        write_tune(part, f"generated{suffix}", tune.roll, options)
        draw_tune(part, suffix, original.piano_roll, tune, options)
        parts.append(part)
        tunes[f"generated{suffix}"] = tune.roll
        lines += [f"temperature {temperature}: {text}" for text in tune.warnings]
    statistics = {
        name: musicStatistics(roll, dataset, options.range)
        for name, roll in tunes.items()
    }
    parts += [statistics_part(statistics, options), training_part(model, options)]
    used = settings(model, original, dataset, options)
    write_page(options.out / "index.html", parts, lines[0], options.command, used)
    lines += map(in_words, statistics.items())
    page = (options.out / "index.html").resolve()
    return "\n".join([*lines, f"to see and hear it: {page.as_uri()}"])


def original_part(original, dataset, options):
    """Write the tune that the primer is of."""
    primer = min(options.primer, len(original.piano_roll))
    part = Part(
        f"The original: {Path(original.name).name}",
        [
            f"The network was given its first {primer} steps, "
            f"{primer * options.dt:g} s, and wrote what follows from there."
        ],
    )
    if not any(tune is original for tune in dataset):
        part.text.append("It was not trained on this tune.")
    write_tune(part, "original", original.piano_roll, options)
    return part


def write_tune(part, name, roll, options):
    """Write a tune's MIDI and WAV files, and name them in its part of the page."""
    midi, wav = (options.out / f"{name}{suffix}" for suffix in (".mid", ".wav"))
    for file in (midi, wav):
        file.unlink(missing_ok=True)  # of an earlier run
    heard = roll[: int(HEARD_S / options.dt)]
    if roll.any():
        midiwrite(midi, roll, options.range, options.dt)
        part.links.append(midi.name)
    if not heard.any():
        part.text.append("Nothing is to be heard of it.")
        return
    if len(heard) < len(roll):
        part.text.append(f"To be heard here: its first {HEARD_S} s.")
    try:
        saveWav(wav, heard, options.range, options.dt)
        part.wav = wav.name
    except ImportError as error:
        part.text.append(str(error))


def draw_tune(part, suffix, original, tune, options):
    """Draw a generated tune below the original, and its probabilities."""
    r, dt, primer = options.range, options.dt, min(options.primer, len(original))
    shown = max(SHOWN, primer + SHOWN // 3)
    both = original[:shown], tune.roll[: shown - primer]
    axes = plotTune(*both, r, dt, primer=primer)
    caption = "Above the original; below the primer, and what the network wrote."
    save(options, part, axes[0], f"rolls{suffix}.png", caption)
    ax = plotProbabilities(tune.probabilities[:SHOWN], r, dt, start=primer)
    caption = "What the network thought of each note, at each step that it wrote."
    save(options, part, ax, f"probabilities{suffix}.png", caption)


def statistics_part(statistics, options):
    """Draw and tabulate what the tunes are like."""
    part = Part("What they are like")
    ax = plotStatistics(statistics, options.range, options.dt)
    save(options, part, ax, "statistics.png", "How often each pitch class sounds.")
    data = next(iter(statistics.values())).dataset
    part.table = [
        ["", "notes per step", "silent steps", "notes", "held longest", "distance"],
        *(row(name, found, options.dt) for name, found in statistics.items()),
        row("training data", data, options.dt),
    ]
    part.text.append(
        "The distance, 0 to 0.69, is from the training data: lstmmusic/statistics.py."
    )
    return part


def row(name, found, dt):
    """Return the cells of a tune in the table."""
    held = "–"
    if found.longestHeldPitch is not None:
        held = f"{noteName(found.longestHeldPitch)}, {found.longestHeld * dt:.3g} s"
    return [
        name,
        f"{found.notesPerStep:.2f}",
        f"{found.silentShare:.1%}",
        str(found.distinctNotes),
        held,
        "" if found.distance is None else f"{found.distance:.3f}",
    ]


def training_part(model, options):
    """Draw the cost."""
    part = Part("Training")
    if model.instantaneousCost:
        ax = plotCost(model.instantaneousCost, steps=options.length - 1)
        save(options, part, ax, "cost.png", "What training made smaller.")
    if options.save.resolve().parent == options.out.resolve():
        part.links.append(options.save.name)
    return part


def save(options, part, ax, name, caption):
    ax.figure.savefig(options.out / name, dpi=120)
    part.pictures[name] = caption


def summary(model, options):
    """Say in a line how training went."""
    cost = model.instantaneousCost
    if not cost:
        return "Not trained."
    stopped = "" if model.trainingOver else ", stopped before its end"
    first, last = np.array([cost[0], np.mean(cost[-20:])]) / (options.length - 1)
    return (
        f"Trained for {len(cost)} updates{stopped}; cost per step: {first:.2f}, in the "
        f"end {last:.2f}."
    )


def in_words(item):
    """Say in a line what a tune is like."""
    name, found = item
    return (
        f"{name}: {found.notesPerStep:.2f} notes per step, {found.silentShare:.1%} of "
        f"the steps silent, distance from the training data {found.distance:.3f}"
    )
