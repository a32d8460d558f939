"""What main.py leaves in its folder: tunes as MIDI and WAV, pictures, and a page."""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from page import PAGE, Part, in_html, named_by, settings, write_folder

from lstmmusic import music_statistics, save_wav
from lstmmusic.checks import counted
from lstmmusic.plots import (
    plot_cost,
    plot_probabilities,
    plot_statistics,
    plot_tune,
    sounding_pitches,
)
from lstmmusic.statistics import SHARES, note_name
from midi.utils import midiwrite

SHOWN = 150  # steps in the pictures: more are too fine to see
HEARD_S = 300  # of a tune in its WAV file: 26 MB
SOUND = (
    "The sound and the MIDI file begin after the primer, where the orange line stands "
    "in the pictures."
)
TRAINED_ON = {
    True: "It was among the tunes trained on.",
    False: "It was not trained on this tune, as it is read here.",
    None: "Whether it was trained on this tune is not known: the parameter file does "
    "not say.",
}
UNKNOWN = "Whether and how it was trained is not in the parameter file."


class Generated(NamedTuple):
    """A tune of the network's: its roll, its probabilities, warnings about it."""

    roll: np.ndarray  # (T, N)
    probabilities: np.ndarray  # (T, N)
    warnings: list


class Files(dict):
    """The bytes of each file that will lie beside the page, by its name.

    None is on the disk before all are made: what fails while they are made leaves an
    earlier run's results as they were.
    """

    def add(self, name, write, *args, **kwargs):
        """Have ``write(file, …)`` write a file; return the name."""
        file = io.BytesIO()
        write(file, *args, **kwargs)
        self[name] = file.getvalue()
        return name

    def draw(self, part, ax, name, caption):
        """Add a picture, and show it in a part of the page."""
        self.add(name, ax.figure.savefig, format="png", dpi=120)
        part.pictures[name] = caption


def suffixes(temperatures):
    """Return what the names of each tune's files end in, by temperature.

    One tune's files have plain names; of several, each has its temperature's.
    """
    names = dict.fromkeys(f"{float(temperature):g}" for temperature in temperatures)
    return {name: f"-{name}" * (len(names) > 1) for name in names}


def names_of(temperatures):
    """Return the names of all files beside the page that a run may write."""
    ends = suffixes(temperatures).values()
    tunes = ["original", *(f"generated{end}" for end in ends)]
    return {
        *(f"{tune}{kind}" for tune in tunes for kind in (".mid", ".wav")),
        *(f"{kind}{end}.png" for end in ends for kind in ("rolls", "probabilities")),
        "statistics.png",
        "cost.png",
    }


def check_folder(out, temperatures=(1.0,)):
    """Raise ValueError where results would be written over a user's own files.

    Parameters
    ----------
    out : Path
        The output folder; it need not be there.
    temperatures : sequence of float
        Those of ``--temperature``, which the files' names depend on.
    """
    own = named_by(out / PAGE)
    if own is None:
        raise ValueError(
            f"{out / PAGE} is not a page of an earlier run; allowed are another --out, "
            "or to move that file away"
        )
    for name in sorted(names_of(temperatures)):
        if os.path.isdir(out / name) or (
            name not in own and os.path.lexists(out / name)
        ):
            raise ValueError(
                f"{out / name} would be written over, and no page of an earlier run "
                "names it; allowed are another --out, or to move that file away"
            )


