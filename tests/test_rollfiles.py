"""Read each form of the standard data sets; refuse damaged and hostile files."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zlib
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest

from lstmmusic import datasets
from lstmmusic.data import roll_files

# All splits and tunes differ; rests, tuples, the lowest note and the highest.
NOTES = {
    "train": [[[60, 64], (21,), [], [108, 60]], [[72]]],
    "valid": [[[61], [62], [63, 21]]],
    "test": [[(), (59, 58, 57)]],
}


def read(path):
    """Return {split: rolls} of a file of any numbers of tunes, as a user reads it."""
    splits = datasets.load_standard("Nottingham", path, check_counts=False)
    return splits._asdict()


def rolls_of(notes):
    """Return {split: rolls} of lists of notes, made cell by cell."""
    rolls = {}
    for split, tunes in notes.items():
        rolls[split] = [np.zeros((len(tune), 88), np.uint8) for tune in tunes]
        for roll, tune in zip(rolls[split], tunes, strict=True):
            for t, step in enumerate(tune):
                for note in step:
                    roll[t, note - 21] = 1
    return rolls


ROLLS = rolls_of(NOTES)


def assert_equal(found, wanted=ROLLS):
    assert list(found) == ["train", "valid", "test"]
    for split, rolls in found.items():
        assert len(rolls) == len(wanted[split])
        for roll, other in zip(rolls, wanted[split], strict=True):
            np.testing.assert_array_equal(roll, other, strict=True)
            assert roll.flags.c_contiguous
            assert roll.flags.writeable


@pytest.fixture
def written(tmp_path):
    """Return a function that writes bytes to a file and returns its path."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def refused(written):
    """Return a function that checks that a file is refused in little memory."""

    def check(name, data, message=r"a\.", memory=2**20):
        path = written(name, data)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=message) as caught:
                read(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert peak < memory + 200 * len(data)

    return check


def changed(split, value):
    return NOTES | {split: value}


# Each form


def test_json(written):
    assert_equal(read(written("a.json", json.dumps(NOTES).encode())))
    extra = {"source": "elsewhere"} | NOTES
    assert_equal(read(str(written("b.JSON", json.dumps(extra).encode()))))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("pickler", [pickle.Pickler, pickle._Pickler])
def test_pickles_of_python_3(written, protocol, pickler):
    # Over 256 lists for LONG_BINPUT, over 1000 items for a second APPENDS, and ints of
    # every size for those of the int instructions that notes do not use.
    notes = changed("train", NOTES["train"] + [[[n % 88 + 21] for n in range(1500)]])
    extra = {"ints": [-1, 255, 256, 2**16, -(2**31), 2**31, 10**30], "empty": ()}
    for data in (notes, notes | extra):
        file = io.BytesIO()
        pickler(file, protocol).dump(data)
        path = written("a.pickle", file.getvalue())
        assert roll_files.unpickle(path.read_bytes()) == data
        assert_equal(read(path), rolls_of(notes))


def test_pickles_of_python_2(written):
    # As cPickle of Python 2.7 writes {'train': [[(60, 64), ()]], 'test': [[[21L]]],
    # 'valid': <that of test>}; S and U are strings of bytes, L is a long.
    text = (
        b"(dp1\nS'train'\np2\n(lp3\n(lp4\n(I60\nI64\ntp5\na(taasS'test'\np6\n"
        b"(lp7\n(lp8\n(lp9\nL21L\naaasS'valid'\np10\ng7\ns."
    )
    binary = bytes.fromhex(
        "8002 7d7101 28 5505747261696e 7102 5d7103 5d7104 28 4b3c 4b40 867105 29 65 61"
        "5504 74657374 7106 5d7107 5d7108 5d7109 8a0115 61 61 61"
        "5505 76616c6964 710a 6807 75 2e"
    )
    wanted = {"train": [[(60, 64), ()]], "valid": [[[21]]], "test": [[[21]]]}
    for data in (text, binary):
        # The pickles are sound.
        assert pickle.loads(data, encoding="latin-1") == wanted
        assert_equal(read(written("a.pkl", data)), rolls_of(wanted))


def test_pickles_with_bytes_as_keys(written):
    data = pickle.dumps({key.encode(): value for key, value in NOTES.items()}, 4)
    assert_equal(read(written("a.pickle", data)))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "?", "i1", "i4", "f4", "f8"])
