"""Schema: the classes, groups and inputs that `fit` learns, and the encoding of data by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import _check_sample_weight

from sk_prunefair.checks import check_labels, encode_labels
from sk_prunefair.data.dataset import GroupDataset, count_rows, dataset_targets
from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.data.inputs import InputSchema, check_inputs, is_dataset

ONE_GROUP = pd.Index(["all"], name="sensitive_feature")


@dataclass(frozen=True)
class Schema:
    """Inputs, classes and groups of the training data.

    Parameters
    ----------
    inputs : InputSchema, default=None
        Schema of X; None before any data.
    classes : ndarray of shape (n_classes,), default=None
        The labels; None if not known: then they are the integers from 0.
    groups : pandas.Index, default=None
        The groups; None if none were given.
    ignored : int, default=None
        A label that is not a class, the criterion's ``ignore_index``: its rows have no loss.
    """

    inputs: InputSchema | None = None
    classes: npt.NDArray[Any] | None = None
    groups: pd.Index | None = None
    ignored: int | None = None

    @classmethod
    def learn(
        cls,
        X: Any,
        y: Any,
        sensitive_features: Any = None,
        *,
        estimator: Any,
        classes: npt.ArrayLike | None = None,
        ignored: int | None = None,
    ) -> tuple[Schema, Any, npt.NDArray[Any]]:
        """Return the schema of training data, its checked inputs and its checked labels.

        Parameters
        ----------
        X, y, sensitive_features : array-like
            As `sk_prunefair.FairPrunedClassifier.fit` takes them.
        estimator : estimator
            Whose name and tags scikit-learn's checks use; they set attributes on it.
        classes : array-like of shape (n_classes,), default=None
            All labels; None takes those in y.
        ignored : int, default=None
            The criterion's ``ignore_index``, if it is not a class.

        Raises
        ------
        ValueError
            If an argument is malformed, or y holds fewer than two classes.
        """
        inputs, found = check_inputs(X, estimator, None)
        y = _labels(inputs, y, estimator)
        if ignored is not None and not (y.dtype.kind in "iu" and (y == ignored).any()):
            ignored = None
        if classes is None:
            classes = np.unique(y if ignored is None else y[y != ignored])
        known = np.asarray(classes)
        if len(known) < 2:
            raise ValueError(
                f"y must hold at least two classes, got {len(known)} class: {known.tolist()}"
            )
        schema = cls(found, known, None, ignored).with_groups(sensitive_features, len(y))
        return schema, inputs, y

    def with_groups(self, sensitive_features: Any, n_samples: int) -> Schema:
        """Return this schema with the groups of the data, unless groups are known already."""
        if sensitive_features is None or self.groups is not None:
            return self
        frame = as_group_frame(sensitive_features, n_samples)
        return replace(self, groups=encode_groups(frame)[1])

    def check_inputs(self, X: Any, estimator: Any) -> Any:
        """Return X as it is stored, or raise ValueError if it does not match the X of ``fit``."""
        return check_inputs(X, estimator, self.inputs)[0]

    def check_labels(self, inputs: Any, y: Any, estimator: Any) -> npt.NDArray[Any]:
        """Return the labels of checked inputs, from y or from the items of a data set."""
        return _labels(inputs, y, estimator)

    def encode(
        self,
        inputs: Any,
        y: npt.NDArray[Any] | None = None,
        sensitive_features: Any = None,
        sample_weight: Any = None,
    ) -> GroupDataset:
        """Return checked inputs and labels as one dataset of tensors.

        Parameters
        ----------
        inputs : object
            As `check_inputs` returns them, or as the user's ``dataset`` converts them.
        y : ndarray of shape (n_samples,), default=None
            Checked labels; None if not needed.
        sensitive_features : array-like, default=None
            Groups, all of them known, see `with_groups`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Raises
        ------
        ValueError
            If labels or groups are not known, or weights are malformed.
        """
        n_samples = count_rows(inputs)
        group = None
        if sensitive_features is not None:
            frame = as_group_frame(sensitive_features, n_samples)
            group = encode_groups(frame, self.groups)[0]
        codes = None if y is None else self.encode_labels(y)
        return GroupDataset(inputs, codes, group, _weights(sample_weight, n_samples))

    def encode_items(self, labels: list[Any]) -> npt.NDArray[np.int64]:
        """Return the class code of each label in the items of a data set."""
        return self.encode_labels(check_labels(np.asarray(labels), len(labels)))

    def encode_labels(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the class code of each label."""
        if self.classes is None:
            return _own_codes(y)
        if self.ignored is None:
            return encode_labels(y, self.classes)
        left_out = y == self.ignored
        codes = np.full(len(y), self.ignored, dtype=np.int64)
        codes[~left_out] = encode_labels(y[~left_out], self.classes)
        return codes

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the labels of these codes."""
        return codes if self.classes is None else self.classes[codes]


def _labels(inputs: Any, y: Any, estimator: Any) -> npt.NDArray[Any]:
    if y is None and is_dataset(inputs):
        y = dataset_targets(inputs)
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    return check_labels(y, count_rows(inputs))


def _own_codes(y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if y.dtype.kind not in "biu" or (len(y) and y.min() < 0):
        raise ValueError(
            "y must hold integers from 0, as the labels of this net are not known: it was "
            "initialized without fit; for other labels pass classes=[...] to the constructor"
        )
    return y.astype(np.int64)


def _weights(sample_weight: Any, n_samples: int) -> npt.NDArray[np.float32] | None:
    """Return weights with mean 1."""
    if sample_weight is None:
        return None
    weight = _check_sample_weight(
        sample_weight, np.empty((n_samples, 1)), dtype=np.float64, ensure_non_negative=True
    )
    if not weight.sum() > 0:
        raise ValueError("sample_weight must have a positive sum, got only zeros")
    return (weight / weight.mean()).astype(np.float32)
