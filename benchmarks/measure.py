"""Measure one thing in this process, and print it as one line of JSON.

    python benchmarks/measure.py update THREADS T B H PEER [PEER ...]
    python benchmarks/measure.py generate THREADS
    python benchmarks/measure.py memory PEER T B H
    python benchmarks/measure.py folder
    python benchmarks/measure.py collection KIND
    python benchmarks/measure.py profile T B H
    python benchmarks/measure.py ahead DEVICE T B H PEER [PEER ...]
    mpiexec -n RANKS python benchmarks/measure.py ranks T B H

`run.py` calls it, each time in a fresh process.  Threads are pinned to as many cores.
"""

import json
import os
import statistics
import sys
import time


def pin(threads):
    """Keep this process to the first cores; before any library counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def alternate(functions, seconds=6.0, least=3, most=40):
    """Call functions in turn; return median seconds.

    Before each turn come a rest, in which threads that another library keeps spinning
    after its work (OpenMP: 0.2 s) fall asleep, and calls for 0.2 s that are not timed:
    so long the system needs to give threads that slept a core each.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or (time.perf_counter() < end and rounds < most):
        rounds += 1
        for name, function in functions.items():
            time.sleep(0.3)
            turn = time.perf_counter()
            function()
            while time.perf_counter() - turn < 0.2:
                function()
            turn = time.perf_counter()
            for _ in range(3):
                start = time.perf_counter()
                function()
                times[name].append(time.perf_counter() - start)
                if time.perf_counter() - turn > 1:
                    break
    return {name: statistics.median(values) for name, values in times.items()}


def minibatch(T, B, N=88, density=0.05):
    """Make a random minibatch as sparse as a piano-roll: x, k (T, B, N)."""
    import numpy as np

    rolls = np.random.default_rng(0).random((T + 1, B, N)) < density
    rolls = rolls.astype(np.float32)
    return rolls[:-1].copy(), rolls[1:].copy()


def update(threads, T, B, H, *names):
    import peers

    if any(name.startswith("torch") for name in names):
        import torch

        torch.set_num_threads(threads)
    x, k = minibatch(T, B)
    return alternate({name: getattr(peers, name)(x, k, H) for name in names})


