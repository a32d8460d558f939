"""Read standard data sets and folders of MIDI files; transpose tunes."""

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest

import lstmmusic
from lstmmusic import datasets, mark_silence
from midi import PackedRoll, RollFormat, midiread, midiwrite

SPLITS = ("train", "valid", "test")


def pitches(roll):
    """Return the columns that sound in each step, as lists."""
    return [np.flatnonzero(row).tolist() for row in roll]


def assert_same_tunes(first, second):
    assert len(first) == len(second)
    for tune, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(tune, other, strict=True)


# The data sets themselves

REAL = {
    "JSB Chorales": ("JSB_Chorales.mat", 11.06),
    "Nottingham": ("Nottingham.mat", 10.25),
}


@pytest.mark.parametrize("name", REAL)
def test_the_published_files_are_read_as_scipy_reads_them(shared, name):
    scipy_io = pytest.importorskip("scipy.io")
    path = shared(f"polyphonic/{REAL[name][0]}")
    cells = scipy_io.loadmat(path)
    splits = lstmmusic.datasets.load_standard(name, path)
    assert splits._fields == SPLITS
    for split, tunes in splits._asdict().items():
        assert_same_tunes(tunes, list(cells[f"{split}data"][0]))
        assert tunes[0].dtype == np.uint8


@pytest.mark.parametrize("name", REAL)
def test_independent_notes_score_the_published_figure(shared, name):
    # The figure is that of the data's README.  Fails if the splits, or the notes of
    # steps, are not those that everybody trains and tests with.
    train, _, test = datasets.load_standard(name, shared("polyphonic"))
    train, test = np.concatenate(train), np.concatenate(test)
    p = (train.sum(axis=0) + 1) / (len(train) + 2)  # Laplace: no probability is 0
    nll = -np.where(test == 1, np.log(p), np.log(1 - p)).sum(axis=1).mean()
    assert round(nll, 2) == REAL[name][1]


def test_notes_are_midi_notes_from_column_0_on(shared):
    # The first steps of the first chorale to test with, as Boulanger-Lewandowski et al.
    # (and the JSON in czhuang/JSB-Chorales-dataset) have them.
    test = datasets.load_standard("JSB Chorales", shared("polyphonic")).test
    chords = [[note + 21 for note in step] for step in pitches(test[0][:4])]
    assert chords == [[72, 76, 79, 84], [72, 76, 79, 84], [71, 74, 79, 86], chords[3]]
    assert chords[3] == [73, 77, 81, 88]


@pytest.mark.parametrize("protocol", [0, 2])
def test_the_note_lists_of_real_data_come_back(shared, tmp_path, protocol):
    splits = datasets.load_standard("JSB Chorales", shared("polyphonic"))
    notes = {
        split: [[tuple(n + 21 for n in step) for step in pitches(t)] for t in tunes]
        for split, tunes in splits._asdict().items()
    }
    (tmp_path / "a.json").write_text(json.dumps(notes))
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(notes, protocol))
    for file in tmp_path.iterdir():
        for found, tunes in zip(
            datasets.load_standard("JSB Chorales", file), splits, strict=True
        ):
            assert_same_tunes(found, tunes)


# Counts, names and places