def test_mat(written, dtype, compressed):
    scipy_io = pytest.importorskip("scipy.io")
    # Variables of others, which are no cells; a name of up to four bytes is packed.
    variables = {"other": np.arange(3.0), "b": np.arange(4)}
    for split, rolls in ROLLS.items():
        variables[f"{split}data"] = cell = np.empty((1, len(rolls)), object)
        cell[0] = [roll.astype(dtype) for roll in rolls]
    file = io.BytesIO()
    scipy_io.savemat(file, variables, do_compression=compressed)
    assert_equal(read(written("a.mat", file.getvalue())))


# Notes to refuse


@pytest.mark.parametrize("form", ["json", "pickle"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "holds a list of length 1; it must hold a dict"),
        ({"train": NOTES["train"]}, "split 'valid' is None"),
        (changed("valid", []), "split 'valid' is a list of length 0"),
        (changed("test", "60"), "split 'test' is '60'"),
        (changed("train", [[[60]], []]), "tune 1 of 'train' is a list of length 0"),
        (changed("train", [[[60]], 60]), "tune 1 of 'train' is 60"),
        (changed("train", [[[60], 60]]), "step 1 of tune 0 of 'train' is 60"),
        (changed("train", [[[60], "60"]]), "step 1 of tune 0 of 'train' is '60'"),
        (changed("test", [[[20]]]), "tune 0 of 'test' has the note 20; allowed .* 108"),
        (changed("test", [[[60, 109]]]), "note 109"),
        (changed("test", [[[-1]]]), "note -1"),
        (changed("test", [[[10**300]]]), "note 10000"),
        (changed("test", [[[[60]]]]), "note a list of length 1"),
        (changed("test", [[["60"]]]), "note '60'"),
        (changed("test", [[[60] * 89]]), "step 0 of tune 0 of 'test' has 89 notes"),
    ],
)
def test_values_that_are_no_note_lists_are_refused(refused, form, data, message):
    dump = {"json": lambda d: json.dumps(d).encode(), "pickle": pickle.dumps}[form]
    refused(f"a.{form}", dump(data), message)


@pytest.mark.parametrize("value", ["60.0", "true", "NaN", "1e999", "null"])
def test_json_values_that_are_no_notes_are_refused(refused, value):
    data = f'{{"train": [[[{value}]]], "valid": [[[60]]], "test": [[[60]]]}}'
    refused("a.json", data.encode(), "tune 0 of 'train' has the note")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"train": ' * 100_000, b"9" * 10_000, b"\0"],
)
def test_bytes_that_are_no_json_are_refused(refused, data):
    refused("a.json", data)


# Pickles to refuse


class Runs:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def reached():
    raise AssertionError("a pickle has run this")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "thing",
    [
        Runs(reached),
        Runs(exec, "raise AssertionError"),
        np.zeros(3),
        np.int64(60),
        np.dtype("f8"),
        Fraction(1, 3),
        OrderedDict(a=1),
        {60},
        frozenset({60}),
        bytearray(b"60"),
        1.5,
        1j,
        None,
        object,
        len,
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_pickles_of_anything_else_are_refused(refused, protocol, thing):
    # Fails if the object is made at all, even where nothing would read it.
    data = {"other": [thing]} | NOTES
    refused("a.pickle", pickle.dumps(data, protocol), "it is a pickle with [A-Z]")


def test_no_command_is_run(refused, tmp_path):
    path = tmp_path / "touched"
    data = pickle.dumps([Runs(os.system, f"touch {path}")], 2)
    pickle.loads(data)
    assert path.exists()  # so the command is one that pickle runs
    path.unlink()
    refused("a.pickle", data, "GLOBAL")
    assert not path.exists()


def test_no_persistent_object_is_loaded(refused):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return "x" if value == [60, 64] else None

    for protocol, opcode in ((0, "PERSID"), (2, "BINPERSID")):
        file = io.BytesIO()
        Pickler(file, protocol).dump(NOTES)
        refused("a.pickle", file.getvalue(), opcode)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}.", "split 'train' is None"),
        (b"", "exhausted"),
        (b"\x80\x02]", "exhausted"),  # cut off
        (b".", "damaged"),  # the rest take items from an empty stack or memo
        (b"a.", "damaged"),
        (b"(t", "exhausted"),
        (b"t.", "damaged"),
        (b"h\x05.", "damaged"),
        (b"q\x05.", "damaged"),
        (b"]K\x01K\x02s.", "in place of a dict"),  # an item set in a list
        (b"}K\x01K\x02s.", "1 in place of a str"),  # whose key is no string
        (b"}K\x01a.", "in place of a list"),  # something appended to a dict
        (b"}(U\x01au.", "shorter"),  # a key without a value
        (b"\x80\x02X\xff\xff\xff\xff.", "expected 4294967295 bytes"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "BINUNICODE8|expected"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].", "dict"),  # FRAME
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "long4"),  # LONG4
        (b"I" + b"9" * 10_000 + b"\n.", "4300 digits"),
        (b"\xff.", "unknown"),
    ],
)
def test_broken_pickles_are_refused(refused, data, message):
    refused("a.pickle", data, message)


