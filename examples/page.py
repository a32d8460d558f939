"""Write index.html, which shows a run of main.py, and the files beside it."""

import contextlib
import hashlib
import os
import platform
import re
from dataclasses import astuple, dataclass, field
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

# Numbers, pictures and sounds depend on their versions.
PACKAGES = (
    "numpy pytensor jax jaxlib numba symusic music21 matplotlib pretty_midi".split()
)
PAGE = "index.html"
LONGEST = 2**22  # characters read of an earlier page
# Pages of the first versions had no generator; they are known by their first lines.
PAGE_START = re.compile(
    r"<!DOCTYPE html>\s<html lang=\"en\">\s<head>\s<meta charset=\"utf-8\">\s"
    r"(<meta name=\"generator\" content=\"LSTMmusic [^\"]*\">|<meta name=\"viewport\" "
    r"content=\"width=device-width, initial-scale=1\">\s<title>LSTMmusic</title>)"
)
FILE_NAME = re.compile(  # of a file that a run writes beside the page
    r"generated(-[-+.\de]+)?\.(mid|wav)|continued(-[-+.\de]+)?\.mid|original\.(mid|wav)"
    r"|(rolls|probabilities)(-[-+.\de]+)?\.png|(original|statistics|cost)\.png"
)


@dataclass
class Line:
    """Place the line that moves over a picture while a sound plays.

    All is in per cent of the picture's width, or height from its top.
    """

    start: float  # where the line is when the sound begins
    end: float  # and when it ends, which may be outside of the picture
    edge: float  # the axes' right end, where the line vanishes
    top: float
    height: float


@dataclass
class Part:
    """Hold a section of the page, with the names of the files that it shows."""

    heading: str
    text: list = field(default_factory=list)
    wav: str | None = None
    length: float = 0.0  # of the sound, in the unit of the pictures' time axis
    links: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {file name: caption}
    lines: dict = field(default_factory=dict)  # {file name of a picture: Line}
    table: list = field(default_factory=list)  # rows of strings, the first the head
    command: str | None = None
    settings: dict = field(default_factory=dict)
    parts: list = field(default_factory=list)  # subsections


def line_over(ax, begin, end):
    """Return the Line over the axes of a figure that has been drawn.

    ``begin`` and ``end`` are the first and last moment of the sound on the time axis.
    """
    box, (first, last) = ax.get_position(), ax.get_xlim()
    start, stop = (
        100 * (box.x0 + box.width * (time - first) / (last - first))
        for time in (begin, end)
    )
    return Line(start, stop, 100 * box.x1, 100 * (1 - box.y1), 100 * box.height)


def render_page(parts, summary):
    """Return the page as HTML.

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
            f"<section>\n{render_part(part)}\n</section>" for part in parts
        ),
    )


def render_part(part, level=2):
    """Return a part as HTML, its heading of a level."""
    lines = [f"<h{level}>{text(part.heading)}</h{level}>"]
    lines += [f"<p>{text(paragraph)}</p>" for paragraph in part.text]
    if part.wav:
        lines.append(
            f'<audio controls preload="metadata" src="{link(part.wav)}"></audio>'
        )
    links = [f'<a href="{link(name)}">{text(name)}</a>' for name in part.links]
    lines += [f"<p>{', '.join(links)}</p>"] if links else []
    lines += [
        f'<figure><div class="wide"><div><img src="{link(name)}" alt="{text(caption)}">'
        f"{render_line(part.lines.get(name))}</div></div>"
        f"<figcaption>{text(caption)}</figcaption></figure>"
        for name, caption in part.pictures.items()
    ]
    lines += [render_table(part.table, "numbers")] if part.table else []
    if part.command:
        command = "\n".join(map(text, part.command.split("\n")))
        lines.append(f"<pre>{command}</pre>")
    lines += [render_table(part.settings.items(), "settings")] if part.settings else []
    return "\n".join([*lines, *(render_part(inner, level + 1) for inner in part.parts)])


def render_line(line):
    """Return a Line, or None, as HTML; without a script it stays hidden."""
    if line is None:
        return ""
    start, end, edge, top, height = (f"{value:.3f}" for value in astuple(line))
    return (
        f'<i hidden data-start="{start}" data-end="{end}" data-edge="{edge}" '
        f'style="top:{top}%;height:{height}%"></i>'
    )


def render_table(rows, kind):
    """Return rows as an HTML table; the first cell of each is its heading."""
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
    """Return a value as text for HTML; a list is its items."""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return escape(shown(str(value)))


def link(name):
    """Return the URL of a file beside the page; its name need not be UTF-8."""
    return quote(os.fsencode(name))


def suffixes(temperatures):
    """Return the suffix of each tune's file names, by temperature.

    The files of a single tune have no suffix.
    """
    names = dict.fromkeys(f"{float(temperature):g}" for temperature in temperatures)
    return {name: f"-{name}" * (len(names) > 1) for name in names}


def names_of(temperatures):
    """Return the names of all files that a run may write beside the page."""
    ends = suffixes(temperatures).values()
    tunes = ["original", *(f"generated{end}" for end in ends)]
    return {
        *(f"{tune}{kind}" for tune in tunes for kind in (".mid", ".wav")),
        *(f"continued{end}.mid" for end in ends),
        *(f"{kind}{end}.png" for end in ends for kind in ("rolls", "probabilities")),
        "original.png",
        "statistics.png",
        "cost.png",
    }


def check_folder(out, temperatures=(1.0,)):
    """Raise ValueError if ``out`` is a file, or results would overwrite a user's own.

    Parameters
    ----------
    out : Path
        The output folder, which need not exist.
    temperatures : sequence of float
        Those of ``--temperature``; the files' names depend on them.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is {out}, which is a file; allowed is a folder")
    own = files_of_page(out / PAGE)
    if own is None:
        raise ValueError(
            f"{out / PAGE} is not a page of an earlier run; allowed are another --out "
            "and to move that file away"
        )
    for name in sorted(names_of(temperatures)):
        if os.path.isdir(out / name) or (
            name not in own and os.path.lexists(out / name)
        ):
            raise ValueError(
                f"{out / name} would be overwritten, but no page of an earlier run "
                "names it; allowed are another --out and to move that file away"
            )


