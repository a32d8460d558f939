"""The object: training, seeds, going on from a file, and what it refuses."""

import copy
import io
import math
import pickle
import re
import sys
import time

import numpy as np
import oracle
import pytest
from sizes import B, N, T

from lstmmusic import RNN4Music, TrainingError, datasets, mark_silence
from lstmmusic.training import loop
from midi import PackedRoll

NOTES = 5
SIZES = (4, 3, 2, NOTES)


def rolls(*lengths, seed=61, width=NOTES):
    rng = np.random.default_rng(seed)
    return [rng.choice([0.0, 0.0, 1.0], size=(n, width)) for n in lengths]


def train(model, tunes, epochs=1, per_minibatch=1, lam=0.0):
    """Train so that the minibatch is all tunes, in the shapes of other tests."""
    return model.train(tunes, per_minibatch, epochs, B, T + 1, lam, progress=False)


# Training


def test_an_epoch_makes_its_updates_on_one_minibatch(network, tunes, monkeypatch):
    # 3 epochs of 2 updates. Fails if a minibatch is drawn for every update, or if
    # loops or entries are short of one.
    model = network()
    drawn = []
    step = model._functions.step
    monkeypatch.setattr(
        model._functions,
        "step",
        lambda batch, *args: drawn.append(batch.x.tobytes()) or step(batch, *args),
    )
    others = rolls(T + 1, T + 4, T + 2, T - 3, seed=62, width=N)
    history = train(model, tunes + others, epochs=3, per_minibatch=2)
    assert len(history) == 6
    assert history == model.instantaneousCost
    assert history is not model.instantaneousCost
    assert model.loss == history[-1]
    assert drawn[0::2] == drawn[1::2]
    assert len(set(drawn)) == 3
    assert train(model, tunes)[:6] == history
    assert len(model.instantaneousCost) == 7


def test_the_history_is_the_cost_before_each_update(network, tunes):
    # That of `gradients` and of the loop, at the weights before the update.
    model = network()
    x, k = np.array([t[:-1] for t in tunes]), np.array([t[1:] for t in tunes])
    for n in range(3):
        w = model.parameters()
        before, _ = model.gradients(x, k)
        history = train(model, tunes)
        assert len(history) == n + 1
        assert history[-1] == pytest.approx(before, rel=1e-12)
        assert before == pytest.approx(oracle.cost(model.cost, w, x, k), rel=1e-12)


def test_training_brings_the_cost_down(network, tunes):
    model = network()
    model.setNewRates(0.01, 0.01, 0.01, 0.01)
    history = train(model, tunes, epochs=60)
    assert history[-1] < history[0] / 2


def test_D7_the_last_frame_of_a_tune_is_a_target(network, tunes):
    # Fails in the original's way: the last row then changes nothing.
    model = network()
    first = model.parameters()
    usual = train(model, tunes)[-1]
    for tune in tunes:
        tune[-1] = 1 - tune[-1]
    model.setParameters(first)
    assert train(model, tunes)[-1] != pytest.approx(usual, rel=1e-3)


def test_D9_the_state_at_step_minus_1_starts_training_and_generation(network, tunes):
    # Its cost is that of the loop from this state, and not that from zero.
    model = network()
    state = {n: a for n, a in model.parameters().items() if "td1" in n}
    zero = {name: np.zeros_like(a) for name, a in state.items()}
    w = model.parameters()
    x, k = np.array([t[:-1] for t in tunes]), np.array([t[1:] for t in tunes])
    found = train(model, tunes)[-1]
    assert found == pytest.approx(oracle.cost("cross-entropy", w, x, k), rel=1e-12)
    from_zero = oracle.cost("cross-entropy", w | zero, x, k)
    assert found != pytest.approx(from_zero, rel=1e-3)

    model.setParameters(w)
    model.genProbThreshold = 0.0
    _, y = model.genMusic(tunes[0][:1], 1, seed=1)
    wanted = oracle.probabilities(w, tunes[0][:1])
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-10)
    from_zero = oracle.probabilities(w | zero, tunes[0][:1])
    assert np.abs(y - from_zero).max() > 1e-3