def test_pickle_bombs_are_refused(refused):
    # A memo of that number costs pickle.Unpickler 8 GB.
    refused("a.pickle", b"\x80\x02]r" + struct.pack("<I", 2**29) + b".", "a list")
    # Hashing such depth ends the process; walking through it or printing it may.
    deep = b"\x80\x02})" + b"\x85" * 100_000
    refused("a.pickle", deep + b"K\x01s.", "a tuple of length 1 in place of a str")
    deep = b"\x80\x02" + b"(" * 30_000 + b"l" * 30_000 + b"."
    refused("a.pickle", deep, "a list of length 1; it must hold a dict")
    deep = pickle.dumps(changed("test", [[["deep"]]]), 2)
    deep = deep.replace(b"X\x04\0\0\0deep", b")" + b"\x85" * 30_000)
    refused("a.pickle", deep, "has the note a tuple of length 1")


def test_pickles_that_unfold_are_refused(refused, monkeypatch):
    # A hundred tunes that are one tune of a hundred steps: a small file, 10^4 steps.
    monkeypatch.setattr(roll_files, "MAX_ROLL_BYTES", 88 * 5000)
    data = pickle.dumps(changed("train", [[[60]] * 100] * 100))
    assert len(data) < 1000
    refused("a.pickle", data, "it has over 5000 steps")
    # A tune that is its own only step, which is its only note.
    tune = []
    tune.append(tune)
    refused("a.pickle", pickle.dumps(changed("train", [tune])), "has the note a list")


# MAT-files to refuse


def element(kind, content):
    padding = b"\0" * (-len(content) % 8 if kind != roll_files.COMPRESSED else 0)
    return struct.pack("<II", kind, len(content)) + content + padding


def array(kind, shape, name=b"", content=b""):
    """One array of MATLAB's class ``kind``."""
    head = element(6, struct.pack("<II", kind, 0))
    head += element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name)
    return element(roll_files.MATRIX, head + content)


def mat(*variables, compressed=False):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    if compressed:
        variables = [element(15, zlib.compress(v, 9)) for v in variables]
    return head + b"".join(variables)


def roll(shape=(2, 88), kind=9, content=None):
    if content is None:
        content = element(2, bytes(max(shape[0] * shape[1], 0)))
    return array(kind, shape, b"", content)


def cell(split, *rolls):
    return array(1, (1, len(rolls)), f"{split}data".encode(), b"".join(rolls))


REST = (cell("valid", roll()), cell("test", roll()))


@pytest.mark.parametrize("compressed", [False, True])
def test_scipy_reads_the_mats_built_here(written, compressed):
    scipy_io = pytest.importorskip("scipy.io")
    data = mat(cell("train", roll((3, 88)), roll()), *REST, compressed=compressed)
    found = scipy_io.loadmat(io.BytesIO(data))["traindata"]
    assert [tune.shape for tune in found[0]] == [(3, 88), (2, 88)]
    found = read(written("a.mat", data))["train"]
    assert [tune.shape for tune in found] == [(3, 88), (2, 88)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("train", "message"),
    [
        (cell("other", roll()), "no variable traindata"),
        (cell("train"), "traindata is empty"),
        (array(9, (1, 1), b"traindata", element(2, b"\0")), "traindata is no cell"),
        (cell("train", roll(), roll((2, 87))), r"tune 1 of traindata .* \(2, 87\)"),
        (cell("train", roll((0, 88))), r"tune 0 of traindata has shape \(0, 88\)"),
        (cell("train", roll((-1, 88))), r"shape \(-1, 88\)"),
        (cell("train", roll((1, 1, 88))), r"shape \(1, 1, 88\)"),
        (cell("train", roll((2**31 - 1, 88), content=element(2, b"\1"))), "reshape"),
        (cell("train", roll(content=element(2, b"\2" + bytes(175)))), "holds 2; allow"),
        (cell("train", roll(content=element(1, b"\xff" * 176))), "holds -1; allowed"),
        (
            cell("train", roll(kind=6, content=element(9, b"\xff" * 8 * 176))),
            "holds na",
        ),
        (
            cell("train", roll(kind=4, content=element(4, bytes(352)))),
            "numbers",
        ),  # text
        (cell("train", roll(content=element(16, bytes(176)))), "numbers"),
        (cell("train", array(1, (1, 1), b"", roll())), "numbers"),  # a cell in a cell
        (cell("train", element(14, b"")), "unpack"),
        (cell("train", element(14, b"12345")), "damaged"),
    ],
    ids=range(16),
)
def test_mats_of_anything_else_are_refused(refused, train, message, compressed):
    refused("a.mat", mat(train, *REST, compressed=compressed), message)


@pytest.mark.parametrize(
    "head", [b"", b"MATLAB", b"MATLAB 7.3".ljust(124) + b"\0\2IM", b"".ljust(128)]
)
def test_files_that_are_no_mat_are_refused(refused, head):
    refused("a.mat", head, "no little-endian .mat file")


def test_mat_bombs_are_refused(refused):
    # 200 kB of cells in cells end the process in scipy.io.loadmat; a cell said to have
    # 2^31 of them costs it 16 GB.
    depth = 100_000
    size = len(array(1, (1, 1)))
    heads = (
        struct.pack("<II", roll_files.MATRIX, size * n - 8) + array(1, (1, 1))[8:]
        for n in range(depth, 0, -1)
    )
    deep = cell("train", b"".join(heads))
    refused("a.mat", mat(deep, *REST), "tune 0 of traindata does not hold numbers")
    huge = array(1, (1, 2**31 - 1), b"traindata")
    refused("a.mat", mat(huge, *REST), "traindata is empty")
    zeros = element(15, zlib.compress(bytes(roll_files.MAX_ROLL_BYTES + 1)))
    assert len(zeros) < 70_000
    memory = 3 * roll_files.MAX_ROLL_BYTES  # more than the file: zlib's output grows
    refused("a.mat", mat(zeros), "over 67108864 bytes", memory=memory)


def test_many_variables_together_count_as_a_bomb(refused, monkeypatch):
    monkeypatch.setattr(roll_files, "MAX_ROLL_BYTES", 1500)
    train = cell("train", roll((5, 88)))
    assert len(train) < 600
    refused("a.mat", mat(train, train, train, compressed=True), "over 1500 bytes")


@pytest.mark.parametrize("form", ["mat", "compressed.mat", "json", "pickle"])
def test_damage_is_found_or_harmless(written, form):
    """Fails if a file that is cut or changed gives an error of another kind."""
    name = f"a.{form}"
    small = {split: [[[60, 64], [62]]] for split in NOTES}
    data = {
        "mat": mat(cell("train", roll()), *REST),
        "compressed.mat": mat(cell("train", roll()), *REST, compressed=True),
        "json": json.dumps(small).encode(),
        "pickle": pickle.dumps(small, 2),
    }[form]
    read(written(name, data))
    for end in range(0, len(data) - 1, 3):
        with pytest.raises(ValueError, match=r"a\."):
            read(written(name, data[:end]))
    rng = np.random.default_rng(1)
    for place in rng.integers(len(data), size=300):
        damaged = bytearray(data)
        damaged[place] = rng.integers(256)
        try:
            splits = read(written(name, damaged))
        except ValueError:
            continue
        for tune in (tune for tunes in splits.values() for tune in tunes):
            assert tune.shape[1] == 88
            assert tune.max() <= 1


# Any file


def test_size_and_suffix(refused, written, monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.json")
    with pytest.raises(ValueError, match=r"suffix '\.zip'; allowed are \.mat, \.json"):
        read(written("a.zip", b""))
    data = json.dumps(NOTES).encode()
    monkeypatch.setattr(roll_files, "MAX_FILE_BYTES", len(data))
    assert_equal(read(written("a.json", data)))
    refused("a.json", data + b" ", "over .* bytes long")
