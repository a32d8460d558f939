"""Train on small tunes, by two plans: whole tunes, and tunes cut."""

import numpy as np
from sizes import N

RNG = np.random.default_rng(101)
TUNES = [RNG.choice([0.0, 0.0, 1.0], size=(n, N)) for n in (9, 40, 5, 33, 20)]
VALIDATION = [RNG.choice([0.0, 0.0, 1.0], size=(n, N)) for n in (12, 4)]
COMMON = {
    "noOfEpochPerMB": 2,
    "sizeOfMiniBatch": 2,
    "rateDecay": "cosine",
    "validation": VALIDATION,
}
# Twelve updates each; the minibatches of the first are of one block or of two.
PLANS = {
    "whole": COMMON | {"noOfEpoch": 2, "lengthOfMB": None, "average": "step"},
    "cut": COMMON | {"noOfEpoch": 6, "lengthOfMB": 33, "lam": 1e-3},
}
UPDATES = 12
EPOCHS = {"whole": (6, 12), "cut": (2, 4, 6, 8, 10, 12)}  # their last updates


def train(model, plan="whole", dataset=TUNES, **arguments):
    arguments = {"progress": False} | PLANS[plan] | arguments
    return model.train(dataset, **arguments)
