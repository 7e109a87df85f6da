"""How Sphinx makes the site. `python course.py site` gathers the pages and runs it."""

import re
import tomllib
from pathlib import Path

from pretrain_lib.course.addresses import repository

HERE = Path(__file__).resolve().parent
ROOT = next(folder for folder in HERE.parents if (folder / "pyproject.toml").is_file())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "Pre-training from First Principles"
author = PROJECT["authors"][0]["name"].removeprefix("The ")
project_copyright = "2026, " + author
version = release = PROJECT["version"]

extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton", "sphinx.ext.mathjax"]
exclude_patterns = ["_static"]

# Notebooks, as they were executed.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
numfig = True
numfig_format = {"figure": "Figure %s"}

# MathJax comes with the site.
mathjax_path = "mathjax.js"
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
}

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_show_search_summary = False  # it would be fetched, which a browser refuses from a disk
html_last_updated_fmt = None
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the sidebar has the search already
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if repository():
    html_theme_options |= {
        "repository_url": f"https://github.com/{repository()}",
        "repository_branch": "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def number_within_chapters(app, env):
    """Equations and figures are counted within their chapter: (2.7) is the seventh of chapter 02."""
    for numbers in env.toc_fignumbers.values():
        for kind in ("displaymath", "figure"):
            for name in numbers.get(kind, {}):
                if match := re.search(r"(?:eq|figure)-(\d\d)-(\d+)$", name):
                    numbers[kind][name] = (int(match[1]), int(match[2]))
    return []


def setup(app):
    app.connect("env-get-updated", number_within_chapters, priority=900)  # after Sphinx has counted
