"""Check XLA's call frame, which `frame` reads by offsets, against jaxlib's header.

The header, ``xla/ffi/api/c_api.h``, says by its major version whether its structures
have changed: so that version, and where each field lies, is what is tested, not
jaxlib's own version.  Fields that a later header adds behind these change nothing.
The kernels have run with jaxlib 0.8.0, 0.10.2, 0.11.2 and 0.12.0.1.
"""

import re
from pathlib import Path

MAJOR = 0  # of the interface
WORD = 8
SIZES = {"*": WORD, "size_t": WORD, "int64_t": WORD, "int": 4}  # in bytes
ENUMS = "XLA_FFI_DataType", "XLA_FFI_ExecutionStage", "XLA_FFI_Extension_Type"
SIZES |= dict.fromkeys(ENUMS, 4)

# Names in the headers of jaxlib 0.11 and later: names before.
RENAMED = {
    "XLA_FFI_InternalExtension_Type": "XLA_FFI_Extension_Type",
    "XLA_FFI_InternalExtension": "XLA_FFI_Extension_Base",
}

# The word (64 bits) of each field that `frame` reads or writes.
FIELDS = {
    "XLA_FFI_CallFrame": {
        "extension_start": 1, "args.size": 7, "args.args": 9, "rets.rets": 14
    },
    "XLA_FFI_Buffer": {"data": 3, "rank": 4, "dims": 5},
    "XLA_FFI_Extension_Base": {"type": 1, "next": 2},
    "XLA_FFI_Metadata_Extension": {"metadata": 3},
    "XLA_FFI_Metadata": {"api_version.major_version": 3},
}  # fmt: skip
EXTENSION_METADATA = 1


def check_header():
    """Raise RuntimeError if jaxlib has no header, or one that `FIELDS` does not fit."""
    import jaxlib

    path = Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h"
    if not path.is_file():
        raise RuntimeError(f"jaxlib {jaxlib.__version__} has no {path.name}")
    fault = find_fault(path.read_text("utf-8"))
    if fault:
        raise RuntimeError(f"{path.name} of jaxlib {jaxlib.__version__}: {fault}")


def find_fault(header):
    """Return in words where a header differs from what was tested; None if nowhere."""
    header = re.sub(r"//.*|/\*.*?\*/", "", header)
    for new, old in RENAMED.items():
        header = header.replace(new, old)
    if f"XLA_FFI_API_MAJOR {MAJOR}\n" not in header:
        return f"XLA_FFI_API_MAJOR is not {MAJOR}"
    if f"XLA_FFI_Extension_Metadata = {EXTENSION_METADATA}," not in header:
        return f"XLA_FFI_Extension_Metadata is not {EXTENSION_METADATA}"
    for struct, tested in FIELDS.items():
        found, _ = layout(header, struct)
        for field, word in tested.items():
            if found.get(field) != word * WORD:
                return f"{field} of {struct} is not its word {word}"
    return None


def layout(header, struct):
    """Return {field: offset} of a struct and of those in it, and its size, in bytes.

    Up to the first field of a type that is not known; the size is then None.
    """
    body = re.search(rf"struct {struct} {{(.*?)}}", header, re.DOTALL)
    offsets, end = {}, 0
    if body is None:
        return offsets, None
    for declaration in body[1].split(";")[:-1]:
        kind, field = declaration.strip().rsplit(None, 1)
        size, inside = SIZES.get("*" if kind.endswith("*") else kind), {}
        if size is None:
            inside, size = layout(header, kind)
        end += -end % min(size or WORD, WORD)
        offsets[field] = end
        offsets |= {f"{field}.{name}": end + at for name, at in inside.items()}
        if size is None:
            return offsets, None
        end += size
    return offsets, end + -end % WORD
