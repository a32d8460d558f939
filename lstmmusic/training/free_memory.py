"""Ask the system how much memory this process can still take, and return some."""

import ctypes
import gc
import os
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
UNLIMITED = 2**60  # version 1 writes a limit near 2**63 for none


def free():
    """Return how many bytes this process can still take; None if that is unknown.

    The machine, the control groups and the limits of the process each leave some; the
    least counts.
    """
    found = [machine_free(), group_free(), *process_free()]
    return min((value for value in found if value is not None), default=None)


def machine_free():
    """Return the physical memory and swap that are available."""
    known = fields("/proc/meminfo")
    if "MemAvailable" in known:
        return 1024 * (known["MemAvailable"] + known.get("SwapFree", 0))
    names = getattr(os, "sysconf_names", {})
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):  # macOS has the second alone
        if pages in names and "SC_PAGE_SIZE" in names:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def group_free():
    """Return the bytes that this process's control groups, and their parents, leave."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return None
    left = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "":  # version 2
            root, names = CGROUPS, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            root = CGROUPS / "memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
        else:
            continue
        folder = root / path.strip("/")
        left += [group_left(f, *names) for f in (folder, *folder.parents) if f >= root]
    return min((value for value in left if value is not None), default=None)


def group_left(folder, limit, usage, prefix):
    """Return the bytes that a control group leaves; None without a limit.

    Linux frees the pages that cache files at any time, so they do not count as used.
    """
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None
    if most >= UNLIMITED:
        return None
    files = fields(folder / "memory.stat")
    files = [files.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive")]
    return max(0, most - max(0, used - sum(files)))


def process_free():
    """Yield the bytes that RLIMIT_AS and RLIMIT_DATA leave."""
    used = fields("/proc/self/status")
    for limit, name in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        if hasattr(resource, limit) and name in used:
            most, _ = resource.getrlimit(getattr(resource, limit))
            if most != resource.RLIM_INFINITY:
                yield max(0, most - 1024 * used[name])


def fields(path):
    """Return {name: number} of a file of lines "name: number" or "name number"."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeError):
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {w[0]: int(w[1]) for w in words if len(w) > 1 and w[1].isdigit()}


def give_back():
    """Give freed memory back to the system; glibc keeps it (`process`)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
