"""Measure in subprocesses, and print tables of what they report."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
POLYPHONIC = HERE.parents[1] / "shared" / "data" / "polyphonic"  # data sets
SHAPES = [  # T, B, H
    (98, 5, 120),
    (98, 20, 120),
    (98, 100, 120),
    (98, 5, 176),
    (98, 20, 600),
    (1000, 20, 120),
]


def measure(*arguments, before=(), environment=None):
    """Run measure.py in a fresh process; return what it prints."""
    command = [*before, *measuring(*arguments)]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | root | (environment or {}),
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measuring(*arguments):
    """Return the command that measures one thing."""
    return [sys.executable, str(HERE / "measure.py"), *map(str, arguments)]


def caches_in(folder):
    """Return the environment in which all caches lie in a folder."""
    return {
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
        "XDG_CACHE_HOME": f"{folder}/xdg",
        "NUMBA_CACHE_DIR": f"{folder}/numba",
    }


def table(head, rows):
    """Print a Markdown table, each row as soon as it is measured."""
    print("|", " | ".join(head), "|")
    print("|", " | ".join("---" for _ in head), "|", flush=True)
    for row in rows:
        print("|", " | ".join(row), "|", flush=True)
    print()


def label(shape):
    """Return a shape as T×B×H."""
    return "×".join(map(str, shape))


def commit_of(folder):
    """Return the commit of a checkout, marked if its files differ."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
