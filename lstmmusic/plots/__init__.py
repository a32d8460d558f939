"""Draw piano-rolls, probabilities, statistics, cost, and the inside of a network.

Each function draws into the axes it is given, or into those of a new figure, and
returns them: ``plot_roll(roll).figure.savefig("roll.png")``.  Time is in seconds, or in
bars and beats; pitches have their names (C4 is middle C, MIDI 60), and those above and
below that never sound are cropped.  matplotlib is imported at the first call.
"""

from lstmmusic.plots.cost import plot_cost
from lstmmusic.plots.inside import order_cells, plot_influence, plot_states
from lstmmusic.plots.rolls import (
    plot_probabilities,
    plot_roll,
    plot_tune,
    sounding_pitches,
)
from lstmmusic.plots.shares import plot_shares, plot_statistics, shown

__all__ = [
    "order_cells",
    "plot_cost",
    "plot_influence",
    "plot_probabilities",
    "plot_roll",
    "plot_shares",
    "plot_states",
    "plot_statistics",
    "plot_tune",
    "shown",
    "sounding_pitches",
]
