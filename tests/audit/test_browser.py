"""The page in a browser: accessible by the rules of axe-core, no overflow, one screen, on paper."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from sk_prunefair.audit import audit_page
from tests.audit.pages import (
    HOSTILE,
    Promise,
    make_curve,
    make_diagnostics,
    make_report,
    make_slices,
)

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra browser")

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"none of {PROGRAMS} is on the PATH")

SIZES = {1280: 800, 390: 844}


def make_pages():
    """Return pages with all sections: hostile names, many groups, labels alone."""
    many = [f"group {i:03}" for i in range(80)]
    compression = pd.Series({"bytes_dense": 1234567.0, "bytes_stored": 345678.0, "sparsity": 0.7})
    options = {"n_boot": 3, "ci_quantiles": [0.1, 0.9], "compression": compression}
    hostile = make_report(
        HOSTILE,
        harmed=HOSTILE[0],
        diagnostics=make_diagnostics(HOSTILE),
        empty_layers=["x" * 80],
        **options,
    )
    parts = {"slices": make_slices(HOSTILE), "promise": Promise(False), "title": HOSTILE[2]}
    names = ("fp32", "int8")
    labels = make_report(["a", "b"], harmed="b", losses=False, names=names, compression=compression)
    return {
        "hostile": audit_page(hostile, curve=make_curve(HOSTILE), **parts),
        "many": audit_page(
            make_report(many, n=2000, diagnostics=make_diagnostics(many)), curve=make_curve(many)
        ),
        "labels": audit_page(labels, promise=Promise(True)),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, page in make_pages().items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=PROGRAM)

        def show(name, width=1280, scheme="light"):
            """Return a page that is shown, what its console said and what it asked for."""
            size = {"width": width, "height": SIZES[width]}
            page = chromium.new_page(viewport=size, color_scheme=scheme)
            page.said, page.asked = [], []
            page.on("console", lambda message: page.said.append(message.text))
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto((folder / f"{name}.html").as_uri())
            return page

        yield show
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("name", ["hostile", "many", "labels"])
def test_page_breaks_no_rule_of_axe_and_does_not_overflow(browser, name, width, scheme):
    page = browser(name, width, scheme)
    scroll, client = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert scroll <= client == width
    assert page.evaluate("document.scripts.length") == 0
    assert page.said == []
    assert page.asked == [page.url]
    # With all that is folded: its tables scroll, and are to be reached by keyboard.
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_follows_the_scheme_of_the_screen(browser, scheme):
    page = browser("labels", scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 28)"}[scheme]
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", SIZES)
def test_page_first_screen_holds_the_summary(browser, width):
    page = browser("labels", width)
    box = page.locator("#summary").bounding_box()
    assert box["y"] + box["height"] <= SIZES[width]
    page.close()


@pytest.mark.slow
def test_page_on_paper_unfolds_and_is_light(browser):
    page = browser("many", scheme="dark")
    last = page.locator("#groups tbody tr").last
    assert last.bounding_box() is None or not last.is_visible()
    page.emulate_media(media="print")
    assert last.is_visible()
    assert last.bounding_box()["height"] > 0
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    page.close()


@pytest.mark.slow
def test_page_tab_reaches_links_folds_and_tables(browser):
    page = browser("labels")
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.tagName + document.activeElement.className")
        )
    assert {"A", "SUMMARY", "DIVscroll"} <= reached
    page.close()
