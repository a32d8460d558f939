"""Test which paths are read and written: no pipe, device or folder by accident."""

import io
import os
import signal
import socket
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from midi_bytes import ONE_NOTE, read, smf

from lstmmusic import datasets
from lstmmusic.data import roll_files
from midi import MidiError, PackedRoll, midiread, midiwrite, read_folder
from midi.files import check_path, printable

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
ROLL = np.eye(4, dtype=int)
LATIN_1 = os.fsdecode(b"caf\xe9.mid")  # not UTF-8


@pytest.fixture
def alarm():
    """Fail a test that hangs: to open a pipe waits for a writer."""

    def fail(*_):
        raise AssertionError("the test hangs")

    usual = signal.signal(signal.SIGALRM, fail)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)


@pytest.fixture
def odd_files(tmp_path):
    """Make files named .mid that are not regular; yield {path: kind}."""
    os.mkfifo(tmp_path / "a.mid")
    (tmp_path / "b.mid").symlink_to("a.mid")
    (tmp_path / "c.mid").symlink_to("/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    folder = os.getcwd()
    os.chdir(tmp_path)  # a socket's path may have about 100 bytes
    server.bind("d.mid")
    os.chdir(folder)
    kinds = ["a pipe", "a pipe", "a character device", "a socket"]
    yield dict(zip(sorted(tmp_path.glob("*.mid")), kinds, strict=True))
    server.close()


@needs_pipes
@pytest.mark.usefixtures("alarm")
def test_only_regular_files_are_opened_for_reading(odd_files):
    # Fails if it hangs, or reads zeros up to the limit.
    for path, kind in odd_files.items():
        for form in (path, str(path), os.fsencode(path)):
            with pytest.raises(MidiError, match=f"{path}: {kind}; allowed: a regular"):
                midiread(form)
    with pytest.raises(IsADirectoryError):
        midiread(path.parent)


@needs_pipes
@pytest.mark.usefixtures("alarm")
def test_a_folder_skips_and_names_files_that_are_not_regular(odd_files):
    folder = next(iter(odd_files)).parent
    midiwrite(folder / "e.mid", ROLL, (60, 64))
    (folder / "f.mid").mkdir()
    with pytest.warns(UserWarning, match="4 of 5 files skipped"):
        tunes = read_folder(folder, (60, 64))
    assert [tune.name for tune in tunes] == [str(folder / "e.mid")]
    for (path, reason), (odd, kind) in zip(
        tunes.skipped, odd_files.items(), strict=True
    ):
        assert path == str(odd)
        assert reason.startswith(f"{kind}; allowed: a regular file's path")


@needs_pipes
@pytest.mark.usefixtures("alarm")
def test_a_pipe_that_replaces_a_file_is_not_waited_for(tmp_path, monkeypatch):
    # Fails if the type is checked only before opening: stat() saw a regular file here.
    path = tmp_path / "a.mid"
    path.write_bytes(ONE_NOTE)
    before = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: before)
    with pytest.raises(MidiError, match="a pipe; allowed"):
        midiread(path)


@needs_pipes
@pytest.mark.usefixtures("alarm")
def test_a_pipe_is_written_to_and_read_as_a_file_object(tmp_path):
    # Fails if midiwrite replaces the pipe, or midiread refuses the user's file object.
    path = tmp_path / "a.mid"
    os.mkfifo(path)
    writer = threading.Thread(target=midiwrite, args=(path, ROLL, (60, 64)))
    writer.start()
    with open(path, "rb") as file:
        found = midiread(file, (60, 64))
    writer.join()
    np.testing.assert_array_equal(found.piano_roll, ROLL)
    assert found.name == str(path)
    assert stat.S_ISFIFO(os.stat(path).st_mode)


@needs_pipes
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("suffix", roll_files.SUFFIXES)
def test_no_standard_data_set_is_read_from_a_pipe_or_device(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    (tmp_path / f"b{suffix}").symlink_to("/dev/zero")
    for name, kind in (("a", "a pipe"), ("b", "a character device")):
        path = tmp_path / f"{name}{suffix}"
        with pytest.raises(ValueError, match=f"{path}: {kind}; allowed: a regular"):
            datasets.load_standard("Nottingham", path)


NO_PATHS = ["", b"", None, 3, True, 1.5, ["a.mid"], "a\0.mid"]


@pytest.mark.parametrize("path", NO_PATHS)
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (midiread, "filename"),
        (read_folder, "path"),
        (datasets.load_folder, "path"),
        (lambda path: datasets.load_standard("Nottingham", path), "path"),
        (lambda path: midiwrite(path, np.ones((1, 88))), "filename"),
    ],
)
def test_other_values_than_paths_are_refused_by_name_and_value(
    function, name, path, tmp_path, monkeypatch
):
    # Fails if "" means the current folder, or 3 an open file.
    monkeypatch.chdir(tmp_path)
    midiwrite("here.mid", ROLL, (60, 64))
    with pytest.raises(ValueError, match=f"{name} is ") as caught:
        function(path)
    assert str(caught.value).startswith(f"{name} is {path!r}; allowed")
    assert os.listdir() == ["here.mid"]


@pytest.mark.parametrize("form", [str, os.fsencode, Path])
def test_paths_of_every_form_are_read(tmp_path, form):
    path = form(str(tmp_path / "a.mid"))
    midiwrite(path, ROLL, (60, 64))
    assert midiread(path).name == str(tmp_path / "a.mid")
    assert check_path("path", path, "") == str(tmp_path / "a.mid")


