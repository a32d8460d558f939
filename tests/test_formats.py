"""Test what a roll's rows and columns stand for, and how arrays carry it."""

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest

from midi import PackedRoll, RollArray, RollFormat, roll_format

EIGHTHS = RollFormat((60, 63), Fraction(1, 2), "beats", quantize=True, restruck=True)


def roll(steps=5, format=EIGHTHS):
    bits = np.random.default_rng(1).integers(0, 2, (steps, format.width), np.uint8)
    return RollArray.of(bits, format)


def test_beats_are_fractions_and_seconds_floats():
    assert RollFormat(dt=0.1, unit="beats").dt == Fraction(1, 10)
    assert RollFormat(dt=1 / 3, unit="beats").dt == Fraction(1, 3)
    assert RollFormat(dt=Fraction(2, 32767), unit="beats").dt == Fraction(2, 32767)
    assert type(RollFormat(dt=1).dt) is float


@pytest.mark.parametrize("dt", [0, -1, 0.0001, float("nan"), Fraction(1, 32768), "1"])
def test_other_beats_are_refused(dt):
    with pytest.raises(ValueError, match="dt is "):
        RollFormat(dt=dt, unit="beats")


@pytest.mark.parametrize("unit", ["bars", None, ["beats"]])
def test_other_units_are_refused(unit):
    with pytest.raises(ValueError, match="allowed: 'seconds' and 'beats'"):
        RollFormat(unit=unit)


def test_rows_keep_the_format_and_other_columns_have_none():
    a = roll()
    assert a[1:3].format is EIGHTHS
    assert a.copy().format is EIGHTHS
    assert (a[:, 1:].format, a[0].format, a.any(axis=1).format) == (None, None, None)
    assert roll_format(np.asarray(a)) is None


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (7,), ()])
def test_an_array_of_another_width_is_refused(shape):
    array = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match=r"roll has shape \(.*struck again m.*6 colum"):
        RollArray.of(array, EIGHTHS)
    assert RollArray.of(array, None).format is None
    assert RollArray.of(np.zeros(6), EIGHTHS).format is EIGHTHS


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_copies_and_pickles_keep_the_format(copied):
    for each in (roll(), PackedRoll.of(roll())):
        again = copied(each)
        assert again.format == EIGHTHS
        np.testing.assert_array_equal(
            getattr(again, "piano_roll", again), getattr(each, "piano_roll", each)
        )


def test_packed_rolls_carry_the_format():
    packed = PackedRoll.of(roll())
    for each in (
        packed,
        packed.piano_roll,
        packed.rows(1, 3),
        packed.with_roll(roll(2)),
    ):
        assert each.format == EIGHTHS
    assert (packed.r, packed.dt) == ((60, 63), Fraction(1, 2))
    assert PackedRoll.of(np.eye(2, 3), (60, 63), 0.5).format == RollFormat(
        (60, 63), 0.5
    )
    assert PackedRoll.of(np.eye(2, 3), (60, 63)).format is None


def test_a_packed_roll_has_its_format_s_width():
    with pytest.raises(ValueError, match=r"shape \(steps, 6\)"):
        PackedRoll.of(np.eye(3), format=EIGHTHS)


@pytest.mark.parametrize("make", [roll, lambda: PackedRoll.of(roll())])
def test_what_contradicts_a_roll_s_own_format_is_refused(make):
    # Fails if the roll's own is taken without a word, or the one given.
    other = RollFormat((60, 63), 0.5, restruck=True)
    message = "format is both .*steps of 1/2 beat, .* and .*steps of 0.5 s, .*; allowed"
    with pytest.raises(ValueError, match=message):
        PackedRoll.of(make(), format=other)
    with pytest.raises(ValueError, match=r"r is both \(60, 63\) and \(61, 64\)"):
        PackedRoll.of(make(), r=(61, 64))
    with pytest.raises(ValueError, match="dt is both 1/2 and 1/4; allowed"):
        PackedRoll.of(make(), dt=0.25)
    same = PackedRoll.of(make(), (60, 63), 0.5, format=EIGHTHS)
    assert (same.format, same.dt) == (EIGHTHS, Fraction(1, 2))


def test_what_a_packed_roll_leaves_open_may_be_given():
    half = PackedRoll.of(np.eye(2, 3), (60, 63), filename="a.mid")
    whole = PackedRoll.of(half, dt=0.5)
    assert whole.format == RollFormat((60, 63), 0.5)
    assert whole.name == "a.mid"
    with pytest.raises(ValueError, match=r"r is both \(61, 64\) and \(60, 63\)"):
        PackedRoll.of(half, format=RollFormat((61, 64), 0.5))
    with pytest.raises(ValueError, match=r"r is both \(61, 64\) and \(60, 63\)"):
        PackedRoll.of(np.eye(2, 3), (60, 63), format=RollFormat((61, 64), 0.5))


def test_a_roll_with_notes_struck_again_is_said_to_have_columns():
    assert "5 steps of 6 columns in" in repr(PackedRoll.of(roll()))
