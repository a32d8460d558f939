"""A call that needs more memory than there is, is refused before any work."""

import os
import re
import sys
from functools import partial

import numpy as np
import pytest
from conftest import ROOT

from lstmmusic import RNN4Music
from lstmmusic.training import free_memory, memory
from midi import PackedRoll

GB = 10**9
ROLL = np.zeros((40, 6), np.uint8)
WITH_TESTS = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


@pytest.fixture
def model():
    return RNN4Music(5, 4, 3, 6, seed=1)


@pytest.fixture
def available(monkeypatch):
    """Return a function that sets how many bytes there are."""

    def set_to(number):
        monkeypatch.setattr(free_memory, "free", lambda: number)

    return set_to


def refused(call):
    """Return the message with which a call is refused."""
    with pytest.raises(ValueError, match="are free") as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "call"),
    [
        ("h2_length", 65536, lambda m, v: RNN4Music(5, v, 3, 6)),
        ("io_length", 65536, lambda m, v: RNN4Music(500, 400, 300, v)),
        ("lengthOfMB", 10**8, lambda m, v: m.train([ROLL] * 3, 1, 1, 2, v)),
        ("noOfSamps", 10**9, lambda m, v: m.genMusic(ROLL, v)),
        ("noOfTunes", 10**8, lambda m, v: m.genMusic(ROLL, 9, noOfTunes=v)),
        ("noOfSamps", 10**9, lambda m, v: m.genMusic([ROLL, ROLL], v)),
        ("sizeOfBatch", 10**9, lambda m, v: m.evaluate([ROLL], sizeOfBatch=v)),
    ],
)
def test_the_argument_and_what_would_fit_are_named(model, available, name, value, call):
    # Fails if a call begins its work: it would take hours, or all of the memory.
    available(2 * GB)
    message = refused(lambda: call(model, value))
    found = re.fullmatch(
        rf"{name} is {value}; .* needs about \S+ [GTP]B, and 2 GB are free; "
        r"at most (\d+) fits",
        message,
    )
    assert found, message
    # What is said to fit is not refused, and one more is.
    most = int(found[1])
    assert 1 <= most < value
    assert f"{name} is {most + 1}; " in refused(lambda: call(model, most + 1))


def test_what_is_said_to_fit_fits(model, available):
    # The other half of the test above, where to do it takes no time.
    available(4 * 10**8)
    message = refused(lambda: model.train([ROLL] * 3, 1, 1, 2, 10**8, progress=False))
    most = int(message.split()[-2])
    needed = memory.of_training(model, 2, most, 1)
    assert needed <= 4 * 10**8 < memory.of_training(model, 2, most + 1, 1)


def test_a_network_of_which_no_one_layer_is_to_blame(available):
    available(20 * GB)
    message = refused(lambda: RNN4Music(65536, 65536, 65536, 6))
    assert message.startswith("h1_length is 65536; the network needs about 2.29 TB, ")
    most = int(re.search(r"at most (\d+) for each of h1_length, h2", message)[1])
    assert 5000 < most < 9000


