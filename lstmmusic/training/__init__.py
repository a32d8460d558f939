"""From tunes to trained weights: the loop, its checkpoints, evaluation, MPI."""
