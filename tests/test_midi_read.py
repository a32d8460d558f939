"""Test midiread on files written as commented hex bytes."""

import numpy as np
import pytest
from midi_bytes import ONE_NOTE, read, smf, ticks_480

from midi import MidiRoll, midiread


def test_a_note_sounds_from_the_ceiling_of_its_onset_to_that_of_its_offset():
    # Rows 1 (0.2 s) and 2 (0.4 s). Fails if a boundary is truncated or rounded to the
    # nearest step.
    data = smf(
        "60 903c40"  # tick 96, 0.1 s: on
        "8300 803c40"  # tick 480, 0.5 s: off
    )
    result = read(data)
    assert result.piano_roll[:, 0x3C - 21].tolist() == [0, 1, 1]
    assert result.piano_roll.sum() == 2
    assert result.piano_roll.dtype == np.uint8
    assert result.notes.tolist() == [(60, 0.1, 0.5)]
    assert (result.r, result.dt) == ((21, 109), 0.2)
    assert isinstance(result, MidiRoll)


def test_the_length_is_the_ceiling_of_the_last_offset_to_end():
    # Fails if the last note to begin sets the length.
    data = smf(
        "00 903e40"  # tick 0: D4 on
        "60 903c40"  # tick 96: C4 on
        "8440 803c40"  # tick 672, 0.7 s: C4 off
        "8220 803e40"  # tick 960, 1.0 s: D4 off
    )
    assert len(read(data, dt=0.2).piano_roll) == 5
    assert len(read(data, dt=0.3).piano_roll) == 4


@pytest.mark.parametrize("dt_ms", [10, 70, 100, 300, 700, 1100])
def test_notes_on_the_grid_never_move_by_a_step(dt_ms):
    # 500 notes of one step each, two pitches in turn. Division 500 makes a tick 1 ms,
    # so note k begins at k * dt. Fails for float32 seconds, and for a bare
    # ceil(onset / dt), as 0.7 / 0.1 > 7.
    delta = f"{0x80 | dt_ms >> 7:02x}{dt_ms & 0x7F:02x}"
    track = f"00 903040 {delta} 803040 00 903140 {delta} 803140 " * 250
    roll = read(smf(track, division="01f4"), (48, 50), dt_ms / 1000).piano_roll
    assert np.array_equal(roll, np.eye(2, dtype=np.uint8)[np.arange(500) % 2])


def test_steps_gives_the_length_and_cuts_or_pads():
    result = read(ONE_NOTE, steps=7)
    assert result.piano_roll.shape == (7, 88)
    assert result.piano_roll[:, 39].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert read(ONE_NOTE, steps=2).piano_roll[:, 39].tolist() == [1, 1]
    data = smf(
        "00 903c40 60 803c40"  # C4 from tick 0 to 96
        "8700 903e40 60 803e40"  # D4 from tick 992, 1.03 s: after the two rows
    )
    late = read(data, steps=2)
    assert late.left_out["after steps"] == 1
    assert late.piano_roll.sum() == 1


def test_one_tempo_map_is_merged_over_all_tracks():
    # D10. C4 lasts 0.5 s at the default tempo and 1 s at the new one. Fails if a track
    # has a tempo of its own, or if the last tempo event read holds from the start.
    tempo = "8360 ff5103 0f4240"  # tick 480: 1,000,000 µs per beat
    notes = (
        "00 903c40 8740 803c40",  # C4 from tick 0 to 960
        "8360 903e40 8360 803e40",  # D4 from tick 480 to 960
    )
    for data in (smf(tempo, *notes), smf(*notes, tempo)):
        assert read(data).notes.tolist() == [(60, 0.0, 1.5), (62, 0.5, 1.5)]


def test_of_two_tempos_on_one_tick_the_last_counts():
    data = smf(
        "00 ff5103 07a120"  # 500,000 µs per beat
        "00 ff5103 0f4240"  # 1,000,000 µs per beat
        "00 903c40 8360 803c40"  # one beat
    )
    assert read(data).notes.tolist() == [(60, 0.0, 1.0)]


def test_pitches_out_of_range_are_left_out_and_counted():
    # D11. Each note lasts 0.5 s; pitch 61 sounds from 1.0 to 1.5 s, rows 5 to 7.
    data = smf(
        "00 903b40 8360 803b40"  # 59: below
        "00 903c40 8360 803c40"  # 60: below
        "00 903d40 8360 803d40"  # 61: in range
        "00 903e40 8360 803e40"  # 62: above, as the range ends before it
        "00 907f40 8360 807f40"  # 127: above
    )
    result = read(data, (61, 62))
    assert result.piano_roll.tolist() == [[0]] * 5 + [[1]] * 3
    assert result.notes["pitch"].tolist() == [61]
    assert (result.left_out["below r"], result.left_out["above r"]) == (2, 2)


