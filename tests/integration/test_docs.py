"""The code of the documentation runs, page by page, from top to bottom; its links lead to files."""

from __future__ import annotations

import copy
import re
import runpy
import tomllib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "guide").glob("*.md"), *(DOCS / "howto").glob("*.md")])
ROOT = DOCS.parent
BENCHMARKS = (ROOT / "benchmarks").rglob("*.md")
LINKING = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *PAGES, *BENCHMARKS])


@pytest.fixture(scope="module")
def site():
    """Return the names of `docs/site_pages.py`."""
    return runpy.run_path(str(DOCS / "site_pages.py"))


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


@pytest.mark.slow
def test_readme_code_prints_what_the_readme_shows(capsys):
    names = {}
    for block in code(ROOT / "README.md"):
        exec(block, names)
    shown = re.findall(r"^```text\n(Pruning.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)

    def forms(text):  # but for what another processor makes of the last digits
        return {
            re.sub(r"[-\d.,]+", "#", re.sub(" +", " ", line.rstrip())) for line in text.splitlines()
        }

    assert forms(shown[0]) - forms(capsys.readouterr().out) == {"…"}
    assert names["clf"].sparsity_ == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize("page", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_docs_relative_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", page.read_text())
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_docs_anchors_of_a_page_are_headings_of_their_page(page):
    for file, anchor in re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", page.read_text()):
        text = ((page.parent / file) if file else page).read_text()
        headings = re.findall(r"^#+ (.*)", text, flags=re.M)
        assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("decide.md#after-the-release", "/guide/decide.md#after-the-release"),
        ("#here", "#here"),
        ("../../examples/theory.py", "/gallery/theory.rst"),
        (
            "../../benchmarks/studies/poster/page_dual.md#in-short",
            "/benchmarks/poster_dual.md#in-short",
        ),
        ("../../sk_prunefair/hooks.py", "/api/sk_prunefair.hooks.rst"),
        ("../../sk_prunefair", "/api/index.rst"),
        ("https://semver.org#x", "https://semver.org#x"),
    ],
)
def test_site_links_keep_page_and_anchor(site, link, expected):
    found = site["site_links"](f"see [this]({link}).", inside="docs/guide")
    assert found == f"see [this]({expected})."


def test_site_links_of_a_file_without_a_page_are_text(site):
    assert site["site_links"]("see [this](../../LICENSE#a).", inside="docs/guide") == "see this."


def test_docstring_links_of_a_committed_page_lead_to_it(site):
    line = site["docstring_links"]("So (``benchmarks/studies/poster/page.md``), `docs/results.md`.")
    assert line == "So (:doc:`poster </benchmarks/poster>`), :doc:`results </results>`."


def test_readme_has_120_lines_at_most():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_readme_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    in_dev = {"docs", "test", "browser"}  # what `dev` installs beside tools, and users do not need
    table = (ROOT / "README.md").read_text().split("\n## Quick start")[0]
    named = set(re.findall(r"^\| `(\w+)` .*?\|", table, re.M))
    named |= set(re.findall(r"^\|.*\| `(\w+)` \|[^|]*\|$", table, re.M))
    assert named == set(extras["optional-dependencies"]) - in_dev


def test_examples_readme_lists_all_in_the_order_of_the_gallery(site):
    text = (ROOT / "examples/README.rst").read_text()
    listed = re.findall(r"\* - (\d+)\n +- `(\w+) <\2.py>`__", text)
    assert listed == [(str(i), name) for i, name in enumerate(site["EXAMPLES"], 1)]
    assert sorted(site["EXAMPLES"]) == sorted(p.stem for p in (ROOT / "examples").glob("*.py"))
    assert site["gallery_links"](text).count(":doc:") == len(listed)
