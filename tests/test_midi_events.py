"""Test the walk over a track's events.

Events that are no notes cost no notes. Events that leave the notes unknown are refused
by name and place. Each note that begins is in the roll or left out for one reason.
"""

import io
from collections import deque
from random import Random

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from midi_bytes import file_of, read, scores, smf, ticks_480
from midi_oracle import mido_roll

from midi import MidiError, events, parsing, repair
from midi.encoding import encode_vlq

# Variable-length quantities: a track with a place for one, and the byte where it stands

QUANTITIES = {
    "delta": ("00 903c40 {} 803c40", 4),
    "the first delta": ("{} 903c40 60 803c40", 0),
    "delta before running status": ("00 903c40 {} 3c00", 4),
    "delta before a text": ("00 903c40 {} ff0100 60 803c40", 4),
    "delta of the track's end": ("00 903c40 60 803c40 {} ff2f00", 8),
    "length of a text": ("00 903c40 00 ff01{}41 60 803c40", 7),
    "length of an exclusive event": ("00 903c40 00 f0{}f7 60 803c40", 6),
    "length of an escape": ("00 903c40 00 f7{}41 60 803c40", 6),
    "after a text that looks like one": ("00 ff0105 8180808000 {} 903c40 60 803c40", 9),
}


@pytest.mark.parametrize("case", QUANTITIES)
@pytest.mark.parametrize("zeros", [1, 2, 5])
@pytest.mark.parametrize("pedal", [False, True])
def test_a_quantity_of_over_four_bytes_is_refused_wherever_it_stands(
    case, zeros, pedal
):
    # The quantity is 1 with leading zeros; of 2 to 4 bytes it is read. Fails if the
    # fifth byte is taken for a delta time, a status or a note.
    track, position = QUANTITIES[case]
    for length in (2, 3, 4):
        read(smf(track.format("80" * (length - 1) + "01")), pedal=pedal)
    data = smf("00 ff0100", track.format("80" * (3 + zeros) + "01"))
    where = f"of over 4 bytes at byte {position} of track 2; allowed: 1 to 4"
    with pytest.raises(MidiError, match=f"a variable-length quantity {where}"):
        read(data, pedal=pedal)


def test_a_delta_of_five_bytes_is_not_cut_after_the_fourth():
    # Fails if four of its bytes are read as 2**21 ticks, and 3c 00 as a note-off.
    with pytest.raises(MidiError, match="over 4 bytes at byte 4 of track 1"):
        read(smf("00 903c40 818080803c 00"))


def test_texts_of_bytes_over_127_are_no_quantities():
    # Fails if four high bytes of a text, in UTF-8, KOI8-R or none, count as a quantity.
    texts = ["мажор".encode(), "минор".encode("koi8-r"), b"\xff" * 200, b"\xff" * 4]
    texts = ["00 ff05" + (encode_vlq(len(t)) + t).hex() for t in texts]
    data = smf("{} 00 903c40 {} {} 60 803c40 {}".format(*texts))
    assert ticks_480(read(data)) == [(60, 0, 96)]


@pytest.mark.parametrize("seed", range(60))
def test_error_names_the_overlong_quantity(seed):
    # Fails if the walk stops before it, or a skipped event hides it.
    rng = Random(seed)
    kinds = ["903c40", "803c40", "c005", "ff0105 fffefdfcfb", "f0027ef7", "b0407f"]
    deltas = [encode_vlq(rng.choice([0, 5, 300, 70_000])) for _ in range(40)]
    long = rng.randrange(40)
    stream = [delta + bytes.fromhex(rng.choice(kinds)) for delta in deltas]
    assert read(smf(b"".join(stream).hex() + "00 903c40 05 803c40"), dt=9)
    position = sum(map(len, stream[:long]))
    stream[long] = bytes([0x80] * 4) + stream[long]
    with pytest.raises(MidiError, match=f"over 4 bytes at byte {position} of track 1"):
        read(smf(b"".join(stream).hex()))


# Events that are no notes

NO_NOTES = {
    "control of value 168": "b007a8",
    "control of number 200": "b0c807",
    "control of number 192, the pedal's with a bit more": "b0c07f",
    "program 133": "c085",
    "pitch bend": "e08585",
    "pitch bend, low": "e0ff00",
    "pressure": "d0ff",
    "pressure of a note": "a0ffff",
    "running status": "b00740 00 07a8",
    "empty sequence number": "ff0000",
    "text": "ff0104 fffec080",
    "half a character": "ff0501 e3",
    "name": "ff0303 fffefd",
    "marker": "ff0602 80c0",
    "empty channel prefix": "ff2000",
    "empty port": "ff2100",
    "SMPTE offset": "ff5405 ffffffffff",
    "empty SMPTE offset": "ff5400",
    "time signature 255/2**255": "ff5804 ffffffff",
    "time signature 0/1": "ff5804 00000000",
    "empty time signature": "ff5800",
    "time signature of one byte": "ff580104",
    "time signature of five bytes": "ff580504 02180808",
    "key signature": "ff5902 7f7f",
    "empty key signature": "ff5900",
    "key signature of three bytes": "ff5903 800001",
    "unknown meta event": "ff3303 fffefd",
    "unknown meta event 160": "ffa003 fffefd",
    "unknown meta event 255": "ffff01 ff",
    "tempo of five bytes": "ff5105 07a120 ffff",
    "velocity 192": "903e c0 00 803e ff",
}


