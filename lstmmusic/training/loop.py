"""Run a training: epochs of minibatches, validation, checkpoints, Ctrl-C."""

import copy
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lstmmusic.data.batches import (
    Minibatch,
    cut_tunes,
    draw_masks,
    draw_order,
    draw_tunes,
    whole_tunes,
)
from lstmmusic.model.optimizers import Settings
from lstmmusic.training import provenance
from lstmmusic.training.checkpoint import (
    Saver,
    broadcast_first,
    resume_training,
    weights_of,
)
from lstmmusic.training.divergence import Divergence
from lstmmusic.training.interrupt import Interruption
from lstmmusic.training.log import Began, Listener, progress_bar
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.settings import SETTINGS
from lstmmusic.training.state import Plan, Position, TrainState


class TrainingError(ValueError, ArithmeticError):
    """Say that a training has diverged; the last finite weights are kept."""


class TrainingData(NamedTuple):
    """Hold the checked tunes of a training."""

    tunes: list[np.ndarray]  # (steps, N)
    validation: list[np.ndarray]  # (steps, N); may be empty
    source: provenance.Source
    roll_format: Any = None  # RollFormat, if the tunes have one


@dataclass
class Pending:
    """Hold an update whose cost a GPU may still compute."""

    cost: Any
    steps: float  # that the cost sums up
    broken: list[int]  # ranks whose part was not finite
    rng_state: Mapping[str, Any]  # after the update's draws
    position: Position  # after the update


