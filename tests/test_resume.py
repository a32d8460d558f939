"""Stopping and going on: bit for bit as if never stopped, or refused."""

import copy
import errno
import math
import shutil
import signal
import threading
import warnings

import numpy as np
import pytest
import trainings
from sizes import N
from trainings import EPOCHS, PLANS, TUNES, UPDATES, VALIDATION, train

from lstmmusic import CheckpointError, RNN4Music, TrainingError
from lstmmusic.training import parameter_file
from lstmmusic.training.checkpoint import weights_of
from lstmmusic.training.divergence import Divergence
from lstmmusic.training.loop import Training
from lstmmusic.training.state import Position


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def at_update(monkeypatch):
    """Return a function that makes something happen at the end of update n."""

    def hook(model, n, act):
        record = Training.record

        def recorded(training, *args):
            record(training, *args)
            if training.model is model and len(model.instantaneousCost) == n:
                act()

        monkeypatch.setattr(Training, "record", recorded)

    return hook


# Ctrl-C


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", [1, 4, 5, 6, UPDATES])
def test_ctrl_c_ends_after_the_update_and_resume_goes_on(
    begin, straight, at_update, everything, same, capsys, plan, n
):
    # In the middle of a minibatch's updates, between two of them, and at the end of an
    # epoch or of all. Fails if anything is lost or done twice.
    model = begin()
    usual = signal.getsignal(signal.SIGINT)
    at_update(model, n, ctrl_c)
    history = train(model, plan)
    assert len(history) == n
    assert signal.getsignal(signal.SIGINT) is usual
    says = f"stopped by Ctrl-C after {n} of {UPDATES} updates; can be resumed"
    assert (says in capsys.readouterr().err) == (n < UPDATES)
    assert len(model.validationCost) == sum(end <= n for end in EPOCHS[plan])
    assert train(model, plan, resume=True)[:n] == history
    same(everything(model), straight[plan])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("place", "n"),
    [*((place, n) for place in ("gradient", "update") for n in (1, 4, 6, 7)),
     ("evaluate", 1), ("evaluate", 2), ("best weights", 1)],
)  # fmt: skip
def test_a_second_ctrl_c_interrupts_at_once_and_nothing_is_half_done(
    begin, straight, everything, same, monkeypatch, plan, place, n
):
    # While a gradient is computed, weights are changed, tunes evaluated, or the best
    # weights put back. Fails if random numbers are drawn for an update that is not
    # made, or if weights are half changed: at once is then too soon.
    model = begin()
    usual = signal.getsignal(signal.SIGINT)
    functions, calls = model._functions, []
    places = {
        "gradient": [(Training, "masks"), (functions, "partial_gradients")],
        "update": [(functions, "step"), (functions, "apply")],
        "evaluate": [(model, "evaluate")],
        "best weights": [(model._store, "set")],
    }

    def interrupted(function):
        def call(*args):
            if len(calls) < n:
                calls.append(len(model.instantaneousCost))
                if len(calls) == n:
                    ctrl_c()
                    ctrl_c()
            return function(*args)

        return call

    with monkeypatch.context() as patch:
        for owner, name in places[place]:
            patch.setattr(owner, name, interrupted(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            train(model, plan)
    assert signal.getsignal(signal.SIGINT) is usual
    done = {"gradient": calls[-1], "update": n, "best weights": UPDATES}
    done["evaluate"] = EPOCHS[plan][n - 1] if place == "evaluate" else None
    assert len(calls) == n
    assert len(model.instantaneousCost) == done[place]
    if place == "best weights":
        same(weights_of(model), model._train_state.best)
    train(model, plan, resume=True)
    same(everything(model), straight[plan])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", [5, None])
def test_a_cost_awaited_after_the_next_update_changes_nothing(
    begin, straight, at_update, everything, same, monkeypatch, plan, n
):
    # As on a GPU, here on a CPU. Fails if the update that was asked for last is lost
    # at the end of an epoch or of all, or recorded with another's position.
    model = begin()
    monkeypatch.setattr(model._functions, "asynchronous", True)
    if n is not None:
        at_update(model, n, ctrl_c)  # the next update is on its way
        assert len(train(model, plan)) == n + 1
        assert not model.trainingOver
    train(model, plan, resume=n is not None)
    same(everything(model), straight[plan])


def test_ctrl_c_works_in_no_other_thread_and_no_handler_is_set_there(
    begin, straight, at_update, everything, same
):
    # Python lets the main thread alone set one: it would be a ValueError.
    model, usual, handlers = begin(), signal.getsignal(signal.SIGINT), []
    at_update(model, 3, lambda: handlers.append(signal.getsignal(signal.SIGINT)))
    thread = threading.Thread(target=train, args=(model,))
    thread.start()
    thread.join()
    assert handlers == [usual]
    same(everything(model), straight["whole"])


def test_ctrl_c_is_ignored_where_it_was_ignored(begin, at_update):
    # As in what a shell runs in the background.
    model = begin()
    at_update(model, 3, ctrl_c)
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert len(train(model)) == UPDATES
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


# Checkpoints


@pytest.fixture
def checkpoints(begin, monkeypatch, tmp_path):
    """Return a function that trains, and returns the path of a copy of each save."""

    def get(every, plan="whole", **arguments):
        model, copies = begin(), []
        save = model.saveParameters

        def saved(path):
            save(path)
            copies.append(tmp_path / f"{len(copies)}.npz")
            shutil.copy(path, copies[-1])

        with monkeypatch.context() as patch:
            patch.setattr(model, "saveParameters", saved)
            path = tmp_path / "checkpoint.npz"
            train(model, plan, checkpoint=path, checkpointEvery=every, **arguments)
        return copies

    return get


@pytest.mark.parametrize("plan", PLANS)
def test_every_checkpoint_goes_on_as_if_never_stopped(
    begin, straight, checkpoints, everything, same, plan
):
    # One after each update, those at an epoch's end among them, and one at the end.
    paths = checkpoints(1, plan)
    assert len(paths) == UPDATES + 1
    for n, path in enumerate(paths, start=1):
        assert len(parameter_file.read(path).training.costs) == min(n, UPDATES)
        model = begin()
        history = train(model, plan, checkpoint=path, resume=True)
        assert len(history) == UPDATES
        same(everything(model), straight[plan])
        with np.load(path) as file:
            same({name: file[name] for name in file.files}, straight[plan])


def test_checkpoints_come_after_as_many_updates_or_minutes_as_said(checkpoints):
    lengths = [len(parameter_file.read(path).training.costs) for path in checkpoints(5)]
    assert lengths == [5, 10, 12]
    assert len(checkpoints(None)) == 1  # it took no five minutes
    assert len(checkpoints(None, checkpointMinutes=0)) == UPDATES + 1


def test_a_checkpoint_of_a_training_that_patience_ended_is_at_its_end(
    begin, monkeypatch, everything, same, tmp_path
):
    # The third validation is the second without a better one. Fails if a resumed
    # training counts anew, or goes on for the epochs that were left.
    path = tmp_path / "a.npz"
    numbers = iter([2.0, 3.0, 3.0, 1.0])
    model = begin()

    class Result:
        @property
        def nll(self):
            return next(numbers)

    monkeypatch.setattr(model, "evaluate", lambda tunes: Result())
    train(model, "cut", patience=2, checkpoint=path)
    assert len(model.validationCost) == 3
    before = everything(model)
    model = begin()
    train(model, "cut", patience=2, checkpoint=path, resume=True)
    same(everything(model), before)
    train(model, "cut", patience=2, resume=True)
    same(everything(model), before)


def test_patience_that_has_begun_goes_on(begin, monkeypatch, at_update):
    # Stopped after one validation of the two without a better one.
    model = begin()
    numbers = iter([2.0, 3.0, 3.0, 1.0])
    monkeypatch.setattr(
        model, "evaluate", lambda tunes: type("", (), {"nll": next(numbers)})
    )
    at_update(model, 5, ctrl_c)
    train(model, "cut", patience=2)
    assert len(train(model, "cut", patience=2, resume=True)) == 6


def test_in_a_new_process_it_goes_on_bit_for_bit(
    begin, straight, at_update, same, in_new_process, tmp_path
):
    # Between a minibatch's two updates, after a validation. Fails if anything that a
    # training needs is not in the file.
    model = begin()
    at_update(model, 9, ctrl_c)
    path = tmp_path / "stopped.npz"
    train(model, checkpoint=path)
    assert len(model.instantaneousCost) == 9
    np.savez(tmp_path / "tunes.npz", *TUNES, *VALIDATION)
    arguments = {**PLANS["whole"], "validation": None}
    in_new_process(
        f"""
import numpy as np
from lstmmusic import RNN4Music
tunes = list(np.load("tunes.npz").values())
arguments = {arguments!r} | {{"validation": tunes[5:], "progress": False}}
model = RNN4Music.fromFile("stopped")
model.train(tunes[:5], checkpoint="stopped", resume=True, **arguments)
""",
        PYTENSOR_FLAGS="floatX=float64",
    )
    with np.load(path) as file:
        same({name: file[name] for name in file.files}, straight["whole"])


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    begin, straight, monkeypatch, everything, same, tmp_path
):
    # The third save fails. Fails if the file is written in place, or if the object
    # cannot go on.
    model, saves = begin(), []
    path = tmp_path / "a.npz"
    replace = parameter_file.os.replace

    def full(*args):
        saves.append(args)
        if len(saves) == 3:
            raise OSError("no space left on device")
        replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(parameter_file.os, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            train(model, checkpoint=path, checkpointEvery=2)
    assert len(parameter_file.read(path).training.costs) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    train(model, resume=True)
    same(everything(model), straight["whole"])


def test_a_checkpoint_that_is_not_there_begins_or_goes_on(
    begin, straight, at_update, everything, same, tmp_path
):
    # So a script may always say resume=True. Fails if what this object has learnt
    # would be trained over again from its beginning.
    model = begin()
    train(model, checkpoint=tmp_path / "a", resume=True)
    same(everything(model), straight["whole"])
    assert len(train(model, checkpoint=tmp_path / "b", resume=True)) == 2 * UPDATES
    model = begin()
    at_update(model, 5, ctrl_c)
    train(model)
    train(model, checkpoint=tmp_path / "c", resume=True)
    same(everything(model), straight["whole"])


def test_a_copy_goes_on_alone(begin, straight, at_update, everything, same):
    # Fails if the copy's position is the original's.
    model = begin()
    at_update(model, 5, ctrl_c)
    train(model)
    other = copy.copy(model)
    other._train_state.position = Position()
    train(model, resume=True)
    same(everything(model), straight["whole"])


# Training that leaves the finite numbers


def test_a_failed_update_leaves_all_as_before_it_and_the_checkpoint(
    begin, straight, at_update, everything, same, tmp_path
):
    # Update 6 fails. Fails if its masks are drawn, or if something that is not finite
    # gets into the object or the file.
    model, path = begin(), tmp_path / "a.npz"

    def too_far():
        model.R2 = 1e308

    at_update(model, 5, too_far)
    with pytest.raises(TrainingError, match=r"update 6 .*not finite.*1e\+308"):
        train(model, checkpoint=path, checkpointEvery=1)
    before = everything(model)
    with np.load(path) as file:
        same({name: file[name] for name in file.files}, before)
    assert len(model.instantaneousCost) == 5
    model.R2 = 0.05
    train(model, resume=True)
    same(everything(model), straight["whole"])


# Refusals


@pytest.fixture
def stopped(begin, at_update, tmp_path):
    """A network whose training was stopped after 5 updates, and its checkpoint."""
    model = begin()
    at_update(model, 5, ctrl_c)
    train(model, checkpoint=tmp_path / "stopped.npz")
    return model, tmp_path / "stopped.npz"


OTHERS = {
    "noOfEpochPerMB": (1, "noOfEpochPerMB was 2, is 1$"),
    "noOfEpoch": (3, "noOfEpoch was 2, is 3$"),
    "sizeOfMiniBatch": (3, "sizeOfMiniBatch was 2, is 3$"),
    "lengthOfMB": (33, "lengthOfMB was None, is 33$"),
    "lam": (0.1, "lam was 0.0, is 0.1$"),
    "average": ("tune", "average was 'step', is 'tune'$"),
    "rateDecay": (None, "rateDecay was 'cosine', is None$"),
    "patience": (9, "patience was None, is 9$"),
    "validation": (VALIDATION[::-1], "validation was '2 tunes of 16 .* is '2 tunes"),
    "dataset": (TUNES[:4], "dataset was '5 tunes of 107 steps, .* is '4 tunes of 87"),
}
# The same number of tunes and steps, too.
CHANGED = [TUNES[0], TUNES[1], TUNES[2], 1 - TUNES[3], TUNES[4]]


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, *other) for name, other in OTHERS.items()),
        ("dataset", TUNES[::-1], "dataset was '5 .*, is '5 tunes of 107"),
        ("dataset", CHANGED, "dataset was '5 .*, is '5 tunes of 107"),
    ],
)
def test_another_training_is_refused_by_what_differs(
    stopped, begin, everything, same, from_file, name, value, message
):
    model, path = stopped
    arguments = {"checkpoint": path} if from_file else {}
    if from_file:
        model = begin()
    before = everything(model)
    with pytest.raises(ValueError, match=f"not the training .* stopped: {message}"):
        train(model, resume=True, **arguments, **{name: value})
    same(before, everything(model))


