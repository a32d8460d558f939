"""Parameter files: the layout, the original's own, damage of every kind."""

import inspect
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from lstmmusic import ParameterFileError, RNN4Music
from lstmmusic.model.optimizers import Moments
from lstmmusic.training import parameter_file
from lstmmusic.training.checkpoint import weights_of
from lstmmusic.training.state import Progress

SIZES = (4, 3, 2, 5)


def new(**form):
    """A network that differs from `model` in all that a file can change."""
    return RNN4Music(*SIZES, **({"seed": 2, "optimizer": "Adam"} | form))


@pytest.fixture
def model():
    """A network nothing of which is as a new one's; nothing is compiled."""
    model = RNN4Music(
        *SIZES, 0.01, 0.02, 0.03, 0.04, seed=1, muRand=0.5, optimizer="Adam"
    )
    weights = weights_of(model)
    means = {n: abs(a) for n, a in weights.items()}
    model._store.set_moments(Moments(means, {n: 2 * a for n, a in weights.items()}, 3))
    model.epsilon, model.gradClip, model.genProbThreshold = 1e-4, 7.0, 0.25
    model.gradNorm, model.dropout, model.fixedMasks = 9.0, 0.125, True
    model.instantaneousCost, model.loss = [3.5, 2.5, 1.25], 1.25
    model.validationCost = [(1, 2.25), (2, 2.5)]
    model._progress = Progress(
        {"noOfEpoch": 7},
        epoch=2,
        update=1,
        epochState=model.rng.bit_generator.state,
        bestNll=2.25,
        sinceBest=1,
        best={n: 3 * a for n, a in weights.items()},
    )
    model.rng.random(5)
    return model


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "saved.npz"
    model.saveParameters(path)
    return path


@pytest.fixture
def refused(everything, same):
    """Check that a file is refused, and that the object it is loaded into stays."""

    def check(path, message="", error=ParameterFileError):
        other = new()
        before = everything(other)
        with pytest.raises(error, match=message) as caught:
            other.loadParameters(path)
        assert type(caught.value) is error
        same(before, everything(other))
        with pytest.raises(error, match=message):
            RNN4Music.fromFile(path)

    return check


