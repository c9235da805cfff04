"""Check the arguments of a call of the classifier before anything is changed."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse

from sk_prunefair.acceleration import autocast_dtype
from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.inputs import is_dataset, settle_dtype
from sk_prunefair.data.items import split_item
from sk_prunefair.data.labels import read_labels
from sk_prunefair.data.mapped import MappedRows
from sk_prunefair.data.schema import ONE_GROUP, Schema
from sk_prunefair.data.sources import count_rows, is_arrow
from sk_prunefair.hooks import Phase
from sk_prunefair.losses import ignored_label
from sk_prunefair.nested import float_dtype
from sk_prunefair.seeds import seeded

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


class Request:
    """The data of a call: X, labels, groups and weights, as given or as contained in X.

    Parameters
    ----------
    X, y, sensitive_features, sample_weight : array-like
        As `sk_prunefair.FairPrunedClassifier.fit` takes them. Labels and groups that are None are
        taken from X, if it is a data set, or a dict with ``labels``, that holds them.
    """

    def __init__(self, X: Any, y: Any, sensitive_features: Any, sample_weight: Any) -> None:
        if isinstance(X, Mapping) and not issparse(X) and y is None:
            y = split_item(X).y
        if is_dataset(X) and hasattr(X, "__len__") and len(X):
            y, sensitive_features = _read(X, y, sensitive_features)
        self.X = X
        self.y = y
        self.sensitive_features = sensitive_features
        self.sample_weight = sample_weight


def _read(X: Any, y: Any, sensitive_features: Any) -> tuple[Any, Any]:
    """Return y and groups, with None replaced by those in the items of a data set."""
    if y is not None and (sensitive_features is not None or not yields_groups(X)):
        return y, sensitive_features
    labels, groups = read_labels(X)
    return (
        labels if y is None else y,
        groups if sensitive_features is None else sensitive_features,
    )


def yields_groups(X: Any) -> bool:
    """Tell whether X is a data set whose items hold groups, ``(X, y, group)``."""
    return is_dataset(X) and not is_arrow(X) and split_item(X[0]).group is not None


def learn(net: CoreNet, given: Request, classes: Any) -> tuple[Schema, Any, npt.NDArray[Any]]:
    """Return the schema of training data, and its inputs and labels; the net is not changed."""
    net.check_training_readiness()
    has_classes = classes is not None and len(classes) > 0
    return Schema.learn(
        given.X,
        given.y,
        given.sensitive_features,
        estimator=net.scratch(),
        classes=classes if has_classes else None,
        ignored=ignored_label(net.criterion, net.get_params_for("criterion")),
    )


def encode(net: CoreNet, given: Request, needs_labels: bool = True) -> tuple[Schema, GroupDataset]:
    """Encode data by the net's schema; groups may be new if the net has none."""
    schema = known_schema(net)
    inputs = schema.check_inputs(given.X, net.scratch())
    labels = None
    if needs_labels or given.y is not None:
        labels = schema.check_labels(inputs, given.y, net)
    schema = schema.with_groups(given.sensitive_features, count_rows(inputs))
    return schema, encoded(net, schema, inputs, labels, given)


def encoded(
    net: CoreNet, schema: Schema, inputs: Any, labels: npt.NDArray[Any] | None, given: Request
) -> GroupDataset:
    """Return checked inputs and labels as a training set."""
    return schema.encode(
        net.wrap_inputs(settled(net, schema, inputs)),
        labels,
        given.sensitive_features,
        given.sample_weight,
    )


def settled(net: CoreNet, schema: Schema, inputs: Any) -> Any:
    """Return an array in the dtype that the net takes; other inputs are returned unchanged."""
    if not isinstance(inputs, np.ndarray | MappedRows):
        return inputs
    dtype = None if schema.inputs is None else schema.inputs.dtype
    settle = functools.partial(settle_dtype, dtype=dtype or taken_dtype(net, inputs))
    return inputs.settled(settle) if isinstance(inputs, MappedRows) else settle(inputs)


def with_dtype(net: CoreNet, schema: Schema, inputs: Any) -> Schema:
    """Return the schema with the dtype in which the net takes such an array from now on."""
    is_array = isinstance(inputs, np.ndarray | MappedRows)
    if not is_array or schema.inputs is None or schema.inputs.dtype:
        return schema
    return replace(schema, inputs=replace(schema.inputs, dtype=taken_dtype(net, inputs)))


