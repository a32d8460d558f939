"""Track bytes, event by event: what the fast parser keeps to itself.

symusic gives notes quickly, but neither their channel nor the notes it drops. This
plain walk over the bytes gives both. It costs about 0.3 µs per event, so it runs only
when its answer is asked for. It trusts nothing but that symusic accepted the bytes.
"""

import re
from collections import deque
from operator import itemgetter
from typing import NamedTuple

NOTE_OFF, NOTE_ON, CONTROL = 0x8, 0x9, 0xB  # high half of a status byte
SUSTAIN_PEDAL = 64  # controller number
_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
TEMPO = 0x51  # type of a meta event
# System events that have no place in a file, and how many data bytes each has. What
# the other four would have is not defined.
_BARE_DATA_BYTES = {
    **{0xF1: 1, 0xF2: 2, 0xF3: 1},
    **dict.fromkeys((0xF6, 0xF8, 0xFA, 0xFB, 0xFC, 0xFE), 0),
}
_HIGH_BITS = bytes(128) + b"\1" * 128  # for bytes.translate
_BARE = re.compile(b"[" + bytes(_BARE_DATA_BYTES) + b"]")
_ODD_TEMPO = re.compile(rb"\xff\x51[^\x03]")


class BrokenTrack(ValueError):
    """An event without which the notes cannot be known.

    Its `args` are what the event is, the byte of the track's content where that stands,
    counted from 0, and what is allowed.
    """


class TrackEvents(NamedTuple):
    """The notes and pedals of one track.

    messages : list of (tick, status, data1, data2), status 0x8n, 0x9n or 0xBn; of
        controllers the sustain pedal alone
    end_tick : tick of the last event of any kind
    system : list of (position, data bytes), the system events that are no meta events;
        None stands for an exclusive event, which tells its own length
    over : list of positions, the data bytes of channel events that are over 127
    """

    messages: list
    end_tick: int
    system: list
    over: list


def read_track(track):
    """Walk the events of a track chunk's bytes; return TrackEvents.

    Stops at an end-of-track event or where the bytes end.

    Raises
    ------
    BrokenTrack
        If a tempo event is too short for a tempo, a note's pitch is over 127, or a
        variable-length quantity has over 4 bytes.
    """
    messages, system, over = [], [], []
    tick, status, pos = 0, 0, 0
    try:
        while pos < len(track):
            delta, pos = read_vlq(track, pos)
            tick += delta
            if track[pos] >= 0xF0:
                if track[pos : pos + 2] == b"\xff\x2f":
                    break
                pos = _skip_system(track, pos, system)
                continue
            if track[pos] >= 0x80:
                status = track[pos]
                pos += 1
            kind = status >> 4
            data1, data2 = track[pos], track[pos + 1] if kind not in (0xC, 0xD) else 0
            if kind in (NOTE_OFF, NOTE_ON) or (
                kind == CONTROL and data1 == SUSTAIN_PEDAL
            ):
                messages.append((tick, status, data1, data2))
            if data1 | data2 > 127:
                over += _data_over_127(track, pos, kind)
            pos += _DATA_BYTES.get(kind, 1)
    except IndexError:  # the bytes end inside an event
        pass
    return TrackEvents(messages, tick, system, over)


def _data_over_127(track, pos, kind):
    """List the positions of the data bytes over 127 of the channel event at `pos`."""
    if kind in (NOTE_OFF, NOTE_ON) and track[pos] > 127:
        raise BrokenTrack(f"a note of pitch {track[pos]}", pos, "0 to 127")
    return [at for at in range(pos, pos + _DATA_BYTES.get(kind, 1)) if track[at] > 127]


def read_vlq(data, pos):
    """Read a variable-length quantity, 1 to 4 bytes; return (value, next position)."""
    byte = data[pos]
    if byte < 0x80:
        return byte, pos + 1
    value, first = byte & 0x7F, pos
    while byte >= 0x80:
        pos += 1
        if pos == first + 4:
            what = "a variable-length quantity of over 4 bytes"
            raise BrokenTrack(what, first, "1 to 4")
        byte = data[pos]
        value = value << 7 | byte & 0x7F
    return value, pos + 1


def vlq(value):
    """Bytes of a variable-length quantity, 0 <= value < 2**28."""
    if value < 0x80:
        return bytes((value,))
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))


def _skip_system(track, pos, system):
    """Return the position after the system event at `pos`; add it to `system`."""
    status = track[pos]
    if status in (0xF0, 0xF7, 0xFF):
        length, content = read_vlq(track, pos + 1 + (status == 0xFF))
        if status != 0xFF:
            system.append((pos, None))
        elif track[pos + 1] == TEMPO and length < 3:
            raise BrokenTrack(f"a tempo event of {length} bytes", pos, "3 or more")
        return content + length
    if status not in _BARE_DATA_BYTES:
        what = f"a status byte {status:#04x}, which MIDI does not define,"
        raise BrokenTrack(what, pos, "defined ones")
    system.append((pos, _BARE_DATA_BYTES[status]))
    return pos + 1 + _BARE_DATA_BYTES[status]


def check_quantities(track):
    """Raise BrokenTrack if a variable-length quantity has over 4 bytes.

    Its first 4 bytes have the high bit set. Elsewhere so many in a row stand in texts
    alone, or nearly so: most tracks need no walk, and the others one as far as there.
    """
    last = track.translate(_HIGH_BITS).rfind(b"\1\1\1\1")
    if last >= 0:
        read_track(track[: last + 4])


