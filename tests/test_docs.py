"""The pages that docs/conf.py builds, and the code they show; changelog, citation."""

import importlib
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from shown import MODULES, ROOT, blocks, folder_of_tunes, shorten

import lstmmusic
from lstmmusic import RNN4Music
from midi import midiread, read_folder

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
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


@pytest.mark.parametrize("room", MODULES)
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
    sources = [file.read_text("utf-8") for file in (ROOT / "docs").rglob("*.md")]
    long = [line for line in readme.splitlines() if len(line) > 40]
    assert [line for line in long if any(line in source for source in sources)] == []


def test_the_tutorial_is_the_notebooks(pages):
    notebooks = {file.stem for file in (ROOT / "examples").glob("*.ipynb")}
    assert {file.stem for file in (pages / "tutorial").glob("*.html")} == notebooks
    page = (pages / "tutorial" / "from-midi-to-music.html").read_text(encoding="utf-8")
    assert "<h1>From MIDI to music<" in page
    assert "plot_probabilities" in page


def test_every_page_is_in_the_index(pages):
    index = (pages / "index.html").read_text(encoding="utf-8")
    for file in (ROOT / "docs").rglob("*.md"):
        page = file.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert page == "index.html" or f'href="{page}"' in index


# What the pages show


MATHEMATICS = "docs/explanation/mathematics.md"
QUOTES = re.findall(
    r"^`(\w+)` in `lstmmusic/(\S+)\.py`:\n\n```python\n(.*?)^```$",
    (ROOT / MATHEMATICS).read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def test_the_mathematics_quotes_every_step():
    assert len(QUOTES) == len(blocks(MATHEMATICS)) - 1  # the worked example
    quoted = {name for name, _, _ in QUOTES}
    assert {"forward_step", "backward_step", "backward_pass", "layer_gradient"} < quoted


@pytest.mark.parametrize(
    ("name", "file", "code"), QUOTES, ids=[code.split("\n")[0] for *_, code in QUOTES]
)
def test_a_quoted_line_is_that_of_the_library(name, file, code):
    # Fails if a line of the library changes and the page does not.
    module = importlib.import_module(f"lstmmusic.{file.replace('/', '.')}")
    source = inspect.getsource(getattr(module, name))
    depth = {indent: textwrap.indent(code, " " * indent) for indent in (0, 4, 8)}
    assert any(quoted in source for quoted in depth.values())


@pytest.fixture
def folder(tmp_path, monkeypatch, programs_stay):
    """Return the current folder, a temporary one, with ten short tunes."""
    monkeypatch.chdir(folder_of_tunes(tmp_path, 10))
    return tmp_path


def run_page(page, names=None):
    """Run the Python of a page, with small networks; return its names."""
    names = {} if names is None else names
    for code in blocks(page):
        exec(shorten(code), names)
    return names


@pytest.mark.slow
def test_how_to_use_own_music(folder, capsys):
    names = run_page("docs/howto/own-music.md")
    model = names["model"]
    best = min(nll for _, nll in model.validationCost)
    printed = capsys.readouterr().out
    assert "10 tunes;" in printed
    assert "pitches 21 to 108, steps of 0.2 s" in printed
    assert f"nll {best:.4f}" in printed
    assert len(names["train"]) == 7 * 8
    assert model.evaluate(names["valid"]).nll == pytest.approx(best)
    assert Path("generated.mid").is_file()
    assert type(names["tunes"][0]).__name__ == "PackedRoll"


def test_how_to_resume(folder, capsys):
    # The second call finds the training over, and the last one trains on.
    names = run_page("docs/howto/resume.md")
    assert "True" in capsys.readouterr().out
    assert len(names["model"].instantaneousCost) == 6
    assert Path("checkpoint.npz").is_file()


@pytest.mark.filterwarnings("ignore:.*the tune:UserWarning")
def test_how_to_steer(folder, capsys):
    tunes = read_folder("tunes", r=(21, 109), dt=0.3)
    model = RNN4Music(h1_length=6, h2_length=5, h3_length=4, io_length=88, seed=1)
    names = run_page("docs/howto/steer.md", {"model": model, "tunes": tunes})
    assert names["ten"].shape == (10, 300, 88)
    assert names["whole"].shape == (320, 88)
    assert names["thin"].sum(axis=1).max() <= 2
    assert Path("statistics.png").read_bytes().startswith(b"\x89PNG")


def test_how_to_hear_and_print(tmp_path, monkeypatch):
    for package in ("IPython", "midirenderer", "pretty_midi", "soundfile"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    run_page("docs/howto/hear-and-print.md", {"tune": np.eye(6, 88, k=39)})
    assert Path("organ.ogg").read_bytes().startswith(b"OggS")
    assert Path("tune.mp3").stat().st_size > 1000
    tune = midiread("tune.mid", dt=0.5, unit="beats")
    assert np.array_equal(tune.piano_roll, np.eye(6, 88, k=39))
    twice = midiread("twice.mid", dt=0.5, unit="beats")
    assert twice.notes["onset_beats"].tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*the tune:UserWarning")
def test_how_to_write_chords_that_fit(folder, capsys):
    # The page itself asserts that the given melody sounds.
    names = run_page("docs/howto/chords-that-fit.md")
    assert names["model"].output == "joint"
    assert names["chords"].sum() > len(names["line"]), "nothing was drawn below"
    assert "independent <MusicStatistics" in capsys.readouterr().out
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    for output in ("independent", "joint"):
        assert Path(f"{output}.wav").read_bytes().startswith(b"RIFF")


@pytest.mark.slow
def test_how_to_look_inside(folder, capsys):
    names = run_page("docs/howto/look-inside.md")
    printed = capsys.readouterr().out
    assert "(30, 6) (30, 88)" in printed
    total, difference = re.search(r"(\S+) of (\S+) nats", printed).groups()
    assert float(total) == pytest.approx(float(difference), abs=0.01)
    assert names["every"].past.shape[0] == len(names["steps"])
    for file in ("states.png", "influence.png"):
        assert Path(file).read_bytes().startswith(b"\x89PNG")


def test_how_to_watch(folder, capsys, monkeypatch):
    # Modules stand in for TensorBoard and Weights & Biases, with the calls they have.
    seen = {"tensorboard": [], "wandb": []}

    class SummaryWriter:
        def __init__(self, logdir):
            assert logdir == "runs/chorales"

        def add_scalar(self, tag, scalar_value, global_step):
            seen["tensorboard"].append((tag, scalar_value, global_step))

    class Run:
        def log(self, data, step):
            seen["wandb"].append((data["cost"], step))

    modules = {
        "tensorboardX": {"SummaryWriter": SummaryWriter},
        "wandb": {"init": lambda project: Run()},
    }
    for name, things in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**things))
    costs = run_page("docs/howto/watch.md")["model"].instantaneousCost
    assert "epoch,updates,cost,validation,R1" in capsys.readouterr().out
    (tag, cost, at), *_ = seen["tensorboard"]
    assert (tag, cost) == ("cost", costs[at - 1])
    assert seen["wandb"] == [(costs[step - 1], step) for _, step in seen["wandb"]]
    assert len(seen["wandb"]) == 1  # at ten of 15 updates
    assert len(costs) == 15 + 15 + 15 + 15


@pytest.mark.slow
def test_how_to_run_an_old_script(folder):
    names = run_page("docs/howto/old-scripts.md", {})
    assert names["dataset"][0].dtype == names["theano"].config.floatX
    assert len(names["myRNN4Music"].instantaneousCost) == 20
    assert Path("old.mid").is_file()


def test_the_changelog_has_its_form_and_knows_the_version():
    """Fails if pyproject.toml has a version of which the changelog does not tell."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall("^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(
        re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
        for version in versions[1:]
    )
    assert lstmmusic.__version__ in text
    kinds = set(re.findall("^### (.*)$", text, re.MULTILINE))
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert kinds <= allowed


def test_the_citation_names_this_version_the_original_and_the_paper():
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra docs")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == lstmmusic.__version__
    assert citation["license"] == PROJECT["license"]
    original, paper = citation["references"]
    assert original["authors"][0]["family-names"] == "Ip"
    assert original["repository-code"] == PROJECT["urls"]["Original"]
    assert paper["authors"][0]["family-names"] == "Graves"
    assert paper["url"] == "https://arxiv.org/abs/1308.0850"
