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
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "command_output",
    "descriptions",
    "imports",
    "mathml",
    "scrolling",
    "words",
]
exclude_patterns = ["_build", "_ext", "_static", "gallery", "examples/*.py", "examples/*.ipynb"]
templates_path: list[str] = []

html_theme = "furo"
html_title = f"xnn {release}"
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_theme_options = {"sidebar_hide_name": True}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
html_math_renderer = "mathml"

# The scripts of gallery/ are run, and their pages written into examples/; what has not changed is not run again.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery.Order",
    "reset_modules": ("matplotlib", "gallery.warnings_are_errors"),
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "doc_module": ("xnn",),
    "reference_url": {"xnn": None},
    "inspect_global_variables": False,
}

# A copied command comes without its prompt and without what it printed; what an example printed is not for copying.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
copybutton_exclude = ".linenos"
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"

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
