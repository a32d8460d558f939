"""Compiles symbolic functions of one network, each at its first use, and keeps them.

Numba takes arrays of any shape with one compilation.  JAX wants static shapes, and so
one compilation for each.
"""

from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt

from lstmmusic.engine import export, lowering
from lstmmusic.engine.backend import as_given, compiled, on_device, precision, prepare
from lstmmusic.model.network import State


class Compiler:
    """Makes inputs of a network's sizes, and functions of them.

    Parameters
    ----------
    store : Store
    form : tuple
        What the functions depend on besides the sizes: it goes into `export.file_of`.
    backend : Backend
    """

    def __init__(self, store, form, backend):
        prepare(backend.mode)  # before another program starts it, if that can be
        self.store = store
        self.form = form
        self.backend = backend
        self.dtype = store.dtype.name
        self.N = store.weights.b_y.type.shape[0]
        self.H = [vector.type.shape[0] for vector in store.state.h]

    def shape(self, *lengths):
        """Return the key of a compiled function: the lengths where JAX needs them."""
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
        """Return what reaches the last step of B tunes: zeros (B, 4H), then (B, H)."""
        widths = [*(4 * H for H in self.H), *self.H]
        return [np.zeros((B, width), self.dtype) for width in widths]

    def kept(self, build):
        """Return what compiles the inputs, outputs and updates that ``build`` returns.

        Called with the arguments of ``build``, it gives a function that it compiled
        once; threads may call that at once if it makes no updates, but compiling is
        for one thread alone.  Where each variable was made is not recorded: that takes
        longer than the rest.
        """
        flags = {"floatX": self.dtype, "traceback__limit": 0}

        @cache
        def get(*key):
            with (
                pytensor.config.change_flags(**flags),
                precision(self.backend, self.dtype),
                lowering.on(self.backend.device),
            ):
                if self.backend.device == "cpu":
                    lowering.start_build(self.dtype)
                run = self._function(build, key)

            def call(*args):
                with precision(self.backend, self.dtype):
                    return run(*as_given(self.backend, args))

            return call

        return get

    def _function(self, build, key):
        if self.backend.mode == "JAX":
            return export.function(
                build, key, self.store.variables, self.form, self.backend
            )
        inputs, outputs, updates = build(*key)
        return compiled(inputs, outputs, self.backend.mode, updates)
