"""Smaller nets of a task's architecture that are trained to follow its dense net.

One of the compressions that are compared: a student of as many parameters as a pruned net has
weights left. It has the layers of the task's net, all of them narrower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.lib.tasks import SmallCNN, Split, Task
from sk_prunefair import Distillation, FairPrunedClassifier
from sk_prunefair.modules import MLP, ResNet18

_MAX_WIDTH = 256


def sizes(kind: type[nn.Module], width: int) -> dict[str, Any]:
    """Return the arguments of a net of this width.

    Parameters
    ----------
    kind : {MLP, SmallCNN, ResNet18}
        The task's module.
    width : int
        Of the last hidden layer of an MLP, or the channels of the first convolution; the other
        layers are in proportion, as in the task's own net.
    """
    if kind is MLP:
        return {"hidden": (2 * width, width)}
    if kind is SmallCNN:
        return {"width": width, "hidden": 4 * width}
    if kind is ResNet18:
        return {"width": width}
    raise ValueError(f"kind must be MLP, SmallCNN or ResNet18, got {kind.__name__}")


def n_parameters(module: nn.Module) -> int:
    """Return how many numbers a net learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def narrow_sizes(task: Task, data: Split, at_most: int) -> dict[str, Any]:
    """Return the arguments of the widest net of a task that has at most so many parameters.

    Raises
    ------
    ValueError
        If even a width of one has more.
    """
    kind = task.params["module"]
    known: dict[str, Any] = {"n_classes": len(set(data.y.tolist()))}
    if kind is MLP:
        known["n_features"] = data.X[0].size
    fitting: dict[str, Any] | None = None
    for width in range(1, _MAX_WIDTH + 1):
        options = sizes(kind, width)
        with torch.device("meta"):  # counted without memory or random numbers
            n = n_parameters(kind(**known, **options))
        if n > at_most:
            break
        fitting = options
    if fitting is None:
        raise ValueError(f"at_most must be {n} or more for this task, got {at_most}")
    return fitting


def distilled_student(
    task: Task, teacher: nn.Module, data: Split, *, at_most: int, seed: int, **params: Any
) -> FairPrunedClassifier:
    """Train a narrower net to follow a dense one, on the task's own training rows.

    Parameters
    ----------
    task : Task
        Whose module and training are used.
    teacher : torch.nn.Module
        The dense net; it is not changed.
    data : Split
        Training rows.
    at_most : int
        Parameters that the student may have.
    seed : int
        Of the student's beginning and of the order of its batches.
    **params : dict
        In the place of the task's own, such as ``max_epochs``.

    Returns
    -------
    FairPrunedClassifier
        The student, which was not pruned.
    """
    options = {
        f"module__{name}": value for name, value in narrow_sizes(task, data, at_most).items()
    }
    following = ("distillation", Distillation(phase="before", teacher=teacher))
    student = FairPrunedClassifier(
        **{**task.params, **options, "callbacks": [following], "random_state": seed, **params}
    )
    return student.fit(data.X, data.y)
