"""genMusic, against a loop that samples with the same random numbers."""

import numpy as np
import oracle
import pytest
from conftest import N

PRIMER = np.random.default_rng(31).choice([0.0, 1.0], size=(9, N))


def uniform(seed, *shape):
    return np.random.default_rng(seed).random(shape)


class Given:
    """Random numbers known beforehand."""

    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, shape, dtype):
        return self.numbers.reshape(shape).astype(dtype)


def assert_generated(found, wanted):
    samples, y = found
    np.testing.assert_allclose(y, wanted[1], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(samples, wanted[0])


@pytest.mark.parametrize("steps", [1, 9], ids=["one row", "nine rows"])
@pytest.mark.parametrize("original", [False, True])
def test_samples_are_those_of_a_loop(network, steps, original):
    # 70 steps: over the end of a chunk. Fails if a row of the primer is left
    # out, the samples are fed back a step late, or the state is lost between chunks.
    model = network(original=original)
    model.genProbThreshold = 0.3
    found = model.genMusic(PRIMER[:steps], 70, seed=32)
    assert found[0].shape == found[1].shape == (70, N)
    wanted = oracle.generate(
        model.parameters(), PRIMER[:steps], uniform(32, 70, N), 0.3, original
    )
    assert_generated(found, wanted)
    assert 0 < found[0].mean() < 1


@pytest.mark.slow
def test_numba_generates_what_a_loop_generates(network):
    # Numba takes tunes of any length and number with one compilation; float32.
    model = network(dtype="float32", mode="NUMBA")
    primers = np.stack([PRIMER[:4], PRIMER[4:8]])
    for primer, steps in ((primers, 12), (PRIMER[None], 70)):
        samples, y = model.genMusic(primer, steps, seed=39)
        numbers = np.random.default_rng(39).random((steps, len(primer), N), "float32")
        for b, tune in enumerate(primer):
            wanted = oracle.generate(model.parameters(), tune, numbers[:, b], 0.1)
            np.testing.assert_allclose(y[b], wanted[1], rtol=0, atol=1e-5)
            np.testing.assert_array_equal(samples[b], wanted[0])


def test_D6_generation_continues_from_the_end_of_the_primer(network):
    # All three layers. The original took layer 3's state from two steps before the
    # end; the probabilities would then differ from the first step on.
    model = network()
    model.genProbThreshold = 0.0
    w = model.parameters()
    found = model.genMusic(PRIMER, 5, seed=33)
    assert_generated(found, oracle.generate(w, PRIMER, uniform(33, 5, N), 0.0))

    states = [oracle.first_state(w)]
    for x in PRIMER:
        states.append(oracle.step(w, x, *states[-1])[1:])
    h, c = (dict(part) for part in states[-2])
    for part, early in zip((h, c), states[-4], strict=True):
        part[3] = early[3]
    Y, *_ = oracle.step(w, PRIMER[-1], h, c)
    assert np.abs(found[1][0] - oracle.sigma(Y)).max() > 1e-3


def test_many_primers_at_once_give_what_each_gives_alone(network):
    # Fails if tunes of a batch share samples, states or random numbers.
    model = network()
    primers = np.random.default_rng(34).choice([0.0, 1.0], size=(3, 4, N))
    numbers = uniform(35, 20, 3, N)
    model.rng = Given(numbers)
    tunes, y = model.genMusic(primers, 20)
    assert tunes.shape == y.shape == (3, 20, N)
    for n, primer in enumerate(primers):
        model.rng = Given(numbers[:, n])
        alone = model.genMusic(primer, 20)
        np.testing.assert_array_equal(tunes[n], alone[0])
        np.testing.assert_allclose(y[n], alone[1], rtol=0, atol=1e-12)
    assert len({tune.tobytes() for tune in tunes}) == 3


def test_probabilities_below_the_threshold_count_as_zero(network):
    model = network()
    model.genProbThreshold = 0.0
    _, every = model.genMusic(PRIMER, 30, seed=36)
    assert (every > 0).all()
    model.genProbThreshold = 0.4
    tune, y = model.genMusic(PRIMER, 30, seed=36)
    assert set(np.unique(tune)) == {0, 1}
    assert (y[0] == np.where(every[0] < 0.4, 0, every[0])).all()
    assert (y == 0).any()
    assert y[y > 0].min() >= 0.4
    assert not tune[y == 0].any()
    model.genProbThreshold = 1.0
    tune, y = model.genMusic(PRIMER, 30, seed=36)
    assert not tune.any()
    assert not y.any()


def test_a_seed_makes_samples_repeatable_and_leaves_the_own_numbers_alone(network):
    model = network()
    before = model.rng.bit_generator.state
    first, _ = model.genMusic(PRIMER, 40, seed=37)
    again, _ = model.genMusic(PRIMER, 40, seed=37)
    other, _ = model.genMusic(PRIMER, 40, seed=38)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert model.rng.bit_generator.state == before
    unseeded, _ = model.genMusic(PRIMER, 40)
    assert (unseeded != model.genMusic(PRIMER, 40)[0]).any()
    assert model.rng.bit_generator.state != before


@pytest.mark.parametrize(
    ("primer", "steps", "message"),
    [
        (np.zeros((0, N)), 5, rf"startVectors has shape \(0, {N}\).* at least 1"),
        (np.zeros((2, 0, N)), 5, rf"startVectors has shape \(2, 0, {N}\).* at least"),
        (np.zeros((0, 2, N)), 5, rf"startVectors has shape \(0, 2, {N}\).* at least"),
        (np.zeros((3, N + 1)), 5, rf"startVectors has shape \(3, {N + 1}\).*, {N}\)"),
        (np.zeros(N), 5, rf"startVectors has shape \({N},\).*, {N}\)"),
        (np.full((2, N), 2.0), 5, r"startVectors holds 2.0 at \(0, 0\).* 0 to 1"),
        (np.full((2, 1, N), np.nan), 5, r"startVectors holds nan at .* 0 to 1"),
        (PRIMER, 0, "noOfSamps is 0; allowed are whole numbers from 1"),
        (PRIMER, 2.5, "noOfSamps is 2.5; allowed are whole numbers from 1"),
    ],
)
def test_bad_primers_are_refused(network, everything, same, primer, steps, message):
    model = network()
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.genMusic(primer, steps)
    same(before, everything(model))
