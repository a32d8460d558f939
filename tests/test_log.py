"""`train(callback=...)`: when it is called, that it stops, and `log_to`'s lines."""

import copy
import csv
import errno
import math
import os
import time

import numpy as np
import pytest
from sizes import N
from trainings import EPOCHS, UPDATES, train

from lstmmusic import Progress, log_to
from lstmmusic.training.log import COLUMNS

PLANS = tuple(EPOCHS)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("every", [None, 1, 5])
def test_it_is_told_where_the_training_stands(
    begin, straight, everything, same, plan, every
):
    # Fails if a number is not the training's, if a call is left out, if the last update
    # of an epoch is told before its validation, or if telling changes a bit.
    model, told = begin(), []
    history = train(model, plan, callback=told.append, callbackEvery=every)
    same(everything(model), straight[plan])
    ends = EPOCHS[plan]
    at = sorted({*ends, *(range(every, UPDATES + 1, every) if every else ())})
    assert [p.updates for p in told] == list(at)
    validation = dict(model.validationCost)
    for p in told:
        assert p.epoch == sum(end <= p.updates for end in ends)
        assert p.cost == history[p.updates - 1]
        assert p.validation == validation.get(p.updates)
        factor = 0.5 * (1 + math.cos(math.pi * (p.updates - 1) / UPDATES))
        assert p.rates == pytest.approx([0.05 * factor] * 4)
        assert (p.began, p.began_s) == (0, told[0].began_s)
    seconds = [p.seconds for p in told]
    assert sorted(seconds) == seconds
    assert 0 < seconds[-1] < 600
    assert abs(told[-1].began_s + seconds[-1] - time.time()) < 60
    with pytest.raises(AttributeError):
        told[0].cost = 1.0


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", [4, 6, UPDATES])
def test_true_stops_as_ctrl_c_does(
    begin, straight, everything, same, capsys, tmp_path, plan, n
):
    # Fails if one more update is made, or if the checkpoint is not written. What the
    # callback draws, and whom it asks, changes nothing.
    model, path = begin(), tmp_path / "stopped.npz"

    def stop(progress):
        model.genMusic(np.zeros((2, N)), 9)
        model.evaluate([np.zeros((3, N))])
        return np.bool_(progress.updates == n)

    history = train(model, plan, callback=stop, callbackEvery=1, checkpoint=path)
    assert len(history) == n
    says = f"stopped by the callback after {n} of {UPDATES} updates; can be resumed"
    assert (says in capsys.readouterr().err) == (n < UPDATES)
    assert model.trainingOver == (n == UPDATES)
    model = begin()
    train(model, plan, checkpoint=path, resume=True)
    same(everything(model), straight[plan])


def test_only_true_stops(begin):
    # Many functions return something, such as the characters written.
    for answer in (1, "True", [True], None, False):
        assert len(train(begin(), callback=lambda _, a=answer: a)) == UPDATES


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", [3, UPDATES])
def test_after_its_error_the_training_can_be_resumed(
    begin, straight, everything, same, plan, n
):
    # At the end of all: fails if the best weights are not put back.
    model = begin()

    def fail(progress):
        model.rng.random(7)
        if progress.updates == n:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        train(model, plan, callback=fail, callbackEvery=1)
    assert len(model.instantaneousCost) == n
    if n == UPDATES:
        same(everything(model), straight[plan])
    train(model, plan, resume=True)
    same(everything(model), straight[plan])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"callback": 3}, "callback is 3; allowed are None and functions"),
        ({"callbackEvery": 2}, "callbackEvery is 2, but there is no callback"),
        (
            {"callback": print, "callbackEvery": 0},
            "callbackEvery is 0; allowed are None",
        ),
        ({"callback": print, "callbackEvery": 1.5}, "callbackEvery is 1.5; allowed"),
    ],
)
def test_bad_arguments_are_refused(begin, arguments, message):
    model = begin()
    with pytest.raises(ValueError, match=message):
        train(model, **arguments)
    assert model.instantaneousCost == []


REFUSED = {
    "train": lambda model: train(model),
    "train resumed": lambda model: train(model, resume=True),
    "loadParameters": lambda model: model.loadParameters("other"),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=list(REFUSED))
def test_a_callback_must_not_train_or_load_its_own_network(
    begin, straight, everything, same, tmp_path, monkeypatch, call
):
    # Fails if the call replaces the state or the weights of the training at hand. That
    # goes on, and a copy can be trained.
    monkeypatch.chdir(tmp_path)
    begin().saveParameters("other")
    model = begin()

    def callback(progress):
        before = everything(model)
        with pytest.raises(RuntimeError, match=r"called by the callback .* allowed th"):
            call(model)
        same(before, everything(model))
        if progress.updates == 3:
            model.saveParameters("third")
            call(copy.deepcopy(model))

    assert len(train(model, callback=callback, callbackEvery=3)) == UPDATES
    same(everything(model), straight[PLANS[0]])
    call(model)


