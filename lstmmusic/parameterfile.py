"""The original's parameter file, an .npz, read and written.

The layout is the original's (EQUATIONS: one array for each of its names), with what it
lacked added under new names, so that a training can go on where it stopped.  Nothing is
ever unpickled, and no array is read before its header has been compared with the shape
it must have.
"""

import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from lstmmusic import checks, wholefile
from lstmmusic.costs import COSTS
from lstmmusic.parameters import state_shapes, weight_shapes
from lstmmusic.progress import Progress
from lstmmusic.store import OPTIMIZERS
from lstmmusic.updates import Moments

FORMAT_VERSION = 2  # 1 had RMSprop alone, and no unfinished training
H_LENGTHS = ("h1_length", "h2_length", "h3_length")
LONGEST_TEXT = 2**16  # characters
LONGEST_HISTORY = 2**27  # updates
LONGEST_HEADER = 128  # bytes of an array's; Python's parser fails on deeper nesting
LONGEST_PIECE = 2**20  # bytes of a zip that are read at once; our directory has 30 000
# What a bomb is told by: as saved, a number takes 4 or 8 bytes of the file. Compressed,
# with means that are all zero, it still takes two.
FREE_NUMBERS, NUMBERS_PER_BYTE = 2**20, 1
LARGEST = 1e30  # a first value; well within float32
MOST_DROPOUT = 0.99
# What RNN4Music takes: beside the original's settings, ours.
LIMITS = {
    **{name: {} for name in ("R1", "R2", "R3", "gradClip", "Rout", "epsilon")},
    **{name: {"low_allowed": True, "high": LARGEST} for name in ("sigRand", "muRand")},
    "genProbThreshold": {"low_allowed": True, "high": 1.0},
    "dropout": {"low_allowed": True, "high": MOST_DROPOUT},
}
SINCE_2 = {"optimizer", "gradNorm", "dropout", "fixedMasks"}
SETTINGS = (*LIMITS, "cost", "originalForward", "optimizer", "gradNorm", "fixedMasks")


class ParameterFileError(ValueError):
    """A file is not one of `saveParameters`, or is damaged."""


class Saved(NamedTuple):
    """What a parameter file holds; None where the original's files lack it."""

    h_lengths: tuple
    io_length: int
    weights: dict  # {original name: array}
    state: dict | None  # {original name: array}
    moments: Moments | None  # of {original name of the weight: array}
    settings: dict  # arguments of RNN4Music
    loss: float
    history: list  # costs
    validation: list  # (updates, nats per step)
    rng_state: dict | None
    progress: Progress | None  # of a training that can be resumed


def with_suffix(fileName):
    """Append .npz when missing, as numpy.savez does."""
    path = os.fspath(fileName)
    return Path(path if path.endswith(".npz") else path + ".npz")


def check_place(name, fileName):
    """Raise ValueError where no file can be written; said early, not after hours."""
    try:
        path = with_suffix(fileName)
        folder = Path(os.path.realpath(path)).parent
        if path.name.strip(".") == "npz":
            raise TypeError
    except TypeError:
        raise ValueError(
            f"{name} is {fileName!r}; allowed is the path of a file"
        ) from None
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(
            f"{name} is {fileName!r}, but {folder} is no folder to write to"
        )


def mean_name(name):
    """Return the original's name for what RMSprop keeps of a weight: Wxi_1 → DWxi1p."""
    return f"D{name.replace('_', '')}p"


def momentum_name(name):
    """Return where Adam's running mean of a gradient is kept: Wxi_1 → DWxi1m."""
    return f"D{name.replace('_', '')}m"


def write(fileName, saved):
    """Write a `Saved`; a failed or killed write leaves the old file whole.

    Returns the path written, ``fileName`` with .npz appended when missing.
    """
    arrays = {
        **saved.weights,
        **saved.state,
        **_moments_to_write(saved.moments),
        **_progress_to_write(saved.progress),
        **dict(zip(H_LENGTHS, saved.h_lengths, strict=True)),
        **saved.settings,
        "gradNorm": saved.settings["gradNorm"] or math.inf,
        "io_length": saved.io_length,
        "loss": float(saved.loss),
        "instantaneousCost": np.array(saved.history, dtype=np.float64),
        "validationCost": np.array(saved.validation, dtype=np.float64).reshape(-1, 2),
        "rngState": json.dumps(saved.rng_state),
        "formatVersion": FORMAT_VERSION,
    }
    return wholefile.write(with_suffix(fileName), lambda file: np.savez(file, **arrays))


