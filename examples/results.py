"""Write the output folder of main.py: tunes as MIDI and WAV, pictures, and a page."""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from given import continued_roll
from page import (
    PAGE,
    Part,
    line_over,
    names_of,
    render_page,
    settings,
    suffixes,
    write_folder,
)
from recipes import PRIMER, step_s, tempo
from trained import summary, training_part

from lstmmusic import music_statistics, save_wav
from lstmmusic.checks import counted
from lstmmusic.plots import (
    plot_probabilities,
    plot_roll,
    plot_statistics,
    plot_tune,
    sounding_pitches,
)
from lstmmusic.plots.times import grid_of
from lstmmusic.statistics import LONGEST_COPIED, SHARES, note_name
from midi.utils import midiwrite

SHOWN = 150  # steps in a picture; more would be too fine to see
LONGEST_PRIMER = 100  # steps of a file that is continued
HEARD_S = 300  # seconds of a tune in its WAV file, 29 MB
SOUND = (
    "The sound and the MIDI file begin after the primer, where the orange line stands "
    "in the pictures."
)
CONTINUED = (
    "The network was given {steps}, {move}, where they fit the other tunes' range and "
    "key, and went on from their end. continued.mid plays the whole file, as it is "
    "heard here, and then what the network wrote, in the file's key."
)
HARMONIZED = (
    "The network was given the top line, {move}, where it fits the other tunes' range "
    "and key. It wrote the notes below, step by step, without looking ahead; where the "
    "line rests, all is silent."
)
TRAINED_ON = {
    True: "It was among the tunes trained on.",
    False: "This tune was not trained on (as read with this --dt and --range).",
    None: "Whether it was trained on this tune is not known: the parameter file does "
    "not say.",
}


class Generated(NamedTuple):
    """Hold a generated tune, its probabilities, and the warnings that came with it."""

    roll: np.ndarray  # (T, N)
    probabilities: np.ndarray  # (T, N)
    warnings: list


class Files(dict):
    """Hold the bytes of each file that the page shows, by name.

    All are made before the first is written, so that a failure leaves the results of an
    earlier run intact.
    """

    def add(self, name, write, *args, **kwargs):
        """Add the file that ``write(file, …)`` writes; return its name."""
        file = io.BytesIO()
        write(file, *args, **kwargs)
        self[name] = file.getvalue()
        return name

    def draw(self, part, ax, name, caption, begin=None):
        """Add a picture to the files and to a part of the page.

        ``begin`` is the time, on the axis of a roll, at which the part's sound begins.
        """
        self.add(name, ax.figure.savefig, format="png", dpi=120)
        part.pictures[name] = caption
        if part.wav and begin is not None:
            part.lines[name] = line_over(ax, begin, begin + part.length)


def write_results(
    model, original, dataset, generated, options, heading="To repeat this"
):
    """Write all files; return the lines to print about them.

    Parameters
    ----------
    model : RNN4Music
    original : MidiRoll
        The tune that the primer was taken from.
    dataset : sequence of MidiRoll
        The tunes trained on.
    generated : dict of str to Generated
        By temperature.
    options : argparse.Namespace
    heading : str
        The heading of ``options.command``.
    """
    files = Files()
    known = model.wasTrainedOn(original)
    trained = options.epochs != 0 or all(map(model.wasTrainedOn, dataset))
    data = "training data" if trained else "other tunes"
    used = settings(model, original, dataset, options)
    options.grid = grid_of(None, options.dt, options.unit)
    rolls = {"original": original.piano_roll}
    for temperature, suffix in suffixes(generated).items():
        rolls[f"generated{suffix}"] = generated[temperature].roll
    statistics = {
        name: music_statistics(roll, dataset, options.range)
        for name, roll in rolls.items()
    }
    parts = [
        original_part(original, known, options, files),
        *generated_parts(original, generated, options, files),
        statistics_part(statistics, data, options, files),
        training_part(model, known, options, files),
        Part(heading, command=options.command, settings=used),
    ]
    lines = [summary(model, known)]
    page = render_page(parts, lines[0])
    left = write_folder(options.out, files, page, names_of(generated))
    for temperature, tune in generated.items():
        lines += [f"temperature {temperature}: {text}" for text in tune.warnings]
    lines += [
        statistics_line(name, found, f"the {data}")
        for name, found in statistics.items()
    ]
    lines.append(statistics_line(data, compared_with(statistics), "another tune"))
    address = (options.out / PAGE).resolve().as_uri()
    return "\n".join([*lines, *left, f"to see and hear it: {address}"])


