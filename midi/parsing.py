"""Parse the bytes of a Standard MIDI File into notes in ticks.

The chunks are walked and checked here, byte by byte. symusic then reads the events and
pairs note-ons with note-offs, first in, first out. The format is that of "Standard MIDI
Files 1.0" (RP-001 of the MIDI Manufacturers Association).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from midi import events, repair
from midi.checks import DENOMINATORS, MAX_TRACKS, MidiError
from midi.clock import TempoMap

PERCUSSION = 9  # channel, counted from 0
_T = TypeVar("_T")
_Ints: TypeAlias = npt.NDArray[np.int64]
_Score: TypeAlias = Any  # a symusic.Score, whose annotations lack `tempos` and `tracks`


class MidiChunks(NamedTuple):
    """Hold a file's header and the content of its track chunks.

    division : the header's two bytes as a number: ticks per beat, or SMPTE above 0x7fff
    tracks : list of bytes
    """

    division: int
    tracks: list[bytes]


class TickNotes(NamedTuple):
    """Hold the notes of all tracks; arrays of shape (notes,).

    pitch : int64, 0 to 127
    onset_tick, offset_tick : int64
    percussion : bool, whether the note is on channel 10
    ended : bool, whether a note-off ends it; else its track's end does
    """

    pitch: _Ints
    onset_tick: _Ints
    offset_tick: _Ints
    percussion: npt.NDArray[np.bool_]
    ended: npt.NDArray[np.bool_]

    def select(self, mask: npt.NDArray[np.bool_]) -> "TickNotes":
        """Return the notes of a mask of shape (notes,)."""
        return TickNotes._make(column[mask] for column in self)


def unwrap_riff(data: bytes, name: str) -> bytes:
    """Return the MIDI file that a RIFF file wraps, or `data` if it is no RIFF file.

    RIFF is chunks of four letters, a length of four bytes (the lowest first), and as
    many bytes, padded to an even number.

    Raises
    ------
    MidiError
        If it wraps something else, or ends before the file that it wraps.
    """
    if data[:4] != b"RIFF":
        return data
    if data[8:12] != b"RMID":
        raise MidiError(
            f"{name}: not MIDI: RIFF of the form {data[8:12]!r}; allowed: b'RMID'"
        )
    pos = 12
    while pos + 8 <= len(data):
        begin, length = pos + 8, int.from_bytes(data[pos + 4 : pos + 8], "little")
        if data[pos : pos + 4] == b"data":
            if begin + length > len(data):
                raise MidiError(
                    f"{name}: cut off: its MIDI file should end at byte "
                    f"{begin + length}, the RIFF file ends at byte {len(data)}"
                )
            return data[begin : begin + length]
        pos = begin + length + length % 2
    raise MidiError(f"{name}: cut off: RIFF without a chunk b'data'")


def read_chunks(data: bytes, name: str) -> MidiChunks:
    """Split the bytes of a file, which RIFF may wrap, into its header and tracks.

    Chunks of other kinds are passed over, and so is whatever follows the last of the
    tracks that the header counts.

    Raises
    ------
    MidiError
        If the bytes are not MIDI, end before the header says, or a track is broken.
    """
    data = unwrap_riff(data, name)
    count, division, pos = _read_header(data, name)
    tracks: list[bytes] = []
    n_alien = 0
    while len(tracks) < count and pos < len(data):
        is_track = data[pos : pos + 4] == b"MTrk"
        end = pos + 8 + int.from_bytes(data[pos + 4 : pos + 8], "big")
        if end > len(data):
            # Junk may follow the tracks, also if the header counts alien chunks.
            if len(tracks) + n_alien >= count and not is_track:
                break
            raise MidiError(
                f"{name}: cut off: the chunk at byte {pos} should end at byte {end}, "
                f"the file ends at byte {len(data)}"
            )
        if is_track:
            tracks.append(data[pos + 8 : end])
        else:
            n_alien += 1  # some programs count these as tracks
        pos = end
    if len(tracks) + n_alien < count:
        raise MidiError(
            f"{name}: cut off: {len(tracks)} tracks; the header counts {count}"
        )
    _each_track(repair.check_quantities, tracks, name)
    return MidiChunks(division, _each_track(repair.system_to_meta, tracks, name))


def _read_header(data: bytes, name: str) -> tuple[int, int, int]:
    """Return the number of tracks, the division, and where the header ends."""
    if not data:
        raise MidiError(f"{name}: the file is empty; allowed: a MIDI file")
    if data[:4] != b"MThd":
        raise MidiError(
            f"{name}: not MIDI: it begins with {data[:4]!r}; allowed: b'MThd'"
        )
    length = int.from_bytes(data[4:8], "big")
    if len(data) < 14 or 8 + length > len(data):
        raise MidiError(f"{name}: cut off within its header, at byte {len(data)}")
    if length < 6:
        raise MidiError(f"{name}: header of {length} bytes; allowed: 6 or more")
    file_format, count, division = (
        int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12)
    )
    if file_format > 2:
        raise MidiError(f"{name}: MIDI format {file_format}; allowed: 0, 1 or 2")
    if count > MAX_TRACKS:
        raise MidiError(f"{name}: {count} tracks; allowed: up to {MAX_TRACKS}")
    return count, division, 8 + length


def _each_track(
    function: Callable[[bytes], _T], tracks: Sequence[bytes], name: str
) -> list[_T]:
    """Call `function` with each track; name a broken one by its number."""
    results = []
    for number, track in enumerate(tracks, 1):
        try:
            results.append(function(track))
        except events.BrokenTrack as error:
            what, position, allowed = error.args
            raise MidiError(
                f"{name}: broken track: {what} at byte {position} of track {number}; "
                f"allowed: {allowed}"
            ) from None
    return results


def count_note_ons(tracks: Sequence[bytes], name: str) -> int:
    """Return the number of notes that begin, ended or not.

    Raises
    ------
    MidiError
        If a track is broken, or ends at tick 2**31 or later, where symusic wraps round.
    """
    note_ons = _each_track(events.count_note_ons, tracks, name)
    if repair.may_pass_int32(tracks) and find_end(tracks) >= 2**31:
        raise MidiError(f"{name}: too long; allowed: up to 2**31 - 1 ticks")
    return sum(note_ons)


def find_end(tracks: Sequence[bytes]) -> int:
    """Return the tick where the last of the tracks ends."""
    return max((events.read_track(track).end_tick for track in tracks), default=0)


def read_notes(
    tracks: Sequence[bytes], name: str, pedal: bool = False
) -> tuple[TickNotes, TempoMap, tuple[int, int] | None]:
    """Read the notes, the tempos and the first time signature of all tracks.

    `walk_notes` finds the notes never ended.

    Parameters
    ----------
    tracks : list of bytes
        As in MidiChunks; `count_note_ons` has accepted them.
    name : str
        The file's name, for messages.
    pedal : bool
        Hold notes that end under the sustain pedal until it is released, or the same
        pitch is struck again on their channel.

    Raises
    ------
    MidiError
        If the events are broken, or a tempo is 0.
    """
    try:
        score = _parse(tracks, name)
    except MidiError:  # a data byte over 127, of no note, must not cost the notes
        score = _parse(_each_track(repair.clip_data, tracks, name), name)
    tempo_events = score.tempos.numpy()
    tempos = TempoMap(
        tempo_events["time"].astype(np.int64), tempo_events["mspq"].astype(np.int64)
    )
    if (tempos.us_per_beat <= 0).any():
        raise MidiError(f"{name}: a tempo of 0 µs per beat; allowed: 1 to 16777215")
    notes = walk_notes(tracks, pedal) if pedal else _plain_notes(score)
    return notes, tempos, _first_time_signature(score)


def _first_time_signature(score: _Score) -> tuple[int, int] | None:
    """Return the first numerator and denominator, or None if they are not valid."""
    events = score.time_signatures.numpy()
    pairs = zip(
        events["numerator"].tolist(), events["denominator"].tolist(), strict=True
    )
    first = next(pairs, (0, 0))
    return first if first[0] > 0 and first[1] in DENOMINATORS else None


def _parse(tracks: Sequence[bytes], name: str) -> _Score:
    """Return symusic's score of the tracks, in ticks, under a header it accepts."""
    from symusic import Score  # a tenth of a second, spared to `import midi`

    # symusic refuses SMPTE divisions and accepts 0. Ticks are the same under any
    # division, so it is given 480, and the file's own is applied to what it returns.
    # Format 1 stands for all: tracks of format 2 also begin together.
    header = b"MThd\0\0\0\6\0\1" + len(tracks).to_bytes(2, "big") + b"\x01\xe0"
    chunks = [b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks]
    # Zeros at the end, as symusic reads beyond a track that ends within an event.
    try:
        return Score.from_midi(b"".join([header, *chunks, bytes(16)]))
    except (RuntimeError, ValueError) as error:
        raise MidiError(f"{name}: broken track: {error}") from error


