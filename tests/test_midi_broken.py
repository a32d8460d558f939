"""Test that midiread refuses broken files by name and reason, within bounds."""

import io
import time

import pytest
from midi_bytes import ONE_NOTE, read, smf

from midi import MidiError, midiread


def test_a_file_cut_off_at_any_byte_is_refused():
    # Fails if a shorter tune is returned, cut within or between chunks.
    data = smf("00 ff5103 0f4240", "00 903c40 60 803c40", "00 903e40 60 803e40")
    for length in range(1, len(data)):
        with pytest.raises(MidiError, match=r"cut off|not MIDI"):
            read(data[:length])


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"once upon a time there was no MIDI file", "not MIDI.*b'once'"),
    "format 3": (
        smf("00 903c40 60 803c40", file_format=3),
        "format 3; allowed: 0, 1 or 2",
    ),
    "division 0": (smf("00 903c40 60 803c40", division="0000"), "division of 0"),
    "SMPTE 23": (smf("00 903c40 60 803c40", division="e928"), "23 frames"),
    "SMPTE 0": (smf("00 903c40 60 803c40", division="e700"), "0 ticks per frame"),
    "tempo 0": (smf("00 ff5103 000000 00 903c40 60 803c40"), "tempo of 0"),
    "no track": (smf(), "no notes"),
    "no notes": (smf("00 ff0100"), "no notes"),
    "percussion": (smf("00 993c40 60 893c40"), "no notes.*left out: 1 percussion"),
    "below": (smf("00 900040 60 800040"), "no notes.*left out: 1 below r"),
    "unended": (smf("00 903c40"), "no notes.*left out: 1 never ended"),
    "no length": (smf("00 903c40 00 803c40"), "no length"),
    "data byte": (smf("00 90bc40 60 803c40"), "broken track"),
    "no status": (smf("00 3c40 60 3c00"), "broken track"),
    "undefined": (smf("00 903c40 00 f4 60 803c40"), "broken track.*0xf4"),
    # symusic reads a tempo that is cut short from other memory
    "no tempo": (smf("00 ff5100 00 903c40 60 803c40"), "tempo event of 0 bytes"),
    "half a tempo": (smf("00 ff5102 0701 00 903c40 60 803c40"), "tempo event of 2"),
    "tracks": (smf(*["00 903c40 60 803c40"] * 10_001), "10001 tracks; .* up to 10000"),
    # a delta of 2**28 - 1 ticks is 77 hours; 20 of them pass 2**32 ticks
    "77 hours": (smf("00 903c40 ffffff7f 803c40"), "24 hours"),
    "wrapped": (smf("00 903c40" + "ffffff7f 803d40" * 20 + "60 803c40"), "too long"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("pedal", [False, True])
def test_broken_files_are_refused_by_name_and_reason(case, pedal, tmp_path):
    data, reason = BROKEN[case]
    path = tmp_path / "broken.mid"
    path.write_bytes(data)
    with pytest.raises(MidiError, match=f"broken.mid: .*{reason}"):
        midiread(path, pedal=pedal)


def test_memory_is_bounded_whatever_dt():
    # Fails if a roll is allocated before its size is checked.
    data = smf(
        "00 ff5103 ffffff"  # 16.8 s per beat of 32,767 ticks
        "00 903c40 c0808000 803c40",  # 2**27 ticks: 19 hours, 6e11 cells at dt 10 µs
        division="7fff",
    )
    assert read(data, dt=2).piano_roll.shape == (34361, 88)
    with pytest.raises(MidiError, match="100000000 cells"):
        read(data, dt=1e-5)
    with pytest.raises(MidiError, match="cells"):
        read(ONE_NOTE, dt=5e-324)


@pytest.mark.parametrize("end", ["81", "8181818181", "00ff", "00ff51", "00f0", "00c0"])
def test_a_track_that_ends_within_an_event_gives_the_same_error_each_time(end):
    # Fails if symusic reads what follows the track in memory.
    data = bytearray(smf("00 903c40 60 803c40" + end)[:-4])  # no end-of-track
    data[18:22] = (len(data) - 22).to_bytes(4, "big")
    messages = set()
    for number in range(30):
        with pytest.raises(MidiError) as caught:
            midiread(io.BytesIO(bytes(data)))
        messages.add(str(caught.value).partition(": ")[2])
        _ = [bytes([number * 7]) * size for size in range(400)]  # change the memory
    assert len(messages) == 1


def test_time_grows_linearly_with_tracks_that_share_a_pedal():
    # 4000 tracks, each with the pedal of channel 1. Fails if each goes through the
    # presses of all.
    data = smf(*["00 b0407f 00 903c40 60 803c40 20 b04000"] * 4000)
    begin = time.process_time()
    assert len(read(data, pedal=True).notes) == 4000
    assert time.process_time() - begin < 1


BAD_ARGUMENTS = [
    ({"r": (109, 21)}, "r is"),
    ({"r": (21, 21)}, "r is"),
    ({"r": (-1, 21)}, "r is"),
    ({"r": (21, 129)}, "r is"),
    ({"r": (21.0, 109)}, "r is"),
    ({"r": 88}, "r is"),
    ({"dt": 0}, "dt is 0"),
    ({"dt": -0.2}, "dt is"),
    ({"dt": float("nan")}, "dt is nan"),
    ({"dt": float("inf")}, "dt is inf"),
    ({"dt": "0.2"}, "dt is '0.2'"),
    ({"dt": True}, "dt is True"),
    ({"steps": 0}, "steps is 0"),
    ({"steps": -1}, "steps is"),
    ({"steps": 2.0}, "steps is"),
    ({"steps": 10**7}, "24 hours"),
    ({"steps": 10**7, "dt": 0.001}, "cells"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused_before_the_file_is_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        midiread("no such file.mid", **arguments)


def test_a_missing_file_raises_FileNotFoundError(tmp_path):
    with pytest.raises(FileNotFoundError):
        midiread(tmp_path / "missing.mid")


def test_a_text_file_object_is_refused():
    with pytest.raises(ValueError, match="binary"):
        midiread(io.StringIO("MThd"))
