"""Settings of Sphinx, which builds the reference from the docstrings.

With the extra ``docs``, from the project's folder::

    python -m sphinx -W --keep-going .docs .docs/_build

``python .docs/gallery.py`` before it adds the gallery.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import pages  # noqa: E402

import spatial_duck  # noqa: E402

pages.write(DOCS / "reference")

project = "spatial_duck"
author = "spatial_duck developers"
version = release = spatial_duck.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "README.md"]
html_theme = "furo"
html_title = f"spatial_duck {release}"

# Names in single backticks are links where there is something to link to.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
# The members of a class are the reference's, with their own docstrings.
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
