"""The forms in which the standard data sets are published, to piano-rolls.

Such files pass from hand to hand, so nothing in them is trusted: memory and depth are
bounded, and a pickle makes nothing but lists, tuples, ints, dicts and strings.  That is
why two readers stand here that others have written before, both without such bounds:
200 kB of nested cells end the process in `scipy.io.loadmat`; and a `pickle.Unpickler`
that refuses every class still hashes what a dict has for a key, at any depth (the
same), and makes room for as many memos as ten bytes ask for (8 GB).
"""

import json
import os
import struct
import zlib
from itertools import chain, islice
from pathlib import Path

import numpy as np

SPLITS = ("train", "valid", "test")
NOTES = 88
LOWEST = 21  # the MIDI note of column 0
MAX_FILE_BYTES = 2**25
MAX_ROLL_BYTES = 2**26  # of all rolls, a byte for each cell; MuseData has 35 million


def read(path):
    """Read a file as {split: list of uint8 rolls (steps, 88)}.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        If the file's suffix is none of SUFFIXES; if it is no regular file, damaged or
        too large; if it holds anything but rolls of zeros and ones, or notes from 21 to
        108.  The message names the file, and the tune.
    """
    from midi.files import open_regular, printable  # not paid by `import lstmmusic`

    path = Path(path)
    name = printable(path)
    reader = SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{name} has the suffix {path.suffix!r}; allowed are {', '.join(SUFFIXES)}"
        )
    with open_regular(path, "a regular file", ValueError) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise ValueError(f"{name} is over {MAX_FILE_BYTES} bytes long")
        data = file.read()
    try:
        return reader(data)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    except Exception as error:  # each form has its own
        raise ValueError(f"{name} is damaged: {error!r}") from error


# Lists of notes


def read_json(data):
    return rolls_from_notes(json.loads(data))


def read_pickle(data):
    return rolls_from_notes(unpickle(data))


def rolls_from_notes(splits):
    """Turn {split: tunes}, lists of steps that are lists of MIDI notes, into rolls."""
    if not isinstance(splits, dict):
        raise ValueError(f"it holds {_shown(splits)}; it must hold a dict")
    steps, rolls = 0, {}
    for split in SPLITS:
        rolls[split] = []
        for n, tune in enumerate(_list(f"the split {split!r}", splits.get(split))):
            name = f"tune {n} of {split!r}"
            steps += len(_list(name, tune))  # may be one list, a million times
            if steps * NOTES > MAX_ROLL_BYTES:
                raise ValueError(f"it has over {MAX_ROLL_BYTES // NOTES} steps")
            rolls[split].append(_roll_from_notes(name, tune))
    return rolls


def _roll_from_notes(name, tune):
    for t, step in enumerate(tune):
        if len(_list(f"step {t} of {name}", step, least=0)) > NOTES:
            raise ValueError(f"step {t} of {name} has {len(step)} notes")
    notes = list(chain.from_iterable(tune))
    high = LOWEST + NOTES
    for note in notes:
        if type(note) is not int or not LOWEST <= note < high:
            raise ValueError(
                f"{name} has the note {_shown(note)}; "
                f"allowed are whole numbers from {LOWEST} to {high - 1}"
            )
    roll = np.zeros((len(tune), NOTES), np.uint8)
    row = np.repeat(np.arange(len(tune)), [len(step) for step in tune])
    roll[row, np.array(notes, int) - LOWEST] = 1
    return roll


def _list(name, value, least=1):
    if not isinstance(value, list | tuple) or len(value) < least:
        what = "a list" if least == 0 else "a list that is not empty"
        raise ValueError(f"{name} is {_shown(value)}; it must be {what}")
    return value


def _shown(value):
    """Say what a value is, but do not walk through it: it may never end."""
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"{value!r:.40}"


PICKLED_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 STRING BINSTRING SHORT_BINSTRING "
    "SHORT_BINBYTES UNICODE BINUNICODE SHORT_BINUNICODE".split()
)
PICKLED_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PICKLED_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}


