"""Test which files read_folder reads, in which order, and which ones it skips."""

import io
import sys

import numpy as np
import pytest

from midi import (
    MidiError,
    MidiRoll,
    PackedRoll,
    folders,
    midiread,
    midiwrite,
    read_folder,
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of four MIDI files at three depths, each with its own pitch."""
    names = ["b.mid", "a.MIDI", "sub/deep/c.Mid", "sub/a.mid"]
    for column, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        midiwrite(path, np.eye(4, dtype=int)[[column]], (60, 64), 0.3)
    (tmp_path / "notes.txt").write_text("no MIDI")
    (tmp_path / "folder.mid").mkdir()
    return tmp_path


ORDER = ["a.MIDI", "b.mid", "sub/a.mid", "sub/deep/c.Mid"]


def test_every_midi_file_is_read_in_sorted_order(folder, capsys):
    # Fails if letter case, depth or the file system's order matters.
    tunes = read_folder(folder, (60, 64), 0.3)
    assert isinstance(tunes, list)
    assert [tune.name for tune in tunes] == [str(folder / name) for name in ORDER]
    assert [tune.notes["pitch"][0] for tune in tunes] == [61, 60, 63, 62]
    assert tunes.skipped == []
    for tune in tunes:
        expected = midiread(tune.name, (60, 64), 0.3).piano_roll
        assert np.array_equal(tune.piano_roll, expected)
    assert capsys.readouterr() == ("", "")  # no bar without a terminal


def test_unreadable_files_are_skipped_and_named_once_at_the_end(folder):
    (folder / "aa.mid").write_bytes(b"")
    (folder / "sub" / "cut.mid").write_bytes((folder / "b.mid").read_bytes()[:-3])
    (folder / "dangling.mid").symlink_to(folder / "nowhere")
    with pytest.warns(UserWarning, match=r"3 of 7 files skipped") as caught:
        tunes = read_folder(str(folder), (60, 64), 0.3, progress=False)
    assert len(caught) == 1
    assert len(tunes) == 4
    bad = ["aa.mid", "dangling.mid", "sub/cut.mid"]
    assert [path for path, _ in tunes.skipped] == [str(folder / name) for name in bad]
    for (path, reason), word in zip(
        tunes.skipped, ["empty", "No such file", "cut off"], strict=True
    ):
        assert word in reason
        assert path in str(caught[0].message)
        assert word in str(caught[0].message)


def test_of_a_thousand_files_the_good_are_read_and_the_broken_named(tmp_path):
    # Every tenth is broken, in one of five ways. Fails if a broken file costs another
    # one, or has no reason.
    file = io.BytesIO()
    midiwrite(file, np.eye(4, dtype=int), (60, 64), 0.3)
    good = file.getvalue()
    ways = {
        "empty": b"",
        "not MIDI": b"RIFF" + good,
        "cut off": good[:-9],
        "broken track": good.replace(b"\x90", b"\xf4", 1),
        "no notes": good.replace(b"\x90", b"\x99"),
    }
    bad = {}
    for number in range(1000):
        path = tmp_path / f"{number % 7}" / f"{number:03}.mid"
        path.parent.mkdir(exist_ok=True)
        if number % 10:
            path.write_bytes(good)
        else:
            bad[str(path)] = [*ways][number // 10 % 5]
            path.write_bytes(ways[bad[str(path)]])
    with pytest.warns(UserWarning, match="100 of 1000 files skipped") as caught:
        tunes = read_folder(tmp_path, (60, 64), 0.3)
    assert len(tunes) == 900
    assert all(np.array_equal(tune.piano_roll, np.eye(4)) for tune in tunes)
    assert not {tune.name for tune in tunes} & {*bad}
    assert [path for path, _ in tunes.skipped] == sorted(bad)
    for path, reason in tunes.skipped:
        assert bad[path] in reason
        assert f"{path}: {reason}" in str(caught[0].message)


def test_a_terminal_shows_a_progress_bar_unless_told_not_to(
    folder, monkeypatch, capsys
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    read_folder(folder, (60, 64), 0.3)
    assert "4/4" in capsys.readouterr().err
    read_folder(folder, (60, 64), 0.3, progress=False)
    assert capsys.readouterr().err == ""


def test_folders_without_a_readable_file_are_errors(tmp_path):
    with pytest.raises(MidiError, match=r"no MIDI files \(.mid, .* below this folder$"):
        read_folder(tmp_path)
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(MidiError, match=r"can be read:\n.*a\.mid.*empty"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        read_folder(tmp_path / "a.mid")


@pytest.mark.parametrize("arguments", [{"r": (109, 21)}, {"dt": 0}])
def test_bad_arguments_are_errors_and_skip_no_files(folder, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} is") as caught:
        read_folder(folder, **arguments)
    assert not isinstance(caught.value, MidiError)


def test_drums_and_pedal_reach_every_file(tmp_path):
    data = bytes.fromhex(
        "4d546864 00000006 0000 0001 01e0"  # format 0, 1 track, 480 ticks per beat
        "4d54726b 0000001c"
        "00 992440"  # tick 0: bass drum on channel 10
        "00 b0407f"  # pedal down
        "60 903c40"  # tick 96, 0.1 s: C4 on
        "60 803c40 00 892440"  # tick 192, 0.2 s: both off
        "60 b04000"  # tick 288, 0.3 s: pedal up
        "00 ff2f00"
    )
    (tmp_path / "a.mid").write_bytes(data)
    plain = read_folder(tmp_path, dt=0.1)[0].notes
    assert plain.tolist() == [(60, 0.1, 0.2)]
    both = read_folder(tmp_path, dt=0.1, drums=True, pedal=True)[0].notes
    assert both.tolist() == [(36, 0.0, 0.2), (60, 0.1, 0.3)]


@pytest.fixture
def broken(folder):
    """Return the folder with 31 more files, of which 11 are broken."""
    good = (folder / "b.mid").read_bytes()
    for n in range(30):
        (folder / "sub" / f"x{n}.mid").write_bytes(good[: None if n % 3 else n])
    (folder / "dangling.mid").symlink_to(folder / "nowhere")
    return folder


def read_and_warned(folder, **options):
    with pytest.warns(UserWarning, match="11 of 35 files skipped") as caught:
        found = read_folder(folder, (60, 64), 0.3, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return found, str(caught[0].message)


def assert_same_folder(found, usual):
    (found, warned), (usual, warned_usually) = found, usual
    assert (found.skipped, warned) == (usual.skipped, warned_usually)
    assert [tune.name for tune in found] == [tune.name for tune in usual]
    for one, other in zip(found, usual, strict=True):
        assert np.array_equal(one.piano_roll, other.piano_roll)
        assert (one.r, one.dt) == (other.r, other.dt)
        if not isinstance(one, PackedRoll):
            assert one.left_out == other.left_out
            assert np.array_equal(one.notes, other.notes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_threads_read_the_same(broken, monkeypatch, packed, relative, n_jobs):
    # Fails if order, names, reasons or the warning depend on the threads.
    joblib = pytest.importorskip("joblib")
    monkeypatch.chdir(broken.parent)
    path = broken.name if relative else broken
    usual = read_and_warned(path)
    assert_same_folder(read_and_warned(path, packed=packed), usual)
    with joblib.parallel_config(backend="threading"):
        found = read_and_warned(path, packed=packed, n_jobs=n_jobs)
    assert_same_folder(found, usual)
    kinds = {type(tune) for tune in found[0]}
    assert kinds == {PackedRoll if packed else MidiRoll}


def test_processes_read_paths_relative_to_the_caller_s_folder(broken, monkeypatch):
    # Fails if a worker joins a relative path to the folder in which it started.
    joblib = pytest.importorskip("joblib")
    from joblib.externals.loky import get_reusable_executor

    try:
        with joblib.parallel_config(backend="loky"):
            usual = read_and_warned(broken)
            assert_same_folder(read_and_warned(broken, n_jobs=2), usual)
            monkeypatch.chdir(broken.parent)
            usual = read_and_warned(broken.name)
            found = read_and_warned(broken.name, n_jobs=2, packed=True)
            assert_same_folder(found, usual)
    finally:
        get_reusable_executor().shutdown(wait=True)


def test_files_are_sent_in_batches(folder):
    # For 2 jobs: 35 files in batches of 5, so that each job has four batches or so; 600
    # in batches of 64, the largest; 3 one by one.
    pytest.importorskip("joblib")
    for files, sizes in ((35, 7 * [5]), (600, 9 * [64] + [24]), (3, 3 * [1])):
        seen = []

        def parallel(tasks, seen=seen):
            return [seen.append(len(args[0])) or [] for _, args, _ in tasks]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("joblib.Parallel", lambda **_: parallel)
            folders.read_all([f"{n}" for n in range(files)], None, 2, False)
        assert seen == sizes


@pytest.mark.parametrize("n_jobs", [0, 1.5, True, "2"])
def test_a_bad_n_jobs_is_refused(folder, n_jobs):
    with pytest.raises(ValueError, match=f"n_jobs is {n_jobs!r}; allowed: None, or a"):
        read_folder(folder, (60, 64), n_jobs=n_jobs)


def test_without_joblib_only_n_jobs_is_refused(folder, monkeypatch):
    # Fails if the error does not say what to install.
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert len(read_folder(folder, (60, 64), 0.3, packed=True)) == 4
    with pytest.raises(ValueError, match=r"n_jobs is 2, .*'lstmmusic\[folders\]'"):
        read_folder(folder, (60, 64), 0.3, n_jobs=2)


def test_midi_is_imported_without_joblib(in_new_process):
    code = "import sys, midi; print({'joblib', 'tqdm', 'lstmmusic'} & {*sys.modules})"
    assert in_new_process(code) == "set()"
