"""Networks know the pitches and the step of their tunes, and hold rolls to them."""

import copy
import json
import pickle
import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import rewritten
from sizes import FILLED_SIZES, N

from lstmmusic import RNN4Music, datasets, mark_silence, unmark_silence
from lstmmusic.data.formats import from_text, to_text
from lstmmusic.training.checkpoint import broadcast_first
from lstmmusic.training.mpi import Ranks
from midi import PackedRoll, RollArray, RollFormat, midiread, midiwrite

BEATS = RollFormat((60, 60 + N), Fraction(1, 2), "beats")
SECONDS = RollFormat((60, 60 + N), 0.2)
WIDE = RollFormat((60, 60 + N // 2), 0.2, restruck=True)
QUANTIZED = RollFormat((60, 60 + N), Fraction(1, 2), "beats", quantize=True)
LOW = RollFormat((59, 59 + N), Fraction(1, 2), "beats")
ROLL = np.random.default_rng(71).integers(0, 2, (9, N), np.uint8)
PLAN = {"noOfEpochPerMB": 1, "noOfEpoch": 2, "sizeOfMiniBatch": 2, "lengthOfMB": 8}


def tune(format=BEATS, roll=ROLL):
    return RollArray.of(roll.copy(), format)


def twice(*rolls):
    """Return a minibatch of the shape for which other tests compile, too."""
    return [[roll[:7]] * 2 for roll in rolls]


def train(model, *tunes, **arguments):
    dataset = list(tunes) * (1 if len(tunes) > 1 else 2)
    model.train(dataset, **(PLAN | arguments), progress=False)
    return model


@pytest.fixture
def read(tmp_path):
    """A MidiRoll of `N` pitches, 0.2 s a step, and its format."""
    midiwrite(tmp_path / "a.mid", ROLL, (60, 60 + N), 0.2)
    return midiread(tmp_path / "a.mid", (60, 60 + N), 0.2)


# What carries it


def test_slices_of_a_MidiRoll_are_rows_that_know_their_format(read):
    assert len(read) == len(read.piano_roll)
    np.testing.assert_array_equal(read[2:5], read.piano_roll[2:5])
    assert read[2:5].format == read[3:].format == read.format == SECONDS
    assert read[2].shape == (N,)


def test_many_tunes_in_one_array_know_it_and_so_does_each():
    many = RollArray.of(np.stack([ROLL, ROLL]), BEATS)
    assert many.format is many[1].format is many[:, 2:4].format is BEATS
    assert many[0, 2:4].format is many[1:, 2:].format is many[..., :].format is BEATS
    assert many[:, :, 1:].format is many[0, 0].format is None
    for other in (many[:, ::2], many[:, 0], many[0, ::-1], many[0, [1, 2]]):
        assert other.format is None
    assert many.any(axis=1).format is None  # (tunes, columns): its rows are no steps


def test_rows_out_of_order_or_with_gaps_have_no_format():
    # Fails if the number of columns alone decides: every other row is the music at
    # twice the speed, turned columns are other pitches.
    roll, rows = tune(), np.arange(len(ROLL))
    kept = [roll[2:5], roll[:], roll[2:5, :], roll[..., :], roll[1:3:1], roll[5:5]]
    kept += [roll[None], roll.copy(), roll.astype(float), roll + 1, roll[()], roll[...]]
    assert [each.format for each in kept] == [BEATS] * len(kept)
    lost = [roll[::2], roll[::-1], roll[:, ::-1], roll[rows], roll[rows > 3]]
    lost += [
        roll[[2, 3]],
        roll[:, list(range(N))],
        roll[:, None],
        roll[3],
        roll[3, None],
    ]
    lost += [np.repeat(roll, 2, axis=0), np.flip(roll, 0), roll.reshape(3, -1)]
    assert [each.format for each in lost] == [None] * len(lost)
    assert isinstance(roll[3, 2], np.uint8)


def test_marks_of_silence_and_their_removal_keep_it(read):
    # Fails if the copy is a plain array, or if the tune that was given changes.
    packed = PackedRoll.of(tune())
    given = read, tune(), packed, ROLL, ROLL.tolist()
    marked = mark_silence(given)
    wanted = [SECONDS, BEATS, BEATS, None, None]
    assert [getattr(each, "format", None) for each in marked] == wanted
    assert [type(each) for each in marked[3:]] == [np.ndarray] * 2
    assert isinstance(marked[2], PackedRoll)
    assert unmark_silence(marked[1]).format is BEATS
    assert type(unmark_silence(marked[3])) is np.ndarray
    np.testing.assert_array_equal(given[1], ROLL)


def test_transposed_tunes_keep_it():
    wide = RollFormat((60, 72), 0.25)
    roll = RollArray.of(np.eye(12, dtype=np.uint8), wide)
    up, packed_up, plain = datasets.transpose(
        [roll, PackedRoll.of(roll), np.asarray(roll)], 2
    )
    assert up.format is packed_up.format is wide
    assert type(plain) is np.ndarray
    np.testing.assert_array_equal(up, plain)
    np.testing.assert_array_equal(packed_up.piano_roll, plain)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_give_tunes_that_know_it(tmp_path, packed):
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        midiwrite(tmp_path / split / "a.mid", ROLL, (60, 60 + N), 0.2)
    options = {"progress": False, "packed": packed}
    for split in datasets.load_folder(tmp_path, (60, 60 + N), 0.2, **options):
        assert [each.format for each in split] == [SECONDS]
        if packed:
            assert split[0].with_roll(ROLL[:3]).format is split[0].format


# Recording


def test_training_records_the_format_of_its_tunes(network, read):
    # Fails if a form of tune loses its format on the way to the loop.
    assert network().rollFormat is None
    for given in (
        read,
        PackedRoll.of(read),
        read.piano_roll,
        read[1:7],
        mark_silence([read])[0],
    ):
        model = train(network(), given)
        assert model.rollFormat == SECONDS
        assert "6 notes (pitches 60 to 65, steps of 0.2 s), " in repr(model)


def test_plain_arrays_tell_nothing_and_change_nothing(network, same):
    # Fails if the weights depend on the format, or plain arrays are held to one.
    model = train(network(), ROLL, validation=[ROLL[1:]], sources=[ROLL])
    assert model.rollFormat is None
    assert "6 notes, " in repr(model)
    made = model.genMusic(ROLL, 3)
    assert [type(array) for array in made] == [np.ndarray] * 2
    known = train(network(), tune(), validation=[tune()[1:]])
    same(model.parameters(), known.parameters())
    train(known, ROLL)
    assert known.rollFormat == BEATS
    assert known.evaluate([ROLL]).steps == len(ROLL) - 1
    assert known.genMusic(ROLL, 3)[0].format == BEATS


def test_arrays_are_given_a_format_by_an_argument(network):
    model = train(network(), ROLL, rollFormat=SECONDS)
    assert model.rollFormat is SECONDS
    with pytest.raises(ValueError, match="rollFormat has dt = 1/2 beats, the network"):
        train(model, ROLL, rollFormat=BEATS)
    with pytest.raises(ValueError, match=r"tune 0 of the dataset has .*, rollFormat "):
        train(network(), tune(), rollFormat=SECONDS)


@pytest.mark.parametrize(
    "where", ["dataset", "validation", "sources", "a generator", "beside arrays"]
)
def test_all_that_a_training_takes_has_one_format(network, where):
    # Fails if one of them is not looked at, or a generator is used up by looking.
    others = {} if where == "dataset" else {where: [ROLL, tune(SECONDS)]}
    dataset = [tune(), ROLL, *([tune(SECONDS)] if where == "dataset" else [])]
    named = {"dataset": "tune 2 of the dataset"}.get(where, f"tune 1 of {where}")
    if where == "a generator":
        others, named = {}, "tune 1 of the dataset"
        dataset = (tune(format) for format in (BEATS, SECONDS))
    elif where == "beside arrays":
        others, dataset = {"validation": [tune(SECONDS)], "sources": [tune()]}, [ROLL]
        named = "tune 0 of sources"
    model = network()
    with pytest.raises(ValueError, match=f"{named} has dt = .*; allowed is one format"):
        model.train(dataset, **PLAN, **others, progress=False)
    assert model.rollFormat is None
    assert model.instantaneousCost == []


def test_a_mixed_data_set_is_refused_by_file_and_by_each_differing_value(network):
    tunes = [
        PackedRoll.of(tune(), filename="bach.mid"),
        PackedRoll.of(tune(WIDE), filename="joplin.mid"),
    ]
    message = (
        "tune 1 of the dataset (joplin.mid) has r = (60, 63) and dt = 0.2 seconds and "
        "restruck = True, tune 0 of the dataset (bach.mid) has r = (60, 66) and "
        "dt = 1/2 beats and restruck = False; allowed is one format"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(network(), *tunes)


# Holding

CALLS = {
    "the dataset of train": lambda model, given: train(model, ROLL, given),
    "validation": lambda model, given: train(model, ROLL, validation=[given[1:]]),
    "sources": lambda model, given: train(model, ROLL, sources=[given]),
    "evaluate": lambda model, given: model.evaluate([ROLL, given]),
    "probabilities": lambda model, given: model.probabilities(given),
    "states": lambda model, given: model.states(given),
    "influence": lambda model, given: model.influence(given, 3, 2),
    "inputs": lambda model, given: model.gradients(*twice(given, ROLL)),
    "targets": lambda model, given: model.gradients(*twice(ROLL, given)),
    "the primer": lambda model, given: model.genMusic(given, 2),
    "a slice": lambda model, given: model.genMusic(given[2:4], 2),
    "primers": lambda model, given: model.genMusic([ROLL, given], 2),
    "primers in one array": lambda model, given: model.genMusic(given[None], 2),
    "given": lambda model, given: model.genMusic(ROLL, 2, given=given[:2]),
    "wasTrainedOn": lambda model, given: model.wasTrainedOn(given),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize(
    ("other", "theirs", "ours"),
    [
        (SECONDS, "dt = 0.2 seconds", "dt = 1/2 beats"),
        (QUANTIZED, "quantize = True", "quantize = False"),
        (LOW, r"r = \(59, 65\)", r"r = \(60, 66\)"),
    ],
    ids=["step", "quantized", "pitches"],
)
def test_rolls_of_another_format_are_refused_by_name_and_value(
    network, call, other, theirs, ours, everything, same
):
    # Fails if a call strips the format before it is compared.
    model = network()
    model.rollFormat = BEATS
    before = everything(model)
    message = f"has {theirs}, the network was trained on {ours}; model.rollFormat = Non"
    with pytest.raises(ValueError, match=message):
        call(model, tune(other))
    same(before, everything(model))
    call(model, tune())
    model.rollFormat = None
    call(model, tune(other))


def test_a_file_is_named(network, read):
    model = network()
    model.rollFormat = BEATS
    with pytest.raises(ValueError, match=r"^the primer \(.*a\.mid\) has dt = 0\.2 sec"):
        model.genMusic(read, 2)
    with pytest.raises(ValueError, match=r"^tune 1 of the primer \(.*a\.mid\) has dt"):
        model.genMusic([tune(), read], 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.2", "rollFormat is '0.2'; allowed are None and a midi.RollFormat"),
        (RollFormat(), r"rollFormat has 88 columns \(pitches 21 to 108.*allowed .* 6 "),
    ],
)
def test_other_values_of_rollFormat_are_refused(network, value, message):
    model = network()
    model.rollFormat = QUANTIZED
    with pytest.raises(ValueError, match=message):
        model.rollFormat = value
    with pytest.raises(ValueError, match=message):
        train(model, ROLL, rollFormat=value)
    assert model.rollFormat is QUANTIZED


def test_other_things_called_format_are_none_of_a_roll(network):
    # A memoryview has one, too. Fails if any attribute of that name is taken.
    model = network()
    model.rollFormat = BEATS
    assert memoryview(ROLL).format == "B"
    assert model.probabilities(memoryview(ROLL)).shape == ROLL.shape


# Generation


def test_generated_music_tells_it(network):
    model = train(network(), tune())
    many = model.genMusic(tune(), 3, noOfTunes=2, keepPrimer=True)
    for array in (*model.genMusic(tune(), 3), *many, *many[0], many[0][:, 2:]):
        assert array.format is BEATS
    assert [array.shape for array in many] == [(2, 12, N)] * 2


@pytest.mark.parametrize("arguments", [{}, {"noOfTunes": 2}, {"maxNotes": 1}])
@pytest.mark.parametrize("keep", [False, True])
def test_music_from_nothing_follows_a_row_of_silence_that_is_not_in_it(
    network, arguments, keep
):
    # Fails if the row is kept, or is read from another state than that at step −1.
    model = network()
    made = model.genMusic(None, 5, seed=3, keepPrimer=keep, **arguments)
    wanted = model.genMusic(np.zeros((1, N)), 5, seed=3, **arguments)
    for found, array in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(found, array, strict=True)
    rows = np.reshape(made[0], (-1, 5, N))
    model.genProbThreshold = 0.0
    _, y = model.genMusic(None, 5, seed=3, noOfTunes=len(rows))
    silent = np.zeros((1, N))
    np.testing.assert_allclose(
        y.reshape(-1, 5, N)[0, 0], model.probabilities(silent)[0], rtol=1e-12
    )


def test_music_from_nothing_has_the_likelihood_of_whole_tunes(network):
    # evaluate(skipFirst=False) predicts every row after a row of zeros: the chances
    # that a tune was drawn with give the same sum. Fails if they are one row apart.
    model = network()
    model.genProbThreshold = 0.0
    made, y = model.genMusic(None, 20, seed=4)
    nats = -np.log(np.where(made > 0.5, y, 1 - y)).sum() / 20
    np.testing.assert_allclose(nats, model.evaluate([made], skipFirst=False).nll)


def test_notes_are_given_to_music_from_nothing(network, joint):
    for model in (network(), joint()):
        melody = np.full((4, model.io_length), np.nan)
        melody[:, 2] = [1, 0, 1, 1]
        made, _ = model.genMusic(None, 4, given=melody, seed=5, keepPrimer=True)
        np.testing.assert_array_equal(made[:, 2], [1, 0, 1, 1])


# Files, copies, processes

FORMATS = [
    None,
    SECONDS,
    RollFormat((60, 60 + N), 1 / 3),
    RollFormat((0, N), Fraction(7, 32767), "beats"),
    RollFormat((60, 60 + N // 2), 3, "beats", True, True),
]


@pytest.mark.parametrize("format", FORMATS)
def test_files_copies_and_pickles_carry_it(tmp_path, format):
    restruck = format is not None and format.restruck
    form = {"output": "joint", "restruck": True} if restruck else {}
    model, other = (RNN4Music(5, 4, 3, N, **form) for _ in range(2))
    model.rollFormat = format
    model.saveParameters(tmp_path / "a")
    other.rollFormat = None if restruck else LOW
    other.loadParameters(tmp_path / "a")
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    for each in (other, *copies, RNN4Music.fromFile(tmp_path / "a")):
        assert each.rollFormat == format
        assert type(getattr(each.rollFormat, "dt", None)) is type(
            getattr(format, "dt", None)
        )
    assert from_text(to_text(format), N, restruck) == format


def test_a_file_of_version_4_has_none(filled, saved):
    assert filled.rollFormat is not None
    rewritten(saved, formatVersion=4, rollFormat=None)
    assert RNN4Music.fromFile(saved).rollFormat is None
    filled.loadParameters(saved)
    assert filled.rollFormat is None


SOUND = {"r": [60, 65], "dt": [1, 2], "unit": "beats", "quantize": False}
SOUND |= {"restruck": False}
SOUND_S = {"unit": "seconds", "dt": 0.2}
FORGED = {
    "no JSON": "{",
    "too deep": "[" * 30_000,
    "too long": '"' + "x" * 2**17 + '"',
    "a number": "5",
    "a list": "[]",
    "a field missing": {"quantize": ...},
    "a field more": {"more": 1},
    "no pitches": {"r": []},
    "three pitches": {"r": [60, 65, 70]},
    "pitches in words": {"r": "ab"},
    "fractions of pitches": {"r": [60.0, 65.0]},
    "pitches upside down": {"r": [65, 60]},
    "pitches beyond MIDI": {"r": [200, 205]},
    "another width": {"r": [60, 66]},
    "twice the width": {"restruck": True},
    "no truth": {"restruck": 0},
    "null": {"quantize": None},
    "another unit": {"unit": "bars"},
    "a list of units": {"unit": ["beats"]},
    "a float of beats": {"dt": 0.5},
    "beats in words": {"dt": "1/2"},
    "division by zero": {"dt": [1, 0]},
    "half a numerator": {"dt": [0.5, 1]},
    "true as a numerator": {"dt": [True, 1]},
    "no beats": {"dt": [0, 1]},
    "negative beats": {"dt": [-1, 2]},
    "too fine": {"dt": [1, 32768]},
    "too long a step": {"dt": [10**400, 1]},
    "whole seconds": SOUND_S | {"dt": 1},
    "a fraction of seconds": SOUND_S | {"dt": [1, 2]},
    "no seconds": SOUND_S | {"dt": 0.0},
    "infinite seconds": SOUND_S | {"dt": float("inf")},
    "NaN seconds": SOUND_S | {"dt": float("nan")},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=list(FORGED))
def test_forged_formats_in_a_file_are_refused(saved, refused, forged):
    # Fails if the object is half loaded, or another error than ParameterFileError ends.
    if isinstance(forged, dict):
        values = {k: v for k, v in (SOUND | forged).items() if v is not ...}
        forged = json.dumps(values)
    refused(rewritten(saved, rollFormat=forged), "saved.npz")


def test_a_joint_output_that_takes_a_network_up_keeps_its_format(network, tmp_path):
    model = train(network(), tune())
    model.saveParameters(tmp_path / "a")
    taken = RNN4Music.fromFile(tmp_path / "a", output="joint", jointUnits=2)
    assert taken.rollFormat == BEATS


def test_the_format_that_is_forged_would_have_been_read(saved):
    rewritten(saved, rollFormat=json.dumps(SOUND))
    assert RNN4Music.fromFile(saved).rollFormat == RollFormat((60, 65), 0.5, "beats")
    assert FILLED_SIZES[3] == 5


# Resumed training


class Stop(Exception):
    """End a training early."""


@pytest.fixture
def stopped(network, tmp_path, monkeypatch):
    """Return a function that trains for one update of two, and gives the checkpoint."""

    def run(given):
        path = tmp_path / "stopped.npz"
        model = network()

        def stop_after_one(functions, *args):
            functions.step = stop
            return step(*args)

        def stop(*args):
            raise Stop

        step = model._functions.step
        monkeypatch.setattr(
            model._functions, "step", lambda *a: stop_after_one(model._functions, *a)
        )
        with pytest.raises(Stop):
            train(model, given, checkpoint=path, checkpointEvery=1)
        monkeypatch.undo()
        assert not RNN4Music.fromFile(path).trainingOver
        return path

    return run


def test_a_resumed_training_keeps_its_format(network, stopped):
    # The same cells under another format are other music.
    path = stopped(tune())
    model = network()
    message = "^the dataset has dt = 0.2 seconds, the stopped training has dt = 1/2 be"
    with pytest.raises(ValueError, match=message):
        train(model, tune(SECONDS), checkpoint=path, resume=True)
    assert model.rollFormat is None
    assert model.instantaneousCost == []
    for given in (ROLL, tune()):
        again = train(network(), given, checkpoint=path, resume=True)
        assert again.rollFormat == BEATS
        assert len(again.instantaneousCost) == 2


def test_a_format_of_the_object_is_none_of_plain_data(network, stopped):
    # The checkpoint replaces the object. Fails if the object's format is compared.
    path = stopped(tune())
    model = network()
    model.rollFormat = LOW
    train(model, ROLL, checkpoint=path, resume=True)
    assert model.rollFormat == BEATS


def test_a_training_begun_without_a_format_is_resumed_with_one(network, stopped):
    # As of a file before version 5, whose tunes are read again by midiread.
    path = rewritten(stopped(ROLL), formatVersion=4, rollFormat=None)
    again = train(network(), tune(), checkpoint=path, resume=True)
    assert again.rollFormat == BEATS
    assert RNN4Music.fromFile(path).rollFormat == BEATS


def test_all_ranks_take_the_first_one_s_format(network):
    first, other = network(), network("squared-error")
    first.rollFormat = BEATS
    sent = []

    def bcast(saved):
        sent.extend([saved] if saved else [])
        return pickle.loads(pickle.dumps(sent[0]))

    for rank, model in enumerate((first, other)):
        ranks = Ranks()
        ranks.alone, ranks.first = False, rank == 0
        ranks.comm = SimpleNamespace(bcast=bcast)
        if rank:
            with pytest.warns(UserWarning, match="cost='cross-entropy'"):
                broadcast_first(model, ranks)
        else:
            broadcast_first(model, ranks)
    assert other.rollFormat == BEATS


def test_ranks_with_tunes_of_different_formats_are_told(network):
    ranks = Ranks()
    ranks.alone = False
    ranks.comm = SimpleNamespace(allgather=lambda ours: [BEATS, ours])
    with pytest.raises(
        ValueError, match="rollFormat is pitches 60 to 65, steps of 1/2"
    ):
        ranks.same("rollFormat", SECONDS)


def test_a_network_without_restruck_columns_refuses_tunes_with_them():
    """Fails if 2 N columns are taken for notes, or N for the two halves."""
    plain = RollFormat((60, 66), 0.5, "beats")
    marked = RollFormat((60, 63), 0.5, "beats", restruck=True)
    for own, other in ((plain, marked), (marked, plain)):
        model = RNN4Music(3, 3, 3, 6, output="joint", restruck=own.restruck, seed=1)
        tune = RollArray.of(np.zeros((5, 6), np.uint8), other)
        message = f"restruck={other.restruck} .* network has restruck={own.restruck}"
        with pytest.raises(ValueError, match=message):
            model.train([tune], 1, 1, 1, 4, progress=False)
        with pytest.raises(ValueError, match=message):
            model.rollFormat = other
        assert model.rollFormat is None
        model.rollFormat = own


@pytest.mark.parametrize("where", ["validation", "sources"])
def test_a_format_beside_arrays_is_checked_before_any_work(network, where, tmp_path):
    """Fails if the format is first looked at when the training begins."""
    marked = RollFormat((60, 60 + N // 2), 0.5, "beats", restruck=True)
    model = network()
    more = {where: [tune(marked)], "checkpoint": tmp_path / "a"}
    with pytest.raises(ValueError, match=r"restruck=True .* network has rest"):
        train(model, ROLL, **more)
    assert model.trainings == []
    assert model.trainingOver


def test_a_training_that_fails_at_once_leaves_no_format(network, monkeypatch):
    """Fails if the format is set before the first update has been made."""
    model = network()

    def fail(*args):
        raise Stop

    monkeypatch.setattr(model._functions, "step", fail)
    with pytest.raises(Stop):
        train(model, tune())
    assert model.rollFormat is None
    monkeypatch.undo()
    assert train(model, tune(SECONDS)).rollFormat == SECONDS
