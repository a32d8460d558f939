"""Read bytes from, and write bytes to, paths and binary file objects."""

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from midi.checks import MAX_FILE_BYTES, MidiError

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

READABLE = "a regular file's path (str, bytes or os.PathLike) or a binary file object"
WRITABLE = "a file's path, not a folder's, or a binary file object"
_SURROGATE = re.compile("[\ud800-\udfff]")  # os.fsdecode's sign for undecodable bytes
_FILE_TYPES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
# O_NONBLOCK: do not wait for a pipe's writer. O_NOCTTY: do not take over a terminal.
# Windows has neither, and needs O_BINARY to leave the bytes unchanged.
_OPEN_FLAGS = ("O_NONBLOCK", "O_NOCTTY", "O_BINARY")


def printable(name: object) -> str:
    """Return a file's name as text that any UTF-8 stream can print.

    Bytes that are not UTF-8 become replacement characters, so the text serves for
    messages and no longer as a path.
    """
    return _SURROGATE.sub("\ufffd", str(name))


def check_path(name: str, value: Any, allowed: str) -> str:
    """Return the path `value` as a str; raise ValueError for what is no path."""
    try:
        path = os.fsdecode(value)  # refuses ints, which are open files
    except TypeError:
        path = ""
    if not path or "\0" in path:
        raise ValueError(f"{name} is {value!r:.60}; allowed: {allowed}")
    return path


def read_file(filename: FilePath | BinaryIO) -> tuple[bytes, str]:
    """Return the bytes of a path or binary file object, and its name.

    Raises
    ------
    ValueError
        If `filename` is neither.
    MidiError
        If a path leads to no regular file, or there are over MAX_FILE_BYTES bytes.
    """
    if hasattr(filename, "read"):
        data = filename.read(MAX_FILE_BYTES + 1)
        name = getattr(filename, "name", repr(filename))
        name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
        if not isinstance(data, bytes):
            kind = type(data).__name__
            raise ValueError(
                f"{printable(name)}: read() gives {kind}; allowed: a binary file object"
            )
    else:
        name = check_path("filename", filename, READABLE)
        with open_regular(name) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(
            f"{printable(name)}: too large; allowed: up to {MAX_FILE_BYTES} bytes"
        )
    return data, name


def open_regular(
    path: str, allowed: str = READABLE, error: type[ValueError] = MidiError
) -> BinaryIO:
    """Open a regular file, links followed, for reading bytes.

    The type is checked before opening, as to open a pipe waits for its writer and to
    open a device may act on it; and again after, as another file may have replaced it.

    Raises
    ------
    IsADirectoryError
        If the path is a folder's.
    ValueError
        An `error` that names what is `allowed`, if it is no regular file's.
    """
    _check_regular(os.stat(path), path, allowed, error)
    file = open(path, "rb", opener=_open_without_waiting)
    try:
        _check_regular(os.fstat(file.fileno()), path, allowed, error)
    except BaseException:
        file.close()
        raise
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    for flag in _OPEN_FLAGS:
        flags |= getattr(os, flag, 0)
    return os.open(path, flags)


def _check_regular(
    status: os.stat_result, path: str, allowed: str, error: type[ValueError]
) -> None:
    file_type = stat.S_IFMT(status.st_mode)
    if file_type == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if file_type != stat.S_IFREG:
        what = _FILE_TYPES.get(file_type, "no regular file")
        raise error(f"{printable(path)}: {what}; allowed: {allowed}")


def write_bytes(filename: FilePath | BinaryIO, data: bytes) -> None:
    """Write `data` to a binary file object, or atomically to a path.

    A pipe or device at the path is written to, not replaced.

    Raises
    ------
    ValueError
        If `filename` is neither, or is the path of a folder or a socket; then nothing
        is written.
    OSError
        If the file cannot be written; an existing file stays as it was.
    """
    if hasattr(filename, "write"):
        try:
            filename.write(data)
        except TypeError as error:
            raise ValueError(
                f"{filename!r} takes no bytes ({error}); allowed: a binary file object"
            ) from error
        return
    target = check_target(filename)
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    _replace(target, data)


def check_target(filename: Any) -> Path:
    """Return where a path leads, links followed; raise ValueError if to no file."""
    path = check_path("filename", filename, WRITABLE)
    target = Path(os.path.realpath(path))
    names_folder = os.path.basename(path) in ("", os.curdir, os.pardir)
    if names_folder or target.is_dir() or target.is_socket():
        raise ValueError(f"filename is {filename!r}; allowed: {WRITABLE}")
    return target


def _replace(target: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `target`, then rename it."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        # Name the caller's file, not the temporary one. A full disk's error names none.
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(number, reason, str(target)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
