"""``examples/main.py --continue``, and a run in beats."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from journeys import R, load_module, parse
from pages import files_in, page_of, words

from midi import RollArray, RollFormat, midiread, midiwrite

pytestmark = pytest.mark.usefixtures("no_pictures", "no_sounds")
ALL = (0, 128)
BEATS = "--range 50 62 --unit beats --dt 0.5".split()
MAJOR = [0, 2, 4, 5, 7, 9, 11]


@pytest.fixture(scope="module")
def given():
    """The module behind --continue."""
    return load_module("given")


def write_scale(file, pitches, time_signature=None):
    """Write a note of each pitch, an eighth long, the last struck three times."""
    roll = np.zeros((len(pitches) + 2, 256), int)
    roll[np.arange(len(pitches)), pitches] = 1
    roll[-2:, pitches[-1]] = roll[-2:, 128 + pitches[-1]] = 1
    more = {"tempo": 90, "time_signature": time_signature}
    midiwrite(file, roll, ALL, 0.5, unit="beats", **more)
    return file


def write_short(file):
    """Write four notes, a third of a step each, between two steps of 0.5 beats."""
    roll = np.zeros((24, 12), int)
    roll[1::6, 4] = 1
    midiwrite(file, roll, R, Fraction(1, 6), unit="beats")
    return file


def in_c_major():
    """Return a tune in C major."""
    roll = np.zeros((14, 12), np.uint8)
    roll[np.arange(14), [(pitch - 2) % 12 for pitch in 2 * MAJOR]] = 1  # R begins at D
    return SimpleNamespace(piano_roll=roll)


@pytest.mark.parametrize("shift", [0, 2, -3, 4])
def test_the_primer_is_in_the_tunes_key_and_the_continuation_in_the_file_s(
    given, tmp_path, shift
):
    """Fails if a shift is not undone, or if strikes do not move with their notes."""
    options = parse(*BEATS, "--restruck")
    tunes = [in_c_major()]
    tunes[0].piano_roll[:, [2, 5, 7]] *= 2  # as often as no other transposition has
    tunes[0].piano_roll[:9, [2, 5, 7, 9]] = 1
    file = write_scale(tmp_path / "a.mid", [50 + p + shift for p in (2, 5, 7, 2, 9)])
    tune = given.read_continued(file, tunes, options)
    assert tune.semitones == -shift
    assert tune.lost == 0
    assert tune.piano_roll.format == options.format
    struck = tune.piano_roll[-1].nonzero()[0]
    assert struck.tolist() == [9, 12 + 9], "the last note is struck again"
    roll = given.continued_roll(tune, tune.piano_roll, options)
    assert roll.format == RollFormat(ALL, 0.5, "beats", restruck=True)
    steps = len(tune.whole.piano_roll)
    np.testing.assert_array_equal(roll[:steps], tune.whole.piano_roll)
    again = np.array(tune.whole.piano_roll)
    again[0, 128:] = again[0, :128] & again[-1, :128]  # a note goes on: struck again
    np.testing.assert_array_equal(roll[steps:], again)


def test_what_goes_on_at_the_seam_is_struck_again(given, tmp_path):
    """Fails if the original's last note is tied to the continuation."""
    options = parse(*BEATS, "--no-restruck")
    file = write_scale(tmp_path / "a.mid", [52, 55, 57])
    tune = given.read_continued(file, [in_c_major()], options)
    held = np.repeat(np.asarray(tune.piano_roll[-1:]), 3, axis=0)
    midiwrite(tmp_path / "b.mid", given.continued_roll(tune, held, options))
    notes = midiread(tmp_path / "b.mid", dt=0.5, unit="beats").notes
    original = midiread(file, dt=0.5, unit="beats").notes
    ends = notes[notes["offset_beats"] <= original["offset_beats"].max()]
    assert ends["offset_beats"].max() == original["offset_beats"].max()
    assert notes[-1].tolist() == (57, 2.5, 4.0)


def test_all_tunes_are_trained_on_if_a_file_is_continued(main):
    """Fails if one is set aside for a primer that is not needed."""
    tunes = [in_c_major() for _ in range(3)]
    options = SimpleNamespace(seed=1, keys=0, length=10, minibatch=2)
    for continued, melody, kept in (("a", None, 3), (None, "a", 3), (None, None, 2)):
        options.continued, options.melody = continued, melody
        assert len(main.split(tunes, options)[1]) == kept


