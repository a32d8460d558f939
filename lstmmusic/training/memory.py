"""Estimate the peak memory of a call; raise ValueError if it does not fit.

An estimate counts arrays, and what compiling takes.  T steps, B tunes, N notes, H cells
(of all three layers together), D bytes for a number.  The factors were measured on
Linux with JAX, float32 (`ru_maxrss`).
"""

import math
from contextlib import contextmanager
from functools import partial

import numpy as np

from lstmmusic.data.batches import WHOLE_BLOCK, block_of, is_packed, whole_blocks
from lstmmusic.engine.backend import threads
from lstmmusic.engine.functions import COUNTED
from lstmmusic.engine.inside import MOST_TUNES
from lstmmusic.engine.process import return_freed_memory
from lstmmusic.model import parameters
from lstmmusic.training import free_memory

MOMENTS = {"RMSprop": 1, "Adam": 2}  # an optimizer's arrays for each weight
COMPILING = 2 * 10**8  # bytes
SMALL = 3 * 10**8  # bytes; nothing that needs less is refused
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def check(purpose, needed, arguments):
    """Raise ValueError if a call needs more bytes than are free.

    Above half of the free memory, glibc returns freed blocks at once.  The message
    names the largest argument of which a smaller value fits, or else the limit of all.

    Parameters
    ----------
    purpose : str
        What needs the memory.
    needed : callable
        Takes the values of ``arguments``, returns bytes; grows with each of them.
    arguments : dict
        {name: whole number}.
    """
    bytes_needed = needed(*arguments.values())
    if bytes_needed <= SMALL:
        return
    available = free_memory.free()
    if available is None or bytes_needed <= available / 2:
        return
    return_freed_memory()
    free_memory.give_back()
    available = free_memory.free()
    if bytes_needed <= available:
        return

    name, advice = what_fits(needed, arguments, available)
    raise ValueError(
        f"{name} is {arguments[name]}; {purpose} needs about "
        f"{in_units(bytes_needed)}, and {in_units(available)} are free; {advice}"
    )


def what_fits(needed, arguments, available):
    """Return the argument to lower, and how far, for a call to fit."""

    def limit(names):
        def fits(most):
            cut = {name: min(arguments[name], most) for name in names}
            return needed(*{**arguments, **cut}.values()) <= available

        return largest(fits, max(arguments[name] for name in names))

    names = sorted(arguments, key=arguments.get, reverse=True)
    for name in names:
        if most := limit([name]):
            return name, f"at most {most} fits"
    if most := limit(names):
        return names[0], f"at most {most} for each of {', '.join(names)} fits"
    return names[0], "no value fits"


