"""The gradient: blocks, threads and padding do not change it; weights and masks do."""

import numpy as np
import oracle
import pytensor
import pytensor.tensor as pt
import pytest
from gradients import as_minibatch, assert_close, cost_and_gradients, make_masks
from pytensor.compile.mode import Mode
from sizes import B, H, N, T

from lstmmusic.engine import gradient
from lstmmusic.model.parameters import weight_shapes

NAMES = list(weight_shapes(H, N))


def autodiff(values, rolls, loss_weight, masks, original=False):
    """The same by pytensor.grad of the loop in `oracle`, unrolled, cross-entropy.

    One graph of one tune serves all.  ``masks``: for each layer (T, B, H).
    """
    w = {
        name: pt.tensor(name, shape=a.shape, dtype="float64")
        for name, a in values.items()
    }
    x, k = pt.dmatrices("x", "k")
    weight, factors = pt.dvector("loss_weight"), pt.dmatrices(3)
    maths = oracle.Maths(pt.exp, pt.tanh)
    at = [{n: factors[n - 1][t] for n in (1, 2, 3)} for t in range(T)]
    outputs = oracle.outputs(w, [x[t] for t in range(T)], original, maths, at)
    total = 0
    for t, Y in enumerate(outputs):
        y = oracle.sigma(Y, maths)
        nats = -k[t] * pt.log(y) - (1 - k[t]) * pt.log(1 - y)
        total = total + weight[t] * nats.sum()
    with pytensor.config.change_flags(traceback__limit=0):
        function = pytensor.function(
            [x, k, weight, *factors, *w.values()],
            [total, *pytensor.grad(total, [w[name] for name in NAMES])],
            mode=Mode(linker="py", optimizer=None),
        )
    given = *rolls, *(array.swapaxes(0, 1) for array in (loss_weight, *masks))
    tunes = [function(*tune, *values.values()) for tune in zip(*given, strict=True)]
    total, *gradients = (sum(of_tunes) for of_tunes in zip(*tunes, strict=True))
    return float(total), dict(zip(NAMES, gradients, strict=True))


@pytest.mark.parametrize(("fixed", "original"), [(False, False), (True, True)])
def test_dropout_and_loss_weights_have_the_gradient_of_pytensor_grad(
    network, minibatch, fixed, original
):
    # Fails if a mask is left out on the way up, into the output, or back, or acts on
    # what a layer remembers; or if a step's loss weight does not reach its error.
    model = network(original=original)
    rng = np.random.default_rng(81)
    loss_weight = rng.uniform(0.1, 1, size=(T, B))
    masks = make_masks(rng, 1 if fixed else T, B)
    found = cost_and_gradients(model, as_minibatch(minibatch, loss_weight, T), masks)
    everywhere = [np.broadcast_to(mask, (T, B, mask.shape[2])) for mask in masks]
    wanted = autodiff(model.parameters(), minibatch, loss_weight, everywhere, original)
    assert_close(found, wanted, 1e-12)


def test_blocks_of_time_change_nothing(network, minibatch):
    # T is no multiple of 3: the last block has a step of padding. Fails if state or
    # errors are lost, or taken twice, where one block meets the next.
    model = network()
    rng = np.random.default_rng(82)
    loss_weight = rng.uniform(0.1, 1, size=(T, B))
    masks = make_masks(rng, T, B)
    whole, blocks = (
        cost_and_gradients(model, as_minibatch(minibatch, loss_weight, block), masks)
        for block in (T, 3)
    )
    assert_close(blocks, whole, 1e-12)


@pytest.mark.parametrize(
    ("workers", "parts", "block"), [(2, 2, T), (3, 3, T), (4, 3, T), (3, 3, 3)]
)
def test_threads_and_parts_change_nothing(network, monkeypatch, workers, parts, block):
    # 5 tunes in parts of 3 or 2: the last part is filled up. Fails if a tune is lost
    # or taken twice, or the filling costs something.
    model = network()
    monkeypatch.setattr(gradient, "FEWEST_TUNES", 1)
    rng = np.random.default_rng(83)
    rolls = rng.choice([0.0, 0.5, 1.0], size=(2, 5, T, N))
    loss_weight = rng.uniform(0.1, 1, size=(T, 5))
    monkeypatch.setattr(gradient, "threads", lambda mode: workers)
    given = as_minibatch(rolls, loss_weight, block)
    assert len(model._functions.partial_gradients(given)) == parts
    found = cost_and_gradients(model, given)
    monkeypatch.setattr(gradient, "threads", lambda mode: 1)
    alone = []
    for b in range(5):  # with itself at weight 0, to use the program of B tunes
        once = loss_weight[:, [b, b]] * [1, 0]
        alone.append(cost_and_gradients(model, as_minibatch(rolls[:, [b, b]], once, T)))
    cost = sum(cost for cost, _ in alone)
    sums = {name: sum(gradients[name] for _, gradients in alone) for name in NAMES}
    assert_close(found, (cost, sums), 1e-12)


def test_padding_costs_nothing(network, minibatch):
    # A tune of 4 steps, padded to 7 and more with rows that sound. Fails if padding
    # reaches the cost or a gradient, also where a whole block of it follows.
    model = network()
    loss_weight = np.zeros((T, B))
    loss_weight[:4] = 0.25
    padded = cost_and_gradients(model, as_minibatch(minibatch, loss_weight, 3))
    cut = as_minibatch([roll[:, :4] for roll in minibatch], loss_weight[:4], 3)
    assert_close(padded, cost_and_gradients(model, cut), 1e-12)
