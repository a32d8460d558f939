"""Where the kernels' machine code comes from.  What it does: see test_products."""

import json
import signal

import pytest

pytest.importorskip("llvmlite", reason="llvmlite is not installed")

from lstmmusic.engine import cache
from lstmmusic.engine.kernels import build

# Prints the code's size, whether it is kept, and whether Numba was needed here.
JOURNEY = """
import sys
from lstmmusic.engine.kernels import build
build.begin("float64")
code = build.code_of("float64")
print(len(code), build.path_of("float64").exists(), "numba" in sys.modules)
"""


@pytest.fixture
def made_here(monkeypatch, tmp_path):
    """Nothing is kept yet.  The dtypes for which code was made in this process."""
    made = []

    def make(dtype):
        made.append(dtype)
        return b"made here"

    folder = build.path_of
    monkeypatch.setattr(build, "path_of", lambda dtype: folder(dtype, tmp_path))
    monkeypatch.setattr(build, "make", make)
    monkeypatch.setattr(build, "_processes", {})
    monkeypatch.setattr(build, "APART", "")
    return made


def test_a_process_apart_makes_and_keeps_the_code(in_new_process, tmp_path):
    flags = f"base_compiledir={tmp_path / 'compiled'}"
    first = in_new_process(JOURNEY, PYTENSOR_FLAGS=flags)
    size, kept, numba = first.split()
    assert int(size) > 1000
    assert (kept, numba) == ("True", "False")
    (file,) = tmp_path.glob("compiled/*/kernels/*")
    written = file.stat().st_mtime_ns
    assert in_new_process(JOURNEY, PYTENSOR_FLAGS=flags) == first
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("program", [None, "/usr/bin/blender", "frozen"])
def test_what_is_not_python_is_not_started(monkeypatch, made_here, program):
    if program == "frozen":
        monkeypatch.setattr(build.sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(build.sys, "executable", program)
    build.begin("float32")
    assert build._processes == {}
    assert build.code_of("float32") == b"made here"


@pytest.mark.parametrize("fails", ["to start", "in the end"])
def test_where_the_process_fails_this_one_makes_it(monkeypatch, made_here, fails):
    if fails == "to start":
        monkeypatch.setattr(build.sys, "executable", "/no such folder/python3")
    monkeypatch.setattr(build, "APART", "1 / 0")
    build.begin("float32")
    assert list(build._processes) == ["float32"]
    assert build.code_of("float32") == b"made here"
    assert made_here == ["float32"]


def test_the_process_finds_what_this_one_finds(monkeypatch, made_here, tmp_path):
    # Not what lies in the working directory; and a path that is no str is passed over.
    seen = tmp_path / "seen"
    (tmp_path / "json.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build.sys, "path", [*build.sys.path, tmp_path, "x"])
    code = f"""
import json, os, sys
assert "NUMBA_CPU_NAME" not in os.environ
open({str(seen)!r}, "w").write(sys.argv[1])
"""
    monkeypatch.setattr(build, "APART", code)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    build.begin("float32")
    build.code_of("float32")
    assert json.loads(seen.read_text()) == [*build.sys.path[:-2], "x"]


def test_a_process_that_does_not_end_is_not_waited_for(monkeypatch, made_here):
    monkeypatch.setattr(build, "APART", "import time; time.sleep(600)")
    monkeypatch.setattr(build, "LONGEST_S", 0.5)
    build.begin("float32")
    assert build.code_of("float32") == b"made here"
    assert build._processes["float32"].returncode is not None


def test_code_that_is_damaged_is_made_again(made_here):
    path = build.path_of("float32")
    cache.write_entry(path, b"as it was made")
    build.begin("float32")
    assert build._processes == {}
    assert build.code_of("float32") == b"as it was made"
    path.write_bytes(path.read_bytes()[:-1])
    assert build.code_of("float32") == b"made here"
    assert list(build._processes) == ["float32"]  # which was asked first


@pytest.mark.skipif(not hasattr(signal, "SIGSEGV"), reason="it has no signals")
def test_what_crashes_a_process_is_not_tried_in_this_one(monkeypatch, made_here):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(build, "APART", code)
    with pytest.raises(RuntimeError, match="compiling them ended with -11"):
        build.code_of("float32")
    assert made_here == []


def test_code_of_sources_that_have_changed_is_not_kept(monkeypatch, tmp_path):
    kernels = pytest.importorskip("lstmmusic.engine.kernels.code")
    monkeypatch.setattr(kernels, "object_code", lambda dtype: b"code")
    assert build.make("float32", tmp_path) == b"code"
    path = build.path_of("float32", tmp_path)
    assert cache.read_entry(path) == b"code"
    path.unlink()
    monkeypatch.setattr(build, "SOURCES", build.SOURCES[:1])
    assert build.make("float32", tmp_path) == b"code"
    assert not path.exists()


def test_all_that_code_depends_on_is_in_its_files_name(monkeypatch):
    # Fails if another CPU, or another version, were given this one's code.
    names = {build.path_of("float32"), build.path_of("float64")}
    for name, other in (
        ("OUR_SOURCES", "another version"),
        ("kind_of_cpu", lambda: "another CPU"),
        ("makers", lambda: ["another Numba"]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(build, name, other)
            names.add(build.path_of("float32"))
    assert len(names) == 5
    assert build.path_of("float32") in names


def test_code_that_calls_what_llvm_cannot_link_is_refused(monkeypatch):
    kernels = pytest.importorskip("lstmmusic.engine.kernels.code")
    monkeypatch.setattr(kernels, "OUTSIDE", ())
    with pytest.raises(RuntimeError, match="roll_dot calls llvm"):
        kernels.object_code("float32")