def largest(fits, high):
    """Return the largest whole number from 1 to below ``high`` that fits, or 0."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def in_units(number):
    """Return a number of bytes as text: 3.2 TB."""
    for unit in UNITS:
        if number < 1000 or unit == UNITS[-1]:
            return f"{number:.3g} {unit}"
        number /= 1000


def of_network(h1_length, h2_length, h3_length, io_length, units=None, *, D, moments):
    """Return the peak bytes of making a network.

    The first weights are drawn and packed, 8 bytes each; beside them come the network's
    own and the optimizer's ``moments`` arrays of D bytes, each made from one of 8.
    """
    widths = h1_length, h2_length, h3_length
    of_layers = [
        (4 * H * io_length, 4 * H * below, 4 * H * H, H * io_length)
        for H, below in zip(widths, (0, *widths), strict=False)
    ]
    shapes = parameters.joint_shapes(widths, io_length, units).values()
    weights = sum(map(sum, of_layers)) + sum(map(math.prod, shapes))
    return weights * (17 + D * (1 + moments)) + 8 * max(map(max, of_layers))


def of_update(model, parts):
    """Return the peak bytes of an update, from a gradient in ``parts``.

    The new weights and moments stand beside the old, and at the first update beside
    NumPy's.
    """
    shapes = parameters.weight_shapes(*model._sizes)
    weights = sum(map(math.prod, shapes.values()))
    copies = 3.2 * MOMENTS[model.optimizer] - 0.6 + parts
    return int(model.dtype.itemsize * weights * copies)


def of_passes(rows, block_rows, N, H, in_one):
    """Return how many numbers the forward and backward pass hold at the peak.

    ``rows`` of steps and tunes.  ``in_one`` block: 15 numbers for each cell and 10 for
    each note.  In blocks: for all rows h, c and four gates of each cell; for the rows
    of a block 45 numbers for each cell and 20 for each note.
    """
    if in_one:
        return rows * (15 * H + 10 * N)
    return rows * 6 * H + block_rows * (45 * H + 20 * N)


def of_training(model, B, length, ranks, lengths=None):
    """Return the peak bytes of training with minibatches of B tunes.

    Each tune is brought to ``length``, or whole: ``lengths`` are then those of all
    tunes, the longest first.  A minibatch holds x and k, one array but for whole tunes,
    twice: the one before goes when its place is needed.  Each of several threads has
    its own copy, up to the end of its longest tune.  Dropout's masks are there as
    drawn, as used and as a thread has them.
    """
    N, H, D = model.io_length, sum(model.h_lengths), model.dtype.itemsize
    own = -(-B // ranks)
    workers, tunes = model._functions.gradient.plan(own)
    if lengths is None:
        T = max(1, length - 1)
        block, rolls = block_of(T), 2
        in_one = block == T
        rows = T * workers * tunes
    else:
        longest = [-(-(n - 1) // WHOLE_BLOCK) * WHOLE_BLOCK for n in lengths[:own]]
        T, block, rolls = longest[0], whole_blocks(longest[0])[0], 4
        rows, in_one = tunes * sum(longest[::tunes]), False
    numbers = N * (rolls * T * B + (2 * rows if workers > 1 else 0))
    if model.dropout:
        numbers += 3 * (1 if model.fixedMasks else T) * B * H
    if model.device == "cpu":
        block_rows = rows if in_one else block * workers * tunes
        numbers += of_passes(rows, block_rows, N, H, in_one)
        if model.output == "joint":  # z and s; A and its derivative, twice each
            numbers += block_rows * (2 * N + 4 * model.jointUnits)
    return COMPILING + of_update(model, workers) + D * numbers


def check_network(sizes, dtype, optimizer, units=None):
    """Raise ValueError if a network of {name: size} does not fit."""
    needed = partial(of_network, D=dtype.itemsize, moments=MOMENTS[optimizer])
    if units is not None:
        sizes = sizes | {"jointUnits": units}
    check("the network", needed, sizes)


def check_copies(name, tunes, dtype):
    """Raise ValueError if the copies that are made of a list of tunes do not fit.

    A tune in bytes is copied in bytes, and a packed one is not copied.
    """
    if not isinstance(tunes, list | tuple):
        return
    rolls = [getattr(tune, "piano_roll", tune) for tune in tunes if not is_packed(tune)]
    sizes = [
        roll.size * (1 if roll.dtype in (np.uint8, np.bool_) else dtype.itemsize)
        for roll in rolls
        if isinstance(roll, np.ndarray)
    ]
    if sizes:
        purpose = f"copying them ({dtype}; uint8 takes a quarter, packed nothing)"
        arguments = {f"the number of tunes of {name}": len(sizes)}
        check(purpose, lambda n: n * sum(sizes) // len(sizes), arguments)


def check_training(model, tunes, validation, plan, ranks):
    """Raise ValueError if `RNN4Music.train` does not fit."""
    arguments = {"sizeOfMiniBatch": plan.sizeOfMiniBatch}
    needed = partial(of_training, model, ranks=ranks.size)
    purpose = "training with it"
    if plan.lengthOfMB is not None:
        arguments["lengthOfMB"] = plan.lengthOfMB
    else:
        lengths = sorted(map(len, tunes), reverse=True)
        needed = partial(needed, length=None, lengths=lengths)
        purpose = f"training on whole tunes of up to {lengths[0]} steps"
    check(purpose, needed, arguments)
    if validation:
        check_evaluation(model, validation, 32, "the longest tune of validation")


def check_evaluation(model, tunes, size, longest=None):
    """Raise ValueError if an evaluation does not fit.

    For each step and note of the tunes at hand it holds x and k; for each step of a
    chunk 5 numbers for each cell, 2 for each note, and of the joint output 1 more for
    each note and 2 for each unit.  The message names ``sizeOfBatch``, or the length of
    the ``longest`` tune, if that is given.
    """
    N, H = model.io_length, sum(model.h_lengths)
    batches = min(-(-len(tunes) // size), threads(model._functions.backend) + 1)
    of_joint = N + 2 * model.jointUnits if model.output == "joint" else 0

    def needed(size, T):
        numbers = 2 * T * N + max(COUNTED) * (5 * H + 2 * N + of_joint)
        return COMPILING + model.dtype.itemsize * size * batches * numbers

    steps = max(map(len, tunes))
    if longest is None:
        purpose = f"evaluating as many tunes of up to {steps} steps at once"
        check(purpose, partial(needed, T=steps), {"sizeOfBatch": size})
    else:
        arguments = {f"the length of {longest}": steps}
        check("evaluating it", partial(needed, size), arguments)


def check_generation(functions, primer, samples, many, limited, keep):
    """Raise ValueError if `RNN4Music.genMusic` does not fit.

    For each step, tune and note it holds the random number, the same behind the primer,
    the sample and its probability, and the last two again if the primer is kept; one
    more for the tunes at once, and two for the tune in which notes that never end are
    looked for.  For each step of a chunk it holds the state of the tunes at once.  With
    maxNotes it compares each note with each other one.

    Parameters
    ----------
    functions : Functions
    primer : ndarray of shape (P, B, N)
    samples : int
    many, limited, keep : bool
        If B is the argument noOfTunes; with maxNotes; with the primer.
    """
    P, tunes, N = primer.shape
    D, notes = primer.itemsize, N // 2 if functions.output.restruck else N
    workers, share = functions.share_out(tunes)

    def needed(samples, tunes=tunes):
        T, at_once = samples + P, min(tunes, workers * share)
        chunk = min(T, functions.chunk_length(T))
        copies = (4 + 2 * keep) * tunes + (at_once if tunes > 1 else 0) + 2
        state = chunk * at_once * 2 * sum(functions.compiler.H)
        ranks = (D + 2) * at_once * notes**2 if limited else 0
        return COMPILING + D * (T * N * copies + state) + ranks

    arguments = {"noOfSamps": samples, **({"noOfTunes": tunes} if many else {})}
    check("generation with maxNotes" if limited else "generation", needed, arguments)


def check_probabilities(tune):
    """Raise ValueError if the probabilities of a tune (T, N) do not fit.

    They are there as a copy of the tune, in chunks, and in one piece.
    """
    T, N = tune.shape
    of_step = 3 * tune.itemsize * N
    arguments = {"the length of the tune": T}
    check("computing the probabilities", lambda T: T * of_step, arguments)


def check_states(model, T):
    """Raise ValueError if the states over T steps do not fit: residuals, Y and A."""
    of_step = model.dtype.itemsize * model._functions.inside.numbers_of_step()
    arguments = {"the length of the tune": T}
    check("computing its states", lambda T: COMPILING + T * of_step, arguments)


def check_influence(model, targets):
    """Raise ValueError if the influence on `Targets` does not fit.

    For each target there is a roll, and if integrated one of the change that refines
    it; for each tune at once a roll, its residuals, and a block's input and derivative.
    """
    inside, N = model._functions.inside, model.io_length
    D = model.dtype.itemsize

    def needed(T, P):
        workers, at_once = inside.plan(T, MOST_TUNES * P)
        of_tunes = workers * at_once * (inside.bytes_of_tune(T) + D * T * N)
        return COMPILING + 2 * D * P * T * N + of_tunes

    arguments = {"the last step": int(max(targets.steps))}
    arguments["the number of notes asked about"] = len(targets.steps)
    check("computing the influence", needed, arguments)


def check_gradients(model, x):
    """Raise ValueError if the gradient of a minibatch x (T, B, N) does not fit."""
    T, B, _ = x.shape
    needed = partial(of_training, model, length=T + 1, ranks=1)
    check("computing the gradient", needed, {"the number of tunes in inputs": B})


@contextmanager
def explained(arguments):
    """Say in a MemoryError which arguments would need less memory.

    Estimates are not exact, and other programs take memory, too.
    """
    try:
        yield
    except Exception as error:
        exhausted = "RESOURCE_EXHAUSTED" in str(error)  # as XLA says it
        if not isinstance(error, MemoryError) and not exhausted:
            raise
        raise MemoryError(
            f"there is not enough memory ({error}); smaller {arguments} need less"
        ) from error