def _plain_notes(score: _Score) -> TickNotes:
    """Return symusic's notes, all ended."""
    parts = [part.notes.numpy() for part in score.tracks]
    pitch, onset_tick, duration_ticks = (
        np.concatenate([part[name] for part in parts] or [[]]).astype(np.int64)
        for name in ("pitch", "time", "duration")
    )
    percussion = np.repeat(
        np.array([part.is_drum for part in score.tracks], np.bool_),
        np.array([len(part["time"]) for part in parts], np.int64),
    )
    ended = np.ones(pitch.shape, np.bool_)
    return TickNotes(pitch, onset_tick, onset_tick + duration_ticks, percussion, ended)


def walk_notes(tracks: Sequence[bytes], pedal: bool) -> TickNotes:
    """Return the notes of all tracks, never ended ones too, held by the pedal.

    symusic's notes have no channels, and are those that end, so the tracks are walked.

    Parameters
    ----------
    tracks : list of bytes
        As in MidiChunks; read_notes has accepted them.
    pedal : bool
        As for read_notes.
    """
    notes, pedals = events.pair_notes(tracks)
    columns = np.array(notes, np.int64).reshape(-1, 5).T
    pitch, onset_tick, offset_tick, channel, ended = columns
    if pedal:
        released_tick = _find_releases(offset_tick, channel, pedals)
        struck_tick = _find_next_strikes(*columns[:4])
        held = released_tick > offset_tick
        offset_tick = np.where(
            held, np.minimum(released_tick, struck_tick), offset_tick
        )
    percussion = channel == PERCUSSION
    return TickNotes(pitch, onset_tick, offset_tick, percussion, ended == 1)


