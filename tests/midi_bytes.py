"""Make MIDI files in memory, as hex bytes or at random; read and write them."""

import io

import mido
from hypothesis import strategies as st

from midi import midiread, midiwrite


def smf(*tracks, file_format=1, division="01e0"):
    """Return the bytes of a Standard MIDI File.

    Each track is hex, without its end-of-track event; division 01e0 is 480 ticks per
    beat. By the default tempo a tick lasts 1/960 s.
    """
    header = f"{file_format:04x} {len(tracks):04x} {division}"
    out = b"MThd" + bytes.fromhex("00000006" + header)
    for track in tracks:
        content = bytes.fromhex(track + "00 ff2f00")
        out += b"MTrk" + len(content).to_bytes(4, "big") + content
    return out


def read(data, *args, **kwargs):
    return midiread(io.BytesIO(data), *args, **kwargs)


def written(*args, **kwargs):
    """Return the bytes that midiwrite writes."""
    buffer = io.BytesIO()
    midiwrite(buffer, *args, **kwargs)
    return buffer.getvalue()


def ticks_480(result):
    """Return the notes as (pitch, onset, offset), in ticks of 1/960 s."""
    return [
        (int(p), round(float(on) * 960, 6), round(float(off) * 960, 6))
        for p, on, off in result.notes
    ]


@st.composite
def scores(draw):
    """Return one or two tracks of (delta, channel, pitch, kind of message)."""
    message = st.tuples(
        st.integers(0, 4),
        st.sampled_from([0, 0, 1, 9]),
        st.sampled_from([59, 60, 60, 61, 62]),
        st.sampled_from(["on", "on", "off", "silent", "down", "up"]),
    )
    return draw(st.lists(st.lists(message, max_size=25), min_size=1, max_size=2))


def file_of(tracks):
    """Return the bytes of a MIDI file of such tracks; a tick is 1/960 s."""
    file = mido.MidiFile(ticks_per_beat=480)
    for messages in tracks:
        track = mido.MidiTrack()
        for delta, channel, pitch, kind in messages:
            if kind in ("down", "up"):
                value = 127 * (kind == "down")
                made = mido.Message("control_change", control=64, value=value)
            else:
                name = "note_off" if kind == "off" else "note_on"
                made = mido.Message(name, note=pitch, velocity=64 * (kind == "on"))
            track.append(made.copy(channel=channel, time=delta))
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


ONE_NOTE = smf(
    "00 903c40"  # tick 0: C4 (3c) on
    "8360 803c40"  # tick 480, 0.5 s: C4 off
)
