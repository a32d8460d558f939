"""Reach the attributes of PyTensor and JAX that are not public.

Checked on PyTensor 3.0.7 with JAX 0.8.0 and 0.10.2, by tests/test_internals.py.
"""

import sys


def storage_of(variable):
    """Return the list whose one element is a shared variable's value.

    ``get_value`` and ``set_value`` would turn JAX's arrays into NumPy's.
    """
    return variable.container.storage


def jax_has_started():
    """Tell whether JAX has started threads in this process, without starting them."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(getattr(bridge, "_backends", None))