def _find_releases(
    offset_tick: _Ints, channel: _Ints, pedals: dict[int, list[tuple[int, int]]]
) -> _Ints:
    """Return where the pedal that is down at each offset is released; else the offset.

    A pedal pressed on the very tick where a note ends holds it.
    """
    released_tick = offset_tick.copy()
    for pedal_channel, presses in pedals.items():
        if not presses:
            continue
        down_tick, up_tick = np.array(presses, np.int64).T
        last = np.searchsorted(down_tick, offset_tick, side="right") - 1
        under_pedal = (last >= 0) & (offset_tick < up_tick[last])
        held = under_pedal & (channel == pedal_channel)
        released_tick[held] = up_tick[last[held]]
    return released_tick


def _find_next_strikes(
    pitch: _Ints, onset_tick: _Ints, offset_tick: _Ints, channel: _Ints
) -> _Ints:
    """Return where each note's pitch is next struck on its channel, from its offset on.

    A number over all ticks stands for never.
    """
    line = (channel << 7 | pitch) << 32  # a time line for each; ticks are below 2**31
    strikes = np.append(np.sort(line | onset_tick), 2**62)
    # A note of no length is not struck again by itself.
    after = line | np.maximum(offset_tick, onset_tick + 1)
    next_strike: _Ints = strikes[np.searchsorted(strikes, after)] - line
    return next_strike
