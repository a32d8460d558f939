"""One step of one layer, forward and back."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from lstmmusic.model.lstm import backward_step, forward_step, split
from lstmmusic.model.ops import pack, pack_transposed, packed_dot

B, H = 3, 4
PYTHON = Mode(linker="py", optimizer=None)


def sigma(a):
    return 1 / (1 + np.exp(-a))


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(21)
    shapes = {
        "a_in": (B, 4 * H), "h_prev": (B, H), "c_prev": (B, H), "W_h": (H, 4 * H),
        "w_c": (3, H), "dh": (B, H), "da_next": (B, 4 * H), "dc_next": (B, H),
    }  # fmt: skip
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def evaluate(graph, numbers, **replaced):
    """Run graph({name: variable}) on the numbers."""
    variables = {name: pt.matrix(name, dtype="float64") for name in numbers}
    function = pytensor.function(
        list(variables.values()),
        graph(variables),
        mode=PYTHON,
        on_unused_input="ignore",
    )
    return function(*(numbers | replaced).values())


def forward(original):
    def run(v):
        W_h = pack(v["W_h"])
        return forward_step(
            v["a_in"], v["h_prev"], v["c_prev"], W_h, v["w_c"], original
        )

    return run


def test_split_takes_the_gates_in_the_order_i_f_g_o():
    parts = split(pt.constant(np.arange(8)[None]))
    found = [part.eval().tolist() for part in parts]
    assert found == [[[0, 1]], [[2, 3]], [[4, 5]], [[6, 7]]]


@pytest.mark.parametrize("original", [False, True])
def test_forward_step_is_equations_7_to_11(numbers, original):
    # Fails if two gates or their peepholes change places, or a gate looks at another c.
    h, c, gates = evaluate(forward(original), numbers)
    a = numbers["a_in"] + numbers["h_prev"] @ numbers["W_h"]
    w, c_prev = numbers["w_c"], numbers["c_prev"]
    i = sigma(a[:, :H] + w[0] * c_prev)
    f = sigma(a[:, H : 2 * H] + w[1] * c_prev)
    a_g = a[:, 2 * H : 3 * H]
    wanted_c = f * c_prev + i * np.tanh(a_g)
    o = sigma(a[:, 3 * H :] + w[2] * (a_g if original else wanted_c))
    np.testing.assert_allclose(c, wanted_c, rtol=1e-12)
    np.testing.assert_allclose(h, o * np.tanh(c), rtol=1e-12)
    np.testing.assert_allclose(
        gates, np.concatenate([i, f, np.tanh(a_g), o], axis=1), rtol=1e-12
    )


@pytest.mark.parametrize("original", [False, True])
def test_backward_step_is_the_derivative_of_forward_step(numbers, original):
    # What arrives from step t+1 through h (da_next W_h') and c (dc_next) is given; so
    # da and dc_prev are the derivatives of Σ dh∘h + (da_next W_h')∘h + dc_next∘c.
    def cost_at(**moved):
        h, c, _ = evaluate(forward(original), numbers, **moved)
        dh = numbers["dh"] + numbers["da_next"] @ numbers["W_h"].T
        return (dh * h + numbers["dc_next"] * c).sum(axis=-1)

    def slope(name, column):
        change = np.zeros_like(numbers[name])
        change[:, column] = 1e-5
        above, below = (cost_at(**{name: numbers[name] + d}) for d in (change, -change))
        return (above - below) / 2e-5

    def backward(v):
        _, c, gates = forward(original)(v)
        dh = packed_dot(v["dh"], v["da_next"], pack_transposed(v["W_h"]))
        return backward_step(
            dh, gates, c, v["c_prev"], v["dc_next"], v["w_c"], original
        )

    da, dc_prev = evaluate(backward, numbers)
    for column in range(4 * H):
        np.testing.assert_allclose(da[:, column], slope("a_in", column), atol=1e-8)
    for column in range(H):
        found = dc_prev[:, column]
        np.testing.assert_allclose(found, slope("c_prev", column), atol=1e-8)


def test_D2_the_peephole_of_o_sends_its_error_back_within_its_step(numbers):
    # No error comes from step t+1, so all that w_co adds to dc_prev comes from step t:
    # da_o ∘ w_co ∘ f. In the original's form, w_co would add nothing here.
    quiet = {"dc_next": np.zeros_like(numbers["dc_next"])}

    def backward(v):
        _, c, gates = forward(False)(v)
        # The gates are held, so that w_co is seen in the backward step alone.
        gates = pt.as_tensor(sigma(numbers["a_in"]))
        return backward_step(v["dh"], gates, c, v["c_prev"], v["dc_next"], v["w_c"])

    held = {"c_prev": numbers["c_prev"]}
    without_w = numbers["w_c"] * [[0], [0], [0]]
    only_w_co = numbers["w_c"] * [[0], [0], [1]]
    c = evaluate(forward(False), numbers, w_c=only_w_co)[1]
    da, with_it = evaluate(backward, numbers, **quiet, **held, w_c=only_w_co)
    _, without = evaluate(backward, numbers, **quiet, **held, w_c=without_w)
    _, f, _, o = np.split(sigma(numbers["a_in"]), 4, axis=1)
    da_o = numbers["dh"] * np.tanh(c) * o * (1 - o)
    np.testing.assert_allclose(da[:, 3 * H :], da_o, rtol=1e-12)
    np.testing.assert_allclose(with_it - without, da_o * only_w_co[2] * f, rtol=1e-9)
    assert np.abs(with_it - without).max() > 1e-3
