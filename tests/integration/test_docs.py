"""The code of the documentation runs, page by page, from top to bottom; its links lead to files."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "guide").glob("*.md"), *(DOCS / "howto").glob("*.md")])
ROOT = DOCS.parent
LINKING = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *PAGES, ROOT / "benchmarks/README.md"])


def code(page: Path) -> list[str]:
    """Return the blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)


@pytest.fixture(scope="module")
def start():
    """Return the names that the page Start leaves to the others."""
    names = {}
    for block in code(DOCS / "start.md"):
        exec(block, names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if code(page)], ids=lambda p: p.stem)
def test_docs_code_of_a_page_runs_after_start(page, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(start)
    names["clf"] = copy.deepcopy(start["clf"])
    for block in code(page):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_docs_relative_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", page.read_text())
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []
