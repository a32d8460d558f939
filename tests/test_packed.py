"""Test that a PackedRoll holds the same roll in fewer bytes, and trains the same."""

import copy
import pickle
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from sizes import B, N, T

from lstmmusic import datasets, mark_silence, music_statistics
from lstmmusic.data.batches import check_dataset
from lstmmusic.training.state import fingerprint
from midi import PackedRoll, midiread, midiwrite


def rolls(*lengths, width=N, seed=5):
    rng = np.random.default_rng(seed)
    return [(rng.random((n, width)) < 0.3).astype(np.uint8) for n in lengths]


@pytest.mark.parametrize("width", [1, 7, 8, 9, 88, 127])
def test_rows_equal_the_array_s_at_odd_widths(width):
    # Fails if the padding of a row's last byte is taken for notes, if a row begins in
    # the one before, or if a slice differs from an array's.
    (roll,) = rolls(37, width=width)
    packed = PackedRoll.of(roll)
    assert packed.piano_roll.dtype == np.uint8
    np.testing.assert_array_equal(packed.piano_roll, roll, strict=True)
    assert (packed.shape, len(packed)) == ((37, width), 37)
    for cut in [(0, 5), (3, 3), (5, 20), (30, 99), (-4, None), (9, 2), (36, 37)]:
        np.testing.assert_array_equal(packed.rows(*cut), roll[slice(*cut)], strict=True)


def test_rows_from_stop_on_are_not_decompressed(monkeypatch):
    # Fails if the first rows of a long tune cost the whole of it.
    sizes = []

    class Counted:
        def __init__(self, bits):
            self.stream = decompressobj(bits)

        def decompress(self, *args):
            sizes.append(len(out := self.stream.decompress(*args)))
            return out

    decompressobj = zlib.decompressobj
    packed = PackedRoll.of(rolls(5000, width=88)[0])
    monkeypatch.setattr(zlib, "decompressobj", Counted)
    assert packed.rows(10, 65).shape == (55, 88)
    assert sizes == [65 * 11]


def test_it_has_the_file_s_roll_r_dt_and_name(tmp_path):
    path = str(tmp_path / "a.mid")
    midiwrite(path, rolls(9, width=5)[0], (60, 65), 0.3)
    read = midiread(path, (60, 65), 0.3)
    packed = PackedRoll.of(read)
    np.testing.assert_array_equal(packed.piano_roll, read.piano_roll)
    assert (packed.r, packed.dt, packed.filename) == ((60, 65), 0.3, path)
    assert packed.name == read.name
    assert repr(packed) == f"<PackedRoll {path}: 9 steps of 5 columns in 15 bytes>"
    assert packed.nbytes == 15
    with pytest.raises(ValueError, match="read-only"):
        packed.piano_roll[0, 0] = 1
    other = packed.with_roll(1 - read.piano_roll)
    np.testing.assert_array_equal(other.piano_roll, 1 - read.piano_roll)
    assert (other.r, other.dt, other.filename) == (packed.r, packed.dt, path)
    again = PackedRoll.of(packed)
    np.testing.assert_array_equal(again.piano_roll, read.piano_roll)


def test_copies_and_pickles_are_equal_and_small():
    # Fails if the pickle holds the notes, the array, or the names of its parts.
    tunes = [PackedRoll.of(t, (21, 109), 0.2, "a") for t in rolls(50, 60, width=88)]
    for each in (copy.copy(tunes[1]), *pickle.loads(pickle.dumps(tunes))[1:]):
        np.testing.assert_array_equal(each.piano_roll, tunes[1].piano_roll)
        assert (each.r, each.dt, each.filename) == ((21, 109), 0.2, "a")
        assert each._layout is tunes[0]._layout  # shared by all
    nbytes = sum(tune.nbytes for tune in tunes)
    assert len(pickle.dumps(tunes)) < nbytes + 300


def test_packed_tunes_take_under_450_bytes_each(shared):
    # Nottingham's own tunes, each an object with a name. Fails if anything but the
    # compressed bits and their object stays: an array has 20 kB, its bits 2.5 kB.
    tunes = datasets.load_standard("Nottingham", shared("polyphonic")).train
    tunes = [tune for tune in tunes if 150 < len(tune) < 300][:300]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        packed_tunes = [
            PackedRoll.of(tune, (21, 109), 0.2, f"lmd_full/{n:036}")
            for n, tune in enumerate(tunes)
        ]
        used = tracemalloc.get_traced_memory()[0] - before
        bytes_each = used / len(packed_tunes)
    finally:
        tracemalloc.stop()
    assert sys.getsizeof(packed_tunes[0]) <= 56
    assert bytes_each < 450
    assert bytes_each < 0.25 * np.mean([tune.size / 8 for tune in tunes])


@pytest.mark.parametrize(
    ("roll", "r", "message"),
    [
        ([[0, 2]], None, "piano_roll holds the value 2; allowed: an array of zeros"),
        ([[0, np.nan]], None, "piano_roll holds the value nan"),
        ([0, 1], None, r"shape \(2,\) and .* of shape \(steps, notes\)"),
        ([[0], [0, 1]], None, "piano_roll is no array"),
        (["a"], None, "piano_roll has shape .* dtype <U1"),
        (np.zeros((3, 0)), None, r"piano_roll has shape \(3, 0\); allowed: a column"),
        (np.broadcast_to(np.uint8(0), (10**7, 11)), None, "up to 100000000 cells"),
        ([[0, 1]], (60, 63), r"shape \(1, 2\) .* \(steps, 3\), as r is \(60, 63\)"),
        ([[0, 1]], (63, 60), r"r is \(63, 60\); allowed"),
    ],
)
def test_bad_rolls_and_ranges_are_refused(roll, r, message):
    with pytest.raises(ValueError, match=message):
        PackedRoll.of(roll, r)