def write_results(
    model, original, dataset, generated, options, heading="To repeat this"
):
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
    heading : str
        What ``options.command`` does.
    """
    files = Files()
    trained = options.epochs or all(map(model.wasTrainedOn, dataset))
    # Only tunes that the network has seen are its training data.
    data = "training data" if trained else "other tunes"
    parts = [original_part(model, original, options, files)]
    tunes = {"original": original.piano_roll}
    lines = [summary(model, model.wasTrainedOn(original))]
    for temperature, suffix in suffixes(generated).items():
        tune = generated[temperature]
        part = Part(f"Generated, at temperature {temperature}", [*tune.warnings])
        part.text += [SOUND] * bool(tune.roll.any())
        write_tune(part, f"generated{suffix}", tune.roll, options, files)
        draw_tune(part, suffix, original.piano_roll, tune, options, files)
        parts.append(part)
        tunes[f"generated{suffix}"] = tune.roll
        lines += [f"temperature {temperature}: {text}" for text in tune.warnings]
    statistics = {
        name: music_statistics(roll, dataset, options.range)
        for name, roll in tunes.items()
    }
    used = settings(model, original, dataset, options)
    parts += [
        statistics_part(statistics, data, options, files),
        training_part(model, model.wasTrainedOn(original), options, files),
        Part(heading, command=options.command, settings=used),
    ]
    page = in_html(parts, lines[0])
    left = write_folder(options.out, files, page, names_of(generated))
    lines += [in_words(name, found, data) for name, found in statistics.items()]
    lines += left
    page = (options.out / PAGE).resolve()
    return "\n".join([*lines, f"to see and hear it: {page.as_uri()}"])


def original_part(model, original, options, files):
    """Return the part about the tune that the primer is of."""
    primer = min(options.primer, len(original.piano_roll))
    part = Part(
        f"The original: {Path(os.fsdecode(original.name)).name}",
        [
            f"The network was given its first {primer} steps, "
            f"{primer * options.dt:g} s, and wrote what follows from there.",
            TRAINED_ON[model.wasTrainedOn(original)],
        ],
    )
    write_tune(part, "original", original.piano_roll, options, files)
    return part


def write_tune(part, name, roll, options, files):
    """Make a tune's MIDI and WAV files, and name them in its part of the page."""
    heard = roll[: int(HEARD_S / options.dt)]
    if roll.any():
        midi = files.add(f"{name}.mid", midiwrite, roll, options.range, options.dt)
        part.links.append(midi)
    if not heard.any():
        part.text.append("Nothing is to be heard of it.")
        return
    if len(heard) < len(roll):
        part.text.append(f"To be heard here: its first {HEARD_S} s.")
    try:
        part.wav = files.add(f"{name}.wav", save_wav, heard, options.range, options.dt)
        part.links.append(part.wav)
    except ImportError as error:
        part.text.append(str(error))