def unpickle(data):
    """Return what a pickle of lists, tuples, ints, dicts and strings holds.

    The pickle may be of any protocol, and Python 2's.  What would make anything else is
    refused by its name in `pickletools`.
    """
    from pickletools import genops  # takes the bytes apart, and carries nothing out

    stack, marks, memo = [], [], {}

    def take_from(start):
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, argument, _ in genops(data):
        match opcode.name:
            case name if name in PICKLED_VALUES:
                stack.append(argument)
            case "MARK":
                marks.append(len(stack))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE":
                stack.append(tuple(take_from(marks.pop())))
            case name if name in PICKLED_TUPLES:
                stack.append(tuple(take_from(-PICKLED_TUPLES[name])))
            case "LIST":
                stack.append(take_from(marks.pop()))
            case name if name in PICKLED_EMPTY:
                stack.append(PICKLED_EMPTY[name]())
            case "APPEND" | "APPENDS" as name:
                items = take_from(-1 if name == "APPEND" else marks.pop())
                _must_be(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS" | "DICT" as name:
                items = take_from(-2 if name == "SETITEM" else marks.pop())
                if name == "DICT":
                    stack.append({})
                _set_items(_must_be(dict, stack[-1]), items)
            case "PROTO" | "FRAME" | "STOP":
                pass
            case name:
                raise ValueError(
                    f"it is a pickle with {name}; "
                    "allowed are lists, tuples, ints, dicts and strings"
                )
    return stack.pop()


def _set_items(made, items):
    for key, value in zip(items[::2], items[1::2], strict=True):
        key = key.decode("latin-1") if isinstance(key, bytes) else key
        made[_must_be(str, key)] = value


def _must_be(kind, value):
    if type(value) is not kind:
        raise ValueError(
            f"it is a pickle with {_shown(value)} in place of a {kind.__name__}"
        )
    return value


# MATLAB's level 5: an element is type, size, content; an array's content is elements:
# flags, shape, name, and the values, or an array for each cell

MATRIX, COMPRESSED = 14, 15
CELL = 1  # a class of array, in the flags' first byte
NUMBERS = range(6, 16)  # the classes of numbers
DTYPES = dict(
    zip((1, 2, 3, 4, 5, 6, 7, 9), "i1 u1 <i2 <u2 <i4 <u4 <f4 <f8".split(), strict=True)
)


def read_mat(data):
    """Read the variables traindata, validdata and testdata, cells of rolls."""
    if data[124:128] != b"\x00\x01IM":
        raise ValueError("it is no little-endian .mat file of MATLAB's versions 5 to 7")
    rolls, left = {}, MAX_ROLL_BYTES
    for kind, content in _elements(memoryview(data)[128:]):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            content = memoryview(stream.decompress(content, left + 1))
            left -= len(content)
            if left < 0 or not stream.eof:
                raise ValueError(f"it is cut off, or over {MAX_ROLL_BYTES} bytes")
            ((_, content),) = _elements(content)
        _, _, (_, name) = islice(_elements(content), 3)
        rolls[bytes(name).decode("latin-1")] = content
    return {split: _rolls_from_cell(f"{split}data", rolls) for split in SPLITS}


def _elements(data):
    """Yield (type, content) of the elements that ``data`` is made of."""
    start = 0
    while start < len(data):
        kind, size = struct.unpack_from("<II", data, start)
        first = start + 8
        start = first + size
        if kind >> 16:  # at most four bytes, packed into those of the size
            first, start = first - 4, first
            kind, size = kind & 0xFFFF, kind >> 16
        elif kind != COMPRESSED:
            start += -size % 8
        if first + size > len(data):
            raise ValueError("it is cut off")
        yield kind, data[first : first + size]


def _rolls_from_cell(name, variables):
    if name not in variables:
        raise ValueError(f"there is no variable {name} in it")
    elements = _elements(variables[name])
    (_, flags), _, _ = islice(elements, 3)
    if flags[0] != CELL:
        raise ValueError(f"{name} is no cell array")
    rolls = [
        _roll_from_array(f"tune {n} of {name}", content)
        for n, (_, content) in enumerate(elements)
    ]
    if not rolls:
        raise ValueError(f"{name} is empty")
    return rolls


def _roll_from_array(name, content):
    (_, flags), (_, shape), _, (kind, values) = islice(_elements(content), 4)
    if flags[0] not in NUMBERS or kind not in DTYPES:
        raise ValueError(f"{name} does not hold numbers")
    shape = tuple(np.frombuffer(shape, "<i4")[:3].tolist())
    if len(shape) != 2 or shape[0] < 1 or shape[1] != NOTES:
        raise ValueError(f"{name} has shape {shape}; allowed are (steps, {NOTES})")
    roll = np.frombuffer(values, DTYPES[kind]).reshape(shape, order="F")
    odd = roll[(roll != 0) & (roll != 1)]  # NaN is neither
    if odd.size:
        raise ValueError(f"{name} holds {odd[0]}; allowed are 0 and 1")
    return roll.astype(np.uint8, order="C")


SUFFIXES = {
    ".mat": read_mat,
    ".json": read_json,
    ".pickle": read_pickle,
    ".pkl": read_pickle,
}
