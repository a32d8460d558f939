"""Warn of a training whose cost rises and stays high."""

import math
from collections.abc import Iterable

from lstmmusic import checks


class Divergence:
    """Warn once when the cost stays over ten times its lowest for 20 updates.

    Parameters
    ----------
    costs : sequence of float
        The costs per step so far of a resumed training; NaN where not known.
    """

    FACTOR, UPDATES = 10, 20

    def __init__(self, costs: Iterable[float] = ()):
        self.lowest, self.above, self.warned = math.inf, 0, False
        for cost in costs:
            self.look_at(cost)

    def look_at(self, cost: float) -> None:
        """Record the cost per step of one more update."""
        self.cost = cost
        self.lowest = min(cost, self.lowest)  # unchanged if the cost is NaN
        self.above = self.above + 1 if cost > self.FACTOR * self.lowest else 0

    def warn_once(self, rates: Iterable[float]) -> None:
        """Warn if the cost has stayed too high, unless a warning was given before."""
        if self.warned or self.above < self.UPDATES or self.lowest == 0:
            return
        self.warned = True
        R1, R2, R3, Rout = rates
        checks.warn_caller(
            f"the cost per step has been over {self.FACTOR} times its lowest, "
            f"{self.lowest:.4g}, for {self.UPDATES} updates, and is {self.cost:.4g}: "
            f"training may be diverging. Smaller rates (R1, R2, R3, Rout are {R1:g}, "
            f"{R2:g}, {R3:g}, {Rout:g}) or a smaller gradClip may help."
        )
