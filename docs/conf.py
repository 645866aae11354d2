"""The documentation site: ``sphinx-build -W docs docs/_build/html`` (pip install -e ".[docs]").

The tutorials are the notebooks as they stand, with their still pictures. ``HETERODYNE_NB_DOCS=run`` runs them first and puts
their figures in as live plotly figures.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import heterodyne_nb

HERE = Path(__file__).resolve().parent
LESSONS, COPIES = HERE.parent / "notebooks", HERE / "tutorials"
FIGURE = "application/vnd.plotly.v1+json"

project = "heterodyne_nb"
author = "the heterodyne_nb authors"
version = release = heterodyne_nb.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "generated/README.md"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
html_theme = "pydata_sphinx_theme"
html_title = "heterodyne_nb"
html_math_renderer = "mathml"  # drawn by the browser itself: nothing is fetched from elsewhere
html_sidebars = {"claims": [], "coming-from": []}  # these have no pages beside them
html_theme_options = {"show_nav_level": 1, "navigation_depth": 2, "show_toc_level": 2}
suppress_warnings = [
    "myst.xref_missing"
]  # links out of the README's included parts to files that are no pages


def on_binder(address: str) -> str:
    """Links that run the lessons and the app on Binder, out of the address of a repository; else what to do to get them."""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", address)
    if not found:
        return "Built from a repository on GitHub, this page links to the lessons on Binder, where they run without an installation."
    start = f"https://mybinder.org/v2/gh/{found[1]}/HEAD?urlpath="
    return (
        f"Run them without an installation, on Binder: [the lessons]({start}lab%2Ftree%2Fnotebooks%2Findex.ipynb), "
        f"[the application]({start}voila%2Frender%2Fnotebooks%2Fapp.ipynb)."
    )


def own_address() -> str:
    """Where this repository lies: as GitHub's runners say, or git; empty where neither knows."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"https://github.com/{name}"
    ask = ["git", "-C", str(HERE), "config", "--get", "remote.origin.url"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        return ""


myst_substitutions = {"binder": on_binder(own_address())}


def live_figures(notebook: nbformat.NotebookNode, load: bool = True) -> None:
    """Put plotly's own HTML in the place of every figure's JSON; the first one brings the library."""
    import plotly.io

    for output in (
        o for cell in notebook.cells for o in cell.get("outputs", []) if FIGURE in o.get("data", {})
    ):
        figure = plotly.io.from_json(plotly.io.json.to_json_plotly(output.data[FIGURE]), skip_invalid=True)
        html = plotly.io.to_html(figure, include_plotlyjs=load, full_html=False)
        output.data, load = nbformat.from_dict({"text/html": html}), False


def tutorials(app: object) -> None:
    """Copies of the notebooks, run where asked; and of the README's claims, with links that lead to these."""
    shutil.rmtree(COPIES, ignore_errors=True)
    shutil.copytree(
        LESSONS,
        COPIES,
        ignore=shutil.ignore_patterns("*.py", "__pycache__", ".*", "app.ipynb", "index.ipynb"),
    )
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    claims = readme.partition("## What it does that others do not")[2].partition("## Files it opens")[0]
    (COPIES / "claims.txt").write_text(claims.replace("](notebooks/", "](tutorials/"), encoding="utf-8")
    if os.environ.get("HETERODYNE_NB_DOCS") == "run":
        sys.path.insert(0, str(LESSONS))
        from refresh import run

        for path in sorted(COPIES.glob("*.ipynb")):
            notebook = nbformat.read(path, as_version=4)
            run(notebook, COPIES)
            live_figures(notebook)
            nbformat.write(notebook, path)


def formula(translator: object, node: nodes.Node) -> None:
    """Write a formula as MathML."""
    block = isinstance(node, nodes.math_block)
    text = node.astext().replace("°", "^{\\circ}").replace("\\big", "")
    translator.body.append(tex2mathml(text, as_block=block))  # type: ignore[attr-defined]
    raise nodes.SkipNode


def setup(app: object) -> None:
    """Sphinx calls this before it reads the pages."""
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))  # type: ignore[attr-defined]
    app.connect("builder-inited", tutorials)  # type: ignore[attr-defined]
