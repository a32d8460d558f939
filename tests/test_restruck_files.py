"""Files, copies and trainings of networks with restruck columns."""

import copy
import pickle

import numpy as np
import pytest
from conftest import rewritten
from joint_data import restruck_tune as tune

from lstmmusic import ParameterFileError, RNN4Music
from lstmmusic.training.checkpoint import weights_of

TUNES = [tune(steps) for steps in (17, 2, 12, 5)]
CUT = {"noOfEpochPerMB": 1, "noOfEpoch": 4, "sizeOfMiniBatch": 3, "lengthOfMB": 9}
WHOLE = {"noOfEpochPerMB": 1, "noOfEpoch": 2, "sizeOfMiniBatch": 2, "lengthOfMB": None}


def small(**form):
    """A network of which nothing is compiled."""
    form = {"output": "joint", "jointUnits": 3, "restruck": True, "seed": 1} | form
    return RNN4Music(5, 2, 1, 4, **({"dtype": "float64"} | form))


@pytest.fixture
def saved_restruck(tmp_path):
    small().saveParameters(tmp_path / "restruck.npz")
    return tmp_path / "restruck.npz"


def test_a_file_gives_the_same_network(saved_restruck, everything, same):
    for wanted in ({}, {"output": "joint"}):
        model = RNN4Music.fromFile(saved_restruck, dtype="float64", **wanted)
        assert model.restruck is True
        same(everything(model), everything(small()))
    loaded = small(seed=2)
    loaded.loadParameters(saved_restruck)
    same(everything(loaded), everything(small()))
    with np.load(saved_restruck) as file:
        assert file["formatVersion"] == 5
        assert file["restruck"]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_is_the_same(everything, same, copied):
    model = small()
    other = copied(model)
    same(everything(other), everything(model))
    assert repr(other) == repr(model)
    assert "2 notes, restruck=True, " in repr(other)
    assert "struck again" not in repr(small(restruck=False))


def test_the_form_is_fixed():
    with pytest.raises(AttributeError, match="restruck is fixed"):
        small().restruck = False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"restruck": None}, "no array 'restruck'"),
        ({"restruck": 2}, "restruck"),
        ({"output": "independent"}, "output is 'independent'; allowed with restruck"),
        ({"io_length": 3}, "io_length is 3; allowed with restruck=True are even"),
    ],
)
def test_damaged_files_are_refused(saved_restruck, everything, same, changes, message):
    rewritten(saved_restruck, **changes)
    other = small(seed=2)
    before = everything(other)
    for load in (other.loadParameters, RNN4Music.fromFile):
        with pytest.raises(ParameterFileError, match=message):
            load(saved_restruck)
    same(everything(other), before)


def test_a_file_of_version_4_has_no_restruck_columns(tmp_path):
    small(restruck=False).saveParameters(tmp_path / "old.npz")
    rewritten(tmp_path / "old.npz", formatVersion=4, restruck=None)
    model = RNN4Music.fromFile(tmp_path / "old.npz")
    assert model.restruck is False
    assert model.output == "joint"


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (
            {"output": "independent", "restruck": False},
            {},
            "whose columns all say what",
        ),
        (
            {"restruck": False},
            {},
            r"'restruck': False\}, but wanted is .*: True\}; all",
        ),
        (
            {},
            {"restruck": False},
            r"'restruck': True\}, but wanted is .*: False\}; all",
        ),
        (
            {},
            {"output": "independent", "restruck": False},
            r"'restruck': True\}, but wanted is .*allowed is the file's own output",
        ),
    ],
)
def test_other_columns_than_the_files_are_refused(
    tmp_path, everything, same, theirs, ours, message
):
    # Fails if a row's second half is taken for more notes, or the other way.
    path = tmp_path / "theirs.npz"
    small(**theirs).saveParameters(path)
    model = small(**ours, seed=2)
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.loadParameters(path)
    same(everything(model), before)


def test_independent_notes_are_no_output_of_a_file_with_restruck_columns(
    saved_restruck,
):
    with pytest.raises(ValueError, match="npz: output is 'independent'; allowed with"):
        RNN4Music.fromFile(saved_restruck, output="independent")


@pytest.mark.parametrize("plan", [CUT, WHOLE], ids=["cut", "whole"])
def test_every_checkpoint_goes_on_bit_for_bit(
    joint, monkeypatch, tmp_path, everything, same, plan
):
    def train(model, **more):
        model.setNewRates(0.05, 0.05, 0.05, 0.02)
        more |= {
            "validation": [np.append(tune, tune[-1:], axis=0) for tune in TUNES[1:3]],
            "progress": False,
        }
        return model.train(TUNES, **plan, **more)

    straight = joint(order="down", restruck=True)
    first = weights_of(straight)
    train(straight)
    wanted = everything(straight)
    assert straight.validationCost[-1][1] < straight.validationCost[0][1]
    for name, values in weights_of(straight).items():
        assert (values != first[name]).any(), name
    path = tmp_path / "checkpoint.npz"
    model, copies, save = (
        joint(order="down", restruck=True),
        [],
        RNN4Music.saveParameters,
    )

    def saved(self, to):
        save(self, to)
        copies.append(path.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(RNN4Music, "saveParameters", saved)
        train(model, checkpoint=path, checkpointEvery=1)
    same(everything(model), wanted)
    for content in copies[:2]:
        path.write_bytes(content)
        again = joint(order="down", restruck=True)
        train(again, checkpoint=path, resume=True)
        same(everything(again), wanted)
