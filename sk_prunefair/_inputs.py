"""From what users pass in to a GroupDataset: the checks that need the classifier's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils.validation import _check_sample_weight, _num_samples, validate_data
from torch.utils.data import Dataset

from sk_prunefair.checks import check_labels, encode_labels
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.data.dataset import GroupDataset, dataset_targets, item_features
from sk_prunefair.data.groups import as_group_frame, encode_groups


class InputChecks:
    """Checks X, y, groups and weights, encodes them, and remembers what ``fit`` saw."""

    callbacks: Any
    classes_: npt.NDArray[Any]
    wrap_inputs: Callable[[Any], Any]

    @contextlib.contextmanager
    def _intact_on_error(self) -> Iterator[None]:
        """Forget whatever was learned inside where it ends in an error."""
        known = dict(vars(self))
        try:
            yield
        except Exception:
            vars(self).clear()
            vars(self).update(known)
            raise

    def _training_data(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any,
        sample_weight: Any,
        reset: bool,
        classes: Any = None,
    ) -> GroupDataset:
        inputs = self._check_inputs(X, reset=reset)
        y = self._check_labels(inputs, y)
        if reset:
            self.classes_inferred_ = np.unique(y if classes is None else np.asarray(classes))
            if len(self.classes_) < 2:
                raise ValueError(
                    f"y must hold at least two classes, got 1 class: {self.classes_.tolist()}"
                )
        codes = encode_labels(y, self._known_classes())
        group = self._check_groups(sensitive_features, len(y), reset)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, y.reshape(-1, 1), dtype=np.float64, ensure_non_negative=True
            )
            if not weight.sum() > 0:
                raise ValueError("sample_weight must have a positive sum, got only zeros")
            weight = (weight / weight.mean()).astype(np.float32)
        return self._dataset(inputs, codes, group, weight)

    def _labelled_data(self, X: Any, y: Any) -> GroupDataset:
        inputs = self._check_inputs(X)
        codes = encode_labels(self._check_labels(inputs, y), self._known_classes())
        return self._dataset(inputs, codes)

    def _check_inputs(self, X: Any, reset: bool = False) -> Any:
        if isinstance(X, Dataset):
            if reset:
                self._remember_items(X)
            return X
        if isinstance(X, torch.Tensor):
            X = X.detach().cpu().numpy()
        X = validate_data(self, X, dtype=np.float32, allow_nd=True, reset=reset)
        if reset:
            self._remember_shape(X.shape[1:])
        elif X.shape[1:] != getattr(self, "input_shape_", X.shape[1:]):
            raise ValueError(
                f"X must have shape (n_samples, {', '.join(map(str, self.input_shape_))}) as in "
                f"fit, got {X.shape}"
            )
        return X

    def _remember_items(self, dataset: Dataset[Any]) -> None:
        for name in ("n_features_in_", "feature_names_in_", "input_shape_", "n_inputs_"):
            vars(self).pop(name, None)
        features = item_features(dataset[0])
        if hasattr(features, "shape"):
            self._remember_shape(tuple(features.shape))

    def _remember_shape(self, shape: tuple[int, ...]) -> None:
        self.input_shape_ = shape
        self.n_inputs_ = int(np.prod(shape))

    def _check_labels(self, inputs: Any, y: Any) -> npt.NDArray[Any]:
        if y is None and isinstance(inputs, Dataset):
            y = dataset_targets(inputs)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        return check_labels(y, _num_samples(inputs))

    def _known_classes(self) -> npt.NDArray[Any]:
        try:
            return self.classes_
        except AttributeError as error:
            raise ValueError(
                "the labels of this net are not known: it was initialized without fit; pass "
                "classes=[...] to the constructor"
            ) from error

    def _check_groups(
        self, sensitive_features: Any, n_samples: int, reset: bool
    ) -> npt.NDArray[np.int64]:
        if sensitive_features is None:
            self._refuse_constraints()
            if reset or not hasattr(self, "groups_"):
                self.groups_ = pd.Index(["all"], name="sensitive_feature")
            return np.zeros(n_samples, dtype=np.int64)
        frame = as_group_frame(sensitive_features, n_samples)
        known = None if reset else getattr(self, "groups_", None)
        codes, self.groups_ = encode_groups(frame, known)
        return codes

    def _refuse_constraints(self) -> None:
        callbacks = [] if self.callbacks in (None, "disable") else list(self.callbacks)
        callbacks = [item[1] if isinstance(item, (tuple, list)) else item for item in callbacks]
        callbacks += [value for name, value in vars(self).items() if name.startswith("callbacks__")]
        for callback in callbacks:
            kind = callback if isinstance(callback, type) else type(callback)
            if issubclass(kind, Constraint):
                raise ValueError(
                    f"sensitive_features is None, but {kind.__name__} needs the group of each "
                    "sample"
                )

    def _dataset(
        self,
        inputs: Any,
        codes: npt.NDArray[np.int64],
        group: npt.NDArray[np.int64] | None = None,
        weight: npt.NDArray[np.float32] | None = None,
    ) -> GroupDataset:
        return GroupDataset(self.wrap_inputs(inputs), codes, group, weight)
