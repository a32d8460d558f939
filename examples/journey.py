"""Do the steps of main.py in order: read, train, generate."""

import contextlib
import sys
import warnings

import numpy as np
from chorales import chorales_folder
from command import first_command, join_words, resume_command, say, typed_words
from given import harmonisation, read_continued, read_melody
from option_names import naming, with_option_names
from options import MINIBATCH, make_parser
from page import check_folder
from recipes import PRIMER, make_model, set_first_biases
from results import Generated, write_results
from stopping import (
    CtrlC,
    output_folder,
    save_and_stop,
    save_diverged,
    save_training,
    saved_to,
    start_again,
    stop,
)

from lstmmusic import (
    CheckpointError,
    TrainingError,
    datasets,
    mark_silence,
    unmark_silence,
)
from lstmmusic.checks import counted
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.provenance import LONGEST_COMMAND
from midi import RollArray
from midi.utils import read_folder

CHECKPOINT_EVERY = 50  # updates, a few seconds: what a crash may lose


def main(arguments=None):
    """Run the journey with the options of a command line, or of this process's."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.typed = typed_words(arguments)
    options.ranks = make_ranks(options, parser)
    if not options.ranks.alone:
        options.typed = ["mpiexec", "-n", str(options.ranks.size), *options.typed]
    options.command = join_words(options.typed)
    with (
        options.ranks.together(agreed=()),
        warnings.catch_warnings(),
        CtrlC() as options.ctrl_c,
    ):
        warnings.showwarning = show_warning
        journey(options, parser)


def show_warning(message, *_):
    """Print a warning as a line that names options, not arguments."""
    with contextlib.suppress(OSError):  # standard error is closed or full
        sys.stderr.write(f"main.py: {with_option_names(str(message))}\n")


def make_ranks(options, parser):
    """Return the ranks of mpiexec with ``--mpi``, otherwise this process alone."""
    if not options.mpi:
        return Ranks()
    try:
        from mpi4py import MPI
    except ImportError as error:
        parser.error(f"--mpi needs mpi4py: pip install 'lstmmusic[mpi]' ({error})")
    return Ranks(MPI.COMM_WORLD)


def journey(options, parser):
    """Read and train; on the first rank, generate and write the page."""
    with contextlib.ExitStack() as folders:
        try:
            model = make_model(options)  # fails before any music is read
            with naming("--out", options.out):
                if options.ranks.first:  # the others wait in `in_turn`
                    check_folder(options.out, options.temperature)
                    folders.enter_context(output_folder(options.out))
            tunes = options.ranks.in_turn(lambda: read_tunes(options))
            original, rest, pieces = split(tunes, options)
            if options.melody:
                original = read_melody(options.melody, tunes, options)
            if options.continued:
                original = read_continued(options.continued, tunes, options)
                if options.unit == "beats":
                    options.tempo = options.tempo or round(original.whole.tempo, 2)
            if options.is_new and model.output == "joint":
                set_first_biases(model, pieces)
        except (ValueError, OSError, MemoryError) as error:
            parser.error(with_option_names(str(error)))
        except KeyboardInterrupt:
            stop(parser, "stopped", start_again(options))
        if options.ranks.first:
            keys = f" in {2 * options.keys + 1} keys" if options.keys else ""
            found = f"{counted(len(rest), 'tune')}{keys}, cut into "
            say(f"{found}{counted(len(pieces), 'piece')}\n{model}")
            if options.resume and options.epochs and not options.save.is_file():
                say(f"{options.save} does not exist: a new training starts")
        before = len(model.instantaneousCost)
        try:
            train_and_show(model, original, rest, pieces, tunes, options, parser)
        except KeyboardInterrupt:
            if not options.ranks.first:
                raise
            save_and_stop(parser, model, before, options)


def train_and_show(model, original, rest, pieces, tunes, options, parser):
    """Train; on the first rank, generate, write the page and print where it is."""
    over = train(model, pieces, rest, options, parser)
    if not options.ranks.first:
        return
    next_step = start_again(options)
    if options.epochs:
        next_step = saved_to(options.save, resume_command(options))
    heading, options.command = "To repeat this", first_command(options)
    if not over:
        say("generating with the weights so far (Ctrl-C skips this) ...")
        heading, options.command = "To resume this training", resume_command(options)
    try:
        generated = generate(model, original, tunes, options)
        options.ctrl_c.check()
        lines = write_results(model, original, rest, generated, options, heading)
    except OSError as error:
        problem = f"--out is {options.out}, but its files cannot be written ({error})"
    except (ValueError, MemoryError) as error:  # there is too little memory
        problem = with_option_names(str(error))
    else:
        problem = None
    if problem:
        parser.exit(1, f"{parser.prog}: {problem}; {next_step}\n")
    say(lines)
    if not over:
        done = counted(len(model.instantaneousCost), "update")
        stop(parser, f"stopped after {done}", next_step)


def read_tunes(options):
    """Return the MidiRolls of ``--midi``, or of Bach's chorales."""
    try:
        folder = options.midi or chorales_folder()
    except ImportError:
        raise ValueError(
            "the chorales need music21, which is not installed: "
            "pip install music21, or give --midi FOLDER"
        ) from None
    asked = ("unit", "quantize", "restruck", "drums", "pedal", "unended")
    chosen = {name: getattr(options, name) for name in asked}
    with naming("--midi", folder):
        return read_folder(folder, options.range, options.dt, **chosen)


