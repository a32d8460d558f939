"""Build zip and .npy files whose fields may be false, for `fuzz_npz`."""

import io
import struct
import zlib
from functools import cache
from typing import NamedTuple

import numpy as np


class Member(NamedTuple):
    """Hold an entry of a zip file; any field may be false."""

    name: bytes
    stored: bytes
    size: int
    crc: int
    method: int = 0
    flags: int = 0
    attributes: int = 0


def member(name, content):
    """Return a Member whose fields are true."""
    return Member(name, content, len(content), zlib.crc32(content))


def zipped(members, offsets=None):
    """Return the bytes of a zip file; `offsets` are false ones, by member's number."""
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


def npy_header(kind, order, shape):
    """Return the text of an .npy header."""
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}"


def npy(header, content=b"", version=1, length=None):
    """Return the bytes of an .npy file with any header text."""
    text = header.encode("latin1") + b"\n"
    kind = "<H" if version == 1 else "<I"
    length = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes((version, 0)) + struct.pack(kind, length) + text + content
    )


def array(value):
    """Return the bytes of an .npy file of an array, pickled if of objects."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value), allow_pickle=True)
    return file.getvalue()


class Touch:
    """Create a file when unpickled."""

    def __reduce__(self):
        return open, ("fuzzed", "w")


@cache
def deflated_zeros(count):
    """Return 2**20 zeros, `count` times, deflated to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * count + b"\x03\x00"


def bomb(name, content, size):
    """Return a Member of `content` and zeros up to `size` bytes, deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    stored = head + deflated_zeros(size // 2**20 + 1)
    return Member(name, stored, min(size, 2**32 - 1), 0, method=8)
