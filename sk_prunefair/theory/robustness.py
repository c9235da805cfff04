"""Accuracy of each group under adversarial attacks, beside its closeness to the boundary.

Theorem 2 of the paper (Tran, Fioretto, Kim and Naidu, Pruning has a disparate impact on model
accuracy, NeurIPS 2022) relates the harm of pruning to a group to its closeness to the decision
boundary; the paper does not study adversarial robustness. A small change of the input that crosses
the boundary measures the same closeness in the space of the inputs.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping, Sequence
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from sk_prunefair.checks import check_count
from sk_prunefair.data.group_means import group_means
from sk_prunefair.theory.boundary import closeness
from sk_prunefair.theory.grouped import GroupedNet

ATTACKS = ("fgsm", "pgd")


def group_robustness(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    epsilon: float,
    attacks: Sequence[str] = ATTACKS,
    steps: int = 20,
    step_size: float | None = None,
    clip: tuple[float, float] | None = None,
    criterion: Any = None,
    batch_size: int | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Accuracy of each group under attack, and its closeness to the decision boundary.

    An attack changes every number of a sample by at most ε to increase the loss of the true label.
    FGSM (Goodfellow, Shlens and Szegedy, 2015) takes one step, ``x + ε sign(∇ₓ loss)``; PGD
    (Madry et al., 2018) takes many small ones, each followed by a projection onto the ε-ball, and
    starts at the sample itself, so that it is deterministic. Call it for the dense and for the
    pruned net; neither is changed, and both are in evaluation mode. The attacks are those of the
    Adversarial Robustness Toolbox, in single precision: ``pip install 'sk-prunefair[attacks]'``.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns one logit, or log-probability, per class, or a tuple whose first entry
        does.
    X : array-like of shape (n_samples, ...), float dtype
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    epsilon : float
        Largest change of each number of X, in the unit of X, at least 0; 0 changes nothing.
    attacks : sequence of {"fgsm", "pgd"}, default=("fgsm", "pgd")
        Attacks, with one column each.
    steps : int, default=20
        Number of steps of PGD.
    step_size : float, default=None
        Size of a step of PGD, at most epsilon. None takes ``2.5 * epsilon / steps``,
        whose steps together can cross the ball.
    clip : (float, float), default=None
        Smallest and largest value of X, such as ``(0, 1)`` for images; attacked samples
        stay within.
    criterion : torch.nn.Module, class of one, or callable, default=None
        The loss that the attacks increase, of ``(scores, y)``, one per sample if it has no
        ``reduction``. None takes cross entropy on logits.
    batch_size : int, default=None
        Samples per chunk. None chooses as many, from 1 to 4,096, as keep four times the outputs
        of all layers within 256 MiB.
    verbose : int, default=0
        Whether to show the attacks on a terminal.

    Returns
    -------
    pandas.DataFrame of shape (n_groups, 3 + n_attacks)
        By group: ``count`` (int64), ``clean`` (accuracy on X), one accuracy per attack (``fgsm``,
        ``pgd``), and ``boundary_closeness`` on X, see `boundary_closeness`.

    Raises
    ------
    ImportError
        If the Adversarial Robustness Toolbox (the extra ``attacks``) is not installed.
    ValueError
        If an argument is malformed, or X lies outside `clip`.

    Examples
    --------
    The boundary of this net is at x = 0, so samples of class 1 are robust to ε if x > ε:

    >>> net = torch.nn.Linear(1, 2)
    >>> net.load_state_dict({"weight": torch.tensor([[-1.0], [1.0]]), "bias": torch.zeros(2)})
    <All keys matched successfully>
    >>> X, group = [[0.1], [0.5], [0.5], [0.9]], ["f", "f", "m", "m"]
    >>> group_robustness(net, X, [1, 1, 1, 1], group, epsilon=0.3).round(3)
                       count  clean  fgsm  pgd  boundary_closeness
    sensitive_feature
    f                      2    1.0   0.5  0.5               0.222
    m                      2    1.0   1.0  1.0               0.159
    """
    _check_attack(epsilon, attacks, steps, step_size)
    if not isinstance(module, nn.Module):
        raise ValueError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if isinstance(X, Mapping):
        raise ValueError("X must be one array of floats, as attacks change its values, got a dict")
    X = X if isinstance(X, torch.Tensor) else np.asarray(X)
    if not (X.is_floating_point() if isinstance(X, torch.Tensor) else X.dtype.kind == "f"):
        raise ValueError(f"X must be of a float dtype, as attacks change its values, got {X.dtype}")
    # A frozen net can be attacked too, as no derivatives by the weights are needed.
    trainable = copy.deepcopy(module).requires_grad_()
    net = GroupedNet(trainable, X, y, sensitive_features, criterion, batch_size)
    net.module.requires_grad_(False)
    _check_net(net, clip)
    evasion, estimators = _toolbox()
    clean = _predict(net, net.X)
    columns = {"count": net.sizes, "clean": _group_means(net, clean == net.y)}
    target = _as_toolbox_classifier(estimators, net, clip)
    options = {"norm": np.inf, "eps": float(epsilon), "batch_size": net.batch_size}
    for attack in tqdm(list(attacks), desc="attacks", disable=None if verbose else True):
        predicted = clean
        if epsilon > 0:
            attacker = (
                evasion.FastGradientMethod(target, **options)
                if attack == "fgsm"
                else evasion.ProjectedGradientDescent(
                    target,
                    **options,
                    eps_step=min(step_size or 2.5 * epsilon / steps, float(epsilon)),
                    max_iter=int(steps),
                    verbose=False,
                )
            )
            predicted = _predict(net, _attacked(attacker, net))
        columns[attack] = _group_means(net, predicted == net.y)
    columns["boundary_closeness"] = _group_means(net, _closeness(net))
    return pd.DataFrame(columns, index=net.groups)