@pytest.mark.parametrize("form", [{"optimizer": "RMSprop"}, {"cost": "squared-error"}])
def test_a_network_of_another_form_is_refused(stopped, everything, same, form):
    _, path = stopped
    other = RNN4Music(5, 4, 3, N, seed=1, **({"optimizer": "Adam"} | form))
    before = everything(other)
    ((name, value),) = form.items()
    with pytest.raises(ValueError, match=f"stopped: .*{name} was .*, is '{value}'"):
        train(other, checkpoint=path, resume=True)
    same(before, everything(other))


def test_nothing_to_go_on_with_is_refused(begin, everything, same, tmp_path):
    model = begin()
    model.saveParameters(tmp_path / "a")
    before = everything(model)
    with pytest.raises(ValueError, match=r"this object holds no training to resume"):
        train(model, resume=True)
    with pytest.raises(ValueError, match=r"a\.npz holds no training to resume"):
        train(model, resume=True, checkpoint=tmp_path / "a.npz")
    same(before, everything(model))


WHOLE = "allowed are (None and )?whole numbers from"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resume": 1}, "resume is 1; allowed are True and False"),
        ({"patience": 2, "validation": None}, "patience is 2, .* no validation"),
        ({"patience": 0}, f"patience is 0; {WHOLE} 1"),
        ({"patience": 1.5}, f"patience is 1.5; {WHOLE} 1"),
        ({"validation": []}, "validation is empty"),
        ({"validation": [VALIDATION[0][:1]]}, "tune 0 of validation has 1 step; .* 2"),
        ({"rateDecay": ""}, "rateDecay is ''; allowed are None and 'cosine'"),
        ({"rateDecay": "linear"}, "'linear'; allowed are None and 'cosine'$"),
        ({"average": None}, "average is None; allowed are 'tune', 'step'"),
        ({"noOfEpoch": "2"}, f"noOfEpoch is '2'; {WHOLE} 1"),
        ({"noOfEpochPerMB": None}, f"noOfEpochPerMB is None; {WHOLE} 1"),
        ({"sizeOfMiniBatch": "2"}, f"sizeOfMiniBatch is '2'; {WHOLE} 1"),
        ({"sizeOfMiniBatch": 6}, "sizeOfMiniBatch is 6, .* 5 tunes"),
        ({"lengthOfMB": "33"}, f"lengthOfMB is '33'; {WHOLE} 2"),
        ({"lam": "0"}, "lam is '0'; allowed are finite numbers from 0"),
        ({"dataset": [*TUNES, TUNES[0][:1]]}, "tune 5 of the dataset has 1 step; .* 2"),
        ({"checkpointEvery": 5}, "checkpointEvery is 5, but there is no checkpoint"),
        ({"checkpoint": "a", "checkpointEvery": 0}, f"checkpointEvery is 0; {WHOLE} 1"),
        ({"checkpointMinutes": -1}, "checkpointMinutes is -1; .* from 0"),
        ({"checkpoint": 5}, "checkpoint is 5; allowed is the path of a file"),
        ({"checkpoint": "."}, r"checkpoint is '\.', which names no file"),
        ({"progress": "no"}, "progress is 'no'; allowed are True and False"),
        ({"command": 7}, "command is 7; allowed are None and a string"),
        ({"sources": []}, "sources is empty"),
        ({"checkpoint": ""}, "checkpoint is ''; allowed is the path of a file"),
        ({"checkpoint": "not there/a"}, "is 'not there/a', .* is no folder that can"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    begin, everything, same, arguments, message
):
    model = begin()
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        train(model, **arguments)
    same(before, everything(model))


