"""Train on whole tunes of unequal lengths, and evaluate, here and in PyTorch.

The recipe is that of examples/standard_benchmark.py: Adam, a limit on the gradient's
norm, dropout, minibatches of 8 tunes.
"""

import numpy as np

RATE, NORM, TUNES = 0.006, 5.0, 8
KEYS = range(-3, 4)  # semitones
UNITS = 128  # of the joint output
EVALUATED = 32  # tunes at once


def read(name):
    """Return the training tunes, in all keys, and the test tunes of a data set.

    Without ../shared/data, random tunes of about as many steps and notes stand in.
    """
    from processes import POLYPHONIC

    from lstmmusic import datasets

    if POLYPHONIC.exists():
        data = datasets.load_standard(name, POLYPHONIC)
        return datasets.transpose(data.train, KEYS), data.test
    rng = np.random.default_rng(0)
    mean, deviation, count, tests = {
        "JSB Chorales": (60, 15, 1603, 77),
        "Nottingham": (254, 160, 4858, 170),
    }[name]

    def tunes(number):
        lengths = rng.normal(mean, deviation, number).clip(mean / 2).astype(int)
        return [(rng.random((n, 88)) < 0.045).astype(np.uint8) for n in lengths]

    return tunes(count), tunes(tests)


def our_network(H, dropout, output):
    """Return an RNN4Music with the recipe's settings."""
    from lstmmusic import RNN4Music

    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), RATE)
    recipe = {"optimizer": "Adam", "gradNorm": NORM, "dropout": dropout}
    joint = {"output": output, "jointUnits": UNITS, "noteOrder": "down"}
    return RNN4Music(H, H, H, 88, **rates, **recipe, **joint, seed=0)


def our_training(model, tunes):
    """Return a function of tunes' numbers that makes the update which `train` makes."""
    from lstmmusic.training.interrupt import Interruption
    from lstmmusic.training.mpi import Ranks
    from lstmmusic.training.prepare import prepare_training
    from lstmmusic.training.state import Arguments

    given = dict.fromkeys(Arguments.__dataclass_fields__)
    given |= {"dataset": tunes, "noOfEpochPerMB": 1, "noOfEpoch": 12, "lam": 0.0}
    given |= {"sizeOfMiniBatch": TUNES, "average": "step", "rateDecay": "cosine"}
    given |= {"checkpointMinutes": 5.0, "resume": False, "progress": False}
    training = prepare_training(model, Ranks(None), Arguments(**given))
    training.begin(False, None)
    drawn, ctrl_c = training.rng.bit_generator.state, Interruption()
    return lambda numbers: training.update(
        training.make_minibatch(numbers), drawn, ctrl_c
    )


def products(order, tunes, H, output):
    """Return a function of tunes' numbers that makes `peers.floor` of all their steps.

    ``order`` holds the numbers that will be asked for.
    """
    from peers import floor

    columns = 88 + (UNITS if output == "joint" else 0)
    steps_of = {tuple(n): -(-sum(len(tunes[i]) - 1 for i in n) // TUNES) for n in order}
    floors = {}
    for T in set(steps_of.values()):
        rolls = np.ones((T, TUNES, columns), np.float32)
        floors[T] = floor(rolls[..., :88], rolls, H, rolls=False)
    return lambda numbers: floors[steps_of[tuple(numbers)]]()


def torch_network(N, H, dropout, output, form):
    """Return a module whose result is the logits of x and the targets.

    ``form`` is a function of `peers_joint`.
    """
    if output == "joint":
        from peers_joint import joint_stack

        return joint_stack(N, H, UNITS, form, dropout)
    from peers import torch_stack

    stack = torch_stack(N, H, dropout=dropout)
    call = stack.forward
    stack.forward = lambda x, k: call(x)
    return stack


def torch_training(network, tunes):
    """Return a function of tunes' numbers that makes an update in PyTorch.

    The minibatch is `whole_tunes`', cut to its longest tune: PyTorch needs no blocks.
    """
    import torch

    from lstmmusic.data.batches import whole_tunes

    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    cost_of = torch.nn.functional.binary_cross_entropy_with_logits

    def update(numbers):
        chosen = [tunes[n] for n in numbers]
        minibatch = whole_tunes(chosen, TUNES, "step", np.float32)
        longest = max(map(len, chosen)) - 1
        x, k, weight = (torch.from_numpy(a[:longest]) for a in minibatch.arrays)
        optimizer.zero_grad()
        logits = network(x, k)
        cost = cost_of(logits, k, weight[..., None].expand_as(k), reduction="sum")
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), NORM)
        optimizer.step()
        return cost.item()

    return update


def torch_evaluation(network, tunes):
    """Return a function that evaluates the tunes in PyTorch, sorted by length.

    It returns nats per step and accuracy, pooled.
    """
    import torch

    from lstmmusic.data.batches import in_and_out, padded

    cost_of = torch.nn.functional.binary_cross_entropy_with_logits

    @torch.no_grad()
    def evaluate():
        network.eval()
        order, sums = sorted(tunes, key=len), torch.zeros(4, dtype=torch.float64)
        for first in range(0, len(order), EVALUATED):
            rolls = [in_and_out(tune) for tune in order[first : first + EVALUATED]]
            longest = max(len(x) for x, _ in rolls)
            arrays = padded(rolls, longest, len(rolls), np.float32)
            x, k, mask = map(torch.from_numpy, arrays)
            logits, seen = network(x, k), mask[..., None] > 0
            nats = (cost_of(logits, k, reduction="none") * mask[..., None]).sum()
            sounds, predicted = (k > 0.5) & seen, (logits > 0) & seen
            hit, added = (sounds & predicted).sum(), (predicted & ~sounds).sum()
            sums += torch.stack([nats, hit, added, (sounds & ~predicted).sum()])
        network.train()
        nats, hit, added, missed = sums.tolist()
        steps = sum(len(tune) - 1 for tune in tunes)
        return nats / steps, hit / (hit + added + missed)

    return evaluate
