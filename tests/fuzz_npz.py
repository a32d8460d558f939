"""Make and read mutants of parameter files, for `fuzz`."""

import atexit
import bz2
import io
import lzma
import math
import re
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytensor
from fuzz_parts import Member, Touch, array, bomb, member, npy, npy_header, zipped

from lstmmusic import RNN4Music
from lstmmusic.model.parameters import state_shapes, weight_shapes
from lstmmusic.training.checkpoint import weights_of
from lstmmusic.training.parameter_file import mean_name, momentum_name
from lstmmusic.training.state import Position
from midi import RollFormat

FILE = Path(tempfile.mkdtemp()) / "fuzzed.npz"
atexit.register(shutil.rmtree, FILE.parent)
# Prefixes of the arrays that the original's files lack, and of those that hold text.
LACKED = (
    b"Rout roll eps sig mu gen cost orig rng form htd1 ctd1 opt gradN drop fix prog val"
)
LACKED = tuple(LACKED.split())
WITH_TEXT = (b"rngState", b"progress", b"cost.", b"optimizer.", b"rollFormat")
WORDS = ["-1", "0", "1.5", "1e999", "NaN", "null", "true", "[]", '"x"', "9" * 5000, "{"]
NAMES = (
    rb"../../fuzzed.npy /tmp/fuzzed.npy C:\fuzzed.npy by by.npy/ h3_length.npy".split()
)
NAMES += [b"", b"\xff", b"by.npy\0", b"a" * 60_000, "ä.npy".encode()]
# Headers of .npy files: huge, negative and odd shapes; types that need unpickling, take
# much memory or do not exist; and texts that are no dictionary.
SHAPES = "() (1,) (0,) (-1,) (True,) (5,4) (2**30,) (1e3,) [4] (134217728,)".split()
SHAPES += ["(1000000000000,)", "(4294967296,4294967296)", f"({'9' * 5000},)"]
TYPES = """'<f8' '|O' 'O' [('a','|O')] '|V2147483647' '<U1073741824' '(999,999,999)f8'
    '<c16' '<M8[s]' '|b1' '>f4' '<f2' '<f16' '<f9' '|i1' '<u8' '<U3' '|S0' ('<f8',(9,9))
    None '' {}""".split()
HEADERS = [
    "__import__('pathlib').Path('fuzzed').touch()",
    "{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': ()}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (5L,)}",  # Python 2's
    *["(" * 9000, "-" * 9000 + "1", "[" * 90 + "]" * 90, "9" * 9000, "", "\0"],
    *["{" + "'descr': '<f8', " * 500, "'a' " * 2000],
]
TEXTS = [
    "",
    "{",
    "null",
    "[" * 30_000,
    "9" * 9000,
    "1e999",
    '{"bit_generator": "PCG64"}',
]
VALUES = [*TEXTS, 0, -1, 1, 1.5, np.nan, np.inf, 1e30, 1e300, 2**16, 2**40, 2**63, True]


def seeds():
    """Return small files of our layout and of the original's, as lists of Member."""
    found = []
    for dtype, sizes in [("float32", (4, 3, 2, 5)), ("float64", (1, 1, 1, 1))]:
        with pytensor.config.change_flags(floatX=dtype):
            model = RNN4Music(*sizes, seed=1)
            adam = RNN4Music(*sizes, seed=1, optimizer="Adam", dropout=0.5)
        model.instantaneousCost = [3.0, 2.0]
        model.rollFormat = RollFormat((60, 60 + sizes[3]), 0.2)
        adam.rollFormat = RollFormat((60, 60 + sizes[3]), 0.5, "beats", True)
        state = adam.rng.bit_generator.state
        training = adam._train_state
        training.plan, training.position = {"noOfEpoch": 7}, Position(2, 1, state)
        training.best_nll, training.best = 2.25, weights_of(adam)
        ours, unfinished = _members(model), _members(adam)
        theirs = [m for m in ours if not m.name.startswith(LACKED)]
        early = [m for m in theirs if m.name != b"h3_length.npy"]
        found += [ours, unfinished, unfinished, theirs, early]
    return found


