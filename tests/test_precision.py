"""The dtype of a network: PyTensor's floatX, or the argument; a new process each."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytensor
import pytest

from lstmmusic import RNN4Music
from lstmmusic.engine import backend

SHOW = "print(pytensor.config.floatX, RNN4Music(3, 2, 1, 4).parameters()['by'].dtype)"
IMPORT = "from lstmmusic import RNN4Music"
# Neither the session's flags nor a .pytensorrc may speak here.
CLEAN = {"PYTENSOR_FLAGS": "", "PYTENSORRC": "/nonexistent"}


@pytest.mark.parametrize(
    ("code", "flags", "wanted"),
    [
        pytest.param(f"{IMPORT}; import pytensor", "", "float32", id="default"),
        pytest.param(
            f"import pytensor; {IMPORT}", "", "float32", id="pytensor imported before"
        ),
        pytest.param(
            f"{IMPORT}; import pytensor", "floatX=float64", "float64", id="flag"
        ),
        pytest.param(
            f"{IMPORT}; import pytensor", "floatX=float32", "float32", id="flag 32"
        ),
        pytest.param(
            f"import pytensor; pytensor.config.floatX = 'float64'; {IMPORT}",
            "",
            "float32",
            id="set before: the import does not see it",
        ),
        pytest.param(
            f"{IMPORT}; import pytensor; pytensor.config.floatX = 'float64'",
            "",
            "float64",
            id="set after",
        ),
        pytest.param(
            f"import pytensor; pytensor.config.floatX = 'float32'; {IMPORT}",
            "floatX=float64",
            "float32",
            id="set against the flag",
        ),
    ],
)
def test_floatX_is_float32_unless_the_user_says_otherwise(
    in_new_process, code, flags, wanted
):
    environment = CLEAN | {"PYTENSOR_FLAGS": flags}
    assert in_new_process(f"{code}; {SHOW}", **environment) == f"{wanted} {wanted}"


def test_a_pytensorrc_counts(in_new_process, tmp_path):
    (tmp_path / "rc").write_text("[global]\nfloatX = float64\n")
    environment = CLEAN | {"PYTENSORRC": str(tmp_path / "rc")}
    shown = in_new_process(f"{IMPORT}; import pytensor; {SHOW}", **environment)
    assert shown == "float64 float64"


def test_floatX_set_later_counts_for_objects_made_later(in_new_process):
    code = f"""
import pytensor
{IMPORT}
first = RNN4Music(3, 2, 1, 4)
pytensor.config.floatX = "float64"
second = RNN4Music(3, 2, 1, 4)
print(first.dtype, second.dtype, first.parameters()["by"].dtype)
"""
    assert in_new_process(code, **CLEAN) == "float32 float64 float32"


def test_a_dtype_may_be_numpys():
    model = RNN4Music(3, 2, 1, 4, dtype=np.float64)
    assert RNN4Music(3, 2, 1, 4, dtype=model.dtype).dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_the_arguments_whatever_floatX_is(dtype, tmp_path):
    # Fails if a copy, a pickle or fromFile takes floatX in place of the dtype.
    model = RNN4Music(3, 2, 1, 4, seed=1, dtype=dtype)
    model.saveParameters(tmp_path / "a")
    copies = copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    loaded = RNN4Music.fromFile(tmp_path / "a", dtype=dtype)
    for network in (model, *copies, loaded):
        assert network.dtype == np.dtype(dtype)
        assert {a.dtype.name for a in network.parameters().values()} == {dtype}


@pytest.mark.parametrize(
    "dtype", ["float16", "int32", "double", np.float16, float, 64, ""]
)
def test_another_dtype_is_refused(dtype, tmp_path):
    RNN4Music(3, 2, 1, 4).saveParameters(tmp_path / "a")
    message = "dtype is .*; allowed are 'float32', 'float64'"
    with pytest.raises(ValueError, match=message):
        RNN4Music(3, 2, 1, 4, dtype=dtype)
    with pytest.raises(ValueError, match=message):
        RNN4Music.fromFile(tmp_path / "a", dtype=dtype)


def test_dtype_is_fixed():
    with pytest.raises(AttributeError, match="dtype is fixed"):
        RNN4Music(3, 2, 1, 4).dtype = np.dtype("float64")


def test_importing_prints_nothing_and_leaves_the_backend_alone(in_new_process):
    # Fails if `import lstmmusic` loads JAX or Numba: a second or more for a user who
    # only reads a file.
    code = f"import sys; {IMPORT}; print({{'jax', 'matplotlib'}} & {{*sys.modules}})"
    assert in_new_process(code, **CLEAN) == "set()"


def test_threads_with_networks_of_two_dtypes_compile_in_turn(in_new_process):
    # PyTensor has one configuration.  Fails if a graph is built by another's floatX, or
    # if what one thread has changed is there at the end.
    code = """
import threading
import numpy as np
import pytensor
from lstmmusic import RNN4Music
from lstmmusic.engine import cache, lowering
cache.read_entry, lowering.kernels = (lambda path: None), None  # compile
def flags():
    return pytensor.config.floatX, pytensor.config.traceback__limit
before, found = flags(), []
def music(dtype):
    model = RNN4Music(5, 4, 3, 6, seed=1, dtype=dtype)
    found.append(model.genMusic(np.zeros((8, 6)), 2)[1].dtype == model.dtype)
threads = [threading.Thread(target=music, args=[d]) for d in (None, "float64")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found, flags() == before)
"""
    assert in_new_process(code, **CLEAN) == "[True, True] True"


def test_a_compilation_does_not_change_the_dtype_of_a_new_network():
    entered, leave = threading.Event(), threading.Event()

    def compile_():
        with backend.pytensor_config(floatX="float16"):
            entered.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(2) as pool:
        compiling = pool.submit(compile_)
        assert entered.wait(60)
        new = pool.submit(backend.choose_dtype)
        assert not wait([new], timeout=0.2).done
        leave.set()
        assert new.result() == pytensor.config.floatX
        compiling.result()