@pytest.mark.parametrize("case", NO_NOTES)
@pytest.mark.parametrize("pedal", [False, True])
def test_other_events_cost_no_notes(case, pedal):
    data = smf(
        f"00 903c40 00 {NO_NOTES[case]} 60 803c40"  # C4, the event within it
        "00 903d40 60 803d40",  # C#4 after it
        "0a 913e40 60 813e40",  # D4 in another track
    )
    notes = [n for n in ticks_480(read(data, pedal=pedal)) if n[1] != n[2]]
    assert notes == [(60, 0, 96), (62, 10, 106), (61, 96, 192)]


def test_control_value_over_127_costs_no_notes():
    # symusic refuses such a file.
    notes = "00 903c40 01 803c40" * 2523
    result = read(smf(notes + "00 b007a8" + notes), dt=0.001)
    assert len(result.notes) == 5046
    assert not any(result.left_out.values())


@pytest.mark.parametrize(
    ("down", "up", "offset_tick"),
    [("b040a8", "b04000", 192), ("b0c07f", "b0c000", 96)],
    ids=["value 168", "number 192"],
)
def test_a_pedal_of_value_168_is_down_and_controller_192_is_no_pedal(
    down, up, offset_tick
):
    # Fails if the high bit is cut off: 192 would be 64, the pedal.
    data = smf(f"00 {down} 00 903c40 60 803c40 60 {up}")
    assert ticks_480(read(data, pedal=True)) == [(60, 0, offset_tick)]


@pytest.mark.parametrize("pedal", [False, True])
def test_a_velocity_over_127_begins_a_note(pedal):
    # Fails if the high bit of 128 (80) is cut off, and the first note ended.
    data = smf("00 903c40 60 903c80 60 803cff 60 803c40")
    assert ticks_480(read(data, pedal=pedal)) == [(60, 0, 192), (60, 96, 288)]


@pytest.mark.parametrize(
    ("track", "pitch", "position"),
    [
        ("00 90bc40 60 803c40", 188, 2),
        ("00 903c40 60 80bc40 00 803c40", 188, 6),
        ("00 903c40 00 b007a8 60 99ff00", 255, 10),
    ],
)
@pytest.mark.parametrize("pedal", [False, True])
def test_a_pitch_over_127_is_refused_by_name_and_place(track, pitch, position, pedal):
    where = f"at byte {position} of track 2; allowed: 0 to 127"
    with pytest.raises(MidiError, match=f"a note of pitch {pitch} {where}"):
        read(smf("00 ff0100", track), pedal=pedal)


@pytest.mark.parametrize("seed", range(20))
def test_files_of_any_data_bytes_give_mido_s_roll(seed):
    # Controls, programs, bends and velocities of 0 to 255, which mido clips too.
    rng = Random(seed)
    track = bytearray()
    for _ in range(200):
        track += encode_vlq(rng.choice([0, 5, 50, 300]))
        kind = rng.choice([0x80, 0x90, 0x90, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0])
        pitch = rng.choice([60, 61, 62]) if kind < 0xA0 else rng.randrange(256)
        track += bytes([kind | rng.choice([0, 1]), pitch])
        if kind not in (0xC0, 0xD0):
            track.append(rng.choice([0, rng.randrange(256)]))
    data = smf("00 903f40 60 803f40" + track.hex(), "00 ff0304 6e616d65")
    expected = mido_roll(mido.MidiFile(file=io.BytesIO(data), clip=True), (60, 64), 0.1)
    assert np.array_equal(read(data, (60, 64), 0.1).piano_roll, expected)


