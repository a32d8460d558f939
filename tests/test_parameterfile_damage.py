"""Damaged and forged parameter files are refused, and the object stays as it was."""

import json
import os
import zipfile

import numpy as np
import pytest
from conftest import new_network as new
from conftest import rewritten

from lstmmusic import ParameterFileError, RNN4Music
from lstmmusic.training import parameter_file


def test_a_file_cut_off_anywhere_is_refused(saved, refused):
    whole = saved.read_bytes()
    places = [
        *range(0, len(whole), len(whole) // 30),
        *range(len(whole) - 10, len(whole)),
    ]
    for length in places:
        saved.write_bytes(whole[:length])
        refused(saved, "saved.npz")


def test_a_changed_byte_is_refused_or_without_effect(filled, saved, everything, same):
    # Some bytes of a zip do not matter, its time stamps for one. Fails if one that
    # does is let through, or gives another error.
    whole = saved.read_bytes()
    wanted = everything(filled)
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
    assert len(members) == 4 * 57 + 6 + 4 + 2 + 15 + 5 + 4 + 4 + 1  # see the layout
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
    "another size": ("h2_length", 4, r"has shape \(3, 5\); it must be \(4, 5\)"),
    "future": ("formatVersion", 99, "formatVersion is 99; this version .* up to 5"),
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
    training = RNN4Music.fromFile(saved)._train_state
    assert training.best_nll == np.inf
    assert training.best is None
    assert training.position[:2] == (2, 1)


@pytest.mark.parametrize("name", ["by", "Dbyp", "Dbym", "best_by"])
def test_numbers_beyond_float32_are_refused_before_the_object_changes(
    saved, refused, name
):
    refused(rewritten(saved, **{name: np.full(5, 1e300)}), "by holds .*not", ValueError)