def generate(threads):
    """300 steps after a primer of 50, one tune and 64 at once, 120-120-120.

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
    """Peak resident memory of five updates, in MB, without what importing takes."""
    import resource

    import peers

    if name == "ours":
        import pytensor.link.jax.dispatch  # noqa: F401
    else:
        import torch

        torch.set_num_threads(2)
    x, k = minibatch(T, B)

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak()
    run = getattr(peers, name)(x, k, H)
    for _ in range(5):
        run()
    return {"imports": before, "peak": peak()}


def write_random(path, files):
    """Write MIDI files of 3000 random notes in 240 s each to a folder."""
    import warnings
    from pathlib import Path

    warnings.simplefilter("ignore")  # pretty_midi's imports
    import numpy as np
    import pretty_midi

    rng = np.random.default_rng(0)
    for n in range(files):
        song = pretty_midi.PrettyMIDI()
        piano = pretty_midi.Instrument(0)
        starts = np.sort(rng.uniform(0, 240, 3000))
        for start, pitch in zip(starts, rng.integers(21, 109, 3000), strict=True):
            piano.notes.append(pretty_midi.Note(64, int(pitch), start, start + 0.4))
        song.instruments.append(piano)
        song.write(str(Path(path, f"{n:02}.mid")))


def folder(files=40):
    """A folder of MIDI files of 3000 notes each to rolls, dt 0.2 s, per file."""
    import tempfile
    from pathlib import Path

    import midi

    with tempfile.TemporaryDirectory() as path:
        write_random(path, files)
        import pretty_midi

        def theirs():
            for file in sorted(Path(path).iterdir()):
                pretty_midi.PrettyMIDI(str(file)).get_piano_roll(fs=5)

        found = alternate(
            {
                "ours": lambda: midi.read_folder(path, dt=0.2, progress=False),
                "pretty_midi": theirs,
            },
            seconds=4,
        )
    return {name: seconds / files for name, seconds in found.items()}


def collection(kind, files=640):
    """Bytes and files per second of read_folder, of files of one kind, dt 0.2 s.

    ``kind``: 'random', as for `folder`, each of 40 many times; or 'Nottingham', the
    data set's own tunes, a step of which is an eighth note of 0.2 s.
    """
    import shutil
    import tempfile
    import tracemalloc
    from pathlib import Path

    import midi

    with tempfile.TemporaryDirectory() as path:
        if kind == "random":
            write_random(path, 40)
            for n in range(40, files):
                shutil.copy(Path(path, f"{n % 40:02}.mid"), Path(path, f"{n:02}.mid"))
        else:
            write_tunes(kind, path, files)

        def read(**options):
            return lambda: midi.read_folder(path, progress=False, **options)

        def held(packed):
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            kept = read(packed=packed)()
            after = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            return (after - before) / len(kept)

        steps = sum(len(roll) for roll in read(packed=True)()) / files
        found = alternate(
            {str(n): read(packed=True, n_jobs=n) for n in (None, 1, 2)}
            | {"MidiRoll": read()},
            seconds=15,
        )
        return {
            "files": files,
            "steps": steps,
            "bytes": [held(False), held(True)],
            "files per second": {name: files / s for name, s in found.items()},
        }


def write_tunes(name, path, files):
    """Write tunes of a standard data set, found in ../shared/data, to a folder."""
    from pathlib import Path

    import midi
    from lstmmusic import datasets

    data = Path(__file__).parents[2] / "shared" / "data" / "polyphonic"
    for n, roll in enumerate(datasets.load_standard(name, data).train[:files]):
        midi.midiwrite(Path(path, f"{n:02}.mid"), roll)


def profile(T, B, H):
    """Where the time of an update goes, on one thread.

    Median seconds and GFLOP of products of each part, compiled by itself; of the whole,
    which one block makes as one program; and the GFLOP/s of OpenBLAS: a large product,
    and that of one step of the scan.
    """
    import jax
    import numpy as np
    import peers

    from lstmmusic.data.batches import mean_over_tunes

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
    update = timed("update", functions.update)
    for _ in range(31):
        sums = gradient._through_blocks(forward, backward, T, *of_tunes[:3])
        update([sums], settings)
    whole = timed("whole", peers.ours(x, k, H))
    for _ in range(30):
        whole()
    calls = {name: len(seconds) // 31 or 1 for name, seconds in times.items()}
    N, sounding = x.shape[2], x.sum() / (T * B)  # in a row; no others are multiplied
    products = 2 * T * B * 4 * H * (3 * float(sounding) + 3 * H + 2 * H)
    output = 2 * T * B * 3 * H * N
    errors = 2 * T * B * 4 * H * (3 * H + 2 * H)
    flop = {
        "forward": products,
        "backward": products + errors + 3 * output,
        "update": 0,
        "whole": 2 * products + errors + 3 * output,
    }

    def rate(a, b):
        seconds = alternate({"": lambda: a @ b}, seconds=1)[""]
        return 2 * a.shape[0] * a.shape[1] * b.shape[1] / seconds / 1e9

    draw = np.random.default_rng(0).standard_normal
    large, step = draw((2048, 2048), np.float32), draw((B, H), np.float32)
    return {
        "parts": {
            name: [calls[name] * statistics.median(seconds), flop[name] / 1e9]
            for name, seconds in times.items()
        },
        "rates": [rate(large, large), rate(step, draw((H, 4 * H), np.float32))],
    }


def ahead(device, T, B, H, *names):
    """Ten updates asked for one after the other, the last one's cost awaited.

    Median seconds of one, in turns; and how fast the device multiplies large matrices.
    PEER is a name of ``peers_of``.
    """
    from functools import partial

    import peers
    import torch

    def with_tf32(allowed, make):
        def made(*args):
            run = make(*args)

            def update():
                torch.backends.cuda.matmul.allow_tf32 = allowed
                torch.backends.cudnn.allow_tf32 = allowed
                return run()

            return update

        return made

    ours, fused = peers.ours, partial(peers.torch_fused, device=device)
    written = partial(peers.torch_peephole, device=device)
    peers_of = {
        "ours": partial(ours, device=device),
        "ours TF32": partial(ours, device=device, tf32=True),
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
        {name: partial(ten, peers_of[name](x, k, H)) for name in names}, seconds=20
    )
    found = {name: seconds / 10 for name, seconds in found.items()}
    a = torch.randn(4096, 4096, device=device)
    for name, allowed in (("TFLOP/s", False), ("TFLOP/s TF32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        seconds = alternate({"": lambda: float((a @ a)[0, 0])}, seconds=2)[""]
        found[name] = 2 * 4096**3 / seconds / 1e12
    return found


def ranks(T, B, H):
    """An update shared out to the ranks of mpiexec, each on a core of its own.

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
        sums = functions.sums(part) if together.alone else None
        if sums is None:
            sums = jax.block_until_ready(functions.gradient.sums(part, masks))
            marks.append(time.perf_counter())
            sums = [together.added_up(sums, False).sums]
        marks.append(time.perf_counter())
        functions.update(sums, settings)
        marks.append(time.perf_counter())
        if n > 4:
            times["whole"].append(marks[-1] - marks[0])
            times["own"].append(marks[1] - marks[0])
            times["adding up"].append(marks[-2] - marks[1])
    if not together.first:
        return None
    weights = sum(a.nbytes for a in functions.gradient._nothing)
    found = {name: statistics.median(values) for name, values in times.items()}
    return found | {"bytes": weights}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    arguments = [int(a) if a.isdigit() else a for a in arguments]
    if what in ("update", "generate"):
        pin(arguments[0])
    elif what in ("folder", "profile"):
        pin(1)
    if (found := globals()[what](*arguments)) is not None:
        print(json.dumps(found))