class Training:
    """Run a plan on a model, from the position of its `TrainState`.

    During `run` the loop alone changes that state, after each update and each epoch.  A
    GPU is asked for the next update before the cost of the last one is there: that one
    is ``pending``.

    Parameters
    ----------
    model : RNN4Music
    data : TrainingData
    plan : Plan
    saver : Saver
    listener : Listener
    ranks : Ranks
    """

    def __init__(
        self, model, data: TrainingData, plan: Plan, saver: Saver, listener: Listener,
        ranks: Ranks,
    ):  # fmt: skip
        self.model = model
        self.tunes, self.validation, self.source, self.roll_format = data
        self.plan = plan
        self.saver = saver
        self.listener = listener
        self.ranks = ranks
        self.tunes_recorded = False
        self.stop = False  # as all ranks agree
        self.stopped_by = "Ctrl-C"
        self.pending: Pending | None = None
        # Set by `begin`.
        self.state: TrainState
        self.rng: np.random.Generator
        self.divergence: Divergence
        self.began: Began

    def begin(self, resume: bool, checkpoint) -> None:
        """Set the model's `TrainState`: a new one, or the one to resume."""
        self.ranks.same("the training", self.plan)
        self.ranks.same("rollFormat", self.roll_format)
        self.ranks.same("the callback, callbackEvery", self.listener.shared_settings)
        if self.ranks.first and resume:
            resume_training(self.model, self.plan, checkpoint, self.roll_format)
        elif self.ranks.first:
            self.model._train_state.begin(self.plan)
        broadcast_first(self.model, self.ranks)
        self.state = self.model._train_state
        self.rng = copy.deepcopy(self.state.rng)  # the state's follows each update
        done = self.updates_done
        self.divergence = Divergence(self.state.costs_per_step[-done:] if done else [])
        self.model._functions.reset_cost()
        self.began = Began(len(self.state.costs), time.time(), time.monotonic())

    def run(self, show: bool) -> None:
        """Run to the end, or until Ctrl-C; show a progress bar if ``show``."""
        show = show and self.ranks.first
        bar = progress_bar(self.updates_done, self.total_updates, show)
        with bar, Interruption() as ctrl_c:
            try:
                while not self.over and not self.to_stop(ctrl_c):
                    self.run_epoch(bar, ctrl_c)
            finally:
                with ctrl_c.postponed():
                    self.settle()
                    if self.state.over and self.state.best is not None:
                        self.model._store.set(self.state.best)
            if self.saver.path is not None:
                self.saver.save(self.model, self.updates_done)
        if not self.state.over and self.ranks.first:
            done = f"{self.updates_done} of {self.total_updates} updates"
            what = f"stopped by {self.stopped_by} after {done}; can be resumed"
            bar.write(what, file=sys.stderr)

    @property
    def position(self) -> Position:
        """Return the position after the last update, the pending one included."""
        return (self.pending or self.state).position

    @property
    def over(self) -> bool:
        return self.state.stopped or self.position.epoch >= self.plan.noOfEpoch

    @property
    def updates_per_epoch(self) -> int:
        whole = self.plan.lengthOfMB is None
        batches = math.ceil(len(self.tunes) / self.plan.sizeOfMiniBatch) if whole else 1
        return batches * self.plan.noOfEpochPerMB

    @property
    def total_updates(self) -> int:
        return self.plan.noOfEpoch * self.updates_per_epoch

    @property
    def updates_done(self) -> int:
        """Return the number of updates so far, the pending one included."""
        place = self.position
        return place.epoch * self.updates_per_epoch + place.update

    def run_epoch(self, bar: tqdm, ctrl_c: Interruption) -> None:
        """Make the epoch's remaining updates; return early if a stop is requested."""
        minibatch = drawn = None
        epoch_rng_state, order = self.draw()
        for numbers in order:
            # noOfEpochPerMB updates share a minibatch.
            if minibatch is None or numbers is not drawn:
                drawn, minibatch = numbers, self.make_minibatch(numbers)
            self.update(minibatch, epoch_rng_state, ctrl_c)
            bar.set_postfix_str(f"cost {self.state.loss:.4g}", refresh=False)
            bar.update()
            if self.ranks.first:
                self.divergence.warn_once(self.model.rates)
            if self.position.update == self.updates_per_epoch:
                break
            self.tell_if_due()
            if self.to_stop(ctrl_c):
                return
            self.save_if_due()
        self.end_epoch(bar, ctrl_c)
        self.tell_if_due(epoch_over=True)
        self.save_if_due()

    def update(
        self, minibatch: Minibatch, epoch_rng_state: Mapping, ctrl_c: Interruption
    ) -> None:
        """Make one update; Ctrl-C never interrupts between weights and position."""
        functions, masks = self.model._functions, self.masks(minibatch)
        broken: list[int] = []
        settings = self.settings()
        if self.ranks.alone and functions.in_one_program(minibatch):
            update = partial(functions.step, minibatch, masks)
        else:  # not postponed: Ctrl-C may interrupt between several programs
            n_parts = functions.parts(minibatch) if self.ranks.alone else 1
            functions.compile_apply(n_parts, settings)
            parts, broken = self.partial_gradients(minibatch, masks, ctrl_c)
            update = partial(functions.apply, parts)
        with ctrl_c.postponed():
            cost = update(settings)
            self.settle()  # a GPU makes this update while the last one is recorded
            place = self.state.position
            self.pending = Pending(
                cost,
                minibatch.steps,
                broken,
                self.rng.bit_generator.state,
                Position(place.epoch, place.update + 1, epoch_rng_state),
            )
            if not functions.asynchronous:
                self.settle()

    def partial_gradients(self, minibatch, masks, ctrl_c):
        """Return partial gradients of all ranks, and the ranks that are not finite."""
        functions = self.model._functions
        if self.ranks.alone:
            return functions.partial_gradients(minibatch, masks), []
        parts = functions.partial_gradients(*self.ranks.part(minibatch, masks))
        summed = self.ranks.added_up(parts, ctrl_c.wanted)
        self.stop = summed.stop
        return [summed.gradient], summed.broken

    def to_stop(self, ctrl_c: Interruption) -> bool:
        return self.stop or (self.ranks.alone and ctrl_c.wanted)

    def settle(self) -> None:
        """Wait for the pending update, if there is one, and record it."""
        if self.pending is not None:
            last, self.pending = self.pending, None
            self.record(float(last.cost), last)

    def record(self, cost: float, last: Pending) -> None:
        """Record an update in the `TrainState`; TrainingError if it is not finite."""
        state, model = self.state, self.model
        if not np.isfinite(cost):
            where = f" (rank {', '.join(map(str, last.broken))})" if last.broken else ""
            raise TrainingError(
                f"update {len(state.costs) + 1} gave a cost or weights that "
                f"are not finite{where}, or weights beyond ±1e6; the weights are those "
                f"before it. Smaller rates (R1, R2, R3, Rout are {model.R1:g}, "
                f"{model.R2:g}, {model.R3:g}, {model.Rout:g}) or a smaller gradClip "
                f"({model.gradClip:g}) may help."
            )
        self.record_training(last.position.epoch_rng_state)
        state.record(cost, last.steps)
        self.divergence.look_at(cost / last.steps)
        state.rng.bit_generator.state = last.rng_state
        state.position = last.position

    def record_training(self, epoch_rng_state: Mapping | None) -> None:
        """Count an update in this training's record; create that at the first."""
        state, model = self.state, self.model
        if state.position[:2] == (0, 0) or not state.records:
            settings = {name: getattr(model, name) for name in SETTINGS}
            record = {"command": self.source.command, "updates": 0}
            assert state.plan is not None  # set by `begin`
            record |= {**state.plan, **settings, "processes": self.ranks.size}
            record["randomState"] = provenance.digest_of_state(epoch_rng_state)
            provenance.add_training(state.records, record)
        state.records[-1]["updates"] += 1
        if not self.tunes_recorded:
            state.trained_on = state.trained_on.join(self.source.digests)
            state.roll_format = self.roll_format or state.roll_format
            self.tunes_recorded = True

    def draw(self) -> tuple[Mapping, Iterator]:
        """Return the random state at the beginning of this epoch, and its order.

        The order is an iterator of the tunes' numbers for each update to come.  An
        epoch that was stopped is drawn again from the same state.
        """
        rng, place = self.rng, self.position
        if place.update > 0 and place.epoch_rng_state is not None:
            rng = np.random.default_rng()
            rng.bit_generator.state = place.epoch_rng_state
        state = rng.bit_generator.state
        draw = draw_order if self.plan.lengthOfMB is None else draw_tunes
        order = draw(rng, self.tunes, self.plan.sizeOfMiniBatch)
        again = range(self.plan.noOfEpochPerMB)
        updates = (numbers for numbers in order for _ in again)
        return state, itertools.islice(updates, place.update, None)

    def make_minibatch(self, numbers: Iterable[int]) -> Minibatch:
        tunes = [self.tunes[n] for n in numbers]
        plan, dtype = self.plan, self.model.dtype
        if plan.lengthOfMB is None:
            return whole_tunes(tunes, plan.sizeOfMiniBatch, plan.average, dtype)
        return cut_tunes(tunes, plan.lengthOfMB, dtype)

    def masks(self, minibatch: Minibatch) -> list | tuple:
        """Draw dropout's masks for one update; nothing without dropout."""
        model, (T, B, _) = self.model, minibatch.x.shape
        if not model.dropout:
            return ()
        shapes = [(1 if model.fixedMasks else T, B, H) for H in model.h_lengths]
        return draw_masks(self.rng, shapes, model.dropout, model.dtype)

    def settings(self) -> Settings:
        """Return the numbers of the next update, as arrays."""
        model = self.model
        R1, R2, R3, Rout = self.rates(self.updates_done)
        settings = Settings(
            R1=R1,
            R2=R2,
            R3=R3,
            Rout=Rout,
            epsilon=model.epsilon,
            gradClip=model.gradClip,
            gradNorm=model.gradNorm or math.inf,
            lam=self.plan.lam,
        )
        with np.errstate(over="ignore"):  # an update then says that it is not finite
            return Settings(*(np.array(value, model.dtype) for value in settings))

    def rates(self, done: int) -> tuple[float, ...]:
        """Return the rates of the update after ``done`` others."""
        factor = 1.0
        if self.plan.rateDecay == "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * done / self.total_updates))
        return tuple(rate * factor for rate in self.model.rates)

    def end_epoch(self, bar: tqdm, ctrl_c: Interruption) -> None:
        """Validate, keep the best weights, and go to the next epoch."""
        nll = None
        if self.validation:
            self.settle()
            nll = self.ranks.pooled(self.model.evaluate, self.validation)
            bar.set_description_str(f"validation {nll:.4g}", refresh=False)
        with ctrl_c.postponed():
            if nll is not None and self.state.compare(nll):
                self.state.best = weights_of(self.model)
            place = self.position
            next_epoch = place._replace(epoch=place.epoch + 1, update=0)
            (self.pending or self.state).position = next_epoch

    def tell_if_due(self, epoch_over: bool = False) -> None:
        """Call the callback if due, on rank 0; stop all ranks if it returns True."""
        if not self.listener.is_due(self.updates_done, epoch_over):
            return
        self.settle()
        began, rates = self.began, self.rates(self.updates_done - 1)
        wanted = self.ranks.first and self.listener.tell(self.model, began, rates)
        if self.ranks.first_says(wanted):
            self.stop, self.stopped_by = True, "the callback"

    def save_if_due(self) -> None:
        if self.saver.is_due():
            self.settle()
            self.saver.save(self.model, self.updates_done)