def test_D9_resetStates_draws_the_state_anew_and_nothing_else():
    model = RNN4Music(90, 80, 70, NOTES, seed=1, muRand=0.7)
    before = model.parameters()
    model.resetStates()
    for name, array in model.parameters().items():
        if "td1" in name:
            assert (array != before[name]).mean() > 0.9
            assert array.min() >= 0
            assert 0.6 < array.max() <= np.float32(0.7)
        else:
            np.testing.assert_array_equal(array, before[name])


def test_attributes_take_effect_at_the_next_call_without_compiling(
    network, tunes, compilations
):
    # Every setting changes what an update does; `compilations` is seen to count in
    # test_functions.
    model = network()
    first = model.parameters()

    def weights(**changed):
        model.setParameters(first)
        model.resetRMSgrads()
        model.rng = np.random.default_rng(63)
        model.setNewRates(1e-3, 1e-3, 1e-3, 1e-3)
        model.epsilon, model.gradClip = 1e-5, 30.0
        for name, value in changed.items():
            setattr(model, name, value)
        train(model, tunes, epochs=2)
        found = model.parameters()
        return np.concatenate([found[name].ravel() for name in first])

    usual = weights()
    compilations.clear()
    np.testing.assert_array_equal(weights(), usual)
    for name in ("R1", "R2", "R3", "Rout"):
        assert (weights(**{name: 2e-3}) != usual).any(), name
    assert (weights(epsilon=10.0) != usual).any()
    assert (weights(gradClip=0.01) != usual).any()
    model.setNewRates(1e-3, 1e-3, 1e-3, 1e-3)
    train(model, tunes, lam=0.5)
    assert compilations == []


# Copies


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_goes_on_alone(network, tunes, everything, same, copied):
    # Fails if the copy trains the original's weights, or starts from others.
    model = network()
    train(model, tunes)
    other = copied(model)
    assert other.dtype == model.dtype
    before = everything(model)
    same(everything(other), before)
    history = train(other, tunes, epochs=2)
    same(everything(model), before)
    assert train(model, tunes, epochs=2) == history


# Training that leaves the finite numbers


@pytest.mark.parametrize("rate", [1e308, 1e8])
def test_rates_too_high_stop_training_and_leave_the_weights_before(
    network, tunes, everything, same, rate
):
    # The cost is finite, the new weights are not: 1e308 times a step of about 3. With
    # 1e8 they are, but beyond all use: fails if training goes on with them.
    model = network()
    train(model, tunes, epochs=3)
    model.R2 = rate
    before = everything(model)
    message = (
        rf"update 4 .*not finite, or weights beyond ±1e6.* {re.escape(f'{rate:g}')}"
    )
    with pytest.raises(TrainingError, match=message):
        train(model, tunes)
    after = everything(model)
    progress = {"progress": None}  # of another training
    same({**before, **progress}, {**after, **progress})
    assert len(model.instantaneousCost) == 3
    model.R2 = 1e-4
    assert np.isfinite(train(model, tunes)).all()


def test_a_cost_that_overflows_stops_training(network, tunes, everything, same):
    model = network()
    model.setParameters({"by": np.full(N, -1e308)})
    before = everything(model)
    with pytest.raises(TrainingError, match=r"update 1 .*not finite"):
        train(model, tunes, epochs=5)
    after = everything(model)
    progress = {"progress": None}  # of another training
    same({**before, **progress}, {**after, **progress})
    assert model.instantaneousCost == []
    assert math.isnan(model.loss)


def test_TrainingError_is_a_ValueError():
    assert issubclass(TrainingError, ValueError)