@pytest.mark.parametrize("seed", range(200))
def test_symusic_and_the_walk_find_the_same_notes(seed):
    # Fails if one of the two counts an event's bytes otherwise.
    rng = Random(seed)
    track = bytearray(b"\x00\x90\x3c\x40")
    for _ in range(rng.randint(1, 40)):
        track += encode_vlq(rng.choice([0, 0, 1, 5, 127, 300, 20_000, 3_000_000]))
        draw = rng.random()
        if draw < 0.6:
            status = rng.choice([0x80, 0x90, 0x90]) | rng.choice([0, 1, 9])
            track += bytes([status, rng.choice([60, 61]), rng.choice([0, 64, 200])])
        elif draw < 0.8:
            status = rng.choice([0xA0, 0xB0, 0xC0, 0xD0, 0xE0])
            track += bytes([status]) + rng.randbytes(1 if status in (0xC0, 0xD0) else 2)
        else:
            kind = rng.choice([*range(10), 0x20, 0x21, 0x54, 0x58, 0x59, 0x7F, 0xC3])
            length = rng.choice([0, 0, 1, 2, 3, 4, 9, 200])
            track += bytes([0xFF, kind]) + encode_vlq(length) + rng.randbytes(length)
    data = smf(track.hex())
    _, tracks = parsing.read_chunks(data, "it")
    found, *_ = parsing.read_notes(tracks, "it")
    pairs, _ = events.pair_notes(tracks)
    expected = sorted(
        (*note, channel == 9, 1) for *note, channel, ended in pairs if ended
    )
    assert sorted(zip(*(column.tolist() for column in found), strict=True)) == expected


EVENTS = st.one_of(
    st.tuples(st.sampled_from(range(0x80, 0xC0)), *[st.integers(0, 127)] * 2),
    st.tuples(st.sampled_from(range(0xE0, 0xF0)), *[st.integers(0, 127)] * 2),
    st.tuples(st.sampled_from(range(0xC0, 0xE0)), st.integers(0, 127)),
    st.just((0xFF, 0x01, 2, 0x90, 0x3C)),  # a text that looks like a note
    st.just((0xF8,)),
    st.just((0x90, 0x3C, 0xC8)),  # data over 127
)
DELTAS = st.sampled_from([0, 1, 127, 128, 8191, 8192, 20_000, 2**21, 2**28 - 1])


def join_events(found):
    """Return a track of (delta, event, whether a repeated status is written)."""
    track, last = bytearray(), 0
    for delta, event, keep_status in found:
        status = event[: keep_status or event[0] != last or event[0] >= 0xF0]
        last = event[0] if event[0] < 0xF0 else last
        track += encode_vlq(delta) + bytes(status) + bytes(event[1:])
    return bytes(track)