def rewritten(path, **changes):
    """Write the file again with some arrays changed; None leaves one out."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


# What is written


def test_the_layout_is_the_originals(model, saved):
    with np.load(saved) as file:  # allow_pickle is False
        arrays = {name: file[name] for name in file.files}
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
        if "td1" not in name:  # the means that `model` was given
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


def test_all_comes_back(model, saved, everything, same):
    # Into an object that differs in everything but the sizes; and into a new one.
    other = new()
    own = everything(other)
    other.loadParameters(saved)
    another = RNN4Music.fromFile(saved)
    wanted = everything(model)
    for name in ("rngState", "DWxi1p", "DWxi1m", "gradNorm", "progress"):
        assert not np.array_equal(wanted[name], own[name]), name
    same(wanted, everything(another))
    for name in ("sigRand", "muRand"):
        assert getattr(other, name) == getattr(model, name)
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


def test_the_suffix_is_appended_before_the_bare_name_is_tried(model, tmp_path):
    # Fails if whatever file is called as the parameters were is read in their place.
    (tmp_path / "a").write_bytes(b"something else")
    model.saveParameters(tmp_path / "a")
    model.loadParameters(tmp_path / "a")
    (tmp_path / "a.npz").rename(tmp_path / "bare")
    model.loadParameters(tmp_path / "bare")


def test_a_link_is_followed_not_replaced(model, tmp_path):
    model.saveParameters(tmp_path / "target.npz")
    old = (tmp_path / "target.npz").read_bytes()
    (tmp_path / "link.npz").symlink_to(tmp_path / "target.npz")
    model.setNewRates(0.5, 0.5, 0.5, 0.5)
    model.saveParameters(tmp_path / "link")
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "target.npz").read_bytes() != old


@pytest.mark.parametrize("name", ["a", "a.npz", "a.b", "ä ö"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_npz_is_appended_when_missing(model, tmp_path, name, kind):
    model.saveParameters(kind(tmp_path / name))
    written = name if name.endswith(".npz") else f"{name}.npz"
    assert os.listdir(tmp_path) == [written]
    model.loadParameters(kind(tmp_path / name))
    model.loadParameters(kind(tmp_path / written))


def test_a_float64_file_loads_into_float32_and_back(tmp_path, saved):
    import pytensor

    with pytensor.config.change_flags(floatX="float64"):
        wide = RNN4Music.fromFile(saved)
    assert wide.dtype == np.float64
    wide.saveParameters(tmp_path / "wide")
    narrow = RNN4Music.fromFile(tmp_path / "wide")
    assert narrow.parameters()["by"].dtype == np.float32


# Whole or not at all


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
    model, saved, monkeypatch, place, name, failure, error
):
    # Fails if the file is written in place.
    before = saved.read_bytes()
    model.setParameters({"by": np.ones(5)})
    with monkeypatch.context() as patch:
        patch.setattr(place, name, failure)
        with pytest.raises(error):
            model.saveParameters(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
    model.saveParameters(saved)
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


# Damage


def test_a_file_cut_off_anywhere_is_refused(saved, refused):
    whole = saved.read_bytes()
    places = [
        *range(0, len(whole), len(whole) // 30),
        *range(len(whole) - 10, len(whole)),
    ]
    for length in places:
        saved.write_bytes(whole[:length])
        refused(saved, "saved.npz")


def test_a_changed_byte_is_refused_or_without_effect(model, saved, everything, same):
    # Some bytes of a zip do not matter, its time stamps for one. Fails if one that
    # does is let through, or gives another error.
    whole = saved.read_bytes()
    wanted = everything(model)
    other = new()
    before = everything(other)
    rng = np.random.default_rng(51)
    names = [whole.rindex(b"formatVersion"), whole.rindex(b"h3_length")]
    names += [whole.rindex(b"progress"), whole.rindex(b"validationCost")]
    refusals = 0
    for place in [*names, *rng.choice(len(whole), size=100, replace=False)]:
        damaged = bytearray(whole)
        damaged[place] ^= rng.integers(1, 256)
        saved.write_bytes(damaged)
        try:
            other.loadParameters(saved)
        except ParameterFileError:
            refusals += 1
            same(before, everything(other))
        else:
            same(wanted, everything(other))
            other = new()
    assert refusals > 30


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        b"\x93NUMPY",
        b"MThd\0\0\0\6\0\1\0\1\1\xe0",
        b"PK\3\4",
        b"\0" * 999,
    ],
    ids=["empty", "text", "npy", "MIDI", "zip header", "zeros"],
)
def test_what_is_no_npz_is_refused(tmp_path, refused, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    refused(path, "a.npz is not a parameter file, or is damaged")


def test_a_zip_of_something_else_is_refused(tmp_path, refused):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("h1_length.npy", "not an array")
    refused(path, "a.npz")
    np.savez(path, a=np.zeros(3))
    refused(path, "there is no array 'h1_length'")


def test_every_missing_array_is_named(saved, refused):
    # No array of ours may be missing; without formatVersion or h3_length, the file is
    # not taken for one of the original's.
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert len(members) == 4 * 57 + 6 + 4 + 2 + 15 + 5 + 4  # see the layout
    large = [name for name in members if name[:1] + name[-5:-4] in ("Dp", "Dm")]
    large += [name for name in members if name.startswith("best_")]
    assert len(large) == 3 * 57
    for missing in [name for name in members if name not in large] + large[::19]:
        with zipfile.ZipFile(saved, "w") as archive:
            for name, content in members.items():
                if name != missing:
                    archive.writestr(name, content)
        name = missing.removesuffix(".npy")
        with pytest.raises(ParameterFileError, match=f"no array '{name}'"):
            parameter_file.read(saved)
    refused(saved, f"no array '{name}'")


class Unpickled:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["Wxi_1", "by", "loss", "instantaneousCost", "R1"])
def test_object_arrays_are_refused_and_never_unpickled(saved, refused, tmp_path, name):
    trace = tmp_path / "unpickled"
    with np.load(saved) as file:
        shape = file[name].shape
    objects = np.empty(shape, object)
    objects.flat[:1] = [Unpickled(trace)]
    refused(rewritten(saved, **{name: objects}), name)
    assert not trace.exists()
    with np.load(saved, allow_pickle=True) as file:
        file[name]
    assert trace.exists()  # so it would have been


DAMAGE = {
    "transposed": ("Wxi_1", np.zeros((5, 4)), r"Wxi_1 has shape \(5, 4\).*\(4, 5\)"),
    "short": ("by", np.zeros(4), r"by has shape \(4,\); it must be \(5,\)"),
    "scalar": ("Wco_2", np.float32(1), r"Wco_2 has shape \(\); it must be \(3,\)"),
    "state": ("ctd1_3", np.zeros(3), r"ctd1_3 has shape \(3,\); it must be \(2,\)"),
    "means": ("DWhc2p", np.zeros(3), r"DWhc2p has shape \(3,\); .* \(3, 3\)"),
    "NaN weights": ("Whf_2", np.full((3, 3), np.nan), "Whf_2 holds values.* not fin"),
    "infinite": ("Dbyp", np.full(5, np.inf), "Dbyp holds values that are not finite"),
    "NaN state": ("htd1_1", np.full(4, np.nan), "htd1_1 holds values.* not finite"),
    "text": ("by", np.array(["1"] * 5), "by holds <U1; it must hold numbers"),
    "complex": ("by", np.zeros(5, complex), "by holds complex128.* numbers"),
    "records": ("by", np.zeros(5, [("a", float)]), "by holds .* numbers"),
    "a list of rates": ("R1", np.zeros(2), r"R1 has shape \(2,\); it must be \(\)"),
    "NaN rate": ("R2", np.nan, "R2 holds values that are not finite"),
    "no cells": ("h1_length", 0, "h1_length is 0"),
    "negative": ("h2_length", -3, "h2_length is -3"),
    "fraction": ("h3_length", 1.5, "h3_length is 1.5"),
    "too many cells": ("h1_length", 2**40, "h1_length is 1099511627776; allowed"),
    "too many notes": ("io_length", 2**62, "io_length is .*; allowed"),
    "another size": ("h2_length", 4, r"has shape \(3,\); it must be \(4,\)"),
    "future": ("formatVersion", 99, "formatVersion is 99; this version .* up to 3"),
    "unknown cost": ("cost", "hinge", "cost is 'hinge'; allowed are 'cross-entropy'"),
    "no text": ("cost", 3, "cost must be a text"),
    "no JSON": ("rngState", "{", "is damaged"),
    "transposed momenta": ("DWxi1m", np.zeros((5, 4)), r"DWxi1m has .*\(4, 5\)"),
    "NaN momenta": ("Dbym", np.full(5, np.nan), "Dbym holds values.* not finite"),
    "short best": ("best_by", np.zeros(4), r"best_by has shape .* be \(5,\)"),
    "NaN best": ("best_by", np.full(5, np.nan), "best_by holds values.* not finite"),
    "a list of validations": ("validationCost", np.zeros(3), "must be a list"),
    "triples": ("validationCost", np.zeros((2, 3)), "must be a list"),
    "NaN updates": ("validationCost", np.full((1, 2), np.nan), "is damaged"),
    "unknown optimizer": ("optimizer", "SGD", "'SGD'; .* 'RMSprop', 'Adam'"),
    "progress of bytes": ("progress", b"{}", "progress must be a text"),
    "progress too long": ("progress", "1" * 2**17, "progress must be a text"),
    "progress too deep": ("progress", "[" * 2**15, "is damaged"),
    "progress no JSON": ("progress", "{'epoch': 1}", "is damaged"),
    "huge JSON number": ("progress", "9" * 5000, "is damaged"),
    "a history of rows": ("instantaneousCost", np.zeros((2, 2)), "must be a list"),
    "history of text": ("instantaneousCost", np.array(["a"]), "it must hold numbers"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_arrays_that_cannot_be_are_refused(saved, refused, damage):
    name, value, message = damage
    refused(rewritten(saved, **{name: value}), message)


RANGES = {
    "rate of 0": ("R1", 0.0),
    "negative rate": ("Rout", -0.1),
    "clip of 0": ("gradClip", 0.0),
    "epsilon of 0": ("epsilon", 0.0),
    "threshold of 2": ("genProbThreshold", 2.0),
    "negative spread": ("sigRand", -1.0),
    "negative means": ("Dbyp", np.full(5, -1.0)),
    "dropout of 1": ("dropout", 1.0),
    "negative dropout": ("dropout", -0.1),
    "norm of 0": ("gradNorm", 0.0),
    "NaN norm": ("gradNorm", np.nan),
    "half true": ("fixedMasks", 2),
    "negative updates": ("optimizerUpdates", -1),
    "a fraction of updates": ("optimizerUpdates", 1.5),
    "format version of 0": ("formatVersion", 0),
    "format version of 1.5": ("formatVersion", 1.5),
    "random state of another kind": ("rngState", json.dumps({"bit_generator": "X"})),
    "no random state": ("rngState", "null"),
    "random state of odd values": (
        "rngState",
        json.dumps(
            {
                "bit_generator": "PCG64",
                "state": {"state": -1, "inc": "x"},
                "has_uint32": 0,
                "uinteger": 0,
            }
        ),
    ),
}


@pytest.mark.parametrize("damage", RANGES.values(), ids=list(RANGES))
def test_values_the_object_would_not_take_are_refused_before_it_changes(
    saved, refused, damage
):
    # Fails if the file's weights are already in when its settings are refused.
    name, value = damage
    refused(rewritten(saved, **{name: value}), name)


PROGRESS = {
    "a number": 5,
    "a list": [1, 2],
    "a text": "begun",
    "no plan": {"plan": ...},
    "another field": {"more": 1},
    "a plan of another kind": {"plan": 3},
    "an empty plan": {"plan": {}},
    "no epochs": {"plan": {"noOfEpoch": 0}},
    "epochs in words": {"plan": {"noOfEpoch": "7"}},
    "epoch in words": {"epoch": "1"},
    "negative epoch": {"epoch": -1},
    "half an epoch": {"epoch": 1.5},
    "beyond the last epoch": {"epoch": 8},
    "true as an epoch": {"epoch": True},
    "negative update": {"update": -1},
    "huge update": {"update": 10**400},
    "an update without its epoch's beginning": {"epochState": None},
    "random state of another kind": {"epochState": {"bit_generator": "X"}},
    "random state of odd values": {"epochState": {"bit_generator": "PCG64"}},
    "random state, not begun": {"update": 0, "epochState": [1]},
    "best in words": {"bestNll": "2"},
    "no best": {"bestNll": None},
    "whole best": {"bestNll": 2},
    "NaN best": {"bestNll": float("nan")},
    "best of all": {"bestNll": float("-inf")},
    "negative epochs since": {"sinceBest": -1},
    "more epochs since than there were": {"sinceBest": 3},
    "stopped by 1": {"stopped": 1},
    "weights in JSON": {"best": {"by": [0, 0, 0, 0, 0]}},
}


@pytest.mark.parametrize("damage", PROGRESS.values(), ids=list(PROGRESS))
def test_a_progress_that_cannot_be_is_refused(saved, refused, damage):
    # Fails if it is found out in the middle of a resumed training, or not at all.
    with np.load(saved) as file:
        numbers = json.loads(str(file["progress"]))
    if isinstance(damage, dict):
        numbers |= damage
        numbers = {name: value for name, value in numbers.items() if value is not ...}
    else:
        numbers = damage
    message = "progress is none of a training: "
    refused(rewritten(saved, progress=json.dumps(numbers)), message)


def test_infinity_comes_through_JSON(saved):
    # As long as no validation was finite there are no best weights, and none are read.
    with np.load(saved) as file:
        numbers = json.loads(str(file["progress"])) | {"bestNll": float("inf")}
    rewritten(saved, progress=json.dumps(numbers), best_by=None)
    progress = RNN4Music.fromFile(saved)._progress
    assert progress.bestNll == np.inf
    assert progress.best is None
    assert (progress.epoch, progress.update) == (2, 1)


@pytest.mark.parametrize("name", ["by", "Dbyp", "Dbym", "best_by"])
def test_numbers_beyond_float32_are_refused_before_the_object_changes(
    saved, refused, name
):
    refused(rewritten(saved, **{name: np.full(5, 1e300)}), "by holds .*not", ValueError)


def test_a_huge_array_behind_a_small_name_is_not_read(saved, refused):
    # 10¹² numbers by its header: refused by shape, before memory is asked for.
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    members["Wxi_1.npy"] = header.getvalue()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(saved, r"Wxi_1 has shape \(1000000, 1000000\)")


@pytest.fixture
def members(saved):
    """The members of a parameter file, as {name: bytes}."""
    with zipfile.ZipFile(saved) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_again(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("cells", [60, 400])
def test_a_bomb_is_refused_for_what_it_would_unpack_to(saved, members, refused, cells):
    # Sound files of nothing but zeros: of 2 MB unpacked, and of 80 MB in 180 kB. Fails
    # if all is read that has the shape it must have.
    for name, content in members.items():
        array = np.load(io.BytesIO(content))
        if name.endswith("_length.npy"):
            array = np.array(cells)
        elif array.dtype == np.float32 and array.ndim:
            array = np.zeros((cells,) * array.ndim, np.float32)
        file = io.BytesIO()
        np.save(file, array)
        members[name] = file.getvalue()
    zip_again(saved, members)
    assert saved.stat().st_size < 200_000
    if cells == 60:
        assert RNN4Music.fromFile(saved).h_lengths == (60, 60, 60)
    else:
        refused(saved, "is larger than such a file can hold")


def test_a_header_without_end_is_not_read(saved, members, refused):
    # Version 2.0 has room for a header of 4 GB. Fails if its length is believed.
    members["by.npy"] = b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(2**22)
    zip_again(saved, members)
    refused(saved, r"by is of .npy version \(2, 0\)")


def test_a_header_that_Python_would_parse_for_long_is_not_parsed(
    saved, members, refused
):
    # Nested deeply, it makes the parser end with a MemoryError.
    members["by.npy"] = b"\x93NUMPY\1\0" + (9000).to_bytes(2, "little") + b"-" * 9000
    zip_again(saved, members)
    refused(saved, "by has a header of 9000 bytes$")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_to_compress_that_cannot_be_bounded_are_refused(
    saved, members, refused, method
):
    zip_again(saved, members, method)
    refused(saved, f"is compressed by method {method}")


def test_a_directory_of_thousands_of_members_is_not_read(saved, refused):
    # A million would take seconds. Fails if all are listed, though we need 139.
    whole = saved.read_bytes()
    size, at = struct.unpack("<2I", whole[-10:-2])
    directory = whole[at : at + size] * 150
    end = whole[-22:-10] + struct.pack("<2I", len(directory), at) + whole[-2:]
    saved.write_bytes(whole[:at] + directory + end)
    refused(saved, f"wants {len(directory)} bytes read at once")


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


# The original's own file


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


def test_a_small_file_of_the_originals_layout_loads(saved, model):
    # As the author's, with nothing that he lacked, but small and always here.
    ours = ["Rout", "epsilon", "sigRand", "muRand", "genProbThreshold", "cost"]
    ours += ["originalForward", "rngState", "formatVersion", "h3_length"]
    ours += [f"{s}_{n}" for s in ("htd1", "ctd1") for n in (1, 2, 3)]
    rewritten(saved, **dict.fromkeys(ours))
    with pytest.warns(UserWarning, match=r"\(D4\)"):
        old = RNN4Music.fromFile(saved)
    assert old.h_lengths == SIZES[:3]
    for name, array in model.parameters().items():
        wanted = np.zeros_like(array) if "td1" in name else array
        np.testing.assert_array_equal(old.parameters()[name], wanted)


def test_a_file_of_version_1_loads(saved, model):
    # It lacked all that is new in version 2; nothing of that is asked for.
    theirs = ["optimizer", "gradNorm", "dropout", "fixedMasks", "optimizerUpdates"]
    theirs += ["validationCost", "progress"]
    with np.load(saved) as file:
        theirs += [
            n for n in file.files if n.startswith("best_") or n[:1] + n[-1:] == "Dm"
        ]
    assert len(theirs) == 5 + 2 + 2 * 57
    rewritten(saved, formatVersion=1, **dict.fromkeys(theirs))
    old = RNN4Music.fromFile(saved)
    assert (old.optimizer, old.gradNorm, old.dropout) == ("RMSprop", None, 0.0)
    assert old.fixedMasks is False
    assert old.validationCost == []
    assert old._progress is None
    for name, mean in old._store.get_moments().means.items():
        np.testing.assert_array_equal(mean, abs(model.parameters()[name]))
    assert old.instantaneousCost == model.instantaneousCost
    assert old.rng.bit_generator.state == model.rng.bit_generator.state


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
