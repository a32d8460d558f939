"""Build the kernels, and compare what XLA gets of them with NumPy.

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


def build(group, dtype, path):
    """Build and test a group of kernels, and write it to the cache."""
    check_header()
    code = object_code(group, dtype)
    engine = builder.link(code)
    lowering.register_with_xla(engine, group, dtype)
    self_test(group, dtype)
    changed = cache.digest_of_sources() != cache.SOURCES
    if changed or Path(path) != builder.path_of(group, dtype):
        raise RuntimeError("the library, or its cache, has changed meanwhile")
    cache.write_entry(Path(path), code)


def self_test(group, dtype):
    """Raise ArithmeticError if XLA gets other numbers of the kernels than NumPy."""
    import jax

    with jax.enable_x64(dtype == "float64"):
        {"products": test_products, "joint": test_joint}[group](dtype)


def test_products(dtype):
    """Compare products of whole numbers, so the order of sums does not matter."""
    import jax

    rng = np.random.default_rng(1)
    shapes = (4, 3, 7), (7, 41), (41,), (4, 3, 41), (9, 37), (37, 41), (9, 41)
    arrays = [rng.integers(-2, 3, shape).astype(dtype) for shape in shapes]
    found = jax.jit(lambda *a: products(lowering.in_jax, *a))(*arrays)
    in_numpy = products(lambda op, *a: op.compute(*a), *arrays)
    check("a product", found, in_numpy, tolerance=0)


def check(what, found, wanted, tolerance):
    """Raise ArithmeticError if arrays differ by more than a tolerance, or are NaN."""
    for array, other in zip(found, wanted, strict=True):
        error = np.abs(np.subtract(array, other)).max()
        if np.shape(array) != other.shape or not error <= tolerance:
            raise ArithmeticError(f"self-test: {what} is wrong by {error}")


def products(compute, x, W, b, below, rows, W_h, a):
    """Compute what each kernel is for."""
    return [
        compute(ops.roll_dot, x, W, b),
        compute(ops.roll_dot, x, W, b, below),
        compute(ops.roll_outer, x, below),
        compute(ops.packed_dot, a, rows, compute(ops.pack, W_h)),
        compute(ops.packed_dot, a, rows, compute(ops.pack_transposed, W_h.T)),
    ]


def test_joint(dtype):
    """Compare the kernels of the joint output with dense sums over all notes."""
    import jax

    rng = np.random.default_rng(2)
    shapes = (4, 3, 7), (4, 3, 41), (4, 3, 7), (7, 41), (7, 41), (7, 7), (4, 3, 7)
    Y, A, bound, U, V, L, dz = (rng.normal(size=s).astype(dtype) for s in shapes)
    L = np.tril(L, -1)
    k = (bound > 0.5).astype(dtype)

    def run(k, Y, A, bound, U, V, L, dz):
        z = lowering.joint_dot(A, k, U, V)
        derivatives = lowering.joint_outer(dz, A, k, U, V)
        return z, *derivatives, *lowering.joint_draw(Y, bound, L, A, U, V)

    *found, chord, s = map(np.asarray, jax.jit(run)(k, Y, A, bound, U, V, L, dz))
    u, u_drawn = units(A, k, V), units(A, chord, V)
    da = dz[..., None] * U * u * (1 - u)
    later = da.sum(-2, keepdims=True) - da.cumsum(-2)
    wanted = [
        (U * u).sum(-1),
        da.sum(-2),
        np.einsum("tbn,tbnd->nd", dz, u),
        np.einsum("tbn,tbnd->nd", k, later),
        (s > bound).astype(dtype),
        Y + (U * u_drawn).sum(-1) + chord @ L.T,
    ]
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    check("the joint output", [*found, chord, s], wanted, tolerance)


def units(A, k, V):
    """Return u (…, N, D), ``u_n = σ(A + Σ_{m<n} k_m V_m)``, in NumPy."""
    added = k[..., None] * V
    return 1 / (1 + np.exp(-(A[..., None, :] + added.cumsum(-2) - added)))
