"""Measure lstmmusic beside its peers; print Markdown tables (kept in RESULTS.md).

    python benchmarks/run.py            all tables but cuda, in 20 minutes on 2 cores
    python benchmarks/run.py startup    one table: update, backends, profile, startup,
                                        generate, joint, epoch, linear, memory, folder,
                                        ranks, collection; cuda, on an NVIDIA GPU
    python benchmarks/run.py versus OLD_CHECKOUT    this code beside an earlier one's,
                                                    in half an hour

All but versus and backends need the extra lstmmusic[benchmarks]; nothing else may run.
Every figure of a row comes from one process in which the programs took turns (of
versus and backends: from processes that did); medians after warm-up.
"""

import os
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from outputs import epoch, joint
from processes import HERE, SHAPES, caches_in, commit_of, label, measure, table
from scaling import cuda, ranks
from versus import backends, versus


def machine():
    """Print what the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    packages = "pytensor jax numba torch equinox pretty_midi symusic numpy".split()
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    date = time.strftime("%Y-%m-%d")
    print(f"Commit {commit_of(HERE)}, {date}; {cpu}, {os.cpu_count()} cores;")
    print(f"Python {platform.python_version()}, {', '.join(found)}.\n")


def updates():
    """Print an update beside those of the peers."""
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
                label(shape),
                *(f"{value:.1f}" for value in ms),
                *(f"**{ratio:.2f}**" for ratio in ratios),
            ]


def profiles():
    """Print the parts of an update."""
    print("## The parts of an update, one thread\n")
    head = "T×B×H part ms GFLOP GFLOP/s".split()
    rows = []
    for shape in SHAPES:
        found = measure("profile", *shape)
        first = label(shape)
        for name, (seconds, gflop) in found["parts"].items():
            rate = f"{gflop / seconds:.0f}" if gflop else ""
            rows.append([first, name, f"{seconds * 1e3:.1f}", f"{gflop:.2f}", rate])
            first = ""
        large, step = found["rates"]
        rows.append(
            ["", "OpenBLAS, 2048³; one step", "", "", f"{large:.0f}; {step:.0f}"]
        )
    table(head, rows)


def startup():
    """Print the seconds of the imports and to the first update."""
    print("## Start-up, s\n")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        caches = caches_in(folder)

        def cold_and_warm(*what):
            cold = measure(*what, environment=caches)
            warm = [measure(*what, environment=caches) for _ in range(3)]
            for name, seconds in cold.items():
                rows[name] = seconds, median(found[name] for found in warm)

        cold_and_warm("first_update", os.cpu_count())
        cold_and_warm("import_midi")
    table(
        ["", "empty caches", "warm caches"],
        [[name, *(f"{value:.2f}" for value in pair)] for name, pair in rows.items()],
    )


def generation():
    """Print genMusic beside a loop over nn.LSTMCell."""
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
    """Print a linear fit of an update's time to T and to B."""
    print("## Time against T and B, H = 120, 2 threads: ms = a + b × size\n")
    import numpy as np

    rows = [["", "sizes", "ms", "fit", "largest deviation"]]
    for varied, shapes in (
        ("T (B = 20)", [(T, 20, 120) for T in (50, 100, 200, 400, 800)]),
        ("B (T = 98)", [(98, B, 120) for B in (10, 20, 40, 80, 160)]),
    ):
        ms = [measure("update", 2, *shape, "ours")["ours"] * 1e3 for shape in shapes]
        sizes = [shape[0] if varied.startswith("T") else shape[1] for shape in shapes]
        b, a = np.polyfit(sizes, ms, 1)
        off = max(abs(a + b * s - m) / m for s, m in zip(sizes, ms, strict=True))
        rows.append(
            [
                varied,
                ", ".join(map(str, sizes)),
                ", ".join(f"{m:.1f}" for m in ms),
                f"{a:.1f} + {b:.3f} × size",
                f"{off:.0%}",
            ]
        )
    table(rows[0], rows[1:])


def memory():
    """Print the peak memory beside that of nn.LSTM."""
    print("## Peak resident memory at T×B×H = 1000×20×120, MB\n")
    rows = [["", "after the imports", "peak", "difference"]]
    for program, name in (("ours", "ours"), ("nn.LSTM", "torch_fused")):
        found = measure("memory", name, 1000, 20, 120)
        values = found["imports"], found["peak"], found["peak"] - found["imports"]
        rows.append([program, *(f"{value:.0f}" for value in values)])
    table(rows[0], rows[1:])


def folder():
    """Print read_folder beside pretty_midi."""
    print("## A folder of MIDI files to rolls (40 files of 3000 notes), ms per file\n")
    found = measure("folder")
    ours, theirs = found["ours"] * 1e3, found["pretty_midi"] * 1e3
    table(
        ["read_folder", "pretty_midi get_piano_roll", "ratio"],
        [[f"{ours:.2f}", f"{theirs:.1f}", f"**{theirs / ours:.0f} ×**"]],
    )


def collection(lakh=170_000):
    """Print memory and speed of packed collections, and a projection to Lakh's."""
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
    "backends": backends,
    "profile": profiles,
    "startup": startup,
    "generate": generation,
    "joint": joint,
    "epoch": epoch,
    "linear": linear,
    "memory": memory,
    "folder": folder,
    "ranks": ranks,
    "cuda": cuda,
    "collection": collection,
}

if __name__ == "__main__":
    asked = sys.argv[1:]
    if asked[:1] == ["versus"] and len(asked) == 2:
        machine()
        versus(asked[1])
        raise SystemExit
    if unknown := set(asked) - set(TABLES):
        raise SystemExit(f"there is no table {unknown}; there are {', '.join(TABLES)}")
    machine()
    for name in asked or [name for name in TABLES if name != "cuda"]:
        TABLES[name]()
