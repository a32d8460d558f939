"""The journey of main.py: read, train, generate; results.py writes and shows."""

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
from chorales import chorales_folder
from command import as_typed, command_of, going_on, say, typed_words
from options import MINIBATCH, RATES, SIZES, in_options, make_parser, naming
from results import Generated, check_folder, write_results
from stopping import (
    CtrlC,
    again,
    keep_training,
    keep_weights,
    output_folder,
    stop,
    stop_at_once,
)

from lstmmusic import (
    CheckpointError,
    RNN4Music,
    TrainingError,
    mark_silence,
    unmark_silence,
)
from lstmmusic.checks import counted, target
from lstmmusic.training import parameter_file
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.provenance import LONGEST_COMMAND
from midi.utils import read_folder

EVERY = 50  # updates from one save to the next: seconds of work that a crash may cost


def main(arguments=None):
    """Do the whole journey; the options are those of ``--help``."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.typed = typed_words(arguments)
    options.ranks = make_ranks(options, parser)
    if not options.ranks.alone:
        options.typed = ["mpiexec", "-n", str(options.ranks.size), *options.typed]
    options.command = as_typed(options.typed)
    with (
        options.ranks.together(agreed=()),
        warnings.catch_warnings(),
        CtrlC() as options.ctrl_c,
    ):
        warnings.showwarning = warn_in_options
        journey(options, parser)


def warn_in_options(message, *_):
    """Show a warning as a line, in the words of the command line."""
    with contextlib.suppress(OSError):  # it is closed, or full
        sys.stderr.write(f"main.py: {in_options(str(message))}\n")


def make_ranks(options, parser):
    """Return all that mpiexec has started, with ``--mpi``; else this process alone."""
    if not options.mpi:
        return Ranks()
    try:
        from mpi4py import MPI
    except ImportError as error:
        parser.error(f"--mpi needs mpi4py: pip install 'lstmmusic[mpi]' ({error})")
    return Ranks(MPI.COMM_WORLD)


def journey(options, parser):
    """Read, train, and, on the first rank, generate and show."""
    with contextlib.ExitStack() as folders:
        try:
            model = make_model(options)  # refuses bad options before music is read
            with naming("--out", options.out):
                if options.ranks.first:  # the others wait for it in `in_turn`
                    check_folder(options.out, options.temperature)
                    folders.enter_context(output_folder(options.out))
            tunes = options.ranks.in_turn(lambda: read_tunes(options))
            original, rest, pieces = split(tunes, options)
        except (ValueError, OSError, MemoryError) as error:
            parser.error(in_options(str(error)))
        except KeyboardInterrupt:
            stop(parser, "stopped", again(options))
        if options.ranks.first:
            found = f"{counted(len(tunes), 'tune')}, cut into "
            say(f"{found}{counted(len(pieces), 'piece')}\n{model}")
            if options.resume and options.epochs and not options.save.is_file():
                say(f"{options.save} is not there to be resumed: training begins anew")
        before = len(model.instantaneousCost)
        try:
            train_and_show(model, original, rest, pieces, tunes, options, parser)
        except KeyboardInterrupt:
            if not options.ranks.first:
                raise
            stop_at_once(parser, model, before, options)


def train_and_show(model, original, rest, pieces, tunes, options, parser):
    """Train; on the first rank generate, write what is made, and say where it is."""
    over = train(model, pieces, rest, options, parser)
    if not options.ranks.first:
        return
    way_on = again(options)
    if options.epochs:
        way_on = f"saved to {options.save}; this goes on: {going_on(options)}"
    heading, options.command = "To repeat this", command_of(options)
    if not over:
        say("music of what was learnt so far (Ctrl-C: none) ...")
        heading, options.command = "To go on with this training", going_on(options)
    try:
        generated = generate(model, original, tunes, options)
        options.ctrl_c.check()
        lines = write_results(model, original, rest, generated, options, heading)
    except OSError as error:
        problem = f"--out is {options.out}, but its files cannot be written ({error})"
    except (ValueError, MemoryError) as error:  # of a machine with little memory
        problem = in_options(str(error))
    else:
        problem = None
    if problem:
        parser.exit(1, f"{parser.prog}: {problem}; {way_on}\n")
    say(lines)
    if not over:
        done = counted(len(model.instantaneousCost), "update")
        stop(parser, f"stopped after {done}", way_on)


def make_model(options):
    """Return a new network, or that of the file which ``--load`` or ``--resume`` names.

    Where a training is to be resumed, and its file is there, it must have been made
    with these options; where the file is not there, the training has not begun.
    """
    low, high = options.range
    if low >= high:
        raise ValueError(f"--range is {low} {high}; allowed is LOW below HIGH")
    if options.steps * options.dt > 86400:
        raise ValueError(f"--steps is {options.steps} and --dt {options.dt:g}; allowed "
                         "are 24 hours of music")  # fmt: skip
    if options.save and not options.save.resolve().parent.is_dir():
        raise ValueError(f"--save is {options.save}; allowed is a file in a folder "
                         "that exists")  # fmt: skip
    save = options.save or options.out / "parameters.npz"
    options.save = Path(target("--save", save, ".npz"))
    resumed = options.resume and options.save.is_file()
    source = options.save if resumed else options.load
    if source is None or source.resolve() != options.save.resolve():
        keep_unfinished(options.save, options.load)
    if source is None:
        if options.epochs == 0 and options.save.is_file():
            raise ValueError(
                f"--epochs is 0, and {options.save} would be written over by a network "
                f"that is not trained; allowed is --load {options.save}, which "
                "generates with it, or another --out or --save"
            )
        return new_model(options)
    with naming("--save" if resumed else "--load", source):
        model = RNN4Music.fromFile(source, mode=options.mode, device=options.device)
    for name, given, held in (
        ("--sizes", options.sizes, list(model.h_lengths)),
        ("--cost", options.cost, model.cost),
        ("width of --range", high - low, model.io_length),
        ("--rates", options.rates if resumed else None, list(model.rates)),
    ):
        if given not in (None, held):
            raise ValueError(f"{name} is {given}, but {source} has {held}")
    if options.rates:
        model.setNewRates(*options.rates)
    return model


def keep_unfinished(path, load=None):
    """Raise ValueError where a new training would be saved over a stopped one.

    Not where nothing is lost: it has no update, or those of the file ``load``.
    """
    try:
        saved = unfinished(path)
    except parameter_file.ParameterFileError:
        raise ValueError(
            f"{path} is no parameter file, and would be written over; allowed are "
            "another --out or --save, or to move that file away"
        ) from None
    if not saved or not saved.training.costs:
        return
    other = None
    with contextlib.suppress(parameter_file.ParameterFileError):  # `fromFile` says so
        other = unfinished(parameter_file.with_suffix(load)) if load else None
    if not other or other.training.costs != saved.training.costs:
        done = counted(len(saved.training.costs), "update")
        raise ValueError(
            f"{path} holds a training that was stopped after {done}; allowed are "
            "--resume, which goes on with it, another --out or --save, or to remove "
            "that file first"
        )


def unfinished(path):
    """Return what a file of a stopped training holds; None where there is none."""
    if not path.is_file():
        return None
    saved = parameter_file.read(path)
    return None if saved.training.over else saved


def new_model(options):
    low, high = options.range
    return RNN4Music(
        *(options.sizes or SIZES),
        high - low,
        *(options.rates or RATES),
        cost=options.cost or "cross-entropy",
        genProbThreshold=options.threshold,
        seed=options.seed,
        mode=options.mode,
        device=options.device,
    )


def read_tunes(options):
    """Return the MidiRolls of ``--midi``, or of Bach's chorales."""
    try:
        folder = options.midi or chorales_folder()
    except ImportError:
        raise ValueError(
            "music21, which holds the chorales, is not installed: "
            "pip install music21, or give --midi FOLDER"
        ) from None
    with naming("--midi", folder):
        return read_folder(folder, options.range, options.dt)


