"""JAX programs of symbolic functions, kept in files from one process to the next.

PyTensor takes seconds to simplify a graph, and JAX another to trace what comes of it.
That is kept in StableHLO (`jax.export`), so that a later process needs neither; XLA's
machine code, made from it, is in JAX's own cache.  What a program depends on is in the
name of its file: a file that is missing, or damaged, costs those seconds again.  On a
CPU only, and where flatbuffers is installed; Numba has a cache of its own.
"""

import functools
import hashlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytensor

from lstmmusic.engine import cache, forks, lowering
from lstmmusic.engine.backend import compiled, kind_of_cpu, on_device

# At import: what is on the disk later is perhaps not what runs.
ROOMS = [Path(__file__).parent, Path(__file__).parents[1] / "model"]
OUR_SOURCES = cache.digest_of(sorted(f for room in ROOMS for f in room.rglob("*.py")))


MANY_TUNES = 16
EIGEN = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


class Program(NamedTuple):
    """A function of the inputs and of some of the store's variables, by their numbers.

    It returns the outputs, and then the new values of what it changes.
    """

    run: object
    inputs: list  # shapes and dtypes
    outputs: int
    single: bool  # of which one is wanted, not in a list
    reads: list
    changes: list


def function(build, key, variables, form, backend):
    """Return what computes the graph of ``build(*key)``: its outputs, and its updates.

    The function trusts its inputs: arrays of the right type, from `as_given`.  Without
    updates, threads may call it at once.

    Parameters
    ----------
    build : callable
        Returns inputs, outputs and updates, as `pytensor.function` takes them.
    key : tuple
    variables : list
        All shared variables that the graph may contain.
    form : tuple
        What the graph depends on besides the build's name, key and variables.
    backend : Backend
        With mode JAX.
    """
    forks.note_jax()
    if backend.device != "cpu":
        program = donating(made(build(*key), variables))
    else:
        keeps = importlib.util.find_spec("flatbuffers")  # jax.export writes with it
        dtype = variables[0].type.dtype
        program = None
        if keeps and lowering.ready(dtype):
            program = read(file_of(build, key, variables, form))
        if program is None:
            program = made(build(*key), variables)
            if keeps:
                path = file_of(build, key, variables, form)
                program = kept(program, variables, path)
        program = with_fast_products(program, variables)
    cells = [variable.container.storage for variable in variables]
    shared = [cells[n] for n in program.reads]
    changed = [cells[n] for n in program.changes]
    run, single, outputs = program.run, program.single, program.outputs

    # PyTensor's own call keeps arguments and results in the function object, which
    # threads would share: so XLA's is called, and the updates are made here.
    def call(*args):
        for cell in shared:
            if isinstance(cell[0], np.ndarray):  # set, and no update since
                (cell[0],) = on_device(backend, cell)
        found = run(*args, *(cell[0] for cell in shared))
        for cell, value in zip(changed, found[outputs:], strict=True):
            cell[0] = value
        return found[0] if single else found[:outputs]

    return call


def made(graph, variables):
    """Compile the inputs, outputs and updates of a graph."""
    inputs, outputs, updates = graph
    updates = updates or {}
    single = not isinstance(outputs, list)
    outputs = [outputs] if single else outputs
    function = compiled(inputs, [*outputs, *updates.values()], "JAX")
    numbers = {id(v.container.storage): n for n, v in enumerate(variables)}
    given = function.input_storage[len(inputs) :]
    return Program(
        function.vm.jit_fn,
        inputs=[(v.type.shape, v.type.dtype) for v in inputs],
        outputs=len(outputs),
        single=single,
        reads=[numbers[id(box.storage)] for box in given],
        changes=[numbers[id(variable.container.storage)] for variable in updates],
    )


def donating(program):
    """Let XLA write new values of variables where the old ones were."""
    import jax

    first = len(program.inputs)
    places = [first + n for n, v in enumerate(program.reads) if v in program.changes]
    return program._replace(run=jax.jit(program.run.__wrapped__, donate_argnums=places))


def with_fast_products(program, variables):
    """Have XLA compile a program for a CPU, and take products from the faster library.

    YNNPACK, its choice, is that with few rows, those of a step of few tunes; but not in
    what the kernels leave to XLA of the passes (benchmarks/RESULTS.md).  Sums stay with
    it.  Compiled now: threads that call it for the first time would each do so.
    """
    import jax

    tunes = [shape[1] for shape, _ in program.inputs if len(shape) == 3]
    kernels = lowering.enabled(variables[0].type.dtype)
    many = kernels or (tunes and tunes[0] >= MANY_TUNES)
    with jax.default_device(jax.devices("cpu")[0]):  # where the variables are
        options = EIGEN if many and can_choose() else None
        run = jax.jit(program.run).lower(*types_of(program, variables))
        return program._replace(run=run.compile(compiler_options=options))


def types_of(program, variables):
    """Return what JAX needs to know of a program's arguments."""
    import jax

    read = [(variables[n].type.shape, variables[n].type.dtype) for n in program.reads]
    return [jax.ShapeDtypeStruct(*type_) for type_ in (*program.inputs, *read)]


@functools.cache
def can_choose():
    """Whether this jaxlib has the options `EIGEN`."""
    import jax

    try:
        jax.jit(lambda a: a, compiler_options=EIGEN).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def kept(program, variables, path):
    """Keep a Program in a file, and return it as it will be read from there.

    Where that cannot be, for whatever reason, it is as good without.
    """
    import jax

    types = types_of(program, variables)
    try:
        ours = map(jax.export.DisabledSafetyCheck.custom_call, lowering.TARGETS)
        code = jax.export.export(
            program.run, platforms=("cpu",), disabled_checks=list(ours)
        )(*types)
        serialized = bytes(code.serialize())
    except Exception as error:
        warnings.warn(f"a compiled function could not be kept: {error}", stacklevel=2)
        return program
    cache.write_entry(path, json.dumps(program[1:]).encode() + b"\n" + serialized)
    return program._replace(run=code.call)


def read(path):
    """Return the Program in a file; None if there is none that can be used."""
    import jax

    content = cache.read_entry(path)
    if content is None:
        return None
    head, _, code = content.partition(b"\n")
    return Program(jax.export.deserialize(bytearray(code)).call, *json.loads(head))


def file_of(build, key, variables, form):
    """Return the path of a program: all that it depends on is in its name."""
    types = [str(variable.type) for variable in variables]
    flags = pytensor.config.floatX, pytensor.config.cast_policy
    machine = kind_of_cpu()  # which kernels lay weights out for
    kernels = lowering.enabled(variables[0].type.dtype)
    made_for = machine, kernels, made_by()
    what = repr((build.__qualname__, key, types, form, flags, made_for))
    name = hashlib.sha256(what.encode()).hexdigest()
    return cache.folder() / "lstmmusic" / name[:32]


def made_by():
    """Return the versions, and a digest of the code, that make programs."""
    import jax
    import jaxlib

    modules = pytensor, jax, jaxlib, np
    return [*(module.__version__ for module in modules), OUR_SOURCES]
