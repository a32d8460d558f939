"""The course of a training: epochs of minibatches, validation, stopping, going on."""

import copy
import itertools
import math
import sys
import time
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lstmmusic import checks
from lstmmusic.data.batches import cut_tunes, draw_order, draw_tunes, whole_tunes
from lstmmusic.model.optimizers import Settings
from lstmmusic.training import parameter_file, provenance
from lstmmusic.training.checkpoint import weights_of
from lstmmusic.training.divergence import Divergence
from lstmmusic.training.interrupt import Interruption


class TrainingError(ValueError, ArithmeticError):
    """Training has left the finite numbers; the last finite weights are kept."""


class CheckpointError(OSError):
    """The checkpoint cannot be written; what was learnt is in the object."""


class Saving(NamedTuple):
    """Where and when a training saves as it goes."""

    path: object  # None: nowhere
    every: int | None  # updates from one save to the next
    minutes: float  # the same, where ``every`` is None


def make_saving(checkpoint, every, minutes, ranks):
    """Check arguments of `RNN4Music.train`; return a `Saving`."""
    if checkpoint is None and every is not None:
        raise ValueError(f"checkpointEvery is {every!r}, but there is no checkpoint")
    checks.optional(checks.check_int, "checkpointEvery", every)
    checks.check_float("checkpointMinutes", minutes, low_allowed=True)
    path = None
    if checkpoint is not None and ranks.first:
        path = parameter_file.check_checkpoint(checkpoint)
    return Saving(path, every, minutes)


class Pending(NamedTuple):
    """An update that was asked for, and where the training stands with it."""

    cost: object  # of the backend
    steps: float  # that the cost sums up
    broken: list
    rng_state: dict  # after its draws
    epochState: dict
    epoch: int
    update: int


