"""The form of the page: well-formed, safe with hostile names, the same each time."""

from __future__ import annotations

import sys

import pytest

from sk_prunefair.audit import audit_page
from tests.audit.pages import (
    HOSTILE,
    Page,
    Promise,
    make_curve,
    make_diagnostics,
    make_report,
    make_slices,
)


def make_hostile_page(path=None, **options):
    report = make_report(
        HOSTILE,
        harmed=HOSTILE[0],
        n_boot=3,
        ci_quantiles=[0.1, 0.9],
        random_state=0,
        names=(HOSTILE[0], HOSTILE[5]),
        diagnostics=make_diagnostics(HOSTILE),
        **options,
    )
    return audit_page(
        report,
        path,
        title=HOSTILE[1],
        curve=make_curve(HOSTILE),
        slices=make_slices(HOSTILE),
        promise=Promise(False),
        facts={HOSTILE[0]: HOSTILE[5]},
    )


def test_hostile_names_are_text(tmp_path):
    path = tmp_path / "page.html"
    page = make_hostile_page(path)
    assert path.read_text(encoding="utf-8") == page
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "img" not in parsed.tags
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    for name in (HOSTILE[0], HOSTILE[2], HOSTILE[4], HOSTILE[5]):
        assert name in parsed.text
    assert "\u202e" not in page
    assert "\x00" not in page
    assert parsed.values("src") == []
    assert all(link.startswith("#") for link in parsed.values("href"))


def test_links_and_labels_point_to_what_is_there():
    parsed = Page(make_hostile_page())
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in parsed.values("href")} <= set(ids)
    assert set(parsed.values("aria-labelledby")) <= set(ids)


def test_tables_and_pictures_speak_to_screen_readers():
    page = make_hostile_page()
    parsed = Page(page)
    assert ("html", "lang", "en") in parsed.attributes
    assert parsed.tags.count("table") == parsed.tags.count("caption") == 6
    assert parsed.tags.count("h1") == parsed.tags.count("main") == 1
    headings = [tag for tag in parsed.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    assert set(parsed.values("scope")) == {"row", "col"}
    assert parsed.tags.count("th") == len(parsed.values("scope"))
    # A picture has a title, or is hidden from those who cannot see it.
    pictures = page.split("<svg ")[1:]
    for picture in pictures:
        head = picture.partition(">")[0]
        assert (
            'role="img"><title>' in picture
            or 'aria-hidden="true"' in head
            or "preserveAspectRatio" in head
        )
    assert (
        page.count('role="img"') == 1 + 6 + len(HOSTILE) + 1
    )  # all samples, groups, slices, curve


def test_page_runs_and_loads_nothing():
    page = make_hostile_page()
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "@import" not in page
    assert "url(" not in page


def test_page_needs_no_matplotlib_and_pictures_say_which_extra(monkeypatch):
    report = make_report(["a", "b"])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[plot\]"):
        audit_page(report, pictures=True)
    assert "verdict" in audit_page(report, curve=make_curve(["a", "b"]))
    assert "verdict" in audit_page(make_report(["a", "b"], losses=False), pictures=True)


def test_pictures_are_what_the_page_does_not_draw():
    pytest.importorskip("matplotlib").use("Agg")
    report = make_report(HOSTILE, diagnostics=make_diagnostics(HOSTILE))
    parsed = Page(audit_page(report, pictures=True, curve=make_curve(HOSTILE)))
    assert parsed.tags.count("img") == 2
    assert all(link.startswith("data:image/svg+xml;base64,") for link in parsed.values("src"))
    alts = parsed.values("alt")
    assert min(map(len, alts)) > 20
    labels = parsed.values("aria-label")
    assert len(labels) == len(set(labels))


def test_the_same_report_makes_the_same_page():
    assert make_hostile_page() == make_hostile_page()


def test_the_report_has_a_page_and_a_picture(tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    report = make_report(["a", "b"])
    page = report.to_html(tmp_path / "page.html", title="T", pictures=False)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert report.plot(metric="accuracy_drop").ax_.get_xlabel() == "accuracy lost by pruning"


def test_bad_input_is_named():
    report = make_report(["a", "b"])
    for bad in (0, -1, 1.5, "30"):
        with pytest.raises(ValueError, match="min_count must be an integer >= 1, got"):
            audit_page(report, min_count=bad)
    with pytest.raises(ValueError, match="got no column 'accuracy_gap'"):
        audit_page(report, curve=make_curve(["a"]).drop(columns="accuracy_gap"))
    with pytest.raises(TypeError, match="curve must be a DataFrame, got list"):
        audit_page(report, curve=[1])
    with pytest.raises(ValueError, match=r"slices must have the columns .* 'drop'"):
        audit_page(report, slices=make_slices().drop(columns="drop"))
    with pytest.raises(TypeError, match="slices must be a DataFrame, got list"):
        audit_page(report, slices=["a"])
    with pytest.raises(TypeError, match="facts must be a mapping, got str"):
        audit_page(report, facts="Adult")
