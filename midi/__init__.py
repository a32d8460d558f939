"""MIDI files to piano-rolls and back; knows nothing of the network."""

from midi.checks import MidiError
from midi.packed import PackedRoll
from midi.rolls import MidiRoll
from midi.utils import midiread, midiwrite, read_folder

__all__ = [
    "MidiError",
    "MidiRoll",
    "PackedRoll",
    "midiread",
    "midiwrite",
    "read_folder",
]
