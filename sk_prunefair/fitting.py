"""The steps of fit, partial_fit and prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sk_prunefair.checks import check_epochs, check_rate
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.hooks import Phase
from sk_prunefair.outputs import check_output
from sk_prunefair.pruning import engine
from sk_prunefair.requests import (
    Request,
    adopt_schema,
    can_follow,
    check_constraints,
    check_groups_given,
    check_parameters,
    encode,
    encoded,
    known_schema,
    learn,
    with_dtype,
)
from sk_prunefair.restore import unchanged_on_error

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def fit(
    net: CoreNet, X: Any, y: Any, sensitive_features: Any, sample_weight: Any, **fit_params: Any
) -> None:
    """Train the dense net, then prune and fine-tune it according to its parameters.

    Parameters
    ----------
    net : CoreNet
        Net to train from new weights, or from its own if ``warm_start`` is set; an error changes
        nothing.
    X, y, sensitive_features, sample_weight : array-like
        As `FairPrunedClassifier.fit` takes them.
    **fit_params : dict
        For the module's ``forward`` and for ``train_split``.
    """
    rate = None if net.prune_rate is None else check_rate(net.prune_rate, "prune_rate")
    epochs = check_epochs(net.finetune_epochs)
    check_parameters(net)
    given = Request(X, y, sensitive_features, sample_weight)
    phases: list[Phase] = ["before", "after"] if rate is not None and epochs else ["before"]
    check_groups_given(net, given.sensitive_features, phases)
    schema, inputs, labels = learn(net, given, net.classes)
    is_warm = bool(net.warm_start and net.initialized_)
    with unchanged_on_error(net, in_place=is_warm):
        adopt_schema(net, schema)
        if is_warm:
            engine.restore_dense(net)
        else:
            net.initialize()
        adopt_schema(net, with_dtype(net, schema, inputs))
        data = encoded(net, known_schema(net), inputs, labels, given)
        check_constraints(net, phases)
        engine.check_request(net, epochs)
        net.train(data, net.max_epochs, X, y, **fit_params)
        if rate is not None:
            options = {"X": X, "y": y, **fit_params}
            engine.prune(net, rate, data, epochs, **options)


def partial_fit(
    net: CoreNet,
    X: Any,
    y: Any,
    classes: Any,
    sensitive_features: Any,
    sample_weight: Any,
    **fit_params: Any,
) -> None:
    """Continue the training of the net, or train a new one if there is none.

    Parameters
    ----------
    net : CoreNet
        Net, initialized or not, pruned or not; an error changes nothing.
    X, y, classes, sensitive_features, sample_weight : array-like
        As `FairPrunedClassifier.partial_fit` takes them.
    **fit_params : dict
        For the module's ``forward`` and for ``train_split``; ``epochs`` sets their number.
    """
    net.check_training_readiness()
    check_parameters(net)
    epochs = check_epochs(fit_params.pop("epochs", net.max_epochs), "epochs")
    is_fresh = not net.initialized_
    given = Request(X, y, sensitive_features, sample_weight)
    check_groups_given(net, given.sensitive_features, ["before" if is_fresh else net.phase_])
    data = None
    if is_fresh or net.schema_ is None:
        known = net.classes if classes is None else classes
        schema, inputs, labels = learn(net, given, known)
    else:
        schema, data = encode(net, given)
    with unchanged_on_error(net, in_place=not is_fresh):
        adopt_schema(net, schema)
        if is_fresh:
            net.initialize()
        if data is None:
            adopt_schema(net, with_dtype(net, schema, inputs))
            data = encoded(net, known_schema(net), inputs, labels, given)
        if net.pruned_ is not None and not epochs:
            return
        check_constraints(net, [net.phase_])
        net.train(data, epochs, X, y, routed_as="partial_fit", **fit_params)


def prune(
    net: CoreNet,
    rate: float,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    finetune_epochs: int | None,
    recalibrate: bool,
) -> None:
    """Check a request to prune the dense net, and carry it out.

    Parameters
    ----------
    net : CoreNet
        Initialized net, pruned before or not; an error changes nothing.
    rate : float
        Share of the prunable weights to remove, in [0, 1).
    X, y, sensitive_features, sample_weight : array-like
        As `FairPrunedClassifier.prune` takes them.
    finetune_epochs : int or None
        Epochs of fine-tuning; None takes the net's parameter if data is given.
    recalibrate : bool
        Whether the averages of batch norms are recomputed on X.
    """
    net.check_is_fitted()
    net.check_training_readiness()
    check_parameters(net)
    rate = check_rate(rate)
    pruner = net.make_pruner()
    if X is None and finetune_epochs:
        raise ValueError(
            f"finetune_epochs={finetune_epochs} needs data to train on: pass X, y and "
            "sensitive_features"
        )
    if X is None and recalibrate:
        raise ValueError("recalibrate=True needs data to run the net on: pass X")
    if X is None:
        engine.prune(net, rate, None, 0)
        return
    needs_labels = bool(finetune_epochs) or pruner.needs_data
    if y is None and recalibrate and not needs_labels and not is_dataset(X):
        engine.prune(net, rate, net.get_dataset(X), 0, recalibrate=True)
        return
    epochs = check_epochs(net.finetune_epochs if finetune_epochs is None else finetune_epochs)
    given = Request(X, y, sensitive_features, sample_weight)
    phases: list[Phase] = ["after"] if epochs else []
    has_labels = given.y is not None or pruner.needs_data or not (epochs and can_follow(net))
    if has_labels:
        check_groups_given(net, given.sensitive_features, phases)
    schema, data = encode(net, given, has_labels)
    with unchanged_on_error(net):
        adopt_schema(net, schema)
        check_constraints(net, phases, has_labels)
        if not epochs:
            check_output(net, data)
        engine.prune(net, rate, data, epochs, recalibrate=recalibrate, X=X, y=y)
