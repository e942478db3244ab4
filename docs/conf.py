# SPDX-License-Identifier: BSD-3-Clause
"""Settings of the documentation site: python -m sphinx -W -b html docs build/site."""

from __future__ import annotations

import sys
from pathlib import Path

import sigmascope

sys.path.insert(0, str(Path(__file__).parent))

project = "sigmascope"
author = "the sigmascope developers"
copyright = f"2026, {author}"
version = release = sigmascope.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "extensions.docstrings",
    "extensions.pages",
]
exclude_patterns = ["extensions"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "code"  # single backticks in docstrings mark names of arguments
smartquotes_action = "D"  # dashes; quotes in docstrings are those of Python

myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 4  # the anchors that GitHub gives to headings, which links use

toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections "Parameters" and "Returns" have the types
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # no entries of their own
napoleon_use_param = False  # words of types, such as "shape", are not names of ours
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "sigmascope"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"install": [], "tour": [], "citing": []}