def clip_data(track):
    """Return a track with those data bytes of channel events as 127 that are over it.

    symusic refuses them. Whatever they were, they are no note's pitch, and 127 is on
    the same side of what is asked of them: a velocity above 0, a pedal of 64 or more.

    Raises
    ------
    BrokenTrack
        As `read_track`.
    """
    out = bytearray(track)
    for pos in read_track(track).over:
        out[pos] = 127
    return bytes(out)


def system_to_meta(track):
    """Turn the system events of a track into meta events, if symusic misreads them.

    It knows no exclusive events of several parts and no escapes (F7), and loses the
    notes that go on with running status after any system event. The standard forbids
    the latter, but such files exist and are plain to read. Of a tempo event that is too
    short it reads on into other memory.

    Raises
    ------
    BrokenTrack
        As `read_track`, of the tracks that it has to walk.
    """
    if not _may_be_misread(track):
        return track
    out, done = bytearray(), 0
    for pos, data_bytes in read_track(track).system:
        # A sequencer's own event (FF 7F) is passed over and ends no running status.
        length = b"" if data_bytes is None else bytes((data_bytes,))
        out += track[done:pos] + b"\xff\x7f" + length
        done = pos + 1
    return bytes(out + track[done:])


def _may_be_misread(track):
    """Whether `system_to_meta` has to look at each event: quick, and never wrongly no.

    Each of these bytes may also be part of a delta time, or of a text. Exclusive events
    stand at the beginning of most tracks that have some: the walk goes no further.
    """
    last = max(track.rfind(b"\xf0"), track.rfind(b"\xf7"))
    system = read_track(track[: last + 5]).system if last >= 0 else []
    exclusive = [pos for pos, data_bytes in system if data_bytes is None]
    if any(track[pos] == 0xF7 for pos in exclusive):
        return True
    ends = []
    for pos in exclusive:
        length, content = read_vlq(track, pos + 1)
        ends.append(content + length)
    if any(status in track for status in _BARE_DATA_BYTES):
        for match in _BARE.finditer(track):
            ends.append(match.end() + _BARE_DATA_BYTES[match[0][0]])
    resumed = any(_resumes_status(track, end) for end in ends)
    return resumed or bool(_ODD_TEMPO.search(track))


def _resumes_status(track, pos):
    """Whether running status may go on after the system event that ends at `pos`."""
    try:
        for _ in range(9):
            pos = read_vlq(track, pos)[1]
            if track[pos] != 0xFF:
                return track[pos] < 0x80
            length, content = read_vlq(track, pos + 2)
            pos = content + length
    except IndexError:
        return False
    except BrokenTrack:
        return True
    return True  # so many meta events that each is better looked at once


def count_note_ons(tracks):
    """Count the notes that begin, ended or not."""
    return sum(
        status >> 4 == NOTE_ON and velocity > 0
        for track in tracks
        for _, status, _, velocity in read_track(track).messages
    )


def pair_notes(tracks):
    """Pair note-ons with note-offs, channel by channel, and find the pedals.

    A note-off ends the oldest sounding note of its pitch in its track and channel. A
    pedal works on its whole channel, whichever track it is written in: piano files
    often have it in the right hand's track alone. A pedal that is never released is
    released where the file ends.

    Parameters
    ----------
    tracks : list of bytes
        The content of each track chunk.

    Returns
    -------
    notes : list of (pitch, onset tick, offset tick, channel)
    pedals : dict of channel to list of (tick pressed, tick released)
        In order, none overlapping.
    """
    notes, changes, end_tick = [], {}, 0
    for track in tracks:
        messages, track_end, *_ = read_track(track)
        end_tick = max(end_tick, track_end)
        sounding = {}
        for tick, status, data1, data2 in messages:
            kind, channel = status >> 4, status & 0x0F
            if kind == CONTROL:
                changes.setdefault(channel, []).append((tick, data2 >= 64))
            elif kind == NOTE_ON and data2:
                sounding.setdefault((channel, data1), deque()).append(tick)
            elif onsets := sounding.get((channel, data1)):
                notes.append((data1, onsets.popleft(), tick, channel))
    return notes, {
        channel: _presses(sorted(of_channel, key=itemgetter(0)), end_tick)
        for channel, of_channel in changes.items()
    }


def _presses(changes, end_tick):
    """List (tick pressed, tick released) from (tick, whether down), in that order."""
    presses, since = [], None
    for tick, down in [*changes, (end_tick, False)]:
        if down and since is None:
            since = tick
        elif not down and since is not None:
            presses.append((since, tick))
            since = None
    return presses


def write_track(messages, end_tick=0):
    """Bytes of a track of (tick, status, data1, data2); stable in order of tick.

    Its end-of-track comes at `end_tick`, or with the last message if that is later.
    """
    out, now = bytearray(), 0
    ordered = sorted(messages, key=lambda message: message[0])
    end_tick = max([end_tick] + [message[0] for message in ordered[-1:]])
    for tick, *message in [*ordered, (end_tick, 0xFF, 0x2F, 0)]:
        while tick - now >= 2**28:  # more than one delta can say: an empty text
            out += vlq(2**28 - 1) + b"\xff\x01\x00"
            now += 2**28 - 1
        out += vlq(tick - now) + bytes(message)
        now = tick
    return bytes(out)
