"""Where a training stands: what a stopped one goes on from."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from lstmmusic import checks


class Plan(NamedTuple):
    """What a training does, and must be the same when it is resumed."""

    noOfEpochPerMB: int
    noOfEpoch: int
    sizeOfMiniBatch: int
    lengthOfMB: int | None  # None: whole tunes
    lam: float
    average: str
    rateDecay: str | None
    patience: int | None
    tunes: int
    steps: int  # of all tunes
    validationSteps: int


@dataclass
class Progress:
    """Where a training stands; with the model, all it needs to go on."""

    plan: dict
    epoch: int = 0
    update: int = 0  # of this epoch
    epochState: dict | None = None  # of the random numbers, when the epoch began
    bestNll: float = math.inf
    sinceBest: int = 0  # validations
    stopped: bool = False  # by patience
    best: dict | None = field(default=None, repr=False)  # {original name: array}

    @property
    def over(self):
        return self.stopped or self.epoch >= self.plan["noOfEpoch"]

    def check(self):
        """Raise ValueError or KeyError where a field is not what it must be."""
        if set(self.plan) != set(Plan._fields) or not isinstance(self.stopped, bool):
            raise ValueError("the plan lacks something")
        checks.whole("noOfEpoch", self.plan["noOfEpoch"])
        checks.whole("epoch", self.epoch, low=0)
        checks.whole("update", self.update, low=0)
        checks.whole("sinceBest", self.sinceBest, low=0)
        if not isinstance(self.bestNll, float) or math.isnan(self.bestNll):
            raise ValueError(f"bestNll is {self.bestNll!r}")
        if self.update > 0:
            checks.rng_state("epochState", self.epochState)
