"""Look at the contents of lstmmusic.plots' figures, and at matplotlib's state."""

import io
import sys
from fractions import Fraction

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from lstmmusic import music_statistics, plots
from lstmmusic.statistics import NAMES, SHARES
from midi import RollArray, RollFormat, midiread, midiwrite

R, DT = (40, 71), 0.25


@pytest.fixture
def roll():
    """Return a roll of 13 steps; pitches 48 (C3) to 60 (C4) sound."""
    roll = np.zeros((13, R[1] - R[0]))
    roll[np.arange(13), np.arange(13) + 48 - R[0]] = 1
    return roll


def pitch_names(ax):
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    return dict(zip(labels, ax.get_yticks(), strict=True))


def test_roll_has_seconds_note_names_and_no_empty_rows(roll):
    """Fails if the picture is upside down, shifted by a step, or not cropped."""
    ax = plots.plot_roll(roll, R, DT, start=4)
    (image,) = ax.images
    assert np.array_equal(image.get_array(), roll.T)
    assert image.origin == "lower"
    assert image.get_cmap().name == "gray_r"
    assert image.get_extent() == [1.0, 4.25, 39.5, 70.5]
    assert ax.get_xlim() == (1.0, 4.25)
    assert ax.get_ylim() == (45.5, 62.5)
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_ylabel() == "note"
    names = pitch_names(ax)
    assert names["C3"] == 48
    assert names["C4"] == 60


def test_crop_stays_within_the_range(roll):
    roll[0, 0] = roll[0, -1] = 1
    assert plots.plot_roll(roll, R, DT).get_ylim() == (39.5, 70.5)


def test_silent_roll_shows_the_whole_range(roll):
    assert plots.plot_roll(0 * roll, R, DT).get_ylim() == (39.5, 70.5)


@pytest.mark.parametrize(("low", "high"), [(60, 61), (61, 62), (0, 128), (21, 109)])
def test_every_range_has_names_that_do_not_crowd(low, high):
    ax = plots.plot_roll(np.ones((3, high - low)), (low, high), DT)
    assert 1 <= len(ax.get_yticks()) <= 16


def test_probabilities_have_their_colours_and_a_bar(roll):
    ax = plots.plot_probabilities(roll / 3, R, DT)
    (image,) = ax.images
    assert image.get_cmap().name == "magma_r"
    assert image.get_clim() == (0, 1)
    assert ax.figure.axes[1].get_xlabel() == "probability"
    original = plots.plot_probabilities(roll / 3, R, DT, cmap="gist_stern_r")
    assert original.images[0].get_cmap().name == "gist_stern_r"


def test_probabilities_get_darker_from_0_to_1(roll):
    """Fails for a colour map whose order cannot be read, as gist_stern_r's cannot."""
    cmap = plots.plot_probabilities(roll, R, DT).images[0].get_cmap()
    luma = cmap(np.linspace(0, 1, 50))[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(luma) < 0).all()
    assert luma[0] > 0.9
    assert luma[-1] < 0.1


def test_probabilities_lie_under_the_tune(roll):
    """Fails if the same second, or pitch, is at another place of the two pictures."""
    pitches = plots.sounding_pitches([roll, np.roll(roll, 5, axis=1)], R)
    assert pitches == (46, 67)
    above, below = plots.plot_tune(roll, roll, R, DT, primer=5, pitches=pitches)
    ax = plots.plot_probabilities(roll / 3, R, DT, start=5, pitches=pitches)
    ax.set_xlim(below.get_xlim())
    for axes in (above, below, ax):
        axes.figure.draw_without_rendering()
        assert axes.get_ylim() == (45.5, 67.5)
    for end in (0, 1):
        positions = [axes.get_position().get_points()[end, 0] for axes in (below, ax)]
        assert positions[0] == pytest.approx(positions[1], abs=0.002)


