"""Walk the events of a track.

symusic returns notes quickly, but neither their channels nor the notes that it drops.
This walk finds both, and refuses nothing that symusic reads correctly. Runs of channel
events with two data bytes (notes, key pressure, controllers, pitch bends) are read at
once, at 0.03 µs an event, the others one by one, at 0.5 µs. To count the notes of a
track without running status takes no walk.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

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

# Status bytes of other events than channel events of two data bytes. In a delta time
# they stand for 8192 ticks or more. It is a table for bytes.translate.
_OTHER_STATUS = bytes(0xC0) + b"\1" * 0x20 + bytes(0x10) + b"\1" * 0x10
_TWO_DATA_BYTES = (0x8, 0x9, 0xA, 0xB, 0xE)  # high half of a status byte
_SHORTEST_RUN, _LONGEST_RUN = 256, 2**20  # bytes: below, a loop is quicker

# The events of a track in which each has its status byte, and no text is long.
_DELTA, _DATA = rb"[\x80-\xff]{0,3}+[\0-\x7f]", rb"[\0-\x7f]"
_CONTENT = b"|".join(b"\\x%02x.{%d}" % (length, length) for length in range(128))
_META_EVENT = rb"\xff(?:[^\x2f\x51\x80-\xff](?:%b)|\x51\x03...)" % _CONTENT
_NO_NOTE_ON = (
    rb"(?:[\x80-\x8f\xa0-\xbf\xe0-\xef]%b{2}|[\x90-\x9f]%b\0|[\xc0-\xdf]%b|%b)"
    % (_DATA, _DATA, _DATA, _META_EVENT)
)
# Each match ends with a note that begins; the last is what is left of the track.
_NOTE_ONS = re.compile(
    rb"(?:%b%b)*+(%b[\x90-\x9f]%b{2}|.+|\Z)" % (_DELTA, _NO_NOTE_ON, _DELTA, _DATA),
    re.DOTALL,
)
_END_OF_TRACK = re.compile(rb"%b\xff\x2f" % _DELTA)

Message: TypeAlias = tuple[int, int, int, int]  # tick, status, data1, data2


class BrokenTrack(ValueError):
    """Report an event that leaves the notes unknown.

    Its `args` are the event, its byte in the track's content, counted from 0, and what
    is allowed.
    """


class Messages(NamedTuple):
    """Hold channel events of two data bytes; arrays of ints of shape (messages,)."""

    tick: npt.NDArray[np.integer]
    status: npt.NDArray[np.integer]
    data1: npt.NDArray[np.integer]
    data2: npt.NDArray[np.integer]


_NO_MESSAGES = Messages(*np.empty((4, 0), np.int64))


class TrackEvents(NamedTuple):
    """Hold the notes and pedals of one track, and the events that need a repair.

    messages : Messages
        All notes and pedals are among them, in order.
    end_tick : tick of the last event of any kind
    system_events : list of (position, data bytes), meta events left out; None stands
        for an exclusive event, which holds its own length
    data_over_127 : list of positions, data bytes of channel events that are over 127
    """

    messages: Messages
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
    parts: list[Messages] = []
    messages: list[Message] = []
    system_events: list[tuple[int, int | None]] = []
    data_over_127: list[int] = []
    tick, status, pos, run_end = 0, 0, 0, 0
    other_status = track.translate(_OTHER_STATUS)
    try:
        while pos < len(track):
            # A long stretch without other status bytes is read at once.
            if pos >= run_end and status >> 4 in _TWO_DATA_BYTES:
                run_end = other_status.find(b"\1", pos, pos + _LONGEST_RUN)
                run_end = pos + _LONGEST_RUN if run_end < 0 else run_end
                if run_end - pos >= _SHORTEST_RUN:
                    run, pos = _read_run(track[pos:run_end], tick, status, pos)
                    if len(run.tick):
                        tick, status = int(run.tick[-1]), int(run.status[-1])
                        parts += [*_as_columns(messages), run]
                        messages = []
                    continue
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
            if kind in _TWO_DATA_BYTES:
                messages.append((tick, status, data1, data2))
            if data1 | data2 > 127:
                data_over_127 += _find_data_over_127(track, pos, kind)
            pos += DATA_BYTES.get(kind, 1)
    except IndexError:  # the bytes end inside an event
        pass
    found = _join([*parts, *_as_columns(messages)])
    return TrackEvents(found, tick, system_events, data_over_127)


def _as_columns(messages: list[Message]) -> list[Messages]:
    """Return the messages, if any, in a list of one."""
    return [Messages(*np.array(messages, np.int64).T)] if messages else []


def _join(parts: list[Messages]) -> Messages:
    if len(parts) == 1:
        return parts[0]
    return Messages(*map(np.concatenate, zip(_NO_MESSAGES, *parts, strict=True)))


def _read_run(run: bytes, tick: int, status: int, begin: int) -> tuple[Messages, int]:
    """Read the leading run of channel events with two data bytes each.

    Data bytes are below 128, and so is the last byte of a delta time: three bytes of
    each event. The bytes before the first belong to the delta time, too; the one
    between the first and the second is a status. The first event that is not of this
    form, or not whole, ends the run.

    Parameters
    ----------
    run : bytes
    tick, status : int
        Of the event before.
    begin : int
        Where the run begins in its track.

    Returns
    -------
    messages : Messages
    pos : int
        Where they end in the track.
    """
    byte = np.frombuffer(run, np.uint8)
    low = np.flatnonzero(byte < 0x80)
    delta, data1, data2 = low[: len(low) // 3 * 3].reshape(-1, 3).T
    high_bytes = delta.copy()  # how many the delta time has, before its last
    high_bytes[1:] -= data2[:-1] + 1
    sound = (high_bytes <= 3) & (data1 - delta <= 2) & (data2 - data1 == 1)
    if not sound.all():
        count = int(np.argmin(sound))
        delta, data1, data2 = delta[:count], data1[:count], data2[:count]
    if not len(delta):
        return _NO_MESSAGES, begin
    deltas = byte[delta].astype(np.int64)
    for place in (1, 2, 3):
        longer = np.flatnonzero(high_bytes[: len(delta)] >= place)
        if not len(longer):
            break
        bits = byte[delta[longer] - place].astype(np.int64) & 0x7F
        deltas[longer] += bits << 7 * place
    deltas[0] += tick
    statuses = byte[data1 - 1]
    if statuses.min() < 0x80:  # no status byte: running status goes on
        has_status = statuses >= 0x80
        statuses[0] = statuses[0] if has_status[0] else status
        at = np.where(has_status, np.arange(len(delta)), 0)
        statuses = statuses[np.maximum.accumulate(at)]
    messages = Messages(np.cumsum(deltas), statuses, byte[data1], byte[data2])
    return messages, begin + int(data2[-1]) + 1


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


def count_note_ons(track: bytes) -> int:
    """Return the number of notes that begin, ended or not.

    Raises
    ------
    BrokenTrack
        As `read_track`.
    """
    if track.translate(_OTHER_STATUS).count(b"\1") * _SHORTEST_RUN > len(track):
        found = [each for each in _NOTE_ONS.findall(track) if each]
        if found and _END_OF_TRACK.match(found[-1]):
            return len(found) - 1
    (_, status, _, velocity), *_ = read_track(track)
    begins = (status >> 4 == NOTE_ON) & (velocity > 0)
    return int(np.count_nonzero(begins))


def pair_notes(
    tracks: Iterable[bytes],
) -> tuple[list[tuple[int, int, int, int, int]], dict[int, list[tuple[int, int]]]]:
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
    notes : list of (pitch, onset tick, offset tick, channel, 1 if ended or 0)
        A note that no note-off ends has the end of its track as its offset.
    pedals : dict of channel to list of (tick pressed, tick released)
        In order, none overlapping.
    """
    notes, end_tick = [], 0
    pedal_changes: dict[int, list[tuple[int, bool]]] = {}
    for track in tracks:
        messages, track_end_tick, *_ = read_track(track)
        end_tick = max(end_tick, track_end_tick)
        sounding: dict[tuple[int, int], deque[int]] = {}
        for tick, status, data1, data2 in _notes_and_pedals(messages):
            kind, channel = status >> 4, status & 0x0F
            if kind == CONTROL:
                pedal_changes.setdefault(channel, []).append((tick, data2 >= 64))
            elif kind == NOTE_ON and data2:
                sounding.setdefault((channel, data1), deque()).append(tick)
            elif onsets := sounding.get((channel, data1)):
                notes.append((data1, onsets.popleft(), tick, channel, 1))
        for (channel, pitch), onsets in sounding.items():
            notes += [(pitch, onset, track_end_tick, channel, 0) for onset in onsets]
    return notes, {
        channel: _find_presses(sorted(changes, key=itemgetter(0)), end_tick)
        for channel, changes in pedal_changes.items()
    }


def _notes_and_pedals(messages: Messages) -> Iterator[Message]:
    kind = messages.status >> 4
    wanted = (kind == CONTROL) & (messages.data1 == SUSTAIN_PEDAL)
    wanted |= (kind == NOTE_ON) | (kind == NOTE_OFF)
    return zip(*(column[wanted].tolist() for column in messages), strict=True)


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
