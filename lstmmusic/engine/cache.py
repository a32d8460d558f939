"""Cache compiled code on disk: programs, kernels, and XLA's machine code.

All of it lies in ``lstmmusic`` below `home.folder`, in a folder for each kind.  An
entry's name is a digest of all that the entry depends on (`entry_path`), so a stale one
is never read; it goes after `MAX_DAYS` without use, or when the cache is full.
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
import stat
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lstmmusic import atomic
from lstmmusic.engine.home import PRIVATE, access_fault, folder, owner_fault

MAX_BYTES = 2**29
MAX_DAYS = 90
# One for each kind.  JAX names XLA's files, and writes them itself.
PATTERNS = ("programs/*", "kernels/*", "xla/*/*")
ENTRY = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{32}\.[0-9a-f]{16}\.part|.+-(cache|atime)")
PACKAGES = ("pytensor", "jax", "jaxlib", "numpy", "numba", "llvmlite")
ROOMS = [Path(__file__).parent, Path(__file__).parents[1] / "model"]


def digest_of_sources():
    """Return a digest of the code in model/ and engine/."""
    files = sorted(file for room in ROOMS for file in room.rglob("*.py"))
    return digest(b"".join(file.read_bytes() for file in files))


def digest(content):
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


SOURCES = digest_of_sources()  # at import: files may change later


@functools.cache
def versions():
    """Return the versions of the packages that make compiled code."""

    def found(name):
        try:
            return version(name)
        except PackageNotFoundError:  # in a program that embeds Python
            return None

    return list(map(found, PACKAGES))


@functools.cache
def kind_of_cpu():
    """Return a digest of this CPU's instructions, as LLVM and Linux name them.

    XLA has another LLVM, which may know more of them.
    """
    import llvmlite.binding as llvm

    what = [platform.machine(), llvm.get_host_cpu_name()]
    what.append(llvm.get_host_cpu_features().flatten())
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text()
        what += [line for line in cpu.splitlines() if line.startswith("flags")][:1]
    return digest(repr(what).encode())


def root():
    """Return the folder of all entries."""
    return folder() / "lstmmusic"


def entry_path(kind, *what):
    """Return the path of an entry; ``what`` it depends on besides versions and CPU.

    Parameters
    ----------
    kind : str
        "programs", "kernels" or "xla".
    *what
        Anything whose ``repr`` is the same in every process.
    """
    name = digest(repr((versions(), kind_of_cpu(), SOURCES, what)).encode())
    return root() / kind / name[:32]


def make_private(path):
    """Make a folder, and the two above it; return why another user may write to one."""
    for made in (path.parents[1], path.parent, path):
        made.mkdir(mode=PRIVATE, exist_ok=True)
        if fault := access_fault(made):
            return fault
    return None


def write_entry(path, content):
    """Write bytes, after a digest of them, to a file that its user alone may read.

    Write nothing where that fails, or another user may write to the folder.  The first
    call in a process evicts other entries.
    """

    def write_private(file):
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), 0o600)
        file.writelines([digest(content).encode(), b"\n", content])

    with contextlib.suppress(OSError):
        if make_private(path.parent) is None:
            atomic.write(path, write_private)
            evict_once()


def read_entry(path):
    """Return what `write_entry` wrote; None if missing, damaged or another user's."""
    try:
        with open(path, "rb") as file:
            if access_fault(path.parent) or access_fault(path, os.fstat(file.fileno())):
                return None
            expected, _, content = file.read().partition(b"\n")
    except OSError:
        return None
    return content if expected == digest(content).encode() else None


@functools.cache
def evict_once():
    """Evict entries at the first call in this process."""
    evict(MAX_BYTES, MAX_DAYS)


def evict(max_bytes, max_days):
    """Remove old entries, then the least recently used above a size; return bytes.

    Processes may do so at once.  One that has an entry open keeps it; one that comes
    later compiles anew.
    """
    oldest = time.time() - 24 * 3600 * max_days
    kept = freed = 0
    for path, found in sorted(entries(), key=lambda e: last_use(e[1]), reverse=True):
        kept += found.st_size
        if kept > max_bytes or last_use(found) < oldest:
            with contextlib.suppress(OSError):  # gone, or open on Windows
                path.unlink()
                freed += found.st_size
    return freed


def last_use(found):
    """Return when a file was last read or written, in seconds, from its status."""
    return max(found.st_atime, found.st_mtime)


def entries():
    """Yield the path and the status of each entry: files that we or JAX wrote."""
    for pattern in PATTERNS:
        for path in root().glob(pattern):
            with contextlib.suppress(OSError):  # another process has removed it
                found = path.lstat()
                ours = ENTRY.fullmatch(path.name) and stat.S_ISREG(found.st_mode)
                if ours and owner_fault(path, found) is None:
                    yield path, found


def clear_cache():
    """Remove all compiled code that this library has cached on disk.

    Functions that are compiled already still work; what is compiled next takes its time
    again.  Numba's own cache is PyTensor's, and stays.

    Returns
    -------
    int
        The bytes freed.

    Examples
    --------
    >>> from lstmmusic.engine import clear_cache
    >>> clear_cache()  # doctest: +SKIP
    54768123
    """
    return evict(-1, MAX_DAYS)
