"""Export symbolic functions as JAX programs, and cache them on disk.

PyTensor takes seconds to simplify a graph, and JAX another to trace it.  The StableHLO
that results (`jax.export`) is cached, so that a later process needs neither.  XLA's
machine code, made from that, is in JAX's own cache.
"""

import functools
import json
import warnings
from typing import NamedTuple

import numpy as np
import pytensor
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs

from lstmmusic.engine import cache, lowering
from lstmmusic.engine.backend import on_device
from lstmmusic.engine.internals import storage_of

MANY_TUNES = 16
# YNNPACK for sums alone; products go to Eigen.
EIGEN = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


class Program(NamedTuple):
    """Hold a function of inputs and of some of the store's variables, by number.

    It returns the outputs, and then the new values of the variables that it changes.
    """

    run: object
    inputs: list  # shapes and dtypes
    outputs: int
    reads: list
    changes: list


def function(build, key, variables, form, kernels, backend):
    """Return a function that computes the graph of ``build(*key)``, a list of arrays.

    It trusts its inputs: arrays of the right type, from `as_given`.  Without updates,
    threads may call it at once.

    Parameters
    ----------
    build : callable
        Returns a `compiler.Graph`.
    key : tuple
    variables : list
        All shared variables that the graph may contain.
    form : tuple
        What the graph depends on besides the build's name, key and variables.
    kernels : list
        The groups of kernels, with a dtype, that the graph's Ops may become.
    backend : Backend
        With mode JAX.
    """
    if backend.device == "cpu":
        program = cpu_program(build, key, variables, form, kernels)
    else:
        program = donate(compile_graph(build(*key), variables, backend.device))
    return with_variables(program, variables, backend)


def with_variables(program, variables, backend):
    """Return a function of a Program's inputs, which reads and sets the variables.

    PyTensor's own call keeps arguments and results in the function object, which
    threads would share.
    """
    read = [storage_of(variables[n]) for n in program.reads]
    changed = [storage_of(variables[n]) for n in program.changes]
    run, outputs = program.run, program.outputs

    def call(*args):
        for storage in read:
            if isinstance(storage[0], np.ndarray):  # set, and no update since
                (storage[0],) = on_device(backend, storage)
        results = run(*args, *(storage[0] for storage in read))
        for storage, new in zip(changed, results[outputs:], strict=True):
            storage[0] = new
        return list(results[:outputs])

    return call


def cpu_program(build, key, variables, form, kernels):
    """Return the compiled Program of a graph, from the cache or new."""
    entry = build.__qualname__, key, variables, form, kernels
    program = None
    if all(lowering.ready(*group) for group in kernels):
        program = load_program(path_of(*entry))
    if program is None:
        program, code = new_program(build, key, variables, kernels)
        if code is not None:
            content = json.dumps(program[1:]).encode() + b"\n" + code
            cache.write_entry(path_of(*entry), content)
    return with_fast_products(program, variables, kernels)


def new_program(build, key, variables, kernels):
    """Compile a graph and trace it while the kernels are built, then wait for them.

    Return the Program and its code.  Compile again if the kernels are not as expected.
    Warn if JAX cannot trace it; the code is then None.
    """
    program = compile_graph(build(*key), variables, "cpu")
    expected = [lowering.expected(*group) for group in kernels]
    traced, code, error = trace(program, variables)
    if [lowering.enabled(*group) for group in kernels] != expected:
        program = compile_graph(build(*key), variables, "cpu")
        traced, code, error = trace(program, variables)
    if error:
        warnings.warn(f"a compiled function was not cached: {error}", stacklevel=2)
    return traced, code


def path_of(name, key, variables, form, kernels):
    """Return the path of a program's cache entry, after waiting for the kernels."""
    types = [str(variable.type) for variable in variables]
    flags = pytensor.config.floatX, pytensor.config.cast_policy
    enabled = [lowering.enabled(*group) for group in kernels]
    return cache.entry_path("programs", name, key, types, form, flags, enabled)


def compile_graph(graph, variables, device):
    """Return the Program of a `compiler.Graph`; JAX has not traced it yet."""
    from pytensor.link.jax.dispatch import jax_funcify

    inputs, outputs, updates = graph
    updates = updates or {}
    results = [*outputs, *updates.values()]
    numbers = {variable: n for n, variable in enumerate(variables)}
    reads = [numbers[v] for v in dict.fromkeys(graph_inputs(results)) if v in numbers]
    fgraph = FunctionGraph([*inputs, *(variables[n] for n in reads)], results)
    lowering.rewrite(fgraph)
    # `jax_funcify` also rewrites each scan's inner graph, in the default mode.
    run = jax_funcify(fgraph, device=device, wait=False)
    return Program(
        run,
        inputs=[(v.type.shape, v.type.dtype) for v in inputs],
        outputs=len(outputs),
        reads=reads,
        changes=[numbers[variable] for variable in updates],
    )


def donate(program):
    """Let XLA write new values of variables where the old ones were."""
    import jax

    first = len(program.inputs)
    places = [first + n for n, v in enumerate(program.reads) if v in program.changes]
    return program._replace(run=jax.jit(program.run, donate_argnums=places))


def with_fast_products(program, variables, kernels):
    """Compile a program for a CPU, with the faster of XLA's libraries of products.

    YNNPACK, XLA's default, is faster for the products of a step of few tunes; Eigen is
    faster for those that the kernels leave to XLA (benchmarks/RESULTS.md).  Sums stay
    with YNNPACK.  Compile now, or each thread would compile at its first call.
    """
    import jax

    tunes = [shape[1] for shape, _ in program.inputs if len(shape) == 3]
    ours = any(lowering.enabled(*k) for k in kernels if k[0] == "products")
    many = ours or (tunes and tunes[0] >= MANY_TUNES)
    with jax.default_device(jax.devices("cpu")[0]):  # where the variables are
        options = EIGEN if many and has_options() else None
        run = jax.jit(program.run).lower(*types_of(program, variables))
        return program._replace(run=run.compile(compiler_options=options))


def types_of(program, variables):
    """Return the types of a program's arguments, as JAX names them."""
    import jax

    read = [(variables[n].type.shape, variables[n].type.dtype) for n in program.reads]
    return [jax.ShapeDtypeStruct(*type_) for type_ in (*program.inputs, *read)]


@functools.cache
def has_options():
    """Return whether this jaxlib accepts the options `EIGEN`."""
    import jax

    try:
        jax.jit(lambda a: a, compiler_options=EIGEN).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def trace(program, variables):
    """Trace a Program; return it as it will be loaded, its code to cache, and None.

    On failure, return the program uncompiled, None and the error.
    """
    import jax

    run = jax.jit(program.run)
    checks = map(jax.export.DisabledSafetyCheck.custom_call, lowering.TARGETS)
    export = jax.export.export(run, platforms=("cpu",), disabled_checks=list(checks))
    try:
        exported = export(*types_of(program, variables))
        code = bytes(exported.serialize())
    except Exception as error:
        return program._replace(run=run), None, error
    return program._replace(run=exported.call), code, None


def load_program(path):
    """Return the Program in a cache entry; None if there is none."""
    import jax

    content = cache.read_entry(path)
    if content is None:
        return None
    head, _, code = content.partition(b"\n")
    run = jax.export.deserialize(bytearray(code)).call
    return Program(run, *json.loads(head))