def test_the_numbers_are_those_of_the_readme():
    assert {name: known[:2] for name, known in datasets.STANDARD.items()} == {
        "JSB Chorales": ((229, 76, 77), (13807, 4602, 4725)),
        "Nottingham": ((694, 173, 170), (176561, 45513, 44463)),
        "MuseData": ((524, 135, 124), (245202, 82755, 64339)),
        "Piano-midi.de": ((87, 12, 25), (75911, 8540, 19036)),
    }


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("change", ["tunes", "steps"])
def test_other_numbers_of_tunes_or_steps_are_refused(
    tmp_path, monkeypatch, split, change
):
    """Fails if one of the numbers is not compared, or the check cannot be disabled."""
    tunes, steps = [3, 2, 4], [7, 6, 5]
    notes = {
        name: [[[60]]] * (n - 1) + [[[60]] * (T - n + 1)]
        for name, n, T in zip(SPLITS, tunes, steps, strict=True)
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(notes))

    def load_as(tunes, steps, **options):
        known = datasets.Published(tuple(tunes), tuple(steps), ("muse",))
        monkeypatch.setitem(datasets.STANDARD, "MuseData", known)
        return datasets.load_standard("MuseData", path, **options)

    splits = load_as(tunes, steps)
    assert [len(found) for found in splits] == tunes
    assert [sum(map(len, found)) for found in splits] == steps
    which = SPLITS.index(split)
    found = f"{tunes[which]} tunes of {steps[which]} steps"
    (tunes if change == "tunes" else steps)[which] += 1
    with pytest.raises(ValueError, match="that of MuseData has") as caught:
        load_as(tunes, steps)
    wanted = f"{tunes[which]} of {steps[which]}"
    assert str(caught.value) == (
        f"{path}: {split} has {found}; that of MuseData has {wanted}"
    )
    assert len(load_as(tunes, steps, check_counts=False)) == 3


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("JSB Chorales", "JSB_Chorales.mat"),
        ("Nottingham", "Nottingham.mat"),
        ("MuseData", "MuseData.mat"),
        ("Piano-midi.de", "Piano_midi.mat"),
        ("JSB Chorales", "JSB Chorales.pickle"),
        ("Nottingham", "Nottingham.pickle"),
        ("MuseData", "MuseData.pickle"),
        ("Piano-midi.de", "Piano-midi.de.pickle"),
        ("JSB Chorales", "jsb_chorales.pkl"),
        ("JSB Chorales", "jsb-chorales-quarter.json"),
        ("MuseData", "muse_data.pickle"),
        ("Piano-midi.de", "piano_midi.JSON"),
    ],
)
def test_the_published_names_are_found_in_a_folder(tmp_path, name, file):
    # Beside it are files of other data, other steps, other suffixes.
    for other in ("jsb-chorales-8th.json", "README.md", "My Nottingham.mat"):
        (tmp_path / other).write_bytes(b"damaged")
    for other in datasets.STANDARD:
        (tmp_path / other).mkdir()
        with pytest.raises(FileNotFoundError, match=f"no file of {other} in this"):
            datasets.load_standard(other, tmp_path)
    (tmp_path / file).write_bytes(b"damaged")
    for other in datasets.STANDARD:
        error = ValueError if other == name else FileNotFoundError
        message = str(tmp_path / file) if other == name else "called"
        with pytest.raises(error, match=message):
            datasets.load_standard(other, tmp_path)


def test_one_of_several_files_is_always_the_same(tmp_path):
    for suffix in ("pickle", "json", "mat"):
        path = tmp_path / f"Nottingham.{suffix}"
        path.write_bytes(b"damaged")
        with pytest.raises(ValueError, match=str(path)):
            datasets.load_standard("Nottingham", tmp_path)


def test_arguments_that_are_not_allowed_are_named(tmp_path):
    with pytest.raises(
        ValueError, match="name is 'jsb'; allowed are 'JSB Chorales', 'Not"
    ):
        datasets.load_standard("jsb", tmp_path)
    with pytest.raises(ValueError, match="check_counts is 1"):
        datasets.load_standard("Nottingham", tmp_path, check_counts=1)
    with pytest.raises(FileNotFoundError, match="missing"):
        datasets.load_standard("Nottingham", tmp_path / "missing.mat")
    with pytest.raises(FileNotFoundError, match="missing'; no such file or fol"):
        datasets.load_standard("Nottingham", tmp_path / "missing")  # not: no suffix
    (tmp_path / "bare").touch()
    with pytest.raises(ValueError, match=r"suffix ''; allowed are \.mat"):
        datasets.load_standard("Nottingham", tmp_path / "bare")


