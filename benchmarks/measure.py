"""Measure one thing in this process, and print it as one line of JSON.

    python benchmarks/measure.py update THREADS T B H PEER [PEER ...]
    python benchmarks/measure.py first_update THREADS [B [MODE [OUTPUT]]]
    python benchmarks/measure.py generate THREADS
    python benchmarks/measure.py memory PEER T B H
    python benchmarks/measure.py updates_joint THREADS T B H NAME [NAME ...]
    python benchmarks/measure.py epoch THREADS DATASET OUTPUT H
    python benchmarks/measure.py evaluation THREADS DATASET OUTPUT H
    python benchmarks/measure.py generate_joint THREADS
    python benchmarks/measure.py memory_joint OUTPUT KERNELS T B H
    python benchmarks/measure.py import_midi
    python benchmarks/measure.py folder
    python benchmarks/measure.py collection KIND
    python benchmarks/measure.py profile T B H
    python benchmarks/measure.py ahead DEVICE T B H PEER [PEER ...]
    mpiexec -n RANKS python benchmarks/measure.py ranks T B H

    python benchmarks/measure.py turns THREADS T B H [MODE]

The last prints a line for each line of its input: the seconds of an update.
`run.py` calls it, each time in a fresh process.  Threads are pinned to as many cores.
"""

import json
import math
import os
import statistics
import sys
import time
from functools import partial
from importlib import import_module

from timing import alternate, minibatch, peak_memory, pin


def update(threads, T, B, H, *names):
    """Measure an update of each peer."""
    import peers

    if any(name.startswith("torch") for name in names):
        import torch

        torch.set_num_threads(threads)
    x, k = minibatch(T, B)
    return alternate({name: getattr(peers, name)(x, k, H) for name in names})


def first_update(threads, B=5, mode=None, output="independent"):
    """Measure seconds from here to the import's end, and to that of the first update.

    Another checkout's library may run it, so it calls the public API alone, and names
    no output but the joint one.
    """
    start = time.perf_counter()
    import numpy as np

    from lstmmusic import RNN4Music

    imported = time.perf_counter()
    joint = {"output": output} if output == "joint" else {}
    model = RNN4Music(120, 120, 120, 88, seed=0, mode=mode, **joint)
    tunes = [np.eye(88)[np.arange(120) % 88]] * B
    model.train(tunes, 1, 1, B, 99, progress=False)
    return {
        "import lstmmusic": imported - start,
        "import to first update": time.perf_counter() - start,
    }


def turns(threads, T, B, H, mode=None):
    """Take a turn of untimed, then of timed updates for each line of standard input.

    Another checkout's library may run it, so it calls the public API alone.
    """
    import lstmmusic

    print(lstmmusic.__file__, flush=True)
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 1e-4)
    model = lstmmusic.RNN4Music(H, H, H, 88, **rates, seed=0, mode=mode)
    tunes = list(minibatch(T + 1, B)[0].swapaxes(0, 1))

    def seconds(updates):
        start = time.perf_counter()
        model.train(tunes, 1, updates, B, T + 1, progress=False)
        return (time.perf_counter() - start) / updates

    seconds(1)  # compiles
    for _ in sys.stdin:
        once = seconds(2)
        seconds(math.ceil(0.2 / once))  # as in `alternate`
        print(seconds(math.ceil(1 / once)), flush=True)


def generate(threads):
    """Measure 300 steps after a primer of 50, one tune and 64 at once, 120-120-120.

    One note in twenty sounds, as in music: it would be every second, untrained.
    """
    import numpy as np
    import peers
    import torch

    from lstmmusic import RNN4Music

    torch.set_num_threads(threads)
    primer = minibatch(50, 64)[0].swapaxes(0, 1)
    model = RNN4Music(120, 120, 120, 88, seed=0, genProbThreshold=0.01)
    model._store.weights.b_y.set_value(np.full(88, -3, np.float32))
    return alternate(
        {
            "one": lambda: model.genMusic(primer[0], 300, seed=1),
            "64": lambda: model.genMusic(primer, 300, seed=1),
            "torch_cells": peers.torch_cells(primer[0], 300),
        }
    )


def memory(name, T, B, H):
    """Measure resident memory in MB after the imports and at five updates' peak."""
    import peers

    if name == "ours":
        import pytensor.link.jax.dispatch  # noqa: F401
    else:
        import torch

        torch.set_num_threads(2)
    x, k = minibatch(T, B)

    before = peak_memory()
    run = getattr(peers, name)(x, k, H)
    for _ in range(5):
        run()
    return {"imports": before, "peak": peak_memory()}


