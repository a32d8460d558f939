"""Test what midi says of notes that are lost, and the step that it suggests."""

import io
import warnings
from fractions import Fraction

import numpy as np
import pytest
from midi_bytes import ONE_NOTE, read, smf

from midi import MidiError, PackedRoll, midiwrite, read_folder, suggest_dt
from midi.encoding import encode_vlq

# A tick lasts 1/960 s, so that 192 ticks are a step of 0.2 s.
SHORT = "0f 903c40 0f 803c40"  # C4, ticks 15 to 30
LONG = "00 903e40 8140 803e40"  # D4, 192 ticks
DRUM = "00 992440 60 892440"


def riff(data, *before, form=b"RMID"):
    """Return a RIFF file that wraps a MIDI file, after other chunks."""
    chunks = b""
    for name, content in [*before, (b"data", data)]:
        padding = b"\0" * (len(content) % 2)
        chunks += name + len(content).to_bytes(4, "little") + content + padding
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + form + chunks


def lines_of(folder, **options):
    """Return what read_folder warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_folder(folder, progress=False, **options)
    return [str(each.message) for each in caught]


def write(folder, *tracks):
    for number, track in enumerate(tracks):
        (folder / f"{number}.mid").write_bytes(smf(track))


# Of a file


def test_repr_says_what_keeps_the_notes_left_out():
    result = read(smf(SHORT + LONG + DRUM + "00 903c40"))
    assert repr(result).endswith(
        "1 percussion (drums=True keeps them), 1 never ended (unended='hold' keeps "
        "them), 1 between steps (quantize=True or a smaller dt keeps them)>"
    )
    assert repr(read(ONE_NOTE)).endswith("left out: none>")
    text = repr(read(smf(LONG + "00 900240 8140 800240")))
    assert text.endswith("left out: 1 below r>")


def test_a_file_of_drums_alone_says_how_to_read_them():
    with pytest.raises(MidiError, match=r"left out: 1 percussion \(drums=True keep"):
        read(smf(DRUM))
    with pytest.raises(MidiError, match=r"r = \(21, 109\); left out: 1 below r$"):
        read(smf("00 900240 60 800240"))
    assert len(read(smf(DRUM), drums=True).notes) == 1


# Of a folder


def test_a_folder_that_loses_over_2_percent_says_so_in_one_line(tmp_path):
    # 99 long notes and 1, 2 or 3 short ones. Fails if 2 of 101 are too many, or 3 of
    # 102 are not; if a packed roll's losses are not counted; if there are two warnings.
    for short in (1, 2, 3):
        write(tmp_path, LONG * 50 + SHORT * short, LONG * 49)
        for packed in (False, True):
            lines = lines_of(tmp_path, packed=packed)
            assert len(lines) == (short == 3)
    assert lines[0] == (
        f"{tmp_path}: 2.9% of the notes are in no roll: 3 between steps (quantize=True "
        "or dt=0.0125 keeps them)"
    )
    assert "\n" not in lines[0]
    assert lines_of(tmp_path, quantize=True) == lines_of(tmp_path, dt=0.0125) == []


def test_joblib_s_workers_count_the_losses(tmp_path):
    joblib = pytest.importorskip("joblib")
    write(tmp_path, SHORT + LONG, LONG)
    usual = lines_of(tmp_path)
    with joblib.parallel_config(backend="threading"):
        assert lines_of(tmp_path, n_jobs=2) == usual
    assert len(usual) == 1


def test_the_dt_advised_is_the_largest_that_keeps_98_percent(tmp_path):
    # Half of the notes have 50 ticks, a quarter of a step and a little: dt / 4 is 48.
    write(tmp_path, "0a 903c40 32 803c40" * 10 + LONG * 10)
    (line,) = lines_of(tmp_path)
    assert "quantize=True or dt=0.05 keeps them" in line
    assert lines_of(tmp_path, dt=0.05) == []


def test_in_beats_the_dt_advised_is_a_fraction(tmp_path):
    # Of 480 ticks a beat, 70 to 130, a little over a sixteenth: dt / 8 is 60.
    write(tmp_path, "46 903c40 3c 803c40")
    (line,) = lines_of(tmp_path, unit="beats", dt=1)
    assert "quantize=True or dt=1/8 keeps them" in line
    assert lines_of(tmp_path, unit="beats", dt=Fraction(1, 8)) == []


def test_notes_shorter_than_any_dt_advised_are_kept_by_quantize_alone(tmp_path):
    write(tmp_path, "01 903c40 01 803c40" * 9)
    (line,) = lines_of(tmp_path)
    assert "9 between steps (quantize=True keeps them)" in line


def test_notes_never_ended_and_percussion_are_in_the_line(tmp_path):
    write(tmp_path, DRUM + LONG + "00 903c40 8140 ff0100")
    (line,) = lines_of(tmp_path)
    assert line.endswith(
        "50.0% of the notes are in no roll: 1 never ended (unended='hold' keeps them); "
        "beside them, 1 percussion (drums=True keeps them)"
    )
    assert lines_of(tmp_path, unended="hold") == []


def test_drums_and_other_pitches_never_ended_are_left_out_for_what_they_are(tmp_path):
    # Fails if drums without note-offs are called never ended: unended='hold' does not
    # bring them.
    drums = "00 992440" * 10 + "00 900240 00 907f40"
    write(tmp_path, drums + LONG)
    assert lines_of(tmp_path) == lines_of(tmp_path, unended="hold") == []
    counts = {"percussion": 10, "below r": 1, "above r": 1, "never ended": 0}
    for unended in ("drop", "hold"):
        result = read(smf(drums + LONG), unended=unended)
        assert counts.items() <= result.left_out.items()
    (line,) = lines_of(tmp_path, drums=True)
    assert "90.9% of the notes are in no roll: 10 never ended (unended='hold'" in line
    assert len(read(smf(drums + LONG), drums=True, unended="hold").notes) == 11


def test_percussion_and_pitches_outside_r_alone_are_no_loss(tmp_path):
    write(tmp_path, DRUM * 9 + LONG + "00 900240 60 800240")
    assert lines_of(tmp_path) == []


def test_the_line_names_the_caller_s_and_comes_after_the_files_skipped(tmp_path):
    write(tmp_path, SHORT + LONG)
    (tmp_path / "broken.mid").write_bytes(b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_folder(tmp_path)
    assert ["in no roll" in str(each.message) for each in caught] == [False, True]
    assert {each.filename for each in caught} == {__file__}


# RIFF, .rmi, .kar


def test_a_midi_file_in_riff_is_read():
    # Fails if the padding of a chunk of odd length is not passed over.
    for before in ([], [(b"DISP", b"odd"), (b"LIST", b"INFO")]):
        result = read(riff(ONE_NOTE, *before) + b"junk")
        assert result.notes.tolist() == [(60, 0.0, 0.5)]


RIFF = {
    "a sound": (riff(b"", form=b"WAVE"), r"not MIDI: RIFF of the form b'WAVE'; .*RMID"),
    "cut off": (riff(ONE_NOTE)[:-2], "cut off: its MIDI file should end at byte"),
    "no data": (riff(b"")[:12], "cut off: RIFF without a chunk b'data'"),
    "of no MIDI": (riff(b"tale"), "not MIDI: it begins with b'tale'"),
    "of nothing": (riff(b""), "the file is empty"),
    "of RIFF": (riff(riff(ONE_NOTE)), "not MIDI: it begins with b'RIFF'"),
    "cut off in it": (riff(ONE_NOTE[:-1]), "cut off: the chunk at byte 14"),
}


@pytest.mark.parametrize("case", RIFF)
def test_other_riff_files_are_refused_by_reason(case):
    data, reason = RIFF[case]
    with pytest.raises(MidiError, match=reason):
        read(data)


def test_a_folder_s_files_named_rmi_and_kar_are_read(tmp_path):
    (tmp_path / "a.rmi").write_bytes(riff(ONE_NOTE))
    (tmp_path / "b.KAR").write_bytes(ONE_NOTE)
    (tmp_path / "c.wav").write_bytes(riff(b"", form=b"WAVE"))
    tunes = read_folder(tmp_path, packed=True, restruck=True, unit="beats", dt=1)
    assert [tune.name[-5:] for tune in tunes] == ["a.rmi", "b.KAR"]
    assert all(isinstance(tune, PackedRoll) for tune in tunes)
    assert {tune.shape for tune in tunes} == {(1, 176)}
    assert {tune.format.unit for tune in tunes} == {"beats"}


# The step suggested

EIGHTH, SIXTEENTH, THIRD = "8170", "78", "8120"  # 240, 120 and 160 ticks of 480


def tune(*durations):
    return smf("".join(f"00 903c40 {each} 803c40" for each in durations))


def suggested(data, unit="beats", **options):
    return suggest_dt(io.BytesIO(data), unit, **options)


@pytest.mark.parametrize(
    ("durations", "beats", "seconds"),
    [
        ([EIGHTH] * 8, Fraction(1, 2), 0.25),
        ([EIGHTH, SIXTEENTH, SIXTEENTH] * 8, Fraction(1, 4), 0.125),
        ([THIRD] * 9, Fraction(1, 3), 0.15),  # of 1/6 s, which no step in seconds fits
        ([EIGHTH] * 4 + [THIRD] * 6, Fraction(1, 6), 0.15),
        ([EIGHTH] * 3 + [SIXTEENTH] + [EIGHTH] * 9, Fraction(1, 4), 0.125),
    ],
)
def test_the_step_of_a_rhythm_is_suggested(durations, beats, seconds):
    # Fails if a step is taken that keeps onsets apart at the wrong rows: 1/2 for the
    # last but one keeps 9 of 10.
    found = suggested(tune(*durations))
    assert (found.dt, found.share) == (beats, 1.0)
    assert suggested(tune(*durations), "seconds").dt == seconds


def test_a_dotted_rhythm_needs_its_eighths():
    # Onsets at 0, 1.5, 3, ... beats are apart at 1 beat, too, but every other is off.
    dotted = "8550"  # 720 ticks
    found = suggested(tune(*[dotted] * 8))
    assert found.dt == Fraction(1, 2)
    assert "at 1 beat 100.0% and 50.0%" in found.why


def test_one_onset_in_a_hundred_may_fall_together():
    # 199 quarters and one pair of sixteenths; then three pairs.
    quarter = "8360"
    one = [quarter] * 99 + [SIXTEENTH, SIXTEENTH, EIGHTH] + [quarter] * 99
    assert suggested(tune(*one)).dt == 1
    three = ([SIXTEENTH, SIXTEENTH, EIGHTH] + [quarter] * 20) * 3
    found = suggested(tune(*three))
    assert found.dt == Fraction(1, 4)
    assert found.why.startswith("Of 69 onsets 100.0% stand apart at 1/4 beat, and 100")


def test_a_chord_not_quite_together_is_one_onset():
    # C4 and E4, E4 14 ticks after C4, 0.015 s; each chord lasts an eighth.
    chord = "00 903c40 0e 904040 8162 803c40 00 804040"
    assert suggested(smf(chord * 9)).dt == Fraction(1, 2)
    assert suggested(smf(chord * 9), "seconds").dt == 0.25
    # 29 ticks, 0.03 s and a little, are two onsets.
    apart = "00 903c40 1d 904040 8153 803c40 00 804040"
    assert suggested(smf(apart * 9)).dt < Fraction(1, 8)


def test_the_chord_s_time_follows_the_tempo():
    # At 12 beats a minute 14 ticks last 0.15 s. Fails if the default tempo is taken.
    chord = "00 903c40 0e 904040 8162 803c40 00 804040"
    assert suggested(smf("00 ff5103 4c4b40" + chord * 9)).dt < Fraction(1, 8)


def test_music_on_no_grid_keeps_its_onsets_apart():
    rng = np.random.default_rng(0)
    found = suggested(tune(*(f"{int(n):02x}" for n in rng.integers(60, 127, 200))))
    assert "no step fits the rhythm" in found.why
    assert found.dt == Fraction(1, 8)  # at 60 ticks no two are nearer than one row
    assert found.share >= 0.99


def test_where_no_step_keeps_onsets_apart_the_shortest_is_suggested():
    # Onsets every 2 ticks at 3.6 beats a minute, 0.07 s; 1/48 beat, 10 ticks, has 5.
    found = suggested(smf("00 ff5103 ffffff" + "00 903c40 02 803c40" * 300))
    assert (found.dt, found.share) == (Fraction(1, 48), pytest.approx(0.2, abs=0.01))
    assert "1/48 beat, the shortest tried" in found.why


def test_the_suggestion_says_what_to_read_with():
    # Sixteenths played up to 20 ticks off: half come late. Fails if it says nothing, or
    # says so of notes on the grid, and of those early, which go to the same row.
    rng = np.random.default_rng(5)
    onset = 120 * np.arange(1, 401) + rng.integers(-20, 21, 400)
    exact, early = 120 * np.arange(1, 401), 120 * np.arange(1, 401) - 20
    for ticks, options in ((onset, {"quantize": True}), (exact, {}), (early, {})):
        waits = np.diff(ticks, prepend=0).tolist()
        track = "".join(
            f"{encode_vlq(wait - 40 * (n > 0)).hex()} 903c40 28 803c40"
            for n, wait in enumerate(waits)
        )
        found = suggested(smf(track))
        assert (found.dt, found.share) == (Fraction(1, 4), 1.0)
        start = "Read with dt=Fraction(1, 4), unit='beats'"
        assert found.why.endswith(f" {start}.") != ("quantize" in options)
        assert (f" {start}, quantize=True: " in found.why) == ("quantize" in options)
        lost = read(smf(track), unit="beats", dt=found.dt, **options).left_out
        assert lost["between steps"] == 0
    assert suggested(tune(*[EIGHTH] * 8), "seconds").why.endswith(" Read with dt=0.25.")


def test_a_folder_s_files_are_taken_together_and_skipped_ones_counted(tmp_path):
    (tmp_path / "a.mid").write_bytes(tune(*[EIGHTH] * 90))
    (tmp_path / "b.mid").write_bytes(tune(*[SIXTEENTH] * 10))
    (tmp_path / "c.mid").write_bytes(b"")
    found = suggest_dt(tmp_path, "beats")
    assert found.dt == Fraction(1, 4)
    assert "; 1 file cannot be read. Read with dt=Fraction(1, 4), " in found.why
    midiwrite(tmp_path / "drums.mid", np.eye(2), (60, 62))
    assert "of 102 onsets" in suggest_dt(str(tmp_path), "beats").why.lower()


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(MidiError, match="no MIDI file below it can be read"):
        suggest_dt(tmp_path)
    with pytest.raises(FileNotFoundError):
        suggest_dt(tmp_path / "missing.mid")
    with pytest.raises(ValueError, match="unit is 'bars'"):
        suggest_dt(tmp_path, "bars")
    with pytest.raises(
        ValueError, match="path is 3; allowed: a folder's path, or a re"
    ):
        suggest_dt(3)
    with pytest.raises(MidiError, match="SMPTE time has no beats"):
        suggested(smf(LONG, division="e728"))
    with pytest.raises(MidiError, match="drums=True"):
        suggested(smf(DRUM))
    assert suggested(smf(DRUM), drums=True).dt == 1