def test_a_tune_in_another_key_is_found(given, tmp_path):
    """Fails if pitch classes play no part: a whole scale of D major goes to C major."""
    options = parse(*BEATS, "--no-restruck")
    file = write_scale(tmp_path / "a.mid", [50 + p for p in MAJOR])  # D major from D
    tune = given.read_continued(file, [in_c_major()], options)
    # C major reaches from D up to C; D major two semitones lower begins below it.
    assert tune.semitones in (-2, 5)
    assert tune.lost <= 1
    again = given.continued_roll(tune, tune.piano_roll, options)
    kept = again[len(tune.whole.piano_roll) :, :128].any(axis=0)
    assert not (kept & ~tune.whole.piano_roll.any(axis=0)).any(), "in its own key"


def test_main_continues_a_file(run, tmp_path):
    """Fails if the file is not played whole, or a step is lost at the seam."""
    file = write_scale(tmp_path / "my tune.mid", [52, 55, 57, 55, 52, 50])
    run(*BEATS, "--restruck", "--continue", file, "--tempo", 77)
    out = tmp_path / "out"
    options = {"unit": "beats", "restruck": True}
    original = midiread(file, ALL, 0.5, **options).piano_roll
    both = midiread(out / "continued.mid", ALL, 0.5, **options)
    generated = midiread(out / "generated.mid", R, 0.5, **options).piano_roll
    assert both.tempo == pytest.approx(77, abs=1e-3)
    np.testing.assert_array_equal(both.piano_roll[: len(original)], original)
    after = both.piano_roll[len(original) :, :128]
    assert len(after) == len(generated)
    shifts = [
        shift
        for shift in range(-6, 7)
        if np.array_equal(after[:, 50 - shift : 62 - shift], generated[:, :12])
    ]
    assert len(shifts) == 1
    assert "continued.mid" in files_in(out)
    text = " ".join(words(page_of(out)).split())
    assert "my tune.mid" in text
    assert "The network was given its last 7 steps, 3.5 beats, " in text
    assert "continued.mid plays the whole file" in text


def test_the_file_s_tempo_and_its_last_steps_are_taken(run, tmp_path):
    file = write_scale(tmp_path / "a.mid", [52, 55, 57, 55, 52, 50])
    run(*BEATS, "--continue", file, "--primer", 3, "--steps", 5)
    both = midiread(tmp_path / "out" / "continued.mid", ALL, 0.5, unit="beats")
    assert both.tempo == pytest.approx(90, abs=1e-3)
    assert "given its last 3 steps, 1.5 beats, " in words(page_of(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--continue {text}", "not MIDI"),
        ("--continue {missing}", "No such file"),
        ("--continue {high}", "have no note in --range 50 62"),
        ("--continue {high} --melody {high}", "allowed is one of them"),
        ("--continue {short}", "4 of its 4 notes lie between the steps of --dt, and"),
    ],
)
def test_a_file_that_cannot_be_continued_is_refused(
    error_of, tmp_path, arguments, message
):
    """Fails on a traceback, or if training starts before the file is read."""
    files = {
        name: tmp_path / f"{name}.mid" for name in ("text", "missing", "high", "short")
    }
    files["text"].write_text("Once upon a time")
    write_scale(files["high"], [120, 122, 125])
    write_short(files["short"])
    text = error_of(*arguments.format(**files).split())
    assert message in text
    assert "--continue is " in text
    assert not (tmp_path / "out").exists()


def test_a_notation_program_shows_the_right_values_and_bars(run, tmp_path):
    """Fails if half a beat is not an eighth, or the continued file's bars move."""
    from music21 import converter, tempo

    folder = tmp_path / "eighths"
    folder.mkdir()
    for n in range(3):
        scale = [50 + (n + i * i) % 12 for i in range(20)]
        write_scale(folder / f"{n}.mid", scale, (3, 4))
    run("--midi", folder, *BEATS, "--tempo", 90, "--continue", folder / "0.mid")

    def notes_of(file):
        """Return (bar, offset, pitch, length) of each note, read from MusicXML."""
        score = converter.parse(file, quantizePost=False)
        path = score.write("musicxml", tmp_path / f"{file.stem}.musicxml")
        score = converter.parse(path)
        (mark,) = score.flatten().getElementsByClass(tempo.MetronomeMark)
        assert mark.number == pytest.approx(90, abs=0.01)
        return [
            (bar.number, float(note.offset), pitch.midi, float(note.quarterLength))
            for bar in score.recurse().getElementsByClass("Measure")
            for note in bar.recurse().notes
            for pitch in note.pitches
        ]

    original = notes_of(folder / "0.mid")
    both = notes_of(tmp_path / "out" / "continued.mid")
    assert {bar for bar, *_ in original} == {1, 2, 3, 4}, "22 eighths, 6 to a bar"
    assert both[: len(original)] == original
    assert len(both) > len(original)
    for _, offset, _, length in both:
        assert 2 * offset == round(2 * offset) < 6
        assert 2 * length == round(2 * length) > 0