def test_an_error_of_the_callback_leaves_the_network_free(begin):
    model = begin()
    with pytest.raises(ZeroDivisionError):
        train(model, callback=lambda _: 1 / 0)
    train(model, resume=True)
    assert len(model.instantaneousCost) == UPDATES


# log_to


def test_a_log_has_a_line_for_each_call(begin, tmp_path):
    model, path, told = begin(), tmp_path / "log.csv", []
    log = log_to(path)
    assert not path.exists()
    train(model, callback=lambda p: (told.append(p), log(p)), callbackEvery=2)
    found = rows(path)
    assert [int(row["updates"]) for row in found] == [2, 4, 6, 8, 10, 12]
    for row, p in zip(found, told, strict=True):
        assert int(row["epoch"]) == p.epoch
        assert float(row["cost"]) == p.cost
        assert row["validation"] == ("" if p.validation is None else str(p.validation))
        assert tuple(float(row[n]) for n in ("R1", "R2", "R3", "Rout")) == p.rates
        assert float(row["seconds"]) == pytest.approx(p.seconds, abs=1e-3)


def without_seconds(path):
    return [line.rpartition(",")[0] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("torn", [b"", b"2,1"])
def test_a_resumed_training_cuts_what_it_does_again(begin, tmp_path, torn):
    # The checkpoint is of update 4, the log ends after 7, perhaps in half a line. Fails
    # if the log is not, in the end, that of a training that never stopped.
    whole, path, file = tmp_path / "whole", tmp_path / "log", tmp_path / "saved.npz"
    train(begin(), callback=log_to(whole), callbackEvery=1)
    model, log = begin(), log_to(path)
    saved = {"checkpoint": file, "checkpointEvery": 4}

    def crash(progress):
        log(progress)
        if progress.updates == 7:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(model, callback=crash, callbackEvery=1, **saved)
    assert len(rows(path)) == 7
    with open(path, "ab") as log_file:
        log_file.write(torn)
    model = begin()
    train(model, callback=log_to(path), callbackEvery=1, resume=True, **saved)
    assert without_seconds(path) == without_seconds(whole)


def test_a_log_goes_on_with_its_network(begin, tmp_path):
    # The same object stopped and resumed, then trained on; then another network.
    path, model = tmp_path / "log", begin()
    log = log_to(path)

    def stop(progress):
        log(progress)
        return progress.updates == 5

    train(model, callback=stop, callbackEvery=1)
    train(model, callback=log, callbackEvery=1, resume=True)
    train(model, callback=log)
    assert [int(r["updates"]) for r in rows(path)] == [*range(1, 13), 18, 24]


def test_another_network_begins_a_new_log(begin, tmp_path):
    # The first stops at update 5, before the second one's first line. Fails if that
    # line is taken for the first network's next one.
    path = tmp_path / "log"
    log = log_to(path)

    def stop(progress):
        log(progress)
        return progress.updates == 5

    train(begin(), callback=stop, callbackEvery=1)
    train(begin(), callback=log, callbackEvery=6)
    assert [int(r["updates"]) for r in rows(path)] == [6, 12]


def progress(updates, began=0):
    return Progress(0, updates, 1.5, None, (0.1, 0.1, 0.1, 0.1), 0.25, began, 9.0)


def test_a_removed_log_begins_again(tmp_path):
    path = tmp_path / "log"
    log = log_to(path)
    log(progress(1))
    path.unlink()
    log(progress(2))
    log(progress(3))
    assert path.read_bytes().startswith(COLUMNS)
    assert [int(r["updates"]) for r in rows(path)] == [2, 3]


def test_a_file_of_something_else_is_left_alone(tmp_path):
    for n, content in enumerate((b"a,b\n1,2\n", COLUMNS + b"1,x\n", COLUMNS[:9])):
        path = tmp_path / str(n)
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match="which log_to has not written; allowed is"
        ):
            log_to(path)
        assert path.read_bytes() == content
    with pytest.raises(ValueError, match="allowed is the path of a file"):
        log_to(tmp_path)
    with pytest.raises(ValueError, match="file is ''; allowed is the path"):
        log_to("")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        log_to(tmp_path / "none" / "log")


def test_a_line_is_whole_or_not_there(tmp_path, monkeypatch):
    # A full disk takes half of a line. Fails if that half stays.
    path = tmp_path / "log"
    log = log_to(path)
    log(progress(1))
    before = path.read_bytes()

    class Half:
        def __init__(self, *args, **more):
            self.file = open(*args, **more)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            return self.file.write(data[: len(data) // 2])

    monkeypatch.setattr("lstmmusic.training.log.open", Half, raising=False)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        log(progress(2))
    assert path.read_bytes() == before
