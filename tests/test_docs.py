"""The documentation, made as docs/conf.py says; the changelog and the citation."""

import importlib
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROOMS = [
    "lstmmusic",
    "lstmmusic.datasets",
    "lstmmusic.listening",
    "lstmmusic.plots",
    "lstmmusic.statistics",
    "midi",
]
NOWHERE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}


def build(source, target):
    """Run Sphinx; a warning makes it fail, and so does asking the network."""
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", source, target],
        env=os.environ | NOWHERE | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tools():
    """Skip where the extra ``docs`` is not installed."""
    for tool in ("sphinx", "numpydoc", "myst_parser", "furo"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed: it comes with the extra docs")


@pytest.fixture(scope="module")
def pages(tools, tmp_path_factory):
    """Return the folder of the pages, if Sphinx has nothing to say of them."""
    folder = tmp_path_factory.mktemp("pages")
    done = build(ROOT / "docs", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def public(room):
    """Yield the names under which each public thing of a module may be described."""
    for name in getattr(room, "__all__", vars(room)):
        value = getattr(room, name)
        home = getattr(value, "__module__", None)
        ours = hasattr(room, "__all__") or home == room.__name__
        if name.startswith("_") or inspect.ismodule(value) or not ours:
            continue
        yield {f"{room.__name__}.{name}", f"{home}.{name}"}
        for method in vars(value) if inspect.isclass(value) else ():
            function = getattr(value, method)
            if method[0] != "_" and (
                inspect.isfunction(function) or inspect.ismethod(function)
            ):
                yield {f"{room.__name__}.{name}.{method}", f"{home}.{name}.{method}"}


@pytest.mark.parametrize("room", ROOMS)
def test_everything_public_is_described(pages, room):
    """Fails if a public function or method has no docstring, or its room no page."""
    inventory = (pages / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(inventory).decode().splitlines()
    described = {line.split()[0] for line in lines}
    wanted = list(public(importlib.import_module(room)))
    assert len(wanted) > 1
    assert [names for names in wanted if not names & described] == []


def test_a_link_that_leads_nowhere_ends_the_build(tools, tmp_path):
    """Fails if a warning of Sphinx no longer does: a clean build would prove little."""
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path)
    (tmp_path / "index.md").write_text(
        "# Title\n\n```{eval-rst}\n`midi.midireed`\n```\n", encoding="utf-8"
    )
    done = build(tmp_path, tmp_path / "pages")
    assert done.returncode == 1
    assert "midi.midireed" in done.stderr


def test_pages_load_nothing_from_elsewhere(pages):
    loaded = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            loaded.append(attributes.get("src") or "")
            if tag == "link":
                loaded.append(attributes["href"])

    for page in pages.rglob("*.html"):
        Reader().feed(page.read_text(encoding="utf-8"))
    assert "_images/generated.png" in loaded
    assert [url for url in loaded if re.match(r"(\w+:)?//", url)] == []


def test_the_readme_is_included_and_not_repeated(pages):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = (pages / "index.html").read_text(encoding="utf-8")
    for heading in re.findall("^## (.*)$", readme, re.MULTILINE):
        assert f"<h2>{heading}<" in first
    sources = [file.read_text("utf-8") for file in (ROOT / "docs").glob("*.md")]
    long = [line for line in readme.splitlines() if len(line) > 40]
    assert [line for line in long if any(line in source for source in sources)] == []


def test_the_changelog_has_its_form_and_knows_the_version():
    """Fails if pyproject.toml has a version of which the changelog does not tell."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall("^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(
        re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
        for version in versions[1:]
    )
    assert PROJECT["version"] in text
    kinds = set(re.findall("^### (.*)$", text, re.MULTILINE))
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert kinds <= allowed


def test_the_citation_names_this_version_the_original_and_the_paper():
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    original, paper = citation["references"]
    assert original["authors"][0]["family-names"] == "Ip"
    assert original["repository-code"] == PROJECT["urls"]["Original"]
    assert paper["authors"][0]["family-names"] == "Graves"
    assert paper["url"] == "https://arxiv.org/abs/1308.0850"