# A checkpoint that cannot be written


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("n", [1, 5, UPDATES])
def test_a_full_disk_ends_the_training_and_the_object_goes_on(
    begin, straight, everything, same, at_update, monkeypatch, tmp_path, n
):
    # At a save in the middle of an epoch, between two, and at the end. Fails if an
    # update is lost or made twice, or if the older checkpoint is gone on from.
    model, path = begin(), tmp_path / "a.npz"
    save = {"checkpoint": path, "checkpointEvery": 1}
    monkeypatch.undo()
    at_update(model, n, lambda: monkeypatch.setattr(np, "savez", no_room))
    with pytest.raises(CheckpointError) as caught:
        train(model, **save)
    assert str(caught.value) == (
        f"checkpoint is {str(path)!r}, but it cannot be written after {n} "
        f"update{'s' * (n > 1)}: No space left on device. The object holds what was "
        "learnt: saveParameters writes it to another path, and resume=True goes on "
        "with it"
    )
    assert len(model.instantaneousCost) == n
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"] * (n > 1)
    monkeypatch.undo()
    done = []
    at_update(model, n + 1, lambda: done.append(len(model.instantaneousCost)))
    train(model, **save, resume=True)
    assert done == [n + 1] * (n < UPDATES)
    same(everything(model), straight["whole"])
    again = begin()
    again.loadParameters(path)
    same(everything(again), straight["whole"])


