"""Test the record of trainings: tunes, settings, and the steps of each cost."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from conftest import rewritten
from sizes import N

from lstmmusic import ParameterFileError, RNN4Music, datasets, mark_silence
from lstmmusic.training import provenance
from lstmmusic.training.loop import Training
from midi import PackedRoll

RNG = np.random.default_rng(14)
TUNES = [RNG.integers(0, 2, size=(n, N)) for n in (9, 12, 5, 33)]
ALL = {"sizeOfMiniBatch": 4}
OTHER = RNG.integers(0, 2, size=(9, N))


def train(model, dataset=TUNES, **arguments):
    plan = {"noOfEpochPerMB": 1, "noOfEpoch": 2, "sizeOfMiniBatch": 2, "lengthOfMB": 8}
    model.train(dataset, **(plan | arguments), progress=False)
    return model


def of_version_2(path):
    """Make of a file what version 2 would have written."""
    new = ["stepsOfCost", "trainedOn", "trainedOnComplete", "trainings"]
    return rewritten(path, formatVersion=2, **dict.fromkeys(new))


# Which tunes


def test_tunes_of_the_training_are_known_and_others_are_not(network, tmp_path):
    # Fails if the digest hangs on the dtype, or on how the tune is held; or if the
    # file, a copy or a pickle does not know what the object does.
    model = network()
    assert model.wasTrainedOn(TUNES[0]) is False
    train(model)
    model.saveParameters(tmp_path / "a")
    loaded = network()
    loaded.loadParameters(tmp_path / "a")
    for known in (
        model,
        loaded,
        RNN4Music.fromFile(tmp_path / "a"),
        pickle.loads(pickle.dumps(model)),
    ):
        for tune in TUNES:
            for dtype in (bool, np.uint8, float, np.float32):
                assert known.wasTrainedOn(tune.astype(dtype)) is True
            assert known.wasTrainedOn(PackedRoll.of(tune)) is True
            assert known.wasTrainedOn(tune[:-1]) is False
        assert known.wasTrainedOn(OTHER) is False


def test_tunes_of_an_earlier_training_are_joined(network, tmp_path):
    model = train(network())
    train(model, [OTHER, OTHER])
    model.saveParameters(tmp_path / "a")
    again = RNN4Music.fromFile(tmp_path / "a")
    assert [again.wasTrainedOn(tune) for tune in (*TUNES, OTHER)] == 5 * [True]
    with np.load(tmp_path / "a.npz") as file:
        assert file["trainedOn"].nbytes == 8 * 5  # OTHER once


def test_sources_are_recorded_in_place_of_what_was_made_of_them(network):
    made = mark_silence(TUNES)
    assert any(not np.array_equal(a, b) for a, b in zip(made, TUNES, strict=True))
    model = train(network(), made, sources=TUNES)
    assert all(model.wasTrainedOn(tune) for tune in TUNES)
    model = train(network(), made)
    assert not all(model.wasTrainedOn(tune) for tune in TUNES)


@pytest.mark.parametrize("tune", [None, "tune", np.zeros(3), np.full((3, N), 2)])
def test_what_is_no_tune_is_refused(network, tune):
    with pytest.raises(ValueError, match=r"^tune "):
        network().wasTrainedOn(tune)


def test_a_tune_between_0_and_1_has_a_digest_of_its_own():
    tune = RNG.random((7, N)).astype(np.float32)
    assert provenance.digest_of(tune) == provenance.digest_of(tune.astype(float))
    assert provenance.digest_of(tune) != provenance.digest_of(tune > 0)
    silence = np.zeros((8, 8))  # the same bits in all of these
    shapes = {provenance.digest_of(silence[:t, :n]) for t in (1, 2) for n in (1, 2, 8)}
    assert len(shapes) == 6


def test_of_weights_of_a_users_own_it_is_not_known(network):
    # They may be another network's. Biases and the state are no training.
    model = network()
    values = model.parameters()
    model.setParameters({name: values[name] for name in ("by", "bf_1", "htd1_2")})
    assert model.wasTrainedOn(OTHER) is False
    model.setParameters({"Why_1": values["Why_1"]})
    assert model.wasTrainedOn(OTHER) is None
    validated = train(network(), validation=[OTHER])  # the best weights are put back
    assert validated.wasTrainedOn(OTHER) is False


def test_a_validation_of_tunes_trained_on_gives_a_warning(network):
    # Fails if it looks at the pieces that a tune is cut into, not at the tune, or at
    # the form of the rolls.
    pieces = [TUNES[0][:4], TUNES[0][4:]]
    train(network(), pieces, sources=TUNES[:1], validation=[OTHER, *TUNES[1:]])
    message = "^validation has 1 tune of the training, the first is tune 1; the cost of"
    given = [OTHER, PackedRoll.of(TUNES[0])]
    with pytest.warns(UserWarning, match=message):
        train(network(), pieces, sources=TUNES[:1], validation=given)


def test_a_training_that_makes_no_update_records_nothing(network):
    model = network()
    model.setParameters({"by": np.full(N, -1e308)})
    with pytest.raises(ArithmeticError):
        train(model)
    assert model.wasTrainedOn(TUNES[0]) is False
    assert model.trainings == []


def test_of_an_older_file_it_is_not_known_but_for_tunes_trained_on_since(
    network, tmp_path
):
    train(network()).saveParameters(tmp_path / "a")
    model = RNN4Music.fromFile(of_version_2(tmp_path / "a.npz"), dtype="float64")
    assert model.wasTrainedOn(TUNES[0]) is None
    train(model, [OTHER, OTHER])
    assert model.wasTrainedOn(OTHER) is True
    assert model.wasTrainedOn(TUNES[0]) is None
    model.saveParameters(tmp_path / "b")  # and the new file knows that
    again = RNN4Music.fromFile(tmp_path / "b")
    assert [again.wasTrainedOn(tune) for tune in (OTHER, TUNES[0])] == [True, None]


def test_of_an_older_file_without_training_it_is_known(network, tmp_path):
    network().saveParameters(tmp_path / "a")
    model = RNN4Music.fromFile(of_version_2(tmp_path / "a.npz"))
    assert model.wasTrainedOn(TUNES[0]) is False


def test_of_the_originals_files_it_is_never_known(shared):
    path = shared("original/fixedTrial_xEnError_182.npz")
    with pytest.warns(UserWarning, match="D4"):
        model = RNN4Music.fromFile(path)
    assert model.wasTrainedOn(np.zeros((3, 88))) is None


# Cost per step


@pytest.mark.parametrize(
    ("form", "steps"),
    [
        ({"lengthOfMB": 8}, [7, 7]),
        ({"lengthOfMB": None, **ALL}, [(8 + 11 + 4 + 32) / 4] * 2),
        ({"lengthOfMB": None, **ALL, "average": "step"}, [1, 1]),
    ],
    ids=["cut", "whole, tune", "whole, step"],
)
def test_each_cost_knows_over_how_many_steps_it_is_summed(
    network, tmp_path, form, steps
):
    model = train(network(), **form)
    wanted = [c / n for c, n in zip(model.instantaneousCost, steps, strict=True)]
    model.saveParameters(tmp_path / "a")
    for known in (model, RNN4Music.fromFile(tmp_path / "a"), copy.deepcopy(model)):
        assert known.stepsOfCost == steps
        assert known.costPerStep == wanted


def test_cost_per_step_is_evaluates_nll(network):
    # The only update's cost, at the rate 1e-9, is that of the network after it.
    model = network()
    model.resetStates()
    model.setNewRates(*4 * [1e-9])
    train(model, TUNES[:1], sizeOfMiniBatch=1, noOfEpoch=1, lengthOfMB=None)
    assert model.costPerStep == [pytest.approx(model.evaluate(TUNES[:1]).nll, 1e-6)]


def test_trainings_of_other_lengths_each_have_their_own_steps(network):
    model = train(train(network(), lengthOfMB=8), lengthOfMB=5)
    assert model.stepsOfCost == [7, 7, 4, 4]


def test_steps_that_are_not_known_are_NaN(network, tmp_path):
    train(network()).saveParameters(tmp_path / "a")
    model = RNN4Music.fromFile(of_version_2(tmp_path / "a.npz"), dtype="float64")
    train(model)
    assert np.isnan(model.costPerStep).tolist() == [True, True, False, False]
    for history in ([3.0], [3.0] * 7):  # of a user's own
        model.instantaneousCost = history
        assert [math.isnan(cost) for cost in model.costPerStep] == [True] * len(history)
    model.saveParameters(tmp_path / "b")
    assert len(RNN4Music.fromFile(tmp_path / "b").costPerStep) == 7


@pytest.mark.parametrize("clear", [lambda m: m.instantaneousCost.clear(), None])
def test_a_history_that_is_cleared_has_the_steps_of_what_comes_after(network, clear):
    model = train(network(), lengthOfMB=8)
    if clear:
        clear(model)
    else:
        model.instantaneousCost = []
    train(model, lengthOfMB=5)
    assert model.stepsOfCost == [4, 4]


# How


def test_each_training_has_a_record(network, tmp_path):
    model = network()
    model.setNewRates(0.01, 0.02, 0.03, 0.04)
    train(model, command="python 'my script.py'")
    model.setNewRates(0.001, 0.002, 0.003, 0.004)
    train(model, noOfEpoch=3, lam=0.5)
    model.saveParameters(tmp_path / "a")
    for known in (model, RNN4Music.fromFile(tmp_path / "a"), copy.deepcopy(model)):
        first, second = known.trainings
        assert first["command"] == "python 'my script.py'"
        assert second["command"] is None
        assert (first["updates"], second["updates"]) == (2, 3)
        assert (first["noOfEpoch"], second["noOfEpoch"]) == (2, 3)
        assert (first["R2"], second["Rout"], second["lam"]) == (0.02, 0.004, 0.5)
        assert first["optimizer"] == "RMSprop"
        assert first["dataset"].startswith("4 tunes of 59 steps")


def test_a_training_in_a_loop_has_one_record_and_the_newest_are_kept(network):
    # Fails if the file grows with each call, up to what cannot be read back.
    model = network()
    for _ in range(3):
        train(model, noOfEpoch=1)
    assert [record["updates"] for record in model.trainings] == [3]
    records = []
    for n in range(provenance.MOST_TRAININGS + 5):
        provenance.add_training(records, {"command": str(n), "updates": 0})
    assert len(records) == provenance.MOST_TRAININGS
    assert records[-1]["command"] == str(n)


def test_records_that_could_not_be_read_back_are_not_written(network, tmp_path):
    model = train(network())
    model.saveParameters(tmp_path / "a")
    before = (tmp_path / "a.npz").read_bytes()
    model.trainings.append({"note": "mine"})
    with pytest.raises(ValueError, match=r"trainings holds .*mine"):
        model.saveParameters(tmp_path / "a")
    assert (tmp_path / "a.npz").read_bytes() == before


def test_a_resumed_training_goes_on_in_its_record(network, monkeypatch):
    model = network()
    record = Training.record

    def stop_after_the_first(training, *args):
        record(training, *args)
        if len(model.instantaneousCost) == 1:
            model._train_state.stopped = True

    monkeypatch.setattr(Training, "record", stop_after_the_first)
    train(model, command="first")
    model._train_state.stopped = False
    train(model, command="second", resume=True)
    (only,) = model.trainings
    assert (only["command"], only["updates"]) == ("first", 2)


def test_the_longest_commands_of_most_trainings_fit_into_a_file(network, tmp_path):
    # Fails if a file is written that is not read back.
    model = network()
    longest = "🎵" * provenance.LONGEST_COMMAND
    for n in range(provenance.MOST_TRAININGS):
        provenance.add_training(model.trainings, {"command": longest, "updates": n})
    model.saveParameters(tmp_path / "a")
    assert RNN4Music.fromFile(tmp_path / "a").trainings == model.trainings


def test_of_an_older_file_what_is_known_is_recorded(network, tmp_path):
    train(network()).saveParameters(tmp_path / "a")
    (record,) = RNN4Music.fromFile(of_version_2(tmp_path / "a.npz")).trainings
    assert (record["command"], record["updates"], record["lengthOfMB"]) == (None, 2, 8)


# Damage

RECORD = {"command": "", "updates": 0}


def as_bytes(text):
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stepsOfCost", np.ones(3), "stepsOfCost must hold 2 numbers"),
        ("stepsOfCost", np.array([1, 0]), "stepsOfCost must hold 2 numbers above 0"),
        ("stepsOfCost", np.array([1, np.inf]), "stepsOfCost must hold 2 numbers"),
        ("stepsOfCost", np.ones((2, 1)), "stepsOfCost must be a list"),
        ("trainedOn", np.ones(2), "trainedOn must be digests, not float64"),
        ("trainedOn", np.ones((2, 2), np.uint64), "trainedOn must be digests"),
        ("trainedOnComplete", 2, "trainedOnComplete is 2"),
        ("trainings", "[]", "trainings must be up to 8388608 bytes, not <U2"),
        ("trainings", np.zeros(2**23 + 1, np.uint8), "trainings must be up to 8388608"),
        ("trainings", as_bytes("["), "is damaged"),
        ("trainings", as_bytes("3"), "trainings is 3; it must be a list"),
        ("trainings", as_bytes("[3]"), "trainings holds 3"),
        ("trainings", as_bytes('[{"updates": 3}]'), "trainings holds"),
        ("trainings", as_bytes('[{"updates": -1, "command": ""}]'), "updates is -1"),
        ("trainings", as_bytes('[{"updates": 1, "command": 5}]'), "command is 5"),
        ("trainings", as_bytes(json.dumps(101 * [RECORD])), "be a list"),
    ],
)
def test_arrays_that_cannot_be_are_refused(network, tmp_path, name, value, message):
    train(network()).saveParameters(tmp_path / "a")
    path = rewritten(tmp_path / "a.npz", **{name: value})
    with pytest.raises(ParameterFileError, match=message):
        RNN4Music.fromFile(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": 7}, "command is 7; allowed are None and a string of up to"),
        ({"command": "a" * 20000}, "allowed are None and a string of up to 4096"),
        ({"sources": 3}, "sources is 3; allowed is a sequence"),
        ({"sources": []}, "sources is empty"),
        ({"sources": [np.zeros((3, N + 1))]}, "tune 0 of sources has shape"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(network, arguments, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        train(model, **arguments)
    assert model.instantaneousCost == []
    assert math.isnan(model.loss)


def test_transposed_tunes_are_other_tunes():
    tune = np.zeros((4, 24), int)
    tune[:, 5] = 1
    (moved,) = datasets.transpose([tune], 2)
    assert provenance.digest_of(tune) != provenance.digest_of(moved)
