"""The command line of main.py: as it was typed, to be typed again."""

import os
import shlex
import subprocess
import sys


def typed_words(arguments):
    """Return the words of the command line as it was typed."""
    if arguments is None:
        return sys.orig_argv
    return ["python", "examples/main.py", *map(str, arguments)]


def as_typed(words):
    """Return words as a command line, for this system's shell."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(map(quoted, words))


def quoted(word):
    """Return a word for a POSIX shell, in ASCII if it is not printable.

    A file name may hold any bytes: those are written as bash, zsh and ksh read them,
    ``$'caf\\xe9'``.
    """
    if word.isprintable():
        return shlex.quote(word)
    letters = (
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(letters)}'"


def command_of(options):
    """Return the command that began a run's training: without ``--resume``."""
    return as_typed(without_resume(options.typed))


def going_on(options, *more):
    """Return the command that goes on with a run's training."""
    return as_typed([*without_resume(options.typed), *more, "--resume"])


def without_resume(words):
    # argparse takes options shortened: --re, --res, …
    return [w for w in words if not (w[:4] == "--re" and "--resume".startswith(w))]


def say(text):
    """Print; a closed or full output does not end the run."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError:
        let_go_of_stdout()


def let_go_of_stdout():
    """Have Python print to nowhere: the reader has gone, or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed_streams():
    """Give Python an output that goes nowhere in place of one that is closed (>&-)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
