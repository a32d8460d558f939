"""Run the tests on each Python found, and with the lowest versions allowed.

``nox`` runs all of them, ``nox -s lowest`` or ``nox -p 3.13`` one; what stands behind
``--`` goes to pytest: ``nox -- -m 'not slow'``.  Under pyenv a Python is found once it
is named: ``PYENV_VERSION=3.11.7:3.12.1:3.13.0 nox``.
"""

import re
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)  # from the classifiers
BOUND = re.compile(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)")

nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
def tests(session):
    """Run the tests with the newest versions allowed."""
    session.install("-e", ".[test]")
    pytest(session)


@nox.session(python=PYTHONS[0])
def lowest(session):
    """Run the tests with everything that pyproject.toml names at its lower bound."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = sum(extras, PROJECT["project"]["dependencies"])
    bounds = [BOUND.match(each).groups() for each in named if BOUND.match(each)]
    pins = [f"{name}=={version}\n" for name, version in bounds]
    pins.append("pyparsing<3.3\n")  # which deprecates what matplotlib 3.8 calls
    constraints = Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("".join(pins))
    session.install("-e", ".[test]", "-c", constraints)
    pytest(session)


def pytest(session):
    """Run pytest with a folder for compiled code that no other session uses."""
    session.run("python", "-m", "pip", "list", "--format=freeze")
    # Another version of PyTensor may have cached code there.
    flags = f"base_compiledir={Path(session.create_tmp()).resolve()}"
    session.run("pytest", *session.posargs, env={"PYTENSOR_FLAGS": flags})
