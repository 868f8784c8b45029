"""Sphinx configuration."""

import sys
from pathlib import Path

import xnn

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "xnn"
author = "The xnn developers"
project_copyright = author
release = version = xnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "command_output",
    "imports",
    "mathml",
]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

html_theme = "furo"
html_title = f"xnn {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
html_math_renderer = "mathml"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# `Names` in docstrings are links where they name something that is documented, else code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Array": "Array", "Namespace": "Namespace", "Pullback": "Pullback", "Shape": "Shape"}
autosummary_generate = False
numpydoc_show_class_members = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# With `-n`: names of parameters are not objects, other libraries' documentation is not read while building, and the
# helper types in signatures have no entry of their own.
nitpick_ignore_regex = [
    ("py:obj", r".*"),
    ("py:class", r"(?!xnn\.).*"),
    ("py:class", r"xnn\..*\._\w+|xnn\.optim\.optimizer\.(FlatMapping|Segment)"),
]