def test_a_file_s_lost_notes_are_said(given, tmp_path):
    options = parse(*BEATS, "--no-restruck")
    roll = np.zeros((12, 12), int)
    roll[1, 4] = roll[6:12, 5] = 1
    midiwrite(tmp_path / "a.mid", roll, R, Fraction(1, 6), unit="beats")
    with pytest.warns(UserWarning, match="1 of its 2 notes lie between the steps"):
        given.read_continued(tmp_path / "a.mid", [in_c_major()], options)


def test_a_tempo_in_seconds_is_refused(error_of):
    text = error_of("--unit", "seconds", "--tempo", 90)
    assert "--tempo is 90 and --unit is seconds; allowed is --tempo with" in text


def test_marks_of_silence_leave_no_strike(main):
    """Fails if the lowest note, always a mark, is gone but struck again."""
    options = parse(*BEATS, "--restruck", "--steps", 4, "--threshold", 0)
    high = RollArray.of(np.eye(6, 24, 3, dtype=np.uint8), options.format)
    tune = SimpleNamespace(piano_roll=high)

    class Model:
        genProbThreshold = 0

        def genMusic(self, primer, steps, **_):
            roll = np.zeros((steps, 24), np.uint8)
            roll[:, [0, 5]] = 1
            roll[1:, 12] = 1
            return roll, roll / 2

    made = main.generate(Model(), tune, [tune], options)["1"]
    assert made.roll.nonzero()[1].tolist() == [5] * 4
    assert not made.probabilities[:, [0, 12]].any()


def test_the_restruck_half_begins_at_its_frequency():
    """Fails if strikes are counted where they cannot be, or notes are not."""
    tune = np.zeros((4, 6))
    tune[:, 0] = 1  # held, struck again once of three times
    tune[2, 3] = 1
    tune[1:3, 1] = 1  # struck again at its only chance
    tune[2, 4] = 1
    found = load_module("recipes").frequencies([tune], restruck=True)
    np.testing.assert_allclose(found, [1, 0.5, 0, 1 / 3, 1, 0])


def test_load_takes_the_format_from_the_file(run, tmp_path, midi_folder):
    """Fails if an option of the format must be given again, or is not the file's."""
    run(*BEATS, "--no-restruck")
    first = tmp_path / "out" / "parameters.npz"
    more = ["--load", first, "--out", tmp_path / "second", "--epochs", 0]
    load_module("journey").main(
        [*map(str, ["--midi", midi_folder, *more, "--steps", 9, "--threshold", 0])]
    )
    page = words(page_of(tmp_path / "second"))
    assert "steps of 1/2 beat" in page
    generated = midiread(tmp_path / "second" / "generated.mid", R, 0.5, unit="beats")
    assert len(generated.piano_roll) <= 9


def test_rolls_keep_their_format_through_the_pieces(main):
    """Fails if a cut, a mark or another key loses what the columns stand for."""
    format = RollFormat((50, 64), 0.5, "beats", restruck=True)
    rolls = [RollArray.of(np.eye(30, 28, dtype=np.uint8), format) for _ in range(3)]
    rolls = [np.where(np.arange(28) < 14, roll, 0).astype(np.uint8) for roll in rolls]
    tunes = [SimpleNamespace(piano_roll=RollArray.of(roll, format)) for roll in rolls]
    for tune in tunes:
        tune.format = format
    options = SimpleNamespace(
        seed=1, keys=1, length=10, minibatch=2, continued=None, melody=None
    )
    _, _, pieces = main.split(tunes, options)
    assert {piece.format for piece in pieces} == {format}
