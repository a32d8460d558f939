"""Walk the events of a track, byte by byte.

symusic returns notes quickly, but neither their channels nor the notes that it drops.
This walk finds both at about 0.3 µs per event, so it runs only where its answer is
needed. It relies on nothing but that symusic accepted the bytes.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeAlias

NOTE_OFF, NOTE_ON, CONTROL = 0x8, 0x9, 0xB  # high half of a status byte
SUSTAIN_PEDAL = 64  # controller number
TEMPO = 0x51  # type of a meta event
DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
# System common and real-time events have no place in a file, yet some files have them.
# MIDI leaves F4, F5, F9 and FD undefined.
SYSTEM_DATA_BYTES = {
    **{0xF1: 1, 0xF2: 2, 0xF3: 1},
    **dict.fromkeys((0xF6, 0xF8, 0xFA, 0xFB, 0xFC, 0xFE), 0),
}

Message: TypeAlias = tuple[int, int, int, int]  # tick, status, data1, data2


class BrokenTrack(ValueError):
    """Report an event that leaves the notes unknown.

    Its `args` are the event, its byte in the track's content, counted from 0, and what
    is allowed.
    """


class TrackEvents(NamedTuple):
    """Hold the notes and pedals of one track, and the events that need a repair.

    messages : list of (tick, status, data1, data2), status 0x8n, 0x9n or 0xBn; of
        controllers the sustain pedal alone
    end_tick : tick of the last event of any kind
    system_events : list of (position, data bytes), meta events left out; None stands
        for an exclusive event, which holds its own length
    data_over_127 : list of positions, data bytes of channel events that are over 127
    """

    messages: list[Message]
    end_tick: int
    system_events: list[tuple[int, int | None]]
    data_over_127: list[int]


def read_track(track: bytes) -> TrackEvents:
    """Return the events of a track, up to its end-of-track event or its last byte.

    Raises
    ------
    BrokenTrack
        If a tempo event is too short for a tempo, a note's pitch is over 127, a status
        is undefined, or a variable-length quantity has over 4 bytes.
    """
    messages: list[Message] = []
    system_events: list[tuple[int, int | None]] = []
    data_over_127: list[int] = []
    tick, status, pos = 0, 0, 0
    try:
        while pos < len(track):
            delta, pos = read_vlq(track, pos)
            tick += delta
            if track[pos] >= 0xF0:
                if track[pos : pos + 2] == b"\xff\x2f":
                    break
                pos = _skip_system_event(track, pos, system_events)
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
                data_over_127 += _find_data_over_127(track, pos, kind)
            pos += DATA_BYTES.get(kind, 1)
    except IndexError:  # the bytes end inside an event
        pass
    return TrackEvents(messages, tick, system_events, data_over_127)


def _find_data_over_127(track: bytes, pos: int, kind: int) -> list[int]:
    """Return the positions of data bytes over 127 in the channel event at `pos`."""
    if kind in (NOTE_OFF, NOTE_ON) and track[pos] > 127:
        raise BrokenTrack(f"a note of pitch {track[pos]}", pos, "0 to 127")
    return [at for at in range(pos, pos + DATA_BYTES.get(kind, 1)) if track[at] > 127]


def _skip_system_event(
    track: bytes, pos: int, system_events: list[tuple[int, int | None]]
) -> int:
    """Return the position after the event at `pos`; list all but meta events."""
    status = track[pos]
    if status in (0xF0, 0xF7, 0xFF):
        length, content = read_vlq(track, pos + 1 + (status == 0xFF))
        if status != 0xFF:
            system_events.append((pos, None))
        elif track[pos + 1] == TEMPO and length < 3:
            raise BrokenTrack(f"a tempo event of {length} bytes", pos, "3 or more")
        return content + length
    if status not in SYSTEM_DATA_BYTES:
        what = f"a status byte {status:#04x}, which MIDI does not define,"
        raise BrokenTrack(what, pos, "defined ones")
    system_events.append((pos, SYSTEM_DATA_BYTES[status]))
    return pos + 1 + SYSTEM_DATA_BYTES[status]


def read_vlq(data: bytes, pos: int) -> tuple[int, int]:
    """Return a variable-length quantity of 1 to 4 bytes, and the position after it."""
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


def survey(tracks: Iterable[bytes]) -> tuple[int, int]:
    """Return the number of notes that begin, and the tick where the last track ends."""
    note_ons, end_tick = 0, 0
    for track in tracks:
        found = read_track(track)
        note_ons += sum(s >> 4 == NOTE_ON and v > 0 for _, s, _, v in found.messages)
        end_tick = max(end_tick, found.end_tick)
    return note_ons, end_tick


def count_note_ons(tracks: Iterable[bytes]) -> int:
    """Return the number of notes that begin, ended or not."""
    return sum(
        status >> 4 == NOTE_ON and velocity > 0
        for track in tracks
        for _, status, _, velocity in read_track(track).messages
    )


def pair_notes(
    tracks: Iterable[bytes],
) -> tuple[list[tuple[int, int, int, int]], dict[int, list[tuple[int, int]]]]:
    """Pair note-ons with note-offs, channel by channel, and find the pedals.

    A note-off ends the oldest sounding note of its pitch in its track and channel. A
    pedal works on its channel in every track: piano files often have it in the right
    hand's track alone. A pedal that is never released is released where the file ends.

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
    notes, end_tick = [], 0
    pedal_changes: dict[int, list[tuple[int, bool]]] = {}
    for track in tracks:
        messages, track_end_tick, *_ = read_track(track)
        end_tick = max(end_tick, track_end_tick)
        sounding: dict[tuple[int, int], deque[int]] = {}
        for tick, status, data1, data2 in messages:
            kind, channel = status >> 4, status & 0x0F
            if kind == CONTROL:
                pedal_changes.setdefault(channel, []).append((tick, data2 >= 64))
            elif kind == NOTE_ON and data2:
                sounding.setdefault((channel, data1), deque()).append(tick)
            elif onsets := sounding.get((channel, data1)):
                notes.append((data1, onsets.popleft(), tick, channel))
    return notes, {
        channel: _find_presses(sorted(changes, key=itemgetter(0)), end_tick)
        for channel, changes in pedal_changes.items()
    }


def _find_presses(
    changes: Sequence[tuple[int, bool]], end_tick: int
) -> list[tuple[int, int]]:
    """Return (tick pressed, tick released) from (tick, is pressed), both in order."""
    presses, since = [], None
    for tick, is_down in [*changes, (end_tick, False)]:
        if is_down and since is None:
            since = tick
        elif not is_down and since is not None:
            presses.append((since, tick))
            since = None
    return presses
