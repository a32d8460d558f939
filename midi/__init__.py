"""Read MIDI files as piano-rolls, and write piano-rolls as MIDI files.

Examples
--------
>>> import io
>>> import midi
>>> file = io.BytesIO()
>>> midi.midiwrite(file, [[1, 0], [1, 1], [0, 1]], r=(60, 62), dt=0.5)
>>> file.seek(0)
0
>>> midi.midiread(file, r=(60, 62), dt=0.5).piano_roll
array([[1, 0],
       [1, 1],
       [0, 1]], dtype=uint8)
"""

from midi.checks import MidiError
from midi.formats import RollArray, RollFormat, roll_format
from midi.packed import PackedRoll
from midi.rolls import MidiRoll
from midi.suggestion import Suggestion, suggest_dt
from midi.utils import midiread, midiwrite, read_folder

__all__ = [
    "MidiError",
    "MidiRoll",
    "PackedRoll",
    "RollArray",
    "RollFormat",
    "Suggestion",
    "midiread",
    "midiwrite",
    "read_folder",
    "roll_format",
    "suggest_dt",
]
