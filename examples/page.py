"""index.html: what a run of main.py made, to see, to hear and to repeat."""

import hashlib
import platform
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

import lstmmusic
from lstmmusic.backend import cpus

# What the numbers, the pictures and the sounds depend on.
PACKAGES = (
    "numpy pytensor jax jaxlib numba symusic music21 matplotlib pretty_midi".split()
)


@dataclass
class Part:
    """A part of the page: its text, its table, and files that lie beside the page."""

    heading: str
    text: list = field(default_factory=list)
    table: list = field(default_factory=list)  # rows of strings, the first a heading
    wav: str | None = None
    links: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {file name: caption}


def write_page(path, parts, summary, command, settings):
    """Write the page; what it shows lies beside it.

    Parameters
    ----------
    path : Path
    parts : sequence of Part
    summary, command : str
    settings : dict of str to object
    """
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        summary=escape(summary),
        parts="\n".join(part_in_html(part) for part in parts),
        command=escape(command),
        settings=table([name, str(value)] for name, value in settings.items()),
    )
    path.write_text(page, encoding="utf-8")


def part_in_html(part):
    lines = ["<section>", f"<h2>{escape(part.heading)}</h2>"]
    lines += [f"<p>{escape(text)}</p>" for text in part.text]
    if part.wav:
        lines.append(f'<audio controls preload="metadata" src="{part.wav}"></audio>')
    links = [f'<a href="{quote(name)}">{escape(name)}</a>' for name in part.links]
    lines += [f"<p>{', '.join(links)}</p>"] if links else []
    lines += [
        f'<figure><img src="{name}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for name, caption in part.pictures.items()
    ]
    lines += ["<table>", table(part.table), "</table>"] if part.table else []
    return "\n".join([*lines, "</section>"])


def table(rows):
    """Return the rows of a table; the first cell of each is its heading."""
    return "\n".join(
        f"<tr><th>{escape(first)}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    )


def settings(model, original, dataset, options):
    """Return all that must be the same for the same music, by name."""
    used = {
        f"--{name.replace('_', '-')}": " ".join(map(str, np.ravel(value)))
        for name, value in vars(options).items()
        if name not in ("command", "ranks", "resume") and value is not None
    }
    return {
        "working folder": Path.cwd(),
        "data": described([original, *dataset], options.midi),
        "network": repr(model),
        **used,
        "versions": ", ".join(versions()),
        "machine": f"{platform.platform()}, {cpus()} CPUs",
    }


def described(tunes, folder):
    """Say what the music is, with a sum that tells whether other music is the same."""
    rolls = [np.asarray(tune.piano_roll, np.uint8) for tune in tunes]
    digest = hashlib.sha256()
    for roll in rolls:
        digest.update(np.array(roll.shape, "<i8").tobytes() + roll.tobytes())
    return (
        f"{folder or 'Bach’s chorales, from music21'}: {len(rolls)} tunes, "
        f"{sum(map(len, rolls))} steps, SHA-256 {digest.hexdigest()[:16]}…"
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
