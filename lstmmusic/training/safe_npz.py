"""Read the arrays of an untrusted .npz, each checked before it is read.

Nothing is unpickled, and no array is read before its header has the shape it must have.
"""

import io
import json
import math
import zipfile

import numpy as np
from numpy.lib import format as npy

from lstmmusic import checks

LONGEST_TEXT = 2**16  # characters
LONGEST_HISTORY = 2**27  # updates
MOST_DIGESTS = 2**24
LONGEST_HEADER = 128  # bytes of an array's; Python's parser fails on deeper nesting
LONGEST_PIECE = 2**20  # bytes of a zip that are read at once; our directory has 30 000
# Zip-bomb limits: as saved, a number takes 4 or 8 bytes of the file; compressed, with
# means that are all zero, still two.
FREE_NUMBERS, NUMBERS_PER_BYTE = 2**20, 1


class NpzError(ValueError):
    """Say that an array is missing, or has another type or shape than it must."""


class File(io.FileIO):
    """Refuse long reads: a forged zip directory must not fill memory."""

    def read(self, size=-1):
        if size > LONGEST_PIECE:
            raise NpzError(f"it wants {size} bytes read at once")
        return super().read(size)


class Arrays:
    """Read the members of an .npz; each method checks one kind of array first."""

    def __init__(self, archive, file_bytes):
        self.archive = archive
        self.names = set(archive.namelist())
        self.numbers_left = FREE_NUMBERS + NUMBERS_PER_BYTE * file_bytes

    def __contains__(self, name):
        return f"{name}.npy" in self.names

    def header(self, name) -> tuple:
        """Return the shape and the dtype of an array."""
        if name not in self:
            raise NpzError(f"there is no array {name!r} in it")
        method = self.archive.getinfo(f"{name}.npy").compress_type
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NpzError(f"{name} is compressed by method {method}")
        with self.archive.open(f"{name}.npy") as member:
            # Later versions have headers of any length, for records.
            if (version := npy.read_magic(member)) != (1, 0):
                raise NpzError(f"{name} is of .npy version {version}")
            length = int.from_bytes(member.read(2), "little")
            if length > LONGEST_HEADER:
                raise NpzError(f"{name} has a header of {length} bytes")
            member.seek(npy.MAGIC_LEN)
            shape, _, dtype = npy.read_array_header_1_0(member)
        return shape, dtype

    def read(self, name) -> np.ndarray:
        """Read an array whose header was checked."""
        with self.archive.open(f"{name}.npy") as member:
            return npy.read_array(member, allow_pickle=False)

    def numbers(self, name, shape=(), finite=True) -> np.ndarray:
        """Read an array of numbers."""
        found, dtype = self.header(name)
        if found != shape:
            raise NpzError(f"{name} has shape {found}; it must be {shape}")
        if dtype.kind not in "fiub":
            raise NpzError(f"{name} holds {dtype}; it must hold numbers")
        self.numbers_left -= math.prod(shape)
        if self.numbers_left < 0:
            raise NpzError(f"{name} is larger than such a file can hold")
        array = self.read(name)
        if finite and not np.isfinite(array).all():
            raise NpzError(f"{name} holds values that are not finite")
        return array

    def rows(self, name) -> int:
        """Return the number of rows of an array, at least 1."""
        shape, _ = self.header(name)
        return checks.check_int(f"the number of rows of {name}", (*shape, 0)[0])

    def length(self, name) -> int:
        """Read the number of cells in a layer, or of notes."""
        return checks.check_int(name, self.numbers(name).item(), high=checks.LONGEST)

    def mean_of_squares(self, name, shape) -> np.ndarray:
        """Read an array of numbers from 0."""
        array = self.numbers(name, shape)
        if (array < 0).any():
            raise NpzError(f"{name} holds negative means of squares")
        return array

    def rng_state(self, name) -> dict:
        """Read the state of a random number generator."""
        return checks.rng_state(name, json.loads(self.text(name)))

    def digests(self, name) -> np.ndarray:
        """Read digests of tunes: uint64, sorted, without duplicates."""
        shape, dtype = self.header(name)
        if len(shape) != 1 or dtype != np.uint64 or shape[0] > MOST_DIGESTS:
            raise NpzError(f"{name} must be digests, not {dtype} {shape}")
        return np.unique(self.numbers(name, shape))

    def bytes(self, name, longest) -> bytes:
        """Read up to ``longest`` bytes."""
        shape, dtype = self.header(name)
        if len(shape) != 1 or dtype != np.uint8 or shape[0] > longest:
            raise NpzError(f"{name} must be up to {longest} bytes, not {dtype} {shape}")
        return self.numbers(name, shape).tobytes()

    def text(self, name) -> str:
        """Read a text."""
        shape, dtype = self.header(name)
        if shape != () or dtype.kind != "U" or dtype.itemsize > 4 * LONGEST_TEXT:
            raise NpzError(f"{name} must be a text, not {dtype} {shape}")
        return str(self.read(name))

    def truth(self, name) -> bool:
        """Read a truth value."""
        return checks.truth(name, self.numbers(name).item())

    def validation(self) -> list:
        """Read the pairs of updates and nats per step."""
        return [(int(n), nll) for n, nll in self.history("validationCost", (2,))]

    def history(self, name, entry=()) -> list:
        """Read a list of numbers, or of entries of that shape."""
        shape, _ = self.header(name)
        if shape[1:] != entry or not shape or shape[0] > LONGEST_HISTORY:
            raise NpzError(f"{name} must be a list, not of shape {shape}")
        return self.numbers(name, shape, finite=False).tolist()