def test_a_folder_that_vanishes_while_training(
    begin, straight, everything, same, at_update, tmp_path
):
    model, folder = begin(), tmp_path / "out"
    folder.mkdir()
    at_update(model, 3, lambda: shutil.rmtree(folder))
    with pytest.raises(CheckpointError, match="3 updates: No such file or directory"):
        train(model, checkpoint=folder / "a", checkpointEvery=1)
    train(model, checkpoint=tmp_path / "a", resume=True)
    same(everything(model), straight["whole"])


def test_a_checkpoint_of_no_update_is_gone_on_from_too(
    begin, straight, everything, same, at_update, monkeypatch, tmp_path
):
    # Saved before the first update. Fails if what came after it is made again.
    model, path = begin(), tmp_path / "a"
    monkeypatch.setattr(Training, "masks", lambda *_: ctrl_c() or ctrl_c())
    with pytest.raises(KeyboardInterrupt):
        train(model, checkpoint=path)
    model.saveParameters(path)
    monkeypatch.undo()
    at_update(model, 3, lambda: monkeypatch.setattr(np, "savez", no_room))
    with pytest.raises(CheckpointError):
        train(model, checkpoint=path, checkpointEvery=1, resume=True)
    monkeypatch.undo()
    shutil.copy(path.with_suffix(".npz"), tmp_path / "three.npz")
    done = []
    at_update(model, 4, lambda: done.append(len(model.instantaneousCost)))
    train(model, checkpoint=path, resume=True)
    assert done == [4]
    same(everything(model), straight["whole"])


