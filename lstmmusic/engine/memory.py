"""Estimate the peak memory of a call; raise ValueError where it does not fit.

An estimate counts arrays, and what it takes to compile.  T steps, B tunes, N notes,
H cells (of all three layers together), D bytes for a number.  The factors were measured
on Linux with JAX, float32 (`ru_maxrss`).
"""

import math
from contextlib import contextmanager
from functools import partial

import numpy as np

from lstmmusic.data.batches import WHOLE_BLOCK, block_of, is_packed
from lstmmusic.engine import free_memory
from lstmmusic.engine.backend import threads
from lstmmusic.engine.process import return_freed_memory
from lstmmusic.model import parameters

MOMENTS = {"RMSprop": 1, "Adam": 2}  # an optimizer's arrays for each weight
COMPILING = 2 * 10**8  # bytes
SMALL = 3 * 10**8  # bytes; nothing that needs less is refused
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def check(purpose, needed, arguments):
    """Raise ValueError where a call needs more bytes than there are.

    Above half of the free memory, glibc returns freed blocks at once.  The message
    names the first argument of which a smaller value fits, or else the limit of all.

    Parameters
    ----------
    purpose : str
        What needs the memory.
    needed : callable
        Returns bytes; grows with each of its arguments.
    arguments : dict
        {name: whole number}, as ``needed`` takes them.
    """
    bytes_needed = needed(**arguments)
    if bytes_needed <= SMALL:
        return
    there = free_memory.free()
    if there is None or bytes_needed <= there / 2:
        return
    return_freed_memory()
    free_memory.give_back()
    there = free_memory.free()
    if bytes_needed <= there:
        return

    def limit(names):
        """Return the largest limit of some arguments with which the call fits."""

        def fits(most):
            cut = {name: min(arguments[name], most) for name in names}
            return needed(**{**arguments, **cut}) <= there

        return largest(fits, max(arguments[name] for name in names))

    for name in arguments:
        if most := limit([name]):
            advice = f"at most {most} fits"
            break
    else:
        most, name = limit(arguments), next(iter(arguments))
        advice = f"at most {most} for each of {', '.join(arguments)} fits"
    if not most:
        advice = "no value fits"
    raise ValueError(
        f"{name} is {arguments[name]}; {purpose} needs about "
        f"{in_units(bytes_needed)}, and {in_units(there)} are free; {advice}"
    )


