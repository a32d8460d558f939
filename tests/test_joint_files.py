"""Files, copies and trainings of the joint output; taking up an independent one."""

import copy
import pickle

import numpy as np
import pytest
from conftest import rewritten
from joint_data import NEW, TUNES
from sizes import JOINT_D, H
from sizes import JOINT_N as N

from lstmmusic import ParameterFileError, RNN4Music
from lstmmusic.model.optimizers import Moments
from lstmmusic.training import memory, parameter_file
from lstmmusic.training.checkpoint import weights_of

PLAN = {"noOfEpochPerMB": 2, "noOfEpoch": 3, "sizeOfMiniBatch": 3, "lengthOfMB": 6}
MORE = {
    "rateDecay": "cosine",
    "validation": [np.append(tune, tune[-1:], axis=0) for tune in TUNES[1:3]],
    "progress": False,
}
TOP = 1e-3 * np.eye(4, k=1)


def small(**form):
    """A network of which nothing is compiled."""
    form = {"output": "joint", "jointUnits": 3, "noteOrder": "down", "seed": 1} | form
    return RNN4Music(5, 2, 1, 4, **({"dtype": "float64"} | form))


@pytest.fixture
def filled_joint():
    """Nothing of it is as in a new one."""
    model = small(optimizer="Adam")
    rng = np.random.default_rng(81)
    values = {n: rng.normal(size=a.shape) for n, a in model.parameters().items()}
    model.setParameters(values | {"Wky": np.tril(values["Wky"], -1)})
    weights = weights_of(model)
    means = {n: abs(a) for n, a in weights.items()}
    model._store.set_moments(Moments(means, {n: 2 * a for n, a in weights.items()}, 3))
    training = model._train_state
    training.plan = {"noOfEpoch": 7}
    training.best_nll = 2.25
    training.best = {n: 3 * a for n, a in weights.items()}
    return model


@pytest.fixture
def saved_joint(filled_joint, tmp_path):
    filled_joint.saveParameters(tmp_path / "joint.npz")
    return tmp_path / "joint.npz"


def test_a_file_gives_the_same_network(filled_joint, saved_joint, everything, same):
    model = RNN4Music.fromFile(saved_joint, dtype="float64")
    assert (model.output, model.jointUnits, model.noteOrder) == ("joint", 3, "down")
    same(everything(model), everything(filled_joint))
    loaded = small(optimizer="Adam", seed=2)
    loaded.loadParameters(saved_joint)
    same(everything(loaded), everything(filled_joint))
    with np.load(saved_joint) as file:
        assert file["formatVersion"] == 5
        assert file["Wka"].shape == (3, 4)
        assert file["Wuy"].shape == (4, 3)
        assert file["Wha_2"].shape == (3, 2)
        assert set(NEW) | {"DWkyp", "DWha2m", "best_ba"} <= set(file.files)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_is_the_same(filled_joint, everything, same, copied):
    other = copied(filled_joint)
    same(everything(other), everything(filled_joint))
    assert repr(other) == repr(filled_joint)
    assert "joint output of 3 units, highest note first" in repr(other)


