"""The pictures of states and of influence."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from lstmmusic import RNN4Music, plots
from midi import RollArray, RollFormat

R, DT, T, N = (48, 72), 0.25, 20, 24


class Part(SimpleNamespace):
    """Stand for `LayerStates` or `Influence`: anything with their fields will do."""


@pytest.fixture
def tune():
    roll = np.zeros((T, N))
    roll[np.arange(T), 4 + np.arange(T) % 12] = roll[:, 16] = 1
    return roll


@pytest.fixture
def states():
    rng = np.random.default_rng(3)
    layers = []
    for H in (7, 5, 3):
        gates = {name: rng.random((T, H)) for name in "ifo"}
        g, h = rng.uniform(-1, 1, (2, T, H))
        layers.append(Part(**gates, g=g, h=h, c=rng.normal(0, 9, (T, H))))
    return SimpleNamespace(layers=tuple(layers))


def test_states_stand_below_the_roll_on_its_time_axis(states, tune):
    # Fails if pictures have other orders of cells, or if a gate is another's.
    axes = plots.plot_states(states, tune, R, DT, layer=2, start=4)
    labels = [ax.get_ylabel() for ax in axes]
    names = ["memory, tanh(c)", "input gate i", "forget gate f", "output gate o"]
    assert labels == ["note", *names]
    assert {ax.get_xlim() for ax in axes} == {(1.0, 6.0)}
    assert [ax.get_xlabel() for ax in axes] == [""] * 4 + ["time (s)"]
    layer = states.layers[1]
    order = plots.order_cells(np.tanh(layer.c))
    shown = [np.tanh(layer.c), layer.i, layer.f, layer.o]
    for ax, values in zip(axes[1:], shown, strict=True):
        (image,) = ax.images
        assert np.array_equal(image.get_array(), values[:, order].T)
        assert image.get_clim() == ((-1, 1) if values is shown[0] else (0, 1))
        assert image.get_extent() == [1.0, 6.0, 0, 5]
    axes[0].figure.savefig(io.BytesIO(), format="png")
    widths = [ax.get_window_extent().width for ax in axes]
    assert max(widths) - min(widths) < 1, "the colour bars make axes narrower"


def test_states_take_the_axes_and_parts_they_are_given(states, tune):
    figure = plots.plot_roll(tune, R).figure
    given = figure.subplots(3)
    axes = plots.plot_states(states, tune, R, DT, given, layer=3, parts="gh")
    assert all(a is b for a, b in zip(axes, given, strict=True))
    assert axes[2].get_ylabel() == "output h"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 4}, "layer is 4; allowed are whole numbers from 1 to 3"),
        ({"layer": 0}, "layer is 0; allowed"),
        ({"parts": ("c", "x")}, "parts is 'x'; allowed are 'c', 'i'"),
        ({"dt": 0}, "dt is 0; allowed"),
        ({"roll": np.zeros((T - 1, N))}, "the roll has 19 steps; allowed are those of"),
        ({"roll": np.zeros((T, N + 1))}, "the roll has shape"),
    ],
)
def test_bad_states_are_refused(states, tune, change, message):
    given = {"states": states, "roll": tune, "r": R, "dt": DT} | change
    with pytest.raises(ValueError, match=message):
        plots.plot_states(**given)


def test_cells_that_go_alike_stand_together():
    # Three courses, each of four cells in turn. Fails if their order is by number.
    rng = np.random.default_rng(7)
    courses = rng.normal(0, 1, (30, 3))
    cells = courses[:, np.arange(12) % 3] + rng.normal(0, 0.05, (30, 12))
    order = plots.order_cells(cells)
    assert sorted(order) == list(range(12))
    kinds = order % 3
    assert (np.diff(kinds) != 0).sum() == 2
    assert plots.order_cells(np.ones((4, 1))).tolist() == [0]
    assert sorted(plots.order_cells(np.ones((4, 5)))) == list(range(5))
    for bad in (np.ones(3), np.ones((0, 3)), [[np.nan]]):
        with pytest.raises(ValueError, match="allowed are finite numbers of shape"):
            plots.order_cells(bad)


@pytest.fixture
def influence():
    past = np.random.default_rng(4).normal(0, 1, (9, N))
    past[8, 16], past[0, 0] = 5.0, 99.0  # the second where nothing sounds
    return Part(past=past, chord=np.full(N, -0.5), log_odds=np.float32(2.0))


@pytest.mark.parametrize(("steps", "first"), [(None, 0), (6, 3), (50, 0)])
def test_influence_colours_the_notes_before_one(influence, tune, steps, first):
    # Fails if a row is shifted, if silent cells are coloured, or if the middle of the
    # colours is not at zero.
    ax = plots.plot_influence(influence, tune, 9, 9, R, DT, steps=steps)
    roll, coloured = ax.images
    assert np.array_equal(roll.get_array(), tune[first:10].T)
    values = np.concatenate([influence.past, influence.chord[None]])[first:]
    shown = coloured.get_array()
    assert np.array_equal(shown.mask, tune[first:10].T == 0)
    assert np.array_equal(shown.data, values.T)
    assert coloured.get_clim() == (-5.0, 5.0)
    assert coloured.norm(0.0) == pytest.approx(0.5)
    assert coloured.get_extent() == roll.get_extent() == [first * DT, 2.5, 47.5, 71.5]
    (frame,) = ax.patches
    assert frame.get_xy() == (9 * DT, 48 + 9 - 0.5)
    assert (frame.get_width(), frame.get_height()) == (DT, 1)
    assert ax.get_title(loc="left") == "A3 at 2.25 s: probability 0.88"
    ax.figure.savefig(io.BytesIO(), format="png")


def test_the_note_after_the_end_is_drawn_too(tune):
    influence = Part(past=np.ones((T, N)), chord=np.zeros(N), log_odds=0.0)
    ax = plots.plot_influence(influence, tune, T, 3, R, DT)
    assert ax.get_xlim()[1] == (T + 1) * DT
    silent = plots.plot_influence(influence, 0 * tune, T, 3, R, DT)
    assert silent.images[1].get_array().mask.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 8}, r"influence.past has shape \(9, 24\); allowed with step 8 and"),
        ({"step": T + 1}, "step is 21; allowed are whole numbers from 1 to 20"),
        ({"note": N}, "note is 24; allowed are whole numbers from 0 to 23"),
        ({"steps": 0}, "steps is 0; allowed are None and"),
        ({"tune": np.zeros((T, N + 1))}, "allowed with step 9 and this tune is"),
        ({"r": (48, 71)}, "the roll has shape"),
        ({"dt": -1}, "dt is -1; allowed"),
    ],
)
def test_bad_influence_is_refused(influence, tune, change, message):
    given = {"influence": influence, "tune": tune, "step": 9, "note": 9} | {"r": R}
    with pytest.raises(ValueError, match=message):
        plots.plot_influence(**(given | change))


def test_restruck_columns_and_beats_are_understood():
    """Fails if the half of what is struck again is drawn as notes, or beats as s."""
    format = RollFormat((60, 66), 0.5, "beats", restruck=True)
    sounding = np.zeros((9, 6), np.uint8)
    sounding[:, 2] = sounding[4:, 4] = 1
    struck = np.zeros_like(sounding)
    struck[6, 2] = 1
    tune = RollArray.of(np.hstack([sounding, struck]), format)
    model = RNN4Music(4, 3, 2, 12, output="joint", jointUnits=2, restruck=True, seed=1)
    found = model.influence(tune, 6, 8)
    ax = plots.plot_influence(found, tune, 6, 8)
    assert ax.get_title(loc="left").startswith("D4 struck again at 3 beats: ")
    assert ax.get_xlabel() == "bar (4 beats)"
    drawn = ax.images[-1].get_array().T
    assert drawn.shape == (7, 6)
    assert (drawn.mask == (np.vstack([sounding[:6], 0 * sounding[:1]]) == 0))[:6].all()
    np.testing.assert_array_equal(drawn[:6][~drawn.mask[:6]], found.past[:, :6][
        sounding[:6] == 1
    ])  # fmt: skip
    axes = plots.plot_states(model.states(tune), tune, parts="c")
    assert [ax.get_xlabel() for ax in axes] == ["", "bar (4 beats)"]
    assert axes[0].get_xlim() == (0, 4.5)
