"""TabularEncoder: against a loop over the cells, and as a step before the classifier."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_adult
from sk_prunefair.modules import TabularNet
from sk_prunefair.tables import TabularEncoder
from tests.conftest import data_home


@pytest.fixture
def table():
    """Return one column of each kind, most with a missing value."""
    return pd.DataFrame(
        {
            "float": [1.0, np.nan, 4.0, 2.5],
            "object": ["x", None, "y", "x"],
            "int": [3, 1, 2, 2],
            "string": pd.array(["q", pd.NA, "r", "a"], dtype="string"),
            "bool": [True, False, True, True],
            "NA int": pd.array([5, None, 7, 8], dtype="Int64"),
            "NA bool": pd.array([True, None, False, True], dtype="boolean"),
            "category": pd.Categorical([30, 10, None, 10], categories=[10, 20, 30]),
        }
    )


CATEGORICAL = ["object", "string", "bool", "NA bool", "category"]
NUMERIC = ["float", "int", "NA int"]


def naive(fitted, table):
    """Encode cell by cell, column by column."""
    numbers, categories, offset = [], [], 0
    for name in NUMERIC:
        seen = [float(value) for value in fitted[name] if not pd.isna(value)]
        median = float(np.median(seen))
        filled = [median if pd.isna(value) else float(value) for value in fitted[name]]
        values = [median if pd.isna(value) else float(value) for value in table[name]]
        numbers.append([(value - np.mean(filled)) / np.std(filled) for value in values])
    for name in CATEGORICAL:
        seen = sorted({value for value in fitted[name] if not pd.isna(value)})
        codes = {value: offset + 1 + position for position, value in enumerate(seen)}
        categories.append(
            [offset if pd.isna(value) else codes.get(value, offset) for value in table[name]]
        )
        offset += len(seen) + 1
    return np.transpose(numbers), np.transpose(categories), offset


def test_encoder_transform_equals_a_loop_over_the_cells(table):
    encoder = TabularEncoder().fit(table)
    assert encoder.numeric_ == NUMERIC
    assert encoder.categorical_ == CATEGORICAL
    new = table.iloc[[2, 0, 1]].assign(object=["z", "y", None], bool=[False] * 3, int=[9, 2, 0])
    for given in (table, new):
        found = encoder.transform(given)
        numbers, categories, n_categories = naive(table, given)
        np.testing.assert_allclose(found["numbers"], numbers, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(found["categories"], categories)
        assert encoder.n_categories_ == n_categories
        assert (found["numbers"].dtype, found["categories"].dtype) == (np.float32, np.int64)


def test_encoder_indices_lead_back_to_the_table(table):
    encoder = TabularEncoder().fit(table)
    found = encoder.transform(table)["categories"]
    for column, (name, offset) in enumerate(zip(CATEGORICAL, encoder.offsets_, strict=True)):
        for code, value in zip(found[:, column], table[name], strict=True):
            if pd.isna(value):
                assert code == offset
            else:
                assert encoder.categories_[column][code - offset - 1] == value


def test_encoder_columns_share_no_index(table):
    encoder = TabularEncoder().fit(table)
    ends = [*encoder.offsets_[1:], encoder.n_categories_]
    found = encoder.transform(table)["categories"]
    assert (found >= encoder.offsets_).all()
    assert (found < ends).all()
    # What the net is told is what the arrays show.
    assert found.max() + 1 == encoder.n_categories_


def test_encoder_unseen_values_are_unknown_like_missing_ones():
    encoder = TabularEncoder().fit(pd.DataFrame({"a": ["u", "v"], "b": ["u", "w"]}))
    new = pd.DataFrame({"a": ["w", None, "v"], "b": ["v", 3, "w"]})
    assert encoder.transform(new)["categories"].tolist() == [[0, 3], [0, 3], [2, 5]]


def test_encoder_columns_without_any_value_are_zero_or_unknown():
    X = pd.DataFrame({"number": [np.nan, np.nan], "object": [None, None], "other": ["a", "b"]})
    encoder = TabularEncoder().fit(X)
    found = encoder.transform(X)
    assert found["numbers"].tolist() == [[0.0], [0.0]]
    assert found["categories"].tolist() == [[0, 2], [0, 3]]


def test_encoder_without_such_columns_leaves_the_key_out(table):
    assert list(TabularEncoder().fit_transform(table[NUMERIC])) == ["numbers"]
    assert list(TabularEncoder().fit_transform(table[CATEGORICAL])) == ["categories"]
    encoder = TabularEncoder().fit(table)
    # A second fit leaves nothing of the first.
    assert list(encoder.fit(table[["int"]]).transform(table[["int"]])) == ["numbers"]
    assert (encoder.n_categories_, encoder.categories_, len(encoder.offsets_)) == (0, [], 0)


def test_encoder_named_columns_are_categories_whatever_their_dtype(table):
    encoder = TabularEncoder(categorical=["int", "object"]).fit(table[["float", "int", "object"]])
    assert encoder.numeric_ == ["float"]
    assert [each.tolist() for each in encoder.categories_] == [[1, 2, 3], ["x", "y"]]
    # Booleans that are not named are numbers.
    numbers = TabularEncoder(categorical=[], scaler=None).fit_transform(table[["bool"]])["numbers"]
    assert numbers.ravel().tolist() == [1.0, 0.0, 1.0, 1.0]


def test_encoder_arrays_have_columns_by_number():
    mixed = np.array([[1, "a"], [3.0, "b"]], dtype=object)
    found = TabularEncoder().fit_transform(mixed)
    assert found["numbers"].tolist() == [[-1.0], [1.0]]
    assert found["categories"].tolist() == [[1], [2]]
    encoder = TabularEncoder(categorical=[1]).fit(np.array([[1, 7], [3, 8]]))
    assert (encoder.numeric_, encoder.categorical_) == ([0], [1])
    assert encoder.transform([[2, 8]])["categories"].tolist() == [[2]]


def test_encoder_each_scaler_scales_by_its_formula():
    X = np.random.default_rng(0).lognormal(size=(400, 1))
    raw, standard, quantile = (
        TabularEncoder(scaler=scaler).fit_transform(X)["numbers"].ravel()
        for scaler in (None, "standard", "quantile")
    )
    np.testing.assert_allclose(raw, X.ravel(), rtol=1e-6)
    np.testing.assert_allclose(standard, (X.ravel() - X.mean()) / X.std(), rtol=1e-4, atol=1e-5)
    assert np.argsort(quantile).tolist() == np.argsort(raw).tolist()
    np.testing.assert_allclose(np.quantile(quantile, [0.16, 0.5, 0.84]), [-1, 0, 1], atol=0.05)


def test_encoder_clone_pickle_and_slices_are_the_same(table):
    encoder = TabularEncoder(scaler="quantile").fit(table)
    found = encoder.transform(table)
    assert pickle.loads(pickle.dumps(encoder)).transform(table) == found
    fresh = clone(encoder)
    assert fresh.scaler == "quantile"
    assert not hasattr(fresh, "categories_")
    part = found[np.array([2, 0])]
    assert len(part) == 2
    assert part == encoder.transform(table.iloc[[2, 0]])


class Flat(TabularEncoder):
    """The same as one array, which scikit-learn's checks can compare."""

    def transform(self, X):
        return np.hstack(list(super().transform(X).values()))


