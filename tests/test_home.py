"""Test the cache folder: it is never missing, and never writable by others."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lstmmusic.engine import cache, process

HERE = Path(__file__).parent.parent
OTHER = 12345  # a user that is not this one
# Prints the cache folder, and the files that a network's functions leave there.
JOURNEY = """
import os
from pathlib import Path
import numpy as np
from lstmmusic import RNN4Music
from lstmmusic.engine import home
x = np.zeros((1, 2, 4))
cost, _ = RNN4Music(3, 2, 2, 4, seed=1).gradients(x, x)
assert cost > 0
folder = home.folder()
print(folder)
for path in folder.glob("*/**/*"):
    print(oct(path.stat().st_mode), path.relative_to(folder))
"""
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such owners")
root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture
def elsewhere(tmp_path):
    """Return a function that runs code in an empty folder: output and warnings."""
    (tmp_path / "empty").mkdir()

    def run(code=JOURNEY, fails=False, python=(sys.executable,), **environment):
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("HOME", "PYTENSOR_FLAGS", "PYTENSORRC", "XDG_CACHE_HOME")
        }
        done = subprocess.run(
            [*python, "-c", code],
            cwd=tmp_path / "empty",
            env=kept | {"PYTHONPATH": str(HERE)} | environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) == fails, done.stderr
        assert list((tmp_path / "empty").iterdir()) == []
        return done.stdout.splitlines(), done.stderr

    return run


@pytest.mark.parametrize("home", ["", ".", "missing", "a file", "below a file"])
def test_without_a_home_the_cache_is_temporary(elsewhere, tmp_path, home):
    # Fails if .pytensor comes into the current folder, or if a missing home is made.
    (tmp_path / "file").touch()
    places = {"missing": "none", "a file": "file", "below a file": "file/home"}
    given = str(tmp_path / places[home]) if home in places else home
    code = "import lstmmusic, pytensor; print(pytensor.config.base_compiledir)"
    (base,), warned = elsewhere(code, HOME=given)
    assert Path(base).name.startswith("lstmmusic-")
    assert not Path(base).exists()  # removed at the end
    assert not (tmp_path / "none").exists()
    assert f"HOME is {given!r}, which is no " in warned
    assert f"is cached in {base} until" in warned
    assert "set PYTENSOR_FLAGS=base_compiledir=FOLDER" in warned


@pytest.mark.slow
@pytest.mark.parametrize("first", ["lstmmusic", "pytensor"])
def test_a_temporary_cache_is_used_and_its_users_alone(elsewhere, first):
    # PyTensor imported first would take the current folder's .pytensor.
    printed, warned = elsewhere(f"import {first}\n{JOURNEY}", HOME="")
    folder = Path(printed[0])
    base = folder if first == "pytensor" else folder.parent
    assert base.name.startswith("lstmmusic-")
    assert not base.exists()
    assert f"is cached in {base} until" in warned
    modes = {line.split()[0] for line in printed[1:] if "-cache" not in line}
    if os.name != "nt":
        assert modes <= {"0o40700", "0o100600"}
    assert len(printed) > 3


@posix
@pytest.mark.parametrize("what", ["HOME", "HOME, and the user is not known"])
def test_where_home_is_not_set(elsewhere, what):
    # In a container of a user without a name PyTensor's import fails without HOME.
    if what == "HOME":
        code = "import lstmmusic"
        elsewhere(code)
        return
    code = """
import os, pwd
def unknown(*_):
    raise KeyError("this user")