def test_D8_training_goes_through_outputs_that_log_would_not_bear(network, tunes):
    # All probabilities are 0 to the last bit, and half of the targets are 1.
    model = network()
    model.setParameters({"by": np.full(N, -1e4)})
    (cost,) = train(model, tunes)
    sounding = np.array(tunes)[:, 1:].sum() / B
    assert cost == pytest.approx(1e4 * sounding, rel=1e-2)


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "kernel", "progress", "shown"),
    [
        (Terminal, False, True, True),
        (Terminal, False, False, False),
        (io.StringIO, True, True, True),
        (io.StringIO, True, False, False),
        (io.StringIO, False, True, False),
    ],
    ids=["terminal", "unwanted", "notebook", "unwanted in a notebook", "neither"],
)
def test_a_progress_bar_is_shown_on_a_terminal_or_in_a_notebook(
    network, tunes, monkeypatch, capsys, stream, kernel, progress, shown
):
    # Fails if it shows wherever ipykernel is imported: a script may do that.
    model = network()
    app = pytest.importorskip("ipykernel.kernelapp").IPKernelApp
    monkeypatch.setattr(app, "initialized", lambda: kernel)
    monkeypatch.setattr(sys, "stderr", stream())
    model.train(tunes, 2, 3, B, T + 1, progress=progress)
    written = sys.stderr.getvalue()
    if shown:
        assert "6/6" in written
        assert f"cost {model.loss:.4g}" in written
    else:
        assert written == ""
    assert capsys.readouterr().out == ""


def test_what_was_done_before_counts_for_the_bar_but_not_for_its_speed(monkeypatch):
    # Fails if a resumed training seems to have made all its updates in a moment.
    monkeypatch.setattr(sys, "stderr", Terminal())
    with loop.progress_bar(3000, 6000, wanted=True) as bar:
        time.sleep(0.2)
        bar.update()
        bar.refresh()
    last = sys.stderr.getvalue().rsplit("\r", 1)[1]
    assert "3001/6000" in last
    rate, unit = re.search(r"([\d.]+)(s/update|update/s)", last).groups()
    assert (float(rate) if unit == "update/s" else 1 / float(rate)) < 10


# Seeds and files: float32 objects of their own, as a user has them

TUNES = rolls(9, 14, 6, 11)


def trained(model, epochs):
    model.train(TUNES, 2, epochs, 3, 8, lam=0.01, progress=False)
    return model


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Train 3 epochs, save, train 2 more, generate; the path of the file between."""
    pytest.importorskip("jax")
    path = tmp_path_factory.mktemp("straight") / "half.npz"
    model = RNN4Music(*SIZES, 0.01, 0.02, 0.03, 0.04, seed=5)
    trained(model, 3).saveParameters(path)
    trained(model, 2)
    return model, model.genMusic(TUNES[0], 30), path


def test_same_seed_same_bits(straight, everything, same):
    model, (tune, y), _ = straight
    again = RNN4Music(*SIZES, 0.01, 0.02, 0.03, 0.04, seed=5)
    trained(trained(again, 3), 2)
    other_tune, other_y = again.genMusic(TUNES[0], 30)
    same(everything(model), everything(again))
    np.testing.assert_array_equal(y, other_y)
    np.testing.assert_array_equal(tune, other_tune)


def test_other_seeds_other_weights_and_none_draws_a_new_one():
    first, second, third, fourth = (
        RNN4Music(*SIZES, seed=seed).parameters()["Wxi_1"]
        for seed in (5, 6, None, None)
    )
    assert (first != second).all()
    assert (third != fourth).any()


def test_going_on_in_a_new_process_is_training_straight_through(
    straight, everything, same, in_new_process, tmp_path
):
    # Weights, means, history, the minibatches and samples drawn next: bit for bit.
    # Fails if anything that training reads is not in the file.
    model, (tune, y), path = straight
    np.savez(tmp_path / "tunes.npz", *TUNES)
    in_new_process(
        f"""
