"""ModelClassifier: any model as a fitted classifier with ``predict``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

from sk_prunefair.compare.models import as_model


class ModelClassifier(ClassifierMixin, BaseEstimator):
    """A model for `compare_models` as a fitted classifier with ``predict`` and ``predict_proba``.

    Parameters
    ----------
    model : object
        A torch module of logits, a function from X to probabilities or labels, the path of a file.
    classes : array-like of shape (n_classes,)
        Labels of the columns of scores, if the model has none.
    gives_scores : bool, default=True
        Whether the model returns more than labels; without scores there is no ``predict_proba``.

    Examples
    --------
    >>> sure = ModelClassifier(lambda X: np.tile([0.1, 0.9], (len(X), 1)), ["no", "yes"])
    >>> sure.predict([[0], [1]]).tolist()
    ['yes', 'yes']
    """

    def __init__(self, model: Any, classes: npt.ArrayLike, gives_scores: bool = True) -> None:
        self.model = model
        self.classes = classes
        self.gives_scores = gives_scores

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The labels."""
        return np.asarray(self.classes)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label of each sample."""
        said = as_model(self.model, "model", 256)(X)
        if said.labels is not None:
            return np.asarray(said.labels)
        columns = self.classes_ if said.classes is None else said.classes
        return np.asarray(columns)[np.asarray(said.scores).argmax(axis=1)]

    @available_if(lambda self: self.gives_scores)
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class; AttributeError if the model returns labels only."""
        said = as_model(self.model, "model", 256)(X)
        if said.scores is None:
            raise AttributeError("the model returns labels only")
        return np.asarray(said.scores, dtype=np.float64)
