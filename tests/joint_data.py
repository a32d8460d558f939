"""Make the rolls that the tests of the joint output share."""

import numpy as np
from sizes import JOINT_D, JOINT_N, H

from lstmmusic.model.parameters import weight_shapes

T = 3  # steps, where a loop over them is unrolled
NEW = ["Wky", "ba", "Wka", "Wuy", "Wha_1", "Wha_2", "Wha_3"]
HALF = JOINT_N // 2
RESTRUCK_FORMS = [(JOINT_D, "down"), (0, "up")]  # jointUnits, noteOrder


def names(units):
    return list(weight_shapes(H, JOINT_N, units))


def tunes(*lengths, seed=72):
    rng = np.random.default_rng(seed)
    return [(rng.random((n, JOINT_N)) < 0.3) * 1.0 for n in lengths]


TUNES = tunes(40, 2, 33, 5)


def restruck_tune(steps, seed=92):
    """A tune in which about half of the notes that go on are struck again."""
    rng = np.random.default_rng(seed + steps)
    roll = (rng.random((steps, JOINT_N)) < 0.5) * 1.0
    roll[:, HALF:] *= roll[:, :HALF]
    roll[1:, HALF:] *= roll[:-1, :HALF]
    roll[0, HALF:] = 0
    return roll
