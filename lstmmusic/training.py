"""The course of a training: epochs of minibatches, validation, stopping, going on."""

import copy
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from lstmmusic.batches import cut_tunes, draw_order, draw_tunes, whole_tunes
from lstmmusic.keeping import weights_of
from lstmmusic.updates import Settings


class TrainingError(ValueError, ArithmeticError):
    """Training has left the finite numbers; the last finite weights are kept."""


class Training:
    """Runs a plan on a model, from where its progress stands.

    Parameters
    ----------
    model : RNN4Music
    tunes : list of ndarray (steps, N)
    plan : Plan
    validation : list of ndarray (steps, N)
        May be empty.
    checkpoint : path or None
    every : int or None
        Updates from one checkpoint to the next.
    minutes : float
        The same in minutes, where ``every`` is None.
    """

    def __init__(self, model, tunes, plan, validation, checkpoint, every, minutes):
        self.model = model
        self.tunes = tunes
        self.plan = plan
        self.validation = validation
        self.checkpoint = checkpoint
        self.every = every
        self.minutes = minutes
        self.rng = copy.deepcopy(model.rng)  # the model's follows after each update
        self.saved_at = time.monotonic()
        self.since_save = 0

    @property
    def at(self):
        return self.model._progress

    def run(self, show):
        """Go on to the end, or until Ctrl-C; show a progress bar where ``show``."""
        with progress_bar(self.updates_in_all(), show) as bar, Interruption() as ctrl_c:
            bar.update(self.done())
            while not self.at.over and not ctrl_c.wanted:
                self.run_epoch(bar, ctrl_c)
            if self.at.over and self.at.best is not None:
                with ctrl_c.postponed():
                    self.model.setParameters(self.at.best)
            if self.checkpoint is not None:
                self.model.saveParameters(self.checkpoint)
        if not self.at.over:
            bar.write("stopped by Ctrl-C; resume=True goes on", file=sys.stderr)

    def updates_per_epoch(self):
        whole = self.plan.lengthOfMB is None
        batches = math.ceil(len(self.tunes) / self.plan.sizeOfMiniBatch) if whole else 1
        return batches * self.plan.noOfEpochPerMB

    def updates_in_all(self):
        return self.plan.noOfEpoch * self.updates_per_epoch()

    def done(self):
        return self.at.epoch * self.updates_per_epoch() + self.at.update

    def run_epoch(self, bar, ctrl_c):
        minibatch = drawn = None
        state, order = self.draw()
        for numbers in order[self.at.update :]:
            if numbers is not drawn:
                minibatch, drawn = self.make([self.tunes[n] for n in numbers]), numbers
            sums = self.model._functions.sums(minibatch, self.masks(minibatch))
            with ctrl_c.postponed():
                self.model._record(self.model._functions.update(sums, self.settings()))
                self.model.rng.bit_generator.state = self.rng.bit_generator.state
                self.at.epochState = state
                self.at.update += 1
            bar.set_postfix_str(f"cost {self.model.loss:.4g}", refresh=False)
            bar.update()
            last = self.at.update == self.updates_per_epoch()
            if ctrl_c.wanted and not last:
                return
            if not last:
                self.save_if_due()
        self.end_epoch(bar, ctrl_c)
        self.save_if_due()

    def draw(self):
        """Return the random state at the beginning of this epoch, and what it gave.

        That is the tunes' numbers for each update.  An epoch that has begun before is
        drawn again as it was then.
        """
        rng = self.rng
        if self.at.update > 0:
            rng = np.random.default_rng()
            rng.bit_generator.state = self.at.epochState
        state = rng.bit_generator.state
        draw = draw_order if self.plan.lengthOfMB is None else draw_tunes
        order = draw(rng, self.tunes, self.plan.sizeOfMiniBatch)
        again = range(self.plan.noOfEpochPerMB)
        return state, [numbers for numbers in order for _ in again]

    def make(self, tunes):
        dtype = self.model.dtype
        if self.plan.lengthOfMB is None:
            return whole_tunes(
                tunes, self.plan.sizeOfMiniBatch, self.plan.average, dtype
            )
        return cut_tunes(tunes, self.plan.lengthOfMB, dtype)

    def masks(self, minibatch):
        """Draw dropout's masks for one update; nothing without dropout."""
        model = self.model
        if not model.dropout:
            return ()
        T, B, _ = minibatch.x.shape
        kept = 1 - model.dropout
        shapes = [(1 if model.fixedMasks else T, B, H) for H in model.h_lengths]
        drawn = [self.rng.random(shape, dtype=model.dtype) for shape in shapes]
        return [(a < kept).astype(model.dtype) / model.dtype.type(kept) for a in drawn]

    def settings(self):
        """Return the numbers of the next update, as arrays."""
        model, factor = self.model, 1.0
        if self.plan.rateDecay == "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * self.done() / self.updates_in_all()))
        with np.errstate(over="ignore"):  # an update then says that it is not finite
            return Settings(
                *(np.array(R * factor, model.dtype) for R in model.rates),
                epsilon=np.array(model.epsilon, model.dtype),
                gradClip=np.array(model.gradClip, model.dtype),
                gradNorm=np.array(model.gradNorm or math.inf, model.dtype),
                lam=np.array(self.plan.lam, model.dtype),
            )

    def end_epoch(self, bar, ctrl_c):
        nll = None
        if self.validation:
            nll = self.model.evaluate(self.validation).nll
            bar.set_description_str(f"validation {nll:.4g}", refresh=False)
        with ctrl_c.postponed():
            if nll is not None:
                self.compare(nll)
            self.at.epoch, self.at.update = self.at.epoch + 1, 0

    def compare(self, nll):
        """Record a validation; keep the weights if they are the best so far."""
        at, model = self.at, self.model
        model.validationCost.append((len(model.instantaneousCost), nll))
        at.sinceBest += 1
        if nll < at.bestNll:
            at.bestNll, at.best, at.sinceBest = nll, weights_of(model), 0
        at.stopped = at.sinceBest == self.plan.patience

    def save_if_due(self):
        self.since_save += 1
        if self.checkpoint is None:
            return
        if self.every is None:
            due = time.monotonic() - self.saved_at >= 60 * self.minutes
        else:
            due = self.since_save >= self.every
        if due:
            self.model.saveParameters(self.checkpoint)
            self.saved_at, self.since_save = time.monotonic(), 0


class Interruption:
    """While it is entered, Ctrl-C asks to stop, and a second Ctrl-C interrupts.

    Not in the middle of what is ``postponed``: the weights are whole after it.  Only
    the main thread can be asked, and not where Ctrl-C is ignored.
    """

    def __init__(self):
        self.wanted = False
        self.at_once = False
        self.busy = False

    def __enter__(self):
        self.usual = None
        if threading.current_thread() is threading.main_thread():
            usual = signal.getsignal(signal.SIGINT)
            if usual not in (signal.SIG_IGN, None):  # None: not set by Python
                self.usual = usual
                signal.signal(signal.SIGINT, self._asked)
        return self

    def __exit__(self, *_):
        if self.usual is not None:
            signal.signal(signal.SIGINT, self.usual)

    def _asked(self, *_):
        self.at_once, self.wanted = self.wanted, True
        if self.at_once and not self.busy:
            raise KeyboardInterrupt

    @contextmanager
    def postponed(self):
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        if self.at_once:
            raise KeyboardInterrupt


def progress_bar(total, wanted):
    """Make a progress bar that shows itself on a terminal or in a notebook only."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    seen = on_terminal or "ipykernel" in sys.modules
    return tqdm(total=total, unit="update", disable=not (wanted and seen))
