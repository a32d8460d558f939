"""A file that is there whole or not at all, whatever happens while it is written."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]


def write(filename, content):
    """Have ``content(file)`` write a binary file, and put it at ``filename``.

    A failed or killed write leaves the old file.  What killed ones have left beside it
    is removed; not so what a living process, or thread, is writing: of several, the
    last to end counts.

    Parameters
    ----------
    filename : path
        A link is followed.
    content : callable

    Returns
    -------
    Path
        Where the file is.
    """
    path = Path(os.path.realpath(filename))
    _remove_what_was_left(path)
    try:
        _write_and_rename(path, content)
    except OSError as error:
        # The caller's name for it, not that of the part; a full disk names none.
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(number, reason, str(path)) from error
    return path


def _write_and_rename(path, content):
    file = _create_locked(path)
    try:
        with file:
            content(file)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            os.replace(file.name, path)  # still locked: nobody takes it for left behind
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file.name)
        raise


def _create_locked(path):
    """Create a file beside `path`, locked: a lock goes when its process does."""
    while True:
        part = f".{_stem(path)}.{secrets.token_hex(8)}.part"
        file = open(path.with_name(part), "xb")
        try:
            _lock(file)
        except BlockingIOError:  # by another save, which saw it before it was locked
            file.close()
            continue
        except OSError:  # a file system without locks: there, what was left stays
            return file
        if os.path.exists(file.name):
            return file
        file.close()


def _stem(path):
    """Return what the names of a file's parts contain: they must not be too long."""
    name = os.fsencode(path.name)
    return path.name if len(name) < 200 else hashlib.sha256(name).hexdigest()


def _remove_what_was_left(path):
    part = re.compile(rf"\.{re.escape(_stem(path))}\.[0-9a-f]{{16}}\.part")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if part.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), open(entry.path, "r+b") as file:
                    _lock(file)
                    os.unlink(entry.path)


def _lock(file):
    """Lock an open file, or raise an OSError: a BlockingIOError if another has."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