def largest(fits, high):
    """Return the largest whole number from 1 to below ``high`` that fits, or 0."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def in_units(number):
    """Return a number of bytes in words: 3.2 TB."""
    for unit in UNITS:
        if number < 1000 or unit == UNITS[-1]:
            return f"{number:.3g} {unit}"
        number /= 1000


def of_network(h1_length, h2_length, h3_length, io_length, D, moments):
    """Return the bytes at the peak of making a network.

    The first weights are drawn in 8 bytes each and packed in 8 bytes; beside them come
    the network's own and the optimizer's ``moments`` arrays of D bytes, each of which
    is made from an array of 8 bytes for each number.
    """
    widths = h1_length, h2_length, h3_length
    of_layers = [
        (4 * H * io_length, 4 * H * below, 4 * H * H, H * io_length)
        for H, below in zip(widths, (0, *widths), strict=False)
    ]
    weights = sum(map(sum, of_layers))
    return weights * (17 + D * (1 + moments)) + 8 * max(map(max, of_layers))


def of_update(model, parts):
    """Return the bytes at the peak of an update, from a gradient in ``parts``.

    Of the weights and the optimizer's arrays there are new ones beside the old, and at
    first those that JAX makes of NumPy's.
    """
    shapes = parameters.weight_shapes(model.h_lengths, model.io_length)
    weights = sum(map(math.prod, shapes.values()))
    copies = 3.2 * MOMENTS[model.optimizer] - 0.6 + parts
    return int(model.dtype.itemsize * weights * copies)


def of_passes(rows, block_rows, N, H, D, in_one):
    """Return the bytes at the peak of the forward and backward pass.

    ``rows`` of steps and tunes.  ``in_one`` block: 15 numbers for each cell and 10 for
    each note.  In blocks: for all rows h, c and four gates of each cell; for the rows
    of a block 45 numbers for each cell and 20 for each note.
    """
    if in_one:
        return D * rows * (15 * H + 10 * N)
    return D * (rows * 6 * H + block_rows * (45 * H + 20 * N))


def of_generation(noOfSamps, noOfTunes, P, N, H, D, at_once, chunk, limited, keep):
    """Return the bytes at the peak of generation after a primer of P steps.

    For each step, tune and note: the random number, the same behind the primer, the
    sample and its probability, and the last two again where the primer is kept; one
    more for the tunes ``at_once``, and two for the tune that is looked at for notes
    that never end.  For each step of a chunk the state of the tunes at once.  With
    maxNotes each note is compared with each other one.
    """
    T, at_once = noOfSamps + P, min(noOfTunes, at_once)
    copies = 4 + 2 * keep
    part = at_once if noOfTunes > 1 else 0
    state = D * min(T, chunk(T)) * at_once * 2 * H
    ranks = (D + 2) * at_once * N * N if limited else 0
    found = D * T * N * (copies * noOfTunes + part + 2) + state + ranks
    return COMPILING + found


def of_evaluation(sizeOfBatch, T, N, H, D, batches, chunk):
    """Return the bytes at the peak of evaluation, ``batches`` at once.

    For each step and note x and k; for each step of a chunk, of which ``chunk`` returns
    the length, 5 numbers for each cell and 2 for each note.
    """
    B = sizeOfBatch * batches
    return COMPILING + D * B * (2 * T * N + min(T, chunk(T)) * (5 * H + 2 * N))


def check_network(sizes, dtype, optimizer):
    """Raise ValueError where a network of {name: size} needs more than there is."""
    needed = partial(of_network, D=dtype.itemsize, moments=MOMENTS[optimizer])
    check("the network", needed, largest_first(sizes))


def check_copies(name, tunes, dtype):
    """Raise ValueError where the copies that are made of a list of tunes do not fit.

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
        count = f"the number of tunes of {name}"
        purpose = f"copying them ({dtype}; uint8 takes a quarter, packed nothing)"
        check_one(purpose, count, len(sizes), lambda n: n * sum(sizes) // len(sizes))


def check_training(model, tunes, validation, plan, ranks):
    """Raise ValueError where `RNN4Music.train` needs more memory than there is."""
    size, length = plan.sizeOfMiniBatch, plan.lengthOfMB
    if length is not None:

        def needed(sizeOfMiniBatch, lengthOfMB):
            return of_training(model, sizeOfMiniBatch, lengthOfMB, ranks.size)

        arguments = {"sizeOfMiniBatch": size, "lengthOfMB": length}
        check("training with it", needed, largest_first(arguments))
    else:
        lengths = sorted(map(len, tunes), reverse=True)

        def needed(sizeOfMiniBatch):
            return of_training(model, sizeOfMiniBatch, None, ranks.size, lengths)

        purpose = f"training on whole tunes of up to {lengths[0]} steps"
        check(purpose, needed, {"sizeOfMiniBatch": size})
    if validation:
        check_evaluation(model, validation, 32, "the longest tune of validation")


def of_training(model, B, length, ranks, lengths=None):
    """Return the bytes at the peak of training with minibatches of B tunes.

    Each is brought to ``length``, or whole: ``lengths`` are then those of all tunes,
    the longest first.  A minibatch holds x and k, which are one array but of whole
    tunes, twice: the one before has gone when its place is needed.  Each of several
    threads has its own copy, up to the end of its longest tune.  Dropout's masks are
    there as drawn, as used and as a thread has them.
    """
    N, H, D = model.io_length, sum(model.h_lengths), model.dtype.itemsize
    own = -(-B // ranks)
    workers, tunes = model._functions.gradient.plan(own)
    if lengths is None:
        T = max(1, length - 1)
        block, rolls = block_of(T), 2
        rows = T * workers * tunes
    else:
        longest = [-(-(n - 1) // WHOLE_BLOCK) * WHOLE_BLOCK for n in lengths[:own]]
        T, block, rolls = longest[0], WHOLE_BLOCK, 4
        rows = tunes * sum(longest[::tunes])
    found = COMPILING + of_update(model, workers)
    found += D * N * (rolls * T * B + (2 * rows if workers > 1 else 0))
    if model.dropout:
        found += 3 * D * (1 if model.fixedMasks else T) * B * H
    if model.device == "cpu":
        found += of_passes(rows, block * workers * tunes, N, H, D, block == T)
    return found


def check_evaluation(model, tunes, size, longest=None):
    """Raise ValueError where an evaluation needs more memory than there is.

    It names ``sizeOfBatch``, or the length of the ``longest`` tune, if that is given.
    """
    batches = -(-len(tunes) // size)
    batches = min(batches, threads(model._functions.backend) + 1)
    needed = partial(
        of_evaluation,
        N=model.io_length,
        H=sum(model.h_lengths),
        D=model.dtype.itemsize,
        batches=batches,
        chunk=model._functions._chunk,
    )
    steps = max(map(len, tunes))
    if longest is None:
        purpose = f"evaluating as many tunes of up to {steps} steps at once"
        check(purpose, partial(needed, T=steps), {"sizeOfBatch": size})
    else:
        name = f"the length of {longest}"
        check_one("evaluating it", name, steps, partial(needed, size))


def check_generation(functions, primer, samples, many, limited, keep):
    """Raise ValueError where `RNN4Music.genMusic` needs more memory than there is.

    ``primer`` (P, B, N); ``many``: B is the argument noOfTunes.
    """
    P, B, N = primer.shape
    workers, tunes = functions._share(B)
    needed = partial(
        of_generation,
        P=P,
        N=N,
        H=sum(functions.compiler.H),
        D=primer.dtype.itemsize,
        at_once=workers * tunes,
        chunk=functions._chunk,
        limited=limited,
        keep=keep,
    )
    arguments = {"noOfSamps": samples, "noOfTunes": B}
    if not many:
        del arguments["noOfTunes"]
        needed = partial(needed, noOfTunes=B)
    purpose = "generation with maxNotes" if limited else "generation"
    check(purpose, needed, largest_first(arguments))


def check_probabilities(tune):
    """Raise ValueError where the probabilities of a tune (T, N) do not fit.

    They are there as a copy of the tune, in chunks, and in one piece.
    """
    T, N = tune.shape
    of_step = 3 * tune.itemsize * N
    name = "the length of the tune"
    check_one("computing the probabilities", name, T, lambda T: T * of_step)


def check_gradients(model, x):
    """Raise ValueError where the gradient of a minibatch x (T, B, N) does not fit."""
    T, B, _ = x.shape
    needed = partial(of_training, model, length=T + 1, ranks=1)
    check_one("computing the gradient", "the number of tunes in inputs", B, needed)


def check_one(purpose, name, value, needed):
    """Do `check` for what is no argument, but has a name of several words."""
    check(purpose, lambda **given: needed(given[name]), {name: value})


def largest_first(arguments):
    """Return {name: number} with the largest number first: it is named in an error."""
    return dict(sorted(arguments.items(), key=lambda item: -item[1]))


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
