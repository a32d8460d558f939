"""Hold the arrays that training changes, in shared variables."""

from collections.abc import Mapping

import numpy as np
import pytensor

from lstmmusic import checks
from lstmmusic.model import parameters
from lstmmusic.model.network import Network, State, tree_map
from lstmmusic.model.optimizers import Moments

OPTIMIZERS = ("RMSprop", "Adam")


class Store:
    """Hold a network's weights, its optimizer's moments and the state at step −1.

    Parameters
    ----------
    values : dict
        {original name: array} of weights and state.
    dtype : dtype
    optimizer : str
        One of `OPTIMIZERS`.

    Attributes
    ----------
    weights : Network
    moments : Moments
    state : State
        One (H,) for each layer.
    variables : list
        All of them.
    """

    def __init__(self, values, dtype, optimizer):
        self.dtype = dtype
        self.variables = []
        weights = parameters.pack(values)
        self.weights = tree_map(self._shared, weights)
        adam = optimizer == "Adam"
        self.moments = Moments(
            means=self._zeros(),
            momenta=self._zeros() if adam else None,
            updates=self._shared(0.0) if adam else None,
        )
        state = parameters.pack_state(values)
        self.state = State(*(tuple(map(self._shared, s)) for s in state))

    def _array(self, value):
        # Numba compiles anew for another order than C.
        return np.array(value, dtype=self.dtype, order="C")

    def _shared(self, value):
        variable = pytensor.shared(self._array(value), shape=np.shape(value))
        self.variables.append(variable)
        return variable

    def _zeros(self):
        return tree_map(lambda w: self._shared(np.zeros(w.type.shape)), self.weights)

    def get(self):
        """Return {original name: array} of the weights and the state."""
        state = State(*(map(_value, s) for s in self.state))
        return {
            **parameters.unpack(tree_map(_value, self.weights)),
            **parameters.unpack_state(state),
        }

    def get_moments(self):
        """Return `Moments` of {original name of the weight: array}, and an int.

        RMSprop has None for what only Adam remembers.
        """
        means, momenta, updates = self.moments
        return Moments(
            parameters.unpack(tree_map(_value, means)),
            None if momenta is None else parameters.unpack(tree_map(_value, momenta)),
            None if updates is None else int(_value(updates)),
        )

    def check(self, values):
        """Return the current values, some of them replaced by ``values``.

        Raises
        ------
        ValueError
            For an unknown name, a wrong shape, or a value that is not finite.
        """
        if not isinstance(values, Mapping):
            raise ValueError(
                f"values is {values!r:.60}; allowed is a mapping of names to arrays"
            )
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
        parameters.check_joint(current)
        return current

    def set(self, values):
        """Set some or all of what `get` returns; change nothing if one is wrong."""
        values = self.check(values)
        self._assign(self.weights, parameters.pack(values))
        for shared, new in zip(self.state, parameters.pack_state(values), strict=True):
            for variable, value in zip(shared, new, strict=True):
                variable.set_value(self._array(value))

    def set_moments(self, values=None):
        """Set what `get_moments` returns; set what ``values`` lacks to zero."""
        for ours, theirs in zip(self.moments, values or Moments(), strict=True):
            if isinstance(ours, Network):
                zeros = {name: np.zeros_like(a) for name, a in self.get().items()}
                self._assign(ours, parameters.pack(theirs or zeros))
            elif ours is not None:
                ours.set_value(self._array(theirs or 0))

    def _assign(self, network, values):
        tree_map(lambda w, value: w.set_value(self._array(value)), network, values)


def _value(shared):
    return np.asarray(shared.get_value(borrow=True))