def split(tunes, options):
    """Return the tune of the primer, the others, and the pieces of these to train on.

    Each piece begins half its length after the one before: training takes tunes from
    their beginning and would never see the end of a long one.  If there are too few
    tunes to keep one apart, all are trained on.
    """
    chosen = np.random.default_rng(options.seed).integers(len(tunes))
    rest = tunes[:chosen] + tunes[chosen + 1 :] or tunes
    length, hop = options.length, options.length // 2
    pieces = [
        tune[start : start + length]
        for tune in mark_silence(rest)
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
    """Train, leave the parameters in a file; return False if Ctrl-C stopped it."""
    if options.epochs == 0:
        if options.ranks.first:
            save_untrained(model, options, parser)
        return True
    command = command_of(options)
    try:
        model.train(
            pieces,
            options.updates,
            options.epochs,
            options.minibatch,
            options.length,
            rateDecay="cosine",
            checkpoint=options.save,
            checkpointEvery=EVERY,
            resume=options.resume,
            comm=options.ranks.comm,
            sources=sources,
            command=command if len(command) <= LONGEST_COMMAND else None,
        )
    except TrainingError as error:
        if not options.ranks.first:
            return True  # the first rank, which saves, ends the job
        way_on = keep_weights(model, options)
        parser.exit(1, f"{parser.prog}: {in_options(str(error))} {way_on}\n")
    except (CheckpointError, MemoryError) as error:
        done = counted(len(model.instantaneousCost), "update")
        if isinstance(error, MemoryError):
            done += f": {in_options(str(error))}"
        way_on = keep_training(model, options)
        parser.exit(1, f"{parser.prog}: stopped after {done}; {way_on}\n")
    except ValueError as error:  # other options than those of what --resume goes on
        parser.error(in_options(str(error)))
    return model.trainingOver


def save_untrained(model, options, parser):
    try:
        model.saveParameters(options.save)
    except OSError as error:
        parser.error(f"--save is {options.save}: {error.strerror}")


def generate(model, original, tunes, options):
    """Return a Generated for each temperature: what follows the primer.

    Marks of silence are put into the primer, as they were in training, and taken out of
    what is generated.
    """
    (primer,) = mark_silence([original.piano_roll[: options.primer]])
    lowest_sounds = any(tune.piano_roll[:, 0].any() for tune in tunes)
    model.genProbThreshold = options.threshold
    made = {}
    for temperature in dict.fromkeys(options.temperature):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            roll, probabilities = model.genMusic(
                np.float32(primer),
                options.steps,
                seed=options.seed,
                temperature=temperature,
                maxNotes=options.max_notes,
            )
        roll = unmark_silence(roll)
        if not lowest_sounds:  # then it is a mark wherever it stands
            roll[:, 0] = probabilities[:, 0] = 0
        remarks = [str(warning.message) for warning in caught]
        made[f"{temperature:g}"] = Generated(roll, probabilities, remarks)
    return made
