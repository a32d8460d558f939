"""Print tables of an update on several ranks and on a GPU."""

import math
import shutil
import sys
from pathlib import Path

from processes import label, measure, table


def ranks():
    """Print an update on one and on two ranks, and a projection to many nodes."""
    print("## An update shared by MPI, one core for each rank, 100 tunes, ms\n")
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
                label(shape),
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
    print("the passes' work; by the data of the network, not measured.\n")
    head = "H, network, nodes, adding up (ms), tunes for half, for four fifths"
    table(head.split(", "), projected)


NETWORKS = {  # bytes a second, seconds of a message
    "100 Gbit/s": (12.5e9, 2e-6),
    "10 Gbit/s": (1.25e9, 30e-6),
}


def projection(H, tune, making, size, cores=16):
    """Yield rows by the cost model of docs/explanation/scaling.md.

    ``tune`` is a core's seconds for one tune, ``making`` those of applying an update,
    ``size`` the bytes added up.
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


CUDA_SHAPES = [(98, 20, 120), (98, 128, 512), (98, 512, 1024), (500, 128, 512)]


def cuda():
    """Print an update on a GPU beside those of PyTorch."""
    print("## One training update on a GPU, ms; each transfers the minibatch\n")
    names = ["ours", "ours TF32", "ours joint", "nn.LSTM", "nn.LSTM TF32", "peephole"]
    ratios = "ours/nn.LSTM", "ours/peephole", "joint/independent"
    head = ["T×B×H", *names, *ratios, "TFLOP/s, of products"]
    rows = []
    for T, B, H in CUDA_SHAPES:
        found = measure("ahead", "cuda", T, B, H, *names)
        flop = 2 * T * B * (4 * H * (6 * 88 + 15 * H) + 9 * 88 * H)
        rows.append(
            [
                label((T, B, H)),
                *(f"{found[name] * 1e3:.2f}" for name in names),
                f"**{found['ours'] / found['nn.LSTM']:.2f}**",
                f"**{found['ours'] / found['peephole']:.2f}**",
                f"**{found['ours joint'] / found['ours']:.2f}**",
                f"{flop / found['ours'] / 1e12:.1f} of {found['TFLOP/s']:.0f}",
            ]
        )
    table(head, rows)