def test_a_row_of_no_probabilities_does_not_widen_the_picture(roll):
    # genMusic returns such a row for the first step of a primer that is kept.
    wanted = plots.plot_roll(roll, R, DT).get_ylim()
    roll = np.concatenate([np.full_like(roll[:1], np.nan, dtype=float), roll])
    assert plots.plot_probabilities(roll, R, DT).get_ylim() == wanted != (39.5, 70.5)


def test_tune_shows_the_primer_before_the_generated_steps(roll):
    generated = np.roll(roll, 1, axis=1)
    above, below = plots.plot_tune(roll, generated, R, DT, primer=5)
    assert np.array_equal(above.images[0].get_array(), roll.T)
    expected = np.concatenate([roll[:5], generated]).T
    assert np.array_equal(below.images[0].get_array(), expected)
    assert above.get_xlim() == below.get_xlim() == (0, 18 * DT)
    assert above.get_ylim() == below.get_ylim() == (45.5, 63.5)
    for ax in (above, below):
        ends = [line for line in ax.lines if line.get_label() == "end of the primer"]
        assert [line.get_xdata()[0] for line in ends] == [5 * DT]


def test_cost_shows_each_update_and_the_running_median():
    """Fails if costs are not per step, or if the median sits beside its window."""
    cost = np.arange(40, 0, -1.0)
    ax = plots.plot_cost(cost, steps=2, window=5)
    each, median = ax.lines
    assert np.array_equal(each.get_xdata(), np.arange(1, 41))
    assert np.array_equal(each.get_ydata(), cost / 2)
    assert np.array_equal(median.get_xdata(), np.arange(3, 39))
    assert np.array_equal(median.get_ydata(), cost[2:-2] / 2)
    assert ax.get_ylabel() == "cost per step"


@pytest.mark.parametrize("unit", ["nats per step", "halved squares per step"])
def test_cost_has_its_unit(unit):
    """Fails if nats are drawn on the scale of another cost."""
    ax = plots.plot_cost([4.0, 3.0], unit=unit, validation=[(1, 2.0)])
    assert ax.get_ylabel() == f"cost, {unit}"
    assert np.array_equal(ax.lines[0].get_ydata(), [4, 3])
    assert len(ax.figure.axes) == (1 if unit == "nats per step" else 2)


def test_unknown_costs_are_left_out(tmp_path):
    """Fails on a warning, or if a known cost is not drawn in its place."""
    cost = np.r_[[np.nan] * 30, np.arange(40, 0, -1.0)]
    ax = plots.plot_cost(cost, unit="nats per step", window=5)
    each, median = ax.lines
    assert np.array_equal(each.get_ydata(), cost, equal_nan=True)
    assert np.array_equal(median.get_ydata()[30:], cost[32:-2])
    assert np.isnan(median.get_ydata()[:30]).all()
    ax.figure.savefig(tmp_path / "cost.png")
    plots.plot_cost([np.nan] * 40).figure.savefig(tmp_path / "cost.png")


def test_short_history():
    """Fails if a single cost, which makes no line, is invisible."""
    ax = plots.plot_cost([3.0])
    assert len(ax.lines) == 1
    assert ax.lines[0].get_marker() == "o"
    assert ax.get_ylabel() == "cost"
    low, high = ax.get_xlim()
    assert low <= 1 < high


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_validation_per_step_is_on_the_same_scale():
    """Fails if update 0, before training, is cut off, or if steps divide it, too."""
    validation = [(0, 9.0), (20, 4.0), (50, 3.5)]
    ax = plots.plot_cost(np.arange(80, 40, -1.0), steps=8, validation=validation)
    assert len(ax.figure.axes) == 1
    line = ax.lines[-1]
    assert np.array_equal(line.get_xydata(), validation)
    assert ax.get_xlim() == (0, 50)
    assert legend(ax) == ["each update", "median of 25", "validation"]


