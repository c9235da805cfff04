"""A net that gives everybody one label, or gives up a label, is approved by nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sk_prunefair import FairnessReport, FairPrunedClassifier, NoRateError, PruneRateSearchCV
from sk_prunefair.cli import main
from sk_prunefair.export import save_compact
from tests.conftest import classifier

N_ROWS = 3000


@pytest.fixture(scope="module")
def rare():
    """Return a table with a rare class that a small net finds easily."""
    rng = np.random.default_rng(0)
    y = (rng.random(N_ROWS) < 0.05).astype(int)
    X = rng.standard_normal((N_ROWS, 10)).astype(np.float32)
    X[:, 0] += 4 * y
    return X, y, np.where(rng.random(N_ROWS) < 0.5, "f", "m")


def net(**params):
    params = {"max_epochs": 15, "lr": 0.01, "optimizer": torch.optim.Adam} | params
    return classifier(module__hidden=16, **params)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_rate_search_net_that_gives_up_the_rare_label_is_never_returned(rare):
    X, y, group = rare
    search = PruneRateSearchCV(net(), rates=[0.1, 0.98], max_accuracy_drop=0.1, random_state=0)
    search.fit(X, y, sensitive_features=group)
    assert search.best_rate_ == 0.1
    assert set(search.predict(X)) == {0, 1}
    table = search.results_.set_index("rate")
    assert (table.loc[0.1, "findings"] == "").all()
    assert (table.loc[0.98, "findings"] == "the pruned net gives every sample the label 0").all()
    # By accuracies alone it would have passed.
    assert (table.loc[0.98, "p_value"] < 0.05).all()
    assert not table.loc[0.98, "passed"].any()
    alone = PruneRateSearchCV(net(), rates=[0.98], max_accuracy_drop=0.1, random_state=0)
    with pytest.raises(NoRateError, match="gives every sample the label 0"):
        alone.fit(X, y, sensitive_features=group)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_report_and_page_of_a_constant_net_say_it_first(rare, tmp_path):
    X, y, group = rare
    clf = net().fit(X, y, sensitive_features=group).prune(0.98)
    report = clf.fairness_report(X, y, sensitive_features=group, control_features=y)
    lines = str(report).splitlines()
    assert lines[1] == "the pruned net gives every sample the label 0"
    page = report.to_html(tmp_path / "page.html")
    assert page.index("gives every sample the label 0") < page.index('class="verdict"')
    assert "gives every sample" in report._repr_html_()[:80]


def test_report_label_that_is_no_longer_given_is_named():
    y = np.array(["a", "b", "c"] * 20)
    pruned = np.where(y == "c", "b", y)
    report = FairnessReport(
        y,
        dense_pred=y,
        pruned_pred=pruned,
        dense_losses=np.zeros(60),
        pruned_losses=np.ones(60),
        sensitive_features=y,
    )
    assert report.findings == [
        "the pruned net gives no sample the label 'c', which the dense net gave"
    ]
    assert report.to_frame().index[0] == "c"


class Table(nn.Sequential):
    def __init__(self, n_features=10, n_classes=2):
        super().__init__(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes))


def make_estimator():
    return FairPrunedClassifier(Table, criterion=nn.CrossEntropyLoss, verbose=0)


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_cli_constant_net_is_refused_and_columns_go_by_name(rare, tmp_path, capsys, monkeypatch):
    X, y, group = rare
    names = [f"x{k}" for k in range(10)]
    frame = pd.DataFrame(X, columns=names)
    clf = FairPrunedClassifier(
        Table,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        verbose=0,
        random_state=0,
    ).fit(frame, y, sensitive_features=group)
    save_compact(clf.prune(0.98), tmp_path / "net.zip", dense=True)
    (tmp_path / "made_here.py").write_text(
        "from tests.integration.test_never_approved import make_estimator\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    # Columns in another order are put in order.
    data = frame[names[::-1]].assign(y=y, sex=group)
    data.to_csv("data.csv", index=False)
    command = ["audit", "--net", "net.zip", "--estimator", "made_here:make_estimator"]
    command += ["--data", "data.csv", "--label", "y", "--groups", "sex"]
    assert main([*command, "--max-accuracy-drop", "0.1"]) == 1
    out = capsys.readouterr().out
    assert "promise not kept" in out
    assert "gives every sample the label 0" in out
    data.rename(columns={"x3": "z"}).to_csv("data.csv", index=False)
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "x3" in err
    assert "z" in err
