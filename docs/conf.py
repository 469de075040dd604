"""How Sphinx builds these pages."""

from importlib.metadata import version as version_of

project = "distilabel"
author = "the distilabel authors"
project_copyright = author
release = version = version_of("distilabel")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
nitpicky = False  # types of other packages have no page here, and nothing is fetched

html_theme = "furo"
html_title = f"distilabel {release}"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"show-inheritance": True}
default_role = "code"  # docstrings write `names` as Markdown does
