"""Measure the joint output and whole tunes; `measure.py` calls these functions."""

import time
from functools import partial

import numpy as np
from timing import alternate, minibatch, peak_memory

DROPOUT = 0.5
SKIPPED = 8  # one minibatch of so many is trained on
MOST_COMPARED = 40  # minibatches


def updates_joint(threads, T, B, H, *names):
    """Measure an update with each output, and with PyTorch's forms of the joint one.

    ``names``: independent, L, joint; nn.LSTM; cumsum, loop, pieces, and each of these
    with ``-compiled`` behind it; floor: the joint update's products between the layers
    and to Y and A alone.
    """
    import peers
    import peers_joint
    import peers_whole

    x, k = minibatch(T, B)
    ours = {
        "independent": {},
        "L": {"output": "joint", "jointUnits": 0},
        "joint": {"output": "joint"},
    }
    functions = {}
    for name in names:
        if name in ours:
            functions[name] = peers.ours(x, k, H, **ours[name])
    import torch  # after JAX: see `peers.ours`

    torch.set_num_threads(threads)
    for name in names:
        if name == "nn.LSTM":
            functions[name] = peers.torch_fused(x, k, H)
        elif name == "floor":
            outputs = np.ones((T, B, k.shape[2] + peers_whole.UNITS), k.dtype)
            functions[name] = peers.floor(x, outputs, H, rolls=False)
        elif name not in ours:
            functions[name] = peers_joint.torch_joint(x, k, H, name)
    return alternate({name: functions[name] for name in names}, seconds=15)


def epoch(threads, dataset, output, H, form="cumsum", skipped=SKIPPED):
    """Measure updates on whole tunes, here and in PyTorch.

    Also the products between the layers and to Y and A alone.  One minibatch of
    ``skipped``.  Wall-clock seconds an update, seconds of the processor, and the
    minibatches; compiling is left out.
    """
    import peers_joint
    import peers_whole
    import torch

    from lstmmusic.data.batches import draw_order

    torch.set_num_threads(threads)
    tunes, _ = peers_whole.read(dataset)
    order = draw_order(np.random.default_rng(1), tunes, peers_whole.TUNES)[::skipped]
    order = [n for n in order if len(n) == peers_whole.TUNES][:MOST_COMPARED]
    peer = peers_whole.torch_network(
        88, H, DROPOUT, output, peers_joint.form_of(form) if output == "joint" else None
    )
    ours = peers_whole.our_training(peers_whole.our_network(H, DROPOUT, output), tunes)
    updates = {
        "ours": ours,
        "torch": peers_whole.torch_training(peer, tunes),
        "floor": peers_whole.products(order, tunes, H, output),
    }
    for update in updates.values():  # compile
        for numbers in with_new_blocks(order, tunes):
            update(numbers)
    found = in_turn({name: partial(map, f) for name, f in updates.items()}, order)
    return found | {"minibatches": len(order)}


def with_new_blocks(order, tunes):
    """Yield the minibatches whose blocks no earlier one has: they compile programs."""
    from lstmmusic.data.batches import whole_tunes

    seen = set()
    for numbers in order:
        chosen = [tunes[n] for n in numbers]
        minibatch = whole_tunes(chosen, len(chosen), "step", np.float32)
        new = set(minibatch.blocks(max(map(len, chosen)) - 1)) - seen
        if new:
            seen |= new
            yield numbers


def in_turn(functions, items):
    """Return mean seconds of a call, {name: [wall-clock, processor]}.

    Each function takes an iterable of arguments; the functions take turns at the items.
    """
    sums = {name: np.zeros(2) for name in functions}
    for item in items:
        for name, function in functions.items():
            start = np.array([time.perf_counter(), time.process_time()])
            list(function([item]))
            sums[name] += [time.perf_counter(), time.process_time()] - start
    return {name: list(s / len(items)) for name, s in sums.items()}


def evaluation(threads, dataset, output, H, form="cumsum", rounds=5):
    """Measure the evaluation of a data set's test tunes, here and in PyTorch.

    Wall-clock seconds and seconds of the processor, means of some rounds.
    """
    import peers_joint
    import peers_whole
    import torch

    torch.set_num_threads(threads)
    _, tunes = peers_whole.read(dataset)
    model = peers_whole.our_network(H, 0.0, output)
    model._store.weights.b_y.set_value(sparse(model._store.weights.b_y.get_value()))
    form = peers_joint.form_of(form) if output == "joint" else None
    network = peers_whole.torch_network(88, H, 0.0, output, form)
    theirs = peers_whole.torch_evaluation(network, tunes)
    calls = {"ours": lambda _: model.evaluate(tunes), "torch": lambda _: theirs()}
    for call in calls.values():
        call(0)
    return in_turn({name: partial(map, f) for name, f in calls.items()}, range(rounds))


def sparse(b_y, N=88):
    """Return biases of the output with which one note in twenty sounds, as in music."""
    return np.where(np.arange(len(b_y)) < N, -3, b_y).astype(b_y.dtype)


def generate_joint(threads):
    """Measure 300 steps after a primer of 50, one tune and 64, with each output."""
    from lstmmusic import RNN4Music

    primer = minibatch(50, 64)[0].swapaxes(0, 1)
    functions = {}
    for output in ("independent", "joint"):
        model = RNN4Music(120, 120, 120, 88, output=output, seed=0, genProbThreshold=0)
        weights = model._store.weights
        weights.b_y.set_value(sparse(weights.b_y.get_value()))
        for name, given in (("one", primer[0]), ("64", primer)):
            functions[f"{output} {name}"] = partial(model.genMusic, given, 300, seed=1)
    return alternate(functions, seconds=15)


def memory_joint(output, kernels, T, B, H):
    """Measure resident memory in MB after the imports and at five updates' peak.

    Without ``kernels`` (0) plain products take their place, as on a GPU.
    """
    import peers
    import pytensor.link.jax.dispatch  # noqa: F401

    from lstmmusic.engine import lowering

    if not kernels:
        lowering.kernels = None
    x, k = minibatch(T, B)

    before = peak_memory()
    run = peers.ours(x, k, H, output=output)
    for _ in range(5):
        run()
    return {"imports": before, "peak": peak_memory()}
