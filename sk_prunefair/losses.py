"""Per-sample losses of a criterion, the weights of its mean, and its kind of input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def first_output(output: Any) -> Any:
    """Return the scores of a module's output: the first entry of a tuple, ``logits`` of a dict.

    Parameters
    ----------
    output : torch.Tensor, tuple or mapping
        Output of a module; a `transformers.utils.ModelOutput` is a mapping.

    Raises
    ------
    ValueError
        If a mapping has no ``logits``.

    Examples
    --------
    >>> first_output({"logits": torch.ones(1), "hidden": None})
    tensor([1.])
    """
    if isinstance(output, Mapping):
        if "logits" not in output:
            raise ValueError(
                "module must return its scores under the key 'logits', got a dict of "
                f"{sorted(map(str, output))}"
            )
        return output["logits"]
    return output[0] if isinstance(output, tuple) else output


def class_scores(output: Any) -> torch.Tensor:
    """Return one score per class for a softmax; one logit z becomes the scores 0 and z.

    Parameters
    ----------
    output : torch.Tensor, tuple or mapping
        Output of a module: scores of shape (n_samples, n_classes), or one logit per sample,
        shape (n_samples,) or (n_samples, 1), for two classes.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_classes)
        At least in single precision.

    Examples
    --------
    >>> class_scores(torch.tensor([[2.0], [-1.0]]))
    tensor([[ 0.,  2.],
            [ 0., -1.]])
    """
    scores = full_precision(first_output(output))
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    return scores if scores.ndim != 1 else torch.stack([torch.zeros_like(scores), scores], dim=1)


def full_precision(scores: Any) -> Any:
    """Cast scores in half precision to single precision, which losses need."""
    is_half = isinstance(scores, torch.Tensor) and scores.dtype in (torch.float16, torch.bfloat16)
    return scores.float() if is_half else scores


def plain_criterion(criterion: Any) -> Any:
    """Return the criterion without the wrapper of `torch.compile`."""
    if isinstance(criterion, nn.Module) and "_orig_mod" not in criterion._modules:
        return criterion  # isinstance first, as torch is slow to report a missing attribute
    return getattr(criterion, "_orig_mod", criterion)


def takes_probabilities(criterion: Any) -> bool:
    """Tell whether the criterion is NLLLoss, for which skorch takes the logarithm of the output."""
    return isinstance(plain_criterion(criterion), nn.NLLLoss)


def takes_one_logit(criterion: Any) -> bool:
    """Tell whether the criterion takes one logit for two classes."""
    return isinstance(plain_criterion(criterion), nn.BCEWithLogitsLoss)


def _one_logit(output: torch.Tensor) -> torch.Tensor:
    """Return one logit per sample: the difference of two scores."""
    if output.ndim == 2 and output.shape[1] == 2:
        return output[:, 1] - output[:, 0]
    return output.flatten()


def sample_losses(criterion: Any, y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
    """Return the criterion's loss of each sample.

    Parameters
    ----------
    criterion : callable
        Function of ``(output, labels)``. Its ``reduction``, if it has one, is set to "none"; if it
        returns a single number, it is called sample by sample, as the mean over one sample is its
        loss.
    y_pred : torch.Tensor of shape (n_samples, n_classes)
        Output of the module; probabilities for NLLLoss. For BCEWithLogitsLoss one logit per
        sample, shape (n_samples,) or (n_samples, 1), or the scores of two classes.
    y_true : torch.Tensor of shape (n_samples,), dtype int64
        Encoded labels.

    Returns
    -------
    torch.Tensor of shape (n_samples,)
        Losses, part of the graph.

    Examples
    --------
    >>> scores, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> sample_losses(nn.CrossEntropyLoss(), scores, labels)
    tensor([0.6931, 0.6931])
    >>> sample_losses(lambda scores, labels: scores.sum() + labels.sum(), scores, labels)
    tensor([0., 1.])
    """
    y_pred = full_precision(y_pred)
    if takes_probabilities(criterion):
        y_pred = torch.log(y_pred + torch.finfo(y_pred.dtype).eps)
    return losses_without_reduction(criterion, y_pred, y_true)


def losses_without_reduction(
    criterion: Any, output: torch.Tensor, y_true: torch.Tensor
) -> torch.Tensor:
    """Return the loss of each sample, as `sample_losses`, from the criterion's own input.

    Parameters
    ----------
    criterion : callable
        Function of ``(output, labels)``.
    output : torch.Tensor of shape (n_samples, ...)
        Input of the criterion; log-probabilities for NLLLoss.
    y_true : torch.Tensor of shape (n_samples,), dtype int64
        Encoded labels.

    Returns
    -------
    torch.Tensor of shape (n_samples,)
        Losses, part of the graph.

    Raises
    ------
    ValueError
        If the criterion returns no tensor.

    Examples
    --------
    >>> output, labels = torch.tensor([[-0.5, -2.0], [-1.0, -3.0]]), torch.tensor([0, 1])
    >>> losses_without_reduction(nn.NLLLoss(), output, labels)
    tensor([0.5000, 3.0000])
    """
    if takes_one_logit(criterion):
        output = _one_logit(output)
        y_true = y_true.to(output.dtype)
    losses = _without_reduction(criterion)(output, y_true)
    if not isinstance(losses, torch.Tensor):
        raise ValueError(f"criterion must return a tensor, got {type(losses).__name__}")
    if losses.ndim == 0:
        rows = zip(output.split(1), y_true.split(1), strict=True)
        losses = torch.stack([criterion(scores, label) for scores, label in rows])
    return losses


def _without_reduction(criterion: Any) -> Any:
    if getattr(criterion, "reduction", "none") == "none":
        return criterion
    # A shallow copy shares the weights, and the criterion itself keeps the user's setting.
    # Written out, as it is needed for every batch, and copy.copy takes ten times as long.
    criterion = plain_criterion(criterion)
    twin = object.__new__(type(criterion))
    twin.__dict__.update(criterion.__dict__)
    twin.__dict__["reduction"] = "none"
    return twin


def mean_weights(
    criterion: Any, y_true: torch.Tensor, has_ignored: bool = True
) -> torch.Tensor | None:
    """Return the weight of each sample in the criterion's mean; None if all are 1.

    `torch.nn.CrossEntropyLoss` and `torch.nn.NLLLoss` divide the sum of their losses by the sum of
    the samples' class weights, without labels of ``ignore_index``.

    Parameters
    ----------
    criterion : callable
        The criterion.
    y_true : torch.Tensor of shape (n_samples,), dtype int64
        Encoded labels.
    has_ignored : bool, default=True
        Whether some may be the criterion's ``ignore_index``; False skips the search for them.

    Examples
    --------
    >>> criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    >>> mean_weights(criterion, torch.tensor([0, 1, -100]))
    tensor([1., 3., 0.])
    """
    criterion = plain_criterion(criterion)
    if not isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return None
    counts = None if criterion.weight is None else criterion.weight
    if not (has_ignored or criterion.ignore_index >= 0):
        return None if counts is None else counts[y_true]
    is_counted = y_true != criterion.ignore_index
    if counts is None:
        return is_counted.float()
    return counts[y_true.where(is_counted, 0)].where(is_counted, 0.0)


def ignored_label(criterion: Any, options: Mapping[str, Any]) -> int | None:
    """Return the negative label that a criterion ignores, or None.

    Parameters
    ----------
    criterion : class or torch.nn.Module
        The user's criterion.
    options : dict
        Its arguments.
    """
    kind = criterion if isinstance(criterion, type) else type(criterion)
    if not issubclass(kind, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return None
    label = options.get("ignore_index", getattr(criterion, "ignore_index", -100))
    return label if isinstance(label, int) and label < 0 else None


def reduction(criterion: Any) -> str:
    """Return the reduction of a criterion, "mean" if it has none."""
    return getattr(plain_criterion(criterion), "reduction", "mean")


def reduced(
    criterion: Any,
    losses: torch.Tensor,
    y_true: torch.Tensor,
    has_ignored: bool,
    all_labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the sum of the losses, or their mean as the criterion computes it.

    Parameters
    ----------
    criterion : callable
        With the ``reduction`` "sum" the losses are summed, else averaged.
    losses : torch.Tensor of shape (n_samples,)
        Losses without reduction, possibly weighted.
    y_true : torch.Tensor of shape (n_samples,), dtype int64
        Encoded labels.
    has_ignored : bool
        As for `mean_weights`.
    all_labels : torch.Tensor of shape (n_all,), dtype int64, default=None
        Labels of the batch that these samples are a part of. The average of the means of its parts,
        weighted by their numbers of samples, is then the mean of the whole batch.
    """
    known = y_true if all_labels is None else all_labels
    if reduction(criterion) == "sum":
        return losses.sum() * (len(known) / len(losses))
    counts = mean_weights(criterion, known, has_ignored)
    if counts is None:
        return losses.mean()
    counted = len(losses) / len(known) * counts.sum().to(losses)
    return losses.sum() / counted.clamp(min=torch.finfo(losses.dtype).tiny)
