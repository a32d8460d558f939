"""Report a training's progress: to a callback, a CSV file (`log_to`), a bar."""

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lstmmusic import atomic, checks
from lstmmusic.training.state import Arguments, TrainState

COLUMNS = b"epoch,updates,cost,validation,R1,R2,R3,Rout,seconds\n"
UPDATES = 1  # the number of that column


class Progress(NamedTuple):
    """Hold where a training stands; `RNN4Music.train` gives it to ``callback``.

    Attributes
    ----------
    epoch : int
        Whole epochs so far, those before a resumption included.
    updates : int
        So far in the network's life: the length of ``instantaneousCost``.
    cost : float
        Of the minibatch, before the last update; in nats, or halved squares.
    validation : float or None
        Nats per step, if the last update was followed by a validation.
    rates : tuple of 4 float
        R1, R2, R3 and Rout of the last update, ``rateDecay`` included.
    seconds : float
        Since this call of ``train`` began its updates.
    began : int
        ``updates`` when this call of ``train`` began.
    began_s : float
        The time when it began, in seconds since 1970 (`time.time`).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import RNN4Music
    >>> scale = np.eye(12)[np.arange(48) % 12]  # (steps, notes)
    >>> model = RNN4Music(h1_length=5, h2_length=4, h3_length=3, io_length=12, seed=1)
    >>> def enough(progress):
    ...     return progress.updates == 2
    >>> len(model.train([scale], 1, 3, 1, 17, callback=enough))
    2
    """

    epoch: int
    updates: int
    cost: float
    validation: float | None
    rates: tuple[float, ...]
    seconds: float
    began: int
    began_s: float


class Began(NamedTuple):
    """Hold when a call of `RNN4Music.train` began its updates."""

    updates: int  # so far in the network's life
    time_s: float  # Unix time
    monotonic_s: float


class Listener:
    """Call a callback when it is due; without one it never is.

    Parameters
    ----------
    callback : callable or None
        Takes a `Progress`.
    every : int or None
        Updates from one call to the next; None is after each epoch.
    validated : bool
        Whether epochs end with a validation: a call then follows each of them.
    """

    def __init__(
        self,
        callback: Callable[[Progress], object] | None,
        every: int | None = None,
        validated: bool = False,
    ):
        self.callback = callback
        self.every = every
        self.validated = validated

    @property
    def shared_settings(self) -> tuple[bool, Any]:
        """Return the settings that all ranks must share."""
        return self.callback is not None, self.every

    def is_due(self, done: int, epoch_over: bool) -> bool:
        """Return whether to call after so many updates of this training."""
        if self.callback is None:
            return False
        if epoch_over and (self.validated or self.every is None):
            return True
        return self.every is not None and done % self.every == 0

    def tell(self, model, began: Began, rates: tuple[float, ...]) -> bool:
        """Call the callback; return True only if it does.

        What it draws from the model's random numbers does not change the training.
        """
        assert self.callback is not None
        rng = model.rng.bit_generator
        before, progress = rng.state, progress_of(model._train_state, began, rates)
        model._in_callback = True
        try:
            answer = self.callback(progress)
        finally:
            model._in_callback = False
            rng.state = before
        return isinstance(answer, bool | np.bool_) and bool(answer)


def progress_of(state: TrainState, began: Began, rates: tuple[float, ...]) -> Progress:
    """Return where a training stands after its last update, made at these rates."""
    updates = len(state.costs)
    validated = bool(state.validation) and state.validation[-1][0] == updates
    nll = float(state.validation[-1][1]) if validated else None
    seconds = time.monotonic() - began.monotonic_s
    where = state.position.epoch, updates, state.loss
    return Progress(*where, nll, rates, seconds, began.updates, began.time_s)


def refuse_in_callback(model, call: str) -> None:
    """Raise RuntimeError if the callback of a model's training makes this call."""
    if model._in_callback:
        raise RuntimeError(
            f"{call} is called by the callback of the same network's training, which "
            "it would change; allowed there is to return True, which stops the "
            f"training, and to call {call} after it, or on a copy (copy.deepcopy)"
        )