def test_validation_has_its_own_scale_beside_another_cost():
    ax = plots.plot_cost([80.0, 70.0, 60.0], validation=[(1, 9.0), (3, 4.0)])
    left, right = ax.figure.axes
    assert left is ax
    assert left.get_ylabel() == "cost"
    assert right.get_ylabel() == "validation, nats per step"
    assert len(left.lines) == len(right.lines) == 1
    assert legend(ax) == ["each update", "validation"]


@pytest.mark.parametrize("validation", [None, [], np.empty((0, 2))])
def test_no_validation_is_no_line(validation):
    assert legend(plots.plot_cost([2.0, 1.0], validation=validation)) == ["each update"]


def test_validation_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"allowed are pairs \(update, nats per step"):
        plots.plot_cost([2.0, 1.0], validation=[3.0, 2.0])


def test_statistics_are_bars_under_pitch_class_names(roll):
    """Fails if a bar stands above another pitch class, or seconds are steps."""
    roll[5:9, 0] = 1  # pitch 40, E
    (bars,) = (ax := plots.plot_statistics(roll, R, DT)).containers
    assert [tick.get_text() for tick in ax.get_xticklabels()] == NAMES
    heights = np.array([2, 1, 1, 1, 5, 1, 1, 1, 1, 1, 1, 1]) / 17
    np.testing.assert_allclose([bar.get_height() for bar in bars], heights)
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    np.testing.assert_allclose(middles, ax.get_xticks(), atol=1e-12)
    assert legend(ax) == [
        "tune: 1.3 notes per step, 0% silent, 14 pitches, longest note E2, 1 s"
    ]


def test_statistics_of_several_stand_side_by_side(roll):
    compared = music_statistics(roll, [roll, 0 * roll], R)
    ax = plots.plot_statistics({"first": 0 * roll, "second": compared}, R, DT)
    names = [label.split(":")[0] for label in legend(ax)]
    assert names == ["first", "second", "data set"]
    assert legend(ax)[0] == "first: 0.0 notes per step, 100% silent, 0 pitches"
    ends = np.array(
        [
            [(b.get_x(), b.get_x() + b.get_width()) for b in bars]
            for bars in ax.containers
        ]
    )
    assert (ends[1:, :, 0] >= ends[:-1, :, 1] - 1e-12).all()
    assert ax.get_ylim()[0] == 0


def test_statistics_of_silence_have_a_scale(roll):
    """Fails if the axis of bars that are all 0 begins below 0."""
    assert plots.plot_statistics(0 * roll, R, DT).get_ylim() == (0, 1)


def test_the_data_set_has_the_name_that_it_is_given(roll):
    compared = music_statistics(roll, [roll, 0 * roll], R)
    tunes = {"data set": compared, "other": compared}
    ax = plots.plot_statistics(tunes, R, DT, dataset="training data")
    names = [label.split(":")[0] for label in legend(ax)]
    assert names == ["data set", "other", "training data"]
    below = ax.figure.axes[1]
    assert legend(below) == names
    texts = [text.get_text() for text in below.texts]
    assert "chords that occur in the training data" in texts


def test_shares_are_bars_under_their_names(roll, tmp_path):
    """Fails if a bar is another share's, or if NaN is drawn as a number."""
    chord = np.zeros_like(roll)
    chord[:8:2, [3, 4, 16, 20]] = 1  # four notes, two of them a semitone apart
    chord[1, 30] = 1
    compared = music_statistics(chord, [chord, roll], R)
    ax = plots.plot_shares({"a": compared, "b": chord}, R)
    names = list(SHARES)
    for bars, of in zip(
        ax.containers, (compared, music_statistics(chord, r=R), compared.dataset),
        strict=True,
    ):  # fmt: skip
        expected = [np.nan_to_num(getattr(of, name)) for name in names]
        assert [bar.get_width() for bar in bars] == expected
    assert legend(ax) == ["a", "b", "data set"]
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("–") == 3, "only b's chords and stretches have no data set"
    labels = [text for text in ax.texts if text.get_text() in SHARES.values()]
    for label in labels:
        place = names.index(
            next(name for name, text in SHARES.items() if text == label.get_text())
        )
        first = ax.containers[0][place]
        assert first.get_y() - 1 < label.get_position()[1] < first.get_y() + 0.01
    assert len(labels) == 6, "and three that name the data set"
    ax.figure.savefig(tmp_path / "shares.png")