import numpy as np
from lstmmusic import RNN4Music
tunes = list(np.load("tunes.npz").values())
model = RNN4Music.fromFile({str(path)!r})
model.train(tunes, 2, 2, 3, 8, lam=0.01, progress=False)
np.savez("generated.npz", *model.genMusic(tunes[0], 30))
model.saveParameters("after")
"""
    )
    with np.load(tmp_path / "after.npz") as file:
        same(everything(model), {name: file[name] for name in file.files})
    with np.load(tmp_path / "generated.npz") as file:
        np.testing.assert_array_equal(file["arr_0"], tune)
        np.testing.assert_array_equal(file["arr_1"], y)
    assert len(model.instantaneousCost) == 10


# Parameters


def test_parameters_are_copies_and_setParameters_takes_some(everything):
    model = RNN4Music(*SIZES, seed=1)
    first = model.parameters()
    assert len(first) == 57 + 6
    model.parameters()["by"][:] = 99
    first["Wxj_2"][:] = 99
    assert model.parameters()["by"].max() < 9
    assert model.parameters()["Wxj_2"].max() < 9
    new = {"by": np.arange(NOTES), "ctd1_2": [1.0, 2.0, 3.0]}
    untouched = model.parameters()
    model.setParameters(new)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, new.get(name, untouched[name]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Wxi_4": np.zeros((4, 5))}, "no parameter 'Wxi_4'; allowed are Wxi_1, "),
        ({"Wxi_1": np.zeros((5, 4))}, r"Wxi_1 has shape \(5, 4\); allowed is \(4, 5\)"),
        ({"by": np.full(5, np.nan)}, "by holds values that are not finite"),
        ({"by": np.full(5, 1e300)}, "by holds values that are not finite"),
    ],
)
def test_bad_parameters_are_refused_and_none_is_set(everything, same, values, message):
    model = RNN4Music(*SIZES, seed=1)
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.setParameters({"bi_1": np.ones(4)} | values)
    same(before, everything(model))


def test_tables_of_weights_and_derivatives_have_a_line_each(capsys):
    model = RNN4Music(*SIZES, seed=1)
    model.setParameters({"by": [1, 2, 3, 4, 10]})
    model.printWeights()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 57 + 6
    (line,) = (line for line in lines if line.startswith("by "))
    assert "(5,)" in line
    assert "mean +4.0000e+00" in line
    assert "from +1.0000e+00 to +1.0000e+01" in line
    model.printDerivatives()
    assert len(capsys.readouterr().out.splitlines()) == 57


# Bad input


WHOLE = "allowed are whole numbers from"
OPTIONAL = "allowed are None and whole numbers from"
FINITE = "allowed are finite numbers"


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("h1_length", 0, f"{WHOLE} 1"),
        ("h2_length", -3, f"{WHOLE} 1"),
        ("h3_length", 2.5, f"{WHOLE} 1"),
        ("h1_length", True, f"{WHOLE} 1"),
        ("io_length", "5", f"{WHOLE} 1"),
        ("io_length", None, f"{WHOLE} 1"),
        ("R1", 0, f"{FINITE} above 0"),
        ("R2", -0.1, f"{FINITE} above 0"),
        ("R3", math.nan, f"{FINITE} above 0"),
        ("Rout", math.inf, f"{FINITE} above 0"),
        ("R1", "0.1", f"{FINITE} above 0"),
        ("R1", None, f"{FINITE} above 0"),
        ("epsilon", 0.0, f"{FINITE} above 0"),
        ("gradClip", -1, f"{FINITE} above 0"),
        ("sigRand", -0.5, f"{FINITE} from 0"),
        ("muRand", math.inf, f"{FINITE} from 0"),
        ("genProbThreshold", 1.5, f"{FINITE} from 0 to 1"),
        ("genProbThreshold", -0.1, f"{FINITE} from 0 to 1"),
        ("cost", "hinge", "allowed are 'cross-entropy', 'squared-error'"),
        ("cost", None, "allowed are 'cross-entropy', 'squared-error'"),
        ("mode", "C", "allowed are None and 'JAX', 'NUMBA'"),
        ("seed", -1, f"{OPTIONAL} 0"),
        ("seed", 1.5, f"{OPTIONAL} 0"),
    ],
)
def test_bad_arguments_are_refused(argument, value, allowed):
    good = dict(zip(("h1_length", "h2_length", "h3_length"), SIZES, strict=False))
    with pytest.raises(ValueError) as caught:  # noqa: PT011  read below
        RNN4Music(**(good | {argument: value}))
    assert f"{argument} is {value!r}; {allowed}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("R1", 0),
        ("R3", "fast"),
        ("Rout", math.nan),
        ("epsilon", -1),
        ("gradClip", 0),
        ("genProbThreshold", 2),
    ],
)
def test_bad_attributes_are_refused_and_the_old_ones_stay(name, value):
    model = RNN4Music(*SIZES, 0.01, 0.02, 0.03, 0.04)
    old = getattr(model, name)
    with pytest.raises(ValueError, match=f"{name} is {value!r}; {FINITE}"):
        setattr(model, name, value)
    assert getattr(model, name) == old


def test_bad_rates_are_refused_together():
    model = RNN4Music(*SIZES, 0.01, 0.02, 0.03, 0.04)
    with pytest.raises(ValueError, match="Rout is -1; allowed"):
        model.setNewRates(0.1, 0.2, 0.3, -1)
    assert (model.R1, model.R2, model.R3, model.Rout) == (0.01, 0.02, 0.03, 0.04)
    model.setNewRates(0.1, 0.2, 0.3, 0.4)
    assert (model.R1, model.R2, model.R3, model.Rout) == (0.1, 0.2, 0.3, 0.4)


GOOD = {
    "dataset": rolls(8, 9, 10),
    "noOfEpochPerMB": 1,
    "noOfEpoch": 1,
    "sizeOfMiniBatch": 2,
    "lengthOfMB": 8,
    "lam": 0.0,
}


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("dataset", [], "dataset is empty; at least one tune"),
        ("dataset", rolls(8, 9, width=4), r"tune 0 .* has shape \(8, 4\); .*, 5\)"),
        (
            "dataset",
            [*rolls(8), np.full((2, 5), np.nan)],
            "tune 1 .* holds nan .* 0 to 1",
        ),
        ("dataset", [*rolls(8), np.full((2, 5), 2)], "tune 1 .* holds 2.0 .* 0 to 1"),
        ("dataset", [*rolls(8), np.full((2, 5), -1)], "tune 1 .* holds -1.0 .* 0 to 1"),
        ("dataset", [*rolls(8), np.zeros((0, 5))], "tune 1 .* has shape .* least 1"),
        ("sizeOfMiniBatch", 4, "sizeOfMiniBatch is 4.* 3 tunes; allowed are 1 to 3"),
        ("sizeOfMiniBatch", 0, f"sizeOfMiniBatch is 0; {WHOLE} 1"),
        ("noOfEpochPerMB", 0, f"noOfEpochPerMB is 0; {WHOLE} 1"),
        ("noOfEpoch", -1, f"noOfEpoch is -1; {WHOLE} 1"),
        ("lengthOfMB", 1, f"lengthOfMB is 1; {OPTIONAL} 2"),
        ("lengthOfMB", 7.5, f"lengthOfMB is 7.5; {OPTIONAL} 2"),
        ("lam", -0.1, f"lam is -0.1; {FINITE} from 0"),
        ("lam", math.nan, f"lam is nan; {FINITE} from 0"),
    ],
)
def test_bad_training_is_refused_before_any_work(
    everything, same, compilations, argument, value, message
):
    model = RNN4Music(*SIZES, seed=1)
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.train(**(GOOD | {argument: value}))
    same(before, everything(model))
    assert compilations == []


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (
            np.zeros((2, 3, 4)),
            np.zeros((2, 3, 4)),
            r"inputs has shape \(2, 3, 4\).* 5\)",
        ),
        (
            np.zeros((2, 3, 5)),
            np.zeros((2, 4, 5)),
            r"\(2, 3, 5\) and \(2, 4, 5\).*same",
        ),
        (np.zeros((3, 5)), np.zeros((3, 5)), r"inputs has shape \(3, 5\); .*tunes"),
        (np.zeros((2, 0, 5)), np.zeros((2, 0, 5)), "inputs has shape.* at least one"),
        (np.zeros((2, 3, 5)), np.full((2, 3, 5), 1.5), "targets holds 1.5 .* 0 to 1"),
    ],
)
def test_bad_minibatches_are_refused(compilations, inputs, targets, message):
    model = RNN4Music(*SIZES, seed=1)
    with pytest.raises(ValueError, match=message):
        model.gradients(inputs, targets)
    assert compilations == []


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (np.zeros((3, 4)), r"tune has shape \(3, 4\); allowed are \(steps, 5\)"),
        (np.zeros((0, 5)), r"tune has shape \(0, 5\); .* at least 1"),
        (np.full((3, 5), np.nan), r"tune holds nan at \(0, 0\); .* 0 to 1"),
    ],
)
def test_bad_tunes_are_refused(compilations, tune, message):
    model = RNN4Music(*SIZES, seed=1)
    with pytest.raises(ValueError, match=message):
        model.probabilities(tune)
    assert compilations == []


def test_defaults_are_those_of_the_original():
    model = RNN4Music()
    assert (*model.h_lengths, model.io_length) == (200, 200, 200, 88)
    assert {model.R1, model.R2, model.R3, model.Rout} == {1e-4}
    assert (model.epsilon, model.gradClip, model.genProbThreshold) == (1e-5, 30.0, 0.1)
    assert (model.sigRand, model.muRand) == (0.1, 0.01)
    assert (model.cost, model.originalForward) == ("cross-entropy", False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cost", "squared-error"), ("h2_length", 7), ("mode", "NUMBA"), ("io_length", 3)],
)
def test_what_compiled_functions_hold_is_fixed(name, value):
    model = RNN4Music(*SIZES)
    before = getattr(model, name)
    with pytest.raises(AttributeError, match=f"{name} is fixed"):
        setattr(model, name, value)
    assert getattr(model, name) == before


def test_bad_first_values_are_refused_later_too():
    model = RNN4Music(*SIZES)
    with pytest.raises(ValueError, match=r"muRand is -3; allowed are .* from 0"):
        model.muRand = -3
    assert model.muRand == 0.01


def test_bad_sizes_are_refused_before_memory_is_asked_for():
    with pytest.raises(ValueError, match=r"h1_length is 1000000000; .* 1 to 65536"):
        RNN4Music(10**9, 3, 2, 5)


@pytest.mark.parametrize("name", ["epsilon", "R2", "gradClip"])
def test_bad_numbers_that_the_precision_rounds_to_0(name):
    # In float32 0/0 would follow, or a training that changes nothing.
    model = RNN4Music(*SIZES)
    setattr(model, name, 1e-60)
    with pytest.raises(ValueError, match=r"in float32; allowed are .* not round to 0"):
        model.train(rolls(9), 1, 1, 1, 5)


@pytest.mark.parametrize("dataset", [5, None, "tunes"], ids=repr)
def test_bad_dataset_that_is_no_sequence(dataset):
    with pytest.raises(ValueError, match=f"dataset is {dataset!r}; allowed is a seq"):
        RNN4Music(*SIZES).train(dataset, 1, 1, 1, 5)


@pytest.mark.parametrize("form", [np.asarray, PackedRoll.of])
def test_bad_dataset_that_is_one_roll(form):
    # Fails if its rows are taken for tunes, which the error would then name.
    roll = form(np.asarray(rolls(9)[0], np.uint8))
    with pytest.raises(ValueError, match=r"dataset is one roll of shape \(9, \d+\); "):
        RNN4Music(*SIZES).evaluate(roll)
    for call in (mark_silence, lambda given: datasets.transpose(given, 1)):
        with pytest.raises(ValueError, match=r"one roll of .*a sequence of tunes: \[r"):
            call(roll)


def test_a_dataset_may_have_a_shape_that_is_no_tuple():
    class Dataset(list):
        shape = None  # as of an empty data set of h5py

    given = rolls(9)
    assert len(mark_silence(Dataset(given))) == len(given)


@pytest.mark.parametrize(
    "value", [[[1, 0], [1]], [["a"] * NOTES], [[{}] * NOTES], [[1j] * NOTES]], ids=repr
)
def test_bad_arrays_are_named(value):
    model = RNN4Music(*SIZES)
    with pytest.raises(ValueError, match="startVectors is not an array of numbers"):
        model.genMusic(value, 3)
    with pytest.raises(ValueError, match="by is not an array of numbers"):
        model.setParameters({"by": value})
    with pytest.raises(ValueError, match="tune 0 of the dataset is not an array"):
        model.train([value], 1, 1, 1, 5)


def test_what_midiread_returns_is_a_tune_and_a_primer(network, tunes):
    class Roll:
        piano_roll = tunes[0].astype(np.uint8)

    model = network()
    found, _ = model.genMusic(Roll, 3, seed=1)
    wanted, _ = model.genMusic(tunes[0], 3, seed=1)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(
        model.probabilities(Roll), model.probabilities(tunes[0])
    )