# Training and evaluation

TUNES = rolls(30, 4, 17, 3, 20, 12, 9)
VALID = rolls(18, 5, seed=6)
WAYS = {
    "cut": {"sizeOfMiniBatch": B, "lengthOfMB": T + 1, "noOfEpoch": 4},
    "whole": {"sizeOfMiniBatch": B, "lengthOfMB": None, "noOfEpoch": 2},
}


# Those whose programs other files compile, too.
OPTIMIZERS = {"cut": "RMSprop", "whole": "Adam"}


def packed(tunes):
    return [PackedRoll.of(tune) for tune in tunes]


@pytest.mark.parametrize("way", WAYS)
def test_training_gives_the_same_weights_bit_for_bit(network, same, way):
    # Tunes shorter and longer than a minibatch, packed, unpacked and mixed. Fails if a
    # row is lost or comes twice, or if packed tunes are drawn in another order.
    found = []
    for tunes, valid in (
        (TUNES, VALID),
        (packed(TUNES), packed(VALID)),
        (TUNES[:3] + packed(TUNES[3:]), VALID),
    ):
        model = network(optimizer=OPTIMIZERS[way])
        before = model.parameters()
        model.train(
            tunes, noOfEpochPerMB=1, **WAYS[way], validation=valid, progress=False
        )
        found.append(model.parameters())
        found[-1]["costs"] = np.array(model.instantaneousCost)
        found[-1]["validation"] = np.array(model.validationCost)
        assert not np.array_equal(before["by"], found[-1]["by"])
    same(found[0], found[1])
    same(found[0], found[2])


def test_a_checkpoint_of_unpacked_tunes_resumes_with_packed_ones(network, tmp_path):
    # Fails if the checkpoint's plan takes them for other tunes.
    assert fingerprint(packed(TUNES), np.float32) == fingerprint(TUNES, np.float32)
    file = tmp_path / "checkpoint.npz"
    way = {"noOfEpochPerMB": 1, **WAYS["whole"], "progress": False}
    model = network(optimizer="Adam")
    model.train(TUNES, **way, validation=VALID, checkpoint=file)
    weights = model.parameters()
    again = {"validation": packed(VALID), "checkpoint": file, "resume": True}
    model = network(optimizer="Adam")
    model.train(packed(TUNES), **way, **again)
    np.testing.assert_array_equal(model.parameters()["by"], weights["by"])


@pytest.mark.parametrize("skip_first", [True, False])
def test_evaluation_is_the_same(network, skip_first):
    model = network()
    usual = model.evaluate(TUNES, skipFirst=skip_first, sizeOfBatch=4)
    found = model.evaluate(packed(TUNES), skipFirst=skip_first, sizeOfBatch=4)
    np.testing.assert_equal(found._asdict(), usual._asdict())


def test_only_the_rows_of_a_minibatch_are_unpacked(network, monkeypatch):
    # Whole tunes are unpacked twice each, for the plan and for its digest; then the
    # first 8 steps of the 2 tunes of each minibatch.
    stops = []
    rows = PackedRoll.rows

    def counted(self, start=0, stop=None):
        stops.append(stop)
        return rows(self, start, stop)

    monkeypatch.setattr(PackedRoll, "rows", counted)
    tunes = packed(TUNES)
    assert check_dataset(tunes, N, np.float32) == tunes
    assert stops == []
    model = network()
    way = {"noOfEpochPerMB": 2, **WAYS["cut"], "progress": False}
    model.train(tunes, **way)
    assert stops == 14 * [None] + 4 * B * [T + 1]


def test_transposing_marking_and_statistics_give_the_same():
    # Fails if a changed tune is no longer packed.
    tunes = rolls(20, 31, width=17)
    tunes[1][4:7] = 0
    for change in (
        mark_silence,
        lambda dataset: datasets.transpose(dataset, [0, 3, -20]),
    ):
        usual, found = change(tunes), change(packed(tunes))
        assert len(usual) == len(found)
        for one, other in zip(usual, found, strict=True):
            assert isinstance(other, PackedRoll)
            np.testing.assert_array_equal(other.piano_roll, one, strict=True)
    r = (40, 57)
    usual = music_statistics(tunes[0], tunes, r)
    found = music_statistics(PackedRoll.of(tunes[0]), packed(tunes), r)
    np.testing.assert_equal(found.distance_parts, usual.distance_parts)
    np.testing.assert_equal(found.dataset._asdict(), usual.dataset._asdict())


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (np.zeros((4, N + 1)), r"tune 1 of it has shape \(4, 7\); .* \(steps, 6\)"),
        (np.zeros((0, N)), r"tune 1 of it has shape \(0, 6\); .* at least 1 step"),
        (np.zeros((1, N)), "tune 1 of it has 1 step; allowed are 2 or more"),
    ],
)
def test_bad_packed_tunes_are_refused_as_arrays_are(tune, message):
    for dataset in ([TUNES[0], tune], packed([TUNES[0], tune])):
        with pytest.raises(ValueError, match=message):
            check_dataset(dataset, N, np.float64, "it", least=2)
    with pytest.raises(ValueError, match=r"tune 0 has shape \(4, 7\); .* at least 12"):
        datasets.transpose(packed([np.zeros((4, N + 1))]), 1)
