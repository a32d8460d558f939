"""Where a training stands: what a stopped one goes on from."""

import math
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data.batches import unpacked

MOST_UPDATES = 2**53  # of an epoch; a float still tells one from the next


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
    dataset: str  # as by `described`
    validation: str


def described(tunes, dtype):
    """Return a text that tells tunes (steps, N) from others, in other order too."""
    checksum = 0
    for tune in tunes:
        checksum = zlib.crc32(b"%d" % len(tune), checksum)
        roll = np.ascontiguousarray(unpacked(tune), dtype)
        checksum = zlib.crc32(roll, checksum)
    steps = sum(map(len, tunes))
    return f"{len(tunes)} tunes of {steps} steps, checksum {checksum:08x}"


def make_plan(
    tunes, validation, dtype, epochs_per_minibatch, epochs, size, length, lam, average,
    decay, patience,
):  # fmt: skip
    """Check the arguments of `RNN4Music.train`; return a `Plan`."""
    if patience is not None and not validation:
        raise ValueError(f"patience is {patience!r}, but there is no validation")
    plan = Plan(
        noOfEpochPerMB=checks.check_int("noOfEpochPerMB", epochs_per_minibatch),
        noOfEpoch=checks.check_int("noOfEpoch", epochs),
        sizeOfMiniBatch=checks.check_int("sizeOfMiniBatch", size),
        lengthOfMB=checks.optional(checks.check_int, "lengthOfMB", length, low=2),
        lam=checks.check_float("lam", lam, low_allowed=True),
        average=checks.one_of("average", average, ("tune", "step")),
        rateDecay=checks.optional(checks.one_of, "rateDecay", decay, ("cosine",)),
        patience=checks.optional(checks.check_int, "patience", patience),
        dataset=described(tunes, dtype),
        validation=described(validation, dtype),
    )
    if len(tunes) < size:
        raise ValueError(
            f"sizeOfMiniBatch is {size}, but the dataset has "
            f"{checks.counted(len(tunes), 'tune')}; allowed are 1 to {len(tunes)}"
        )
    return plan


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
        """Raise ValueError where a field, as it was read, is not what it must be.

        Of the plan only what `over` needs: `differences` finds the rest.
        """
        if not isinstance(self.plan, dict):
            raise ValueError(f"plan is {self.plan!r:.60}")
        last = checks.check_int("noOfEpoch", self.plan.get("noOfEpoch"))
        checks.check_int("epoch", self.epoch, low=0, high=last)
        checks.check_int("update", self.update, low=0, high=MOST_UPDATES)
        checks.check_int("sinceBest", self.sinceBest, low=0, high=self.epoch)
        checks.truth("stopped", self.stopped)
        if not isinstance(self.bestNll, float) or not self.bestNll > -math.inf:
            raise ValueError(f"bestNll is {self.bestNll!r}")
        if self.best is not None:
            raise ValueError("best is among the numbers")
        if self.update > 0 or self.epochState is not None:
            checks.rng_state("epochState", self.epochState)

    def differences(self, plan):
        """Return (name, value, other value) of all in which a `Plan` is another."""
        ours, theirs = self.plan, plan._asdict()
        return [
            (name, ours.get(name), theirs.get(name))
            for name in {**theirs, **ours}
            if ours.get(name) != theirs.get(name)
        ]
