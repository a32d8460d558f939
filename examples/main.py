"""From MIDI files to new music: read, train, generate, write, draw.

With no arguments: Bach's chorales, in under three minutes on two cores.
"""

import numpy as np
from chorales import chorales_folder
from options import MINIBATCH, RATES, SIZES, make_parser

from lstmmusic import RNN4Music, TrainingError, markSilence, unmarkSilence
from lstmmusic.plots import plotCost, plotProbabilities, plotTune
from midi.utils import midiwrite, readFolder

SHOWN = 150  # steps in the pictures: more are too fine to see
MAJOR = (0, 2, 4, 5, 7, 9, 11)


def main(arguments=None):
    """Do the whole journey; the options are those of ``--help``."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        model = make_model(options)  # refuses bad options before music is read
        options.out.mkdir(parents=True, exist_ok=True)
        tunes = read_tunes(options)
        original, pieces = split(tunes, options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{len(tunes)} tunes, cut into {len(pieces)} pieces\n{model}", flush=True)
    path = options.save or options.out / "parameters.npz"
    before = len(model.instantaneousCost)
    try:
        train(model, pieces, options)
    except (TrainingError, KeyboardInterrupt) as error:
        model.saveParameters(path)
        reason = str(error) or "stopped"
        parser.exit(1, f"{parser.prog}: {reason} (weights so far: {path})\n")
    model.saveParameters(path)
    generated, probabilities = generate(model, original, tunes, options)
    if generated.any():
        midiwrite(options.out / "generated.mid", generated, options.range, options.dt)
    draw(model, original, generated, probabilities, options)
    print(describe(model.instantaneousCost[before:], original, generated, options))
    print(f"written to {options.out.resolve()}")


def make_model(options):
    """Return a new network, or the one that ``--load`` names."""
    low, high = options.range
    if low >= high:
        raise ValueError(f"--range is {low} {high}; allowed is LOW below HIGH")
    if options.steps * options.dt > 86400:
        raise ValueError(f"--steps is {options.steps} and --dt {options.dt:g}; allowed "
                         "are 24 hours of music")  # fmt: skip
    if options.save and not options.save.resolve().parent.is_dir():
        raise ValueError(f"--save is {options.save}; allowed is a file in a folder "
                         "that exists")  # fmt: skip
    if options.load is None:
        return RNN4Music(
            *(options.sizes or SIZES),
            high - low,
            *(options.rates or RATES),
            cost=options.cost or "cross-entropy",
            genProbThreshold=options.threshold,
            seed=options.seed,
            mode=options.mode,
        )
    model = RNN4Music.fromFile(options.load, mode=options.mode)
    for name, given, held in (
        ("--sizes", options.sizes, list(model.h_lengths)),
        ("--cost", options.cost, model.cost),
        ("width of --range", high - low, model.io_length),
    ):
        if given not in (None, held):
            raise ValueError(f"{name} is {given}, but {options.load} has {held}")
    if options.rates:
        model.setNewRates(*options.rates)
    model.genProbThreshold = options.threshold
    return model


def read_tunes(options):
    """Return the piano-rolls of ``--midi``, or of Bach's chorales."""
    try:
        folder = options.midi or chorales_folder()
    except ImportError:
        raise ValueError(
            "music21, which holds the chorales, is not installed: "
            "pip install music21, or give --midi FOLDER"
        ) from None
    return [tune.piano_roll for tune in readFolder(folder, options.range, options.dt)]


def split(tunes, options):
    """Return the tune of the primer, and pieces of the others to train on.

    Each piece begins half its length after the one before: training takes tunes from
    their beginning and would never see the end of a long one.  If there are too few
    tunes to keep one apart, all are trained on.
    """
    chosen = np.random.default_rng(options.seed).integers(len(tunes))
    marked = markSilence(tunes)
    rest = marked[:chosen] + marked[chosen + 1 :] or marked
    length, hop = options.length, options.length // 2
    pieces = [
        tune[start : start + length]
        for tune in rest
        for start in range(0, max(len(tune) - hop, 1), hop)
    ]
    if options.minibatch is None:
        options.minibatch = min(MINIBATCH, len(pieces))
    if options.minibatch > len(pieces):
        raise ValueError(
            f"--minibatch is {options.minibatch}, but the music gives {len(pieces)} "
            f"pieces; allowed are 1 to {len(pieces)}"
        )
    return tunes[chosen], pieces


def train(model, pieces, options):
    """Train; the last fifth of the epochs with a quarter of the rates."""
    rates = model.R1, model.R2, model.R3, model.Rout
    slow = options.epochs // 5
    for epochs, factor in ((options.epochs - slow, 1), (slow, 0.25)):
        if epochs:
            model.setNewRates(*(factor * rate for rate in rates))
            model.train(
                pieces, options.updates, epochs, options.minibatch, options.length
            )
    model.setNewRates(*rates)


def generate(model, original, tunes, options):
    """Return what follows the primer, with its marks of silence taken away again."""
    (primer,) = markSilence([original[: options.primer]])
    generated, probabilities = model.genMusic(
        np.float32(primer), options.steps, seed=options.seed
    )
    generated = unmarkSilence(generated)
    if not any(tune[:, 0].any() for tune in tunes):
        # The lowest note never sounds in the music: it is a mark wherever it stands.
        generated[:, 0] = probabilities[:, 0] = 0
    return generated, probabilities


def draw(model, original, generated, probabilities, options):
    """Save the pictures."""
    r, dt, primer = options.range, options.dt, min(options.primer, len(original))
    shown = max(SHOWN, primer + SHOWN // 3)
    axes = plotTune(
        original[:shown], generated[: shown - primer], r, dt, primer=primer
    )  # fmt: skip
    axes[0].figure.savefig(options.out / "rolls.png", dpi=120)
    ax = plotProbabilities(probabilities[:SHOWN], r, dt, start=primer)
    ax.figure.savefig(options.out / "probabilities.png", dpi=120)
    if model.instantaneousCost:
        ax = plotCost(model.instantaneousCost, steps=options.length - 1)
        ax.figure.savefig(options.out / "cost.png", dpi=120)


def describe(history, original, generated, options):
    """Say in a few lines how training went and what the music is like."""
    lines = []
    if history:
        costs = np.array([history[0], np.mean(history[-20:])]) / (options.length - 1)
        lines.append("cost per step: {:.2f}, in the end {:.2f}".format(*costs))
    sounding = generated.sum(axis=1)
    share = np.mean((sounding >= 1) & (sounding <= 8))
    lines.append(f"1 to 8 notes sound at {share:.0%} of {len(generated)} steps")
    if generated.any():
        low = options.range[0]
        classes = pitch_classes(original, low)
        scale = max(
            (np.add(MAJOR, tonic) % 12 for tonic in range(12)),
            key=lambda scale: classes[scale].sum(),
        )
        classes = pitch_classes(generated, low)
        share = classes[scale].sum() / classes.sum()
        lines.append(f"{share:.0%} of the notes are of the scale of the primer's tune")
    return "\n".join(lines)


def pitch_classes(roll, low):
    """Return how often each of C, C♯, … B sounds in a roll whose first note is low."""
    sounds = np.asarray(roll).sum(axis=0)
    pitch_class = (low + np.arange(len(sounds))) % 12
    return np.bincount(pitch_class, weights=sounds, minlength=12)


if __name__ == "__main__":
    main()
