"""Parameter files: the layout, what comes back, and saves that fail."""

import inspect
import os

import numpy as np
import pytest
from conftest import new_network as new
from conftest import rewritten
from sizes import FILLED_SIZES as SIZES

from lstmmusic import ParameterFileError, RNN4Music

# Layout and round trip


def test_the_layout_is_the_originals(filled, saved):
    with np.load(saved) as file:  # allow_pickle is False
        arrays = {name: file[name] for name in file.files}
    for name, array in filled.parameters().items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
        if "td1" not in name:  # the means that `filled` was given
            mean = arrays[f"D{name.replace('_', '')}p"]
            np.testing.assert_array_equal(mean, abs(array), strict=True)
    assert arrays["Wxj_2"].shape == (3, 4)
    assert arrays["Why_3"].shape == (5, 2)
    assert arrays["DWxi1p"].shape == (4, 5)
    assert arrays["Dbyp"].shape == (5,)
    sizes = [arrays[n] for n in "h1_length h2_length h3_length io_length".split()]
    assert sizes == [4, 3, 2, 5]
    assert [arrays[n] for n in ("R1", "R2", "R3", "Rout")] == [0.01, 0.02, 0.03, 0.04]
    assert arrays["gradClip"] == 7.0
    assert arrays["loss"] == 1.25
    assert arrays["instantaneousCost"].tolist() == [3.5, 2.5, 1.25]
    assert arrays["validationCost"].tolist() == [[1, 2.25], [2, 2.5]]


def test_the_layout_has_every_name_of_the_originals_file(saved, shared):
    with np.load(shared("original/fixedTrial_xEnError_182.npz")) as file:
        theirs = {*file.files}
    with np.load(saved) as file:
        assert theirs - {*file.files} == set()


def test_all_comes_back(filled, saved, everything, same):
    # Into an object that differs in everything but the sizes; and into a new one.
    other = new()
    own = everything(other)
    other.loadParameters(saved)
    another = RNN4Music.fromFile(saved)
    wanted = everything(filled)
    for name in ("rngState", "DWxi1p", "DWxi1m", "gradNorm", "progress", "rollFormat"):
        assert not np.array_equal(wanted[name], own[name]), name
    same(wanted, everything(another))
    for name in ("sigRand", "muRand"):
        assert getattr(other, name) == getattr(filled, name)
    same(wanted, everything(other))


def test_cost_and_form_stay_the_objects_own_with_a_warning(tmp_path):
    path = tmp_path / "a.npz"
    form = {"cost": "squared-error", "originalForward": True}
    new(**form).saveParameters(path)
    again = RNN4Music.fromFile(path)
    assert (again.cost, again.originalForward) == ("squared-error", True)
    other = new()
    with (
        pytest.warns(UserWarning, match="originalForward=True; .* keeps False"),
        pytest.warns(UserWarning, match="cost='squared-error'; .* 'cross-entropy'"),
    ):
        other.loadParameters(path)
    assert (other.cost, other.originalForward) == ("cross-entropy", False)


def test_warnings_point_at_the_line_that_loads(saved):
    # Fails if they point into the library, or past the caller: fromFile is a level
    # deeper than loadParameters.
    theirs = rewritten(saved, **dict.fromkeys(["Rout", "formatVersion"]))
    model = RNN4Music(*SIZES, originalForward=True)
    for load in (RNN4Music.fromFile, model.loadParameters):
        with pytest.warns(UserWarning, match="D4") as caught:
            load(theirs)
        here = inspect.currentframe().f_lineno - 1
        assert {(w.filename, w.lineno) for w in caught} == {(__file__, here)}


def test_a_caller_without_a_module_may_load(saved):
    # As in eval with names of its own, or an embedded interpreter.
    exec("load(path)", {"load": RNN4Music.fromFile, "path": saved})


