"""Print digests of trained and generated numbers, which tell if a change moves bits.

Run ``python benchmarks/digests.py > before.txt`` on one commit and the same into
``after.txt`` on another, on the same machine; ``diff`` shows which forms differ.  Each
form runs in a new process: 50 updates and 100 generated steps (10 for H = 600), and
gives digests of all parameters, the costs, the roll and its probabilities.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys

import numpy as np

CUT = {"noOfEpochPerMB": 1, "noOfEpoch": 50, "sizeOfMiniBatch": 8, "lengthOfMB": 65}
WHOLE = CUT | {"noOfEpoch": 10, "lengthOfMB": None}  # of 40 tunes: 5 updates an epoch
FORMS = {  # settings of the network, of the training, of this script
    "JAX float32 RMSprop, one thread": ({}, CUT, {"cpus": 1}),
    "JAX float32 RMSprop, two threads": ({}, CUT, {"cpus": 2}),
    "JAX float64": ({}, CUT, {"floatX": "float64"}),
    "Numba float32": ({"mode": "NUMBA"}, CUT, {}),
    "JAX Adam, dropout, norm, validation on whole tunes": (
        {"optimizer": "Adam", "dropout": 0.3, "gradNorm": 5.0},
        WHOLE | {"average": "step", "rateDecay": "cosine"},
        {"validation": 6},
    ),
    "tunes of 300 steps in blocks": ({}, CUT | {"lengthOfMB": 300}, {}),
    "originalForward, squared error": (
        {"originalForward": True, "cost": "squared-error"},
        CUT,
        {},
    ),
    "JAX joint output": ({"output": "joint", "jointUnits": 41}, CUT, {}),
    "H = 600": ({}, CUT, {"H": (600, 600, 600), "generated": 10}),
}


def main():
    """Print a line for each form, or the digests of one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="forms whose name contains this")
    parser.add_argument("--form", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        print(json.dumps(digests(*FORMS[options.form])))
        return
    for form in FORMS:
        if not options.only or options.only in form:
            command = [sys.executable, __file__, "--form", form]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{form}: {done.stdout.strip()}", flush=True)


def digests(settings, plan, more):
    """Return {what: digest} of one form."""
    if "cpus" in more:
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, usable[: more["cpus"]])
    from lstmmusic import RNN4Music  # it counts the CPUs, so the affinity is set first

    rng = np.random.default_rng(15)
    tunes = [rng.random((n, 88)) < 0.05 for n in rng.integers(40, 130, 40)]
    validation = tunes[: more["validation"]] if "validation" in more else None
    import pytensor

    pytensor.config.floatX = more.get("floatX", "float32")
    H = more.get("H", (60, 50, 40))
    model = RNN4Music(*H, 88, *4 * [0.002], seed=1, genProbThreshold=0.0, **settings)
    costs = model.train(tunes, **plan, validation=validation, progress=False)
    made = model.genMusic(tunes[0][:20], more.get("generated", 100), seed=1)
    return {
        "parameters": digest(*model.parameters().values()),
        "costs": digest(costs, [nll for _, nll in model.validationCost]),
        "roll": digest(made[0]),
        "probabilities": digest(made[1]),
    }


def digest(*arrays):
    """Return a digest of arrays' bytes."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:16]


if __name__ == "__main__":
    main()