def draw_tune(part, suffix, original, tune, options, files):
    """Draw a generated tune below the original, and its probabilities."""
    r, dt, primer = options.range, options.dt, min(options.primer, len(original))
    shown = max(SHOWN, primer + SHOWN // 3)
    both = original[:shown], tune.roll[: shown - primer]
    probabilities = tune.probabilities[: shown - primer]
    pitches = sounding_pitches([*both, probabilities], r)
    above, _ = plot_tune(*both, r, dt, primer=primer, pitches=pitches)
    steps = primer + len(tune.roll)
    caption = (
        f"Above: the original, {seconds(shown, len(original), dt)}. Below: the primer, "
        f"up to the orange line at {primer * dt:g} s, and after it what the network "
        f"wrote, {seconds(shown, steps, dt)}."
    )
    files.draw(part, above, f"rolls{suffix}.png", caption)
    ax = plot_probabilities(probabilities, r, dt, start=primer, pitches=pitches)
    ax.set_xlim(above.get_xlim())
    ax.axvline(primer * dt, color="tab:orange")
    caption = (
        "The probability of each note at each step that the network wrote, on the "
        f"scales of the picture above, {seconds(shown, steps, dt)}."
    )
    if options.threshold:
        caption += (
            f" What is below the threshold of {options.threshold:g} is drawn as 0."
        )
    files.draw(part, ax, f"probabilities{suffix}.png", caption)


def seconds(shown, steps, dt):
    """Say how much of a tune is shown."""
    whole = f"{steps * dt:g} s"
    return (
        f"all {whole}" if steps <= shown else f"the first {shown * dt:g} s of {whole}"
    )


def statistics_part(statistics, data, options, files):
    """Draw and tabulate what the tunes are like."""
    part = Part("What they are like")
    ax = plot_statistics(statistics, options.range, options.dt, dataset=data)
    caption = "How often each pitch class sounds, and shares that tell of harmony, "
    files.draw(part, ax, "statistics.png", caption + "melody and rhythm.")
    compared = [*statistics.values(), next(iter(statistics.values())).dataset]
    columns = [column(found, data, options.dt) for found in compared]
    part.table = [
        ["", *statistics, data],
        *([name, *(cells[name] for cells in columns)] for name in columns[0]),
    ]
    part.text += [
        f"The distance, 0 to 0.69, is from the {data}: how unlike the pitch classes, "
        "the notes at once and the lengths of notes are. It sees neither harmony nor "
        "melody; the seven shares above it in the table see some of these.",
        f"For the {data}, each of these shares is the mean over tunes, and a chord "
        "counts if it occurs in another tune (lstmmusic/statistics.py).",
    ]
    return part


def column(found, data, dt):
    """Return the cells of a tune in the table, by what they tell."""
    held = "–"
    if found.longest_held_pitch is not None:
        held = f"{note_name(found.longest_held_pitch)}, {found.longest_held * dt:.3g} s"
    shares = {
        label.format(data): getattr(found, name) for name, label in SHARES.items()
    }
    return {
        "notes per step": f"{found.notes_per_step:.2f}",
        "silent steps": f"{found.silent_share:.1%}",
        "pitches": str(found.distinct_notes),
        "held longest": held,
        **{
            label: "–" if np.isnan(share) else f"{share:.1%}"
            for label, share in shares.items()
        },
        "distance": "–" if found.distance is None else f"{found.distance:.3f}",
    }


def training_part(model, known, options, files):
    """Draw the cost; tell the commands and settings of each training.

    ``known`` is None where it is not known whether the network was trained.
    """
    part = Part("How it was trained")
    cost = np.asarray(model.costPerStep, float)
    if np.isfinite(cost).any():
        ax = plot_cost(cost, unit=f"{unit_of(model)} per step")
        caption = f"The cost of each update, in {unit_of(model)} per step."
        files.draw(part, ax, "cost.png", caption)
    elif len(cost):
        part.text.append("Its cost per step is not in the parameter file.")
    for n, training in enumerate(model.trainings, 1):
        used = {
            name: value
            for name, value in training.items()
            if name != "command" and value is not None
        }
        if str(used.get("validation", "")).startswith("0 tunes"):
            del used["validation"]
        heading = f"Training {n} of {len(model.trainings)}"
        command = training["command"]
        part.parts.append(Part(heading, command=command, settings=used))
    if len(cost) and not model.trainings:
        part.text.append("Its settings are not in the parameter file.")
    if not len(cost):
        part.text.append(UNKNOWN if known is None else "It was not trained.")
    beside = options.save.resolve().parent == options.out.resolve()
    if beside and options.save.is_file():
        part.links.append(options.save.name)
    return part


def unit_of(model):
    return "halved squares" if model.cost == "squared-error" else "nats"


def summary(model, known):
    """Say in a line how training went; ``known`` is None where it is not known."""
    cost = np.asarray(model.costPerStep, float)
    if not len(cost):
        return UNKNOWN if known is None else "Not trained."
    stopped = "" if model.trainingOver else ", stopped before its end"
    line = f"Trained for {counted(len(cost), 'update')}{stopped}"
    last = cost[-20:]
    last = last[np.isfinite(last)]
    if not len(last):
        return f"{line}; cost per step: not known."
    unit = unit_of(model)
    first = (
        f"{cost[0]:.2f} {unit} at first"
        if np.isfinite(cost[0])
        else "not known at first"
    )
    return f"{line}; cost per step: {first}, {last.mean():.2f} {unit} in the end."


def in_words(name, found, data):
    """Say in a line what a tune is like."""
    return (
        f"{name}: {found.notes_per_step:.2f} notes per step, "
        f"{found.silent_share:.1%} of the steps silent, "
        f"{found.semitone_share:.1%} with two notes a semitone apart, "
        f"distance from the {data} {found.distance:.3f}"
    )
