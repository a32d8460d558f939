"""Build pages of the README, the docstrings, the notebooks and docs/ with Sphinx.

``python -m sphinx -W docs build/docs`` builds them; a warning is an error.
"""

import json
from pathlib import Path

import lstmmusic

project = "LSTMmusic"
release = lstmmusic.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# A name that begins with a package of ours is a link, and must lead somewhere; `steps`
# and `network.fields` need not, nor do types, most of which are described elsewhere.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"(?!(lstmmusic|midi)\.).*")]

myst_heading_anchors = 2
html_theme = "furo"
html_title = f"LSTMmusic {release}"
html_copy_source = False
html_show_copyright = False


NOTEBOOKS = Path(__file__).parents[1] / "examples"


def show_notebook(app, page, source):
    """Put the notebook of examples/ in place of a page of tutorial/, not executed.

    To execute it takes minutes; a reader sees pictures and hears sound by running it.
    """
    if not page.startswith("tutorial/"):
        return
    name = f"{Path(page).name}.ipynb"
    cells = json.loads((NOTEBOOKS / name).read_text("utf-8"))["cells"]
    title, *rest = (cell_to_markdown(cell) for cell in cells)
    run = (
        f"This page is `examples/{name}`. To run it: `.venv/bin/pip install notebook`, "
        "then `.venv/bin/jupyter notebook examples`."
    )
    source[0] = "\n\n".join([title, run, *rest])


def cell_to_markdown(cell):
    """Return a notebook's cell, of text or of code, as Markdown."""
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def skip_aliases(app, what, name, value, skip, options):
    """Leave out the fields of a NamedTuple: all that Python says is their number."""
    alias = (getattr(value, "__doc__", None) or "").startswith("Alias for field number")
    return True if alias else None


def setup(app):
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("source-read", show_notebook)
