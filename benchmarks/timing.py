"""Time functions that take turns, on as many cores as there are threads.

And measure the peak memory of a process.
"""

import os
import statistics
import time
from pathlib import Path


def pin(threads):
    """Keep this process to the first cores, before any library counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def alternate(functions, seconds=6.0, least=3, most=40):
    """Call functions in turn; return median seconds.

    A rest precedes each turn, because OpenMP's threads spin for 0.2 s after their work;
    then come 0.2 s of untimed calls, because the system needs that long to give each
    thread that slept a core.
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
    """Return inputs and targets (T, B, N), random and as sparse as a piano-roll."""
    import numpy as np

    rolls = np.random.default_rng(0).random((T + 1, B, N)) < density
    rolls = rolls.astype(np.float32)
    return rolls[:-1].copy(), rolls[1:].copy()


def peak_memory():
    """Return this process's peak resident memory in MB.

    From /proc, because what getrusage gives on Linux begins with the parent's peak.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