def test_the_suffix_is_appended_before_the_bare_name_is_tried(filled, tmp_path):
    # Fails if whatever file is called as the parameters were is read in their place.
    (tmp_path / "a").write_bytes(b"something else")
    filled.saveParameters(tmp_path / "a")
    filled.loadParameters(tmp_path / "a")
    (tmp_path / "a.npz").rename(tmp_path / "bare")
    filled.loadParameters(tmp_path / "bare")


def test_a_link_is_followed_not_replaced(filled, tmp_path):
    filled.saveParameters(tmp_path / "target.npz")
    old = (tmp_path / "target.npz").read_bytes()
    (tmp_path / "link.npz").symlink_to(tmp_path / "target.npz")
    filled.setNewRates(0.5, 0.5, 0.5, 0.5)
    filled.saveParameters(tmp_path / "link")
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "target.npz").read_bytes() != old


@pytest.mark.parametrize("name", ["a", "a.npz", "a.b", "ä ö"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_npz_is_appended_when_missing(filled, tmp_path, name, kind):
    filled.saveParameters(kind(tmp_path / name))
    written = name if name.endswith(".npz") else f"{name}.npz"
    assert os.listdir(tmp_path) == [written]
    filled.loadParameters(kind(tmp_path / name))
    filled.loadParameters(kind(tmp_path / written))


def test_a_float64_file_loads_into_float32_and_back(tmp_path, saved):
    import pytensor

    with pytensor.config.change_flags(floatX="float64"):
        wide = RNN4Music.fromFile(saved)
    assert wide.dtype == np.float64
    wide.saveParameters(tmp_path / "wide")
    narrow = RNN4Music.fromFile(tmp_path / "wide")
    assert narrow.parameters()["by"].dtype == np.float32


def test_other_sizes_are_a_ValueError_that_names_both(saved, everything, same):
    other = RNN4Music(4, 3, 6, 5, seed=2, optimizer="Adam")
    before = everything(other)
    with pytest.raises(ValueError, match=r"\(4, 3, 2, 5\).*\(4, 3, 6, 5\)") as caught:
        other.loadParameters(saved)
    assert not isinstance(caught.value, ParameterFileError)
    same(before, everything(other))


def test_a_missing_file_is_FileNotFoundError(tmp_path, refused):
    refused(tmp_path / "nothing", "nothing.npz", FileNotFoundError)


def test_a_missing_folder_is_named_with_the_file_that_was_meant(tmp_path):
    # Fails if the error names the part that is written first, beside it.
    with pytest.raises(FileNotFoundError, match=r"missing.a\.npz'$"):
        RNN4Music(5, 4, 3, 6, seed=1).saveParameters(tmp_path / "missing" / "a")


# A save that fails


def half_written(file, **arrays):
    file.write(b"PK\x03\x04 half of it")
    raise OSError("no space left on device")


def interrupted(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "name", "failure", "error"),
    [
        (np, "savez", half_written, OSError),
        (os, "fsync", interrupted, KeyboardInterrupt),
        (os, "replace", interrupted, KeyboardInterrupt),
    ],
    ids=["disk full", "interrupted", "interrupted late"],
)
def test_a_failed_save_leaves_the_old_file_and_no_litter(
    filled, saved, monkeypatch, place, name, failure, error
):
    # Fails if the file is written in place.
    before = saved.read_bytes()
    filled.setParameters({"by": np.ones(5)})
    with monkeypatch.context() as patch:
        patch.setattr(place, name, failure)
        with pytest.raises(error):
            filled.saveParameters(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
    filled.saveParameters(saved)
    assert saved.read_bytes() != before


def test_a_killed_save_leaves_the_old_file(saved, in_new_process):
    before = saved.read_bytes()
    in_new_process(
        f"""
import os, signal
import numpy as np
from lstmmusic import RNN4Music

def killed(file, **arrays):
    file.write(b"PK")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

np.savez = killed
RNN4Music.fromFile({str(saved)!r}).saveParameters({str(saved)!r})
""",
        fails=True,
    )
    assert saved.read_bytes() == before
    assert len(os.listdir(saved.parent)) == 2  # it was killed while it wrote
