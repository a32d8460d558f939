"""Draw piano-rolls, probabilities, statistics and cost.

Each function draws into the axes it is given, or into those of a new figure, and
returns them: ``plot_roll(roll).figure.savefig("roll.png")``.  Time is in seconds, or in
bars and beats; pitches have their names (C4 is middle C, MIDI 60), and those above and
below that never sound are cropped.  matplotlib is imported at the first call.
"""

from lstmmusic.plots.cost import plot_cost
from lstmmusic.plots.rolls import (
    plot_probabilities,
    plot_roll,
    plot_tune,
    sounding_pitches,
)
from lstmmusic.plots.shares import plot_shares, plot_statistics, shown

__all__ = [
    "plot_cost",
    "plot_probabilities",
    "plot_roll",
    "plot_shares",
    "plot_statistics",
    "plot_tune",
    "shown",
    "sounding_pitches",
]