@pytest.mark.parametrize(
    "path", [".", "..", "run/", "run", "run/.", "run/..", "new/", "/", "link", b"run"]
)
def test_a_path_that_names_no_file_is_not_written_to(path, tmp_path, monkeypatch):
    # Fails if `.mid`, or a file beside the folder, is written.
    monkeypatch.chdir(tmp_path)
    os.mkdir("run")
    os.symlink("run", "link")
    with pytest.raises(ValueError, match="allowed: a file's path, not a folder"):
        midiwrite(path, ROLL, (60, 64))
    assert sorted(os.listdir()) == ["link", "run"]
    assert os.listdir("run") == []


@needs_pipes
def test_a_socket_is_not_written_to(odd_files):
    *_, path = odd_files
    with pytest.raises(ValueError, match="allowed: a file's path, not a folder"):
        midiwrite(path, ROLL, (60, 64))
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_a_text_file_object_is_refused(tmp_path):
    with (
        open(tmp_path / "a", "w+") as file,
        pytest.raises(ValueError, match="takes no bytes"),
    ):
        midiwrite(file, ROLL, (60, 64))
    with pytest.raises(ValueError, match=r"read\(\) gives str; allowed: a binary file"):
        midiread(io.StringIO("MThd"))


# Names


def assert_printable(text):
    """Assert that a UTF-8 stream takes `text`, with its replacement characters."""
    assert "\ufffd" in text.encode("utf-8").decode("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf_8_is_printable_and_stays_a_path(tmp_path, monkeypatch):
    # Fails with UnicodeEncodeError, or if `name` holds replacement characters.
    monkeypatch.chdir(tmp_path)
    folder = os.fsdecode(b"\xe9t\xe9")
    os.mkdir(folder)
    path = os.path.join(folder, LATIN_1)
    midiwrite(path, ROLL, (60, 64))
    with open(os.fsencode(path), "rb") as file:
        tunes = [midiread(path), midiread(os.fsencode(path)), midiread(file)]
    for tune in (*tunes, PackedRoll.of(tunes[0])):
        assert tune.name == path
        assert os.path.exists(tune.name)
        assert "\ufffdt\ufffd/caf\ufffd.mid: 4 steps" in repr(tune)
        assert_printable(repr(tune))
        assert str(tune) == repr(tune)
    assert tunes[0]._repr_png_().startswith(b"\x89PNG")
    with open(path, "r+b") as file:
        file.truncate(30)
    with pytest.raises(MidiError) as caught:
        midiread(path)
    assert_printable(str(caught.value))
    assert str(caught.value).startswith("\ufffdt\ufffd/caf\ufffd.mid: cut")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_folder_of_names_that_are_not_utf_8_is_read_and_warned_of(tmp_path, n_jobs):
    joblib = pytest.importorskip("joblib")
    folder = tmp_path / os.fsdecode(b"\xe9")
    folder.mkdir()
    (folder / LATIN_1).write_bytes(ONE_NOTE[:20])
    (folder / f"x{LATIN_1}").symlink_to("nowhere")
    with joblib.parallel_config(backend="threading"):
        with pytest.raises(MidiError, match="below this folder can be read") as caught:
            read_folder(folder, n_jobs=n_jobs)
        midiwrite(folder / f"z{LATIN_1}", ROLL, (60, 64))
        with pytest.warns(UserWarning, match="2 of 3 files") as warned:
            tunes = read_folder(folder, n_jobs=n_jobs)
    for text in (str(caught.value), str(warned[0].message)):
        assert_printable(text)
        assert "caf\ufffd.mid: cut off" in text
        assert "xcaf\ufffd.mid: No such file" in text
    assert [os.path.lexists(path) for path, _ in tunes.skipped] == [True, True]
    assert [reason.partition(" ")[0] for _, reason in tunes.skipped] == ["cut", "No"]
    assert midiread(tunes[0].name).name == str(folder / f"z{LATIN_1}")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_data_set_whose_name_is_not_utf_8_gives_a_printable_error(tmp_path):
    path = tmp_path / os.fsdecode(b"\xe9.json")
    path.write_bytes(b"{")
    with pytest.raises(ValueError, match="Expecting property") as caught:
        datasets.load_standard("Nottingham", path)
    assert_printable(str(caught.value))


def test_printable_replaces_only_characters_that_no_stream_takes():
    assert printable("曲/a b.mid") == "曲/a b.mid"
    assert printable("\udce9\ud83d\udfff") == "\ufffd" * 3
    assert printable(None) == "None"


# Flags

FLAGS = [
    *(
        (function, flag)
        for function in (midiread, read_folder, datasets.load_folder)
        for flag in ("quantize", "restruck", "drums", "pedal")
    ),
    *(
        (function, flag)
        for function in (read_folder, datasets.load_folder)
        for flag in ("progress", "packed")
    ),
]


@pytest.mark.parametrize("value", ["False", "", 0, 1, None, [], 1.0])
@pytest.mark.parametrize(("function", "flag"), FLAGS)
def test_flags_accept_only_bools(function, flag, value, tmp_path):
    with pytest.raises(ValueError, match=f"^{flag} is ") as caught:
        function(tmp_path / "nothing", **{flag: value})
    assert str(caught.value) == f"{flag} is {value!r}; allowed are True and False"


def test_flags_accept_numpy_bools(tmp_path):
    drum = smf("00 993c40 60 893c40")
    assert len(read(drum, drums=np.True_, pedal=np.False_).notes) == 1
    with pytest.raises(MidiError, match="no notes"):
        read(drum, drums=np.False_)
    midiwrite(tmp_path / "a.mid", ROLL, (60, 64))
    (tune,) = read_folder(tmp_path, packed=np.True_, progress=np.False_)
    assert isinstance(tune, PackedRoll)
