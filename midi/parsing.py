"""Bytes of a Standard MIDI File -> notes in ticks -> notes in seconds.

The chunks are walked and checked here, byte by byte; what is found sound is handed to
symusic, which reads the events and pairs note-ons with note-offs, first in, first out.
"""

from typing import NamedTuple

import numpy as np

from midi import events
from midi.checks import MAX_TRACKS, MidiError

PERCUSSION = 9  # channel, counted from 0
DEFAULT_TEMPO = 500_000  # µs per beat: 120 beats per minute
# The SMPTE rates as (frames, per so many seconds); 29 is 29.97, drop-frame.
_SMPTE_RATES = {24: (24, 1), 25: (25, 1), 29: (30_000, 1001), 30: (30, 1)}


class MidiChunks(NamedTuple):
    """A file's header and the content of its track chunks.

    format : 0, 1 or 2
    division : the header's two bytes as a number: ticks per beat, or SMPTE above 0x7fff
    tracks : list of bytes
    """

    format: int
    division: int
    tracks: list


class TickNotes(NamedTuple):
    """Notes of all tracks; arrays of shape (notes,), and the tempo events.

    pitch : int64, 0 to 127
    onset_tick, offset_tick : int64
    percussion : bool, whether the note is on channel 10
    tempos : int64 arrays (tick, µs per beat), in order of tick
    """

    pitch: np.ndarray
    onset_tick: np.ndarray
    offset_tick: np.ndarray
    percussion: np.ndarray
    tempos: tuple


def read_chunks(data, name):
    """Split the bytes of a file into its header and tracks.

    Chunks of other kinds are passed over, and so is whatever follows the last of the
    tracks that the header counts.

    Raises
    ------
    MidiError
        If the bytes are not MIDI, or end before the header says.
    """
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
    kind, count, division = (
        int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12)
    )
    if kind > 2:
        raise MidiError(f"{name}: MIDI format {kind}; allowed: 0, 1 or 2")
    if count > MAX_TRACKS:
        raise MidiError(f"{name}: {count} tracks; allowed: up to {MAX_TRACKS}")

    tracks, others, pos = [], 0, 8 + length
    while len(tracks) < count and pos < len(data):
        length = int.from_bytes(data[pos + 4 : pos + 8], "big")
        end = pos + 8 + length
        if end > len(data):
            # Junk may follow the tracks: where an alien chunk stood for one, too.
            if len(tracks) + others >= count and data[pos : pos + 4] != b"MTrk":
                break
            raise MidiError(
                f"{name}: cut off: the chunk at byte {pos} should end at byte {end}, "
                f"the file ends at byte {len(data)}"
            )
        if data[pos : pos + 4] == b"MTrk":
            tracks.append(data[pos + 8 : end])
        else:
            others += 1  # some programs count these as tracks
        pos = end
    if len(tracks) + others < count:
        raise MidiError(
            f"{name}: cut off: {len(tracks)} tracks; the header counts {count}"
        )
    _each_track(events.check_quantities, tracks, name)
    return MidiChunks(kind, division, _each_track(events.system_to_meta, tracks, name))


def _each_track(function, tracks, name):
    """Return what `function` makes of each track; say in which track it fails."""
    made = []
    for number, track in enumerate(tracks, 1):
        try:
            made.append(function(track))
        except events.BrokenTrack as error:
            what, position, allowed = error.args
            raise MidiError(
                f"{name}: broken track: {what} at byte {position} of track {number}; "
                f"allowed: {allowed}"
            ) from None
    return made


def seconds_per_tick(division, name):
    """Return what `ticks_to_seconds` needs of a header's division.

    Returns
    -------
    (numerator, denominator, follows_tempo)
        A tick lasts numerator / denominator seconds, times the µs per beat where it
        follows the tempo (SMPTE time does not).
    """
    if division == 0:
        raise MidiError(f"{name}: division of 0 ticks per beat; allowed: 1 or more")
    if division < 0x8000:
        return 1, division * 1_000_000, True
    rate, ticks_per_frame = 256 - (division >> 8), division & 0xFF
    if rate not in _SMPTE_RATES or ticks_per_frame == 0:
        raise MidiError(
            f"{name}: SMPTE division of {rate} frames per second, {ticks_per_frame} "
            f"ticks per frame; allowed: 24, 25, 29 or 30 frames, 1 or more ticks"
        )
    frames, seconds = _SMPTE_RATES[rate]
    return seconds, frames * ticks_per_frame, False


