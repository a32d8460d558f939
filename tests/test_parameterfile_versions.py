"""Parameter files of earlier versions, of the original, of another optimizer."""

import numpy as np
import pytest
from conftest import new_network as new
from conftest import rewritten
from sizes import FILLED_SIZES as SIZES

from lstmmusic import RNN4Music
from lstmmusic.model.optimizers import Moments
from lstmmusic.training.checkpoint import weights_of

AUTHORS = "original/fixedTrial_xEnError_182.npz"


def test_the_authors_file_makes_an_object_with_warnings(shared):
    # D4: his RMSprop state is set aside; D9: his training ignored the state.
    path = shared(AUTHORS)
    with pytest.warns(UserWarning, match=r"RMSprop state.*\(D4\).*zero \(D9\)"):
        model = RNN4Music.fromFile(path)
    assert model.h_lengths == (120, 120, 120)  # h3_length is not in it
    assert model.io_length == 88
    assert model.originalForward
    with np.load(path) as file:
        assert "h3_length" not in file.files
        for name, array in model.parameters().items():
            wanted = np.zeros(120) if "td1" in name else file[name]
            np.testing.assert_array_equal(array, wanted, err_msg=name)
        assert model.R1 == file["R1"]
        assert model.gradClip == file["gradClip"]
        assert file["DWxi1p"].any()
    assert model.instantaneousCost == []


def test_the_authors_file_loads_into_an_object_with_warnings(shared, everything):
    path = shared(AUTHORS)
    model = RNN4Music(120, 120, 120, 88, originalForward=True, Rout=0.5, seed=1)
    model._store.set_moments(Moments({n: abs(a) for n, a in weights_of(model).items()}))
    with pytest.warns(UserWarning, match=r"\(D4\)"):
        model.loadParameters(path)
    arrays = everything(model)
    assert not arrays["DWxi1p"].any()
    assert not arrays["ctd1_2"].any()
    assert model.Rout == 0.5  # not in his file
    plain = RNN4Music(120, 120, 120, 88, seed=1)
    with pytest.warns(match=r"\(D4\)"), pytest.warns(match="originalForward=True"):
        plain.loadParameters(path)
    np.testing.assert_array_equal(plain.parameters()["Wxi_1"], arrays["Wxi_1"])


def test_a_small_file_of_the_originals_layout_loads(saved, filled):
    # As the author's, with nothing that he lacked, but small and always here.
    ours = ["Rout", "epsilon", "sigRand", "muRand", "genProbThreshold", "cost"]
    ours += ["originalForward", "rngState", "formatVersion", "h3_length"]
    ours += [f"{s}_{n}" for s in ("htd1", "ctd1") for n in (1, 2, 3)]
    rewritten(saved, **dict.fromkeys(ours))
    with pytest.warns(UserWarning, match=r"\(D4\)"):
        old = RNN4Music.fromFile(saved)
    assert old.h_lengths == SIZES[:3]
    for name, array in filled.parameters().items():
        wanted = np.zeros_like(array) if "td1" in name else array
        np.testing.assert_array_equal(old.parameters()[name], wanted)


def test_a_file_of_version_1_loads(saved, filled):
    # It lacked all that is new in version 2; nothing of that is asked for.
    theirs = ["optimizer", "gradNorm", "dropout", "fixedMasks", "optimizerUpdates"]
    theirs += ["validationCost", "progress", "output", "jointUnits", "noteOrder"]
    theirs += ["rollFormat"]
    with np.load(saved) as file:
        theirs += [
            n for n in file.files if n.startswith("best_") or n[:1] + n[-1:] == "Dm"
        ]
    assert len(theirs) == 5 + 2 + 3 + 1 + 2 * 57
    rewritten(saved, formatVersion=1, **dict.fromkeys(theirs))
    old = RNN4Music.fromFile(saved)
    assert (old.optimizer, old.gradNorm, old.dropout) == ("RMSprop", None, 0.0)
    assert old.fixedMasks is False
    assert old.validationCost == []
    assert old._train_state.plan is None
    for name, mean in old._store.get_moments().means.items():
        np.testing.assert_array_equal(mean, abs(filled.parameters()[name]))
    assert old.instantaneousCost == filled.instantaneousCost
    assert old.rng.bit_generator.state == filled.rng.bit_generator.state


@pytest.mark.parametrize(("ours", "theirs"), [("RMSprop", "Adam"), ("Adam", "RMSprop")])
def test_means_of_another_optimizer_are_set_aside_with_a_warning(
    tmp_path, ours, theirs
):
    # RMSprop's means of squares with no updates behind them would make Adam's steps a
    # thirtieth of what they are.
    other = new(optimizer=theirs)
    weights = {n: abs(a) for n, a in weights_of(other).items()}
    other._store.set_moments(Moments(weights, weights, 4))
    other.saveParameters(tmp_path / "a")
    model = new(optimizer=ours, seed=3)
    with pytest.warns(UserWarning, match=f"optimizer='{theirs}'.* keeps '{ours}'"):
        model.loadParameters(tmp_path / "a")
    moments = model._store.get_moments()
    assert not any(mean.any() for mean in moments.means.values())
    assert not moments.updates
    np.testing.assert_array_equal(model.parameters()["by"], other.parameters()["by"])
