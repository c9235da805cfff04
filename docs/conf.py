"""The documentation site: ``python -m sphinx -W -b html docs docs/_build/html``.

It needs the extra ``docs`` and no network: theme and MathJax come from their packages. Pages of the
API are written from each room's ``__all__`` (`site_pages.write_api`), those of the benchmarks from
the committed Markdown (`site_pages.write_benchmarks`), and the gallery from ``examples/``.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.autosummary import ImportExceptionGroup, import_by_name

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import site_pages  # noqa: E402
from skorch import NeuralNet  # noqa: E402

from sk_prunefair import __version__  # noqa: E402

project = "sk_prunefair"
author = "The sk_prunefair developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "outputs", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5"]
templates_path = ["_templates"]
default_role = "autolink"
nitpicky = True
# What other libraries' documentation would hold; without network it cannot be linked to.
libraries = "torch|numpy|pandas|sklearn|skorch|fairlearn|joblib|transformers|datasets"
nitpick_ignore_regex = [("py:.*", rf"({libraries})\..*")]

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "sk_prunefair"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
# Pages without pages below them have nothing to list beside the text.
single_pages = ("start", "results", "mitigation", "glossary", "design", "changelog")
html_sidebars: dict[str, list[str]] = {name: [] for name in single_pages}
toc_object_entries_show_parents = "hide"
html_theme_options = {
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# The short examples run while the site is built; the others show what they printed last
# (`outputs/`, written by ``python docs/site_outputs.py``).
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(" + "|".join(site_pages.SHORT_EXAMPLES) + r")\.py$",
    "ignore_pattern": r"(/ci/|/_)",
    "within_subsection_order": "site_pages.ByLength",
    "remove_config_comments": True,
    "download_all_examples": False,
    "min_reported_time": 1_000,
    "write_computation_times": False,
    "show_memory": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "reset_argv": "site_pages.no_arguments",
}
warnings.filterwarnings("ignore", category=UserWarning, module="matplotlib")


def skip(app: object, what: str, name: str, obj: object, skipped: bool, options: object) -> bool:
    """Leave out what skorch documents, and what scikit-learn adds for its routing."""
    if name in vars(NeuralNet) and name not in site_pages.VERBS:
        return True
    added = name.endswith("_request") or name in ("get_metadata_routing", "set_output")
    return skipped or added


def find(app: Sphinx, env: Any, node: Any, text: Any) -> Any:
    """Resolve a second public name of an object; leave names that have no page as text.

    A name that cannot be imported, from where it is written, stays an error.
    """
    prefixes = [".".join(filter(None, (node.get("py:module"), node.get("py:class")))), None]
    try:
        found = import_by_name(node["reftarget"], [*prefixes, node.get("py:module")])
    except ImportExceptionGroup:
        return None
    name = site_pages.page_of(found[1])
    if name is None:
        return text
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, text)


def link(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Take a constant's comment as its docstring; link committed pages that docstrings name."""
    if what == "data":
        lines[:] = site_pages.comment_of(name) or lines
    lines[:] = map(site_pages.docstring_links, lines)


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Point links at pages of the site; add what long examples print to their pages."""
    if name == "gallery/index":
        content[0] = site_pages.gallery_links(content[0])
    elif name.startswith("gallery/"):
        content[0] = site_pages.with_output(content[0], name.removeprefix("gallery/"), HERE)
    elif not name.startswith(("api/", "benchmarks/")):
        content[0] = site_pages.site_links(content[0], inside=f"docs/{Path(name).parent}")


def setup(app: Sphinx) -> None:
    """Write the pages that are made from the package and from the benchmarks."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", link)
    app.connect("source-read", read)
    app.connect("missing-reference", find)
    site_pages.write_api(HERE / "api")
    site_pages.write_benchmarks(HERE / "benchmarks", ROOT)