@given(st.lists(st.tuples(DELTAS, EVENTS, st.booleans()), max_size=60), st.data())
@settings(max_examples=300, deadline=None)
def test_long_runs_are_read_as_one_by_one(found, data):
    # Events with and without running status, cut off anywhere. Fails if a run of any
    # length is read otherwise than event by event.
    track = join_events(found)
    track = track[: data.draw(st.integers(0, len(track)))]
    walked = []
    for shortest in (1, 40, float("inf")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(events, "_SHORTEST_RUN", shortest)
            messages, *rest = events.read_track(track)
        walked.append([*zip(*(m.tolist() for m in messages), strict=True), *rest])
    assert walked[0] == walked[1] == walked[2]


def test_a_run_goes_on_with_the_status_before_it():
    # A text ends the first run; the second has no status byte of its own.
    track = bytes.fromhex("00 903c40 00 ff0100" + "05 3c00 05 3c40" * 90)
    messages = events.read_track(track).messages
    assert messages.status.tolist() == [0x90] * 181
    assert messages.data2.tolist() == [0x40] + [0, 0x40] * 90


def test_a_run_ends_before_a_delta_time_of_five_bytes():
    track = bytes.fromhex("00 903c40" + "05 3c00 05 3c40" * 90)
    with pytest.raises(events.BrokenTrack) as caught:
        events.read_track(track + bytes.fromhex("8180808000 3c00"))
    assert caught.value.args[1] == len(track)


OTHER_EVENTS = st.one_of(
    EVENTS,
    st.sampled_from([0x90, 0x93]).map(lambda status: (status, 60, 64)),
    st.just((0x90, 60, 0)),  # a note-off
    st.integers(0, 140).map(lambda n: (0xFF, 5, *encode_vlq(n), *[0x90] * n)),
    st.just((0xFF, 0x51, 3, 0x90, 0x3C, 0x40)),  # a tempo
    st.just((0xFF, 0x2F, 0)),  # the end of the track
    st.just((0xF0, 2, 0x7E, 0xF7)),
)


@given(
    st.lists(st.tuples(DELTAS, OTHER_EVENTS, st.booleans()), max_size=60),
    st.booleans(),
    st.data(),
)
@settings(max_examples=500, deadline=None)
def test_notes_are_counted_as_the_walk_finds_them(found, always_status, data):
    # Fails if bytes of texts, tempos or delta times, what follows the track's end, or
    # notes under running status are counted otherwise than event by event.
    track = join_events([(*each, keep or always_status) for *each, keep in found])
    if data.draw(st.booleans()):
        track = track[: data.draw(st.integers(0, len(track)))]
    _, status, _, velocity = events.read_track(track).messages
    expected = np.count_nonzero((status >> 4 == events.NOTE_ON) & (velocity > 0))
    assert events.count_note_ons(track) == expected


def test_notes_without_running_status_are_counted_without_a_walk(monkeypatch):
    track = bytes.fromhex(
        "00 ff0504 903c4000"  # a lyric of four bytes, which look like a note
        "05 903c40"  # the one note that begins
        "00 ff5103 07a120"  # 120 quarter notes per minute
        "903c 803c00 00 903c00 00 c005 00 e04040"  # a delta time of 90 3c, no note
        "00 ff2f00 00 903c40"  # the end of the track, and a note behind it
    )
    monkeypatch.delattr(events, "read_track")
    assert events.count_note_ons(track) == 1


@pytest.mark.parametrize(
    ("track", "may"),
    [
        (bytes.fromhex("ff7f 903c40") * 131_100, True),  # each 2**14 - 1 ticks
        (bytes.fromhex("ffff7f 903c40") * 1025, True),  # 2**21 - 1
        (bytes.fromhex("ffffff7f 903c40") * 9, True),  # 2**28 - 1
        (bytes.fromhex("8740 903c40") * 1000, False),
    ],
)
def test_may_pass_int32_bounds_the_ticks(track, may):
    # Fails if symusic wraps round unseen, or if the tracks of any file are walked.
    assert (events.read_track(track).end_tick >= 2**31) == may
    assert repair.may_pass_int32([b"", track]) == may


# Notes left out


def reasons(tracks, r, step, steps, drums):
    """Return for each note that begins why it is in no row, or None if it is in one.

    Return None for all of them if midiread must refuse the file: no note is kept, or
    none is of any length. `step` is in ticks.
    """
    notes, found = [], []
    for messages in tracks:
        tick, sounding = 0, {}
        for delta, channel, pitch, kind in messages:
            tick += delta
            queue = sounding.setdefault((channel, pitch), deque())
            if kind == "on":
                queue.append(tick)
            elif kind in ("off", "silent") and queue:
                notes.append((channel, pitch, queue.popleft(), tick))
        notes += [
            (*key, tick, None) for key, ticks in sounding.items() for tick in ticks
        ]
    kept = []
    for channel, pitch, *ticks in notes:
        if channel == 9 and not drums:
            found.append("percussion")
        elif pitch < r[0] or pitch >= r[1]:
            found.append("below r" if pitch < r[0] else "above r")
        elif ticks[1] is None:
            found.append("never ended")
        else:
            kept.append([-(-tick // step) for tick in ticks])
    length = max((end for _, end in kept), default=0)
    rows = length if steps is None else steps
    for first, end in kept:
        if first >= rows and length > rows:
            found.append("after steps")
        else:
            found.append("between steps" if first == end else None)
    return found if rows and kept else None


@given(
    scores(),
    st.sampled_from([1, 3, 7]),
    st.sampled_from([None, 1, 2, 9]),
    st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_note_that_begins_is_in_some_row_or_left_out_for_one_reason(
    tracks, step, steps, drums
):
    # Fails if a note has two reasons or none, or if the last one, of no length, is
    # "after steps" without steps.
    r, options = (60, 62), {"steps": steps, "drums": drums}
    expected = reasons(tracks, r, step, steps, drums)
    if expected is None:
        with pytest.raises(MidiError, match="no notes"):
            read(file_of(tracks), r, step / 960, **options)
        return
    result = read(file_of(tracks), r, step / 960, **options)
    assert result.left_out == {why: expected.count(why) for why in result.left_out}
    in_no_row = result.left_out["between steps"] + result.left_out["after steps"]
    assert len(result.notes) - in_no_row == expected.count(None)
    # The pedal makes notes longer, but loses none and counts none twice.
    held = read(file_of(tracks), r, step / 960, pedal=True, **options)
    in_no_row = held.left_out["between steps"] + held.left_out["after steps"]
    total = len(held.notes) - in_no_row + sum(held.left_out.values())
    assert total == len(expected)


LAST_OF_NO_LENGTH = smf(
    "00 903c40 8360 803c40"  # C4 from 0 to 0.5 s
    "00 903e40 00 803e40"  # D4 at 0.5 s, of no length
)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [(None, "between steps"), (3, "between steps"), (9, "between steps"),
     (2, "after steps")],
)  # fmt: skip
def test_only_notes_that_steps_cut_are_after_steps(steps, reason):
    left_out = read(LAST_OF_NO_LENGTH, steps=steps).left_out
    assert {why: n for why, n in left_out.items() if n} == {reason: 1}
