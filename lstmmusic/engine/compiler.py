"""Compile symbolic functions of one network, each once.

Numba takes arrays of any shape with one compilation.  JAX wants static shapes, and so
one compilation for each.
"""

import gc
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

from lstmmusic.engine import export, forks, home, lowering, process
from lstmmusic.engine.backend import (
    as_given,
    on_device,
    precision,
    pytensor_config,
    restored_x64,
)
from lstmmusic.model.network import State


class Graph(NamedTuple):
    """Hold a symbolic function: inputs, outputs, and new values of variables."""

    inputs: list
    outputs: list
    updates: dict | None = None


class Compiler:
    """Make inputs of a network's sizes, and compile functions of them.

    Parameters
    ----------
    store : Store
    form : tuple
        What the functions depend on besides the sizes.
    backend : Backend
    """

    def __init__(self, store, form, backend):
        with pytensor_config():
            home.folder()  # fail before training, not after
        process.is_allowed()  # an invalid switch also fails here
        self.store = store
        self.form = form
        self.backend = backend
        self.dtype = store.dtype.name
        groups = ["products", "joint"] if store.weights.joint else ["products"]
        self.kernels = [(group, self.dtype) for group in groups]
        self.N = store.weights.layers[0].W_x.type.shape[0]
        self.H = [vector.type.shape[0] for vector in store.state.h]

    def shape(self, *lengths):
        """Return the key of a compiled function: the lengths, if JAX needs them."""
        return lengths if self.backend.mode == "JAX" else (None,) * len(lengths)

    def rolls(self, T, B, *names):
        """Return a symbolic roll (T, B, N) for each name."""
        return [pt.tensor(name, shape=(T, B, self.N)) for name in names]

    def each_layer(self, *lengths, times=1, dtype=None):
        """Return a symbolic array (*lengths, times H) for each layer."""
        return tuple(
            pt.tensor(shape=(*lengths, times * H), dtype=dtype) for H in self.H
        )

    def state(self, B):
        """Return a symbolic `State`."""
        return State(self.each_layer(B), self.each_layer(B))

    def state_at_start(self, B):
        """Give each of B tunes the state at step −1: arrays (B, H), all h, then c."""
        vectors = [v.get_value(borrow=True) for s in self.store.state for v in s]
        return [np.tile(vector, (B, 1)) for vector in vectors]

    def given(self, arrays):
        """Return arrays as the functions take them, to be given again and again."""
        with precision(self.backend, self.dtype):
            return on_device(self.backend, arrays)

    def zero_carry(self, B):
        """Return a zero carry for B tunes: arrays (B, 4H), then (B, H)."""
        widths = [*(4 * H for H in self.H), *self.H]
        return [np.zeros((B, width), self.dtype) for width in widths]

    def compile_once(self, build, has_products=True):
        """Return a cached function that compiles the graph which ``build`` returns.

        ``build`` returns a `Graph`.  Called with its arguments, the result compiles at
        the first call and returns a function, which returns a list.  Threads may call
        that at once if it makes no updates; compiling is for one thread alone.
        Compiling waits for the kernels if ``has_products``.
        """
        kernels = self.kernels if has_products else []
        # To record where each variable was made takes longer than the rest.
        flags = {"floatX": self.dtype, "traceback__limit": 0}

        @cache
        def get(*key):
            if self.backend.mode == "JAX":
                forks.note_jax()  # before its import: a fork would copy half of it
            if self.backend.mode == "JAX" and self.backend.device == "cpu":
                for group in self.kernels:  # beside JAX's import, and the first graph
                    lowering.start_build(*group)
            with (
                restored_x64(self.backend),
                pytensor_config(**flags),
                no_collection(),
                precision(self.backend, self.dtype),
            ):
                run = self._function(build, key, kernels)

            def call(*args):
                with precision(self.backend, self.dtype):
                    return run(*as_given(self.backend, args))

            return call

        return get

    def _function(self, build, key, kernels):
        if self.backend.mode == "JAX":
            return export.function(
                build, key, self.store.variables, self.form, kernels, self.backend
            )
        inputs, outputs, updates = build(*key)
        return pytensor.function(
            inputs,
            outputs,
            updates=updates,
            mode=self.backend.mode,
            trust_input=True,
            on_unused_input="ignore",  # the top layer's mask, where there is no Z
        )


@contextmanager
def no_collection():
    """Disable garbage collection, which takes a fifth of a compilation."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
