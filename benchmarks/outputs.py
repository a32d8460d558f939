"""Print tables of the joint output beside the independent one, and of whole tunes."""

import tempfile
from statistics import median

from peers_joint import NAMES as FORMS
from processes import POLYPHONIC, caches_in, measure, table

SHAPE = 98, 20, 120


def joint():
    """Print the joint output's costs in time and memory."""
    print("## An update with each output, 98×20×120, D = 128, ms\n")
    names = ["independent", "L", "joint", "nn.LSTM"]
    head = [
        "threads",
        *names[:3],
        "L alone/independent",
        "joint/independent",
        "joint/nn.LSTM",
    ]
    table(head, (joint_row(threads, names) for threads in (1, 2)))
    print("The joint output in PyTorch, dense: nn.LSTM and three forms, ms\n")
    head = ["threads", "ours", *FORMS, "floor", "ours/fastest", "floor/fastest"]
    table(head, map(forms_row, (1, 2)))
    print("### genMusic, 300 steps after a primer of 50, 120-120-120, ms\n")
    head = [
        "threads",
        "one",
        "one, joint",
        "64",
        "64, joint",
        "one: ratio",
        "64: ratio",
    ]
    table(head, map(generation_row, (1, 2)))
    print("### First update from empty caches, 98×5×120, s\n")
    table(["independent", "joint", "difference"], [first_update_row()])
    print("### Peak resident memory at 1000×20×120 above the imports, MB\n")
    table(["", "independent", "joint", "ratio"], map(memory_row, (1, 0)))


def joint_row(threads, names):
    found = measure("updates_joint", threads, *SHAPE, *names)
    ratios = [
        found["L"] / found["independent"],
        found["joint"] / found["independent"],
        found["joint"] / found["nn.LSTM"],
    ]
    return row(threads, [found[name] for name in names[:3]], ratios)


def forms_row(threads):
    names = ["joint", *FORMS, "floor"]
    found = measure("updates_joint", threads, *SHAPE, *names)
    ours, *theirs, floor = seconds = [found[name] for name in names]
    return row(threads, seconds, [ours / min(theirs), floor / min(theirs)])


def generation_row(threads):
    found = measure("generate_joint", threads)
    seconds = [
        found[f"{o} {n}"] for n in ("one", "64") for o in ("independent", "joint")
    ]
    return row(threads, seconds, [seconds[1] / seconds[0], seconds[3] / seconds[2]])


def first_update_row(repeated=3):
    found = {"independent": [], "joint": []}
    for _ in range(repeated):
        for output, seconds in found.items():
            with tempfile.TemporaryDirectory() as folder:
                what = "first_update", 1, 5, "JAX", output
                all_s = measure(*what, environment=caches_in(folder))
                seconds.append(all_s["import to first update"])
    independent, with_joint = (median(seconds) for seconds in found.values())
    values = independent, with_joint, with_joint - independent
    return [f"{value:.2f}" for value in values]


def memory_row(kernels):
    used = []
    for output in ("independent", "joint"):
        found = measure("memory_joint", output, kernels, 1000, 20, 120)
        used.append(found["peak"] - found["imports"])
    name = "kernels" if kernels else "dense"
    return [name, *(f"{mb:.0f}" for mb in used), f"**{used[1] / used[0]:.2f}**"]


def row(threads, seconds, ratios):
    """Return a table's row: milliseconds, then ratios in bold."""
    ms = [f"{value * 1e3:.1f}" for value in seconds]
    return [str(threads), *ms, *(f"**{ratio:.2f}**" for ratio in ratios)]


def epoch(form="cumsum"):
    """Print updates on whole tunes and evaluations beside PyTorch's."""
    print("## Whole tunes, H = 200, 8 tunes, Adam, norm, dropout, one thread, ms\n")
    if not POLYPHONIC.exists():
        print(f"{POLYPHONIC} is absent: random tunes stand in.\n")
    head = ["", "data set", "output", "ours", "nn.LSTM", "ratio", "of processor time"]
    table([*head, "floor", "floor/nn.LSTM"], epoch_rows(form))


def epoch_rows(form):
    """Yield a row for each data set and output: an update, and an evaluation."""
    for what in ("epoch", "evaluation"):
        for name in ("JSB Chorales", "Nottingham"):
            for output in ("independent", "joint"):
                found = measure(what, 1, name, output, 200, form)
                wall, cpu = zip(found["ours"], found["torch"], strict=True)
                title = "update" if what == "epoch" else "evaluate"
                ms = [f"{value * 1e3:.0f}" for value in wall]
                ratios = f"**{wall[0] / wall[1]:.2f}**", f"{cpu[0] / cpu[1]:.2f}"
                bound = "", ""
                if what == "epoch":
                    floor = found["floor"][0]
                    bound = f"{floor * 1e3:.0f}", f"**{floor / wall[1]:.2f}**"
                yield [title, name, output, *ms, *ratios, *bound]
