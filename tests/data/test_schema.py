"""What is learnt of labels, and how labels and weights become numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sk_prunefair.data.schema import Schema

X = np.eye(3, dtype=np.float32)


def learn(y, **options):
    return Schema.learn(X, y, estimator=LogisticRegression(), **options)


def test_schema_learn_takes_the_labels_that_occur_sorted():
    schema, inputs, y = learn(["b", "a", "b"], sensitive_features=["u", "v", "u"])
    assert schema.classes.tolist() == ["a", "b"]
    assert schema.groups.tolist() == ["u", "v"]
    assert schema.ignored is None
    assert y.tolist() == ["b", "a", "b"]
    np.testing.assert_array_equal(inputs, X)


def test_schema_learn_given_classes_stay_in_their_order():
    schema, *_ = learn([1, 0, 1], classes=[2, 1, 0])
    assert schema.classes.tolist() == [2, 1, 0]


def test_schema_learn_ignored_label_is_no_class():
    assert learn([4, -100, 2], ignored=-100)[0].classes.tolist() == [2, 4]
    assert learn([4, -100, 2], ignored=-100)[0].ignored == -100
    assert learn([4, 3, 2], ignored=-100)[0].ignored is None
    assert learn(["a", "b", "a"], ignored=-100)[0].ignored is None


def test_schema_learn_one_class_beside_an_ignored_label_raises():
    with pytest.raises(ValueError, match=r"at least two classes, got 1 class: \[4\]"):
        learn([4, -100, 4], ignored=-100)


def test_schema_learn_without_labels_raises_and_names_the_estimator():
    with pytest.raises(ValueError, match="LogisticRegression requires y"):
        learn(None)


def test_schema_with_groups_keeps_those_that_are_known():
    schema = Schema().with_groups(["b", "a"], 2)
    assert schema.groups.tolist() == ["a", "b"]
    assert schema.with_groups(["z", "a"], 2) is schema
    assert schema.with_groups(None, 2) is schema


def test_schema_codes_of_classes_in_any_order_are_places_and_lead_back():
    schema = Schema(classes=np.array([5, 3, 9]))
    assert schema.encode_labels(np.array([9, 5, 3, 3])).tolist() == [2, 0, 1, 1]
    assert schema.encode_items([3, 9]).tolist() == [1, 2]
    assert schema.decode(np.array([2, 0])).tolist() == [9, 5]


def test_schema_codes_of_an_ignored_label_are_that_label():
    schema = Schema(classes=np.array([3, 7]), ignored=-100)
    assert schema.encode_labels(np.array([7, -100, 3, -100])).tolist() == [1, -100, 0, -100]


def test_schema_codes_without_classes_are_the_integers_themselves():
    assert Schema().encode_labels(np.array([2, 0])).tolist() == [2, 0]
    assert Schema().encode_labels(np.array([True, False])).tolist() == [1, 0]
    assert Schema().decode(np.array([2, 0])).tolist() == [2, 0]


@pytest.mark.parametrize("y", [[-1, 0], [0.0, 1.0], ["a", "b"]])
def test_schema_codes_without_classes_of_other_labels_raise(y):
    with pytest.raises(ValueError, match="y must hold integers from 0"):
        Schema().encode_labels(np.array(y))


def test_schema_encode_puts_labels_groups_and_weights_beside_the_rows():
    schema = Schema(classes=np.array([3, 7])).with_groups(["v", "u"], 2)
    data = schema.encode(X, np.array([7, 3, 7]), ["u", "v", "v"], [0.1, 0.2, 0.3])
    batch, y = data.batch([2, 0])
    assert y.tolist() == [1, 1]
    assert batch["group"].tolist() == [1, 0]
    # Their mean is 1.
    assert batch["sample_weight"].tolist() == pytest.approx([1.5, 0.5])
    assert data.has_labels
    assert data.has_groups
    bare = schema.encode(X)
    assert not bare.has_labels
    assert not bare.has_groups
    assert bare.sample_weight is None


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1, 3], "[Nn]egative"),
        ([0, 0, 0], "a positive sum|at least one non-zero"),  # scikit-learn's, of a newer one
        ([1, 2], "sample_weight"),
        ([1, np.nan, 2], "NaN"),
    ],
)
def test_schema_encode_bad_weights_raise(weight, message):
    with pytest.raises(ValueError, match=message):
        Schema().encode(X, sample_weight=weight)
