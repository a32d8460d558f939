"""The arrays that training changes, in shared variables, by the original's names."""

import numpy as np
import pytensor

from lstmmusic import checks, parameters
from lstmmusic.network import State, each


class Store:
    """A network's weights, their running means of squares, and the state at step −1.

    Parameters
    ----------
    values : dict
        {original name: array} of weights and state.
    dtype : dtype

    Attributes
    ----------
    weights, means : Network
        Shared variables; what a compiled update reads and writes.
    state : State
        Shared variables, one (H,) for each layer.
    """

    def __init__(self, values, dtype):
        self.dtype = dtype
        weights = parameters.pack(values)
        self.weights = each(self._shared, weights)
        self.means = each(lambda w: self._shared(np.zeros_like(w)), weights)
        state = parameters.pack_state(values)
        self.state = State(*(tuple(map(self._shared, s)) for s in state))

    def _array(self, value):
        # In C order: Numba compiles anew for another.
        return np.array(value, dtype=self.dtype, order="C")

    def _shared(self, value):
        return pytensor.shared(self._array(value), shape=np.shape(value))

    def get(self):
        """Return {original name: array} of the weights and the state."""
        state = State(*(map(_value, s) for s in self.state))
        return {
            **parameters.unpack(each(_value, self.weights)),
            **parameters.unpack_state(state),
        }

    def get_means(self):
        """Return {original name of the weight: array} of the running means."""
        return parameters.unpack(each(_value, self.means))

    def check(self, values):
        """Return the current values, with ``values`` in place of some of them.

        Raises
        ------
        ValueError
            For an unknown name, a wrong shape, or a value that is not finite.
        """
        current = self.get()
        for name, value in values.items():
            if name not in current:
                raise ValueError(
                    f"there is no parameter {name!r}; allowed are {', '.join(current)}"
                )
            value = checks.array(name, value, self.dtype)
            if value.shape != current[name].shape:
                raise ValueError(
                    f"{name} has shape {value.shape}; allowed is {current[name].shape}"
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{name} holds values that are not finite")
            current[name] = value
        return current

    def set(self, values):
        """Set some or all of what `get` returns; nothing if one of them is wrong."""
        values = self.check(values)
        self._assign(self.weights, parameters.pack(values))
        for shared, new in zip(self.state, parameters.pack_state(values), strict=True):
            for variable, value in zip(shared, new, strict=True):
                variable.set_value(self._array(value))

    def set_means(self, values=None):
        """Set all running means from {original name: array}; without it, to zero."""
        if values is None:
            values = {n: np.zeros_like(v) for n, v in self.get_means().items()}
        self._assign(self.means, parameters.pack(values))

    def _assign(self, network, values):
        each(lambda w, value: w.set_value(self._array(value)), network, values)


def _value(shared):
    return np.asarray(shared.get_value(borrow=True))
