"""Run every ``>>>`` example of the public modules, and demand one of each function."""

import doctest
import importlib
import inspect

import numpy as np
import pytest
from shown import MODULES

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public():
    """Return {dotted name: function or class} of all that a user calls."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for key in getattr(module, "__all__", vars(module)):
            value = getattr(module, key)
            if key.startswith("_") or not callable(value):
                continue
            if hasattr(module, "__all__") or value.__module__ == name:
                found[f"{value.__module__}.{key}"] = value
    return found


PUBLIC = public()
HOMES = {value.__module__ for value in PUBLIC.values()} | set(MODULES)
HOMES |= {"lstmmusic.model.lstm"}
EXAMPLES = {
    test.name: test
    for home in sorted(HOMES)
    for test in doctest.DocTestFinder().find(importlib.import_module(home))
    if test.examples
}


def needs_example(value):
    """Return whether a value is a function, or a class that users make or get.

    A class may have its examples in its methods.  Exceptions need none.
    """
    return not (inspect.isclass(value) and issubclass(value, Exception))


def test_every_public_function_has_an_example():
    # Fails if one is added without; the message lists the missing ones.
    assert len(PUBLIC) > 20
    missing = [
        name
        for name, value in PUBLIC.items()
        if needs_example(value)
        and not any(key == name or key.startswith(f"{name}.") for key in EXAMPLES)
    ]
    assert not missing, f"no >>> example: {', '.join(missing)}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_gives_what_it_shows(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = EXAMPLES[name]
    test.globs = test.globs.copy()
    report = []
    with np.printoptions():  # an example may change them
        result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert result.failed == 0, "".join(report)
