"""Music with a three-layer peephole LSTM whose backward pass is written by hand."""

from lstmmusic import cachefolder, datasets  # noqa: F401  the first imports PyTensor
from lstmmusic.batches import markSilence, unmarkSilence
from lstmmusic.listening import listen, saveWav
from lstmmusic.parameterfile import ParameterFileError
from lstmmusic.precision import default_to_float32
from lstmmusic.rnn4music import RNN4Music
from lstmmusic.statistics import musicStatistics
from lstmmusic.training import CheckpointError, TrainingError

__all__ = [
    "CheckpointError",
    "ParameterFileError",
    "RNN4Music",
    "TrainingError",
    "datasets",
    "listen",
    "markSilence",
    "musicStatistics",
    "saveWav",
    "unmarkSilence",
]
default_to_float32()
__version__ = "0.1.0"
