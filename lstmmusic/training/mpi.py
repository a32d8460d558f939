"""Training by many processes at once, over MPI: each takes a part of each minibatch.

All of them, the ranks, hold the same network, draw the same random numbers and make the
same updates.  What they share at an update is one sum: of the costs, the gradients and
a few flags, in one buffer.  A minibatch's cost is a sum over its steps, each with its
share, so that parts of any size add up to it.
"""

import sys
import traceback
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

import numpy as np


class Summed(NamedTuple):
    """What the ranks have added up."""

    sums: list  # of the cost and its gradient, as from `Gradient.sums` of one thread
    stop: bool  # a rank was asked to stop
    broken: list  # ranks whose part was not finite


class Ranks:
    """This process among those that train together; alone without a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
    """

    def __init__(self, comm=None):
        for name in (
            "Get_rank",
            "Get_size",
            "Allreduce",
            "bcast",
            "allgather",
            "Barrier",
        ):
            if comm is not None and not hasattr(comm, name):
                raise ValueError(
                    f"comm is {comm!r:.60}; allowed are None and a communicator of "
                    "mpi4py, such as MPI.COMM_WORLD"
                )
        self.size = 1 if comm is None else comm.Get_size()
        self.comm = comm if self.size > 1 else None
        self.rank = 0 if self.comm is None else comm.Get_rank()
        self.first = self.rank == 0
        self.alone = self.comm is None

    @contextmanager
    def together(self, agreed):
        """End the whole job where an error meets this rank alone.

        The others would wait for it for ever.  ``agreed`` are the errors that all
        ranks raise at once.
        """
        try:
            yield
        except agreed:
            raise
        except BaseException as error:
            if self.alone or (isinstance(error, SystemExit) and not error.code):
                raise
            code = getattr(error, "code", 1)  # what SystemExit asks for
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            print(f"rank {self.rank} of {self.size} ends the job", file=sys.stderr)
            sys.stderr.flush()
            self.comm.Abort(code if isinstance(code, int) else 1)

    def in_turn(self, do):
        """Return what ``do()`` returns, on the first rank before the others begin."""
        if self.first:
            found = do()
        if not self.alone:
            self.comm.Barrier()
        return found if self.first else do()

    def same(self, name, value):
        """Raise ValueError where a rank's ``value`` is not that of the first."""
        if self.alone:
            return
        values = self.comm.allgather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise ValueError(f"{name} is {values[0]} on rank 0, {other} on {rank}")

    def part(self, minibatch, masks):
        """Return this rank's tunes of a Minibatch, and the masks of these."""
        B = minibatch.x.shape[1]
        tunes = slice(self.rank * B // self.size, (self.rank + 1) * B // self.size)
        x, k, share = (array[:, tunes] for array in minibatch[:3])
        part = minibatch._replace(x=x, k=k, share=share)
        return part, [mask[:, tunes] for mask in masks]

    def added_up(self, sums, stop):
        """Add up all ranks' sums: lists of cost and gradients, one for each thread."""
        threads = ([np.asarray(part) for part in each] for each in sums)
        arrays = [reduce(np.add, parts) for parts in zip(*threads, strict=True)]
        flags = np.zeros(1 + self.size, arrays[0].dtype)
        buffer = np.concatenate([flags, *(array.ravel() for array in arrays)])
        buffer[0] = stop
        buffer[1 + self.rank] = not np.isfinite(buffer).all()
        found = np.empty_like(buffer)
        self.comm.Allreduce(buffer, found)
        flags, numbers = np.split(found, [len(flags)])
        ends = np.cumsum([array.size for array in arrays])[:-1]
        pieces = np.split(numbers, ends)
        return Summed(
            [p.reshape(a.shape) for p, a in zip(pieces, arrays, strict=True)],
            bool(flags[0]),
            np.flatnonzero(flags[1:]).tolist(),
        )

    def pooled(self, evaluate, tunes):
        """Return nats per step of ``evaluate(tunes)``, the tunes shared out."""
        if self.alone:
            return evaluate(tunes).nll
        nats, steps = 0.0, 0
        if own := tunes[self.rank :: self.size]:
            found = evaluate(own)
            nats, steps = found.nll * found.steps, found.steps
        nats, steps = map(sum, zip(*self.comm.allgather((nats, steps)), strict=True))
        return nats / steps