def read_notes(chunks, name, pedal=False):
    """Read the notes and tempos of all tracks; return TickNotes.

    Parameters
    ----------
    chunks : MidiChunks
    name : str
        The file's name, for messages.
    pedal : bool
        Hold notes that end under the sustain pedal until it is released.

    Raises
    ------
    MidiError
        If the events are broken, or a tempo is 0.
    """
    if _may_pass_int32(chunks.tracks):
        walked = _each_track(events.read_track, chunks.tracks, name)
        if max((track.end_tick for track in walked), default=0) >= 2**31:
            raise MidiError(f"{name}: too long; allowed: up to 2**31 - 1 ticks")
    try:
        score = _parse(chunks.tracks, name)
    except MidiError:  # what is no note must not cost the notes
        score = _parse(_each_track(events.clip_data, chunks.tracks, name), name)
    tempos = score.tempos.numpy()
    tempo_tick = tempos["time"].astype(np.int64)
    tempo = tempos["mspq"].astype(np.int64)
    if (tempo <= 0).any():
        raise MidiError(f"{name}: a tempo of 0 µs per beat; allowed: 1 to 16777215")
    notes = _pedalled_notes(chunks.tracks) if pedal else _plain_notes(score)
    return TickNotes(*notes, (tempo_tick, tempo))


def _parse(tracks, name):
    """Have symusic read the tracks, in ticks, under a header that it accepts."""
    from symusic import Score  # a tenth of a second: not paid by `import midi`

    # symusic refuses SMPTE divisions and lets 0 through; ticks are counted the same
    # under any, so it is shown 480 and the real one is applied to what it returns.
    # Format 1 stands for all: tracks of format 2 also begin together.
    header = b"MThd\0\0\0\6\0\1" + len(tracks).to_bytes(2, "big") + b"\x01\xe0"
    chunks = [b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks]
    # Where a track ends within an event, symusic reads a few bytes beyond it.
    try:
        return Score.from_midi(b"".join([header, *chunks, bytes(16)]))
    except (RuntimeError, ValueError) as error:
        raise MidiError(f"{name}: broken track: {error}") from error


def _plain_notes(score):
    """Return pitch, onset, offset (ticks) and percussion of all symusic's notes."""
    parts = [part.notes.numpy() for part in score.tracks]
    pitch, onset_tick, duration = (
        np.concatenate([part[name] for part in parts] or [[]]).astype(np.int64)
        for name in ("pitch", "time", "duration")
    )
    percussion = np.repeat(
        np.array([part.is_drum for part in score.tracks], bool),
        np.array([len(part["time"]) for part in parts], np.int64),
    )
    return pitch, onset_tick, onset_tick + duration, percussion


def _pedalled_notes(tracks):
    """Return the same of all notes, each held while its channel's pedal is down.

    symusic accepted the tracks, but its notes have no channels.
    """
    notes, pedals = events.pair_notes(tracks)
    columns = np.array(notes, np.int64).reshape(-1, 4).T
    pitch, onset_tick, offset_tick, channel = columns
    for number, presses in pedals.items():
        if not presses:
            continue
        down, up = np.array(presses, np.int64).T
        last = np.searchsorted(down, offset_tick, side="right") - 1
        # A pedal pressed on the very tick where a note ends holds it.
        held = (last >= 0) & (offset_tick < up[last]) & (channel == number)
        offset_tick = np.where(held, up[last], offset_tick)
    return pitch, onset_tick, offset_tick, channel == PERCUSSION


def _may_pass_int32(tracks):
    """Whether delta times could add up to 2**31 ticks, where symusic wraps round.

    An upper bound from the bytes alone: a delta of 4 bytes has 3 high bits in a row.
    """
    for track in tracks:
        high = np.frombuffer(track, np.uint8) >= 0x80
        twos = high[:-1] & high[1:]
        threes = np.count_nonzero(twos[:-1] & high[2:])
        bound = threes * 2**28 + np.count_nonzero(twos) * 2**21 + len(track) * 2**13
        if bound >= 2**31:
            return True
    return False


def ticks_to_seconds(ticks, tempos, division, name):
    """Turn ticks into seconds, each rounded once only.

    Parameters
    ----------
    ticks : int64 ndarray
    tempos : (int64 ndarray, int64 ndarray)
        Tick and µs per beat of each tempo event, in order of tick.
    division : int
        The header's division.
    name : str
        The file's name, for messages.

    Returns
    -------
    float64 ndarray
        Seconds from the beginning.
    """
    numerator, denominator, follows_tempo = seconds_per_tick(division, name)
    if not follows_tempo:
        return ticks * numerator / denominator
    # D10: one tempo map, of the tempo events of all tracks. Of several on one tick
    # the last counts.
    start_tick = np.concatenate([[0], tempos[0]])
    tempo = np.concatenate([[DEFAULT_TEMPO], tempos[1]])
    # Whole numbers below 2**31 ticks x 2**24 µs: int64 holds them exactly.
    start = np.concatenate([[0], np.cumsum(np.diff(start_tick) * tempo[:-1])])
    at = np.searchsorted(start_tick, ticks, side="right") - 1
    return (start[at] + (ticks - start_tick[at]) * tempo[at]) / denominator
