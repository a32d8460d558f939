"""The folder that compiled code is cached in.

Cached files are code that runs.  So a folder or file is refused that another user owns,
or that every user may write to.  Root is trusted: it can change any file.  Windows has
no such owners; there nothing is refused.

This module is imported before PyTensor, which fails where its cache folder is unusable.
"""

import atexit
import configparser
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

from lstmmusic import atomic

PRIVATE = 0o700  # the mode of new folders
SET_FOLDER = (
    "set PYTENSOR_FLAGS=base_compiledir=FOLDER, where FOLDER is yours and can be "
    "written to"
)


def import_pytensor():
    """Import PyTensor; give it a temporary cache folder if its default is unusable."""
    if "pytensor" in sys.modules:
        return
    fault = None if is_chosen() else default_fault()
    if fault:
        folder = temporary_folder(fault, stacklevel=5)
        name_folder(folder)
    with known_home(), named_faults():
        import pytensor  # noqa: F401


def is_chosen():
    """Tell whether PYTENSOR_FLAGS or .pytensorrc names the cache folder."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    if re.search(r"(^|,)\s*(base_)?compiledir=", flags):
        return True
    files = os.environ.get("PYTENSORRC", "~/.pytensorrc").split(os.pathsep)
    if "PYTENSORRC" not in os.environ and sys.platform == "win32":
        files.append("~/.pytensorrc.txt")
    parser = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error, UnicodeError):  # PyTensor reports them
        parser.read(map(os.path.expanduser, files))
    names = "base_compiledir", "compiledir"
    return any(parser.has_option("global", name) for name in names)


def default_fault():
    """Return why PyTensor's default cache folder is unusable; None if it is usable.

    The folder is made if it is not there.
    """
    name, leaf = "HOME", ".pytensor"
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        name, leaf = "LOCALAPPDATA", "PyTensor"
    home = os.environ.get(name)
    if home is None:
        try:
            home = str(Path.home())
        except RuntimeError:
            return "there is no home folder: HOME is not set"
    if not os.path.isabs(home):  # PyTensor would write into the current folder
        return f"{name} is {home!r}, which is no absolute path"
    if not os.path.isdir(home):
        return f"{name} is {home!r}, which is no folder"
    return home_fault(Path(home), Path(home, leaf))


def home_fault(home, folder):
    """Return why a cache folder in a home folder is unusable; None if it is usable."""
    if not os.path.lexists(folder):
        fault = owner_fault(home)
        if fault:
            return fault
    try:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made ({error.strerror})"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f"{folder} cannot be written to"
    return folder_fault(folder)


def owner_fault(path, found=None):
    """Return why the owner of a path is not trusted; None if it is."""
    found = found or os.stat(path)
    if not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid()):
        return None
    return f"{path} belongs to another user (number {found.st_uid})"


def folder_fault(path, found=None):
    """Return why a path may hold what another user has written; None if it does not."""
    found = found or os.stat(path)
    fault = owner_fault(path, found)
    if fault is None and hasattr(os, "geteuid") and found.st_mode & stat.S_IWOTH:
        return f"{path} can be written to by every user"
    return fault


def temporary_folder(fault, stacklevel):
    """Return a new folder, its user's alone, that is removed at exit; warn of it."""
    try:
        folder = tempfile.mkdtemp(prefix="lstmmusic-")
    except OSError as error:
        raise OSError(
            f"there is no folder for compiled code: {fault}; {error}; {SET_FOLDER}"
        ) from None
    atexit.register(remove, folder, os.getpid())
    warnings.warn(
        f"{fault}: compiled code is cached in {folder} until this process ends. "
        f"To keep it, {SET_FOLDER}",
        stacklevel=stacklevel,
    )
    return Path(folder)


def remove(folder, pid):
    """Remove a folder in the process that made it, not in its forked children."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def name_folder(folder):
    """Name PyTensor's cache folder in the environment: subprocesses use it, too.

    PyTensor splits its flags by shlex.
    """
    flag = f"base_compiledir={shlex.quote(folder.as_posix())}"
    flags = os.environ.get("PYTENSOR_FLAGS")
    os.environ["PYTENSOR_FLAGS"] = f"{flags},{flag}" if flags else flag


@contextlib.contextmanager
def known_home():
    """Set HOME where there is none: PyTensor's import fails without one."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull  # holds no .pytensorrc of another user
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


@contextlib.contextmanager
def named_faults():
    """Turn PyTensor's errors about its cache folder into one that says what to set."""
    try:
        yield
    except (OSError, ValueError) as error:
        if "compiledir" not in str(error):
            raise
        found = " ".join(str(error).split()).rstrip(".")
        message = f"PyTensor's cache folder is unusable: {found}; {SET_FOLDER}"
        raise OSError(message) from None


@cache
def folder():
    """Return the folder for compiled code: PyTensor's, or a temporary one.

    The latter with a warning, where PyTensor's default is unusable or others may write
    to the folder.

    Raises
    ------
    OSError
        If the user has named a folder that is unusable.  The message says what to set.
    """
    import pytensor

    fault = None if is_chosen() else default_fault()  # imported before us, unchecked
    if fault is None:
        with named_faults():
            used = Path(pytensor.config.compiledir)
        fault = folder_fault(used)
    return temporary_folder(fault, stacklevel=2) if fault else used


def private_folder(*names):
    """Return a folder below `folder`, made if missing; None if it is not private."""
    path = folder()
    for name in names:
        path = path / name
        try:
            path.mkdir(mode=PRIVATE, exist_ok=True)
            fault = folder_fault(path)
        except OSError:
            return None
        if fault:
            warnings.warn(f"{fault}: it is not used as a cache", stacklevel=2)
            return None
    return path


def write_entry(path, content):
    """Write bytes, and a digest of them before, to a file that its user alone may read.

    Write nothing where that fails, or another user may write to the folder.
    """

    def write_private(file):
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), 0o600)
        file.writelines([_digest(content), b"\n", content])

    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        if folder_fault(path.parent) is None:
            atomic.write(path, write_private)


def read_entry(path):
    """Return what `write_entry` wrote; None if missing, damaged or another user's."""
    try:
        with open(path, "rb") as file:
            if folder_fault(path.parent) or folder_fault(path, os.fstat(file.fileno())):
                return None
            digest, _, content = file.read().partition(b"\n")
    except OSError:
        return None
    return content if digest == _digest(content) else None


def digest_of(paths):
    """Return a digest of what is in files, one after the other."""
    return _digest(b"".join(path.read_bytes() for path in paths)).decode()


def _digest(content):
    return hashlib.sha256(content).hexdigest().encode()


import_pytensor()
