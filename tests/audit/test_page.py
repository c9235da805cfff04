"""The audit page: what it says, that it is well-formed, and that hostile names stay text."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from sk_prunefair import FairnessReport
from sk_prunefair.audit import audit_page
from sk_prunefair.audit._gaps import curve_table, gap_table
from sk_prunefair.metrics import accuracy_gap_floor

pytest.importorskip("matplotlib").use("Agg")

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quotes' & \x00\n</title></style>",
    "x" * 200,
    "שלום \u202eevil",
    "👩‍🦰 $x^2$",
    "<img src=x onerror=alert(1)>",
]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, text and attributes; fails where tags are not closed in order."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def make_report(names, n=600, harmed=None, **options):
    """Return a report in which pruning harms one group or, by default, all alike."""
    rng = np.random.default_rng(0)
    groups = np.resize(np.array(names, dtype=object), n)
    y = rng.integers(0, 2, n)
    dense_losses = rng.exponential(0.3, n)
    is_harmed = groups == harmed
    return FairnessReport(
        y,
        dense_pred=np.where(rng.random(n) < 0.9, y, 1 - y),
        pruned_pred=np.where(rng.random(n) < np.where(is_harmed, 0.4, 0.85), y, 1 - y),
        dense_losses=dense_losses,
        pruned_losses=dense_losses + rng.exponential(0.2, n) + is_harmed,
        sensitive_features=groups,
        **options,
    )


def make_curve(names):
    frames = [
        pd.DataFrame(
            {
                "rate": rate,
                "group": names,
                "count": 100,
                "accuracy": np.linspace(0.5, 0.9, len(names)) - rate / 3,
                "accuracy_overall": 0.7 - rate / 3,
                "accuracy_gap": 0.4,
                "fairness_violation": rate,
            }
        )
        for rate in (0.5, 0.9)
    ]
    return pd.concat(frames, ignore_index=True)


def verdict(page):
    return re.search('<p class="verdict">(.*?)</p>', page)[1]


# ------------------------------------------------------------------ gaps and floors


def test_gap_table_measured_gaps_are_those_of_the_report():
    report = make_report(["a", "b", "c"], harmed="b")
    gaps = gap_table(report, n_shuffles=9).set_index("gap")["measured"]
    assert gaps["accuracy gap, dense net"] == pytest.approx(report.accuracy_gap["dense"])
    assert gaps["accuracy gap, pruned net"] == pytest.approx(report.accuracy_gap["pruned"])
    assert gaps["difference of accuracy drops"] == pytest.approx(np.ptp(report.accuracy_drop))
    assert gaps["fairness violation ξ"] == pytest.approx(report.fairness_violation)


def test_gap_table_control_features_has_gaps_of_each_level():
    control = np.repeat(["x<", "y"], 300)
    report = make_report(["a", "b"], harmed="b", control_features=control)
    gaps = gap_table(report, n_shuffles=9)
    assert gaps["level"].tolist() == ["x<"] * 4 + ["y"] * 4
    largest = gaps[gaps["gap"] == "fairness violation ξ"]["measured"].max()
    assert largest == pytest.approx(report.fairness_violation)
    assert "fairness violation ξ, x&lt;" in audit_page(report)


def test_page_curve_worst_group_is_a_name_not_a_tag():
    page = audit_page(make_report(["a", "b"]), curve=make_curve(["<i>", "b"]), pictures=False)
    cells = page.split('id="rates"')[1].split("</table>")[0]
    assert cells.count("<td><bdi>&lt;i&gt;</bdi></td>") == 2
    assert "&lt;bdi&gt;" not in page


def test_curve_table_equal_accuracies_names_the_larger_loss():
    curve = make_curve(["a", "b"]).assign(accuracy=0.5, loss=[1.0, 2.0, 2.0, 1.0])
    assert curve_table(curve)["worst_group"].tolist() == ["b", "a"]
    assert curve_table(curve.drop(columns="loss"))["worst_group"].tolist() == ["a", "a"]


def test_curve_table_of_repeats_has_worst_group_and_expected_gap():
    curve = make_curve(["low", "high"])
    table = curve_table(pd.concat([curve.assign(repeat=0), curve.assign(repeat=1)]))
    assert table["worst_group"].tolist() == ["low", "low"]
    np.testing.assert_allclose(table["worst_accuracy"], [0.5 - 0.5 / 3, 0.5 - 0.3])
    np.testing.assert_allclose(table["expected_gap"][1], accuracy_gap_floor(0.4, [100, 100]))


# ------------------------------------------------------------------ what it says


def test_page_verdict_one_harmed_group_is_named():
    page = audit_page(make_report(["a", "b"], harmed="b"), pictures=False)
    assert "harmed groups unequally" in verdict(page)
    assert (
        "group <bdi>b</bdi> lost most accuracy and had the largest rise in loss (accuracy 0."
        in verdict(page)
    )


def test_page_verdict_two_worst_groups_are_both_named():
    report = FairnessReport(
        [1] * 80,
        dense_pred=[1] * 80,
        pruned_pred=[1] * 40 + [0] * 40,
        dense_losses=np.zeros(80),
        pruned_losses=[0.9] * 40 + [0.8] * 40,
        sensitive_features=["sure"] * 40 + ["wrong"] * 40,
    )
    said = verdict(audit_page(report, pictures=False))
    assert "<bdi>sure</bdi> had the largest rise in loss (accuracy 1.000 → 1.000)" in said
    assert "<bdi>wrong</bdi> lost most accuracy (accuracy 1.000 → 0.000)" in said


def test_page_verdict_without_harm_claims_no_more_than_the_data():
    page = audit_page(make_report(["a", "b"]), pictures=False)
    assert "does not show that there is none" in verdict(page)
    report = make_report(["a"])
    assert "one group" in verdict(audit_page(report, pictures=False))
    same = {"pred": [0, 1, 0], "losses": [0.1, 0.2, 0.3]}
    nets = {f"{net}_{key}": value for net in ("dense", "pruned") for key, value in same.items()}
    unpruned = FairnessReport([0, 1, 1], **nets, sensitive_features=["a", "b", "b"])
    assert "changed nothing on these 3 samples" in verdict(audit_page(unpruned))


def test_page_verdict_pruning_helped_everyone_says_so():
    rng = np.random.default_rng(0)
    gain = np.repeat([0.1, 0.5], 50) + rng.random(100) / 10
    report = FairnessReport(
        [0] * 100,
        dense_pred=[0] * 100,
        pruned_pred=[0] * 100,
        dense_losses=gain,
        pruned_losses=np.zeros(100),
        sensitive_features=np.repeat(["a", "b"], 50),
    )
    said = verdict(audit_page(report, pictures=False))
    assert "raised no group's loss" in said
    assert "<bdi>a</bdi> had the smallest fall in loss (" in said


def test_page_rows_are_sorted_by_harm_and_small_groups_flagged():
    report = make_report(["a", "b", "c"], n=95, harmed="b", n_boot=5, ci_quantiles=[0.1, 0.9])
    page = audit_page(report, min_count=32, pictures=False)
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.findall("<(?:td|th)[^>]*>(.*?)</(?:td|th)>", row) for row in body.split("\n")[:-1]]
    frame = report.to_frame()
    assert [row[0] for row in rows] == [f"<bdi>{group}</bdi>" for group in frame.index]
    assert {row[0]: row[1] for row in rows}["<bdi>c</bdi>"] == "31 (few)"
    first = frame.iloc[0]
    ends = first["excessive_risk_q0.1"], first["excessive_risk_q0.9"]
    assert rows[0][-1] == f"{first['excessive_risk']:.3f} ({ends[0]:z.3f} to {ends[1]:z.3f})"
    assert "fewer than 32 samples: <bdi>c</bdi> (31)" in page
    assert "group <bdi>b</bdi> lost most accuracy" in verdict(page)
    flagged = verdict(audit_page(report, min_count=33, pictures=False))
    assert "group <bdi>b</bdi> (only 32 samples) lost most accuracy" in flagged


@pytest.mark.parametrize(
    ("columns", "worst"), [(["samples", "loss"], "b, y"), (["samples"], "b")], ids=len
)
def test_page_group_columns_called_like_its_own_are_kept_apart(columns, worst):
    groups = pd.DataFrame({"samples": ["a", "b"] * 40, "loss": np.repeat(["x", "y"], 40)})
    report = FairnessReport(
        [0] * 80,
        dense_pred=[0] * 80,
        pruned_pred=[0] * 80,
        dense_losses=np.zeros(80),
        pruned_losses=np.arange(80.0),
        sensitive_features=groups[columns],
    )
    page = audit_page(report, pictures=False, facts={"Samples": "mine"})
    assert f'<th scope="col"><bdi>{", ".join(columns)}</bdi></th>' in page
    assert f'<th scope="row"><bdi>{worst}</bdi></th><td>' in page
    assert f"group <bdi>{worst}</bdi>" in verdict(page)
    assert "<dd><bdi>mine</bdi></dd>" in page


def test_page_groups_named_by_numbers_stay_names():
    page = audit_page(make_report([2015, 2016]), pictures=False)
    assert "<bdi>2015</bdi>" in page
    assert "2,015" not in page


def test_page_facts_compression_and_diagnostics_are_shown():
    compression = pd.Series({"parameters": 12345.0, "sparsity": 0.9})
    columns = ["gradient_norm", "boundary_closeness", "hessian_max_eigenvalue", "excessive_risk"]
    diagnostics = pd.DataFrame([[1, 0.1, 3, 0.2], [2, 0.2, 4, 0.5]], ["a", "b"], columns)
    report = make_report(
        ["a", "b"], compression=compression, diagnostics=diagnostics.assign(size=[3, 4])
    )
    page = audit_page(report, facts={"Data": "<i>held out</i>"})
    assert "<dd>12,345</dd>" in page
    assert "&lt;i&gt;held out&lt;/i&gt;" in page
    assert page.count("<img ") == 2
    assert '<caption id="reasons">' in page


def test_page_latency_below_a_second_is_not_rounded_to_zero():
    compression = pd.Series({"parameters": 12.0, "latency_dense": 0.00123})
    page = audit_page(make_report(["a", "b"], compression=compression), pictures=False)
    assert "<dd>12</dd>" in page
    assert "<bdi>0.00123 s</bdi>" in page


def test_page_tables_are_sorted_by_accuracy_lost_then_by_loss():
    columns = ["gradient_norm", "boundary_closeness", "hessian_max_eigenvalue", "excessive_risk"]
    diagnostics = pd.DataFrame(np.zeros((3, 4)), ["a", "b", "c"], columns)
    diagnostics["excessive_risk"] = [0.9, 0.5, 0.1]
    report = FairnessReport(
        [1, 0] * 3,
        dense_pred=[1, 0] * 3,
        pruned_pred=[1, 0, 1, 0, 1, 1],
        dense_losses=np.zeros(6),
        pruned_losses=np.repeat([0.9, 0.5, 0.1], 2),
        sensitive_features=np.repeat(["a", "b", "c"], 2),
        diagnostics=diagnostics.assign(size=2),
    )
    assert report.to_frame().index.tolist() == ["c", "a", "b"]
    page = audit_page(report, pictures=False)
    for key in ("groups", "reasons"):
        body = page.split(f'id="{key}"')[1].split("</table>")[0]
        assert re.findall('row"><bdi>(.)</bdi>', body) == ["c", "a", "b"]


def test_page_layers_without_weights_are_named_with_the_rate_first():
    compression = pd.Series({"parameters": 10.0, "sparsity": 0.95})
    report = make_report(["a", "b"], compression=compression, empty_layers=["<head>.weight"])
    said = verdict(audit_page(report, pictures=False))
    first = "<strong>No weight is left of &lt;head&gt;.weight with 95.0% of the prunable weights"
    assert said.startswith(first)
    assert "min_kept" not in said


# ------------------------------------------------------------------ form and safety


def test_page_hostile_names_are_shown_as_text(tmp_path):
    report = make_report(HOSTILE, harmed=HOSTILE[0], n_boot=3, ci_quantiles=[0.1, 0.9])
    path = tmp_path / "page.html"
    page = audit_page(
        report, path, title=HOSTILE[1], curve=make_curve(HOSTILE), facts={HOSTILE[0]: HOSTILE[5]}
    )
    assert path.read_text(encoding="utf-8") == page
    assert len(page.encode()) < 2_000_000
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert parsed.tags.count("img") == parsed.tags.count("figure") == 2
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    for name in (HOSTILE[0], HOSTILE[2], HOSTILE[4], HOSTILE[5]):
        assert name in parsed.text
    assert "\u202e" not in page
    assert "\x00" not in page
    links = [value for _, name, value in parsed.attributes if name in ("src", "href")]
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)


def test_page_tables_and_pictures_have_captions_and_roles():
    page = audit_page(make_report(["a", "b"]), curve=make_curve(["a", "b"]))
    parsed = Page(page)
    assert ("html", "lang", "en") in parsed.attributes
    assert parsed.tags.count("table") == parsed.tags.count("caption") == 3
    assert parsed.tags.count("h1") == 1
    assert {v for tag, name, v in parsed.attributes if tag == "th" and name == "scope"} == {
        "row",
        "col",
    }
    assert parsed.tags.count("th") == sum(
        t == "th" and n == "scope" for t, n, _ in parsed.attributes
    )
    alts = [value for tag, name, value in parsed.attributes if tag == "img" and name == "alt"]
    assert len(alts) == 2
    assert min(map(len, alts)) > 20


def test_page_many_groups_are_listed_but_not_all_drawn():
    names = [f"group {i:03}" for i in range(300)]
    page = audit_page(make_report(names, n=900), curve=make_curve(names))
    assert "of the 24 that were harmed most, out of 300" in page
    assert "<bdi>group 299</bdi>" in page
    assert len(page) < 2_000_000


def test_page_same_report_gives_the_same_page():
    assert audit_page(make_report(["a", "b"])) == audit_page(make_report(["a", "b"]))


def test_report_to_html_and_plot_give_page_and_picture(tmp_path):
    report = make_report(["a", "b"])
    page = report.to_html(tmp_path / "page.html", title="T", pictures=False)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "None were asked for" in page
    assert report.plot(metric="accuracy_drop").ax_.get_xlabel() == "accuracy lost by pruning"


def test_page_bad_input_raises_and_names_it(monkeypatch):
    report = make_report(["a", "b"])
    for bad in (0, -1, 1.5, "30"):
        with pytest.raises(ValueError, match="min_count must be an integer >= 1, got"):
            audit_page(report, min_count=bad)
    with pytest.raises(ValueError, match="none of the name 'fairness_violation'"):
        audit_page(report, curve=make_curve(["a"]).drop(columns="fairness_violation"))
    with pytest.raises(TypeError, match="curve must be a DataFrame, got list"):
        audit_page(report, curve=[1])
    with pytest.raises(TypeError, match="facts must be a mapping, got str"):
        audit_page(report, facts="Adult")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sk-prunefair\[plot\]"):
        audit_page(report)
    assert "verdict" in audit_page(report, pictures=False)


@pytest.mark.parametrize("width", [360, 1200])
def test_page_in_a_browser_has_no_errors_or_overflow(tmp_path, width):
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {names} is on the PATH")
    report = make_report(HOSTILE, harmed=HOSTILE[0], n_boot=3, ci_quantiles=[0.1, 0.9])
    page = audit_page(report, tmp_path / "page.html", curve=make_curve(HOSTILE))
    # Headless windows are never narrower than 500 px, and the page runs no scripts: a frame around
    # it has the width, and looks inside.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" width="{width}" height="900" srcdoc=""></iframe><pre id="out"></pre>'
        f"<script>const page = decodeURIComponent('{quote(page)}');"
        "f.onload = () => { const d = f.contentDocument.documentElement;"
        "const images = [...f.contentDocument.images];"
        "out.textContent = JSON.stringify([d.scrollWidth, d.clientWidth, images.length,"
        "images.filter(i => i.naturalWidth > 100).length, f.contentDocument.scripts.length]) };"
        "f.srcdoc = page;</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"),
            *("--dump-dom", frame.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    scroll, client, images, loaded, scripts = map(
        int, re.search(r'id="out">\[([\d,]+)\]', done.stdout)[1].split(",")
    )
    assert scroll <= client <= width
    assert images == loaded == 2
    assert scripts == 0
    assert "CONSOLE" not in done.stderr
