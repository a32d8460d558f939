"""Run `fuzz` briefly; see that nothing in a file is followed, unpickled or run."""

import fuzz
import pytest

from lstmmusic import ParameterFileError


@pytest.mark.parametrize(("kind", "cases"), [("midi", 1000), ("npz", 100)])
def test_mutated_files_give_a_result_or_a_ValueError_within_bounds(kind, cases):
    figures = fuzz.run(kind, cases, seed=1)
    assert figures.failures == []
    assert {*figures.errors} <= {"MidiError", "ParameterFileError", "ValueError"}
    assert figures.results + sum(figures.errors.values()) == cases
    assert figures.results > cases / 10  # so not all end at the first check
    assert figures.peak_mb < fuzz.LIMIT_MB


def test_a_crash_is_reported_by_its_number_and_the_others_are_counted(monkeypatch):
    # Case 3 kills its process. Fails if those before or after it are lost.
    def child(kind, cases, seed, first):
        if first <= 3 < first + cases:
            return None, 3, "exit -11"
        some = {"results": cases, "errors": {}, "slowest": (0.1, first)}
        return some | {"peak_mb": 9.0, "failures": []}, None, ""

    monkeypatch.setattr(fuzz, "child", child)
    figures = fuzz.run("midi", 10)
    assert figures.failures == [(3, "exit -11")]
    assert figures.results == 9


def caused_by(cause):
    try:
        raise ParameterFileError("damaged") from cause
    except ParameterFileError as error:
        return error


@pytest.mark.parametrize(
    ("error", "seconds", "fault"),
    [
        (TypeError("no"), 0.1, "TypeError"),
        (None, 1.1, "1.10 s"),
        (ValueError("no"), 1.1, "1.10 s"),
        (caused_by(MemoryError("no")), 0.1, "too much memory"),
        (ValueError("broken track: std::bad_alloc"), 0.1, "too much memory"),
    ],
)
def test_faults_are_reported(error, seconds, fault):
    assert fault in fuzz.faults(error, seconds)[0]
    assert fuzz.faults(ValueError("no"), 0.1) == fuzz.faults(None, 0.1) == []


# Runs a program under the audit hook of `fuzz`, and prints the events it noted.
WATCHED = f"""
import sys
sys.path.insert(0, {str(fuzz.Path(fuzz.__file__).parent)!r})
import io, pickle, random
import fuzz, fuzz_midi, fuzz_npz
import numpy as np
from midi import midiread

def loaded(members):
    try:
        fuzz_npz.attempt(fuzz_npz.zipped(members), random)
    except ValueError as error:
        return error

ours = fuzz_npz.seeds()[0]
assert loaded(ours) is None
noted = []
midiread(io.BytesIO(fuzz_midi.seeds()[-1]), (0, 128))
sys.addaudithook(lambda event, args: fuzz.watch(event, args, noted))
%s
print(noted)
"""


def test_forbidden_events_are_noted(in_new_process):
    code = """
import os
open('fuzzed', 'w').close()
eval('1 + 1')
os.listdir('/')
pickled = fuzz_npz.array(np.array(fuzz_npz.Touch(), object))
np.load(io.BytesIO(pickled), allow_pickle=True).item().close()
noted = [*dict.fromkeys(note.split()[0] for note in noted)]
"""
    noted = ["open", "exec", "os.listdir", "pickle.find_class"]
    assert in_new_process(WATCHED % code) == str(noted)


def test_nothing_in_a_file_is_followed_unpickled_or_evaluated(in_new_process, tmp_path):
    # Parameter files with paths as names, links as entries, pickles and expressions as
    # arrays; then a MIDI file with paths and programs in every kind of text.
    code = """
def swapped(name, content, **fields):
    new = fuzz_npz.member(name, content)._replace(**fields)
    return [new if m.name == name else m for m in ours]

link = {"attributes": 0o120777 << 16}
for name in (b"../../fuzzed.npy", b"/tmp/fuzzed.npy"):
    for fields in ({}, link):
        more = fuzz_npz.member(name, b"/etc/passwd")._replace(**fields)
        assert loaded([*ours, more]) is None
assert loaded(swapped(b"by.npy", b"/etc/passwd", **link))
for name in (b"by.npy", b"rngState.npy", b"h1_length.npy", b"cost.npy"):
    pickled = fuzz_npz.array(np.array(fuzz_npz.Touch(), object))
    assert loaded(swapped(name, pickled))
    assert loaded(swapped(name, pickled[pickled.index(b"\\n") + 1 :]))
    for header in fuzz_npz.HEADERS:
        assert loaded(swapped(name, fuzz_npz.npy(header)))
for text in ("__import__('os').mkdir('fuzzed')", "/etc/passwd"):
    for name in (b"rngState.npy", b"cost.npy"):
        assert loaded(swapped(name, fuzz_npz.array(text)))

texts = [b"/etc/passwd", b"../../fuzzed", b"__import__('os').mkdir('fuzzed')"]
track = b"".join(
    bytes([0, 0xFF, kind, len(text)]) + text
    for kind in [*range(0x10), 0x21, 0x7F]
    for text in texts
)
track += bytes.fromhex("00 903c40 60 803c40")
header = b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, 1, 1, 224])
data = header + b"MTrk" + len(track).to_bytes(4, "big") + track
assert len(midiread(io.BytesIO(data)).notes) == 1
"""
    assert in_new_process(WATCHED % code) == "[]"
    assert list(tmp_path.iterdir()) == []
