"""Train by many processes over MPI: each takes a part of each minibatch.

All processes, the ranks, hold the same network, draw the same random numbers and make
the same updates.  An update sums one buffer over the ranks: cost, gradient and a few
flags.  A minibatch's cost is a sum over its steps, each with its own weight, so parts
of any size add up to it.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from lstmmusic.data.batches import Minibatch
from lstmmusic.engine.gradient import PartialGradient

METHODS = "Get_rank", "Get_size", "Allreduce", "bcast", "allgather", "Barrier"


class Summed(NamedTuple):
    """Hold the sums over all ranks."""

    gradient: PartialGradient
    stop: bool  # a rank was asked to stop
    broken: list[int]  # ranks whose part was not finite


class Ranks:
    """Talk to the other processes of a training; ``alone`` without a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
    """

    def __init__(self, comm=None):
        for name in METHODS:
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
        """End the whole job if this rank alone raises an error.

        Otherwise the others would wait for ever.  ``agreed`` is the class of errors
        that all ranks raise at once.
        """
        try:
            yield
        except agreed:
            raise
        except BaseException as error:
            if self.alone or (isinstance(error, SystemExit) and not error.code):
                raise
            code = getattr(error, "code", 1)  # SystemExit has one
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            print(f"rank {self.rank} of {self.size} ends the job", file=sys.stderr)
            sys.stderr.flush()
            self.comm.Abort(code if isinstance(code, int) else 1)

    def in_turn(self, do: Callable) -> Any:
        """Call and return ``do()``, on the first rank before the others begin."""
        if self.first:
            found = do()
        if not self.alone:
            self.comm.Barrier()
        return found if self.first else do()

    def first_says(self, answer: bool) -> bool:
        """Return the first rank's answer."""
        return answer if self.alone else self.comm.bcast(answer)

    def same(self, name: str, value: Any) -> None:
        """Raise ValueError if a rank's ``value`` is not that of the first."""
        if self.alone:
            return
        values = self.comm.allgather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise ValueError(f"{name} is {values[0]} on rank 0, {other} on {rank}")

    def part(
        self, minibatch: Minibatch, masks: Sequence[np.ndarray]
    ) -> tuple[Minibatch, list[np.ndarray]]:
        """Return this rank's tunes of a Minibatch, and their masks."""
        B = minibatch.x.shape[1]
        tunes = slice(self.rank * B // self.size, (self.rank + 1) * B // self.size)
        x, targets, weight = (array[:, tunes] for array in minibatch.arrays)
        part = minibatch._replace(x=x, targets=targets, loss_weight=weight)
        return part, [mask[:, tunes] for mask in masks]

    def added_up(self, parts: Sequence[PartialGradient], stop: bool) -> Summed:
        """Sum the parts of all threads and ranks; ``stop`` on one rank stops all."""
        threads = (map(np.asarray, (part.cost, *part.gradients)) for part in parts)
        arrays = [
            reduce(np.add, of_threads) for of_threads in zip(*threads, strict=True)
        ]
        flags = np.zeros(1 + self.size, arrays[0].dtype)
        buffer = np.concatenate([flags, *(array.ravel() for array in arrays)])
        buffer[0] = stop
        buffer[1 + self.rank] = not np.isfinite(buffer).all()
        found = np.empty_like(buffer)
        self.comm.Allreduce(buffer, found)
        flags, numbers = np.split(found, [len(flags)])
        ends = np.cumsum([array.size for array in arrays])[:-1]
        pieces = zip(np.split(numbers, ends), arrays, strict=True)
        cost, *gradients = (piece.reshape(array.shape) for piece, array in pieces)
        return Summed(
            PartialGradient(cost, gradients),
            bool(flags[0]),
            np.flatnonzero(flags[1:]).tolist(),
        )

    def pooled(self, evaluate: Callable, tunes: Sequence) -> float:
        """Return nats per step of ``evaluate(tunes)``; each rank takes some tunes."""
        if self.alone:
            return evaluate(tunes).nll
        nats, steps = 0.0, 0
        if own := tunes[self.rank :: self.size]:
            found = evaluate(own)
            nats, steps = found.nll * found.steps, found.steps
        nats, steps = map(sum, zip(*self.comm.allgather((nats, steps)), strict=True))
        return nats / steps