def test_percentages_are_not_rounded_on_the_axis(roll):
    """Fails if a line at 2.5 % is labelled 2 %."""
    for top in (1, 2, 3, 5, 7, 11):
        tune = np.zeros((41, R[1] - R[0]))
        tune[np.arange(41), np.arange(41) % (top + 3)] = 1
        ax = plots.plot_statistics(tune, R, DT)
        for place, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
            said = float(label.get_text().rstrip("%")) / 100
            assert said == pytest.approx(place)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("caf\udce9.mid", "caf\N{REPLACEMENT CHARACTER}.mid"),
        ("$\\foo$ & <b>", "$\\foo$ & <b>"),
        ("a\nb\x1b[1m\u202e", "a�b�[1m�"),
        ("_hidden", "_hidden"),
    ],
)
def test_any_name_can_be_drawn(roll, tmp_path, name, drawn):
    """Fails if a file's name ends the drawing, or is not in the legend."""
    compared = music_statistics(roll, [roll], R)
    ax = plots.plot_statistics({name: compared}, R, DT, dataset=name)
    ax.figure.savefig(tmp_path / "picture.png")
    assert [label.split(": ")[0] for label in legend(ax)] == [drawn, drawn]
    assert legend(ax.figure.axes[1]) == [drawn, drawn]


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least 1 tune"):
        plots.plot_statistics({})
    with pytest.raises(ValueError, match="at least 1 tune"):
        plots.plot_shares({})


def test_a_midi_roll_is_drawn_as_its_roll(roll):
    file = io.BytesIO()
    midiwrite(file, roll, R, DT)
    file.seek(0)
    (image,) = plots.plot_roll(midiread(file, R, DT), R, DT).images
    assert np.array_equal(image.get_array(), roll.T)


@pytest.mark.parametrize(
    "draw",
    [
        lambda roll, ax: plots.plot_roll(roll, R, DT, ax),
        lambda roll, ax: plots.plot_probabilities(roll, R, DT, ax),
        lambda roll, ax: plots.plot_cost([3.0, 2.0], ax),
        lambda roll, ax: plots.plot_cost([3.0, 2.0], ax, validation=[(1, 2.0)]),
        lambda roll, ax: plots.plot_statistics(roll, R, DT, ax),
        lambda roll, ax: plots.plot_shares(roll, R, ax),
        lambda roll, ax: plots.plot_tune(roll, roll, R, DT, [ax, ax])[0],
    ],
)
def test_draws_into_the_axes_given_and_leaves_matplotlibs_state(roll, draw, tmp_path):
    settings = dict(mpl.rcParams)
    ax = Figure().add_subplot()
    assert draw(roll, ax) is ax
    ax.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == settings
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize("shape", [(0, 31), (5, 30), (5,)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"allowed for r = \(40, 71\) are \(steps, 31"):
        plots.plot_roll(np.zeros(shape), R, DT)


def test_empty_history_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        plots.plot_cost([])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda roll: plots.plot_roll(roll, 5), "r is 5; allowed are two pitches"),
        (lambda roll: plots.plot_roll(roll, R, 0), "dt is 0; allowed .* above 0"),
        (lambda roll: plots.plot_roll(roll, R, "x"), "dt is 'x'; allowed"),
        (lambda roll: plots.plot_roll("C4", R), "the roll is not an array of numbers"),
        (lambda roll: plots.plot_tune(roll, roll, R, -1), "dt is -1; allowed"),
        (lambda roll: plots.plot_tune(roll, roll, R, primer=-1), "primer is -1; .* 13"),
        (lambda roll: plots.plot_tune(roll, roll, R, primer=14), "primer is 14; .* 13"),
        (lambda roll: plots.plot_statistics(roll, R, 0), "dt is 0; allowed"),
        (lambda roll: plots.plot_cost("low"), "history is not an array of numbers"),
        (lambda roll: plots.plot_cost([1.0], steps=0), "steps is 0; allowed .* from 1"),
        (lambda roll: plots.plot_cost([1.0], window=0), "window is 0; .* from 1"),
    ],
)
def test_arguments_that_are_not_allowed_are_named(roll, draw, message):
    """Fails if it is drawn, or if the error is matplotlib's."""
    with pytest.raises(ValueError, match=message):
        draw(roll)


