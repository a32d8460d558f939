"""Music with a three-layer peephole LSTM whose backward pass is written by hand."""

from lstmmusic.engine import cache  # noqa: F401, I001  imports PyTensor, and is first

import pytensor

from lstmmusic import datasets
from lstmmusic.data.silence import mark_silence, unmark_silence
from lstmmusic.listening import listen, save_sound, save_wav
from lstmmusic.rnn4music import RNN4Music
from lstmmusic.statistics import music_statistics
from lstmmusic.training.checkpoint import CheckpointError
from lstmmusic.training.log import Progress, log_to
from lstmmusic.training.loop import TrainingError
from lstmmusic.training.parameter_file import ParameterFileError

__all__ = [
    "CheckpointError",
    "ParameterFileError",
    "Progress",
    "RNN4Music",
    "TrainingError",
    "datasets",
    "listen",
    "log_to",
    "mark_silence",
    "music_statistics",
    "save_sound",
    "save_wav",
    "unmark_silence",
]
_floatX = type(pytensor.config).__dict__["floatX"]
if _floatX.is_default:  # neither PYTENSOR_FLAGS nor .pytensorrc name one
    pytensor.config.floatX = "float32"
__version__ = "0.1.0"