def test_a_folder_that_appears_at_the_checkpoint(
    begin, straight, everything, same, at_update, tmp_path
):
    model = begin()
    at_update(model, 3, lambda: (tmp_path / "a.npz").mkdir())
    with pytest.raises(CheckpointError, match=r"3 updates: .*a\.npz' is a folder"):
        train(model, checkpoint=tmp_path / "a", checkpointEvery=3)
    train(model, checkpoint=tmp_path / "b", resume=True)
    same(everything(model), straight["whole"])


def test_another_network_does_not_go_on_in_place_of_the_checkpoints(
    begin, straight, everything, same, at_update, monkeypatch, tmp_path
):
    # It has the same plan and is further on, but has another history.
    model = begin()
    at_update(model, 2, ctrl_c)
    train(model, checkpoint=tmp_path / "a")
    monkeypatch.undo()
    other = begin()
    other.setParameters({"by": other.parameters()["by"] + 1})
    at_update(other, 9, ctrl_c)
    train(other)
    monkeypatch.undo()
    train(other, checkpoint=tmp_path / "a", resume=True)
    same(everything(other), straight["whole"])


# A cost that rises


@pytest.mark.parametrize(
    ("costs", "warns"),
    [
        ([5.0, 1.0] + 20 * [10.1], True),
        ([5.0, 1.0] + 20 * [9.9], False),
        ([5.0, 1.0] + 19 * [10.1] + [1.0] + 19 * [10.1], False),
        ([5.0, 1.0] + 300 * [10.1] + [1.0] + 20 * [99.0], True),  # once
        (20 * [60.0] + [50.0 - n for n in range(49)], False),
    ],
)
def test_a_cost_far_above_its_lowest_is_warned_of_once(costs, warns):
    divergence, told = Divergence(), []
    for cost in costs:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            divergence.look_at(cost)
            divergence.warn_once((1, 2, 3, 4))
        told += [str(warning.message) for warning in caught]
    assert len(told) == warns
    if warns:
        assert told[0].startswith(
            "the cost per step has been over 10 times its lowest, 1, for 20 updates, "
            "and is 10.1: training may be diverging. Smaller rates (R1, R2, R3, Rout "
            "are 1, 2, 3, 4)"
        )


