"""The cache on disk: what names an entry, when entries go, and clear_cache."""

import hashlib
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from lstmmusic.engine import cache, clear_cache

ENGINE = Path(cache.__file__).parent
XLA = f"jit_call-{'a' * 64}-cache"
DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of all entries, for one test alone."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    return tmp_path / "lstmmusic"


def put(path, size, days=0.0):
    """Write a file of so many bytes that was last used so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    when = time.time() - DAY * days
    os.utime(path, (when, when))
    return path


def name_of(number):
    return f"{number:032x}"


def test_a_name_depends_on_the_versions_the_cpu_and_all_the_code(folder, monkeypatch):
    # Fails if code that another version or CPU has made were read.
    assert cache.versions() == [
        version(name)
        for name in ("pytensor", "jax", "jaxlib", "numpy", "numba", "llvmlite")
    ]
    first = cache.entry_path("programs", "what")
    assert cache.entry_path("programs", "what") == first
    assert first.parent == folder / "programs"
    paths = {first, cache.entry_path("programs", "else")}
    for name, other in [
        ("SOURCES", "other code"),
        ("versions", lambda: ["9.9"]),
        ("kind_of_cpu", lambda: "with other vectors"),
    ]:
        monkeypatch.setattr(cache, name, other)
        paths.add(cache.entry_path("programs", "what"))
    assert len(paths) == 5


def test_a_name_depends_on_every_line_of_the_model_and_the_engine_alone():
    # A docstring in plots.py makes no program stale.
    rooms = ENGINE, ENGINE.parent / "model"
    code = sorted(file for room in rooms for file in room.rglob("*.py"))
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in code))
    assert cache.digest_of_sources() == wanted.hexdigest() == cache.SOURCES


def test_the_least_recently_used_go_when_the_cache_is_full(folder):
    # Fails if the bound is for one kind, or if what is new goes.
    files = [
        put(folder / "programs" / name_of(0), 100, days=1),
        put(folder / "kernels" / name_of(1), 100, days=2),
        put(folder / "xla" / name_of(2) / XLA, 100, days=3),
        put(folder / "programs" / name_of(3), 100, days=4),
    ]
    assert cache.evict(250, max_days=90) == 200
    assert [file.exists() for file in files] == [True, True, False, False]


def test_what_is_read_counts_as_used(folder):
    # As the system notes it, where the disk is mounted so: in the access time.
    read = put(folder / "programs" / name_of(0), 100, days=9)
    other = put(folder / "programs" / name_of(1), 100, days=8)
    os.utime(read, (time.time(), read.stat().st_mtime))
    assert cache.evict(100, max_days=90) == 100
    assert read.exists()
    assert not other.exists()


def test_entries_go_when_they_are_too_old(folder):
    old = put(folder / "xla" / name_of(0) / XLA, 10, days=91)
    new = put(folder / "programs" / name_of(1), 10, days=89)
    assert cache.evict(cache.MAX_BYTES, cache.MAX_DAYS) == 10
    assert new.exists()
    assert not old.exists()


def test_what_is_not_ours_stays(folder, tmp_path):
    # Fails if clear_cache follows a link, or removes a file or folder by its place.
    strange = [
        put(folder / "programs" / "notes.txt", 10, days=999),
        put(folder / name_of(0), 10, days=999),
        put(tmp_path / "numba" / name_of(1), 10, days=999),
        put(folder / "xla" / name_of(2) / "README", 10, days=999),
        put(tmp_path / "outside", 10, days=999),
    ]
    link = folder / "programs" / name_of(3)
    link.symlink_to(tmp_path / "outside")
    (folder / "programs" / name_of(4)).mkdir()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        strange.append(put(folder / "kernels" / name_of(5), 10, days=999))
        os.chown(strange[-1], 12345, 12345)
    ours = put(folder / "programs" / name_of(6), 10)
    assert clear_cache() == 10
    assert not ours.exists()
    assert all(path.exists() for path in strange)
    assert link.is_symlink()
    assert (folder / "programs" / name_of(4)).is_dir()


def test_the_first_entry_that_a_process_writes_evicts_others(folder):
    old = put(folder / "programs" / name_of(0), 10, days=91)
    cache.evict_once.cache_clear()
    cache.write_entry(folder / "programs" / name_of(1), b"code")
    assert not old.exists()
    assert cache.read_entry(folder / "programs" / name_of(1)) == b"code"
    older = put(folder / "programs" / name_of(2), 10, days=99)
    cache.write_entry(folder / "programs" / name_of(3), b"code")
    assert older.exists()  # once is enough


def test_two_processes_evict_at_once(folder, tmp_path):
    # Fails if one falls over what the other has just removed.
    for number in range(2000):
        put(folder / "programs" / name_of(number), 10, days=number / 1000)
    code = f"""
import sys
from pathlib import Path
from lstmmusic.engine import cache
cache.folder = lambda: Path({str(tmp_path)!r})
print("ready", flush=True)
sys.stdin.readline()
cache.evict(5000, 90)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(ENGINE.parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    left = sorted(path.name for path in (folder / "programs").iterdir())
    assert left == [name_of(number) for number in range(500)]


@pytest.mark.slow
def test_after_clear_cache_all_is_compiled_anew(in_new_process, tmp_path):
    # Fails if a kind of entry stays, or if the cache is of no use afterwards.
    code = """
import numpy as np
from lstmmusic import RNN4Music
from lstmmusic.engine import cache, clear_cache
x = np.zeros((2, 5, 6))
def entries():
    RNN4Music(3, 2, 2, 6, seed=1).gradients(x, x)
    return {path: found.st_size for path, found in cache.entries()}
def programs(entries):
    return {path for path in entries if path.parent.name == "programs"}
first = entries()
assert clear_cache() == sum(first.values())
assert not list(cache.entries())
assert programs(entries()) == programs(first)
print(len(programs(first)), any(path.parent.name == "kernels" for path in first))
clear_cache()
"""
    flags = f"base_compiledir={tmp_path / 'compiled'}"
    first, second = (in_new_process(code, PYTENSOR_FLAGS=flags) for _ in range(2))
    assert int(first.split()[0]) > 0
    assert first == second
