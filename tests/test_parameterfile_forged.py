"""Parameter files forged to fill memory, or to take long, are refused early."""

import io
import struct
import zipfile

import numpy as np
import pytest

from lstmmusic import RNN4Music


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
        elif name == "rollFormat.npy":
            array = np.array("null")
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