@pytest.mark.parametrize("optimizer", ["RMSprop", "Adam"])
def test_adam_needs_more(available, optimizer):
    sizes = dict.fromkeys(("h1_length", "h2_length", "h3_length", "io_length"), 1000)
    needed = partial(memory.of_network, **sizes, D=4)
    less, more = needed(moments=1), needed(moments=2)
    available((less + more) // 2)
    check = partial(memory.check_network, sizes, np.dtype("float32"), optimizer)
    if optimizer == "Adam":
        refused(check)
    else:
        check()


def test_whole_tunes_are_padded_to_the_longest(model, available):
    # Fails if the other tunes' padding is not counted, or if all tunes are.
    available(400 * 10**6)
    long = np.zeros((30_000, 6), np.uint8)
    train = partial(model.train, noOfEpochPerMB=1, noOfEpoch=1, lengthOfMB=None)
    message = refused(lambda: train([long] + [ROLL] * 99, sizeOfMiniBatch=90))
    assert message.startswith(
        "sizeOfMiniBatch is 90; training on whole tunes of up to 30000 steps needs"
    )
    assert re.search(r"at most [1-8]\d fits", message)
    for lengths in ([10**6] + [40] * 9, [10**6] * 10):
        of_whole = partial(memory.of_training, model, 8, None, 1)
        assert of_whole(lengths) > of_whole([40] * 10)
    assert of_whole([10**6] + [40] * 9) < of_whole([10**6] * 10)


def test_validation_is_looked_at_before_the_training(model, available):
    available(310 * 10**6)
    validation = [np.zeros((100_000, 6), np.uint8)] * 32
    message = refused(
        lambda: model.train([ROLL] * 3, 1, 1, 2, 9, validation=validation)
    )
    assert message.startswith("the length of the longest tune of validation is 100")
    assert model.instantaneousCost == []


def test_each_note_beside_each_other_needs_memory(available, monkeypatch):
    model = RNN4Music(3, 3, 3, 3000, seed=1)
    available(500 * 10**6)
    primer = np.zeros((2, 3000), np.uint8)
    message = refused(lambda: model.genMusic(primer, 2, noOfTunes=30, maxNotes=4))
    assert message.startswith("noOfTunes is 30; generation with maxNotes needs")
    monkeypatch.setattr(model._functions, "generate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # without maxNotes it begins
        model.genMusic(primer, 2, noOfTunes=30)


def test_the_inputs_of_probabilities_and_gradients_are_named(
    model, available, monkeypatch
):
    for name in ("SMALL", "COMPILING"):
        monkeypatch.setattr(memory, name, 0)
    available(10**6)
    tune = np.zeros((50_000, 6), np.uint8)
    message = refused(lambda: model.probabilities(tune))
    assert message.startswith("the length of the tune is 50000; ")
    message = refused(lambda: model.states(tune))
    assert message.startswith("the length of the tune is 50000; computing its states")
    message = refused(lambda: model.influence(tune, 40_000, 1))
    assert message.startswith("the last step is 40000; computing the influence needs")
    steps = np.full(10_000, 5)
    message = refused(lambda: model.influence(tune[:5], steps, steps % 6))
    assert message.startswith("the number of notes asked about is 10000; ")
    tunes = np.zeros((2, 3000, 6), np.uint8)
    message = refused(lambda: model.gradients(tunes, tunes))
    assert message.startswith("the number of tunes in inputs is 2; ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_the_states_of_a_long_tune_take_less_than_a_gigabyte(in_new_process):
    # 216 MB of them, beside the network and its compilation; then the influence on a
    # note at the end. Fails if blocks are copied twice.
    printed = in_new_process(
        """
from peak_memory import peak_memory as peak
print(peak())
import numpy as np
from lstmmusic import RNN4Music
model = RNN4Music(600, 600, 600, 88, seed=1, dtype="float32")
tune = (np.random.default_rng(1).random((5000, 88)) < 0.05) * 1.0
found = model.states(tune)
print(peak(), sum(map(np.size, found.layers)) * 4)
del found
model.influence(tune, 5000, 30)
print(peak())
""",
        PYTHONPATH=WITH_TESTS,
    )
    start, peak, size, later = map(int, printed.split())
    assert start < 0.05 * GB  # of this process, not of the one that began it
    print(f"peak {peak / 1e9:.2f} GB, with influence {later / 1e9:.2f} GB")
    assert size == 5000 * 1800 * 6 * 4
    assert later < GB


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_integrated_influence_holds_a_roll_and_its_change_for_each_note(in_new_process):
    # 160 MB for each of both, and one more for minibatches of tunes; all intervals are
    # halved twice. Fails if one change stays while the next is found, or if rolls are
    # copied to be added up.
    printed = in_new_process(
        """
from peak_memory import peak_memory as peak
print(peak())
import warnings
import numpy as np
from lstmmusic import RNN4Music
from lstmmusic.training import integrated
P, T, N = 100, 1000, 400
model = RNN4Music(4, 4, 4, N, seed=1, dtype="float32")
tune = (np.random.default_rng(1).random((T, N)) < 0.05) * 1.0
model.influence(tune[:40], [30] * 9, range(9), integrated=5)
before = peak()
integrated.RELATIVE_ERROR, integrated.ABSOLUTE_ERROR, integrated.ROUNDS = 0, 0, 2
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model.influence(tune, np.arange(T - P, T) + 1, np.arange(P), integrated=5)
print(len(said), peak() - before, P * T * N * 4)
""",
        PYTHONPATH=WITH_TESTS,
    )
    start, warned, found, rolls = map(int, printed.split())
    assert start < 0.05 * GB
    print(f"{found / rolls:.2f} rolls for each note")
    assert warned == 1
    assert found < 3.4 * rolls


def test_where_nothing_is_known_nothing_is_refused(available):
    available(None)
    memory.check("it", lambda n: 10**30 * n, {"n": 1})


def test_freed_memory_is_given_back_before_a_call_is_refused(monkeypatch):
    # glibc keeps what earlier calls have used: the system does not count it as free.
    left = [GB]
    monkeypatch.setattr(free_memory, "free", lambda: left[0])
    monkeypatch.setattr(free_memory, "give_back", lambda: left.append(left.pop() * 3))
    memory.check("it", lambda n: n, {"n": 2 * GB})
    with pytest.raises(ValueError, match="n is 10000000000; it needs about 10 GB, "):
        memory.check("it", lambda n: n, {"n": 10 * GB})


def test_an_allocation_that_fails_all_the_same_is_explained(model, monkeypatch):
    def fail(*_):
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(model._functions, "generate", fail)
    with pytest.raises(
        MemoryError,
        match=r"not enough memory \(Unable to allocate 3 GiB\); smaller noOfSamps and",
    ):
        model.genMusic(ROLL, 3)
    with pytest.raises(MemoryError, match="smaller x need less"):
        with memory.explained("x"):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
    with pytest.raises(RuntimeError, match=r"^other$"), memory.explained("x"):
        raise RuntimeError("other")


# What there is

GROUPS = {
    "version 2": (
        "0::/a/b\n",
        {"a/b/memory.max": "max", "a/b/memory.current": "5",
         "a/memory.max": "1000", "a/memory.current": "700",
         "a/memory.stat": "anon 300\nactive_file 50\ninactive_file 100\n"},
        450,
    ),
    "version 1": (
        "3:cpu:/x\n2:memory,other:/a\n",
        {"memory/a/memory.limit_in_bytes": "1000",
         "memory/a/memory.usage_in_bytes": "600",
         "memory/a/memory.stat": "inactive_file 7\ntotal_inactive_file 100\n",
         "memory/memory.limit_in_bytes": str(2**63 - 4096),
         "memory/memory.usage_in_bytes": "900"},
        500,
    ),
    "in a container": (  # whose own group is the root of what it sees
        "0::/not/seen\n",
        {"memory.max": "800", "memory.current": "900"},
        0,
    ),
    "no limit": ("0::/\n", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_control_groups(tmp_path, monkeypatch, name):
    own, files, wanted = GROUPS[name]
    for path, content in files.items():
        (tmp_path / "groups" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / path).write_text(content)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(free_memory, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(free_memory, "OWN_GROUPS", tmp_path / "own")
    assert free_memory.group_free() == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="limits are read from /proc")
def test_limits_of_the_process(in_new_process):
    printed = in_new_process("""
import resource
import numpy as np
from lstmmusic import RNN4Music
from lstmmusic.training import free_memory
model = RNN4Music(5, 4, 3, 6, seed=1)
for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (10**10, before[1]))
    assert 0 < free_memory.free() < 10**10
    try:
        model.genMusic(np.zeros((2, 6)), 10**9)
    except ValueError as error:
        print(error)
    resource.setrlimit(limit, before)
""")
    for line in printed.splitlines():
        assert line.startswith("noOfSamps is 1000000000; generation needs about 144 GB")
    assert len(printed.splitlines()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_what_the_machine_has():
    assert 10**6 < free_memory.machine_free() < 10**15
    assert free_memory.free() <= free_memory.machine_free()
    assert free_memory.fields("/no such file") == {}


@pytest.mark.parametrize(
    ("number", "words"),
    [(999, "999 bytes"), (3.2e12, "3.2 TB"), (20.1e9, "20.1 GB"), (1e25, "1e+07 EB")],
)
def test_bytes_in_words(number, words):
    assert memory.in_units(number) == words


@pytest.mark.parametrize("kind", ["float64", "uint8", "packed"])
def test_copies_of_a_dataset_are_counted_where_they_are_made(model, available, kind):
    available(310 * 10**6)
    if kind == "packed":
        roll = PackedRoll.of(np.zeros((10**6, 6), np.uint8))
    else:
        roll = np.broadcast_to(np.zeros(6, kind), (10**6, 6))
    tunes = [roll] * 20
    check = partial(memory.check_copies, "the dataset", tunes, np.dtype("float32"))
    if kind == "float64":
        message = refused(check)
        assert message.startswith("the number of tunes of the dataset is 20; copying")
        assert message.endswith("480 MB, and 310 MB are free; at most 12 fits")
    else:
        check()
