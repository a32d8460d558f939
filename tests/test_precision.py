"""Whose floatX counts, each case in a process of its own."""

import pytest

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
            "float64",
            id="set before",
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


def test_importing_prints_nothing_and_leaves_the_backend_alone(in_new_process):
    # Fails if `import lstmmusic` loads JAX or Numba: a second or more for a user who
    # only reads a file.
    code = f"import sys; {IMPORT}; print({{'jax', 'matplotlib'}} & {{*sys.modules}})"
    assert in_new_process(code, **CLEAN) == "set()"
