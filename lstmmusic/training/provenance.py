"""Record the tunes that a network was trained on, and the settings of each training.

NumPy only.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lstmmusic import checks
from lstmmusic.data.batches import unpacked

DIGEST_BYTES = 8
MOST_TRAININGS = 100  # records; of more, the newest are kept
LONGEST_COMMAND = 2**12  # characters


class TrainedOn(NamedTuple):
    """Hold digests of the tunes that a network was trained on.

    Attributes
    ----------
    digests : uint64 ndarray of shape (tunes,)
        By `digest_of`; sorted, without duplicates.
    complete : bool
        False if the network was also trained on unknown tunes, as a network from a
        parameter file of an earlier version.
    """

    digests: np.ndarray = np.zeros(0, np.uint64)
    complete: bool = True

    def join(self, digests: np.ndarray) -> "TrainedOn":
        """Return these tunes and others, given by their digests."""
        return self._replace(digests=np.union1d(self.digests, digests))

    def holds(self, tune) -> bool | None:
        """Return whether a tune (steps, N) is among them; None if that is unknown."""
        if digest_of(tune) in self.digests:
            return True
        return False if self.complete else None


class Source(NamedTuple):
    """Hold the command and the tunes of a training, for its record."""

    command: str | None
    digests: np.ndarray  # of the tunes


def make_source(command, tunes: Iterable) -> Source:
    """Check the argument ``command`` of `RNN4Music.train`; return a `Source`."""
    return Source(check_command(command), digests_of(tunes))


def digest_of(tune) -> np.uint64:
    """Return a digest of 8 bytes of a tune (steps, N).

    A roll has the same digest in every dtype, and packed.
    """
    roll = np.asarray(unpacked(tune))
    sounds = roll != 0
    binary = np.array_equal(roll, sounds)
    content = np.packbits(sounds) if binary else np.ascontiguousarray(roll, np.float32)
    digest = hashlib.blake2b(repr(roll.shape).encode(), digest_size=DIGEST_BYTES)
    digest.update(content.data)
    return np.uint64(int.from_bytes(digest.digest(), "little"))


def digests_of(tunes: Iterable) -> np.ndarray:
    """Return the digests of tunes, uint64 (tunes,)."""
    return np.array([digest_of(tune) for tune in tunes], np.uint64)


def warn_of_overlap(validation: Iterable, trained_on: np.ndarray) -> None:
    """Warn if tunes of ``validation`` are among those trained on, given by digests."""
    (found,) = np.isin(digests_of(validation), trained_on).nonzero()
    if len(found):
        checks.warn_caller(
            f"validation has {checks.counted(len(found), 'tune')} of the training, the "
            f"first is tune {found[0]}; the cost of a tune trained on does not show "
            "how well others are predicted"
        )


def digest_of_state(rng_state: Mapping[str, Any] | None) -> str:
    """Return a digest, in hexadecimal, of the state of a random number generator."""
    text = json.dumps(rng_state, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def check_command(command: str | None) -> str | None:
    """Check and return the argument ``command`` of `RNN4Music.train`."""
    if command is None:
        return None
    if not isinstance(command, str) or len(command) > LONGEST_COMMAND:
        raise ValueError(
            f"command is {command!r:.60}; allowed are None and a string of up to "
            f"{LONGEST_COMMAND} characters"
        )
    return command


def add_training(trainings: list[dict], record: dict) -> None:
    """Append the record of a training that begins, with no update yet.

    If only the random state differs from the last record, that goes on counting, so
    that calls of `train` in a loop make one record.
    """
    last = trainings[-1] if trainings else {}
    own = {name: record[name] for name in ("updates", "randomState") if name in record}
    if last | own == record:
        last |= own | {"updates": last["updates"]}
    else:
        trainings.append(record)
        del trainings[:-MOST_TRAININGS]


def unknown_trainings(updates: int, plan: dict | None) -> list[dict]:
    """Return the records for a file that has none: version 2 or before."""
    return [{"command": None, "updates": updates, **(plan or {})}] if updates else []


def check_trainings(trainings) -> list[dict]:
    """Check and return the records of a file; raise ValueError for anything else."""
    if not isinstance(trainings, list) or len(trainings) > MOST_TRAININGS:
        raise ValueError(f"trainings is {trainings!r:.60}; it must be a list")
    for record in trainings:
        if not isinstance(record, dict) or not {"command", "updates"} <= record.keys():
            raise ValueError(f"trainings holds {record!r:.60}; it must hold records")
        checks.check_int("updates", record["updates"], low=0)
        check_command(record["command"])
    return trainings