class Training:
    """Runs a plan on a model, from where its progress stands.

    Parameters
    ----------
    model : RNN4Music
    tunes : list of ndarray (steps, N)
    plan : Plan
    validation : list of ndarray (steps, N)
        May be empty.
    saving : Saving
    ranks : Ranks
    source : provenance.Source
    """

    def __init__(self, model, tunes, plan, validation, saving, ranks, source):
        self.model = model
        self.tunes = tunes
        self.plan = plan
        self.validation = validation
        self.saving = saving
        self.ranks = ranks
        self.source = source
        self.tunes_recorded = False
        self.divergence = Divergence(self.costs_so_far())
        self.stop = False  # as all ranks agree
        self.rng = copy.deepcopy(model.rng)  # the model's follows after each update
        self.saved_at = time.monotonic()
        self.since_save = 0
        self.epoch, self.update = self.at.epoch, self.at.update
        self.pending = None  # `at` and the model's history do not know of it yet
        model._functions.begin()

    def costs_so_far(self):
        """Return the costs per step of this training's updates, where it goes on."""
        done = self.at.epoch * self.updates_per_epoch() + self.at.update
        return self.model.costPerStep[-done:] if done else []

    @property
    def at(self):
        return self.model._progress

    @property
    def over(self):
        return self.at.stopped or self.epoch >= self.plan.noOfEpoch

    def run(self, show):
        """Go on to the end, or until Ctrl-C; show a progress bar where ``show``."""
        show = show and self.ranks.first
        bar = progress_bar(self.done(), self.updates_in_all(), show)
        with bar, Interruption() as ctrl_c:
            try:
                while not self.over and not self.to_stop(ctrl_c):
                    self.run_epoch(bar, ctrl_c)
            finally:
                with ctrl_c.postponed():
                    self.settle()
            if self.at.over and self.at.best is not None:
                with ctrl_c.postponed():
                    trained_on = self.model._trained_on
                    self.model.setParameters(self.at.best)
                    self.model._trained_on = trained_on
            if self.saving.path is not None:
                self.save()
        if not self.at.over and self.ranks.first:
            done = f"{self.done()} of {self.updates_in_all()} updates; can be resumed"
            bar.write(f"stopped by Ctrl-C after {done}", file=sys.stderr)

    def updates_per_epoch(self):
        whole = self.plan.lengthOfMB is None
        batches = math.ceil(len(self.tunes) / self.plan.sizeOfMiniBatch) if whole else 1
        return batches * self.plan.noOfEpochPerMB

    def updates_in_all(self):
        return self.plan.noOfEpoch * self.updates_per_epoch()

    def done(self):
        return self.epoch * self.updates_per_epoch() + self.update

    def run_epoch(self, bar, ctrl_c):
        minibatch = drawn = None
        state, order = self.draw()
        for numbers in order:
            if numbers is not drawn:
                minibatch, drawn = self.make([self.tunes[n] for n in numbers]), numbers
            sums, broken = self.sums(minibatch, ctrl_c)
            with ctrl_c.postponed():
                cost = self.model._functions.update(sums, self.settings())
                self.settle()  # the one before, while this one is made
                self.update += 1
                drawn_with = self.rng.bit_generator.state
                self.pending = Pending(
                    cost, minibatch.steps, broken, drawn_with, state,
                    self.epoch, self.update,
                )  # fmt: skip
                if not self.model._functions.ahead:
                    self.settle()
            bar.set_postfix_str(f"cost {self.model.loss:.4g}", refresh=False)
            bar.update()
            if self.ranks.first:
                self.divergence.warn_once(self.model.rates)
            last = self.update == self.updates_per_epoch()
            if self.to_stop(ctrl_c) and not last:
                return
            if not last:
                self.save_if_due()
        self.end_epoch(bar, ctrl_c)
        self.save_if_due()

    def settle(self):
        """Wait for the update that was asked for last, and take note of it."""
        if self.pending is not None:
            done, self.pending = self.pending, None
            self.model._record(float(done.cost), done.steps, done.broken)
            self.record_training(done.epochState)
            self.divergence.look_at(self.model.loss / done.steps)
            self.model.rng.bit_generator.state = done.rng_state
            self.at.epochState = done.epochState
            self.at.epoch, self.at.update = done.epoch, done.update

    def record_training(self, rng_state):
        """Count an update in the model's records; at the first, record the tunes.

        ``rng_state`` is that of the beginning of its epoch.
        """
        model, at = self.model, self.at
        if at.epoch == at.update == 0 or not model.trainings:
            settings = {name: getattr(model, name) for name in parameter_file.SETTINGS}
            record = {"command": self.source.command, "updates": 0}
            record |= {**at.plan, **settings, "processes": self.ranks.size}
            record["randomState"] = provenance.digest_of_state(rng_state)
            provenance.add_training(model.trainings, record)
        model.trainings[-1]["updates"] += 1
        if not self.tunes_recorded:
            model._trained_on = model._trained_on.join(self.source.digests)
            self.tunes_recorded = True

    def sums(self, minibatch, ctrl_c):
        """Return what the update is made from, and ranks that are no longer finite."""
        functions, masks = self.model._functions, self.masks(minibatch)
        if self.ranks.alone:
            return functions.sums(minibatch, masks), []
        part, masks = self.ranks.part(minibatch, masks)
        sums = functions.gradient.sums(part, masks)
        found = self.ranks.added_up(sums, ctrl_c.wanted)
        self.stop = found.stop
        return [found.sums], found.broken

    def to_stop(self, ctrl_c):
        return ctrl_c.wanted if self.ranks.alone else self.stop

    def draw(self):
        """Return the random state at the beginning of this epoch, and what it gave.

        That is an iterator of the tunes' numbers for each update to come.  An epoch
        that has begun before is drawn again as it was then.
        """
        rng = self.rng
        if self.update > 0:
            rng = np.random.default_rng()
            rng.bit_generator.state = self.at.epochState
        state = rng.bit_generator.state
        draw = draw_order if self.plan.lengthOfMB is None else draw_tunes
        order = draw(rng, self.tunes, self.plan.sizeOfMiniBatch)
        again = range(self.plan.noOfEpochPerMB)
        updates = (numbers for numbers in order for _ in again)
        return state, itertools.islice(updates, self.update, None)

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
            self.settle()
            nll = self.ranks.pooled(self.model.evaluate, self.validation)
            bar.set_description_str(f"validation {nll:.4g}", refresh=False)
        with ctrl_c.postponed():
            if nll is not None:
                self.compare(nll)
            self.epoch, self.update = self.epoch + 1, 0
            if self.pending is None:
                self.at.epoch, self.at.update = self.epoch, 0
            else:
                self.pending = self.pending._replace(epoch=self.epoch, update=0)

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
        if self.saving.path is None:
            return
        if self.saving.every is None:
            due = time.monotonic() - self.saved_at >= 60 * self.saving.minutes
        else:
            due = self.since_save >= self.saving.every
        if due:
            self.settle()
            self.save()
            self.saved_at, self.since_save = time.monotonic(), 0

    def save(self):
        """Write the checkpoint; CheckpointError where that fails."""
        try:
            self.model.saveParameters(self.saving.path)
        except (OSError, ValueError) as error:  # the latter of a folder that is there
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"checkpoint is {self.saving.path!r}, but it cannot be written after "
                f"{checks.counted(self.done(), 'update')}: {reason}. The "
                "object holds what was learnt: saveParameters writes it to another "
                "path, and resume=True goes on with it"
            ) from error


def progress_bar(done, total, wanted):
    """Make a progress bar that shows itself on a terminal or in a notebook only.

    What was done before it began does not count for the speed that it shows.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    seen = on_terminal or "ipykernel" in sys.modules
    hidden = not (wanted and seen)
    return tqdm(initial=done, total=total, unit="update", disable=hidden)
