"""Train on tunes: the loop, its checkpoints, evaluation, MPI."""