pwd.getpwuid = unknown
import lstmmusic
print("HOME" in os.environ, os.environ["PYTENSOR_FLAGS"])
"""
    printed, warned = elsewhere(code)
    assert printed[0].startswith("False base_compiledir=")
    assert "there is no home folder: HOME is not set" in warned


def test_a_usual_home_is_used_without_a_word(elsewhere, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = "import lstmmusic, pytensor; print(pytensor.config.base_compiledir)"
    printed, warned = elsewhere(code, HOME=str(home), LOCALAPPDATA=str(home))
    (base,) = home.iterdir()
    assert printed == [str(base)]
    assert warned == ""
    if os.name != "nt":
        assert stat.S_IMODE(base.stat().st_mode) == 0o700


@pytest.mark.parametrize("where", ["PYTENSOR_FLAGS", ".pytensorrc", "PYTENSORRC"])
def test_a_folder_that_the_user_has_named_is_used_whatever_home_is(
    elsewhere, tmp_path, where
):
    wanted = tmp_path / "named"
    environment = {"HOME": str(tmp_path / "none")}
    if where == "PYTENSOR_FLAGS":
        environment[where] = f"floatX=float64,base_compiledir={wanted}"
    elif where == "PYTENSORRC":
        environment[where] = str(tmp_path / "settings")
        (tmp_path / "settings").write_text(f"[global]\nbase_compiledir={wanted}\n")
    else:
        home = tmp_path / "home"
        home.mkdir()
        (home / where).write_text(f"[global]\nbase_compiledir={wanted}\n")
        (home / ".pytensor").write_text("no folder: it would be refused")
        environment = {"HOME": str(home)}
    code = "import lstmmusic, pytensor; print(pytensor.config.base_compiledir)"
    assert elsewhere(code, **environment) == ([str(wanted)], "")


def test_a_named_folder_that_is_unusable_is_an_error_that_says_what_to_set(
    elsewhere, tmp_path
):
    (tmp_path / "file").touch()
    flags = f"base_compiledir={tmp_path / 'file' / 'named'}"
    _, error = elsewhere(fails=True, HOME=str(tmp_path), PYTENSOR_FLAGS=flags)
    last = error.splitlines()[-1]
    assert last.startswith("OSError: PyTensor's cache folder is unusable: Unable to")
    assert last.endswith(
        "Check the permissions; set PYTENSOR_FLAGS=base_compiledir=FOLDER, where "
        "FOLDER is yours and can be written to"
    )
    assert error.count("Traceback") == 1


@pytest.mark.parametrize("temporary", ["a, b", "it's #1"])
def test_subprocesses_use_the_same_temporary_folder(elsewhere, tmp_path, temporary):
    # Fails if the folder's name is not quoted as PyTensor wants it, or if a subprocess
    # or a fork removes the folder.
    folder = tmp_path / temporary
    folder.mkdir()
    code = """
import os, subprocess, sys
import lstmmusic
import pytensor
base = pytensor.config.base_compiledir
if hasattr(os, "fork"):
    pid = os.fork()
    if pid == 0:
        sys.exit()  # which runs what is to be run at exit
    os.waitpid(pid, 0)
code = "import lstmmusic, pytensor; print(pytensor.config.base_compiledir)"
done = subprocess.run([sys.executable, "-W", "error", "-c", code], text=True,
                      capture_output=True, check=True)
print(base, base.is_dir(), done.stdout.strip() == str(base))
"""
    names = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    printed, _ = elsewhere(code, HOME="", **names)
    assert printed[0].startswith(str(folder))
    assert printed[0].endswith("True True")
    assert list(folder.iterdir()) == []


@posix
@pytest.mark.parametrize("fault", ["read-only", "another user's", "everybody's"])
def test_a_default_folder_that_is_not_ones_own_is_not_used(elsewhere, tmp_path, fault):
    base = tmp_path / "home" / ".pytensor"
    base.mkdir(parents=True)
    python = [sys.executable]
    if fault == "everybody's":
        base.chmod(0o777)
        reason = f"{base} can be written to by every user"
    elif fault == "another user's":
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(base, OTHER, OTHER)
        reason = f"{base} belongs to another user (number {OTHER})"
    else:
        base.chmod(0o500)
        reason = f"{base} cannot be written to"
        if os.geteuid() == 0:  # who may write anywhere, but for:
            if shutil.which("setpriv") is None:
                pytest.skip("there is no setpriv, by which root gives up its rights")
            rights = "-dac_override,-dac_read_search"
            dropped = [f"--{name}={rights}" for name in ("bounding-set", "inh-caps")]
            python = ["setpriv", *dropped, *python]
    code = "import lstmmusic, pytensor; print(pytensor.config.base_compiledir)"
    printed, warned = elsewhere(code, python=python, HOME=str(base.parent))
    assert Path(printed[0]).name.startswith("lstmmusic-")
    assert f"{reason}: compiled code is cached in" in warned
    assert list(base.iterdir()) == []


@root
def test_nothing_is_made_in_another_users_home(elsewhere, tmp_path):
    # As by `sudo`, where it keeps HOME: the folder would be of no use to its owner.
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    _, warned = elsewhere("import lstmmusic", HOME=str(home))
    assert f"{home} belongs to another user (number {OTHER})" in warned
    assert list(home.iterdir()) == []


@pytest.mark.slow
@root
def test_code_in_a_named_folder_of_another_user_is_not_run(elsewhere, tmp_path):
    # Fails if any of what was kept there is read: all of it is damaged.
    named = tmp_path / "named"
    flags = f"base_compiledir={named}"
    printed, warned = elsewhere(HOME=str(tmp_path), PYTENSOR_FLAGS=flags)
    assert warned == ""
    compiledir = Path(printed[0])
    assert compiledir.parent == named
    os.chown(compiledir, OTHER, OTHER)
    kept = {path: path.stat().st_mtime_ns for path in compiledir.rglob("*")}
    printed, warned = elsewhere(HOME=str(tmp_path), PYTENSOR_FLAGS=flags)
    assert Path(printed[0]).name.startswith("lstmmusic-")
    assert f"{compiledir} belongs to another user (number {OTHER}): compiled" in warned
    assert kept == {path: path.stat().st_mtime_ns for path in compiledir.rglob("*")}


@pytest.mark.slow
def test_a_cache_folder_that_is_gone_costs_no_more_than_time(elsewhere, tmp_path):
    named = tmp_path / "named"
    gone = f"""
