"""Sphinx's configuration: ``nox -s docs`` builds the pages into docs/_build/html."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "fastknn"
author = "The fastknn developers"
copyright = "The fastknn developers"
version = release = installed_version("fastknn")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "benchmark_pages",
    "layers_diagram",
]
exclude_patterns = ["_build", "_generated", "examples/GALLERY_HEADER.txt"]
nitpicky = False

# --- Docstrings ---

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more, and say it once
autodoc_default_options = {"inherited-members": None}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# --- Markdown ---

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# --- The gallery ---

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"common\.py$",
    "within_subsection_order": "gallery.order",
    "reset_argv": "gallery.arguments",
    "matplotlib_animations": False,
    "show_memory": False,
    "download_all_examples": False,
    "remove_config_comments": True,
}
suppress_warnings = ["config.cache"]

# --- Pages ---

html_theme = "pydata_sphinx_theme"
html_title = "fastknn"
html_static_path = ["_static"]
html_css_files = ["fastknn.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "github_url": "https://github.com/fastknn/fastknn",
    "logo": {"text": "fastknn"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {
    "getting_started": [],
    "how_it_works": [],
    "promises": [],
    "changelog": [],
    "contributing": [],
    "benchmarks/index": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
templates_path = ["_templates"]


def _skip(app, what: str, name: str, obj, skip: bool, options) -> bool | None:
    """Leave out what classes inherit from scikit-learn: its pages describe it."""
    home = getattr(obj, "__module__", None) or "fastknn"
    return True if what == "class" and not home.startswith("fastknn") else None


def setup(app) -> None:
    app.connect("autodoc-skip-member", _skip)