def test_a_resumed_training_knows_its_lowest_cost():
    divergence = Divergence([5.0, math.nan, 1.0, *15 * [10.1]])
    for _ in range(5):
        divergence.look_at(10.1)
    with pytest.warns(UserWarning, match="10 times its lowest, 1, for 20 updates"):
        divergence.warn_once((1, 2, 3, 4))


def test_a_warning_that_is_an_error_leaves_a_training_that_goes_on(
    begin, straight, everything, same, monkeypatch
):
    # Fails if an update is made twice, or lost.
    model = begin()
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(Divergence, "FACTOR", 0.0)
        patch.setattr(Divergence, "UPDATES", 5)
        with pytest.raises(UserWarning, match="may be diverging"):
            train(model)
    assert len(model.instantaneousCost) == 5
    train(model, resume=True)
    same(everything(model), straight["whole"])


def test_rates_of_1000_are_warned_of(network):
    # By plain steps, of which none leaves the finite numbers.
    model = network()
    model.setNewRates(*4 * [1000.0])
    with pytest.warns(UserWarning, match="R1, R2, R3, Rout are 1000, 1000") as told:
        train(model, "cut", noOfEpoch=30, validation=None, lengthOfMB=8)
    assert [warning.filename for warning in told] == [trainings.__file__]
