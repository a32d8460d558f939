"""Measure lstmmusic beside its peers; print Markdown tables (kept in RESULTS.md).

    python benchmarks/run.py            all of it, about 15 minutes on 2 cores
    python benchmarks/run.py startup    one table: update, profile, startup, generate,
                                        linear, memory, folder, ranks, collection, cuda

The table cuda is made only where it is asked for: it wants an NVIDIA GPU.

Needs the extra lstmmusic[benchmarks], and nothing else running.  Every figure of a row
comes from one process in which the programs took turns; medians after warm-up.
"""

import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
SHAPES = [  # T, B, H
    (98, 5, 120),
    (98, 20, 120),
    (98, 100, 120),
    (98, 5, 176),
    (98, 20, 600),
    (1000, 20, 120),
]


def measure(*arguments, before=()):
    """Run measure.py in a fresh process; return what it prints."""
    program = [sys.executable, str(HERE / "measure.py")]
    command = [*before, *program, *map(str, arguments)]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | root
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(head, rows):
    """Print a Markdown table, each row as soon as it is measured."""
    print("|", " | ".join(head), "|")
    print("|", " | ".join("---" for _ in head), "|", flush=True)
    for row in rows:
        print("|", " | ".join(row), "|", flush=True)
    print()


def machine():
    """Print what the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    commit = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    packages = "pytensor jax numba torch equinox pretty_midi symusic numpy".split()
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    print(
        f"Commit {commit}, {time.strftime('%Y-%m-%d')}; {cpu}, {os.cpu_count()} cores;"
    )
    print(f"Python {platform.python_version()}, {', '.join(found)}.\n")


def updates():
    print("## One training update, ms (medians)\n")
    head = "threads T×B×H ours nn.LSTM peephole equinox floor".split()
    table([*head, "ours/nn.LSTM", "ours/peephole", "ours/floor"], update_rows())


def update_rows():
    names = ["ours", "torch_fused", "torch_peephole", "equinox", "floor"]
    for threads in (1, 2):
        for shape in SHAPES:
            found = measure("update", threads, *shape, *names)
            ms = [found[name] * 1e3 for name in names]
            ours, fused, peephole, _, floor = ms
            ratios = [ours / fused, ours / peephole, ours / floor]
            yield [
                str(threads),
                "×".join(map(str, shape)),
                *(f"{value:.1f}" for value in ms),
                *(f"**{ratio:.2f}**" for ratio in ratios),
            ]


def profiles():
    print("## Where the time of an update goes, one thread\n")
    head = "T×B×H part ms GFLOP GFLOP/s".split()
    rows = []
    for shape in SHAPES:
        found = measure("profile", *shape)
        label = "×".join(map(str, shape))
        for name, (seconds, gflop) in found["parts"].items():
            rate = f"{gflop / seconds:.0f}" if gflop else ""
            rows.append([label, name, f"{seconds * 1e3:.1f}", f"{gflop:.2f}", rate])
            label = ""
        large, step = found["rates"]
        rows.append(
            ["", "OpenBLAS, 2048³; one step", "", "", f"{large:.0f}; {step:.0f}"]
        )
    table(head, rows)


STARTUP = """
import time
start = time.perf_counter()
import numpy as np
from lstmmusic import RNN4Music
imported = time.perf_counter()
model = RNN4Music(120, 120, 120, 88, seed=0)
tunes = [np.eye(88)[np.arange(120) % 88]] * 5
model.train(tunes, 1, 1, 5, 99, progress=False)
print(imported - start, time.perf_counter() - start)
"""
IMPORTS = """
import time
start = time.perf_counter()
import midi, sys
print(time.perf_counter() - start)
assert "pytensor" not in sys.modules
"""


def startup():
    print("## Start-up, s\n")

    def run(code, cache):
        environment = os.environ | {
            "PYTENSOR_FLAGS": f"base_compiledir={cache}/pytensor",
            "XDG_CACHE_HOME": f"{cache}/xdg",
            "NUMBA_CACHE_DIR": f"{cache}/numba",
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return [float(word) for word in done.stdout.split()]

    rows = [["", "empty caches", "warm caches"]]
    with tempfile.TemporaryDirectory() as cache:
        cold = run(STARTUP, cache)
        warm = sorted(run(STARTUP, cache) for _ in range(3))[1]
        rows.append(["import lstmmusic", f"{cold[0]:.2f}", f"{warm[0]:.2f}"])
        rows.append(["import to first update", f"{cold[1]:.1f}", f"{warm[1]:.1f}"])
        midi = [run(IMPORTS, cache)[0] for _ in range(4)]
        rows.append(["import midi", f"{midi[0]:.2f}", f"{sorted(midi[1:])[1]:.2f}"])
    table(rows[0], rows[1:])


def generation():
    print("## genMusic, 300 steps after a primer of 50, 120-120-120, ms\n")
    head = ["threads", "one tune", "64 at once", "nn.LSTMCell", "one/nn.LSTMCell"]
    rows = [[*head, "tunes per second, 64 at once / one"]]
    for threads in (1, 2):
        found = measure("generate", threads)
        one, many, cells = found["one"], found["64"], found["torch_cells"]
        rows.append(
            [
                str(threads),
                *(f"{value * 1e3:.1f}" for value in (one, many, cells)),
                f"**{one / cells:.2f}**",
                f"**{64 * one / many:.1f}**",
            ]
        )
    table(rows[0], rows[1:])


def linear():
    print("## Time against T and B, H = 120, 2 threads: ms = a + b × size\n")
    import numpy as np

    rows = [["", "sizes", "ms", "fit", "largest deviation"]]
    for label, shapes in (
        ("T (B = 20)", [(T, 20, 120) for T in (50, 100, 200, 400, 800)]),
        ("B (T = 98)", [(98, B, 120) for B in (10, 20, 40, 80, 160)]),
    ):
        ms = [measure("update", 2, *shape, "ours")["ours"] * 1e3 for shape in shapes]
        sizes = [shape[0] if label.startswith("T") else shape[1] for shape in shapes]
        b, a = np.polyfit(sizes, ms, 1)
        off = max(abs(a + b * s - m) / m for s, m in zip(sizes, ms, strict=True))
        rows.append(
            [
                label,
                ", ".join(map(str, sizes)),
                ", ".join(f"{m:.1f}" for m in ms),
                f"{a:.1f} + {b:.3f} × size",
                f"{off:.0%}",
            ]
        )
    table(rows[0], rows[1:])


def memory():
    print("## Peak resident memory at T×B×H = 1000×20×120, MB\n")
    rows = [["", "after the imports", "peak", "difference"]]
    for label, name in (("ours", "ours"), ("nn.LSTM", "torch_fused")):
        found = measure("memory", name, 1000, 20, 120)
        values = found["imports"], found["peak"], found["peak"] - found["imports"]
        rows.append([label, *(f"{value:.0f}" for value in values)])
    table(rows[0], rows[1:])


def folder():
    print("## A folder of MIDI files to rolls (40 files of 3000 notes), ms per file\n")
    found = measure("folder")
    ours, theirs = found["ours"] * 1e3, found["pretty_midi"] * 1e3
    table(
        ["read_folder", "pretty_midi get_piano_roll", "ratio"],
        [[f"{ours:.2f}", f"{theirs:.1f}", f"**{theirs / ours:.0f} ×**"]],
    )


def ranks():
    print("## An update shared out by MPI, one core for each rank, 100 tunes, ms\n")
    rows = [["T×B×H", "1 rank", "2 ranks", "of it adding up", "MB added up", "1 / 2"]]
    projected = []
    mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent) or "mpiexec"
    for H in (120, 600):
        shape = 98, 100, H
        one, two = (
            measure("ranks", *shape, before=[mpiexec, "--oversubscribe", "-n", str(n)])
            for n in (1, 2)
        )
        rows.append(
            [
                "×".join(map(str, shape)),
                f"{one['whole'] * 1e3:.0f}",
                f"{two['whole'] * 1e3:.0f}",
                f"{two['adding up'] * 1e3:.1f}",
                f"{two['bytes'] / 1e6:.1f}",
                f"**{one['whole'] / two['whole']:.2f}**",
            ]
        )
        making = two["whole"] - two["own"] - two["adding up"]
        projected += projection(H, one["whole"] / 100, making, two["bytes"])
    table(rows[0], rows[1:])
    print("### From these, projected: a rank with 16 cores on each node, 98 steps\n")
    print("Tunes in a minibatch for which half, and four fifths, of the nodes' time is")
    print("the passes' work; the network as named, not measured.\n")
    head = "H, network, nodes, adding up (ms), tunes for half, for four fifths"
    table(head.split(", "), projected)


NETWORKS = {  # bytes a second, seconds of a message
    "100 Gbit/s": (12.5e9, 2e-6),
    "10 Gbit/s": (1.25e9, 30e-6),
}


def projection(H, tune, making, size, cores=16):
    """Yield rows by the cost model of docs/scaling.md.

    ``tune``: seconds of a core's work on one; ``making``: of making an update;
    ``size``: bytes added up.
    """
    for network, (bandwidth, latency) in NETWORKS.items():
        for nodes in (2, 8, 64):
            moved = 2 * (nodes - 1) / nodes * size
            adding = moved / bandwidth + 2 * latency * math.log2(nodes)
            half = nodes * (making + adding) / (tune / cores)
            yield [
                str(H),
                network,
                str(nodes),
                f"{adding * 1e3:.1f}",
                f"{half:.0f}",
                f"{4 * half:.0f}",
            ]


CUDA_SHAPES = [(T, B, H) for T in (98, 500) for B in (20, 128, 512) for H in
               (120, 512, 1024, 2048)]  # fmt: skip


def cuda():
    print("## One training update on a GPU, ms; the minibatch goes in at each\n")
    names = ["ours", "ours TF32", "nn.LSTM", "nn.LSTM TF32", "peephole", "compiled"]
    head = ["T×B×H", *names, "ours/nn.LSTM", "ours/peephole", "TFLOP/s, of products"]
    rows = []
    for T, B, H in CUDA_SHAPES:
        found = measure("ahead", "cuda", T, B, H, *names)
        flop = 2 * T * B * (4 * H * (6 * 88 + 15 * H) + 9 * 88 * H)
        rows.append(
            [
                f"{T}×{B}×{H}",
                *(f"{found[name] * 1e3:.2f}" for name in names),
                f"**{found['ours'] / found['nn.LSTM']:.2f}**",
                f"**{found['ours'] / found['peephole']:.2f}**",
                f"{flop / found['ours'] / 1e12:.1f} of {found['TFLOP/s']:.0f}",
            ]
        )
    table(head, rows)


def collection(lakh=170_000):
    print("## Collections of MIDI files, packed: per file, and in a projection\n")
    print("Random: 3000 notes in 240 s, which hardly shrink; Nottingham: real tunes.")
    print("Bytes with all objects and names; files per second with n_jobs.\n")
    head = ["files", "steps", "MidiRoll, bytes", "PackedRoll, bytes", "ratio"]
    speed = [f"n_jobs={n}, files/s" for n in (None, 1, 2)]
    projected = [f"{lakh} files: MidiRoll, GB", "PackedRoll, GB", "minutes, n_jobs=2"]
    table([*head, *speed, "2 / None", *projected], collection_rows(lakh))


def collection_rows(lakh):
    for kind in ("random", "Nottingham"):
        found = measure("collection", kind)
        rolls, packed = found["bytes"]
        rates = [found["files per second"][str(n)] for n in (None, 1, 2)]
        yield [
            f"{found['files']} {kind}",
            f"{found['steps']:.0f}",
            f"{rolls:.0f}",
            f"{packed:.0f}",
            f"**{rolls / packed:.0f} ×**",
            *(f"{rate:.0f}" for rate in rates),
            f"**{rates[2] / rates[0]:.2f}**",
            *(f"{each * lakh / 1e9:.2f}" for each in (rolls, packed)),
            f"{lakh / rates[2] / 60:.1f}",
        ]


TABLES = {
    "update": updates,
    "profile": profiles,
    "startup": startup,
    "generate": generation,
    "linear": linear,
    "memory": memory,
    "folder": folder,
    "ranks": ranks,
    "cuda": cuda,
    "collection": collection,
}

if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(TABLES):
        raise SystemExit(f"there is no table {unknown}; there are {', '.join(TABLES)}")
    machine()
    for name in sys.argv[1:] or [name for name in TABLES if name != "cuda"]:
        TABLES[name]()
