"""Test how the kernels are built and cached; test_kernels tests their numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lstmmusic.engine.kernels", reason="there are no kernels")

from lstmmusic.engine import cache
from lstmmusic.engine.kernels import build

# Prints the code's size, whether it is cached, and whether Numba was needed here.
JOURNEY = """
import sys
from lstmmusic.engine.kernels import build
kernels = "products", "float64"
build.start_build(*kernels)
code = build.object_code(*kernels)
print(len(code), build.path_of(*kernels).exists(), "numba" in sys.modules)
"""
KERNELS = "products", "float32"
WRITE = """
import sys
sys.path[:] = __import__("json").loads(sys.argv[1])
from pathlib import Path
from lstmmusic.engine import cache
cache.write_entry(Path(sys.argv[4]), b"built")
"""


@pytest.fixture
def nothing_built(monkeypatch, tmp_path):
    """Nothing is cached, and the subprocess only writes what it should have built."""
    monkeypatch.setattr(build, "path_of", lambda *_: tmp_path / "kernels/entry")
    monkeypatch.setattr(build, "_processes", {})
    monkeypatch.setattr(build, "CODE", WRITE)


@pytest.mark.slow
def test_a_subprocess_builds_and_caches_the_code(in_new_process, tmp_path):
    flags = f"base_compiledir={tmp_path / 'compiled'}"
    first = in_new_process(JOURNEY, PYTENSOR_FLAGS=flags)
    size, cached, numba = first.split()
    assert int(size) > 1000
    assert (cached, numba) == ("True", "False")
    (file,) = tmp_path.glob("compiled/*/lstmmusic/kernels/*")
    written = file.stat().st_mtime_ns
    assert in_new_process(JOURNEY, PYTENSOR_FLAGS=flags) == first
    assert file.stat().st_mtime_ns == written


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups")
def test_ctrl_c_in_a_terminal_leaves_the_build_alone(in_new_process, tmp_path):
    # A terminal and Jupyter interrupt all of a process group.
    code = f"""
import os, pathlib, signal, time
from lstmmusic.engine.kernels import build
started = pathlib.Path("started")
build.path_of = lambda *_: pathlib.Path({str(tmp_path / "kernels/entry")!r})
build.CODE = "open('started', 'w'); import time; time.sleep(1)" + {WRITE!r}
os.setpgid(0, 0)
build.start_build(*{KERNELS})
while not started.exists():
    time.sleep(0.01)
try:
    os.killpg(0, signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print(build.object_code(*{KERNELS}))
"""
    assert in_new_process(code) == "b'built'"


def test_the_subprocess_is_isolated_as_this_process_is(tmp_path):
    # Fails if Python, started with -I, runs what PYTHONPATH names.
    (tmp_path / "json.py").write_text("raise SystemExit('not isolated')")
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from lstmmusic.engine.kernels import build
build.path_of = lambda *_: pathlib.Path({str(tmp_path / "kernels/entry")!r})
build.CODE = {WRITE!r}
print(build.object_code(*{KERNELS}))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "b'built'\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_ends_without_the_build(in_new_process):
    # Fails if the child, at its end, waits for its parent's subprocess.
    code = f"""
import os, pathlib, signal, sys
from lstmmusic.engine.kernels import build
build.path_of = lambda *_: pathlib.Path("no such entry")
build.CODE = "import time; time.sleep(600)"
build.start_build(*{KERNELS})
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    sys.exit(0)
print(os.waitpid(pid, 0)[1], build.is_built(*{KERNELS}))
"""
    assert in_new_process(code) == "0 False"


@pytest.mark.parametrize("program", [None, "/usr/bin/blender", "frozen"])
def test_a_program_that_is_not_python_is_not_started(
    monkeypatch, nothing_built, program
):
    # It may be the user's own: a window would open, or the work begin again.
    if program == "frozen":
        monkeypatch.setattr(build.sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(build.sys, "executable", program)
    build.start_build(*KERNELS)
    assert build.is_built(*KERNELS)  # nothing to wait for
    with pytest.raises(OSError, match="is not Python"):
        build.object_code(*KERNELS)


def test_python_that_does_not_start_is_no_wait(monkeypatch, nothing_built):
    monkeypatch.setattr(build.sys, "executable", "/no such folder/python3")
    with pytest.raises(OSError, match="no such folder"):
        build.object_code(*KERNELS)
    assert build.is_built(*KERNELS)


def test_the_subprocess_finds_what_this_process_finds(
    monkeypatch, nothing_built, tmp_path
):
    # Not what lies in the working directory; and a path that is no str is passed over.
    seen = tmp_path / "seen"
    (tmp_path / "json.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build.sys, "path", [*build.sys.path, tmp_path, "x"])
    code = f"""
import json, os, sys
assert "NUMBA_CPU_NAME" not in os.environ
assert os.environ["JAX_PLATFORMS"] == "cpu"  # it is to leave a GPU alone
open({str(seen)!r}, "w").write(sys.argv[1])
"""
    monkeypatch.setattr(build, "CODE", code + WRITE)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    build.start_build(*KERNELS)
    assert build.object_code(*KERNELS) == b"built"
    assert json.loads(seen.read_text()) == [*build.sys.path[:-2], "x"]


def test_a_subprocess_that_does_not_end_is_ended(monkeypatch, nothing_built):
    monkeypatch.setattr(build, "CODE", "import time; time.sleep(600)")
    monkeypatch.setattr(build, "LONGEST_S", 0.5)
    build.start_build(*KERNELS)
    assert not build.is_built(*KERNELS)
    with pytest.raises(RuntimeError, match=r"it took longer than 0\.5 s"):
        build.object_code(*KERNELS)
    assert build._processes[KERNELS].returncode is not None


def test_damaged_code_is_built_again(monkeypatch, nothing_built):
    path = build.path_of(*KERNELS)
    cache.write_entry(path, b"as it was built")
    build.start_build(*KERNELS)
    assert build._processes == {}
    assert build.object_code(*KERNELS) == b"as it was built"
    path.write_bytes(path.read_bytes()[:-1])
    assert build.object_code(*KERNELS) == b"built"


def test_code_of_sources_that_have_changed_is_not_cached(monkeypatch, tmp_path):
    from lstmmusic.engine.kernels import self_test

    monkeypatch.setattr(self_test, "check_header", lambda: None)
    monkeypatch.setattr(self_test, "object_code", lambda *_: b"code")
    monkeypatch.setattr(build, "link", lambda code: None)
    monkeypatch.setattr(self_test.lowering, "register_with_xla", lambda *_: None)
    monkeypatch.setattr(self_test, "self_test", lambda *_: None)
    monkeypatch.setattr(build, "path_of", lambda *_: tmp_path / "kernels/entry")
    path = build.path_of(*KERNELS)
    self_test.build(*KERNELS, str(path))
    assert cache.read_entry(path) == b"code"
    path.unlink()
    with pytest.raises(RuntimeError, match="has changed meanwhile"):
        self_test.build(*KERNELS, str(tmp_path / "another library's"))
    monkeypatch.setattr(cache, "SOURCES", "as they were at import")
    with pytest.raises(RuntimeError, match="has changed meanwhile"):
        self_test.build(*KERNELS, str(path))
    assert not path.exists()


@pytest.mark.slow
def test_code_that_calls_what_llvm_cannot_link_is_refused(monkeypatch):
    from lstmmusic.engine.kernels import code

    monkeypatch.setattr(code, "OUTSIDE", ())
    with pytest.raises(RuntimeError, match="roll_dot calls llvm"):
        code.object_code(*KERNELS)