def taken_dtype(net: CoreNet, inputs: npt.NDArray[Any] | MappedRows) -> str:
    """Return the dtype in which a net takes an array: integers if its module accepts them.

    A net that begins with an embedding accepts only integers; one that begins with
    a linear layer or a convolution does not, and gets floats, in double precision if its parameters
    have it. The net is run on two rows, in evaluation mode.
    """
    is_integer = inputs.dtype.kind in "iu" and len(inputs)
    if is_integer and runs_on(net, torch.from_numpy(inputs[:2].astype(np.int64))):
        return "int64"
    module = vars(net).get("module_")
    is_double = module is not None and float_dtype(module) == torch.float64
    return "float64" if is_double else "float32"


def runs_on(net: CoreNet, X: torch.Tensor) -> bool:
    """Tell whether the net's module accepts these inputs; its state and torch's seeds are kept."""
    module = vars(net).get("module_")
    if module is None:
        return False
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), seeded(0, 0, net.device):
            net.exact().infer(X)
    except IndexError:  # beyond the vocabulary, but integers are accepted
        return True
    except Exception:  # any error of a net written for another dtype
        return False
    finally:
        for part, mode in modes:
            part.training = mode
    return True


def known_schema(net: CoreNet) -> Schema:
    """Return the known schema of the net's data, which may be only the labels."""
    return net.schema_ or Schema(classes=getattr(net, "classes_", None))


def adopt_schema(net: CoreNet, schema: Schema) -> None:
    """Set the schema as attributes that scikit-learn expects."""
    net.schema_ = schema
    net.groups_ = ONE_GROUP if schema.groups is None else schema.groups
    inputs = schema.inputs
    learned = {
        "classes_inferred_": schema.classes,
        "input_shape_": inputs and inputs.shape,
        "n_inputs_": inputs and inputs.n_inputs,
        "n_features_in_": inputs and inputs.n_features_in,
        "feature_names_in_": None if inputs is None else inputs.feature_names_in,
    }
    for name, value in learned.items():
        net.__dict__.pop(name, None)
        if value is not None:
            net.__dict__[name] = value


def check_parameters(net: CoreNet) -> None:
    """Raise ValueError if one of the classifier's own parameters is malformed."""
    net.make_pruner()
    check_choice("finetune_schedule", net.finetune_schedule, ("restart", "continue"))
    autocast_dtype(net.autocast)
    check_number("finetune_lr", net.finetune_lr, above=0, or_none=True)


def check_groups_given(net: CoreNet, sensitive_features: Any, phases: Sequence[Phase]) -> None:
    """Raise ValueError if an active constraint needs groups and there are none."""
    if sensitive_features is not None:
        return
    for callback in _given_callbacks(net):
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, Constraint) and kind.needs_groups and _acts(callback, phases):
            raise ValueError(
                f"sensitive_features is None, but {kind.__name__} needs the group of each sample"
            )


def can_follow(net: CoreNet) -> bool:
    """Tell whether fine-tuning without labels has an objective, such as `Distillation`.

    Warns
    -----
    UserWarning
        If other constraints have no effect then.
    """
    acting = [
        callback
        for _, callback in net.callbacks_
        if isinstance(callback, Constraint) and _acts(callback, ["after"])
    ]
    if all(callback.needs_labels for callback in acting):
        return False
    idle = [type(callback).__name__ for callback in acting if callback.needs_labels]
    if idle:
        warnings.warn(
            f"fine-tuning without labels: {', '.join(idle)} has no effect",
            UserWarning,
            stacklevel=4,
        )
    return True


def check_constraints(net: CoreNet, phases: Sequence[Phase], has_labels: bool = True) -> None:
    """Raise ValueError if the parameters do not allow a constraint that is active in the phases."""
    for _, callback in net.callbacks_:
        is_asked = isinstance(callback, Constraint) and (has_labels or not callback.needs_labels)
        if is_asked and _acts(callback, phases):
            callback.check(net)


def _acts(callback: Any, phases: Sequence[Phase]) -> bool:
    return bool(phases) and getattr(callback, "phase", "both") in (*phases, "both")


def _given_callbacks(net: CoreNet) -> list[Any]:
    """Return the user's callbacks; one set by name replaces the one in the list."""
    given = [] if net.callbacks in (None, "disable") else list(net.callbacks)
    pairs = [item if isinstance(item, (tuple, list)) else ("", item) for item in given]
    named = {
        name.removeprefix("callbacks__"): value
        for name, value in vars(net).items()
        if name.startswith("callbacks__") and name.count("__") == 1
    }
    return [*(callback for name, callback in pairs if name not in named), *named.values()]