class _Scores(nn.Module):
    """The net for the toolbox: in single precision, with one tensor as output."""

    def __init__(self, net: GroupedNet) -> None:
        super().__init__()
        self.module = net.module
        self.net = net

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.net.scores(X.to(self.net.X.dtype))


class _SumOfLosses(nn.Module):
    """The criterion for the toolbox, with one-hot labels.

    It is a sum, as a mean over a large batch could round a sample's small gradient to zero, and the
    sign would be zero, too.
    """

    def __init__(self, net: GroupedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, scores: torch.Tensor, one_hot: torch.Tensor) -> torch.Tensor:
        return self.net.losses_of(scores, one_hot.argmax(dim=1)).sum()


def _toolbox() -> tuple[ModuleType, ModuleType]:
    try:
        return (
            importlib.import_module("art.attacks.evasion"),
            importlib.import_module("art.estimators.classification"),
        )
    except ImportError as error:
        raise ImportError(
            "group_robustness needs the Adversarial Robustness Toolbox: install the extra, "
            "pip install 'sk-prunefair[attacks]'"
        ) from error


def _as_toolbox_classifier(
    estimators: ModuleType, net: GroupedNet, clip: tuple[float, float] | None
) -> Any:
    return estimators.PyTorchClassifier(
        _Scores(net),
        loss=_SumOfLosses(net),
        input_shape=tuple(net.X.shape[1:]),
        nb_classes=net.n_scores,
        clip_values=clip,
        device_type="gpu" if net.X.is_cuda else "cpu",
    )


def _attacked(attacker: Any, net: GroupedNet) -> torch.Tensor:
    X = net.X.cpu().numpy().astype(np.float32)
    # The toolbox's data loader draws from torch's generator.
    with torch.random.fork_rng(devices=[]):
        moved = attacker.generate(X, net.y.cpu().numpy())
    return torch.from_numpy(moved).to(net.X)


def _predict(net: GroupedNet, X: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([net.scores(part).argmax(dim=1) for part in X.split(net.batch_size)])


def _closeness(net: GroupedNet) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([closeness(net.scores(part)) for part in net.X.split(net.batch_size)])


def _group_means(net: GroupedNet, values: torch.Tensor) -> npt.NDArray[np.float64]:
    n_groups = len(net.sizes)
    group = np.repeat(np.arange(n_groups), net.sizes)
    return group_means(values.double().cpu().numpy(), group, None, n_groups)


def _check_attack(epsilon: Any, attacks: Any, steps: Any, step_size: Any) -> None:
    if not _is_number(epsilon) or not 0 <= epsilon < np.inf:
        raise ValueError(f"epsilon must be a finite number >= 0, got {epsilon!r}")
    several = isinstance(attacks, Sequence) and not isinstance(attacks, str) and len(attacks) > 0
    if not (several and all(attack in ATTACKS for attack in attacks)):
        raise ValueError(f"attacks must be a sequence of some of {list(ATTACKS)}, got {attacks!r}")
    check_count("steps", steps)
    if step_size is not None and not (_is_number(step_size) and step_size > 0):
        raise ValueError(f"step_size must be a number > 0 or None, got {step_size!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_net(net: GroupedNet, clip: Any) -> None:
    with torch.no_grad():
        shape = tuple(net.scores(net.X[:1]).shape)
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"module must return scores of shape (n_samples, n_classes >= 2), got {shape}"
        )
    if clip is None:
        return
    pair = isinstance(clip, tuple | list) and len(clip) == 2 and all(map(_is_number, clip))
    if not (pair and clip[0] < clip[1]):
        raise ValueError(f"clip must be a pair of numbers, low < high, or None, got {clip!r}")
    if net.X.min() < clip[0] or net.X.max() > clip[1]:
        raise ValueError(
            f"X must lie within clip={tuple(clip)}, got values from {float(net.X.min()):g} to "
            f"{float(net.X.max()):g}"
        )
