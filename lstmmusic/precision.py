"""Make float32 PyTensor's floatX, unless the user has chosen."""

import dis
import sys

import pytensor


def default_to_float32():
    """Set ``pytensor.config.floatX`` to float32 where nobody has set it.

    PyTensor's own default is float64.  A choice in PYTENSOR_FLAGS or .pytensorrc
    stands, as does any made after ``import lstmmusic``.  So does one made before it by
    the code that imports us; the setting keeps no trace of that, so the code is asked.
    """
    setting = type(pytensor.config).__dict__["floatX"]
    if setting.is_default and not assigned_by_importer():
        pytensor.config.floatX = "float32"


def assigned_by_importer():
    """Tell whether a module that is importing us has assigned to ``….floatX``."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and any(
            step.opname == "STORE_ATTR"
            and step.argval == "floatX"
            and step.offset < frame.f_lasti  # above the import, not below it
            for step in dis.get_instructions(frame.f_code)
        ):
            return True
        frame = frame.f_back
    return False