def make_listener(arguments: Arguments) -> Listener:
    """Check what a `Listener` needs of the arguments; return it."""
    callback, every = arguments.callback, arguments.callbackEvery
    if callback is None and every is not None:
        raise ValueError(f"callbackEvery is {every!r}, but there is no callback")
    if callback is not None and not callable(callback):
        raise ValueError(
            f"callback is {callback!r:.60}; allowed are None and functions"
        )
    checks.optional(checks.check_int, "callbackEvery", every)
    return Listener(callback, every, arguments.validation is not None)


def log_to(file: checks.PathLike) -> "Log":
    """Return a callback for `RNN4Music.train` that writes CSV, a line for each call.

    The first line names the columns: epoch, updates, cost, validation (empty where
    there is none), R1, R2, R3, Rout, seconds; see `Progress`.  Each line is written
    whole, at once.  A training that is resumed first cuts the lines past the point from
    which it goes on, and any other training those past the updates it begins with: a
    new network's training begins a new file.

    Parameters
    ----------
    file : path
        Of a file that this function has begun, or of none.

    Raises
    ------
    ValueError
        If the file is no such log; it stays as it is.
    OSError
        If its folder is not there; in training, if a line cannot be written.  No part
        of the line stays, and the training can be resumed.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import RNN4Music, log_to
    >>> scale = np.eye(12)[np.arange(48) % 12]  # (steps, notes)
    >>> model = RNN4Music(h1_length=5, h2_length=4, h3_length=3, io_length=12, seed=1)
    >>> costs = model.train([scale], 1, 3, 1, 17, callback=log_to("log.csv"))
    >>> with open("log.csv") as file:
    ...     print(file.readline().strip(), len(file.readlines()))
    epoch,updates,cost,validation,R1,R2,R3,Rout,seconds 3
    """
    path = checks.path("file", file)
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise ValueError(f"file is {path!r}; allowed is the path of a file")
        read_lines(path)
    elif not os.path.isdir(os.path.dirname(path) or "."):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", path)
    return Log(path)


class Log:
    """Write each `Progress` to a file, as `log_to` says."""

    def __init__(self, path: str):
        self.path = path
        self.last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        last = self.last or progress
        same = (last.began, last.began_s) == (progress.began, progress.began_s)
        goes_on = same and last.updates < progress.updates
        if not (goes_on and os.path.exists(self.path)):
            self.cut(progress.began)
        append_line(self.path, line_of(progress))
        self.last = progress

    def cut(self, updates: int) -> None:
        """Leave the lines up to a number of updates, or begin the file."""
        lines = read_lines(self.path) if os.path.exists(self.path) else []
        kept = [line for line in lines if int(line.split(b",")[UPDATES]) <= updates]
        atomic.write(self.path, lambda file: file.writelines([COLUMNS, *kept]))


def read_lines(path: str) -> list[bytes]:
    """Return the whole lines of a log, without the first; ValueError for others."""
    with open(path, "rb") as file:
        first, *lines = file.readlines() or [COLUMNS]
    lines = [line for line in lines if line.endswith(b"\n")]
    fields = [line.split(b",") for line in lines]
    right = COLUMNS.count(b",") + 1
    if first != COLUMNS or not all(
        len(found) == right and found[UPDATES].isdigit() for found in fields
    ):
        raise ValueError(
            f"file is {path!r}, which log_to has not written; allowed is another path"
        )
    return lines


def line_of(progress: Progress) -> bytes:
    """Return a line of a log; numbers in as many digits as tell them from others."""
    validation = "" if progress.validation is None else repr(progress.validation)
    fields = [progress.epoch, progress.updates, repr(progress.cost), validation]
    fields += [*map(repr, progress.rates), f"{progress.seconds:.3f}"]
    return (",".join(map(str, fields)) + "\n").encode()


def append_line(path: str, line: bytes) -> None:
    """Append a line by one write; take its part back if the disk is full."""
    with open(path, "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if file.write(line) != len(line):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def progress_bar(done: int, total: int, wanted: bool) -> tqdm:
    """Make a progress bar that shows itself on a terminal or in a notebook only.

    The speed that it shows leaves out the updates ``done`` before.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    hidden = not (wanted and (on_terminal or in_notebook()))
    return tqdm(initial=done, total=total, unit="update", disable=hidden)


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs in this process.

    A script may import ipykernel, too.
    """
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized()
