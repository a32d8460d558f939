"""Quote the command line of main.py as typed, and make commands to type next."""

import os
import shlex
import subprocess
import sys


def typed_words(arguments):
    """Return the words of the command line that started this run."""
    if arguments is None:
        return sys.orig_argv
    return ["python", "examples/main.py", *map(str, arguments)]


def join_words(words):
    """Join words to a command line for this system's shell."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(map(quote, words))


def quote(word):
    """Quote a word for a POSIX shell, in ASCII if it is not printable.

    A file name may hold any bytes; bash, zsh and ksh read ``$'caf\\xe9'``.
    """
    if word.isprintable():
        return shlex.quote(word)
    letters = (
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(letters)}'"


def first_command(options):
    """Return the command that started the training: without ``--resume``."""
    return join_words(without_resume(options.typed))


def resume_command(options, *more):
    """Return the command that resumes the training."""
    return join_words([*without_resume(options.typed), *more, "--resume"])


def without_resume(words):
    """Drop ``--resume``, which argparse also accepts shortened: --re, --res, …"""
    return [w for w in words if not (w[:4] == "--re" and "--resume".startswith(w))]


def say(text):
    """Print a text; a closed or full output does not end the run."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError:
        discard_stdout()


def discard_stdout():
    """Redirect standard output to nowhere: its reader has gone, or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def replace_closed_streams():
    """Give Python a null output in place of each one that is closed (>&-)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
