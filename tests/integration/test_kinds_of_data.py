"""Labels, groups and inputs of the kinds that people have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.utils.data import DataLoader

from sk_prunefair import EqualLossConstraint
from tests.conftest import assert_same_weights, classifier


def test_fit_groups_as_dict_or_multiindex_equal_those_of_a_frame(digits):
    X, y, group = digits
    frame = pd.DataFrame({"round": group, "odd": y % 2})
    index = pd.MultiIndex.from_frame(frame)
    nets = [
        classifier(max_epochs=1).fit(X, y, sensitive_features=given)
        for given in (frame, {"round": group, "odd": y % 2}, index)
    ]
    for clf in nets:
        assert clf.groups_.names == ["round", "odd"]
        assert_same_weights(clf.module_, nets[0].module_)


def test_fit_groups_of_polars_keep_their_names(digits):
    polars = pytest.importorskip("polars")
    X, y, group = digits
    series = polars.Series("shape", [str(each) for each in group])
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=series)
    assert clf.groups_.name == "shape"
    table = polars.DataFrame({"shape": [str(each) for each in group], "odd": y % 2})
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=table)
    assert clf.groups_.names == ["shape", "odd"]


def test_predict_nullable_integer_labels_come_back_as_integers(digits):
    X, y, group = digits
    clf = classifier(max_epochs=1).fit(X, pd.Series(y, dtype="Int64"), sensitive_features=group)
    assert clf.classes_.dtype.kind == "i"
    assert clf.predict(X).dtype.kind == "i"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, None], r"y contains NaN or None: \d+ missing"),
        (["a", 1], r"y must hold labels of one kind, got a mix of \['int', 'str'\]"),
        ([True, "a"], r"one kind, got a mix of \['bool', 'str'\]"),
    ],
)
def test_fit_labels_with_none_or_of_mixed_kinds_are_refused(labels, message, fitted, digits):
    X, _, _ = digits
    before = fitted.predict_proba(X)
    given = np.array(labels * (len(X) // 2) + labels[: len(X) % 2], dtype=object)
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, given)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_fit_arrays_with_negative_strides_equal_a_copy(digits):
    X, y, group = digits
    given = (X[::-1], y[::-1], group[::-1])
    copies = [np.ascontiguousarray(each) for each in given]
    left = classifier(max_epochs=1).fit(*given[:2], sensitive_features=given[2])
    right = classifier(max_epochs=1).fit(*copies[:2], sensitive_features=copies[2])
    assert_same_weights(left.module_, right.module_)


def test_prune_groups_given_there_first_are_learned(digits):
    X, y, group = digits
    clf = classifier(max_epochs=1, callbacks=[("equal", EqualLossConstraint(phase="after"))])
    clf.fit(X, y)
    assert clf.groups_.tolist() == ["all"]
    with pytest.raises(ValueError, match="needs the group of each sample"):
        clf.prune(0.5, X, y, finetune_epochs=1)
    clf.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert clf.groups_.tolist() == sorted(set(group))
    assert dict(clf.callbacks_)["equal"].multipliers_.index.tolist() == sorted(set(group))
    with pytest.raises(ValueError, match="groups that are not known"):
        clf.prune(0.5, X, y, sensitive_features=["new"] * len(y), finetune_epochs=1)


def test_prune_constraint_of_before_asks_for_no_groups(digits):
    X, y, group = digits
    clf = classifier(max_epochs=1, callbacks=[("equal", EqualLossConstraint(phase="before"))])
    clf.fit(X, y, sensitive_features=group)
    clf.prune(0.5, X, y, finetune_epochs=1)
    assert clf.sparsity_ == pytest.approx(0.5, abs=1e-3)


def test_fit_constraint_switched_off_by_name_asks_for_no_groups(digits):
    X, y, _ = digits
    clf = classifier(max_epochs=1, callbacks=[("equal", EqualLossConstraint())])
    clf.set_params(callbacks__equal=None).fit(X, y)
    clf.prune(0.5, X, y, finetune_epochs=1)
    assert clf.sparsity_ == pytest.approx(0.5, abs=1e-3)


class Two(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8 + 64, n_classes)

    def forward(self, pixels, code):
        return self.head(torch.cat([pixels.flatten(1), self.embed(code)], 1))


def test_fit_dict_of_arrays_goes_to_the_module_by_name_and_integers_stay(digits):
    X, y, group = digits
    given = {"pixels": X, "code": (y + 1) % 20}
    clf = classifier(Two, max_epochs=2).fit(given, y, sensitive_features=group)
    clf.prune(0.5, given, y, sensitive_features=group, finetune_epochs=1)
    assert clf.predict(given).shape == y.shape
    with pytest.raises(ValueError, match="X must hold arrays of one length"):
        clf.predict(given | {"code": y[:5]})
    with pytest.raises(ValueError, match="X must hold at least one array"):
        clf.predict({})


def test_fit_sparse_rows_equal_the_dense_table(digits):
    X, y, group = digits
    flat = X.reshape(len(X), -1)
    left = classifier(max_epochs=1).fit(sparse.csr_matrix(flat), y, sensitive_features=group)
    right = classifier(max_epochs=1).fit(flat, y, sensitive_features=group)
    assert_same_weights(left.module_, right.module_)
    np.testing.assert_allclose(
        left.prune(0.5).predict_proba(sparse.csr_array(flat)),
        right.prune(0.5).predict_proba(flat),
    )


def test_fit_data_loader_is_refused_with_what_to_pass(digits):
    X, y, _ = digits
    loader = DataLoader(list(zip(X, y, strict=True)))
    with pytest.raises(ValueError, match=r"X must be .* got DataLoader; for a DataLoader, pass"):
        classifier().fit(loader, y)


def test_fit_float64_net_is_trained_in_its_own_precision(digits):
    X, y, group = digits
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    clf = classifier(module, max_epochs=1).fit(X, y, sensitive_features=group).prune(0.5)
    assert clf.module_[1].weight.dtype == torch.float64
    assert clf.predict_proba(X).shape == (len(X), 10)


class Logits(nn.Module):
    """A criterion that says nothing of probabilities."""

    def forward(self, scores, y):
        return nn.functional.cross_entropy(scores, y)


def test_predict_proba_of_outputs_that_are_none_warns(digits):
    X, y, group = digits
    clf = classifier(criterion=Logits, max_epochs=1).fit(X, y, sensitive_features=group)
    with pytest.warns(UserWarning, match=r"not probabilities.*predict_nonlinearity"):
        clf.predict_proba(X)
    clf.set_params(predict_nonlinearity=lambda scores: scores.softmax(1))
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)
