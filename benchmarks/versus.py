"""Compare two checkouts, or two backends, whose processes take turns.

``python benchmarks/run.py versus OLD_CHECKOUT`` prints for an update and for start-up
how the seconds of this checkout relate to those of the old one, beside a control: a
second process of the old one.  The library's public API alone is called, with
PYTHONPATH set to the checkout.
"""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import geometric_mean, median

from processes import (
    HERE,
    SHAPES,
    caches_in,
    commit_of,
    label,
    measure,
    measuring,
    table,
)

PROCESSES = 3  # of each side for a row: two of the same code differ in their memory
TURNS = 4  # of each process
STARTS = 3  # with empty caches
SIDES = ("new", "old", "control")


def versus(old):
    """Print the update and the start-up of this checkout beside an old one's."""
    old = Path(old).resolve()
    if not (old / "lstmmusic").is_dir():
        raise SystemExit(f"{old} is no checkout: it has no folder lstmmusic")
    places = dict(zip(SIDES, (HERE.parent, old, old), strict=True))
    with tempfile.TemporaryDirectory() as caches:
        sides = {
            side: caches_in(f"{caches}/{side}") | {"PYTHONPATH": str(place)}
            for side, place in places.items()
        }
        commit = commit_of(old)
        print(f"## This checkout beside {old.name} ({commit}): an update, ms\n")
        print_ratios("threads T×B×H", update_rows(sides))
    print("## The same, start-up: from import to the end of the first update, s\n")
    print_ratios("caches", start_rows(places))


def print_ratios(head, rows):
    """Print rows of a label and {side: seconds}; then the ratios' geometric means."""
    ratios = {"new": [], "control": []}

    def cells():
        for name, unit, times in rows:
            for side, found in ratios.items():
                pairs = zip(times[side], times["old"], strict=True)
                found.append(median(a / b for a, b in pairs))
            yield [
                *name,
                *(f"{median(times[side]) * unit:.1f}" for side in SIDES),
                *(f"**{found[-1]:.3f}**" for found in ratios.values()),
            ]
        means = [f"**{geometric_mean(found):.3f}**" for found in ratios.values()]
        yield ["geometric mean", *[""] * (len(head.split()) + 2), *means]

    table([*head.split(), *SIDES, "new / old", "control / old"], cells())


def update_rows(sides):
    """Yield the label, the unit and {side: seconds} of each shape and threads."""
    for threads in (1, 2):
        for shape in SHAPES:
            commands = {
                side: (measuring("turns", threads, *shape), environment)
                for side, environment in sides.items()
            }
            yield [str(threads), label(shape)], 1e3, in_turns(commands)


def in_turns(commands):
    """Return seconds of an update, by name, of processes that take turns.

    Parameters
    ----------
    commands : dict of str to (list of str, dict)
        Command lines of ``measure.py turns``, and what their environment has besides.
    """
    times = {name: [] for name in commands}
    for _ in range(PROCESSES):
        with contextlib.ExitStack() as stack:
            asked = {
                name: stack.enter_context(asking(*command))
                for name, command in commands.items()
            }
            order = list(asked)
            for _ in range(TURNS):
                for name in order:
                    times[name].append(asked[name]())
                order = order[1:] + order[:1]  # no side is always the first
    return times


@contextlib.contextmanager
def asking(command, environment):
    """Start a subprocess; return a function that asks it for one turn's seconds."""
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        imported = Path(process.stdout.readline().strip())
        wanted = environment.get("PYTHONPATH", "/")
        if not imported.is_relative_to(wanted):
            raise SystemExit(f"{imported} is imported, not that of {wanted}")

        def take_turn():
            print(file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield take_turn


def start_rows(places):
    """Yield the label, the unit and {side: seconds} with empty and with warm caches."""
    times = {kind: {side: [] for side in places} for kind in ("empty", "warm")}
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as caches:
            for found in times.values():
                for side, place in places.items():
                    where = caches_in(f"{caches}/{side}") | {"PYTHONPATH": str(place)}
                    first = measure("first_update", os.cpu_count(), environment=where)
                    found[side].append(first["import to first update"])
    for kind, found in times.items():
        yield [kind], 1, found


def backends():
    """Print the start and the update of Numba mode beside those of JAX."""
    print("## Backends, 98×20×120, one thread\n")
    modes, commands, starts = ("JAX", "NUMBA"), {}, {}
    with tempfile.TemporaryDirectory() as caches:
        for mode in modes:
            where = caches_in(f"{caches}/{mode}")
            first = measure("first_update", 1, 20, mode, environment=where)
            starts[mode] = first["import to first update"]
            commands[mode] = measuring("turns", 1, 98, 20, 120, mode), where
        times = {mode: median(found) for mode, found in in_turns(commands).items()}
    table(
        ["mode", "to first update, empty caches, s", "update, ms", "update / JAX"],
        [
            [
                mode,
                f"{starts[mode]:.1f}",
                f"{times[mode] * 1e3:.1f}",
                f"**{times[mode] / times['JAX']:.2f}**",
            ]
            for mode in modes
        ],
    )