def primer_steps(original, options):
    """Return how many steps of the original the generated tune continues."""
    if options.melody:
        return 0
    steps = len(original.piano_roll)
    return steps if options.continued else min(options.primer or PRIMER, steps)


def in_words(semitones):
    """Return in words by how many semitones a tune is transposed."""
    way = "higher" if semitones > 0 else "lower"
    return f"{counted(abs(semitones), 'semitone')} {way}" if semitones else "unchanged"


def original_part(original, known, options, files):
    """Return the part about the tune of the primer, or of the melody."""
    steps = primer_steps(original, options)
    duration = f"{counted(steps, 'step')}, {options.grid.in_words(steps)}"
    given = f"The network was given its first {duration}, and continued from there."
    if options.melody:
        given = HARMONIZED.format(move=in_words(original.semitones))
    if options.continued:
        last = f"its last {duration}" if options.primer else f"it all, {duration}"
        given = CONTINUED.format(steps=last, move=in_words(original.semitones))
        if original.lost:
            given += f" {counted(original.lost, 'cell')} of it lie outside --range."
        if between := original.whole.left_out["between steps"]:
            given += f" {counted(between, 'note')} between two steps are lost."
    name = Path(os.fsdecode(original.name)).name
    part = Part(f"The original: {name}", [given, TRAINED_ON[known]])
    roll = original.piano_roll
    add_tune(part, "original", roll, options, files)
    ax = plot_roll(roll[:SHOWN], beats_per_bar=beats_per_bar(original))
    caption = f"The original, {extent(SHOWN, len(roll), options.grid)}."
    files.draw(part, ax, "original.png", caption, 0)
    return part


def generated_parts(original, generated, options, files):
    """Return a part for each generated tune."""
    parts = []
    for temperature, suffix in suffixes(generated).items():
        tune = generated[temperature]
        done = "Harmonized" if options.melody else "Generated"
        part = Part(f"{done}, at temperature {temperature}", [*tune.warnings])
        part.text += [SOUND] * bool(tune.roll.any() and not options.melody)
        add_tune(part, f"generated{suffix}", tune.roll, options, files)
        if options.continued:
            roll = continued_roll(original, tune.roll, options)
            name = f"continued{suffix}.mid"
            meter = original.whole.time_signature if options.unit == "beats" else None
            written = {"tempo": tempo(options), "time_signature": meter}
            part.links.append(files.add(name, midiwrite, roll, **written))
        draw_tune(part, suffix, original, tune, options, files)
        parts.append(part)
    return parts


def add_tune(part, name, roll, options, files):
    """Add a tune's MIDI and WAV files, and link them in its part of the page."""
    heard = roll[: int(HEARD_S / step_s(options))]
    part.length = len(heard) * options.grid.dt
    written = {"tempo": tempo(options)}
    if roll.any():
        part.links.append(files.add(f"{name}.mid", midiwrite, roll, **written))
    if not heard.any():
        part.text.append("There is nothing to hear.")
        return
    if len(heard) < len(roll):
        part.text.append(f"The sound is of its first {HEARD_S} s.")
    part.wav = files.add(f"{name}.wav", save_wav, heard, **written)
    part.links.append(part.wav)


