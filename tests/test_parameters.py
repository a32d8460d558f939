"""The original's names and shapes, first values, and the way to packed arrays."""

import numpy as np
import pytest
from sizes import H, N

from lstmmusic.model import parameters


def distinct(shapes):
    """An array for each name in which no number occurs twice, in none of the others."""
    numbers = iter(range(10**6))
    return {
        name: np.array([next(numbers) for _ in range(int(np.prod(shape)))], float)
        .reshape(shape)
        .copy()
        for name, shape in shapes.items()
    }


def test_shapes_are_the_originals():
    # (outputs, inputs), for unequal layers. Fails if W_j takes a layer's own width.
    shapes = parameters.weight_shapes((5, 4, 3), 6)
    assert len(shapes) == 57
    assert [shapes[f"Wxi_{n}"] for n in (1, 2, 3)] == [(5, 6), (4, 6), (3, 6)]
    assert [shapes[f"Whc_{n}"] for n in (1, 2, 3)] == [(5, 5), (4, 4), (3, 3)]
    assert [shapes[f"Woj_{n}"] for n in (2, 3)] == [(4, 5), (3, 4)]
    assert "Wxj_1" not in shapes
    assert [shapes[f"Wco_{n}"] for n in (1, 2, 3)] == [(5,), (4,), (3,)]
    assert [shapes[f"Why_{n}"] for n in (1, 2, 3)] == [(6, 5), (6, 4), (6, 3)]
    assert (shapes["bo_2"], shapes["by"]) == ((4,), (6,))
    assert parameters.state_shapes((5, 4, 3))["ctd1_2"] == (4,)


def test_shapes_are_those_of_the_originals_file(shared):
    with np.load(shared("original/weights.npz")) as file:
        found = {name: file[name].shape for name in file.files}
    assert found == parameters.weight_shapes((5, 4, 3), 6)


def test_unpack_undoes_pack():
    weights = distinct(parameters.weight_shapes(H, N))
    back = parameters.unpack(parameters.pack(weights))
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)
    state = distinct(parameters.state_shapes(H))
    back = parameters.unpack_state(parameters.pack_state(state))
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_first_weights_lie_around_the_means_of_the_specification():
    # With no spread they are the means: 0.5/H for the gates, 0.5/N for the output.
    first = parameters.first_weights(np.random.default_rng(1), (5, 4, 2), 8, 0.0)
    for name, array in first.items():
        layer = dict(zip("123", (5, 4, 2), strict=True)).get(name[-1])
        mean = 0.0
        if name[:2] in ("bi", "bf", "bo"):
            mean = 0.5 / layer
        if name == "by":
            mean = 0.5 / 8
        assert (array == mean).all(), name


def test_first_weights_have_the_wanted_spread():
    # 0.3 to 5 % where there are thousands of them. Fails for a variance of 0.3, or for
    # a spread that shrinks with the width.
    first = parameters.first_weights(np.random.default_rng(1), (90, 80, 70), 60, 0.3)
    for name, array in first.items():
        if array.ndim == 2:
            assert array.std() == pytest.approx(0.3, rel=0.05), name
    vectors = [a - a.mean() for a in first.values() if a.ndim == 1]
    assert np.concatenate(vectors).std() == pytest.approx(0.3, rel=0.05)


def test_D9_first_state_is_uniform_from_0_to_muRand():
    # Fails for the original's normal numbers: half of them are below 0.
    first = parameters.first_state(np.random.default_rng(1), (300, 200, 100), 0.7)
    for name, array in first.items():
        assert array.min() >= 0, name
        assert array.max() <= 0.7, name
        assert array.mean() == pytest.approx(0.35, rel=0.2), name
    everything = np.concatenate(list(first.values()))
    assert np.histogram(everything, 4, (0, 0.7))[0].min() > 0.2 * len(everything)
