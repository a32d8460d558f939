"""Make the changes of docs/howto/change-the-network.md to a copy, and test it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from shown import ROOT

PAGE = ROOT / "docs" / "howto" / "change-the-network.md"
TEXT = PAGE.read_text(encoding="utf-8")
COST, PEEPHOLE = re.split("^## Add", TEXT, flags=re.MULTILINE)[1:]


def changes(section):
    """Yield (file, old text, new text) for each diff of a section of the page."""
    pattern = r"^In `(\S+)`:$|^```diff\n(.*?)^```$"
    file = None
    for named, diff in re.findall(pattern, section, re.MULTILINE | re.DOTALL):
        file = named or file
        if diff:
            lines = diff.splitlines(keepends=True)
            old, new = (
                "".join(line[1:] for line in lines if line[0] != sign) for sign in "+-"
            )
            yield file, old, new


def apply(section, folder):
    """Make a section's changes to the files below a folder; each fits in one place."""
    for file, old, new in changes(section):
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has {text.count(old)} of:\n{old}"
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """Return a folder with a copy of the library and its tests."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("lstmmusic", "midi", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run_python(folder, *arguments):
    """Run Python in a folder, on its own library."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def run_tests(folder, *arguments):
    """Run pytest in a folder, on its own library; return its exit status and output."""
    done = run_python(folder, "-m", "pytest", "-n", "0", "-q", *arguments)
    return done.returncode, done.stdout


def test_every_change_fits(copy):
    # Fails if a line that the page changes is no longer in the library.
    assert len(list(changes(COST))) == 2
    assert len(list(changes(PEEPHOLE))) == 17
    apply(COST, copy)
    apply(PEEPHOLE, copy)


def test_the_new_cost_passes_the_test_named(copy):
    apply(COST, copy)
    status, output = run_tests(copy, "tests/test_costs.py")
    assert status == 0, output
    assert "9 passed" in output  # three tests, of three costs


@pytest.mark.slow
def test_a_network_has_the_new_cost(copy):
    # Where all notes sound, each counts three times.
    apply(COST, copy)
    code = """
        import numpy as np
        from lstmmusic import RNN4Music
        x, k = np.zeros((1, 4, 3)), np.ones((1, 4, 3))
        for cost in ("cross-entropy", "weighted"):
            print(RNN4Music(2, 2, 2, 3, cost=cost, seed=1).gradients(x, k)[0])
    """
    done = run_python(copy, "-c", textwrap.dedent(code))
    plain, weighted = map(float, done.stdout.split())
    assert weighted == pytest.approx(3 * plain, rel=1e-5)


@pytest.mark.slow
def test_the_new_peephole_passes_the_test_named(copy):
    pytest.importorskip("jax")
    apply(PEEPHOLE, copy)
    some = "57 or (cross-entropy and paper and (pytensor_grad or slopes))"
    status, output = run_tests(copy, "tests/test_network.py", "-k", some)
    assert status == 0, output
    assert "3 passed" in output


@pytest.mark.slow
def test_without_its_error_the_gradient_is_told_to_be_wrong(copy):
    # Fails if the test named on the page would let a half-made change pass.
    pytest.importorskip("jax")
    apply(PEEPHOLE, copy)
    file = copy / "lstmmusic" / "model" / "network.py"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "dc = pt.dot(da_above" not in line]
    assert len(kept) == len(lines) - 1
    file.write_text("".join(kept), encoding="utf-8")
    some = "cross-entropy and paper and pytensor_grad"
    status, output = run_tests(copy, "tests/test_network.py", "-vv", "-k", some)
    assert status == 1
    wrong = re.findall(r"'(\w+)':", output.split("AssertionError: assert {")[1])
    assert {name[-1] for name in wrong} == {"1", "2"}
