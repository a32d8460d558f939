"""Read mutated files: each must give a result or a ValueError, within bounds.

    python tests/fuzz.py midi 100000 --seed 0
    python tests/fuzz.py npz 10000
    python tests/fuzz.py midi --case 4711      (once more, with its traceback)

A case is known by its kind, seed and number.  A subprocess reads thousands of cases, so
that a crash is caught, too.  Its memory has a ceiling, and an audit hook notes whatever
is opened, unpickled or evaluated.
"""

import argparse
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

from peak_memory import peak_memory

KINDS = ("midi", "npz")
CASES_PER_CHILD = 4000
LIMIT_S = 1.0  # processor time, so that a busy machine fails nothing
LIMIT_MB = 500  # of the whole process, its libraries included
STUCK_S = 60  # on the clock: then the child is killed
FORBIDDEN = (
    "os.", "shutil.", "socket.", "subprocess.", "pickle.", "ctypes.", "tempfile.",
    "marshal.", "code.__new__", "builtins.input",
)  # fmt: skip


class Figures(NamedTuple):
    """Hold the outcome of many cases.

    errors : Counter of the types of the errors
    slowest : (seconds of processor time, number of the case)
    peak_mb : float, the largest resident set of a child
    failures : list of (number of the case, its fault)
    """

    cases: int
    results: int
    errors: Counter
    slowest: tuple
    peak_mb: float
    failures: list

    def __str__(self):
        errors = ", ".join(f"{n} {name}" for name, n in self.errors.most_common())
        lines = [
            f"{self.cases} cases: {self.results} results; {errors or 'no errors'}",
            f"slowest {self.slowest[0]:.3f} s (case {self.slowest[1]}), "
            f"peak {self.peak_mb:.0f} MB, {len(self.failures)} failures",
        ]
        return "\n".join(lines + [f"  case {n}: {fault}" for n, fault in self.failures])


def run(kind, cases, seed=0, first=0):
    """Read the mutants from number `first` on; return Figures."""
    done, end, parts, failures = first, first + cases, [], []
    while done < end:
        last = min(end, done + CASES_PER_CHILD)
        part, died_at, why = child(kind, last - done, seed, done)
        if why:  # read the cases before it again, for their figures
            failures.append((died_at, why))
            part, last = child(kind, died_at - done, seed, done)[0], died_at + 1
        parts += [part] if part else []
        done = last
    return Figures(
        cases,
        sum(part["results"] for part in parts),
        sum((Counter(part["errors"]) for part in parts), Counter()),
        max((tuple(part["slowest"]) for part in parts), default=(0.0, first)),
        max((part["peak_mb"] for part in parts), default=0.0),
        sorted(failures + [tuple(f) for part in parts for f in part["failures"]]),
    )


def child(kind, cases, seed, first):
    """Read mutants in a subprocess; return (figures, case that ended it, reason)."""
    numbers = [str(cases), "--seed", str(seed), "--first", str(first)]
    done = subprocess.run(
        [sys.executable, __file__, kind, *numbers, "--child"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    last = (done.stdout.splitlines() or [""])[-1]
    if done.returncode == 0:
        return json.loads(last), None, ""
    at = int(last) if last.isdecimal() else first
    return None, at, f"exit {done.returncode} {done.stderr[-500:]}"


def in_child(kind, cases, seed, first):
    """Read mutants in this process; return the parts of Figures as a dict."""
    mutants = importlib.import_module(f"fuzz_{kind}")
    seeds, trespasses = mutants.seeds(), []
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", UserWarning)
    for number in range(-50, 0):  # so that late imports happen now
        one_case(mutants, seeds, kind, seed, number)
    limit_memory()
    sys.addaudithook(lambda event, args: watch(event, args, trespasses))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    results, errors, slowest, failures = 0, Counter(), (0.0, first), []
    for number in range(first, first + cases):
        print(number, flush=True)
        signal.alarm(STUCK_S)
        trespasses.clear()
        error, seconds = one_case(mutants, seeds, kind, seed, number)
        results += error is None
        errors[type(error).__name__] += error is not None
        slowest = max(slowest, (seconds, number))
        found = [*trespasses, *faults(error, seconds)]
        failures += [(number, "; ".join(found))] if found else []
    signal.alarm(0)
    peak_mb = peak_memory() / 2**20
    if peak_mb > LIMIT_MB:
        failures.append((first, f"from here on, {peak_mb:.0f} MB"))
    return {
        "results": results,
        "errors": +errors,
        "slowest": slowest,
        "peak_mb": peak_mb,
        "failures": failures,
    }


def one_case(mutants, seeds, kind, seed, number):
    """Make and read a mutant; return (error or None, seconds of processor time)."""
    rng = Random(f"{kind} {seed} {number}")
    data = mutants.mutant(rng, seeds)
    begin = time.process_time()
    try:
        mutants.attempt(data, rng)
    except Exception as error:
        return error, time.process_time() - begin
    return None, time.process_time() - begin


def faults(error, seconds):
    """Return the faults of an outcome, as a list of texts."""
    found = []
    if seconds > LIMIT_S:
        found.append(f"{seconds:.2f} s")
    if not isinstance(error, ValueError | None):
        found.append("".join(traceback.format_exception(error)[-3:]))
    while error is not None:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            found.append(f"wants too much memory: {error!r:.200}")
        error = error.__cause__ or error.__context__
    return found


def limit_memory():
    """Let this process have `LIMIT_MB` more of addresses than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + LIMIT_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def watch(event, args, trespasses):
    """Note an event of the audit hook that reading a file must not cause."""
    path = str(args[0]) if args else ""
    code = event == "exec" and args[0].co_filename.startswith("<string")
    module = path.endswith((".py", ".pyc", ".so"))
    file = event == "open" and not module and "fuzzed.npz" not in path
    if code or file or event.startswith(FORBIDDEN):
        trespasses.append(f"{event} {args!r:.200}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("cases", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="read this one, in this process")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(
            json.dumps(
                in_child(options.kind, options.cases, options.seed, options.first)
            )
        )
        return 0
    if options.case is not None:
        mutants = importlib.import_module(f"fuzz_{options.kind}")
        error, seconds = one_case(
            mutants, mutants.seeds(), options.kind, options.seed, options.case
        )
        print("".join(traceback.format_exception(error)) if error else "a result")
        print(f"{seconds:.3f} s")
        return 0
    figures = run(options.kind, options.cases, options.seed, options.first)
    print(figures)
    return bool(figures.failures)


if __name__ == "__main__":
    sys.exit(main())