@parametrize_with_checks([Flat()])
def test_encoder_passes_the_checks_of_scikit_learn(estimator, check):
    check(copy.deepcopy(estimator))


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        ({"scaler": "robust"}, [[1]], "scaler must be one of .*, got 'robust'"),
        (
            {"categorical": "a"},
            {"a": [1]},
            "categorical must be a list of columns or None, got 'a'",
        ),
        (
            {"categorical": ["b"]},
            {"a": [1]},
            r"must name columns of X, got \['b'\]; the columns are",
        ),
        ({"categorical": []}, {"a": ["1"]}, "X must hold numbers in column 'a', got .* as '1'"),
        ({}, {"a": [1.0, np.inf]}, "got infinity in column 'a'"),
        ({}, {"a": ["x", 1]}, r"values of one kind, .* column 'a', got \['int', 'str'\]"),
        ({}, {"a": pd.to_datetime(["2020-01-01"])}, "got datetime64.* in column 'a': name it in"),
        ({}, {"a": []}, r"at least one row and one column, got shape \(0, 1\)"),
        ({}, [1, 2], "Expected 2D array, got 1D array"),
    ],
)
def test_encoder_bad_arguments_are_refused(params, X, message):
    X = pd.DataFrame(X) if isinstance(X, dict) else X
    with pytest.raises(ValueError, match=message):
        TabularEncoder(**params).fit(X)


