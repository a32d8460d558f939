"""Write parameter files to paths of every kind; refuse those of no file."""

import os
import socket

import numpy as np
import pytest
from sizes import N

from lstmmusic import ParameterFileError, RNN4Music

SIZES = (4, 3, 2, 5)
TUNES = [np.zeros((9, N), int), np.ones((12, N), int)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Yield a working folder that holds folders, pipes, a link and a socket."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("run")
    os.mkdir("folder.npz")
    os.mkfifo("pipe")
    os.mkfifo("pipe2.npz")
    os.symlink("pipe", "link")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        yield tmp_path


@pytest.fixture(params=["saveParameters", "checkpoint"])
def write(request, network):
    """Return a function that writes a parameter file to a path, in both ways."""
    if request.param == "saveParameters":
        return RNN4Music(*SIZES, seed=1).saveParameters
    return lambda path: network().train(
        TUNES, 1, 1, 2, 8, checkpoint=path, progress=False
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is ''; allowed is the path of a file"),
        (b"", "is b''; allowed is the path of a file"),
        ("a\0b", r"is 'a\\x00b'; allowed is the path of a file"),
        (3, "is 3; allowed is the path of a file"),
        (".", r"is '\.', which names no file: '\.\.npz' would have been written"),
        ("..", r"is '\.\.', which names no file: '\.\.\.npz' would have been written"),
        ("run/", "is 'run/', which names no file: 'run/.npz' would have been written"),
        ("run/.", r"is 'run/\.', which names no file"),
        (".npz", r"is '\.npz', which names no file"),
        ("/dev/full", "is '/dev/full', but '/dev/full' is no regular file"),
        ("folder", "is 'folder', but 'folder.npz' is a folder"),
        ("folder.npz", "is 'folder.npz', but 'folder.npz' is a folder"),
        ("pipe", "is 'pipe', but 'pipe' is no regular file"),
        ("pipe2", r"is 'pipe2', but 'pipe2\.npz' is no regular file"),
        ("link", "is 'link', but 'link' is no regular file"),
        ("socket", "is 'socket', but 'socket' is no regular file"),
    ],
)
def test_paths_of_no_regular_file_are_refused(place, write, path, message):
    before = sorted(os.listdir())
    with pytest.raises(ValueError, match=f"(fileName|checkpoint) {message}"):
        write(path)
    assert sorted(os.listdir()) == before
    assert os.listdir("run") == []
    assert not os.path.lexists("/dev/full.npz")


def test_a_file_beside_a_folder_of_its_name_is_written_with_a_warning(place, write):
    message = r"'run' is a folder; the file beside it is 'run\.npz'"
    with pytest.warns(UserWarning, match=message) as told:
        write("run")
    assert {warning.filename for warning in told} == {__file__}
    assert os.path.isfile("run.npz")
    assert os.listdir("run") == []


def test_a_path_may_be_bytes_that_are_not_utf_8(place, write):
    write(b"caf\xe9")
    assert os.path.isfile(b"caf\xe9.npz")
    RNN4Music.fromFile(b"caf\xe9")


@pytest.mark.parametrize("path", ["pipe", "pipe2", "link", "socket", "run", "folder"])
def test_only_a_regular_file_is_read(place, path):
    # Fails if a pipe is opened, which waits for ever.
    model = RNN4Music(*SIZES, seed=1)
    for load in (RNN4Music.fromFile, model.loadParameters):
        with pytest.raises((ParameterFileError, FileNotFoundError)):
            load(path)


@pytest.mark.parametrize("path", ["", None, 3, "a\0b"])
def test_values_that_are_no_path_are_not_read(path):
    with pytest.raises(ValueError, match=r"fileName is .*; allowed is the path"):
        RNN4Music.fromFile(path)
