"""Criteria by which weights are removed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol, runtime_checkable

import torch
from sklearn.base import BaseEstimator
from torch import nn

from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.masks import Masks, keep_largest, prunable_parameters

Scope = Literal["global", "layer"]
Scores = Mapping[str, torch.Tensor]


@runtime_checkable
class Pruner(Protocol):
    """Protocol of the parameter ``pruner`` of `FairPrunedClassifier`.

    If it has an attribute ``needs_data`` that is True, it gets a `PruningData` as well; with a
    true ``needs_initial`` that holds the net at initialisation.
    """

    def masks(self, module: nn.Module, rate: float) -> Masks:
        """Return boolean masks by parameter name, True where a weight of `module` is kept."""


class ScorePruner(BaseEstimator):
    """Remove the weights with the smallest scores by a user's function.

    Parameters
    ----------
    score : callable
        Function of a module that returns a dict with one score per weight, by parameter name: a
        tensor of the parameter's shape, larger for more important. Parameters that are not in it
        are not pruned. A function of two parameters gets a `PruningData` as the second.
        A classifier's module is in evaluation mode.
    scope : {"global", "layer"}, default="global"
        Whether scores are compared over the whole net, or the rate holds in each tensor.
    exclude : iterable of str, default=()
        Parameters that are not pruned: their names, or the names of modules that hold them. The
        rate is a share of the others.
    include : iterable of str, default=()
        Names of bare parameters, or of modules that hold some, that the library's scores include
        beside those that `prunable_parameters` lists.
    min_kept : float, default=0.0
        Least share of each tensor that is kept, in [0, 1), at any rate; at least one weight if
        it is above 0.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2)
    >>> def from_the_right(module):
    ...     return {"weight": torch.tensor([[0.0, 1.0], [2.0, 3.0]])}
    >>> ScorePruner(from_the_right).masks(net, rate=0.5)
    {'weight': tensor([[False, False],
            [ True,  True]])}
    """

    def __init__(
        self,
        score: Callable[..., Scores],
        *,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.score = score
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    @property
    def needs_data(self) -> bool:
        """Whether the score is a function of data, too."""
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        asked = [
            parameter
            for parameter in inspect.signature(self.score).parameters.values()
            if parameter.kind in positional and parameter.default is inspect.Parameter.empty
        ]
        return len(asked) > 1

    def masks(self, module: nn.Module, rate: float, data: PruningData | None = None) -> Masks:
        """Return the masks that keep the weights with the largest scores.

        Parameters
        ----------
        module : torch.nn.Module
            The dense net; not changed.
        rate : float
            Share of the prunable weights to remove, in [0, 1).
        data : PruningData, default=None
            For a score that uses data.

        Returns
        -------
        dict of str to torch.Tensor
            Boolean masks by parameter name, True where a weight is kept.

        Raises
        ------
        ValueError
            If a parameter of the pruner is malformed, required data is not given, a score has
            another shape than its weight, or the rate leaves less than ``min_kept``.
        """
        if self.scope not in ("global", "layer"):
            raise ValueError(f"scope must be 'global' or 'layer', got {self.scope!r}")
        scores = self._chosen(module, data)
        if self.scope == "global":
            return keep_largest(scores, rate, self.min_kept)
        masks: Masks = {}
        for name, score in scores.items():
            masks |= keep_largest({name: score}, rate, self.min_kept)
        return masks

    def _chosen(self, module: nn.Module, data: PruningData | None) -> dict[str, torch.Tensor]:
        if self.needs_data and data is None:
            raise ValueError("data must be given: this pruner computes its scores from data")
        found = self.score(module, data) if self.needs_data else self.score(module)
        scores = without_excluded(module, found, self.exclude)
        parameters = dict(module.named_parameters())
        for name, score in scores.items():
            if name not in parameters or score.shape != parameters[name].shape:
                raise ValueError(
                    f"score must return one score per weight, by parameter name; got {name!r} of "
                    f"shape {tuple(score.shape)}"
                )
        return scores


def without_excluded(
    module: nn.Module, scores: Scores, exclude: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Return the scores of all parameters except the excluded ones.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    scores : mapping of str to torch.Tensor
        Scores by parameter name.
    exclude : iterable of str
        Names of parameters, or of modules that hold them.

    Returns
    -------
    dict of str to torch.Tensor
        Detached scores.

    Raises
    ------
    ValueError
        If `exclude` is a string or has an unknown name, or no scores are left.
    """
    if isinstance(exclude, str):
        raise ValueError(f"exclude must be a list of names, got the string {exclude!r}")
    names = {name for name, _ in [*module.named_parameters(), *module.named_modules()]}
    exclude = set(exclude)
    if exclude - names:
        raise ValueError(
            f"exclude must name parameters or modules, got {sorted(exclude - names)}; the names "
            f"are {sorted(names)[:20]}"
        )
    left = {
        name: score.detach()
        for name, score in scores.items()
        if not any(name == other or name.startswith(f"{other}.") for other in exclude)
    }
    if not left:
        raise ValueError("exclude and score leave no weight to prune")
    return left


class MagnitudePruner(ScorePruner):
    """Remove the weights with the smallest absolute values.

    Parameters
    ----------
    scope, exclude, include, min_kept
        As for `ScorePruner`.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2)
    >>> net.weight.data = torch.tensor([[0.5, -2.0], [-0.1, 1.0]])
    >>> MagnitudePruner().masks(net, rate=0.5)
    {'weight': tensor([[False,  True],
            [False,  True]])}
    """

    def __init__(
        self,
        *,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    def score(self, module: nn.Module) -> Scores:
        """Return the absolute values of the weights."""
        weights = prunable_parameters(module, self.include)
        return {name: weight.abs() for name, weight in weights.items()}


class RandomPruner(ScorePruner):
    """Remove weights at random, as a baseline for other criteria.

    Parameters
    ----------
    random_state : int, default=None
        Seed; with the same seed, sets of removed weights are nested over rates. None takes torch's
        generator, which `FairPrunedClassifier` seeds from its own ``random_state``.
    scope, exclude, include, min_kept
        As for `ScorePruner`.

    Examples
    --------
    >>> import torch
    >>> masks = RandomPruner(random_state=0).masks(torch.nn.Linear(10, 10), rate=0.9)
    >>> int(masks["weight"].sum())
    10
    """

    def __init__(
        self,
        *,
        random_state: int | None = None,
        scope: Scope = "global",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        min_kept: float = 0.0,
    ) -> None:
        self.random_state = random_state
        self.scope = scope
        self.exclude = exclude
        self.include = include
        self.min_kept = min_kept

    def score(self, module: nn.Module) -> Scores:
        """Return one random number per weight."""
        # On the CPU, so that the removed weights do not depend on the device.
        generator = None
        if self.random_state is not None:
            generator = torch.Generator().manual_seed(self.random_state)
        # The 24 random bits of a float32 give many ties among millions of weights.
        return {
            name: torch.rand(weight.shape, dtype=torch.float64, generator=generator)
            for name, weight in prunable_parameters(module, self.include).items()
        }
