"""The attributes of PyTensor and JAX that are not public are what we take them for.

Checked on PyTensor 3.0.7 with JAX 0.8.0 and 0.10.2.
"""

import numpy as np
import pytensor

from lstmmusic.engine import internals


def test_the_storage_holds_the_value_of_a_shared_variable():
    # Checked on PyTensor 3.0.7.  Fails if what we put there is not what a function, or
    # get_value, reads.
    import jax

    variable = pytensor.shared(np.zeros(3))
    storage = internals.storage_of(variable)
    np.testing.assert_array_equal(storage[0], np.zeros(3))
    variable.set_value(np.ones(3))
    np.testing.assert_array_equal(storage[0], np.ones(3))
    storage[0] = jax.numpy.full(3, 2.0)
    assert variable.get_value(borrow=True) is storage[0]
    doubled = pytensor.function([], 2 * variable, mode="JAX")
    np.testing.assert_array_equal(doubled(), np.full(3, 4.0))


def test_jax_has_started_when_it_has_computed(in_new_process):
    # Checked on JAX 0.8.0 and 0.10.2.  Fails if its mere import counts.
    code = """
from lstmmusic.engine.internals import jax_has_started
found = [jax_has_started()]
import jax
found.append(jax_has_started())
jax.numpy.zeros(3).block_until_ready()
print(found + [jax_has_started()])
"""
    assert in_new_process(code) == "[False, False, True]"