def files_of_page(page):
    """Return the names of the files that an earlier run wrote for its page.

    None if the page is another program's, or is no regular file.
    """
    if not os.path.lexists(page):
        return set()
    if not page.is_file():
        return None
    with page.open(encoding="utf-8", errors="replace") as file:
        beginning = file.read(LONGEST)
    if not PAGE_START.match(beginning):
        return None
    links = re.findall(r'(?:src|href)="([^"]*)"', beginning)
    names = (os.fsdecode(unquote_to_bytes(name)) for name in links)
    return set(filter(FILE_NAME.fullmatch, names))


def write_folder(folder, files, page, stale):
    """Write files and the page that names them; remove the files of an earlier run.

    The files come first, then the page, then the removals: after a failure or a kill
    the page still names files that exist.

    Parameters
    ----------
    folder : Path
    files : dict of str to bytes
    page : str
    stale : set of str
        Files to remove besides those that an earlier page names.

    Returns
    -------
    list of str
        A line for each file that could not be removed.
    """
    path = folder / PAGE
    stale = (stale | (files_of_page(path) or set())) - files.keys()
    new = [name for name in files if not os.path.lexists(folder / name)]
    try:
        for name, data in {**files, PAGE: page.encode()}.items():
            atomic.write(folder / name, lambda file, data=data: file.write(data))
    except BaseException:
        for name in set(new) - (files_of_page(path) or set()):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        raise
    left = []
    for name in sorted(stale):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            left.append(f"{name} of an earlier run is not removed: {error.strerror}")
    return left


def settings(model, original, dataset, options):
    """Return by name everything that must be the same for the same music."""
    names = vars(make_parser().parse_args([])).keys() - {"resume"}
    used = {
        f"--{name.replace('_', '-')}": value
        for name, value in vars(options).items()
        if name in names and value is not None
    }
    data = {"data": describe_music([original, *dataset], options.midi)}
    if options.melody:
        data = {
            "data": describe_music(dataset, options.midi),
            "melody": describe_music([original], options.melody),
        }
    if options.continued:
        data = {
            "data": describe_music(dataset, options.midi),
            "continued": describe_music([original], options.continued),
        }
    try:
        folder = Path.cwd()
    except OSError as error:
        folder = f"none ({error.strerror})"
    return {
        "working folder": folder,
        **data,
        "network": repr(model),
        **used,
        "versions": ", ".join(versions()),
        "machine": f"{platform.platform()}, {cpus()} CPUs",
    }


def describe_music(tunes, source):
    """Return in words which tunes were read, with a digest of them.

    A tune that is there twice counts once.  The digest does not depend on the order.
    """
    tunes = {id(tune): tune for tune in tunes}.values()
    rolls = [np.asarray(tune.piano_roll, np.uint8) for tune in tunes]
    contents = (np.array(r.shape, "<i8").tobytes() + r.tobytes() for r in rolls)
    digests = sorted(hashlib.sha256(content).digest() for content in contents)
    return (
        f"{source or 'Bach’s chorales, from music21'}: {counted(len(rolls), 'tune')}, "
        f"{sum(map(len, rolls))} steps, SHA-256 "
        f"{hashlib.sha256(b''.join(digests)).hexdigest()[:16]}…"
    )


def versions():
    """Return the names and versions of the packages in use."""
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
