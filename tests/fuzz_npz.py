"""Mutants of parameter files, for `fuzz`."""

import atexit
import bz2
import io
import lzma
import math
import shutil
import struct
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytensor

from lstmmusic import RNN4Music
from lstmmusic.parameterfile import mean_name
from lstmmusic.parameters import state_shapes, weight_shapes

FILE = Path(tempfile.mkdtemp()) / "fuzzed.npz"
atexit.register(shutil.rmtree, FILE.parent)
NAMES = (
    rb"../../fuzzed.npy /tmp/fuzzed.npy C:\fuzzed.npy by by.npy/ h3_length.npy".split()
)
NAMES += [b"", b"\xff", b"by.npy\0", b"a" * 60_000, "ä.npy".encode()]
# Headers of .npy files: of huge, negative and odd shapes; of types that need to be
# unpickled, take much memory or are none; and of what is no dictionary at all.
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


class Member(NamedTuple):
    """An entry of a zip, each field as the mutant wants it."""

    name: bytes
    stored: bytes
    size: int
    crc: int
    method: int = 0
    flags: int = 0
    attributes: int = 0


def member(name, content):
    return Member(name, content, len(content), zlib.crc32(content))


def seeds():
    """Lists of Member: of files of ours and of the original's layout, all small."""
    found = []
    for dtype, sizes in [("float32", (4, 3, 2, 5)), ("float64", (1, 1, 1, 1))]:
        with pytensor.config.change_flags(floatX=dtype):
            model = RNN4Music(*sizes, seed=1)
        model.instantaneousCost = [3.0, 2.0]
        model.saveParameters(FILE)
        with zipfile.ZipFile(FILE) as archive:
            ours = [member(n.encode(), archive.read(n)) for n in archive.namelist()]
        lacked = tuple(b"Rout eps sig mu gen cost orig rng form htd1 ctd1".split())
        theirs = [m for m in ours if not m.name.startswith(lacked)]
        found += [ours, ours, theirs, [m for m in theirs if m.name != b"h3_length.npy"]]
    return found


def zipped(members, offsets=None):
    """Return the bytes of a zip file."""
    out, directory = bytearray(), bytearray()
    for number, m in enumerate(members):
        fields = (m.flags, m.method, 0, 33, m.crc, len(m.stored), m.size, len(m.name))
        at = (offsets or {}).get(number, len(out))
        out += struct.pack("<4s5H3I2H", b"PK\3\4", 20, *fields, 0) + m.name + m.stored
        directory += (
            struct.pack("<4s6H3I", b"PK\1\2", 3 << 8 | 20, 20, *fields[:7])
            + struct.pack("<5H2I", len(m.name), 0, 0, 0, 0, m.attributes, at)
            + m.name
        )
    count = min(len(members), 2**16 - 1)
    sizes = (0, 0, count, count, len(directory), len(out), 0)
    return bytes(out + directory + struct.pack("<4s4H2IH", b"PK\5\6", *sizes))


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
    """Load `data`; an AssertionError if what comes back is no network."""
    FILE.write_bytes(data)
    model = RNN4Music.fromFile(FILE)
    shapes = weight_shapes(model.h_lengths, model.io_length)
    shapes |= state_shapes(model.h_lengths)
    for name, value in model.parameters().items():
        assert value.shape == shapes.pop(name)
        assert value.dtype == model.dtype
        assert np.isfinite(value).all()
    assert not shapes


def npy_header(kind, order, shape):
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}"


def npy(header, content=b"", version=1, length=None):
    """Return the bytes of an .npy file with any header."""
    text = header.encode("latin1") + b"\n"
    kind = "<H" if version == 1 else "<I"
    length = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes((version, 0)) + struct.pack(kind, length) + text + content
    )


def array(value):
    """Return the bytes of an .npy file of an array, pickled where need be."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value), allow_pickle=True)
    return file.getvalue()


class Touch:
    """Makes a file when unpickled."""

    def __reduce__(self):
        return open, ("fuzzed", "w")


@cache
def deflated_zeros(count):
    """2**20 zeros, `count` times, in a thousandth of that."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * count + b"\x03\x00"


def bomb(name, content, size):
    """Return a Member of `content` and zeros up to `size` bytes, deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    stored = head + deflated_zeros(size // 2**20 + 1)
    return Member(name, stored, min(size, 2**32 - 1), 0, method=8)


def bombs(members, dtype, cells):
    """Members of a file that is sound, small, and all zeros when unpacked."""
    h_lengths = (cells,) * 3
    shapes = weight_shapes(h_lengths, cells)
    shapes |= {mean_name(name): shape for name, shape in shapes.items()}
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


def changed(change):
    """Turn a change of one member into one of a list with any of its members."""

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
    except (ValueError, TypeError, EOFError, SyntaxError, OverflowError):
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
MEMBERS = [_leave_out, _shorten, _shuffle, _again, _many, *map(changed, CHANGES)]
