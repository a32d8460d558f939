"""Name, shape and draw the weights; pack the original's 57 arrays, and unpack them.

The original keeps each gate's weights apart, as (outputs, inputs), under 57 names; the
network keeps the four gates side by side, as (inputs, 4 outputs) (see `lstm`), and what
leads to Y and to A.  N notes (``io_length``), H cells in layer n = 1, 2, 3; D units
(``joint_units``) of the joint output, None for the independent one.
"""

import numpy as np

from lstmmusic.model.lstm import Layer
from lstmmusic.model.network import Network, State
from lstmmusic.model.outputs import Joint

LAYERS = (1, 2, 3)
# The gates in the network's order: i, f, g (whose weights the paper calls c), o.
FROM_ROLL = ("Wxi", "Wxf", "Wxc", "Wxo")
FROM_BELOW = ("Wxj", "Wfj", "Wcj", "Woj")
FROM_ITSELF = ("Whi", "Whf", "Whc", "Who")
PEEPHOLES = ("Wci", "Wcf", "Wco")
BIASES = ("bi", "bf", "bc", "bo")
TO_NOTES, TO_UNITS = "Wky", ("ba", "Wka", "Wuy")  # L; b_a, V' and U
STATES = ("htd1", "ctd1")  # the original's name for "delayed by 1": step −1


def weight_shapes(h_lengths, io_length, joint_units=None):
    """Return {original name: shape} of the weights, layer by layer, output last.

    57 of the original; behind them those of the joint output.
    """
    shapes = {}
    for n, H in zip(LAYERS, h_lengths, strict=True):
        shapes |= {f"{name}_{n}": (H, io_length) for name in FROM_ROLL}
        if n > 1:
            shapes |= {f"{name}_{n}": (H, h_lengths[n - 2]) for name in FROM_BELOW}
        shapes |= {f"{name}_{n}": (H, H) for name in FROM_ITSELF}
        shapes |= {f"{name}_{n}": (H,) for name in PEEPHOLES + BIASES}
    shapes |= {f"Why_{n}": (io_length, h_lengths[n - 1]) for n in LAYERS}
    return (
        shapes | {"by": (io_length,)} | joint_shapes(h_lengths, io_length, joint_units)
    )


def joint_shapes(h_lengths, io_length, joint_units):
    """Return {name: shape} of the joint output's weights, in the original's style."""
    if joint_units is None:
        return {}
    shapes = {TO_NOTES: (io_length, io_length)}
    if joint_units:
        N, D = io_length, joint_units
        shapes |= {f"Wha_{n}": (D, h_lengths[n - 1]) for n in LAYERS}
        shapes |= dict(zip(TO_UNITS, [(D,), (D, N), (N, D)], strict=True))
    return shapes


def state_shapes(h_lengths):
    """Return {original name: shape} of the state at step −1."""
    return {
        f"{name}_{n}": (H,)
        for name in STATES
        for n, H in zip(LAYERS, h_lengths, strict=True)
    }


def check_joint(values):
    """Raise ValueError if L, in the order of drawing, reads a note not yet drawn."""
    L = values.get(TO_NOTES)
    if L is not None and np.triu(L).any():
        raise ValueError(
            f"{TO_NOTES} is not zero on and above its diagonal: allowed are weights "
            "from notes drawn before"
        )


def first_weights(rng, h_lengths, io_length, sig_rand):
    """Draw the weights a training starts from.

    Matrices and peepholes N(0, sig_rand); biases of the gates i, f, o
    N(0.5/H, sig_rand), of the cell N(0, sig_rand), of the output
    N(0.5/io_length, sig_rand).

    Returns
    -------
    dict
        {original name: float64 array}.
    """
    means = {"by": 0.5 / io_length}
    for n, H in zip(LAYERS, h_lengths, strict=True):
        means |= {f"{name}_{n}": 0.5 / H for name in ("bi", "bf", "bo")}
    return {
        name: rng.normal(means.get(name, 0.0), sig_rand, shape)
        for name, shape in weight_shapes(h_lengths, io_length).items()
    }


def first_state(rng, h_lengths, mu_rand):
    """Draw the state at step −1 from U[0, mu_rand] (D9)."""
    return {
        name: rng.uniform(0.0, mu_rand, shape)
        for name, shape in state_shapes(h_lengths).items()
    }


