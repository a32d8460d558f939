"""Rewrite the events of a track that symusic refuses or misreads.

Each function takes the bytes of a track's content, and returns it with the same notes
at the same ticks, or raises BrokenTrack if an event leaves the notes unknown.
"""

import re
from collections.abc import Sequence

from midi.events import SYSTEM_DATA_BYTES, BrokenTrack, read_track, read_vlq

_HIGH_BITS = bytes(128) + b"\1" * 128  # for bytes.translate
_SYSTEM_STATUS = re.compile(b"[" + bytes(SYSTEM_DATA_BYTES) + b"]")
_TEMPO_NOT_OF_3_BYTES = re.compile(rb"\xff\x51[^\x03]")
_MAX_META_EVENTS = 9


def check_quantities(track: bytes) -> None:
    """Raise BrokenTrack if a variable-length quantity has over 4 bytes.

    Its first 4 bytes have the high bit set. Four such bytes in a row are rare outside
    texts, so most tracks need no walk, and the others one up to the last such place.
    """
    last = track.translate(_HIGH_BITS).rfind(b"\1\1\1\1")
    if last >= 0:
        read_track(track[: last + 4])


def may_pass_int32(tracks: Sequence[bytes]) -> bool:
    """Return False only if the delta times add up to under 2**31 ticks.

    A delta time of 3 or 4 bytes has 2 or 3 high bits in a row.  Any other is at most
    2**13 ticks for each byte of its event.
    """
    high_bits = b"\0".join(tracks).translate(_HIGH_BITS)
    longest, long = high_bits.count(b"\1\1\1"), high_bits.count(b"\1\1")
    return longest * 2**28 + long * 2**21 + len(high_bits) * 2**13 >= 2**31


def clip_data(track: bytes) -> bytes:
    """Return a track whose channel events have data bytes of at most 127.

    symusic refuses larger ones. None of them is a note's pitch, and 127 means the same
    to a roll: a velocity above 0, a pedal of 64 or more.

    Raises
    ------
    BrokenTrack
        As `read_track`.
    """
    clipped = bytearray(track)
    for pos in read_track(track).data_over_127:
        clipped[pos] = 127
    return bytes(clipped)


def system_to_meta(track: bytes) -> bytes:
    """Return a track with its system events as meta events, if symusic misreads them.

    symusic knows no exclusive events of several packets and no escapes (F7), and loses
    notes that go on with running status after a system event. The standard forbids such
    notes, but files have them, and their meaning is plain. Of a tempo event that is too
    short symusic reads on into other memory.

    Raises
    ------
    BrokenTrack
        As `read_track`, for the tracks that need a walk.
    """
    if not _may_be_misread(track):
        return track
    out, done = bytearray(), 0
    for pos, data_bytes in read_track(track).system_events:
        # symusic skips a sequencer's own event (FF 7F), and keeps the running status.
        length = b"" if data_bytes is None else bytes((data_bytes,))
        out += track[done:pos] + b"\xff\x7f" + length
        done = pos + 1
    return bytes(out + track[done:])


def _may_be_misread(track: bytes) -> bool:
    """Return False only if symusic reads every system event of a track correctly.

    The test is quick: each status byte that it finds may also be part of a delta time
    or of a text. Exclusive events mostly stand at the beginning of a track, so the walk
    to the last of them is short.
    """
    last = max(track.rfind(b"\xf0"), track.rfind(b"\xf7"))
    events = read_track(track[: last + 5]).system_events if last >= 0 else []
    exclusive = [pos for pos, data_bytes in events if data_bytes is None]
    if any(track[pos] == 0xF7 for pos in exclusive):
        return True
    ends = []
    for pos in exclusive:
        length, content = read_vlq(track, pos + 1)
        ends.append(content + length)
    if any(status in track for status in SYSTEM_DATA_BYTES):
        for match in _SYSTEM_STATUS.finditer(track):
            ends.append(match.end() + SYSTEM_DATA_BYTES[match[0][0]])
    resumed = any(_may_resume_status(track, end) for end in ends)
    return resumed or bool(_TEMPO_NOT_OF_3_BYTES.search(track))


def _may_resume_status(track: bytes, pos: int) -> bool:
    """Return False only if no running status goes on after a system event.

    `pos` is where the event ends; meta events after it are skipped.
    """
    try:
        for _ in range(_MAX_META_EVENTS):
            pos = read_vlq(track, pos)[1]
            if track[pos] != 0xFF:
                return track[pos] < 0x80
            length, content = read_vlq(track, pos + 2)
            pos = content + length
    except IndexError:
        return False
    except BrokenTrack:
        return True
    return True  # a walk over all events is quicker than to look at more of these