def test_encoder_other_columns_than_in_fit_are_refused(table):
    with pytest.raises(NotFittedError):
        TabularEncoder().transform(table)
    encoder = TabularEncoder().fit(table)
    with pytest.raises(ValueError, match="now missing:\n- int"):
        encoder.transform(table.drop(columns="int"))
    with pytest.raises(ValueError, match="in the same order"):
        encoder.transform(table[table.columns[::-1]])
    with pytest.raises(ValueError, match=r"numbers in column 'int', got .* such as 'many'"):
        encoder.transform(table.assign(int="many"))
    with pytest.raises(ValueError, match="has 1 features, but TabularEncoder is expecting 2"):
        TabularEncoder().fit(np.eye(2)).transform(np.eye(1))


@pytest.fixture(scope="module")
def labelled():
    """Return a table whose label hangs on a number and on two categories, and the groups."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 1200),
            "work": rng.choice(["farm", "shop", "school"], 1200),
            "sex": rng.choice(["f", "m"], 1200),
        }
    )
    X.loc[::7, "age"] = np.nan
    X.loc[::11, "work"] = None
    is_rich = (X["work"] == "shop") ^ (X["sex"] == "m") | (X["age"] > 55)
    return X, np.where(is_rich, "rich", "poor"), X["sex"].to_numpy()


def pipeline(**params):
    """Return encoder and classifier, which tells the net what the encoder finds."""
    defaults = {
        "module__width": 16,
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 15,
        "batch_size": 64,
        "train_split": None,
        "verbose": 0,
        "random_state": 0,
    }
    return Pipeline(
        [
            ("encode", TabularEncoder()),
            ("clf", FairPrunedClassifier(TabularNet, **defaults | params)),
        ]
    )


def test_encoder_in_a_pipeline_learns_and_prunes(labelled):
    X, y, groups = labelled
    pipe = pipeline().fit(X[:800], y[:800], clf__sensitive_features=groups[:800])
    assert pipe.score(X[800:], y[800:]) > 0.95
    encode, clf = pipe[:-1], pipe[-1]
    given = {"sensitive_features": groups[:800], "finetune_epochs": 3}
    clf.prune(0.8, encode.transform(X[:800]), y[:800], **given)
    assert clf.sparsity_ == pytest.approx(0.8, abs=0.001)
    removed = ~clf.masks_["categories.weight"]
    assert removed.any()
    assert (clf.module_.categories.weight[removed] == 0).all()
    assert pipe.score(X[800:], y[800:]) > 0.9
    # A value that was never seen is predicted as a missing one.
    strange, missing = X[800:].assign(work="mine"), X[800:].assign(work=None)
    np.testing.assert_array_equal(pipe.predict_proba(strange), pipe.predict_proba(missing))
    assert (pipe.predict_proba(strange) != pipe.predict_proba(X[800:])).any()


def test_encoder_output_is_sliced_by_splitters(labelled):
    X, y, _ = labelled
    inputs, clf = TabularEncoder().fit_transform(X), pipeline()[-1]
    assert np.mean(cross_val_predict(clf, inputs, y, cv=2) == y) > 0.85


def test_encoder_on_adult_gives_a_report():
    adult = load_adult(data_home=data_home(), subset="train")
    X, y, groups = adult.data[:4000], adult.target[:4000], adult.sensitive_features["sex"][:4000]
    pipe = pipeline(max_epochs=4).fit(X[:2500], y[:2500], clf__sensitive_features=groups[:2500])
    assert pipe.score(X[2500:], y[2500:]) > 0.8
    clf = pipe[-1].prune(0.7)
    report = clf.fairness_report(
        pipe[:-1].transform(X[2500:]), y[2500:], sensitive_features=groups[2500:]
    )
    for sex, accuracy in report.pruned.by_group["accuracy"].items():
        rows = (groups[2500:] == sex).to_numpy()
        expected = np.mean(pipe.predict(X[2500:][rows]) == y[2500:][rows])
        assert accuracy == pytest.approx(expected)
    assert report.compression["sparsity"] == pytest.approx(0.7, abs=0.001)
