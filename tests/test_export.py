"""Programs are cached from one process to the next, and change nothing."""

import jax
import numpy as np
import pytensor
import pytest

from lstmmusic import RNN4Music
from lstmmusic.engine import export

# Prints a digest of all that came of it, and how many graphs were compiled.
JOURNEY = """
import hashlib
import numpy as np
from lstmmusic import RNN4Music
from lstmmusic.engine import export
compiled, compile_graph = [], export.compile_graph
def counted(*args, **kwargs):
    compiled.append(1)
    return compile_graph(*args, **kwargs)
export.compile_graph = counted
tunes = [(np.random.default_rng(n).random((n, 6)) < 0.3) * 1.0 for n in (20, 21, 22)]
model = RNN4Music(5, 4, 3, 6, seed=1, optimizer='Adam', dropout=0.3)
found = [model.train(tunes, 2, 2, 2, 9), *model.parameters().values()]
found += [model.genMusic(tunes[0], 4, seed=2)[1], model.evaluate(tunes).nll]
digest = hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in found))
print(digest.hexdigest(), len(compiled))
"""


@pytest.mark.slow
def test_a_later_process_compiles_nothing_and_finds_the_same_bits(
    in_new_process, tmp_path
):
    # Fails if the cached program reads, or writes, other variables than it did when it
    # was exported, or rounds otherwise.
    def run():
        flags = f"base_compiledir={tmp_path / 'compiled'}"
        found, compilations = in_new_process(JOURNEY, PYTENSOR_FLAGS=flags).split()
        return found, int(compilations)

    first, compilations = run()
    assert compilations > 0
    assert run() == (first, 0)
    files = list(tmp_path.glob("compiled/*/lstmmusic/programs/*"))
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


def probabilities():
    """Return what a small program gives."""
    return RNN4Music(3, 2, 2, 6, seed=1, dtype="float32").probabilities(np.eye(6))


class Asked(Exception):
    """With the path of the program that was asked for."""


def test_all_that_a_program_depends_on_is_in_its_name(monkeypatch):
    # Fails if another network were given this one's program.  What else a name holds:
    # test_cache.py.
    def ask(path):
        raise Asked(path)

    def path_of(*sizes, **given):
        with pytest.raises(Asked) as asked:
            gradients(*sizes, **given)
        return asked.value.args[0]

    for dtype in (
        "float32",
        "float64",
    ):  # a program is looked up only if they are ready
        assert export.lowering.enabled("products", dtype)
    monkeypatch.setattr(export, "load_program", ask)
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
    enabled = export.lowering.enabled("products", "float32")
    monkeypatch.setattr(export.lowering, "enabled", lambda *_: not enabled)
    others.append(path_of(3, 2, 2, 6))
    assert len({first, *others}) == 8


def test_programs_are_for_the_cpu_whatever_jax_would_choose(monkeypatch, tmp_path):
    # With CUDA's JAX beside it, the default platform is the GPU.
    exporters, export_ = [], jax.export.export

    def noted(run, **given):
        exporters.append(given["platforms"])
        return export_(run, **given)

    monkeypatch.setattr(jax.export, "export", noted)
    monkeypatch.setattr(export, "path_of", lambda *_: tmp_path / "program")
    probabilities()
    assert exporters == [("cpu",)]
    assert (tmp_path / "program").is_file()


def test_programs_run_where_the_weights_are(in_new_process):
    # Fails if one is compiled for JAX's default device, a GPU as a rule where it is not
    # the CPU.
    code = """
import jax
import numpy as np
from lstmmusic import RNN4Music
jax.config.update("jax_default_device", jax.devices("cpu")[1])
print(RNN4Music(3, 2, 2, 6, seed=1).probabilities(np.eye(6)).shape)
"""
    two = "--xla_force_host_platform_device_count=2"
    assert in_new_process(code, XLA_FLAGS=two) == "(6, 6)"


def test_a_function_that_cannot_be_exported_works_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "path_of", lambda *_: tmp_path / "program")
    monkeypatch.setattr("jax.export.export", lambda *args, **kwargs: not_exported)

    def not_exported(*types):
        raise ZeroDivisionError("division by zero")

    with pytest.warns(UserWarning, match="was not cached: division by zero"):
        found = probabilities()
    assert np.isfinite(found).all()
    assert not (tmp_path / "program").exists()


def test_a_trace_that_fails_warns_once_though_it_is_made_again(monkeypatch):
    # Its kernels are expected, and then fail too.
    made, error = object(), ZeroDivisionError("division by zero")
    monkeypatch.setattr(export, "compile_graph", lambda *_: None)
    monkeypatch.setattr(export, "trace", lambda *_: (made, None, error))
    monkeypatch.setattr(export.lowering, "expected", lambda *_: True)
    monkeypatch.setattr(export.lowering, "enabled", lambda *_: False)
    with pytest.warns(UserWarning, match="was not cached: division by zero") as seen:
        found = export.new_program(tuple, (), [], [("products", "float64")])
    assert found == (made, None)
    assert len(seen) == 1


def test_a_function_that_cannot_be_cached_works_all_the_same(monkeypatch, tmp_path):
    wanted = probabilities()
    monkeypatch.setattr(export, "path_of", lambda *_: tmp_path / "no" / "program")
    (tmp_path / "no").write_text("in the way of the folder")
    np.testing.assert_allclose(probabilities(), wanted, rtol=1e-5)
    assert not (tmp_path / "no").is_dir()


def test_the_library_of_products_changes_nothing_beyond_rounding(monkeypatch):
    # Fails if XLA's options change a gradient, or if a jaxlib that lacks them fails.
    _, wanted = gradients(3, 2, 2, 6)
    export.has_options.cache_clear()
    monkeypatch.setattr(export, "EIGEN", {"xla_cpu_no_such_option": "1"})
    assert not export.has_options()
    _, found = gradients(3, 2, 2, 6)
    export.has_options.cache_clear()
    for name, gradient in wanted.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-4, atol=1e-6)
