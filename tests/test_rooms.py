"""See that each room imports only the rooms it may, and that no circle arises."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The rooms, and modules beside them, that each may import.
ALLOWED = {
    "model": set(),
    "data": {"checks"},
    "engine": {"model", "data", "checks", "atomic"},
    "training": {"engine", "model", "data", "checks", "atomic"},
    "rnn4music": {"training", "engine", "model", "data", "checks", "stuck"},
    "datasets": {"data", "checks", "midi"},
    "listening": {"statistics", "checks", "midi"},
    "plots": {"statistics", "checks"},
    "statistics": {"data", "checks"},
    "stuck": {"statistics"},
    "checks": set(),
    "atomic": set(),
    "midi": set(),
}


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
    others = {(room, other) for room, other in found if room != other}
    assert {room for room, _ in found} <= ALLOWED.keys()
    refused = {(room, other) for room, other in others if other not in ALLOWED[room]}
    assert refused == set()


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
