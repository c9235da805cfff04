"""Reports, curves and the like to make pages of, and what reads a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from sk_prunefair import FairnessReport

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quotes' & \x00\n</title></style>",
    "x" * 200,
    "שלום \u202eevil",
    "👩‍🦰 $x^2$",
    "<img src=x onerror=alert(1)>",
]
VOID = {"meta", "img", "br", "link", "input", "hr", "line", "circle", "rect", "polyline"}


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

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, attribute):
        return [value for _, name, value in self.attributes if name == attribute]


class Promise:
    """What became of a promise, in the shape of a verdict."""

    def __init__(self, kept, table=None):
        self.kept = kept
        self.table = (
            pd.DataFrame(
                {
                    "group": ["a", "<b>", "c"],
                    "criterion": "accuracy",
                    "compressed": 0.875,
                    "count": [1234, 50, 3],
                    "drop_bound": [0.01, 0.2, np.inf],
                    "samples_needed": [np.nan, 800.0, np.inf],
                    "passed": [True, False, None],
                }
            )
            if table is None
            else table
        )

    def __str__(self):
        return f"promise {'kept' if self.kept else 'not kept'}: for <b>\nthe table"


def make_report(groups, n=600, harmed=None, losses=True, **options):
    """Return a report in which compression harms one group or, by default, all alike."""
    rng = np.random.default_rng(0)
    group = np.resize(np.array(groups, dtype=object), n)
    y = rng.integers(0, 2, n)
    dense_losses = rng.exponential(0.3, n)
    is_harmed = group == harmed
    predictions = {
        "dense_pred": np.where(rng.random(n) < 0.9, y, 1 - y),
        "pruned_pred": np.where(rng.random(n) < np.where(is_harmed, 0.4, 0.85), y, 1 - y),
    }
    if losses:
        rise = rng.exponential(0.2, n) + is_harmed
        predictions |= {"dense_losses": dense_losses, "pruned_losses": dense_losses + rise}
    return FairnessReport(y, **predictions, sensitive_features=group, **options)


def make_curve(groups):
    """Return a curve of two rates, in which the first group is the lowest."""
    frames = [
        pd.DataFrame(
            {
                "rate": rate,
                "group": groups,
                "count": 100,
                "accuracy": np.linspace(0.5, 0.9, len(groups)) - rate / 3,
                "accuracy_overall": 0.7 - rate / 3,
                "accuracy_gap": 0.4,
                "fairness_violation": rate,
            }
        )
        for rate in (0.5, 0.9)
    ]
    return pd.concat(frames, ignore_index=True)


def make_slices(rules=("age < 25 & <b>", "hours > 50")):
    """Return slices, not sorted."""
    n = len(rules)
    return pd.DataFrame(
        {
            "rule": rules,
            "count": 1310,
            "drop": np.linspace(0.05, 0.12, n),
            "lower": np.linspace(0.01, 0.08, n),
            "upper": np.linspace(0.09, 0.16, n),
            "p_value": 0.004,
        }
    )


def make_diagnostics(groups):
    """Return diagnostics, the first group with the largest risk."""
    columns = ["gradient_norm", "boundary_closeness", "hessian_max_eigenvalue", "excessive_risk"]
    values = np.zeros((len(groups), 4)) + np.arange(len(groups), 0, -1)[:, None]
    return pd.DataFrame(values, groups, columns).assign(size=3)


def verdict(page):
    """Return the sentence of the verdict, its spaces as others."""
    return re.search('<p class="verdict">(.*?)</p>', page)[1].replace("&nbsp;", " ")


def summary(page):
    """Return the first screen, its numbers without the elements around them."""
    return re.sub("</?small>", "", page.split('<section id="summary"')[1].split("</section>")[0])


def section(page, key):
    """Return a section of a page, None where there is none."""
    parts = page.split(f'<section id="{key}">')
    return parts[1].split("</section>")[0] if len(parts) > 1 else None


def cells(page, key):
    """Return the rows of the table with a caption of that id, as lists of HTML."""
    body = page.split(f'<caption id="{key}">')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = body.strip().split("\n")
    return [re.findall("<(?:td|th)[^>]*>(.*?)</(?:td|th)>", row) for row in rows]


def bars(page, key="groups"):
    """Return group, number of samples, accuracies and change of each drawn row."""
    pattern = (
        r'<li class="bar ?(?:all)?"><span class="who">(.*?) <small>n = (.*?)</small></span>.*?'
        r'<span class="value" aria-hidden="true">(.*?)</span><span class="change">(.*?)</span>'
    )
    return re.findall(pattern, section(page, key), re.DOTALL)
