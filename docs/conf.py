"""Sphinx's settings of the site, which tools/site.py builds (make docs): Markdown as it is here, the reference from the specs."""

from __future__ import annotations

from pathlib import Path

import yaml

_GALAXY = yaml.safe_load(Path(__file__).with_name("galaxy.yml").read_text())  # tools/site.py puts both side by side

project = "hotswap.bluegreen"
author = ", ".join(_GALAXY["authors"])
release = version = _GALAXY["version"]
copyright = "GPL-3.0-or-later"

extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible-core/devel/", "ansible.inv")}
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 6
root_doc = "docs/index"
exclude_patterns = ["**/_*"]
highlight_language = "text"
default_role = "any"
suppress_warnings = ["misc.highlighting_failure"]  # examples with … for what is left out

html_theme = "furo"
html_title = f"hotswap.bluegreen {version}"
html_static_path = ["docs/site"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