@pytest.mark.parametrize("pitches", [5, "ab", (60,), (62, 50), (50.5, 60), (0, 200)])
def test_pitches_that_cannot_be_shown_are_refused(pitches):
    with pytest.raises(ValueError, match=r"pitches is .*; allowed"):
        plots.plot_roll(np.ones((3, 88)), pitches=pitches)


EIGHTHS = RollFormat(R, 0.5, "beats", restruck=True)


@pytest.fixture
def struck(roll):
    """Return the roll in eighths; its second note is held, then struck again."""
    both = np.hstack([roll, np.zeros_like(roll)])
    both[2:5, 9] = 1
    both[4, 9 + R[1] - R[0]] = 1
    return RollArray.of(both, EIGHTHS)


def test_a_roll_in_beats_has_bars(struck):
    """Fails for steps or seconds on the axis, or if bar 1 is called 0."""
    ax = plots.plot_roll(struck, start=8)
    assert ax.images[0].get_extent() == [4, 10.5, 39.5, 70.5]
    assert ax.get_xlim() == (4, 10.5)
    assert ax.get_xlabel() == "bar (4 beats)"
    labels = {
        beat: label.get_text()
        for beat, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    }
    assert labels[4] == "2"
    assert labels[8] == "3"
    assert set(ax.get_xticks(minor=True)) >= {5, 6, 7, 9, 10}
    in_three = plots.plot_roll(struck, beats_per_bar=3)
    assert list(in_three.get_xticks())[1:4] == [0, 3, 6]
    # A dt of one's own is in the roll's unit, as in midiwrite, if none is given.
    finer = plots.plot_roll(struck, dt=0.25)
    assert (finer.get_xlim(), finer.get_xlabel()) == ((0, 13 / 4), "bar (4 beats)")
    in_seconds = plots.plot_roll(struck, dt=0.25, unit="seconds")
    assert in_seconds.get_xlabel() == "time (s)"
    with pytest.raises(ValueError, match="unit is 'seconds', and the roll's dt is 1/2"):
        plots.plot_roll(struck, unit="seconds")
    other = plots.plot_roll(struck, dt=Fraction(1, 4), unit="beats")
    assert other.get_xlim() == (0, 13 / 4)


@pytest.mark.parametrize("steps", [1, 13, 200, 100_000])
def test_bars_do_not_crowd(steps):
    ax = plots.plot_roll(np.ones((steps, 31)), R, 0.25, unit="beats")
    bars = [beat for beat in ax.get_xticks() if 0 <= beat <= steps / 4]
    assert 1 <= len(bars) <= 21
    assert len(ax.get_xticks(minor=True)) <= 82


def gaps(ax):
    """Return (time, lowest, highest end, opacity) of each line but those of the Cs."""
    found = [lines for lines in ax.collections if isinstance(lines, LineCollection)]
    return [
        (*segment[:, 0][:1], *segment[:, 1], colour[3])
        for lines in found
        for segment, colour in zip(lines.get_segments(), lines.get_color(), strict=True)
    ]


