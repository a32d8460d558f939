"""readFolder: which files, in which order, and what of those that cannot be read."""

import io

import numpy as np
import pytest

from midi import MidiError, midiread, midiwrite, readFolder


@pytest.fixture
def folder(tmp_path):
    """Four files at three depths, each with its own pitch; and some others."""
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
    # Fails if the letter case, the depth or the order of the folder matters.
    tunes = readFolder(folder, (60, 64), 0.3)
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
        tunes = readFolder(str(folder), (60, 64), 0.3, progress=False)
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


def test_of_a_thousand_files_all_the_good_ones_are_read_and_the_others_named(tmp_path):
    # Every tenth is broken, in one of five ways. Fails if one broken file takes another
    # with it, or goes without a reason.
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
        tunes = readFolder(tmp_path, (60, 64), 0.3)
    assert len(tunes) == 900
    assert all(np.array_equal(tune.piano_roll, np.eye(4)) for tune in tunes)
    assert not {tune.name for tune in tunes} & {*bad}
    assert [path for path, _ in tunes.skipped] == sorted(bad)
    for path, reason in tunes.skipped:
        assert bad[path] in reason
        assert f"{path}: {reason}" in str(caught[0].message)


def test_a_terminal_sees_a_progress_bar_unless_silenced(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    readFolder(folder, (60, 64), 0.3)
    assert "4/4" in capsys.readouterr().err
    readFolder(folder, (60, 64), 0.3, progress=False)
    assert capsys.readouterr().err == ""


def test_folders_without_a_readable_file_are_errors(tmp_path):
    with pytest.raises(MidiError, match="there are none"):
        readFolder(tmp_path)
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(MidiError, match=r"none can be read:\n.*a\.mid.*empty"):
        readFolder(tmp_path)
    with pytest.raises(FileNotFoundError):
        readFolder(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        readFolder(tmp_path / "a.mid")


@pytest.mark.parametrize("arguments", [{"r": (109, 21)}, {"dt": 0}])
def test_bad_arguments_are_refused_and_not_taken_for_bad_files(folder, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} is") as caught:
        readFolder(folder, **arguments)
    assert not isinstance(caught.value, MidiError)


def test_drums_and_pedal_reach_every_file(tmp_path):
    # 24 on channel 10, and 3c under the pedal (from 96 to 288 ticks instead of 192)
    track = bytes.fromhex(
        "00 992440 00 b0407f 60 903c40 60 803c40 00 892440 60 b04000 00 ff2f00"
    )
    header = bytes.fromhex("4d546864 00000006 0000 0001 01e0 4d54726b 0000001c")
    (tmp_path / "a.mid").write_bytes(header + track)
    plain = readFolder(tmp_path)[0].notes
    assert plain.tolist() == [(60, 0.1, 0.2)]
    both = readFolder(tmp_path, drums=True, pedal=True)[0].notes
    assert both.tolist() == [(36, 0.0, 0.2), (60, 0.1, 0.3)]
