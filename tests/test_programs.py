"""Compiled functions are kept from one process to the next, and change nothing."""

import hashlib
from pathlib import Path

import numpy as np
import pytensor
import pytest

from lstmmusic import RNN4Music
from lstmmusic.engine import export

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")

# Prints a digest of all that came of it, and how often PyTensor has compiled.
JOURNEY = """
import hashlib
import numpy as np
import pytensor
compiled, function = [], pytensor.function
def counted(*args, **kwargs):
    compiled.append(1)
    return function(*args, **kwargs)
pytensor.function = counted
from lstmmusic import RNN4Music
tunes = [(np.random.default_rng(n).random((n, 6)) < 0.3) * 1.0 for n in (20, 21, 22)]
model = RNN4Music(5, 4, 3, 6, seed=1, optimizer='Adam', dropout=0.3)
found = [model.train(tunes, 2, 2, 2, 9), *model.parameters().values()]
found += [model.genMusic(tunes[0], 4, seed=2)[1], model.evaluate(tunes).nll]
digest = hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in found))
print(digest.hexdigest(), len(compiled))
"""


def test_a_later_process_compiles_nothing_and_finds_the_same_bits(
    in_new_process, tmp_path
):
    # Fails if the kept program reads, or writes, other variables than it did when it
    # was made, or rounds otherwise.
    def run():
        flags = f"base_compiledir={tmp_path / 'compiled'}"
        found, compilations = in_new_process(JOURNEY, PYTENSOR_FLAGS=flags).split()
        return found, int(compilations)

    first, compilations = run()
    assert compilations > 0
    assert run() == (first, 0)
    files = list(tmp_path.glob("compiled/*/lstmmusic/*"))
    assert len(files) == compilations
    for n, file in enumerate(files):  # damaged in three ways, or gone
        code = file.read_bytes()
        file.write_bytes([code[:-9], b"", code[:99] + b"!" + code[100:]][n % 3])
    files[-1].unlink()
    assert run() == (first, compilations)


def gradients(*sizes, steps=5, dtype="float32", **form):
    with pytensor.config.change_flags(floatX=dtype):
        model = RNN4Music(*sizes, seed=1, **form)
    return model.gradients(np.zeros((2, steps, 6)), np.zeros((2, steps, 6)))


class Asked(Exception):
    """With the path of the program that was asked for."""


def test_all_that_a_program_depends_on_is_in_its_files_name(monkeypatch):
    # Fails if another network, or another version, were given this one's program.
    def ask(path):
        raise Asked(path)

    def path_of(*sizes, **given):
        with pytest.raises(Asked) as asked:
            gradients(*sizes, **given)
        return asked.value.args[0]

    monkeypatch.setattr(export, "read", ask)
    first = path_of(3, 2, 2, 6)
    assert path_of(3, 2, 2, 6) == first
    others = [
        path_of(3, 2, 1, 6),
        path_of(3, 2, 2, 6, steps=4),
        path_of(3, 2, 2, 6, dtype="float64"),
        path_of(3, 2, 2, 6, cost="squared-error"),
        path_of(3, 2, 2, 6, originalForward=True),
        path_of(3, 2, 2, 6, optimizer="Adam"),
    ]
    monkeypatch.setattr(export, "OUR_SOURCES", "another version")
    others.append(path_of(3, 2, 2, 6))
    monkeypatch.setattr(export, "kind_of_cpu", lambda: "with other vectors")
    others.append(path_of(3, 2, 2, 6))
    assert len({first, *others}) == 9


def test_the_name_hangs_on_every_line_of_the_model_and_the_engine():
    # And on no other: a docstring in plots.py makes no program stale.
    *versions, digest = export.made_by()
    assert pytensor.__version__ in versions
    engine = Path(export.__file__).parent
    rooms = engine, engine.parent / "model"
    code = sorted(file for room in rooms for file in room.rglob("*.py"))
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in code))
    assert digest == wanted.hexdigest()


def test_programs_are_for_the_cpu_whatever_jax_would_choose(monkeypatch, tmp_path):
    # With CUDA's JAX beside it, the default platform is the GPU.
    from jax._src.export import _export

    monkeypatch.setattr(_export, "default_export_platform", lambda: "cuda")
    monkeypatch.setattr(export, "file_of", lambda *_: tmp_path / "program")
    monkeypatch.setattr(export, "read", lambda path: None)
    gradients(3, 2, 2, 6)
    assert (tmp_path / "program").is_file()


def test_programs_run_where_the_weights_are(in_new_process):
    # Fails if one is compiled for JAX's default device, a GPU as a rule where it is not
    # the CPU.
    code = """
import jax
import numpy as np
from lstmmusic import RNN4Music
jax.config.update("jax_default_device", jax.devices("cpu")[1])
x = np.zeros((2, 5, 6))
print(RNN4Music(3, 2, 2, 6, seed=1).gradients(x, x)[0] > 0)
"""
    two = "--xla_force_host_platform_device_count=2"
    assert in_new_process(code, XLA_FLAGS=two) == "True"


def test_a_function_that_cannot_be_exported_works_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "file_of", lambda *_: tmp_path / "program")
    monkeypatch.setattr("jax.export.export", lambda *args, **kwargs: 1 / 0)
    with pytest.warns(UserWarning, match="could not be kept: division by zero"):
        cost, _ = gradients(3, 2, 2, 6)
    assert np.isfinite(cost)
    assert not (tmp_path / "program").exists()


@pytest.mark.parametrize("missing", ["flatbuffers", "the disk"])
def test_what_cannot_be_kept_works_all_the_same(monkeypatch, tmp_path, missing):
    cost, wanted = gradients(3, 2, 2, 6)
    monkeypatch.setattr(export, "file_of", lambda *_: tmp_path / "no" / "program")
    if missing == "flatbuffers":
        monkeypatch.setattr(export.importlib.util, "find_spec", no_flatbuffers)
    else:
        (tmp_path / "no").write_text("in the way of the folder")
    found_cost, found = gradients(3, 2, 2, 6)
    assert found_cost == pytest.approx(cost, rel=1e-6)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert not (tmp_path / "no").is_dir()


def test_the_library_of_products_changes_nothing_beyond_rounding(monkeypatch):
    # Fails if XLA's options change a gradient, or if a jaxlib that lacks them fails.
    _, wanted = gradients(3, 2, 2, 6)
    export.can_choose.cache_clear()
    monkeypatch.setattr(export, "EIGEN", {"xla_cpu_no_such_option": "1"})
    assert not export.can_choose()
    _, found = gradients(3, 2, 2, 6)
    export.can_choose.cache_clear()
    for name, gradient in wanted.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-4, atol=1e-6)


find_spec = export.importlib.util.find_spec


def no_flatbuffers(name):
    return None if name == "flatbuffers" else find_spec(name)