def draw_tune(part, suffix, original, tune, options, files):
    """Draw a generated tune below the original, and its probabilities."""
    r, grid, primer = options.range, options.grid, primer_steps(original, options)
    skipped = max(0, primer - LONGEST_PRIMER) if options.continued else 0
    primer, roll = primer - skipped, original.piano_roll[skipped:]
    begin = primer * grid.dt
    shown = max(SHOWN, primer + SHOWN // 3)
    both = roll[:shown], tune.roll[: shown - primer]
    probabilities = tune.probabilities[: shown - primer]
    if options.melody:  # given notes have the probabilities below the threshold, too
        probabilities = np.where(probabilities < options.threshold, 0, probabilities)
    pitches = sounding_pitches([*both, probabilities], r)
    bar = {"beats_per_bar": beats_per_bar(original), "pitches": pitches}
    _, lower = plot_tune(*both, primer=primer, **bar)
    steps = primer + len(tune.roll)
    below = (
        "its top line, with what the network wrote below it"
        if options.melody
        else f"the primer, up to the orange line at {grid.in_words(primer)}, and after "
        "it what the network wrote"
    )
    caption = (
        f"Above: the original, {extent(shown, len(roll), grid)}"
        + f", without its first {grid.in_words(skipped)}" * bool(skipped)
        + f". Below: {below}, "
        f"{extent(shown, steps, grid)}."
    )
    files.draw(part, lower, f"rolls{suffix}.png", caption, begin)
    time = {"dt": grid.dt, "unit": grid.unit, "start": primer}
    ax = plot_probabilities(probabilities, r, **time, **bar)
    ax.set_xlim(lower.get_xlim())
    if primer:
        ax.axvline(begin, color="tab:orange")
    caption = (
        "The probability of each note at each step that the network wrote, on the "
        f"scales of the picture above, {extent(shown, steps, grid)}."
    )
    if options.threshold:
        caption += (
            f" Those below the threshold of {options.threshold:g} are drawn as 0."
        )
    files.draw(part, ax, f"probabilities{suffix}.png", caption, begin)


def beats_per_bar(original):
    """Return the quarter notes in a bar of a tune's file; 4 if it does not say."""
    file = getattr(original, "whole", original)
    upper, lower = getattr(file, "time_signature", None) or (4, 4)
    return 4 * upper / lower


def extent(shown, steps, grid):
    """Return in words how much of a tune is shown."""
    if steps <= shown:
        return f"all {grid.in_words(steps)}"
    return f"the first {grid.in_words(shown)} of {grid.in_words(steps)}"


def statistics_part(statistics, data, options, files):
    """Return the part that compares the tunes in numbers."""
    part = Part("Statistics")
    ax = plot_statistics(statistics, dataset=data)
    caption = "How often each pitch class sounds, and the shares in the table below."
    files.draw(part, ax, "statistics.png", caption)
    compared = [*statistics.values(), compared_with(statistics)]
    columns = [column(found, data, options.grid) for found in compared]
    part.table = [
        ["", *statistics, data],
        *([name, *(cells[name] for cells in columns)] for name in columns[0]),
    ]
    part.text.append(
        f"Harmony, melody, rhythm and copied music of each tune, beside the {data}. "
        f"For the {data}, a share is the mean over tunes, and a chord or a stretch "
        "counts if it occurs in another tune (lstmmusic/statistics.py)."
    )
    return part


def compared_with(statistics):
    """Return the MusicStatistics of the data set that all tunes are compared with."""
    return next(iter(statistics.values())).dataset


def column(found, data, grid):
    """Return a tune's cells in the table, by row."""
    held = copied = "–"
    if found.longest_held_pitch is not None:
        length = grid.in_words(found.longest_held)
        held = f"{note_name(found.longest_held_pitch)}, {length}"
    if found.longest_copied is not None:
        copied = counted(found.longest_copied, "step")
    return {
        **{
            label.format(data): percent(getattr(found, name))
            for name, label in SHARES.items()
        },
        LONGEST_COPIED.format(data): copied,
        "notes per step": f"{found.notes_per_step:.2f}",
        "silent steps": f"{found.silent_share:.1%}",
        "pitches": str(found.distinct_notes),
        "held longest": held,
    }


def percent(share):
    """Return a share in percent, "–" if it is NaN."""
    return "–" if np.isnan(share) else f"{share:.1%}"


def statistics_line(name, found, others):
    """Return a line about a tune's statistics; ``others`` may have its chords, too."""
    return (
        f"{name}: {found.notes_per_step:.2f} notes per step, "
        f"{found.silent_share:.1%} of the steps silent, "
        f"{found.semitone_share:.1%} with two notes a semitone apart, "
        f"{percent(found.known_chord_share)} of the chords in {others}"
    )
