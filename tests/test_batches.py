"""Tunes to minibatches."""

import numpy as np
import pytest

from lstmmusic import mark_silence, unmark_silence
from lstmmusic.data.batches import (
    check_dataset,
    cut_tunes,
    draw_order,
    draw_tunes,
    in_columns,
    mean_over_tunes,
    whole_tunes,
)
from midi import PackedRoll


def numbered(*lengths, width=3):
    """Tunes in which tune n's row t holds n + t/100 everywhere."""
    return [
        np.tile(n + np.arange(length)[:, None] / 100, (1, width))
        for n, length in enumerate(lengths)
    ]


def test_a_shorter_tune_is_repeated_and_a_longer_one_truncated():
    # Tune 0 has 3 steps, tune 1 has 11; both are to have 8. Fails if a tune is padded,
    # stretched, or cut at a random place.
    tunes = numbered(3, 11)
    minibatch = cut_tunes(tunes, 8, np.float64)
    (x, targets, loss_weight), steps = minibatch.arrays, minibatch.steps
    assert x.shape == targets.shape == (7, 2, 3)
    rolls = np.concatenate([x, targets[-1:]])
    np.testing.assert_array_equal(rolls[:, 0, 0], np.arange(8) % 3 / 100)
    np.testing.assert_array_equal(rolls[:, 1], tunes[1][:8])
    np.testing.assert_array_equal(loss_weight, np.full((7, 2), 1 / 2))
    assert steps == 7


def test_step_t_predicts_step_t_plus_1():
    tunes = numbered(9)
    x, targets, *_ = cut_tunes(tunes, 9, np.float64)
    np.testing.assert_array_equal(targets[:-1], x[1:])
    np.testing.assert_array_equal(x[:, 0], tunes[0][:-1])


def test_D7_the_last_frame_is_a_target():
    # Fails in the original's way, where T−2 steps of a tune of T are trained on.
    tunes = numbered(9, 9)
    targets = cut_tunes(tunes, 9, np.float64).targets
    assert targets[-1, :, 0].tolist() == [0.08, 1.08]


def test_draws_are_without_replacement_and_random():
    # Fails with replacement: 40 draws of 4 of 5 would all be without a repeat with a
    # probability of 1e-29; and if always the same tunes were taken.
    rng = np.random.default_rng(1)
    tunes = numbered(4, 4, 4, 4, 4)
    draws = [draw_tunes(rng, tunes, 4)[0] for _ in range(40)]
    assert all(len(set(drawn)) == 4 for drawn in draws)
    assert len({frozenset(drawn) for drawn in draws}) == 5


def test_a_column_takes_the_next_tune_when_its_own_has_ended():
    # Tunes of 5, 2 and 4 steps in two columns, 3 steps at a time. Fails if a tune loses
    # a step or its order, begins late or twice, or if padding is not marked.
    tunes = numbered(6, 3, 5)  # one step more
    rolls = [(n, tune[:-1], tune[1:]) for n, tune in enumerate(tunes)]
    chunks = list(in_columns(rolls, 3, 2, np.float32))
    assert [chunk.tunes.tolist() for chunk in chunks] == [[0, 1], [0, 2], [-1, 2]]
    assert [chunk.begins.tolist() for chunk in chunks] == [[1, 1], [0, 1], [1, 0]]
    for n, tune in enumerate(tunes):
        steps = [
            (chunk.x[t, b], chunk.targets[t, b])
            for chunk in chunks
            for b in np.flatnonzero(chunk.tunes == n)
            for t in np.flatnonzero(chunk.mask[:, b])
        ]
        given = np.float32([tune[:-1], tune[1:]])
        np.testing.assert_array_equal(np.transpose(steps, (1, 0, 2)), given)
    assert sum(chunk.mask.sum() for chunk in chunks) == 5 + 2 + 4
    assert chunks[0].x.dtype == np.float32


def test_an_epoch_of_whole_tunes_takes_every_tune_once():
    # 43 tunes by 4: the last one of a pass is smaller. Fails if a tune is lost or taken
    # twice, or if the order does not change from epoch to epoch.
    rng = np.random.default_rng(1)
    tunes = numbered(*rng.integers(2, 99, size=43))
    epochs = [draw_order(rng, tunes, 4) for _ in range(3)]
    for batches in epochs:
        assert sorted(map(len, batches)) == [3] + 10 * [4]
        assert sorted(n for batch in batches for n in batch) == list(range(43))
    assert len({str(batches) for batches in epochs}) == 3
    assert len({batches[0][0] for batches in epochs}) > 1
    again = draw_order(np.random.default_rng(2), tunes, 4)
    assert again == draw_order(np.random.default_rng(2), tunes, 4)


def test_tunes_of_like_length_are_taken_together():
    # Fails if they are not sorted (then the padding is half of all), or if all of them
    # are (then a minibatch always holds the same tunes).
    rng = np.random.default_rng(1)
    tunes = numbered(*rng.integers(2, 200, size=320))
    padding = partners = 0
    for batch in (epoch := draw_order(rng, tunes, 10)):
        lengths = [len(tunes[n]) for n in batch]
        padding += max(lengths) * len(lengths) - sum(lengths)
    assert padding < 0.15 * sum(map(len, tunes))
    other = draw_order(rng, tunes, 10)
    together = {n: set(batch) for batch in other for n in batch}
    partners = sum(len(together[n] & set(batch)) - 1 for batch in epoch for n in batch)
    assert partners < 0.5 * 9 * 320