def test_importing_stays_cheap(in_new_process):
    # Fails if an import loads modules that only reading or drawing needs.  PyTensor
    # 3.0.0 itself imports SciPy.
    code = """
import sys, pytensor
paid = {*sys.modules}
import lstmmusic, lstmmusic.plots
assert lstmmusic.datasets.load_standard
late = {"midi", "symusic", "scipy", "pickletools", "matplotlib"}
print(late & {*sys.modules} - paid)
"""
    assert in_new_process(code) == "set()"


# Folders


@pytest.fixture
def folder(tmp_path):
    """Return a folder of MIDI files in train, valid and test, at several depths."""
    names = ["train/b.mid", "train/sub/a.midi", "valid/a.mid", "test/sub/deep/a.MID"]
    for n, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        roll = np.zeros((n + 2, 4), int)
        roll[:, n] = 1
        midiwrite(path, roll, (60, 64), 0.3)
    return tmp_path


def test_a_folder_in_three_parts(folder):
    (folder / "ignored.mid").write_bytes(b"neither of train nor of the others")
    splits = datasets.load_folder(folder, r=(58, 66), dt=0.3, progress=False)
    assert splits._fields == SPLITS
    wanted = [[[2]] * 2, [[3]] * 3], [[[4]] * 4], [[[5]] * 5]
    assert tuple([pitches(tune) for tune in split] for split in splits) == wanted
    for tune in splits.train:
        assert isinstance(tune, np.ndarray)
        assert tune.format.r == (58, 66)
        assert tune.dtype == np.uint8
        assert tune.shape[1] == 8
    packed = datasets.load_folder(folder, (58, 66), 0.3, packed=True, n_jobs=1)
    for tunes, same in zip(splits, packed, strict=True):
        assert all(isinstance(tune, PackedRoll) for tune in same)
        for tune, other in zip(tunes, same, strict=True):
            np.testing.assert_array_equal(other.piano_roll, tune)
    default = datasets.load_folder(str(folder)).test[0]
    file = folder / "test" / "sub" / "deep" / "a.MID"
    np.testing.assert_array_equal(default, midiread(file).piano_roll)
    assert default.shape == (8, 88)  # 1.5 s, in steps of 0.2 s


def test_every_option_of_reading_reaches_every_file(folder):
    # Each changes the roll or its format. Fails if one is not handed on.
    options = {
        "unit": "beats", "quantize": True, "restruck": True, "steps": 9,
        "unended": "hold",
    }  # fmt: skip
    splits = datasets.load_folder(folder, (58, 66), Fraction(1, 3), **options)
    file = folder / "test" / "sub" / "deep" / "a.MID"
    expected = midiread(file, (58, 66), Fraction(1, 3), **options)
    np.testing.assert_array_equal(splits.test[0], expected.piano_roll)
    formats = {tune.format for split in splits for tune in split}
    assert formats == {RollFormat((58, 66), Fraction(1, 3), "beats", True, True)}
    assert {tune.shape for split in splits for tune in split} == {(9, 16)}
    with pytest.raises(ValueError, match="unended is 'keep'"):
        datasets.load_folder(folder, unended="keep")


def test_files_that_cannot_be_read_are_named(folder):
    (folder / "valid" / "bad.mid").write_bytes(b"MThd")
    (folder / "test" / "worse.mid").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match=r"test: 1 of 2 files skipped:\n.*worse\.mid"),
        pytest.warns(UserWarning, match=r"valid: 1 of 2 files skipped:\n.*bad\.mid"),
    ):
        splits = datasets.load_folder(folder, (60, 64), 0.3)
    assert [len(split) for split in splits] == [2, 1, 1]
    (folder / "valid" / "a.mid").unlink()
    with pytest.raises(ValueError, match=r"valid: none of the MIDI files .* read"):
        datasets.load_folder(folder, (60, 64), 0.3)


def test_all_three_folders_are_needed(folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="there is no train and no valid and no"
    ):
        datasets.load_folder(folder / "train")
    with pytest.raises(FileNotFoundError, match="there is no train"):
        datasets.load_folder(tmp_path / "missing")
    (folder / "valid").rename(folder / "validation")
    with pytest.raises(
        FileNotFoundError, match="there is no valid; needed are the fold"
    ):
        datasets.load_folder(folder)
    (folder / "valid").write_text("a file")
    with pytest.raises(NotADirectoryError):
        datasets.load_folder(folder)
    with pytest.raises(ValueError, match="dt is 0"):
        datasets.load_folder(folder, dt=0)


