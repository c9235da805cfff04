"""Convert estimators, torch modules, functions and files to one kind of model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.export import ExportedProgram

from sk_prunefair.compare.modules import ModuleModel, to_scores
from sk_prunefair.onnx_model import OnnxModel
from sk_prunefair.onnx_model.scores import as_scores
from sk_prunefair.report.predictions import Prediction, as_prediction, as_probabilities

ACCEPTED = (
    "a fitted estimator, a torch module of logits, a function from X to probabilities or labels, "
    "an OnnxModel, or the path of an .onnx or .pt2 file"
)


@dataclass(frozen=True)
class Model:
    """Predict for X in two steps, as the kind of some outputs is known only from all batches.

    Parameters
    ----------
    run : callable
        Function from X, or a batch of it, to the model's output.
    finish : callable
        Function from the outputs of all batches to a prediction.
    """

    run: Callable[[Any], Prediction]
    finish: Callable[[Prediction], Prediction] = lambda found: found

    def __call__(self, X: Any) -> Prediction:
        """Return the prediction for all of X."""
        return self.finish(self.run(X))


def as_model(model: Any, name: str, batch_size: int) -> Model:
    """Return a model of any kind as a `Model`.

    Parameters
    ----------
    model : object
        A model, as `sk_prunefair.compare_models` takes it.
    name : str
        Name of the argument, for errors.
    batch_size : int
        Rows per batch for modules and files.

    Raises
    ------
    TypeError, ValueError
        If it is not an accepted kind of model.
    """
    if isinstance(model, type):
        raise TypeError(f"{name} must be {ACCEPTED}; got the class {model.__name__}, not an object")
    if isinstance(model, (str, PathLike)):
        return _file_model(Path(model), name, batch_size)
    if isinstance(model, (nn.Module, ExportedProgram)):
        return _scored(ModuleModel(model, name, batch_size), name)
    if isinstance(model, OnnxModel):
        return _onnx(model)
    if hasattr(model, "predict"):
        return Model(EstimatorModel(model, name))
    if callable(model):
        return Model(lambda X: as_prediction(model(X), f"{name}(X)"))
    raise TypeError(f"{name} must be {ACCEPTED}; got {type(model).__name__}")


class EstimatorModel:
    """A fitted estimator: its labels, and its probabilities if it has ``predict_proba``.

    Labels are those of ``predict``, which need not be the most probable ones, for example with
    a decision threshold, as in `sklearn.model_selection.FixedThresholdClassifier`.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator with ``predict`` and, optionally, ``predict_proba``.
    name : str
        Name of the argument, for errors.
    """

    def __init__(self, estimator: Any, name: str) -> None:
        if hasattr(estimator, "__sklearn_tags__"):  # other estimators have only predict
            if is_regressor(estimator):
                raise ValueError(f"{name} must be a classifier, got {type(estimator).__name__}")
            if hasattr(estimator, "fit"):
                check_is_fitted(estimator)
        self.estimator = estimator
        self.name = name

    def __call__(self, X: Any) -> Prediction:
        """Return the estimator's predictions for X."""
        predicted = self.estimator.predict(X)
        if not hasattr(self.estimator, "predict_proba"):
            return as_prediction(predicted, f"{self.name}.predict")
        labels = np.asarray(predicted)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        scores = np.asarray(self.estimator.predict_proba(X))
        if scores.ndim != 2:
            raise ValueError(
                f"{self.name}.predict_proba must return shape (n_samples, n_classes), got "
                f"{scores.shape}"
            )
        scores = as_probabilities(scores, f"{self.name}.predict_proba")
        classes = getattr(self.estimator, "classes_", None)
        return Prediction(labels, scores, None if classes is None else np.asarray(classes))


def _file_model(path: Path, name: str, batch_size: int) -> Model:
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".pt2"):
        raise ValueError(f"{name} must be {ACCEPTED}; got a file called {path.name!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{name}: there is no file {path.name!r}")
    if suffix == ".pt2":
        return _scored(ModuleModel(torch.export.load(path), name, batch_size), name)
    return _onnx(OnnxModel(path, batch_size=batch_size))


def _onnx(model: OnnxModel) -> Model:
    def finish(found: Prediction) -> Prediction:
        scores = as_scores(np.asarray(found.scores), model.scores, found.classes, model.path.name)
        return Prediction(None, scores.probabilities, scores.classes)

    return Model(lambda X: Prediction(None, *model.run_raw(X)), finish)


def _scored(run: Callable[[Any], Any], name: str) -> Model:
    """Return a model of logits or probabilities; which of them is decided from all outputs."""
    return Model(
        lambda X: Prediction(None, run(X)),
        lambda found: Prediction(None, to_scores(np.asarray(found.scores), name)),
    )


def predict_in_batches(models: Sequence[Model], batches: Iterable[Any]) -> list[Prediction]:
    """Return the predictions of each model; each batch is read once and passed to all models."""
    parts: list[list[Prediction]] = [[] for _ in models]
    for X in batches:
        for model, found in zip(models, parts, strict=True):
            found.append(model.run(X))
    return [model.finish(_joined(found)) for model, found in zip(models, parts, strict=True)]


def _joined(parts: Sequence[Prediction]) -> Prediction:
    """Concatenate the predictions of several batches."""
    labels = [part.labels for part in parts if part.labels is not None]
    scores = [part.scores for part in parts if part.scores is not None]
    return Prediction(
        np.concatenate(labels) if labels else None,
        np.concatenate(scores) if scores else None,
        parts[0].classes,
    )