@pytest.mark.parametrize("file_format", [0, 1, 2])
def test_tracks_of_every_format_begin_together(file_format):
    # Fails if the second track begins after the first one's 480 ticks.
    tracks = "00 903c40 8360 803c40", "60 903e40 60 803e40"
    data = smf(*tracks, file_format=file_format)
    assert ticks_480(read(data)) == [(60, 0, 480), (62, 96, 192)]


@pytest.mark.parametrize(
    ("division", "per_second"),
    [("e728", 1000), ("e850", 1920), ("e264", 3000), ("e364", 100 * 30_000 / 1001)],
)
def test_smpte_time_is_absolute(division, per_second):
    # Fails if ticks are taken as parts of a beat, or if 29 frames are not the 29.97 of
    # the standard.
    data = smf(
        "00 ff5103 0f4240"  # a tempo, which must change nothing
        "00 903c40 8740 803c40",  # 960 ticks
        division=division,
    )
    assert read(data).notes["offset_s"][0] == pytest.approx(960 / per_second, rel=1e-15)


def test_velocity_0_and_running_status_end_notes():
    data = smf(
        "00 903c40"  # C4 on
        "60 3e40"  # D4 on, by the status byte before
        "60 3c00"  # C4 off, as its velocity is 0
        "60 3e00"  # D4 off
    )
    assert ticks_480(read(data)) == [(60, 0, 192), (62, 96, 288)]


SYSTEM_EVENTS = {
    "exclusive": "f004 7e7f06f7",
    "exclusive, then text": "f004 7e7f06f7 00 ff0102 6869",
    "exclusive without its end": "f002 7e7f",
    # 10 ticks between the first two packets
    "exclusive in three packets": "f003 431200 0a f703 431200 00 f702 43f7",
    "escape": "f703 f30190",
    "empty escape": "f700",
    "song position": "f2 0102",
    "song select": "f3 05",
    "time code": "f1 05",
    "time code and song position with data bytes over 127": "f1 85 00 f2 05c0",
    "tune request": "f6",
    "clock": "f8",
    "clock, then text": "f8 00 ff0102 6869",
    "active sensing three times": "fe 00 fe 00 fe",
}


@pytest.mark.parametrize("running", [True, False], ids=["running status", "status"])
@pytest.mark.parametrize("event", SYSTEM_EVENTS.values(), ids=list(SYSTEM_EVENTS))
def test_system_events_move_and_end_no_note(event, running):
    # The standard ends running status there, but some files go on with it. Fails if
    # symusic reads these events as they are.
    status = "" if running else "90"
    data = smf(
        f"00 903c40 00 {event}"  # C4 on, the event
        f"60 {status}3c00 00 {status}3e40 60 {status}3e00"  # C4 off, D4 on, D4 off
    )
    late = 10 if "0a f703" in event else 0
    assert ticks_480(read(data)) == [(60, 0, late + 96), (62, late + 96, late + 192)]


@pytest.mark.parametrize("texts", [8, 9, 10, 30])
def test_running_status_goes_on_after_many_texts(texts):
    track = "00 903c40 00 f004 7e7f06f7" + "00 ff0100" * texts + "60 3c00"
    assert ticks_480(read(smf(track))) == [(60, 0, 96)]


def test_a_delta_time_may_look_like_a_system_event():
    # Fails if the first byte of a delta time is taken for a status.
    data = smf(
        "00 903c40"  # C4 on
        "f405 3c00"  # 14,853 ticks later: off
        "f702 3e40"  # 15,234 ticks later: D4 on
        "f004 3e00"  # 14,340 ticks later: off
    )
    assert ticks_480(read(data, dt=1)) == [(60, 0, 14853), (62, 30087, 44427)]


def test_a_delta_time_and_an_escape_may_look_like_an_exclusive_event():
    # Fails if f0, in a delta time, begins an exclusive event of 7 bytes that f7 ends.
    data = smf(
        "00 903c40"  # C4 on
        "f007 3c00"  # 14,343 ticks later: off
        "05 3e40"  # 5 ticks later: D4 on
        "04 f700"  # an escape without bytes
        "8100 803e00"  # 128 ticks later: D4 off
    )
    result = read(data, dt=1)
    assert ticks_480(result) == [(60, 0, 14343), (62, 14348, 14480)]
    assert result.left_out["never ended"] == 0