def split(tunes, options):
    """Return the primer's tune, the other tunes, and the pieces of these to train on.

    The tunes are taken in the keys of ``--keys``.  Each piece begins half its length
    after the one before, because training takes tunes from their beginning and would
    never see the end of a long one.  A single tune is both the primer's and trained on.
    With ``--continue`` or ``--melody`` all are trained on.
    """
    chosen = np.random.default_rng(options.seed).integers(len(tunes))
    rest = tunes[:chosen] + tunes[chosen + 1 :] or tunes
    if options.continued or options.melody:
        rest = tunes
    transposed = rest
    if options.keys:
        keys = range(-options.keys, options.keys + 1)
        transposed = datasets.transpose(rest, keys)
    length, hop = options.length, options.length // 2
    pieces = [
        tune[start : start + length]
        for tune in mark_silence(transposed)
        for start in range(0, max(len(tune) - hop, 1), hop)
    ]
    if options.minibatch is None:
        options.minibatch = min(MINIBATCH, len(pieces))
    if options.minibatch > len(pieces):
        raise ValueError(
            f"--minibatch is {options.minibatch}, but the music gives "
            f"{counted(len(pieces), 'piece')}; allowed are 1 to {len(pieces)}"
        )
    return tunes[chosen], rest, pieces


def train(model, pieces, sources, options, parser):
    """Train and save the parameters; return False if Ctrl-C stopped the training."""
    if options.epochs == 0:
        if options.ranks.first:
            save_untrained(model, options, parser)
        return True
    command = first_command(options)
    try:
        model.train(
            pieces,
            noOfEpochPerMB=options.updates,
            noOfEpoch=options.epochs,
            sizeOfMiniBatch=options.minibatch,
            lengthOfMB=options.length,
            rateDecay="cosine",
            checkpoint=options.save,
            checkpointEvery=CHECKPOINT_EVERY,
            resume=options.resume,
            comm=options.ranks.comm,
            sources=sources,
            command=command if len(command) <= LONGEST_COMMAND else None,
        )
    except TrainingError as error:
        if not options.ranks.first:
            return True  # the first rank saves and ends the job
        next_step = save_diverged(model, options)
        parser.exit(1, f"{parser.prog}: {with_option_names(str(error))} {next_step}\n")
    except (CheckpointError, MemoryError) as error:
        done = counted(len(model.instantaneousCost), "update")
        if isinstance(error, MemoryError):
            done += f": {with_option_names(str(error))}"
        next_step = save_training(model, options)
        parser.exit(1, f"{parser.prog}: stopped after {done}; {next_step}\n")
    except ValueError as error:  # the options differ from those of the resumed training
        parser.error(with_option_names(str(error)))
    return model.trainingOver


def save_untrained(model, options, parser):
    """Save the parameters of a run without training."""
    try:
        model.saveParameters(options.save)
    except OSError as error:
        parser.error(f"--save is {options.save}: {error.strerror}")


def generate(model, original, tunes, options):
    """Return a Generated for each temperature.

    Silent steps are marked in the primer, as in training; the marks are removed from
    the generated roll.
    """
    steps, given = options.steps, {}
    if options.melody:
        primer, melody = harmonisation(original.piano_roll, tunes, options.format.notes)
        steps, given = len(melody), {"given": melody}
    elif options.continued:
        primer = original.piano_roll
    else:
        primer = original.piano_roll[: options.primer or PRIMER]
    primer = RollArray.of(np.float32(primer), options.format)
    (primer,) = mark_silence([primer])
    lowest_sounds = any(tune.piano_roll[:, 0].any() for tune in tunes)
    if options.threshold is not None:
        model.genProbThreshold = options.threshold
    made = {}
    for temperature in dict.fromkeys(options.temperature):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            roll, probabilities = model.genMusic(
                primer,
                steps,
                seed=options.seed,
                temperature=temperature,
                maxNotes=options.max_notes,
                **given,
            )
        roll = RollArray.of(unmark_silence(roll), options.format)
        if not lowest_sounds:  # then the lowest note is always a mark
            marks = slice(0, None, options.format.notes)  # struck again or not
            roll[:, marks] = probabilities[:, marks] = 0
        remarks = [str(warning.message) for warning in caught]
        made[f"{temperature:g}"] = Generated(roll, probabilities, remarks)
    return made