import shutil
shutil.rmtree({str(named)!r})
open({str(named)!r}, "w").close()
x = np"""
    code = JOURNEY.replace("x = np", f"RNN4Music(3, 2, 2, 4)\n{gone}")
    printed, _ = elsewhere(
        code, HOME=str(tmp_path), PYTENSOR_FLAGS=f"base_compiledir={named}"
    )
    assert Path(printed[0]).parent == named
    assert len(printed) == 1


@posix
@pytest.mark.parametrize("whose", ["the file", "the folder"])
@pytest.mark.parametrize("fault", ["another user's", "everybody's"])
def test_what_is_kept_must_be_ones_own(tmp_path, fault, whose):
    path = tmp_path / "kept" / "code"
    cache.write_entry(path, b"code")
    assert cache.read_entry(path) == b"code"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    changed = path if whose == "the file" else path.parent
    if fault == "everybody's":
        changed.chmod(changed.stat().st_mode | 0o002)
    elif os.geteuid() == 0:
        os.chown(changed, OTHER, OTHER)
    else:
        pytest.skip("only root can give files away")
    assert cache.read_entry(path) is None
    cache.write_entry(path, b"ours")
    # A foreign file is replaced; in a foreign folder nothing is written.
    assert cache.read_entry(path) == (b"ours" if whose == "the file" else None)


@posix
def test_xlas_code_is_cached_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    used = {}
    monkeypatch.setattr("jax.config.update", used.__setitem__)
    made = tmp_path / "lstmmusic" / "xla" / "name"
    process.use_xla_cache(made)
    assert used["jax_compilation_cache_dir"] == str(made)
    for path in (made, *made.parents[:2]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    used.clear()
    made.parent.chmod(0o777)
    with pytest.warns(UserWarning, match="can be written to by every user: it is not"):
        process.use_xla_cache(made)
    made.parent.chmod(0o700)
    (tmp_path / "file").touch()
    process.use_xla_cache(tmp_path / "file" / "xla" / "name")
    assert used == {}


# The chorales of examples/main.py

CHORALES = f"""
import sys
sys.path.insert(0, {str(HERE / "examples")!r})
import chorales
chorales.corpus_files = range
chorales.write_chorale = lambda number, path: path.touch()
class Number(int):
    stem = "tune"
chorales.corpus_files = lambda count: [Number(1)]
print(chorales.chorales_folder(count=1))
"""


@pytest.mark.parametrize("home", ["", ".", "missing", "a file"])
def test_without_a_home_the_chorales_are_temporary(elsewhere, tmp_path, home):
    (tmp_path / "file").touch()
    given = {"missing": str(tmp_path / "none"), "a file": str(tmp_path / "file")}
    (folder,), said = elsewhere(CHORALES, HOME=given.get(home, home))
    assert said == (
        "chorales are kept for this run alone: there is no home folder (HOME, "
        "XDG_CACHE_HOME)\n"
    )
    assert Path(folder).parent.name.startswith("lstmmusic-")
    assert not Path(folder).parent.exists()
    assert not (tmp_path / "none").exists()


def test_a_cache_that_cannot_be_written_is_read(elsewhere, tmp_path):
    # Fails if what is there, whole, is not used where it could not be written.
    (tmp_path / "lstmmusic").write_text("in the way")
    (folder,), said = elsewhere(CHORALES, XDG_CACHE_HOME=str(tmp_path), HOME="")
    assert Path(folder).parent.name.startswith("lstmmusic-")
    assert said.startswith("chorales are kept for this run alone: [Errno ")
    (tmp_path / "lstmmusic").unlink()
    kept = tmp_path / "lstmmusic" / "chorales"
    for _ in range(2):
        assert elsewhere(CHORALES, XDG_CACHE_HOME=str(tmp_path)) == ([str(kept)], "")
        kept.parent.chmod(0o500)
    kept.parent.chmod(0o700)
