"""Write files atomically: the old file or the whole new one, whatever happens."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]


def write(
    filename: str | os.PathLike[str], content: Callable[[BinaryIO], object]
) -> Path:
    """Write a binary file by ``content(file)``, then put it at ``filename``.

    A failed or killed write leaves the old file.  Partial files of killed writes are
    removed, but not those that a living process or thread is writing: of several
    writers, the last to end counts.

    Parameters
    ----------
    filename : path
        A link is followed.
    content : callable
        Takes an open binary file.

    Returns
    -------
    Path
        Where the file is, links resolved.

    Raises
    ------
    OSError
        If the file cannot be written; it names ``filename``, links resolved.
    """
    path = Path(os.path.realpath(filename))
    _remove_abandoned(path)
    try:
        _write_and_rename(path, content)
    except OSError as error:
        # Name the file, not the part; a full disk's error names none.
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
            os.replace(file.name, path)  # still locked, so no other save removes it
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file.name)
        raise


def _create_locked(path):
    """Create a locked file beside `path`; its lock ends with this process."""
    while True:
        part = f".{_stem(path)}.{secrets.token_hex(8)}.part"
        file = open(path.with_name(part), "xb")
        try:
            _lock(file)
        except BlockingIOError:  # another save locked it first, to remove it
            file.close()
            continue
        except OSError:  # without locks on this file system, abandoned parts stay
            return file
        if os.path.exists(file.name):
            return file
        file.close()


def _stem(path):
    """Return the stem of a part's name, short enough for any file system."""
    name = os.fsencode(path.name)
    return path.name if len(name) < 200 else hashlib.sha256(name).hexdigest()


def _remove_abandoned(path):
    """Remove the parts of a file that no process has locked."""
    part = re.compile(rf"\.{re.escape(_stem(path))}\.[0-9a-f]{{16}}\.part")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if part.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), open(entry.path, "r+b") as file:
                    _lock(file)
                    os.unlink(entry.path)


def _lock(file):
    """Lock an open file; raise BlockingIOError if it is locked, or another OSError."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