def _members(model):
    model.saveParameters(FILE)
    with zipfile.ZipFile(FILE) as archive:
        return [member(n.encode(), archive.read(n)) for n in archive.namelist()]


def mutant(rng, seeds):
    """Return the bytes of a file made from one of the seeds."""
    members, how = list(rng.choice(seeds)), rng.random()
    if how < 0.01:
        sizes = rng.choice([20, 90, 1000, 3000])
        return zipped(bombs(members, rng.choice(["f4", "f8", "i1", "f2"]), sizes))
    if how > 0.3:
        for _ in range(int(rng.paretovariate(1.5))):
            rng.choice(MEMBERS)(rng, members)
    offsets = {}
    if rng.random() < 0.05:
        offsets = {
            rng.randrange(len(members) + 1): rng.choice([0, 30, 1000, 2**32 - 1])
        }
    data = bytearray(zipped(members, offsets))
    if how < 0.3:
        for _ in range(rng.randint(1, 3)):
            rng.choice(BYTES)(rng, data)
    return bytes(data)


def attempt(data, rng):
    """Load `data`; raise AssertionError if the result is no network."""
    FILE.write_bytes(data)
    model = RNN4Music.fromFile(FILE)
    shapes = weight_shapes(model.h_lengths, model.io_length)
    shapes |= state_shapes(model.h_lengths)
    for name, value in model.parameters().items():
        assert value.shape == shapes.pop(name)
        assert value.dtype == model.dtype
        assert np.isfinite(value).all()
    assert not shapes


def bombs(members, dtype, cells):
    """Return the members of a sound small file that unpacks to zeros."""
    h_lengths = (cells,) * 3
    shapes = weight_shapes(h_lengths, cells)
    kept = (str, mean_name, momentum_name, "best_{}".format)
    shapes = {name(weight): s for weight, s in shapes.items() for name in kept}
    shapes |= state_shapes(h_lengths)
    sizes = {f"h{n}_length": cells for n in (1, 2, 3)} | {"io_length": cells}
    kind, out = np.dtype(dtype), []
    for m in members:
        name = m.name.decode().removesuffix(".npy")
        if name in shapes:
            header = npy_header(repr(kind.str), "False", shapes[name])
            size = kind.itemsize * math.prod(shapes[name])
            m = bomb(m.name, npy(header), size + 200)
        elif name in sizes:
            m = member(m.name, array(sizes[name]))
        elif name == "rollFormat":
            m = member(m.name, array("null"))
        out.append(m)
    return out


def _leave_out(rng, members):
    if members:
        members.remove(rng.choice(members))


def _shorten(rng, members):
    del members[rng.randrange(len(members) + 1) :]


def _shuffle(rng, members):
    rng.shuffle(members)


def _again(rng, members):
    members[:0] = rng.sample(members, min(len(members), rng.randint(1, 9)))


def _many(rng, members):
    if rng.random() < 0.05:
        members += [
            Member(b"%d.npy" % n, b"", 0, 0) for n in range(rng.randrange(60_000))
        ]


def _text(rng, members):
    """Change a number in one of the texts, which are JSON, or a word."""
    texts = [n for n, m in enumerate(members) if m.name.startswith(WITH_TEXT)]
    if texts:
        number = rng.choice(texts)
        try:
            text = str(np.load(io.BytesIO(members[number].stored)))
        except Exception:  # the member is no longer an array
            return
        places = [match.span() for match in re.finditer(r"[\w.+-]+", text)]
        begin, end = rng.choice(places or [(0, 0)])
        text = text[:begin] + rng.choice(WORDS) + text[end:]
        members[number] = member(members[number].name, array(text))


def changed(change):
    """Turn a change of one member into a change of a random one in a list."""

    def of_members(rng, members):
        if members:
            number = rng.randrange(len(members))
            members[number] = change(rng, members[number])

    return of_members


