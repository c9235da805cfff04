"""Base class of the searches: the hold-out, and predictions of the selected net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_prunefair.checks import check_length
from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.data.sources import count_rows
from sk_prunefair.kept import KeptFolder
from sk_prunefair.promise import Promise
from sk_prunefair.requests import Request
from sk_prunefair.selection._nets import Data, sliceable, split_steps
from sk_prunefair.selection.hold_out import fit_dense_part

_PROBA = "predict_proba"


class PromiseSearch(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A search for a net that keeps a promise to every group; subclasses define the candidates.

    Its parameters are those of `sk_prunefair.selection.PruneRateSearchCV`, except the rates.
    """

    # As for the classifier: groups are requested without set_fit_request.
    __metadata_request__fit = {"sensitive_features": True, "groups": True}  # noqa: RUF012

    estimator: Any
    max_accuracy_drop: float
    max_violation: float | None
    loss_bound: float
    criteria: Any
    confidence: float
    cv: Any
    finetune_epochs: int | None
    random_state: int | np.random.RandomState | None
    best_estimator_: Any

    def _promised(self) -> Promise:
        return Promise(
            self.max_accuracy_drop,
            self.max_violation,
            self.loss_bound,
            self.confidence,
            self.criteria,
        )

    def _fit_dense_part(
        self,
        promise: Promise,
        X: Any,
        y: Any,
        sensitive_features: Any,
        groups: Any,
        folder: KeptFolder | None = None,
    ) -> tuple[Any, Data, Data | None]:
        """Return the fitted estimator, the evaluation data, and the fine-tuning data, if any."""
        split_steps(self.estimator)
        for name in [each for each in vars(self) if each.endswith("_")]:
            delattr(self, name)  # a fit that fails leaves nothing of the one before
        given = Request(sliceable(X), y, sensitive_features, None)
        X, y, sensitive_features = given.X, sliceable(given.y), given.sensitive_features
        n_samples = count_rows(X)
        if y is not None:
            check_length(y, n_samples, "y")
        labels = None if y is None else self._labels(y)
        if labels is not None and not isinstance(self.criteria, Iterator | None):
            promise.check_criteria(labels)
        frame = as_group_frame(
            ["all"] * n_samples if sensitive_features is None else sensitive_features, n_samples
        )
        return fit_dense_part(
            self.estimator,
            (X, y, frame),
            self.cv,
            has_groups=sensitive_features is not None,
            finetune_epochs=self.finetune_epochs,
            random_state=self.random_state,
            units=groups,
            check=lambda held_out: promise.warn_of_small_groups(*encode_groups(held_out)),
            folder=folder,
        )

    def _labels(self, y: Any) -> Any:
        """Return the labels as far as they are known before any training."""
        classifier = split_steps(self.estimator)[1]
        if isinstance(self.cv, str) and self.cv == "prefit":
            return getattr(classifier, "classes_", None)
        classes = getattr(classifier, "classes", None)
        return pd.unique(pd.Series(np.ravel(y))) if classes is None else classes

    def _keep_estimator(self, best: Any) -> None:
        self.best_estimator_ = best
        self.classes_ = best.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(best, name):
                setattr(self, name, getattr(best, name))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label of each sample by the selected net.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict(X)

    @available_if(lambda self: hasattr(vars(self).get("best_estimator_", self.estimator), _PROBA))
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class by the selected net.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict_proba(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.classifier_tags = get_tags(self.estimator).classifier_tags
        return tags
