"""Who imports whom, within a function too: a reader can rely on what a room needs."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The arrows of HOUSE.md: which rooms, and modules beside them, each may import.
ARROWS = {
    "rnn4music": {"training", "stuck"},
    "training": {"engine", "data"},
    "engine": {"model", "data"},
    "datasets": {"data", "statistics", "midi"},
    "listening": {"synthesis", "midi"},
    "synthesis": {"midi"},
    "plots": {"statistics"},
    "stuck": {"statistics"},
    "data": {"midi"},  # a roll's format is the word of both; imported late
    "statistics": {"data"},
    "checks": set(),
    "atomic": set(),
    "model": set(),
    "midi": set(),
}
ALONE = {"model", "midi"}  # import nothing of the library
FOR_ALL = {"checks", "atomic"}  # everything else may import these


def allowed(room):
    """Return the rooms that one may import, directly or through others."""
    found = set() if room in ALONE else set(FOR_ALL)
    for other in ARROWS[room]:
        found |= {other} | allowed(other)
    return found


@cache
def nodes(file):
    """Return all nodes of a file's syntax tree, within functions too."""
    return list(ast.walk(ast.parse(file.read_text("utf-8"))))


def imports(file):
    """Yield the modules of this project that a file imports, as dotted names."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # from lstmmusic import checks: the name is a module.
            names = [node.module]
            if node.module == "lstmmusic":
                names = [f"lstmmusic.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (n for n in names if re.match(r"(lstmmusic|midi)\b", n))


def room_of(name):
    """Return the room of a dotted name, or the module that stands beside the rooms."""
    first, *rest = name.split(".")
    return first if first == "midi" or not rest else rest[0]


def test_every_import_is_allowed():
    found = set()
    for file in [*(ROOT / "lstmmusic").rglob("*.py"), *(ROOT / "midi").glob("*.py")]:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        if name != "lstmmusic.__init__":
            found |= {(room_of(name), room_of(other)) for other in imports(file)}
    assert {room for room, _ in found} <= ARROWS.keys()
    refused = {
        (room, other)
        for room, other in found
        if room != other and other not in allowed(room)
    }
    assert refused == set()


def test_every_arrow_starts_at_a_room():
    modules = {file.stem for file in (ROOT / "lstmmusic").glob("*.py")}
    found = (ROOT / "lstmmusic").glob("*/__init__.py")  # in ROOT may be environments
    packages = {file.parent.name for file in found}
    assert ARROWS.keys() == (modules | packages | {"midi"}) - {"__init__"}


@pytest.mark.parametrize("package", ["lstmmusic", "midi"])
def test_no_modules_import_each_other_in_a_circle(package):
    arrows = {}
    for file in (ROOT / package).rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        arrows[name] = set()
        for other in imports(file):
            arrows[name] |= {other}
            for node in nodes(file):
                if isinstance(node, ast.ImportFrom) and node.module == other:
                    arrows[name] |= {f"{other}.{alias.name}" for alias in node.names}
    arrows = {name: others & arrows.keys() for name, others in arrows.items()}

    def walk(name, path):
        assert name not in path, " -> ".join([*path, name])
        for other in arrows[name]:
            walk(other, [*path, name])

    for name in arrows:
        walk(name, [])
