"""Build the kernels, and compare what XLA gets of them with NumPy's products.

This runs in a subprocess: a crash does not end the user's process.
"""

from pathlib import Path

import numpy as np

from lstmmusic.engine import cache
from lstmmusic.engine.kernels import build as builder
from lstmmusic.engine.kernels import lowering
from lstmmusic.engine.kernels.code import object_code
from lstmmusic.engine.kernels.header import check_header
from lstmmusic.model import ops


def build(dtype, path):
    """Build and test the kernels for a dtype, and write them to the cache."""
    check_header()
    code = object_code(dtype)
    engine = builder.link(code)
    lowering.register_with_xla(engine, dtype)
    self_test(dtype)
    changed = cache.digest_of_sources() != cache.SOURCES
    if changed or Path(path) != builder.path_of(dtype):
        raise RuntimeError("the library, or its cache, has changed meanwhile")
    cache.write_entry(Path(path), code)


def self_test(dtype):
    """Raise ArithmeticError if XLA gets other products of the kernels than NumPy.

    Of whole numbers: the order of their sums does not matter.
    """
    import jax

    rng = np.random.default_rng(1)
    shapes = (4, 3, 7), (7, 41), (41,), (4, 3, 41), (9, 37), (37, 41), (9, 41)
    arrays = [rng.integers(-2, 3, shape).astype(dtype) for shape in shapes]
    with jax.enable_x64(dtype == "float64"):
        found = jax.jit(lambda *a: products(lowering.in_jax, *a))(*arrays)
    in_numpy = products(lambda op, *a: op.compute(*a), *arrays)
    for product, wanted in zip(found, in_numpy, strict=True):
        if not np.array_equal(product, wanted):
            error = np.abs(product - wanted).max()
            raise ArithmeticError(f"self-test: a product is wrong by {error}")


def products(compute, x, W, b, below, rows, W_h, a):
    """Compute what each kernel is for."""
    return [
        compute(ops.roll_dot, x, W, b),
        compute(ops.roll_dot, x, W, b, below),
        compute(ops.roll_outer, x, below),
        compute(ops.packed_dot, a, rows, compute(ops.pack, W_h)),
        compute(ops.packed_dot, a, rows, compute(ops.pack_transposed, W_h.T)),
    ]
