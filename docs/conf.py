"""How Sphinx makes pages of the README and the docstrings; they begin with index.md.

``python -m sphinx -W docs build/docs`` makes them; a warning is an error.  What is made
is not committed.
"""

import lstmmusic

project = "LSTMmusic"
release = lstmmusic.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# `midi.midiread` in a docstring is a link, and must lead somewhere; `steps` need not,
# nor do types, most of which are described elsewhere.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"\w+|.*[^\w.].*")]

html_theme = "furo"
html_title = f"LSTMmusic {release}"
html_copy_source = False
html_show_copyright = False


def skip_aliases(app, what, name, value, skip, options):
    """Leave out the fields of a NamedTuple: all that Python says is their number."""
    alias = (getattr(value, "__doc__", None) or "").startswith("Alias for field number")
    return True if alias else None


def setup(app):
    app.connect("autodoc-skip-member", skip_aliases)
