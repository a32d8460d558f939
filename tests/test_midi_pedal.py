"""Test that midiread holds notes under the sustain pedal if asked to."""

import pytest
from midi_bytes import read, smf, ticks_480

# b0 40 is the sustain pedal: 7f down, 00 up. The note lasts from tick 96 to 192.
PEDAL = {
    # pedal down at tick 0, up at 288
    "held": ("00 b0407f 60 903c40 60 803c40 60 b04000", [(60, 96, 288)]),
    "value 63 is up": ("00 b0403f 60 903c40 60 803c40 60 b04000", [(60, 96, 192)]),
    "value 64 is down": ("00 b04040 60 903c40 60 803c40 60 b0403f", [(60, 96, 288)]),
    "pressed after the note": (
        "60 903c40 60 803c40 60 b0407f 60 b04000",
        [(60, 96, 192)],
    ),
    "pressed on the note's last tick": (
        "60 903c40 60 803c40 00 b0407f 60 b04000",
        [(60, 96, 288)],
    ),
    "other channel": ("00 b1407f 60 903c40 60 803c40 60 b14000", [(60, 96, 192)]),
    # held until the file ends, at tick 288
    "never released": ("00 b0407f 60 903c40 60 803c40 60 ff0100", [(60, 96, 288)]),
    "program change under it": (
        "00 b0407f 00 c005 60 903c40 60 803c40 60 b04000",
        [(60, 96, 288)],
    ),
    "pressed twice": (
        "00 b0407f 00 903c40 60 803c40 60 b04000 "
        "60 b0407f 00 903e40 60 803e40 60 b04000",
        [(60, 0, 192), (62, 288, 480)],
    ),
}


@pytest.mark.parametrize("case", PEDAL)
def test_pedal_holds_notes(case):
    track, notes = PEDAL[case]
    assert ticks_480(read(smf(track), pedal=True)) == notes


def test_pedal_is_ignored_unless_asked_for():
    assert ticks_480(read(smf(PEDAL["held"][0]))) == [(60, 96, 192)]


def test_a_pedal_works_on_its_channel_in_every_track():
    # Piano files have the pedal in the right hand's track. Fails if it holds only the
    # notes of that track.
    data = smf("00 b0407f 82 20 b04000", "60 903c40 60 803c40")
    assert ticks_480(read(data, pedal=True)) == [(60, 96, 288)]


def test_a_pedal_released_after_2_to_the_28_ticks_is_exact():
    # Fails if ticks are held in float32. At 1 µs per beat they last 0.56 s.
    data = smf(
        "00 ff5103 000001"  # 1 µs per beat
        "00 b0407f 00 903c40 60 803c40"
        "c0808000 ff0100"  # 2**27 ticks later: a text
        "c0808000 b04000"  # 2**27 ticks later: pedal up
    )
    result = read(data, dt=0.01, pedal=True)
    assert result.notes["offset_s"][0] == pytest.approx((2**28 + 96) / 480e6, rel=1e-12)