def test_blocks_are_few_and_have_little_padding():
    # Fails if a step is left out, if 16 steps or more are added, if short tunes are
    # taken in one block that is theirs alone, or if those of one length are not equal.
    for T, steps, blocks in (
        (32, 5, [16]),
        (32, 32, [32]),
        (224, 210, [64, 64, 64, 32]),
        (384, 365, [128, 128, 64, 32, 16]),
    ):
        minibatch = whole_tunes([np.zeros((T + 1, 3))], 1, "tune", np.float32)
        assert minibatch.blocks(steps) == blocks
        assert not minibatch.in_one
    for T, blocks in ((128, [128]), (129, [65, 65]), (250, [84, 84, 84])):
        minibatch = mean_over_tunes(*np.zeros((2, T, 1, 3)))
        assert minibatch.blocks(T) == blocks
        assert minibatch.in_one == (T == 128)


@pytest.mark.parametrize("average", ["tune", "step"])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_whole_tunes_are_padded_and_the_padding_has_no_weight(average, dtype):
    # Two tunes for three places, one over 32 steps: so 64. Fails if a row is lost, if
    # the last one is no target, or if padding has a weight.
    rng = np.random.default_rng(1)
    tunes = [rng.integers(0, 2, size=(n, 3)).astype(dtype) for n in (5, 34)]
    minibatch = whole_tunes(tunes, 3, average, np.float64)
    (x, targets, loss_weight), steps = minibatch.arrays, minibatch.steps
    assert x.shape == targets.shape == (64, 3, 3)
    assert x.dtype == targets.dtype == loss_weight.dtype == np.float64
    assert minibatch.blocks(33) == [32, 16]
    for b, tune in enumerate(tunes):
        end = len(tune) - 1
        np.testing.assert_array_equal(x[:end, b], tune[:-1])
        np.testing.assert_array_equal(targets[:end, b], tune[1:])
        wanted = 1 / 2 if average == "tune" else 1 / (4 + 33)
        np.testing.assert_array_equal(loss_weight[:end, b], wanted)
        assert not loss_weight[end:, b].any()
    assert not loss_weight[:, 2].any()
    assert steps == ((4 + 33) / 2 if average == "tune" else 1)
    assert loss_weight.sum() == pytest.approx(steps)


def test_33_steps_fill_a_block():
    # 32 go in and 32 are predicted. Fails if a block is added for nothing.
    assert whole_tunes(numbered(33), 1, "tune", np.float64).x.shape == (32, 1, 3)


def test_a_dataset_may_hold_what_midiread_returns_and_uneven_types():
    class Roll:
        piano_roll = np.ones((4, 3), np.uint8)

    first, second, third = check_dataset(
        [Roll(), [[0, 1, 0]], np.zeros((2, 3), bool)], 3, np.float32
    )
    assert (first.shape, second.shape, third.shape) == ((4, 3), (1, 3), (2, 3))
    assert second.dtype == np.float32
    assert first.dtype == third.dtype == np.uint8  # bytes stay bytes: less memory


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "it is empty; at least one"),
        (
            [np.zeros((5, 3)), np.zeros((5, 4))],
            r"tune 1 of it has shape \(5, 4\).*, 3\)",
        ),
        ([np.zeros((0, 3))], r"tune 0 of it has shape \(0, 3\).* at least 1"),
        ([np.zeros(3)], r"tune 0 of it has shape \(3,\); allowed are \(steps, 3\)"),
        ([[[0, np.nan, 0]]], r"tune 0 of it holds nan at \(0, 1\); .* 0 to 1"),
        ([[[0, 0, 0], [0, 0, 1.5]]], r"tune 0 of it holds 1.5 at \(1, 2\); .* 0 to 1"),
        ([[[-1, 0, 0]]], r"tune 0 of it holds -1.0 at \(0, 0\); .* 0 to 1"),
        ([[[np.inf, 0, 0]]], r"tune 0 of it holds inf at \(0, 0\); .* 0 to 1"),
        (["abc"], "tune 0 of it is not an array of numbers: 'abc'"),
        ([[[0, 0, 0], [0, 0]]], "tune 0 of it is not an array of numbers"),
    ],
)
def test_bad_data_is_refused_with_its_place(dataset, message):
    with pytest.raises(ValueError, match=message):
        check_dataset(dataset, 3, np.float64, "it")


def test_silent_rows_are_marked_in_a_copy_and_unmarked_again():
    tune = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 1]], np.uint8)
    (marked,) = mark_silence([tune])
    assert marked.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 1]]
    assert marked.dtype == np.uint8
    assert not tune[1].any()
    assert unmark_silence(marked).tolist() == tune.tolist()
    assert marked[1, 0] == 1


@pytest.mark.parametrize("tune", [None, 5, [], np.zeros(3), np.zeros((3, 0))])
def test_unmarkSilence_refuses_what_is_no_tune(tune):
    with pytest.raises(ValueError, match=r"tune has shape .*; allowed are \(steps"):
        unmark_silence(tune)


def test_unmarkSilence_takes_what_midiread_returns():
    tune = np.array([[1, 0], [1, 1]])
    packed = PackedRoll.of(tune)
    np.testing.assert_array_equal(unmark_silence(packed), [[0, 0], [1, 1]])