def test_drums_and_pedal_reach_every_file(folder):
    # 24 on channel 10, and 3c under the pedal from 96 ticks on to 288 instead of 192
    track = bytes.fromhex(
        "00 992440 00 b0407f 60 903c40 60 803c40 00 892440 60 b04000 00 ff2f00"
    )
    header = bytes.fromhex("4d546864 00000006 0000 0001 01e0 4d54726b 0000001c")
    for file in (
        "train/b.mid",
        "train/sub/a.midi",
        "valid/a.mid",
        "test/sub/deep/a.MID",
    ):
        (folder / file).write_bytes(header + track)
    for split in datasets.load_folder(folder, dt=0.1):
        assert pitches(split[0]) == [[], [60 - 21]]
    for split in datasets.load_folder(folder, dt=0.1, drums=True, pedal=True):
        assert pitches(split[0]) == [[36 - 21], [36 - 21, 60 - 21], [60 - 21]]


# Other keys


def tune_of(steps, N=88, dtype=np.uint8):
    tune = np.zeros((len(steps), N), dtype)
    for t, step in enumerate(steps):
        tune[t, step] = 1
    return tune


def test_a_tune_moves_by_semitones():
    tune = tune_of([[40, 44, 47], [], [39]])
    (up,) = datasets.transpose([tune], 3)
    assert pitches(up) == [[43, 47, 50], [], [42]]
    (down,) = datasets.transpose([tune], -39)
    assert pitches(down) == [[1, 5, 8], [], [0]]
    assert pitches(tune) == [[40, 44, 47], [], [39]]  # unchanged
    (same,) = datasets.transpose([tune], 0)
    np.testing.assert_array_equal(same, tune, strict=True)
    same[:] = 0
    assert tune.any()


def test_all_tunes_at_the_first_semitone_then_all_at_the_next():
    tunes = [tune_of([[40]]), tune_of([[50], [51]])]
    found = datasets.transpose(tunes, [1, 0, -2])
    wanted = [[41]], [[51], [52]], [[40]], [[50], [51]], [[38]], [[48], [49]]
    assert [pitches(tune) for tune in found] == list(wanted)
    for semitones in (range(1, 3), np.array([1, 2]), (1, 2)):
        found = datasets.transpose(tunes, semitones)
        wanted = [[41]], [[51], [52]], [[42]], [[52], [53]]
        assert [pitches(tune) for tune in found] == list(wanted)
    assert datasets.transpose(tunes, []) == []
    assert datasets.transpose([], 3) == []


def test_where_a_tune_would_leave_it_moves_by_octaves_as_a_whole():
    low, high = tune_of([[2, 9], [5]]), tune_of([[85], [80]])
    assert pitches(datasets.transpose([low], -2)[0]) == [[0, 7], [3]]
    assert pitches(datasets.transpose([low], -3)[0]) == [[11, 18], [14]]
    assert pitches(datasets.transpose([low], -26)[0]) == [[0, 7], [3]]
    assert pitches(datasets.transpose([low], -27)[0]) == [[11, 18], [14]]
    assert pitches(datasets.transpose([high], 2)[0]) == [[87], [82]]
    assert pitches(datasets.transpose([high], 3)[0]) == [[76], [71]]
    assert pitches(datasets.transpose([high], 127)[0]) == [[85 - 5], [80 - 5]]
    # It fits only two octaves up, as there is no room for the highest note before.
    narrow = tune_of([[0, 13]], N=20)
    assert pitches(datasets.transpose([narrow], -8)[0]) == [[4, 17]]


