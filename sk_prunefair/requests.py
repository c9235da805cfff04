"""What a call of the classifier is given, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.constraints.base import Constraint
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.schema import ONE_GROUP, Schema
from sk_prunefair.hooks import Phase
from sk_prunefair.losses import ignored_label

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def learn(
    net: CoreNet,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    classes: Any,
) -> tuple[Schema, GroupDataset]:
    """Learn what training data looks like, and encode it; the net keeps nothing."""
    net.check_training_readiness()
    has_classes = classes is not None and len(classes) > 0
    schema, inputs, labels = Schema.learn(
        X,
        y,
        sensitive_features,
        estimator=net.scratch(),
        classes=classes if has_classes else None,
        ignored=ignored_label(net.criterion, net.get_params_for("criterion")),
    )
    return schema, schema.encode(
        inputs, labels, sensitive_features, sample_weight, wrap=net.wrap_inputs
    )


def encode(
    net: CoreNet, X: Any, y: Any, sensitive_features: Any = None, sample_weight: Any = None
) -> tuple[Schema, GroupDataset]:
    """Encode labelled data by what the net knows; groups may be new where it knows none."""
    schema = known_schema(net)
    inputs = schema.check_inputs(X, net.scratch())
    labels = schema.check_labels(inputs, y, net)
    schema = schema.with_groups(sensitive_features, len(labels))
    return schema, schema.encode(
        inputs, labels, sensitive_features, sample_weight, wrap=net.wrap_inputs
    )


def known_schema(net: CoreNet) -> Schema:
    """Return what is known of the net's data, be it the labels alone."""
    return net.schema_ or Schema(classes=getattr(net, "classes_", None))


def adopt_schema(net: CoreNet, schema: Schema) -> None:
    """Set what is known of the data as attributes that scikit-learn looks for."""
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
    """Raise ValueError where a parameter of the classifier's own is malformed."""
    net.make_pruner()
    check_choice("finetune_schedule", net.finetune_schedule, ("restart", "continue"))
    check_number("finetune_lr", net.finetune_lr, above=0, or_none=True)


def check_groups_given(net: CoreNet, sensitive_features: Any, phases: Sequence[Phase]) -> None:
    """Raise ValueError where a constraint that is going to act has no groups."""
    if sensitive_features is not None:
        return
    for callback in _given_callbacks(net):
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, Constraint) and _acts(callback, phases):
            raise ValueError(
                f"sensitive_features is None, but {kind.__name__} needs the group of each sample"
            )


def check_constraints(net: CoreNet, phases: Sequence[Phase]) -> None:
    """Raise ValueError where a constraint that acts in the phases cannot do what it is to."""
    for _, callback in net.callbacks_:
        if isinstance(callback, Constraint) and _acts(callback, phases):
            callback.check(net)


def _acts(callback: Any, phases: Sequence[Phase]) -> bool:
    return bool(phases) and getattr(callback, "phase", "both") in (*phases, "both")


def _given_callbacks(net: CoreNet) -> list[Any]:
    """Return the callbacks of the user's; one set by its name replaces the one in the list."""
    given = [] if net.callbacks in (None, "disable") else list(net.callbacks)
    pairs = [item if isinstance(item, (tuple, list)) else ("", item) for item in given]
    named = {
        name.removeprefix("callbacks__"): value
        for name, value in vars(net).items()
        if name.startswith("callbacks__") and name.count("__") == 1
    }
    return [*(callback for name, callback in pairs if name not in named), *named.values()]
