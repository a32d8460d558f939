"""Name the sizes of the networks in the tests; unequal, so no transposition passes."""

T, B = 7, 2  # steps and tunes of a minibatch
H = (5, 4, 3)  # cells of the layers
N = 6  # notes
JOINT_N, JOINT_D = 8, 9  # notes and jointUnits, with the joint output
FILLED_SIZES = (4, 3, 2, 5)  # cells and notes of the networks that go to files
