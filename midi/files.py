"""Paths and file objects: what is read from them, and what is written to them."""

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from midi.checks import MAX_FILE_BYTES, MidiError

READABLE = "a regular file's path (str, bytes or os.PathLike) or a binary file object"
WRITABLE = "a file's path, not a folder's, or a binary file object"
NO_CHARACTER = re.compile("[\ud800-\udfff]")  # os.fsdecode's sign for undecodable bytes
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
# A pipe is opened without waiting for its writer, a terminal without taking it over;
# Windows has neither flag, and needs another to leave the bytes as they are.
OPEN_FLAGS = ("O_NONBLOCK", "O_NOCTTY", "O_BINARY")


def shown(name):
    """Return a file's name as text that any UTF-8 stream can print.

    Bytes of the name that are not UTF-8 become replacement characters, so the text is
    for messages; only the name itself is a path.
    """
    return NO_CHARACTER.sub("\ufffd", str(name))


def checked_path(name, value, allowed):
    """Return the path `value` as a str; a ValueError says what the argument allows."""
    try:
        path = os.fsdecode(value)  # refuses ints: those are open files, not paths
    except TypeError:
        path = ""
    if not path or "\0" in path:
        raise ValueError(f"{name} is {value!r:.60}; allowed: {allowed}")
    return path


def read_file(filename):
    """Return the bytes of a path or binary file object, and its name.

    Raises
    ------
    ValueError
        If `filename` is neither.
    MidiError
        If a path leads to no regular file, or there are too many bytes.
    """
    if hasattr(filename, "read"):
        data = filename.read(MAX_FILE_BYTES + 1)
        name = getattr(filename, "name", repr(filename))
        name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
        if not isinstance(data, bytes):
            kind = type(data).__name__
            raise ValueError(
                f"{shown(name)}: read() gives {kind}; allowed: a binary file object"
            )
    else:
        name = checked_path("filename", filename, READABLE)
        with open_regular(name) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(
            f"{shown(name)}: too large; allowed: up to {MAX_FILE_BYTES} bytes"
        )
    return data, name


def open_regular(path, allowed=READABLE, error=MidiError):
    """Open a regular file, links followed, for reading bytes.

    Of anything else it raises IsADirectoryError, or `error` with what is `allowed`. To
    open a pipe waits for its writer, and to open a device may act on it. So the file is
    looked at before; and again when open, as another may have taken its place.
    """
    _check_regular(os.stat(path), path, allowed, error)
    file = open(path, "rb", opener=_open_at_once)
    try:
        _check_regular(os.fstat(file.fileno()), path, allowed, error)
    except BaseException:
        file.close()
        raise
    return file


def _open_at_once(path, flags):
    for flag in OPEN_FLAGS:
        flags |= getattr(os, flag, 0)
    return os.open(path, flags)


def _check_regular(status, path, allowed, error):
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind != stat.S_IFREG:
        what = KINDS.get(kind, "no regular file")
        raise error(f"{shown(path)}: {what}; allowed: {allowed}")


def write_bytes(filename, data):
    """Write `data` to a binary file object, or to a path, whole or not at all.

    A pipe or device at the path is written to, not replaced.

    Raises
    ------
    ValueError
        If `filename` is neither, or names a folder or a socket; then nothing is
        written.
    """
    if hasattr(filename, "write"):
        try:
            filename.write(data)
        except TypeError as error:
            raise ValueError(
                f"{filename!r} takes no bytes ({error}); allowed: a binary file object"
            ) from error
        return
    target = checked_target(filename)
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    _replace(target, data)


def checked_target(filename):
    """Return where a path leads, if a file can be there; else raise ValueError."""
    path = checked_path("filename", filename, WRITABLE)
    target = Path(os.path.realpath(path))
    no_file = os.path.basename(path) in ("", os.curdir, os.pardir)
    if no_file or target.is_dir() or target.is_socket():
        raise ValueError(f"filename is {filename!r}; allowed: {WRITABLE}")
    return target


def _replace(target, data):
    """Write `data` beside `target`, then put it in its place."""
    partial = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        # The caller's name for it, not the partial file's; a full disk names none.
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(number, reason, str(target)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
