"""Measure the music of networks of main.py beside Bach's; print a Markdown table.

    python benchmarks/music.py output/parameters.npz [FILE ...]

Each network writes 8 tunes of 300 steps with main.py's settings, one for each of the
seeds 1 to 8.  Tune n begins with the first 20 steps of the nth chorale after the 120
that main.py trains on, so that no network knows its primers.  A share is the mean over
the 8 tunes, for Bach over the 120 chorales.  Chords and stretches of 8 steps are looked
up in the tunes that the network was trained on, Bach's in the other chorales.
`lstmmusic.statistics.MusicStatistics` defines each share.  A network takes seconds, the
chorales half a minute, once: they are written to the cache folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from processes import HERE, commit_of, table

sys.path.insert(0, str(HERE.parent / "examples"))

import chorales
import journey
import options as options_of_main
import recipes

from lstmmusic import RNN4Music, music_statistics
from lstmmusic.statistics import SHARES

SEEDS = range(1, 9)


def main(arguments=None):
    """Print the table of the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files = parser.parse_args(arguments).files
    columns = {}
    for file in files:
        model = RNN4Music.fromFile(file)
        options = [main_options(seed, model, file) for seed in SEEDS]
        tunes, primers = read_chorales(options[0])
        if not columns:
            bach = music_statistics(tunes[0], tunes).dataset
            columns[f"Bach, {len(tunes)} chorales"] = bach._asdict()
        columns[str(file)] = measure(model, tunes, primers, options, file)
    print(f"Commit {commit_of(HERE)}.\n")
    print_columns(columns)


def main_options(seed, model, file):
    """Return main.py's default options with a seed, and a network's format."""
    options = options_of_main.make_parser().parse_args(["--seed", str(seed)])
    recipes.take_format(options, recipes.held_format(model, file, options))
    return options


def read_chorales(options):
    """Return main.py's chorales, and as many of the next ones as there are SEEDS."""
    count = chorales.COUNT + len(SEEDS)
    folder = None
    if (cache := chorales.cache_folder()) is not None:
        folder = cache / "lstmmusic" / f"chorales-{count}"
    folder = chorales.chorales_folder(folder, count)
    options.midi = folder
    tunes = journey.read_tunes(options)
    return tunes[: chorales.COUNT], tunes[chorales.COUNT :]


def measure(model, tunes, primers, options, name):
    """Return the mean shares of the tunes that a network writes.

    Parameters
    ----------
    model : RNN4Music
    tunes : sequence of MidiRoll
        Of which the network was trained on at least one.
    primers : sequence of MidiRoll
        On which it was not.
    options : sequence of argparse.Namespace
        Those of main.py for each primer.
    name : str
        The network's, for errors.

    Returns
    -------
    dict of str to float
        With the keys of SHARES.
    """
    trained = [tune for tune in tunes if model.wasTrainedOn(tune)]
    if not trained:
        raise SystemExit(f"{name} does not say that it was trained on main.py's music")
    if known := [primer.name for primer in primers if model.wasTrainedOn(primer)]:
        raise SystemExit(f"{name} was trained on the primers {', '.join(known)}")
    found = []
    for primer, chosen in zip(primers, options, strict=True):
        (generated,) = journey.generate(model, primer, tunes, chosen).values()
        for warning in generated.warnings:
            print(f"{name}, seed {chosen.seed}: {warning}", file=sys.stderr)
        found.append(music_statistics(generated.roll, trained))
    return {
        share: float(np.nanmean([getattr(each, share) for each in found]))
        for share in SHARES
    }


def print_columns(columns):
    """Print a row for each share, in percent, a column for each name."""
    rows = [
        [
            label.format("training tunes"),
            *(f"{of[share]:.1%}" for of in columns.values()),
        ]
        for share, label in SHARES.items()
    ]
    table(["share of", *columns], rows)


if __name__ == "__main__":
    main()
