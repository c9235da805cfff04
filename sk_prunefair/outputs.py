"""Checks of a module's output against the labels and the criterion."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from sk_prunefair.losses import first_output, sample_losses, takes_one_logit, takes_probabilities

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet


def check_output(net: CoreNet, data: GroupDataset) -> None:
    """Run the module once on a few rows, and check that its output fits labels and criterion.

    Parameters
    ----------
    net : CoreNet
        The net, with its criterion.
    data : GroupDataset
        Labelled data; two rows are used.

    Raises
    ------
    ValueError
        If the output is not (n_samples, n_classes), is not probabilities although the
        criterion needs them, or the criterion has no loss per sample.
    """
    X, y = next(iter(net.get_iterator(data.subset(range(min(2, len(data)))), training=False)))
    was_training = net.module_.training
    net.module_.eval()
    with torch.no_grad():
        scores = first_output(net.exact().infer(X))
    net.module_.train(was_training)
    check_scores(net, scores, len(y))
    check_losses(net, sample_losses(net.criterion_, scores, y.to(scores.device)), len(y))


def check_scores(net: CoreNet, scores: Any, n_samples: int, training: bool = False) -> None:
    """Check that the module's output is one score, or probability, per sample and class.

    Parameters
    ----------
    net : CoreNet
        The net, with its classes.
    scores : object
        Output of the module; for a tuple, its first entry.
    n_samples : int
        Number of rows of the batch.
    training : bool, default=False
        Whether scores in place of probabilities raise a warning, as skorch trains on them, and
        not an error.

    Raises
    ------
    ValueError
        If the output is anything else.
    """
    check_shape(net, scores, n_samples)
    if takes_probabilities(net.criterion_) and not bool(((scores >= 0) & (scores <= 1)).all()):
        message = (
            "criterion=NLLLoss (the default) takes probabilities, but module returned values "
            "outside [0, 1]; for a module that returns logits, pass "
            "criterion=torch.nn.CrossEntropyLoss"
        )
        if not training:
            raise ValueError(message)
        warnings.warn(message, UserWarning, stacklevel=2)


def check_shape(net: CoreNet, scores: Any, n_samples: int) -> None:
    """Raise ValueError unless there is one score per sample and class, or one logit for two.

    Parameters
    ----------
    net : CoreNet
        The net, with its classes.
    scores : object
        Output of the module; for a tuple, its first entry.
    n_samples : int
        Number of rows of the batch.
    """
    if not isinstance(scores, torch.Tensor):
        raise ValueError(f"module must return a tensor of scores, got {type(scores).__name__}")
    classes = getattr(net, "classes_", None)
    shape = tuple(scores.shape)
    if takes_one_logit(net.criterion_):
        _check_one_logit(shape, n_samples, classes)
        return
    n_classes = len(classes) if classes is not None else max(2, (*shape, 0, 0)[1])
    if shape != (n_samples, n_classes):
        named = "not known" if classes is None else np.asarray(classes)[:10].tolist()
        raise ValueError(
            f"module must return one score per class, shape {(n_samples, n_classes)} for "
            f"{n_samples} samples, got {shape}; classes_ are {named} (pass classes=... where the "
            "training data may lack some; one logit for two classes takes "
            "criterion=torch.nn.BCEWithLogitsLoss)"
        )


def _check_one_logit(shape: tuple[int, ...], n_samples: int, classes: Any) -> None:
    if shape not in ((n_samples,), (n_samples, 1)):
        raise ValueError(
            f"criterion=BCEWithLogitsLoss takes one logit per sample, shape ({n_samples},) or "
            f"({n_samples}, 1) for {n_samples} samples, got {shape} from the module; several "
            "labels per sample are not supported, and for one score per class pass "
            "criterion=torch.nn.CrossEntropyLoss"
        )
    if classes is not None and len(classes) != 2:
        raise ValueError(
            f"criterion=BCEWithLogitsLoss needs two classes, got {len(classes)}: "
            f"{np.asarray(classes)[:10].tolist()}; pass criterion=torch.nn.CrossEntropyLoss and a "
            "module with one score per class"
        )


def check_losses(net: CoreNet, losses: torch.Tensor, n_samples: int) -> None:
    """Raise ValueError unless there is one loss per sample."""
    if tuple(losses.shape) != (n_samples,):
        raise ValueError(
            f"criterion must give one loss per sample, shape ({n_samples},), got shape "
            f"{tuple(losses.shape)} from {type(net.criterion_).__name__}; a custom criterion must "
            "have an attribute reduction that accepts 'none', or return one number"
        )


def as_probabilities(net: CoreNet, proba: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the result of ``predict_nonlinearity``, with rows that sum to 1 exactly.

    Parameters
    ----------
    net : CoreNet
        The net, which has the user's choice of nonlinearity.
    proba : ndarray of shape (n_samples, n_classes), dtype float64
        Probabilities, in the dtype that fairlearn and pandas need, with sums of 1 up to a
        thousandth.

    Warns
    -----
    UserWarning
        If rows are not probabilities, and the user did not choose the nonlinearity.
    """
    sums = proba.sum(axis=-1, keepdims=True)
    if np.allclose(sums, 1, atol=1e-3) and (proba >= 0).all():
        return proba / sums
    if net.predict_nonlinearity == "auto" and not net.is_scored_from_cache:
        kinds = [type(getattr(net, name + "_", None)).__name__ for name in net._criteria]
        warnings.warn(
            "the rows of predict_proba are not probabilities, as none can be derived from the "
            f"module's output under the criterion {kinds}; pass predict_nonlinearity=..., such as "
            "a softmax, or another criterion",
            UserWarning,
            stacklevel=3,
        )
    return proba


def probabilities(net: CoreNet, scores: torch.Tensor) -> torch.Tensor | None:
    """Return the probability of each class, None if neither criterion nor user defines it.

    Parameters
    ----------
    net : CoreNet
        The net whose ``predict_nonlinearity`` is used.
    scores : torch.Tensor
        Output of the module for a batch; for a tuple, its first entry.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_classes), dtype float32, or None
        Probabilities on the CPU.
    """
    scores = scores.flatten() if takes_one_logit(net.criterion_) else scores
    proba = net._get_predict_nonlinearity()(scores.double()).cpu()
    sums = proba.sum(dim=-1)
    is_proba = bool((proba >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
    return proba.float() if is_proba else None