DAMAGE = {
    "no L": ({"Wky": None}, "no array 'Wky'"),
    "no V": ({"Wka": None}, "no array 'Wka'"),
    "no W_ha": ({"Wha_3": None}, "no array 'Wha_3'"),
    "no mean": ({"DWuyp": None}, "no array 'DWuyp'"),
    "no best": ({"best_ba": None}, "no array 'best_ba'"),
    "transposed V": ({"Wka": np.ones((4, 3))}, r"Wka has shape \(4, 3\); .*\(3, 4\)"),
    "transposed U": ({"Wuy": np.ones((3, 4))}, r"Wuy has shape \(3, 4\); .*\(4, 3\)"),
    "other units": ({"jointUnits": 2}, r"has shape .* it must be \(2,"),
    "no units": ({"jointUnits": 0}, "is none of an output"),
    "independent": ({"output": "independent"}, "is none of an output of its settings"),
    "unknown": ({"output": "chords"}, "output is 'chords'"),
    "no order": ({"noteOrder": None}, "no array 'noteOrder'"),
    "unknown order": ({"noteOrder": "left"}, "noteOrder is 'left'"),
    "upper L": ({"Wky": TOP}, "Wky is not zero on and above its diagonal"),
    "diagonal": ({"Wky": np.eye(4)}, "Wky is not zero on and above its diagonal"),
    "best upper L": ({"best_Wky": TOP}, "Wky is not zero on and above its diagonal"),
    "momenta of upper L": ({"DWkym": TOP}, "Wky is not zero on and above"),
    "NaN": ({"ba": np.full(3, np.nan)}, "ba holds values that are not finite"),
    "squares": ({"cost": "squared-error"}, "cost is 'squared-error'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_arrays_that_do_not_fit_are_refused(saved_joint, everything, same, name):
    changes, message = DAMAGE[name]
    rewritten(saved_joint, **changes)
    other = small(optimizer="Adam", seed=2)
    before = everything(other)
    for load in (other.loadParameters, RNN4Music.fromFile):
        with pytest.raises(ParameterFileError, match=message):
            load(saved_joint)
    same(everything(other), before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Wky": TOP}, "Wky is not zero on and above its diagonal"),
        ({"Wka": np.ones((4, 3))}, r"Wka has shape \(4, 3\)"),
        ({"by": np.ones(4), "Wky": np.eye(4)}, "Wky is not zero"),
    ],
)
def test_setParameters_refuses_notes_not_yet_drawn(everything, same, values, message):
    model = small()
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.setParameters(values)
    same(everything(model), before)


# Taking up an independent network


@pytest.fixture
def trained(tmp_path):
    form = {"dtype": "float64", "optimizer": "Adam"}
    model = RNN4Music(*H, N, *[0.01] * 4, sigRand=0.4, seed=3, **form)
    model.train(TUNES, **PLAN, **MORE)
    model.saveParameters(tmp_path / "plain.npz")
    return model, tmp_path / "plain.npz"


def test_a_trained_independent_network_is_taken_up(trained):
    # Fails if the likelihood jumps; or if Adam goes on counting, by which zero moments
    # of the new arrays would make steps of several times the rate.
    plain, path = trained
    wanted = plain.evaluate(TUNES[1:3]).nll
    new = {"output": "joint", "jointUnits": JOINT_D}
    taken = RNN4Music.fromFile(path, dtype="float64", **new)
    loaded = RNN4Music(*H, N, dtype="float64", optimizer="Adam", **new)
    loaded.loadParameters(path)
    for model in (taken, loaded):
        assert model.evaluate(TUNES[1:3]).nll == pytest.approx(wanted, abs=1e-6)
    means, momenta, updates = taken._store.get_moments()
    assert not updates
    assert not any(a.any() for a in (*means.values(), *momenta.values()))
    assert taken.instantaneousCost == plain.instantaneousCost
    train(taken)
    assert taken.validationCost[-1][1] < plain.validationCost[-1][1]
    assert RNN4Music.fromFile(path).output == "independent"


def test_a_training_that_is_not_over_is_not_taken_up(filled, saved):
    with pytest.raises(ValueError, match="a training that is not over"):
        RNN4Music.fromFile(saved, output="joint")
    assert RNN4Music.fromFile(saved).output == "independent"


@pytest.mark.parametrize(
    "wanted",
    [
        {"output": "independent"},
        {"noteOrder": "up"},
        {"jointUnits": 4},
        {"jointUnits": 0},
    ],
)
def test_another_output_than_the_files_is_refused(saved_joint, wanted):
    for load in (
        lambda: RNN4Music.fromFile(saved_joint, **wanted),
        lambda: small(optimizer="Adam", **wanted).loadParameters(saved_joint),
    ):
        with pytest.raises(ValueError, match="allowed is the file's own output"):
            load()


def test_squares_are_not_taken_up(tmp_path):
    small(output="independent", cost="squared-error").saveParameters(tmp_path / "a")
    with pytest.raises(ValueError, match="cost is 'squared-error'; allowed with outp"):
        RNN4Music.fromFile(tmp_path / "a", output="joint")


def test_a_file_of_version_3_loads_and_is_taken_up(saved, filled):
    # It lacked all that names an output.
    filled._train_state.plan = None
    filled.saveParameters(saved)
    gone = ["output", "jointUnits", "noteOrder"]
    rewritten(saved, formatVersion=3, **dict.fromkeys(gone))
    assert RNN4Music.fromFile(saved).output == "independent"
    taken = RNN4Music.fromFile(saved, output="joint", jointUnits=2)
    assert taken.noteOrder == "up"
    np.testing.assert_array_equal(
        taken.parameters()["Whi_1"], filled.parameters()["Whi_1"]
    )


# Training


def train(model, **more):
    model.setNewRates(0.05, 0.05, 0.05, 0.02)
    model.dropout, model.gradNorm = 0.25, 2.0
    return model.train(TUNES, **PLAN, **MORE, lam=1e-3, **more)


def test_every_checkpoint_goes_on_bit_for_bit(
    joint, monkeypatch, tmp_path, everything, same
):
    # Adam, dropout, a limit of the norm, L1, validation. Fails if a file lacks a new
    # array, its moments, or its best.
    straight = joint()
    first = weights_of(straight)
    train(straight)
    assert straight.validationCost
    for name in NEW:
        assert (straight.parameters()[name] != first[name]).any(), name
    assert not np.triu(straight.parameters()["Wky"]).any()
    wanted = everything(straight)
    path = tmp_path / "checkpoint.npz"
    model, copies, save = joint(), [], RNN4Music.saveParameters

    def saved(self, to):
        save(self, to)
        copies.append(path.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(RNN4Music, "saveParameters", saved)
        train(model, checkpoint=path, checkpointEvery=2)
    same(everything(model), wanted)
    for content in copies[:2]:
        path.write_bytes(content)
        again = joint()
        train(again, checkpoint=path, resume=True)
        same(everything(again), wanted)


def test_L1_leaves_out_the_biases_alone(joint):
    # With a rate for the output alone, and next to no gradient, L1 is all that drives a
    # weight.
    model = joint()
    model.setNewRates(1e-30, 1e-30, 1e-30, 1e-3)
    model.dropout, model.gradNorm = 0.25, 1e-12
    first = weights_of(model)
    model.train(TUNES, 1, 1, 3, 6, lam=1.0, progress=False)
    for name, value in weights_of(model).items():
        moved = np.abs(value - first[name]).max()
        if name in ("ba", "by"):
            assert moved < 1e-5
        elif name in NEW or name.startswith("Why"):
            assert moved > 5e-4, name
        else:
            assert moved < 1e-20, name


def test_memory_is_asked_for_before_the_work(monkeypatch):
    # Fails if the units are not counted.
    plain, model = small(output="independent"), small(jointUnits=2000)
    args = 50, 100, 1
    assert memory.of_training(model, *args) > 1.5 * memory.of_training(plain, *args)
    sizes = {"h1_length": 5, "h2_length": 2, "h3_length": 1, "io_length": 4}
    few = memory.of_network(**sizes, D=4, moments=1)
    assert memory.of_network(**sizes, D=4, moments=1, units=9) > few
    assert parameter_file.FORMAT_VERSION == 5
