"""Kill and starve saves: each leaves the old file or the whole new one."""

import errno
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from lstmmusic import atomic

# The beginning of programs that save numbered versions of a file.
SAVER = """
import errno, os, random, resource, signal, sys, time
from dataclasses import replace
from lstmmusic import RNN4Music
from lstmmusic.training import parameter_file
from lstmmusic.training.checkpoint import snapshot

path = sys.argv[1]
whole = snapshot(RNN4Music(40, 30, 20, 50, seed=1))

def save(number):
    lists = {"costs": [number] * 999, "steps": [9.0] * 999}
    training = replace(whole.training, loss=number, **lists)
    parameter_file.write(path, whole._replace(training=training))

def version():
    training = parameter_file.read(path).training
    assert training.costs == [training.loss] * 999
    return training.loss

def parts():
    return [name for name in os.listdir(os.path.dirname(path)) if ".part" in name]

save(0)
"""


@pytest.fixture
def saver(tmp_path):
    """Return a function that runs SAVER and more code in a new process, on one path."""
    (tmp_path / "saved").mkdir()
    path = str(tmp_path / "saved" / "a.npz")

    def run(code, *before):
        # One thread: the program forks.
        done = subprocess.run(
            [*before, sys.executable, "-W", "error", "-c", SAVER + code, path],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


KILLS = """
long = 0.05  # seconds
random.seed(6)
last = within = 0
for _ in range({kills}):
    child = os.fork()
    if not child:
        while True:
            last += 1
            save(last)
    time.sleep(random.uniform(0, long))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = version()
    assert found >= last
    # So that, on any machine, about as many kills come before the first save's end.
    long *= 1.3 if found == last else 0.8
    last = found
    assert len(parts()) <= 1
    within += len(parts())
save(last + 1)
assert parts() == []
print(within, last)
"""


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=pytest.mark.slow)], ids=str
)
def test_a_save_killed_at_any_moment_leaves_the_old_file_or_the_new_one(saver, kills):
    # Fails if the file is written in place, or if a killed save's part stays.
    within, last = saver(KILLS.format(kills=kills)).split()
    assert int(within) > kills / 10  # killed while they wrote
    assert float(last) > kills / 10  # killed between saves


def test_a_save_beyond_the_size_limit_leaves_the_old_file(saver):
    # The limit falls everywhere in the file. Fails if the file is written in place,
    # or if its part stays.
    saver("""
size = os.path.getsize(path)
for limit in [0, 1, *range(100, size, size // 20), size - 1]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(1)
    except OSError as error:
        assert error.errno == errno.EFBIG, error
    else:
        raise AssertionError(limit)
    assert version() == 0
    assert parts() == []
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
save(2)
assert version() == 2
""")


def test_a_full_disk_leaves_the_old_file(saver, tmp_path):
    # A disk of 2.5 times the file. Fails if a killed save's part still takes room.
    mount = f'mount -t tmpfs -o size=950k none "{tmp_path}/saved" && exec "$@"'
    unshare = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("mounting a file system is not allowed here (unshare -rm, mount)")
    saver(
        """
size = os.path.getsize(path)
assert 2 * size < 950 * 1024 < 3 * size, size
folder = os.path.dirname(path)
with open(f"{folder}/.a.npz.{'0' * 16}.part", "wb") as file:
    file.write(bytes(size))
save(1)
with open(f"{folder}/more", "wb") as file:
    file.write(bytes(size))
try:
    save(2)
except OSError as error:
    assert error.errno == errno.ENOSPC, error
else:
    raise AssertionError
assert version() == 1
assert parts() == []
os.remove(f"{folder}/more")
save(3)
assert version() == 3
""",
        *unshare,
    )


def test_two_processes_can_save_at_once(saver):
    # Fails if they write the same part, or remove each other's.
    saver("""
children = []
for first in (1, 1001):
    children.append(os.fork())
    if not children[-1]:
        try:
            for number in range(first, first + 30):
                save(number)
            os._exit(0)
        finally:
            os._exit(1)
seen = set()
while len(seen) < 4:
    seen.add(version())
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert version() in (30, 1030)
assert parts() == []
""")


def text(content):
    return lambda file: file.write(content)


def test_the_part_of_a_living_writer_is_not_removed(tmp_path):
    # Fails if a part is removed by its name alone.
    path = tmp_path / "a"

    def slow(file):
        file.write(b"slow")
        atomic.write(path, text(b"quick"))
        assert path.read_bytes() == b"quick"

    atomic.write(path, slow)
    assert path.read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["a"]


def test_only_parts_of_this_very_file_are_removed(tmp_path):
    path = tmp_path / "a+[1]"
    left = [f".a+[1].{n}.part" for n in ("0123456789abcdef", "f" * 16)]
    kept = [".a+[1].notes.part", f".b.{'0' * 16}.part", f".a+[1].{'0' * 16}.part2"]
    for name in left + kept:
        (tmp_path / name).write_bytes(b"")
    folder, link = (tmp_path / f".a+[1].{digit * 16}.part" for digit in "12")
    folder.mkdir()
    link.symlink_to(tmp_path / kept[0])
    atomic.write(path, text(b"new"))
    kept += [folder.name, link.name, path.name]
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def removed_by_another(file):
    """Remove a part, as another save does between its creation and its lock."""
    os.unlink(file.name)


def locked_by_another(file):
    raise BlockingIOError(errno.EAGAIN, "taken")


@pytest.mark.parametrize("other", [removed_by_another, locked_by_another])
def test_a_part_that_another_save_removes_at_once_is_written_anew(
    tmp_path, monkeypatch, other
):
    lock, calls = atomic._lock, []

    def once(file):
        calls.append(file.name)
        (other if len(calls) == 1 else lock)(file)

    monkeypatch.setattr(atomic, "_lock", once)
    atomic.write(tmp_path / "a", text(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(set(calls)) == 2


@pytest.mark.parametrize("length", [199, 230, 255])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, length):
    path = tmp_path / ("q" * length)
    atomic.write(path, text(b"new"))
    assert os.listdir(tmp_path) == [path.name]
    left = tmp_path / f".{atomic._stem(path)}.{'0' * 16}.part"
    left.write_bytes(b"")
    atomic.write(path, text(b"newer"))
    assert os.listdir(tmp_path) == [path.name]


def test_without_locks_files_are_written_and_no_part_is_removed(tmp_path, monkeypatch):
    def none(file):
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(atomic, "_lock", none)
    left = tmp_path / f".a.{'0' * 16}.part"
    left.write_bytes(b"")
    atomic.write(tmp_path / "a", text(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert left.exists()
    monkeypatch.undo()
    monkeypatch.setattr(atomic, "fcntl", None)  # as on Windows
    atomic.write(tmp_path / "a", text(b"newer"))
    assert (tmp_path / "a").read_bytes() == b"newer"