def test_where_no_octave_fits_single_notes_move():
    # 0 to 80 has room for 7 semitones up; 8 semitones up, 80 goes down by an octave.
    wide = tune_of([[0, 40, 80], [79]])
    assert pitches(datasets.transpose([wide], 7)[0]) == [[7, 47, 87], [86]]
    assert pitches(datasets.transpose([wide], 8)[0]) == [[8, 48, 76], [87]]
    assert pitches(datasets.transpose([wide], -4)[0]) == [[8, 36, 76], [75]]
    # It may meet another there: values of steps are then the greater one.
    meets = tune_of([[0, 75, 87], [87]], dtype=np.float32)
    meets[0, 75] = 0.5
    (found,) = datasets.transpose([meets], 1)
    assert pitches(found) == [[1, 76], [76]]
    assert found[0, 76] == 1


@pytest.mark.parametrize("N", [12, 13, 30, 88])
@pytest.mark.parametrize("notes", [1, 3, 12])
def test_no_pitch_class_is_lost_or_added_in_any_key(N, notes):
    rng = np.random.default_rng(N + notes)
    low = rng.integers(N - min(N, notes * 2) + 1)
    tune = tune_of(
        [low + rng.integers(min(N, notes * 2), size=notes) for _ in range(7)], N=N
    )
    for shift in (*range(-14, 15), -127, 127):
        (found,) = datasets.transpose([tune], shift)
        assert found.shape == tune.shape
        for before, after in zip(pitches(tune), pitches(found), strict=True):
            classes = {(note + shift) % 12 for note in before}
            assert {note % 12 for note in after} == classes
        columns = np.flatnonzero(tune.any(axis=0))
        if N - (columns[-1] - columns[0]) >= 12:  # then nothing but the place changes
            moved = np.flatnonzero(found.any(axis=0))
            assert (moved - columns == moved[0] - columns[0]).all()
            np.testing.assert_array_equal(found[:, moved], tune[:, columns])


def test_real_tunes_in_all_keys(shared):
    # A chorale spans less than 77 keys, so each copy has as many notes as the tune.
    train = datasets.load_standard("JSB Chorales", shared("polyphonic")).train
    found = datasets.transpose(train, range(-5, 7))
    assert len(found) == 12 * len(train)
    counts = [tune.sum() for tune in train] * 12
    assert [tune.sum() for tune in found] == counts


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.float32, np.float64])
def test_dtypes_stay(dtype):
    (found,) = datasets.transpose([tune_of([[5], [7]], 12, dtype)], 1)
    np.testing.assert_array_equal(found, tune_of([[6], [8]], 12, dtype), strict=True)


def test_midi_rolls_silent_tunes_and_lists_are_transposed(folder):
    roll = midiread(folder / "valid" / "a.mid", (50, 70), 0.3)
    assert pitches(datasets.transpose([roll], 2)[0]) == [[14]] * 4
    silent = np.zeros((3, 88))
    np.testing.assert_array_equal(datasets.transpose([silent], 2), [silent])
    assert pitches(datasets.transpose([[[1] + [0] * 11]], 2)[0]) == [[2]]


def test_marks_of_silence_come_after():
    # As the docstring says: the other way round, the marks would become notes.
    (found,) = mark_silence(datasets.transpose([tune_of([[40], []])], 5))
    assert pitches(found) == [[45], [0]]


@pytest.mark.parametrize("semitones", [1.0, "1", None, True, [0, 0.5], 128, [0, -128]])
def test_values_that_are_no_semitones_are_refused(semitones):
    with pytest.raises(ValueError, match=r"semitones is .* from -127 to 127"):
        datasets.transpose([tune_of([[40]])], semitones)


def test_values_that_are_no_tunes_are_refused():
    with pytest.raises(ValueError, match=r"tune 1 has shape \(2, 11\); .* at least 12"):
        datasets.transpose([np.zeros((2, 12)), np.zeros((2, 11))], 1)
    with pytest.raises(ValueError, match=r"dataset is one roll of shape \(1, 88\)"):
        datasets.transpose(tune_of([[40]]), 1)  # a tune in place of a list
    splits = datasets.Splits([tune_of([[40]])], [], [])
    with pytest.raises(ValueError, match="allowed is one of them: train, valid, test"):
        datasets.transpose(splits, 1)