def _rename(rng, m):
    return m._replace(name=rng.choice(NAMES))


def _field(rng, m):
    number = rng.choice([0, 1, 2**16, 2**31, 2**32 - 1, rng.getrandbits(32)])
    name = rng.choice(["size", "crc", "method", "flags"])
    return m._replace(**{name: number % (2**32 if name in ("size", "crc") else 2**16)})


def _link(rng, m):
    target = rng.choice([b"/etc/passwd", b"../fuzzed", b"by.npy"])
    return member(m.name, target)._replace(attributes=0o120777 << 16)


def _content(rng, m):
    content = bytearray(m.stored)
    rng.choice(BYTES)(rng, content)
    return member(m.name, bytes(content))


def _header(rng, m):
    order = rng.choice(["False", "True", "0"])
    text = npy_header(rng.choice(TYPES), order, rng.choice(SHAPES))
    text = rng.choice([text, text, rng.choice(HEADERS)])
    versions = [(1, None), (1, 2**16 - 1), (2, None), (2, 2**32 - 1), (9, 9)]
    return member(m.name, npy(text, m.stored[-40:], *rng.choice(versions)))


def _value(rng, m):
    value = rng.choice(VALUES)
    with np.errstate(over="ignore"):
        shaped = np.full(rng.choice([(), (1,), (5,), (2, 2)]), value)
    return member(m.name, array(shaped))


def _cast(rng, m):
    try:
        old = np.load(io.BytesIO(m.stored))
        with np.errstate(all="ignore"):
            new = old.astype(rng.choice("f2 f4 f8 f16 i1 i8 u8 ? O U9 c8 >f8".split()))
    except Exception:  # the member is no longer an array
        return m
    return member(m.name, array(rng.choice([new, new.T, new[..., None], new.ravel()])))


def _pickle(rng, m):
    objects = np.empty(rng.choice([(), (5,), (4, 5)]), object)
    objects.flat[:1] = [Touch()]
    content = array(objects)
    return member(m.name, rng.choice([content, content[content.index(b"\n") + 1 :]]))


def _pack(rng, m):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = packer.compress(m.stored) + packer.flush()
    lzma_header = b"\x09\x04\x05\0\x5d\0\0\0\xff"  # of a dictionary of 4 GiB
    ways = [(8, deflated), (8, deflated), (8, deflated[:-3])]
    ways += [(12, bz2.compress(m.stored)), (14, lzma_header + lzma.compress(m.stored))]
    method, stored = rng.choice(ways)
    return m._replace(stored=stored, method=method)


def _bomb(rng, m):
    size = rng.choice([2**24, 2**28, 2**31, 2**32 - 1])
    endless = npy("", b"", 2, 2**32 - 1)  # the header
    history = npy(npy_header("'<f8'", "False", "(134217728,)"))
    return bomb(m.name, rng.choice([m.stored, endless, history, b""]), size)


def _flip(rng, data):
    for _ in range(rng.randint(1, 16) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng, data):
    del data[rng.randrange(len(data) + 1) :]


def _drop(rng, data):
    begin = rng.randrange(len(data) + 1)
    del data[begin : begin + int(rng.paretovariate(0.7))]


def _move(rng, data):
    begin, at = (rng.randrange(len(data) + 1) for _ in range(2))
    data[at:at] = data[begin : begin + min(10_000, int(rng.paretovariate(0.7)))]


def _blank(rng, data):
    begin = rng.randrange(len(data) + 1)
    end = min(len(data), begin + rng.randint(1, 64))
    data[begin:end] = bytes([rng.choice([0, 0xFF, 0x50])]) * (end - begin)


BYTES = [_flip, _cut, _drop, _move, _blank]
CHANGES = [_rename, _field, _link, _content, _header, _header, _value, _value, _cast]
CHANGES += [_cast, _pickle, _pack, _pack, _bomb]
MEMBERS = [
    _text,
    _text,
    _leave_out,
    _shorten,
    _shuffle,
    _again,
    _many,
    *map(changed, CHANGES),
]
