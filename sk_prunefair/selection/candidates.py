"""The candidates of a search: pruners, rates, fine-tuning, forms, and users' functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Number
from typing import Any

from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from sk_prunefair.checks import check_choice, check_epochs, check_rate

FORMS = ("masked", "sparse", "onnx", "int8")
"""Forms in which a pruned net can run."""
# Keys about the pruning and later steps; all others affect the dense training.
_AFTER = ("prune_rate", "finetune_epochs", "form", "finetune_lr", "finetune_schedule", "pruner")


@dataclass(frozen=True)
class Candidate:
    """One of a search's candidates.

    Parameters
    ----------
    name : str
        Unique name, for tables.
    given : dict or callable
        The user's candidate.
    """

    name: str
    given: Mapping[str, Any] | Callable[[Any], Any]

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters of a net that the search makes; empty for a function."""
        return self.given if isinstance(self.given, Mapping) else {}

    @property
    def is_function(self) -> bool:
        """Whether it is a user's function."""
        return not isinstance(self.given, Mapping)

    @property
    def is_dense(self) -> bool:
        """Whether it is the trained dense net itself, without pruning and further training."""
        says = {name: value for name, value in self.params.items() if name != "pruner"}
        if says.get("finetune_epochs") is None:
            says.pop("finetune_epochs", None)
        defaults = {"prune_rate": 0, "finetune_epochs": 0, "form": "masked"}
        return not self.is_function and all(
            name in defaults and says[name] == defaults[name] for name in says
        )

    @property
    def training(self) -> dict[str, Any]:
        """Parameters of the classifier that need another training of the dense net."""
        return {name: value for name, value in self.params.items() if not is_after(name)}

    @property
    def pruning(self) -> dict[str, Any]:
        """Parameters of the classifier that can be set after the training."""
        own = ("prune_rate", "finetune_epochs", "form")
        return {k: v for k, v in self.params.items() if is_after(k) and k not in own}


def is_after(name: str) -> bool:
    """Tell whether a parameter has no effect on the training of the dense net.

    >>> is_after("pruner__min_kept"), is_after("lr")
    (True, False)
    """
    return name.partition("__")[0] in _AFTER


def as_candidates(candidates: Any, cost: Any, can_train: bool) -> list[Candidate]:
    """Return the user's candidates, or the default ones, each with a name.

    Parameters
    ----------
    candidates : None, mapping of str to list, or iterable of mapping and callable
        As for `CompressionSearchCV`.
    cost : str or callable
        Cost, which determines the default ones.
    can_train : bool
        Whether there is fine-tuning data.

    Raises
    ------
    ValueError, TypeError
        If they are malformed.
    """
    if candidates is None:
        given: list[Any] = default_candidates(cost, can_train)
    elif isinstance(candidates, Mapping):
        given = list(ParameterGrid(candidates))
    elif isinstance(candidates, Iterable) and not isinstance(candidates, str):
        given = list(candidates)
    else:
        raise TypeError(
            "candidates must be None, a dict of lists, or a list of dicts and functions, got "
            f"{candidates!r}"
        )
    if not given:
        raise ValueError(
            "candidates must hold at least one, got none; of an iterator, make a list: it is empty "
            "after the first fit"
        )
    names: dict[str, int] = {}
    return [Candidate(_distinct(_name(each), names), each) for each in given]


def check_parameters_of(candidates: Iterable[Candidate], classifier: Any) -> None:
    """Raise ValueError where the classifier has no parameter of a name, before any training."""
    for each in candidates:
        params = each.training | each.pruning
        try:
            if params:
                clone(classifier).set_params(**params)
        except Exception as error:
            error.add_note(f"candidate: {each.name}")
            raise


def default_candidates(cost: Any, can_train: bool) -> list[dict[str, Any]]:
    """Return candidates from 0.5 on, with and without fine-tuning, in forms that save cost."""
    epochs = (0, 3) if can_train else (0,)
    form = "sparse" if cost == "latency" else "masked"
    # Pruners that use data cannot be used if all of it is held out.
    pruners = ("magnitude", "fairgrape") if can_train else ("magnitude",)
    found: list[dict[str, Any]] = [
        {"pruner": pruner, "prune_rate": rate, "finetune_epochs": n, "form": form}
        for pruner in pruners
        for rate in (0.5, 0.7, 0.8, 0.9, 0.95)
        for n in epochs
    ]
    if importlib.util.find_spec("torch_pruning"):
        found += [
            {"pruner": "channel_magnitude", "prune_rate": rate, "finetune_epochs": n}
            for rate in (0.25, 0.5)
            for n in epochs
        ]
    if can_train and cost != "macs" and importlib.util.find_spec("onnxruntime"):
        found.append({"form": "int8"})
    return found


def _name(given: Any) -> str:
    """Return a name, or raise an error if a candidate is malformed.

    >>> _name({"pruner": "magnitude", "prune_rate": 0.9, "finetune_epochs": 3, "form": "int8"})
    'magnitude 0.9, 3 epochs, int8'
    >>> _name({}), _name({"prune_rate": 0.5, "lr": 0.1})
    ('dense', '0.5, lr=0.1')
    """
    if callable(given):
        return str(getattr(given, "__name__", type(given).__name__))
    if not isinstance(given, Mapping):
        raise TypeError(
            "each of candidates must be a dict or a function of the dense classifier, got "
            f"{type(given).__name__}"
        )
    rate = check_rate(given.get("prune_rate", 0.0), "prune_rate")
    epochs = given.get("finetune_epochs")
    epochs = None if epochs is None else check_epochs(epochs)
    form = given.get("form", "masked")
    check_choice("form", form, FORMS)
    pruned = f"{_short(given.get('pruner', ''))} {rate:g}".strip() if rate else "dense"
    parts = [pruned, *([f"{epochs} epochs"] if epochs else []), *([form] * (form != "masked"))]
    own = ("pruner", "prune_rate", "finetune_epochs", "form")
    parts += [f"{key}={_short(value)}" for key, value in given.items() if key not in own]
    return ", ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_short, value)) + "]"
    text = str(value) if isinstance(value, (str, Number, type(None))) else type(value).__name__
    return text if len(text) <= 60 else text[:59] + "…"


def _distinct(name: str, names: dict[str, int]) -> str:
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name} ({names[name]})"
