"""The library works without engine/kernels/: its own tests pass, of a copy without."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = "network", "functions", "updates", "generation"


@pytest.mark.slow
@pytest.mark.long
def test_the_suite_passes_without_the_kernels(tmp_path):
    # Fails if a module outside the folder needs it, or warns that it is missing: the
    # suite takes a warning for an error.
    ignored = shutil.ignore_patterns("kernels", "__pycache__")
    for folder in ("lstmmusic", "midi", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    probe = "import lstmmusic.engine.lowering as l; print(l.__file__, l.kernels)"
    files = [f"tests/test_{name}.py" for name in (*TESTS, "kernels", "build")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("-c", probe).split() == [
        str(tmp_path / "lstmmusic/engine/lowering.py"), "None"
    ]  # fmt: skip
    said = run("-m", "pytest", "-n", "0", "-q", "-m", "not slow", *files)
    assert "there are no kernels" in said  # the reason why their own are skipped
