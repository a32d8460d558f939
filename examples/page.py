"""index.html: what a run of main.py made, to see, to hear and to repeat."""

import contextlib
import hashlib
import os
import platform
import re
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from urllib.parse import quote, unquote_to_bytes

import numpy as np
from options import make_parser

import lstmmusic
from lstmmusic import atomic
from lstmmusic.checks import counted
from lstmmusic.engine.backend import cpus
from lstmmusic.plots import shown

# What the numbers, the pictures and the sounds depend on.
PACKAGES = (
    "numpy pytensor jax jaxlib numba symusic music21 matplotlib pretty_midi".split()
)
PAGE = "index.html"
LONGEST = 2**22  # characters of an earlier page that are read
# The first pages had no generator; their beginning is taken for it.
OURS = re.compile(
    r"<!DOCTYPE html>\s<html lang=\"en\">\s<head>\s<meta charset=\"utf-8\">\s"
    r"(<meta name=\"generator\" content=\"LSTMmusic [^\"]*\">|<meta name=\"viewport\" "
    r"content=\"width=device-width, initial-scale=1\">\s<title>LSTMmusic</title>)"
)
WRITTEN = re.compile(  # names of the files that a run writes beside the page
    r"generated(-[-+.\de]+)?\.(mid|wav)|original\.(mid|wav)"
    r"|(rolls|probabilities)(-[-+.\de]+)?\.png|(statistics|cost)\.png"
)


@dataclass
class Part:
    """A part of the page: its text, its tables, and files that lie beside the page."""

    heading: str
    text: list = field(default_factory=list)
    wav: str | None = None
    links: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {file name: caption}
    table: list = field(default_factory=list)  # rows of strings, the first a heading
    command: str | None = None
    settings: dict = field(default_factory=dict)
    parts: list = field(default_factory=list)  # each with a smaller heading


def in_html(parts, summary):
    """Return the page; what it shows lies beside it.

    Parameters
    ----------
    parts : sequence of Part
    summary : str
    """
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        generator=text(f"LSTMmusic {lstmmusic.__version__}"),
        summary=text(summary),
        parts="\n".join(
            f"<section>\n{part_in_html(part)}\n</section>" for part in parts
        ),
    )


def part_in_html(part, level=2):
    lines = [f"<h{level}>{text(part.heading)}</h{level}>"]
    lines += [f"<p>{text(paragraph)}</p>" for paragraph in part.text]
    if part.wav:
        lines.append(
            f'<audio controls preload="metadata" src="{link(part.wav)}"></audio>'
        )
    links = [f'<a href="{link(name)}">{text(name)}</a>' for name in part.links]
    lines += [f"<p>{', '.join(links)}</p>"] if links else []
    lines += [
        f'<figure><div class="wide"><img src="{link(name)}" alt="{text(caption)}">'
        f"</div><figcaption>{text(caption)}</figcaption></figure>"
        for name, caption in part.pictures.items()
    ]
    lines += [table(part.table, "numbers")] if part.table else []
    if part.command:
        command = "\n".join(map(text, part.command.split("\n")))
        lines.append(f"<pre>{command}</pre>")
    lines += [table(part.settings.items(), "settings")] if part.settings else []
    return "\n".join(
        [*lines, *(part_in_html(inner, level + 1) for inner in part.parts)]
    )


def table(rows, kind):
    """Return a table; the first cell of each row is its heading."""
    lines = [
        f"<tr><th>{text(first)}</th>"
        + "".join(f"<td>{text(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    ]
    return "\n".join(
        [f'<div class="wide"><table class="{kind}">', *lines, "</table></div>"]
    )


def text(value):
    """Return what HTML shows as a value: of a list or a tuple, its items."""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return escape(shown(str(value)))


def link(name):
    """Return the address of a file beside the page; its name may be no UTF-8."""
    return quote(os.fsencode(name))


def named_by(page):
    """Return the files that a page of an earlier run names, and that such a run writes.

    None if it is the page of another program, or a file that is no page.
    """
    if not os.path.lexists(page):
        return set()
    if not page.is_file():
        return None
    with page.open(encoding="utf-8", errors="replace") as file:
        beginning = file.read(LONGEST)
    if not OURS.match(beginning):
        return None
    links = re.findall(r'(?:src|href)="([^"]*)"', beginning)
    names = (os.fsdecode(unquote_to_bytes(name)) for name in links)
    return set(filter(WRITTEN.fullmatch, names))


def write_folder(folder, files, page, stale):
    """Write files and the page that names them; remove those of an earlier run.

    A failure, or a kill, leaves a page whose files are there: the files come first,
    then the page, and only then do files go that it does not name.

    Parameters
    ----------
    folder : Path
    files : dict of str to bytes
    page : str
    stale : set of str
        Files to remove beside those that an earlier page names.

    Returns
    -------
    list of str
        A line for each file that could not be removed.
    """
    path = folder / PAGE
    stale = (stale | (named_by(path) or set())) - files.keys()
    new = [name for name in files if not os.path.lexists(folder / name)]
    try:
        for name, data in {**files, PAGE: page.encode()}.items():
            atomic.write(folder / name, lambda file, data=data: file.write(data))
    except BaseException:
        for name in set(new) - (named_by(path) or set()):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        raise
    left = []
    for name in sorted(stale):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            left.append(f"{name}, of an earlier run, is not removed: {error.strerror}")
    return left


def settings(model, original, dataset, options):
    """Return all that must be the same for the same music, by name."""
    names = vars(make_parser().parse_args([])).keys() - {"resume"}
    used = {
        f"--{name.replace('_', '-')}": value
        for name, value in vars(options).items()
        if name in names and value is not None
    }
    try:
        folder = Path.cwd()
    except OSError as error:
        folder = f"none ({error.strerror})"
    return {
        "working folder": folder,
        "data": described(original, dataset, options.midi),
        "network": repr(model),
        **used,
        "versions": ", ".join(versions()),
        "machine": f"{platform.platform()}, {cpus()} CPUs",
    }


def described(original, dataset, folder):
    """Say what the music is, with a sum that is the same for the same tunes.

    Whichever of them is the original, and in any order.
    """
    alone = not any(tune is original for tune in dataset)
    tunes = [original] * alone + list(dataset)
    rolls = [np.asarray(tune.piano_roll, np.uint8) for tune in tunes]
    contents = (np.array(r.shape, "<i8").tobytes() + r.tobytes() for r in rolls)
    digests = sorted(hashlib.sha256(content).digest() for content in contents)
    return (
        f"{folder or 'Bach’s chorales, from music21'}: {counted(len(rolls), 'tune')}, "
        f"{sum(map(len, rolls))} steps, SHA-256 "
        f"{hashlib.sha256(b''.join(digests)).hexdigest()[:16]}…"
    )


def versions():
    """Return what is installed, as text."""
    found = [
        f"Python {platform.python_version()}",
        f"lstmmusic {lstmmusic.__version__}",
    ]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            pass
    return found