def _moments_to_write(moments):
    arrays = {mean_name(name): mean for name, mean in moments.means.items()}
    if moments.momenta is not None:
        arrays |= {momentum_name(n): m for n, m in moments.momenta.items()}
        arrays["optimizerUpdates"] = moments.updates
    return arrays


def _progress_to_write(progress):
    if progress is None:
        return {"progress": "null"}
    numbers = {**vars(progress), "best": None}
    best = progress.best or {}
    return {
        "progress": json.dumps(numbers),
        **{f"best_{name}": array for name, array in best.items()},
    }


def read(fileName):
    """Read a `Saved`, from a file of ours or of the original program.

    The original's RMSprop state is not a running mean of squares (D4), its training
    ignored the state at step −1 (D9), and it looked at a_g (D3): for its files
    ``moments`` and ``state`` are None and ``settings["originalForward"]`` is True.

    Raises
    ------
    FileNotFoundError
    ParameterFileError
        If the file is no .npz, is cut off, lacks an array, or holds one of the wrong
        shape, of objects, or with values that are not finite.
    """
    path = with_suffix(fileName)
    if not path.is_file() and Path(fileName).is_file():
        path = Path(fileName)
    with _File(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(_Arrays(archive, os.path.getsize(path)))
        except ParameterFileError as error:
            raise ParameterFileError(f"{path}: {error}") from None
        except Exception as error:  # zip, zlib and npy each have their own
            raise ParameterFileError(
                f"{path} is not a parameter file, or is damaged: {error}"
            ) from error


def _read(arrays):
    ours = "formatVersion" in arrays or "Rout" in arrays  # neither in the original's
    if ours:
        version = arrays.numbers("formatVersion").item()
        if checks.whole("formatVersion", version) > FORMAT_VERSION:
            raise ParameterFileError(
                f"formatVersion is {version}; this version of lstmmusic reads up to "
                f"{FORMAT_VERSION}"
            )
    if ours or "h3_length" in arrays:
        h_lengths = tuple(arrays.length(name) for name in H_LENGTHS)
    else:  # the original's early files
        h_lengths = (*map(arrays.length, H_LENGTHS[:2]), arrays.rows("Whi_3"))
    io_length = arrays.length("io_length")
    shapes = weight_shapes(h_lengths, io_length)
    extra = {"state": None, "moments": None, "rng_state": None, "progress": None}
    settings = _settings(arrays, version if ours else 0)
    if ours:
        extra = {
            "state": {
                name: arrays.numbers(name, shape)
                for name, shape in state_shapes(h_lengths).items()
            },
            "moments": _moments(arrays, shapes, settings["optimizer"] == "Adam"),
            "rng_state": arrays.rng_state("rngState"),
            "progress": _progress(arrays, shapes) if version > 1 else None,
        }
    return Saved(
        h_lengths=h_lengths,
        io_length=io_length,
        weights={name: arrays.numbers(name, shape) for name, shape in shapes.items()},
        settings=settings,
        loss=float(arrays.numbers("loss", finite=False)),
        history=arrays.history("instantaneousCost"),
        validation=arrays.validation() if ours and version > 1 else [],
        **extra,
    )


def _settings(arrays, version):
    """Read the arguments of RNN4Music; version 0 is the original's."""
    names = ("R1", "R2", "R3", "gradClip")
    if version:
        names = LIMITS.keys() - (SINCE_2 if version < 2 else set())
    settings = {
        name: checks.real(name, arrays.numbers(name).item(), **LIMITS[name])
        for name in names
    }
    settings["originalForward"] = True
    settings["optimizer"] = "RMSprop"
    if version:
        settings["originalForward"] = arrays.truth("originalForward")
        settings["cost"] = checks.one_of("cost", arrays.text("cost"), COSTS)
    if version >= 2:
        optimizer = arrays.text("optimizer")
        settings["optimizer"] = checks.one_of("optimizer", optimizer, OPTIMIZERS)
        settings["fixedMasks"] = arrays.truth("fixedMasks")
        limit = arrays.numbers("gradNorm", finite=False).item()
        settings["gradNorm"] = (
            None if limit == math.inf else checks.real("gradNorm", limit)
        )
    return settings


def _moments(arrays, shapes, adam):
    means = {
        name: arrays.mean_of_squares(mean_name(name), shape)
        for name, shape in shapes.items()
    }
    if not adam:
        return Moments(means)
    momenta = {n: arrays.numbers(momentum_name(n), s) for n, s in shapes.items()}
    updates = arrays.numbers("optimizerUpdates").item()
    return Moments(means, momenta, checks.whole("optimizerUpdates", updates, low=0))


def _progress(arrays, shapes):
    numbers = json.loads(arrays.text("progress"))
    if numbers is None:
        return None
    try:
        progress = Progress(**numbers)
        progress.check()
    except (TypeError, ValueError) as error:
        raise ParameterFileError(f"progress is none of a training: {error}") from None
    if progress.bestNll < math.inf:
        progress.best = {n: arrays.numbers(f"best_{n}", s) for n, s in shapes.items()}
    return progress


class _File(io.FileIO):
    """A file of which no piece is read that is too long: of a zip, the directory."""

    def read(self, size=-1):
        if size > LONGEST_PIECE:
            raise ParameterFileError(f"it wants {size} bytes read at once")
        return super().read(size)


class _Arrays:
    """The members of an .npz, each checked against what it must be before reading."""

    def __init__(self, archive, file_bytes):
        self.archive = archive
        self.names = set(archive.namelist())
        self.numbers_left = FREE_NUMBERS + NUMBERS_PER_BYTE * file_bytes

    def __contains__(self, name):
        return f"{name}.npy" in self.names

    def header(self, name):
        if name not in self:
            raise ParameterFileError(f"there is no array {name!r} in it")
        method = self.archive.getinfo(f"{name}.npy").compress_type
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ParameterFileError(f"{name} is compressed by method {method}")
        with self.archive.open(f"{name}.npy") as member:
            # Later versions have headers of any length, for records.
            if (version := npy.read_magic(member)) != (1, 0):
                raise ParameterFileError(f"{name} is of .npy version {version}")
            length = int.from_bytes(member.read(2), "little")
            if length > LONGEST_HEADER:
                raise ParameterFileError(f"{name} has a header of {length} bytes")
            member.seek(npy.MAGIC_LEN)
            shape, _, dtype = npy.read_array_header_1_0(member)
        return shape, dtype

    def read(self, name):
        with self.archive.open(f"{name}.npy") as member:
            return npy.read_array(member, allow_pickle=False)

    def numbers(self, name, shape=(), finite=True):
        found, dtype = self.header(name)
        if found != shape:
            raise ParameterFileError(f"{name} has shape {found}; it must be {shape}")
        if dtype.kind not in "fiub":
            raise ParameterFileError(f"{name} holds {dtype}; it must hold numbers")
        self.numbers_left -= math.prod(shape)
        if self.numbers_left < 0:
            raise ParameterFileError(f"{name} is larger than such a file can hold")
        array = self.read(name)
        if finite and not np.isfinite(array).all():
            raise ParameterFileError(f"{name} holds values that are not finite")
        return array

    def rows(self, name):
        shape, _ = self.header(name)
        return checks.whole(f"the number of rows of {name}", (*shape, 0)[0])

    def length(self, name):
        return checks.whole(name, self.numbers(name).item(), high=checks.LONGEST)

    def mean_of_squares(self, name, shape):
        array = self.numbers(name, shape)
        if (array < 0).any():
            raise ParameterFileError(f"{name} holds negative means of squares")
        return array

    def rng_state(self, name):
        return checks.rng_state(name, json.loads(self.text(name)))

    def text(self, name):
        shape, dtype = self.header(name)
        if shape != () or dtype.kind != "U" or dtype.itemsize > 4 * LONGEST_TEXT:
            raise ParameterFileError(f"{name} must be a text, not {dtype} {shape}")
        return str(self.read(name))

    def truth(self, name):
        return checks.truth(name, self.numbers(name).item())

    def validation(self):
        return [(int(n), nll) for n, nll in self.history("validationCost", (2,))]

    def history(self, name, entry=()):
        shape, _ = self.header(name)
        if shape[1:] != entry or not shape or shape[0] > LONGEST_HISTORY:
            raise ParameterFileError(f"{name} must be a list, not of shape {shape}")
        return self.numbers(name, shape, finite=False).tolist()