def test_overlapping_notes_of_one_pitch_pair_first_in_first_out():
    # Fails for last in, first out, and if the first note-off ends both notes.
    data = smf(
        "00 903c40"  # tick 0: on
        "60 903c40"  # tick 96: on again
        "60 803c40"  # tick 192: the first off
        "60 803c40"  # tick 288: the second off
    )
    result = read(data, dt=0.05)
    assert ticks_480(result) == [(60, 0, 192), (60, 96, 288)]
    assert result.piano_roll[:, 39].tolist() == [1] * 6


def test_notes_that_touch_or_overlap_do_not_silence_each_other():
    data = smf(
        "00 903c40 60 803c40"  # ticks 0 to 96
        "00 903c40"  # 96 to 192: touches the first
        "20 913c40"  # 128 to 288, channel 2: overlaps the second
        "40 803c40"
        "60 813c40"
        "60 903c40 60 803c40"  # 384 to 480: after a gap
    )
    assert read(data, dt=0.05).piano_roll[:, 39].tolist() == [1] * 6 + [0, 0, 1, 1]


def test_a_note_within_another_does_not_cut_it():
    data = smf(
        "00 903c40"  # ticks 0 to 288
        "20 913c40 20 813c40"  # 32 to 64, channel 2
        "8160 803c40"
    )
    assert read(data, dt=0.05).piano_roll[:, 39].tolist() == [1] * 6


def test_notes_never_ended_are_left_out_and_counted():
    data = smf(
        "00 903c40 00 903c40"  # C4 on, twice
        "00 903e40"  # D4 on, never off
        "00 804040"  # E4 off, never on
        "60 803c40"  # C4 off, once
    )
    result = read(data)
    assert ticks_480(result) == [(60, 0, 96)]
    assert result.left_out["never ended"] == 2


def test_percussion_is_left_out_unless_asked_for():
    data = smf(
        "00 903c40 00 992440"  # C4 and, on channel 10, a bass drum
        "60 803c40 60 892440"
    )
    result = read(data)
    assert ticks_480(result) == [(60, 0, 96)]
    assert result.left_out["percussion"] == 1
    result = read(data, drums=True)
    assert ticks_480(result) == [(36, 0, 192), (60, 0, 96)]
    assert result.left_out["percussion"] == 0


def test_a_note_between_two_steps_is_counted():
    data = smf(
        "0a 903e40 0a 803e40"  # D4 from tick 10 to 20, within row 0
        "00 903c40 8360 803c40"  # C4 from tick 20 to 500
    )
    result = read(data)
    assert result.left_out["between steps"] == 1
    assert result.notes["pitch"].tolist() == [62, 60]
    assert not result.piano_roll[:, 62 - 21].any()


def test_left_out_holds_every_reason():
    reasons = ["below r", "above r", "percussion", "never ended"]
    reasons += ["between steps", "after steps"]
    assert read(ONE_NOTE).left_out == dict.fromkeys(reasons, 0)


def test_repr_says_what_was_read():
    data = smf(
        "00 903c40 00 990040"  # C4 and, on channel 10, percussion
        "8360 803c40 00 890040"  # 0.5 s later: both off
    )
    text = repr(read(data, dt=0.25))
    assert "2 steps of 0.25 s" in text
    assert "pitches 21 to 108; 1 note, left out: 1 percussion" in text


def test_paths_and_file_objects_give_the_same(tmp_path):
    path = tmp_path / "one.mid"
    path.write_bytes(ONE_NOTE)
    with open(path, "rb") as file:
        results = [midiread(file), midiread(path), midiread(str(path)), read(ONE_NOTE)]
    for result in results:
        assert np.array_equal(result.piano_roll, results[0].piano_roll)
    assert results[1].name == str(path)


ALIEN = ONE_NOTE[:14] + b"XFIH\0\0\0\3abc" + ONE_NOTE[14:]
WHOLE = {
    "alien chunk": ALIEN,
    "alien chunk, counted as a track": ALIEN[:11] + b"\2" + ALIEN[12:],
    "junk of one byte": ONE_NOTE + b"\0",
    "junk": ONE_NOTE + b"junk and more junk",
    "junk like a track": ONE_NOTE + b"MTrk",
    "header of 8 bytes": ONE_NOTE[:7]
    + b"\x08"
    + ONE_NOTE[8:14]
    + b"\0\0"
    + ONE_NOTE[14:],
}


@pytest.mark.parametrize("case", WHOLE)
def test_alien_chunks_and_junk_are_passed_over(case):
    assert ticks_480(read(WHOLE[case])) == [(60, 0, 480)]