def first_values(rng, h_lengths, io_length, sig_rand, mu_rand, joint_units=None):
    """Draw `first_weights`, then a `first_state`, then `first_joint` weights."""
    values = first_weights(rng, h_lengths, io_length, sig_rand)
    values |= first_state(rng, h_lengths, mu_rand)
    return values | first_joint(rng, h_lengths, io_length, joint_units, sig_rand)


def first_joint(rng, h_lengths, io_length, joint_units, sig_rand):
    """Draw the weights of a joint output that predicts as the independent one.

    Wuy, Wky and ba are zero, Wka and Wha N(0, sig_rand).
    """
    values = {}
    for name, shape in joint_shapes(h_lengths, io_length, joint_units).items():
        drawn = name.startswith(("Wha", "Wka"))
        values[name] = rng.normal(0, sig_rand, shape) if drawn else np.zeros(shape)
    return values


def pack(values):
    """Turn {original name: array} into a Network of packed arrays."""

    def side_by_side(names, n):
        return np.concatenate([values[f"{name}_{n}"].T for name in names], axis=-1)

    joint, to_output = None, [[f"Why_{n}"] for n in LAYERS]
    b_y = values["by"]
    if TO_NOTES in values:
        joint = Joint(values[TO_NOTES])
    if "ba" in values:
        joint = Joint(values[TO_NOTES], values["Wuy"], values["Wka"].T)
        to_output = [[f"Why_{n}", f"Wha_{n}"] for n in LAYERS]
        b_y = np.concatenate([b_y, values["ba"]])
    return Network(
        layers=tuple(
            Layer(
                W_x=side_by_side(FROM_ROLL, n),
                W_j=side_by_side(FROM_BELOW, n) if n > 1 else None,
                W_h=side_by_side(FROM_ITSELF, n),
                w_c=np.stack([values[f"{name}_{n}"] for name in PEEPHOLES]),
                b=side_by_side(BIASES, n),
            )
            for n in LAYERS
        ),
        W_y=tuple(
            np.concatenate([values[name].T for name in names], axis=-1)
            for names in to_output
        ),
        b_y=b_y,
        joint=joint,
    )


def unpack(network):
    """Turn a Network of packed arrays into {original name: array}; undoes `pack`."""
    values = {}
    for n, layer in zip(LAYERS, network.layers, strict=True):
        blocks = [(FROM_ROLL, layer.W_x), (FROM_ITSELF, layer.W_h), (BIASES, layer.b)]
        if layer.W_j is not None:
            blocks.insert(1, (FROM_BELOW, layer.W_j))
        for names, packed in blocks:
            parts = np.split(packed, 4, axis=-1)
            values |= {f"{a}_{n}": p.T for a, p in zip(names, parts, strict=True)}
        values |= {f"{a}_{n}": w for a, w in zip(PEEPHOLES, layer.w_c, strict=True)}
    N = network.layers[0].W_x.shape[0]
    values |= {f"Why_{n}": W.T[:N] for n, W in zip(LAYERS, network.W_y, strict=True)}
    values["by"] = network.b_y[:N]
    if network.joint is not None:
        values |= unpack_joint(network, N)
    return {name: np.array(value, order="C") for name, value in values.items()}


def unpack_joint(network, N):
    """Return {name: array} of the joint output's weights."""
    L, U, V = network.joint
    values = {TO_NOTES: L}
    if U is not None:
        to_units = zip(LAYERS, network.W_y, strict=True)
        values |= {f"Wha_{n}": W.T[N:] for n, W in to_units}
        values |= dict(zip(TO_UNITS, [network.b_y[N:], V.T, U], strict=True))
    return values


def pack_state(values):
    """Turn {original name: array} into the State at step −1, one (H,) per layer."""
    return State(*(tuple(values[f"{name}_{n}"] for n in LAYERS) for name in STATES))


def unpack_state(state):
    """Turn the State at step −1 into {original name: array}; undoes `pack_state`."""
    return {
        f"{name}_{n}": np.array(value)
        for name, values in zip(STATES, state, strict=True)
        for n, value in zip(LAYERS, values, strict=True)
    }