def profile(T, B, H):
    """Measure the parts of an update, on one thread.

    Median seconds and GFLOP of products of each part, compiled by itself; of the whole,
    which one block makes as one program; and the GFLOP/s of OpenBLAS: a large product,
    and that of one step of the scan.
    """
    import jax
    import numpy as np
    import peers

    from lstmmusic.data.batches import mean_over_tunes
    from lstmmusic.engine.gradient import PartialGradient

    times = {"forward": [], "backward": [], "update": [], "whole": []}

    def timed(name, function):
        def call(*args):
            start = time.perf_counter()
            found = jax.block_until_ready(function(*args))
            times[name].append(time.perf_counter() - start)
            return found

        return call

    x, k = minibatch(T, B)
    functions, settings = peers.our_functions(H, x.shape[2])
    gradient, of_tunes = functions.gradient, mean_over_tunes(x, k)
    forward = timed("forward", gradient._forward(T, B, 0))
    backward = timed("backward", gradient._backward(T, B, 0))
    update = timed("update", functions.apply)
    for _ in range(31):
        passes = {T: (forward, backward)}
        cost, *gradients = gradient._through_blocks(passes, [T], *of_tunes.arrays)
        update([PartialGradient(cost, gradients)], settings)
    whole = timed("whole", peers.ours(x, k, H))
    for _ in range(30):
        whole()
    flop, parts = products_of(x, H), {}
    for name, seconds in times.items():
        calls = len(seconds) // 31 or 1
        parts[name] = calls * statistics.median(seconds), flop[name] / 1e9
    draw = np.random.default_rng(0).standard_normal
    large, step = draw((2048, 2048), np.float32), draw((B, H), np.float32)
    rates = [rate(large, large), rate(step, draw((H, 4 * H), np.float32))]
    return {"parts": parts, "rates": rates}


def products_of(x, H):
    """Return the floating-point operations of the products of each part."""
    T, B, N = x.shape
    sounding = float(x.sum() / (T * B))  # in a row; no others are multiplied
    forward = 2 * T * B * 4 * H * (3 * sounding + 3 * H + 2 * H)
    output = 2 * T * B * 3 * H * N
    errors = 2 * T * B * 4 * H * (3 * H + 2 * H)
    return {
        "forward": forward,
        "backward": forward + errors + 3 * output,
        "update": 0,
        "whole": 2 * forward + errors + 3 * output,
    }


def rate(a, b):
    """Return the GFLOP/s of a product."""
    seconds = alternate({"": lambda: a @ b}, seconds=1)[""]
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / seconds / 1e9


def ahead(device, T, B, H, *names):
    """Measure ten updates in a row, of which the last one's cost is awaited.

    Median seconds of one, in turns; and how fast the device multiplies large matrices.
    """
    import peers
    import torch

    ours, fused = peers.ours, partial(peers.torch_fused, device=device)
    written = partial(peers.torch_peephole, device=device)
    peers_of = {
        "ours": partial(ours, device=device),
        "ours TF32": partial(ours, device=device, tf32=True),
        "ours joint": partial(ours, device=device, output="joint"),
        "nn.LSTM": with_tf32(False, fused),
        "nn.LSTM TF32": with_tf32(True, fused),
        "peephole": with_tf32(False, written),
        "compiled": with_tf32(False, partial(written, compiled=True)),
    }
    x, k = minibatch(T, B)

    def ten(update):
        for _ in range(9):
            update()
        return float(update())

    found = alternate(
        {name: partial(ten, peers_of[name](x, k, H)) for name in names}, seconds=5
    )
    found = {name: seconds / 10 for name, seconds in found.items()}
    a = torch.randn(4096, 4096, device=device)
    for name, allowed in (("TFLOP/s", False), ("TFLOP/s TF32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        seconds = alternate({"": lambda: float((a @ a)[0, 0])}, seconds=1)[""]
        found[name] = 2 * 4096**3 / seconds / 1e12
    return found


def with_tf32(allowed, make):
    """Return what makes an update of PyTorch's with or without TF32."""
    import torch

    def made(*args):
        run = make(*args)

        def update():
            torch.backends.cuda.matmul.allow_tf32 = allowed
            torch.backends.cudnn.allow_tf32 = allowed
            return run()

        return update

    return made


def ranks(T, B, H):
    """Measure an update that the ranks of mpiexec share, each on its own core.

    Median seconds of the whole and of its parts, on the first rank; bytes added up.
    """
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[comm.Get_rank()]})
    import jax
    import peers

    from lstmmusic.data.batches import mean_over_tunes
    from lstmmusic.training.mpi import Ranks

    x, k = minibatch(T, B)
    functions, settings = peers.our_functions(H, x.shape[2])
    together, whole = Ranks(comm), mean_over_tunes(x, k)
    part, masks = together.part(whole, [])
    times = {"whole": [], "own": [], "adding up": []}
    for n in range(25):
        comm.Barrier()
        marks = [time.perf_counter()]
        if together.alone:
            update = partial(functions.step, part, masks)
        else:
            parts = jax.block_until_ready(functions.partial_gradients(part, masks))
            marks.append(time.perf_counter())
            summed = together.added_up(parts, False)
            update = partial(functions.apply, [summed.gradient])
        marks.append(time.perf_counter())
        update(settings)
        marks.append(time.perf_counter())
        if n > 4:
            times["whole"].append(marks[-1] - marks[0])
            times["own"].append(marks[1] - marks[0])
            times["adding up"].append(marks[-2] - marks[1])
    if not together.first:
        return None
    weights = sum(a.nbytes for a in functions.gradient._zero.gradients)
    found = {name: statistics.median(values) for name, values in times.items()}
    return found | {"bytes": weights}


# These have the number of threads as their first argument.
ON_THREADS = (
    "update first_update generate turns updates_joint epoch evaluation generate_joint"
).split()

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    arguments = [int(a) if a.isdigit() else a for a in arguments]
    if what in ON_THREADS:
        pin(arguments[0])
    elif what in ("folder", "profile"):
        pin(1)
    # After `pin`: NumPy counts the threads that it may use when it is imported.
    others = map(import_module, ("measure_midi", "measure_outputs"))
    functions = {name: f for m in others for name, f in vars(m).items()} | globals()
    if (found := functions[what](*arguments)) is not None:
        print(json.dumps(found))