def test_notes_struck_again_have_a_gap(struck):
    """Fails if the marks are drawn as notes, or stand at another step or pitch."""
    ax = plots.plot_roll(struck)
    assert np.array_equal(ax.images[0].get_array(), np.asarray(struck)[:, :31].T)
    assert gaps(ax) == [(4 * 0.5, 48.5, 49.5, 1)]
    assert gaps(plots.plot_roll(struck, start=3)) == [(7 * 0.5, 48.5, 49.5, 1)]
    assert gaps(plots.plot_probabilities(struck / 4)) == [(2, 48.5, 49.5, 0.25)]
    assert gaps(plots.plot_roll(struck[:, :31], R)) == []
    above, below = plots.plot_tune(struck, struck[:, :31], primer=5)
    assert gaps(above) == gaps(below) == [(2, 48.5, 49.5, 1)]
    assert below.get_xlabel() == "bar (4 beats)"
    assert plots.sounding_pitches([struck]) == (46, 62)


def test_a_gap_leaves_most_of_a_narrow_step():
    roll = np.ones((2_000, 62))
    ax = plots.plot_roll(roll, R)
    (width,) = {lines.get_linewidth()[0] for lines in ax.collections}
    step = 72 * 9 / 2_000  # points, of 9 inches
    assert 0.1 * step < width < 0.5 * step


def test_a_roll_with_gaps_is_drawn_to_the_pixel(struck, tmp_path):
    """Fails if the gap is black, or if it cuts the note off."""
    ax = plots.plot_roll(struck, ax=Figure((8, 4), dpi=100).add_axes((0, 0, 1, 1)))
    ax.figure.savefig(tmp_path / "roll.png", dpi=100)
    grey = mpl.image.imread(tmp_path / "roll.png")[..., :3].mean(axis=2)
    low, high = ax.get_ylim()
    row = grey[round(400 * (high - 49.2) / (high - low))]  # off the line of C3
    # The note sounds from step 1 to the end of step 4, of 13 in 800 pixels.
    assert (row[65:243] < 0.1).all()
    assert (row[249:304] < 0.1).all()
    assert row[243:249].max() > 0.9


def test_statistics_in_beats_say_beats(struck):
    """Fails if a held note's beats are called seconds."""
    found = music_statistics(struck)
    assert legend(plots.plot_statistics(found))[0].endswith(
        "longest note C♯3, 1.5 beats"
    )
    text = legend(plots.plot_statistics(struck, dt=1.5, unit="beats"))[0]
    assert text.endswith("longest note C♯3, 4.5 beats")
    finer = plots.plot_statistics(found, R, 0.25)
    assert legend(finer)[0].endswith("C♯3, 0.75 beats")
    text = legend(plots.plot_statistics(found, R, 0.25, unit="seconds"))[0]
    assert text.endswith("C♯3, 0.75 s")


@pytest.mark.parametrize(
    "other",
    [RollFormat(R, 0.5, "seconds"), RollFormat(R, 0.25, "beats"), RollFormat((41, 72))],
)
def test_two_tunes_of_other_steps_or_pitches_share_no_axis(struck, other):
    """Fails if the second is drawn at the first one's step."""
    tune = RollArray.of(struck[:, :31], other)
    with pytest.raises(
        ValueError, match=r"the generated tune has .*, the original has"
    ):
        plots.plot_tune(struck, tune)
    plain = RollArray.of(struck[:, :31], RollFormat(R, 0.5, "beats", quantize=True))
    plots.plot_tune(struck, plain)  # which of them were quantized does not matter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "bars"}, "unit is 'bars'; allowed are 'seconds', 'beats'"),
        ({"beats_per_bar": 0}, "beats_per_bar is 0; allowed .* above 0"),
        ({"dt": Fraction(0)}, r"dt is Fraction\(0, 1\); allowed"),
    ],
)
def test_units_that_are_not_allowed_are_named(struck, arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_roll(struck, **arguments)
    with pytest.raises(ValueError, match=message):
        plots.plot_tune(struck, struck, **arguments)
