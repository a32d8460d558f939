"""Choose the folder for compiled code, and import PyTensor with it.

Cached files are code that runs.  So a folder or file is refused that another user owns,
or that every user may write to.  Root is trusted: it can change any file.  Windows has
no such owners; there nothing is refused.

PyTensor fails at import where its cache folder is unusable, so this module comes first.
"""

import atexit
import configparser
import contextlib
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
        # In the environment, so that subprocesses use it; PyTensor splits by shlex.
        flag = f"base_compiledir={shlex.quote(folder.as_posix())}"
        flags = os.environ.get("PYTENSOR_FLAGS")
        os.environ["PYTENSOR_FLAGS"] = f"{flags},{flag}" if flags else flag
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
    """Make PyTensor's default cache folder; return why it is unusable, or None."""
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
    folder = Path(home, leaf)
    if not os.path.lexists(folder) and (fault := owner_fault(home)):
        return fault
    try:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made ({error.strerror})"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f"{folder} cannot be written to"
    return access_fault(folder)


def owner_fault(path, found=None):
    """Return why the owner of a path is not trusted; None if it is."""
    found = found or os.stat(path)
    if not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid()):
        return None
    return f"{path} belongs to another user (number {found.st_uid})"


def access_fault(path, found=None):
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

    The latter with a warning, if PyTensor's default is unusable or others may write to
    the folder.

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
        fault = access_fault(used)
    return temporary_folder(fault, stacklevel=2) if fault else used


import_pytensor()
