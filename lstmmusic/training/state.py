"""Hold a training's state: with the weights, all that it needs to be resumed."""

import copy
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data.batches import unpacked
from lstmmusic.training.provenance import TrainedOn


@dataclass(frozen=True)
class Arguments:
    """Hold the arguments of `RNN4Music.train`, unchecked, by their names."""

    dataset: Any
    noOfEpochPerMB: Any
    noOfEpoch: Any
    sizeOfMiniBatch: Any
    lengthOfMB: Any
    lam: Any
    average: Any
    rateDecay: Any
    validation: Any
    patience: Any
    checkpoint: Any
    checkpointEvery: Any
    checkpointMinutes: Any
    resume: Any
    progress: Any
    sources: Any
    command: Any
    rollFormat: Any
    callback: Any
    callbackEvery: Any


class Plan(NamedTuple):
    """Hold the arguments of a training that must be the same when it is resumed."""

    noOfEpochPerMB: int
    noOfEpoch: int
    sizeOfMiniBatch: int
    lengthOfMB: int | None  # None: whole tunes
    lam: float
    average: str
    rateDecay: str | None
    patience: int | None
    dataset: str  # see `fingerprint`
    validation: str


def fingerprint(tunes: Sequence, dtype) -> str:
    """Return a fingerprint of tunes (steps, N), in their order."""
    checksum = 0
    for tune in tunes:
        checksum = zlib.crc32(b"%d" % len(tune), checksum)
        roll = np.ascontiguousarray(unpacked(tune), dtype)
        checksum = zlib.crc32(roll.data, checksum)
    steps = sum(map(len, tunes))
    return f"{len(tunes)} tunes of {steps} steps, checksum {checksum:08x}"


def make_plan(
    tunes: Sequence, validation: Sequence, dtype, arguments: Arguments
) -> Plan:
    """Check what a `Plan` holds of the arguments; return it."""
    if arguments.patience is not None and not validation:
        raise ValueError(
            f"patience is {arguments.patience!r}, but there is no validation; "
            "allowed is None"
        )

    def checked(check, name, *args, **limits):
        return check(name, getattr(arguments, name), *args, **limits)

    def optional(check, name, *args, **limits):
        return checks.optional(check, name, getattr(arguments, name), *args, **limits)

    plan = Plan(
        noOfEpochPerMB=checked(checks.check_int, "noOfEpochPerMB"),
        noOfEpoch=checked(checks.check_int, "noOfEpoch"),
        sizeOfMiniBatch=checked(checks.check_int, "sizeOfMiniBatch"),
        lengthOfMB=optional(checks.check_int, "lengthOfMB", low=2),
        lam=checked(checks.check_float, "lam", low_allowed=True),
        average=checked(checks.one_of, "average", ("tune", "step")),
        rateDecay=optional(checks.one_of, "rateDecay", ("cosine",)),
        patience=optional(checks.check_int, "patience"),
        dataset=fingerprint(tunes, dtype),
        validation=fingerprint(validation, dtype),
    )
    if len(tunes) < plan.sizeOfMiniBatch:
        raise ValueError(
            f"sizeOfMiniBatch is {plan.sizeOfMiniBatch}, but the dataset has "
            f"{checks.counted(len(tunes), 'tune')}; allowed are 1 to {len(tunes)}"
        )
    return plan


class Position(NamedTuple):
    """Name a place between two updates of a training."""

    epoch: int = 0
    update: int = 0  # of this epoch
    epoch_rng_state: Mapping[str, Any] | None = None  # when the epoch began


@dataclass
class TrainState:
    """Hold a network's history and its place in a training, which `loop` changes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the next minibatch and masks.
    costs, steps : list of float
        The cost before each update so far, and how many steps it sums up; NaN where
        that is not known.
    validation : list of (int, float)
        After how many updates, and nats per step.
    loss : float
        The last cost.
    trained_on : TrainedOn
    records : list of dict
        A record of each training, the oldest first.
    roll_format : RollFormat or None
        That of all tunes so far which have one.
    plan : dict or None
        That of the last training; None before the first one.
    position : Position
        In that training.
    best : dict or None
        {original name: array}: the weights of its best validation.
    best_nll : float
        The nats per step of that validation.
    since_best : int
        Validations since then.
    stopped : bool
        By patience.
    """

    rng: np.random.Generator
    costs: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    validation: list = field(default_factory=list)
    loss: float = math.nan
    trained_on: TrainedOn = field(default_factory=TrainedOn)
    records: list = field(default_factory=list)
    roll_format: Any = None
    plan: dict | None = None
    position: Position = field(default_factory=Position)
    best: dict | None = field(default=None, repr=False)
    best_nll: float = math.inf
    since_best: int = 0
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Return whether no training is unfinished: none began, or the last ended."""
        return (
            self.plan is None
            or self.stopped
            or self.position.epoch >= self.plan["noOfEpoch"]
        )

    def begin(self, plan: Plan) -> None:
        """Begin a training; the history of those before stays."""
        self.plan, self.position = plan._asdict(), Position()
        self.best, self.best_nll, self.since_best = None, math.inf, 0
        self.stopped = False

    def record(self, cost: float, steps: float) -> None:
        """Append the cost of an update to the history."""
        self.steps = self.known_steps()
        self.costs.append(cost)
        self.steps.append(steps)
        self.loss = cost

    def known_steps(self) -> list[float]:
        """Return the steps of each cost; NaN if a user has changed the costs."""
        costs, steps = self.costs, self.steps
        return steps if len(steps) == len(costs) else [math.nan] * len(costs)

    @property
    def costs_per_step(self) -> list[float]:
        """Return the cost of each update per step; NaN where not known."""
        pairs = zip(self.costs, self.known_steps(), strict=True)
        return [cost / steps for cost, steps in pairs]

    def set_foreign_weights(self) -> None:
        """Record that weights come from elsewhere: not all their tunes are known."""
        self.trained_on = self.trained_on._replace(complete=False)

    def compare(self, nll: float) -> bool:
        """Record a validation; return whether it is the best so far."""
        self.validation.append((len(self.costs), nll))
        is_best = nll < self.best_nll
        self.since_best = 0 if is_best else self.since_best + 1
        self.best_nll = nll if is_best else self.best_nll
        self.stopped = self.since_best == (self.plan or {}).get("patience")
        return is_best

    def snapshot(self) -> "TrainState":
        """Return a copy that later updates do not change."""
        return replace(
            self,
            rng=copy.deepcopy(self.rng),
            costs=list(self.costs),
            steps=list(self.known_steps()),
            validation=list(self.validation),
            records=copy.deepcopy(self.records),
        )

    def differences(self, plan: Plan) -> list[tuple[str, Any, Any]]:
        """Return (name, our value, its value) of all in which a `Plan` differs."""
        ours, theirs = self.plan or {}, plan._asdict()
        return [
            (name, ours.get(name), theirs.get(name))
            for name in {**theirs, **ours}
            if ours.get(name) != theirs.get(name)
        ]


def state_attribute(name: str, check=lambda model, value: value) -> Any:
    """Make a property of `RNN4Music` that its `TrainState` holds, once checked."""

    def get(model):
        return getattr(model._train_state, name)

    def set_(model, value):
        setattr(model._train_state, name, check(model, value))

    computed = vars(TrainState).get(name)
    if isinstance(computed, property):
        return property(get, doc=computed.__doc__)
    return property(get, set_)
