"""FairPrunedClassifier: train, prune, and see what that did to every group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import Tags
from skorch.utils import to_numpy
from torch import nn

from sk_prunefair.checks import check_epochs, check_rate
from sk_prunefair.compression import compression_summary
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.labels import quick_labels
from sk_prunefair.evaluation import Evaluation, evaluate
from sk_prunefair.hooks import Phase
from sk_prunefair.losses import first_output, takes_one_logit
from sk_prunefair.net import Net
from sk_prunefair.outcome import Outcome
from sk_prunefair.outputs import as_probabilities, check_output, check_shape
from sk_prunefair.pruning import Pruner, engine
from sk_prunefair.pruning.masks import empty_layers
from sk_prunefair.report import FairnessReport
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
from sk_prunefair.theory import comparable, group_diagnostics


class FairPrunedClassifier(Net):
    """A PyTorch classifier that is trained the scikit-learn way, pruned, and audited by group.

    It is a `skorch.NeuralNetClassifier` and takes all of its parameters. ``fit`` trains the dense
    net, ``prune`` removes a share of its weights, ``fairness_report`` compares the two nets group
    by group.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        A net whose ``forward`` takes X and returns one score per class, shape
        (n_samples, n_classes); a tuple whose first entry is that, or a dict (such as transformers'
        ``ModelOutput``) whose ``logits`` are; or, for two classes with the criterion
        BCEWithLogitsLoss, one logit per sample. A class whose ``__init__`` takes ``n_features``
        (the number of values per sample) or ``n_classes`` gets them from the data, unless
        ``module__n_features`` and the like say otherwise; where X is a dict, also ``n_<name>`` of
        each array: the columns of floats, one more than the largest of integers. An instance may be
        pretrained; it is copied, never changed. A transformer's cache is switched off in the copy.
    prune_rate : float in [0, 1), default=None
        Share of the weights, or of each layer's channels, that ``fit`` removes after training.
        None prunes nothing.
    pruner : str, Pruner or callable, default="magnitude"
        Which weights go: "magnitude" removes the smallest absolute values over the whole net,
        "layer_magnitude" those of each layer, "random" any; "taylor" and "snip" those without
        which the loss changes least, as it is trained and at initialisation; "fairgrape" and
        "fairprune" ask that for each group; "channel_magnitude" and "channel_taylor" remove whole
        channels and filters, so that ``module_`` becomes a smaller net. Or an object with a method
        ``masks(module, rate)``, such as those in `sk_prunefair.pruning`, or a function from a
        module, and optionally a `sk_prunefair.pruning.PruningData`, to one score per weight.
        Masks leave biases and norms alone. A pruner that looks at data needs it in `prune` too.
        Its options are parameters, too: ``pruner__min_kept=0.01``.
    finetune_epochs : int, default=0
        Epochs of training that ``fit``, or ``prune`` when given data, adds after pruning. All
        weights go before the first, unless ``callbacks`` hold a schedule, such as
        `sk_prunefair.pruning.IterativePruning` or `sk_prunefair.pruning.GradualPruning`.
    rewind_epoch : int, default=None
        Fine-tuning starts from the weights that the net had after that epoch of the dense
        training, 0 for its initial ones, where the masks of the trained net are put on (Frankle,
        Dziugaite, Roy and Carbin, *Linear mode connectivity and the lottery ticket hypothesis*,
        ICML 2020). None starts from the trained weights.
    finetune_lr : float, default=None
        Learning rate of the fine-tuning; None takes that of the dense training, ``lr``.
    finetune_schedule : {"restart", "continue"}, default="restart"
        Whether learning rate schedules among the ``callbacks`` start anew with each fine-tuning,
        which is a training of its own, or go on where the dense training ended.
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, shuffling, dropout and the split. With a seed, torch's global
        generator is left untouched, and threads take turns; with None it is the one that is used.
    **kwargs : dict
        Parameters of `skorch.NeuralNetClassifier`: ``criterion``, ``optimizer``, ``lr``,
        ``max_epochs``, ``batch_size``, ``train_split``, ``callbacks``, ``device``, ``verbose``,
        ``classes``, ``module__…``, ``optimizer__…`` and so on. As in skorch, the default criterion
        NLLLoss takes a module that returns probabilities; for logits pass
        ``criterion=torch.nn.CrossEntropyLoss``. Unlike in skorch, training data is shuffled, and
        ``train_split`` is stratified by label × group. Callbacks are the user's own objects.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    groups_ : pandas.Index or MultiIndex of shape (n_groups,)
        The groups seen in ``fit``; a MultiIndex where ``sensitive_features`` has columns.
    module_, dense_module_ : torch.nn.Module
        The net as it is, and the net before pruning; the same where nothing was pruned.
    masks_ : dict of str to torch.Tensor
        Boolean masks by parameter name, of the shapes of the dense net, True where a weight is
        kept; empty before pruning.
    prune_rate_ : float
        The rate of the last ``prune``; 0.0 for the dense net.
    sparsity_ : float
        Share of the prunable weights that is removed, those that
        `sk_prunefair.pruning.prunable_parameters` lists.
    history : skorch.history.History
        One row per epoch of the net as it is: dense training, then fine-tuning. In the middle of
        a fine-tuning, callbacks see the rows of that alone: "best" and "patience" count those.

    See Also
    --------
    sk_prunefair.FairnessReport : What ``fairness_report`` returns.
    sk_prunefair.EqualLossConstraint : A callback that keeps the groups' losses together.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP, criterion=torch.nn.CrossEntropyLoss, lr=0.5, verbose=0, random_state=0
    ... )
    >>> clf = clf.fit(digits.data, digits.target, sensitive_features=digits.target)
    >>> clf.prune(0.9).sparsity_.__round__(3)
    0.9
    >>> report = clf.fairness_report(digits.data, digits.target, sensitive_features=digits.target)
    >>> bool(report.fairness_violation > 0)
    True
    """

    # Every call that can use groups asks for them; nobody has to call set_fit_request.
    __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012
    __metadata_request__partial_fit = {"sensitive_features": True}  # noqa: RUF012

    def __init__(
        self,
        module: type[nn.Module] | nn.Module,
        *,
        prune_rate: float | None = None,
        pruner: str | Pruner | Callable[[nn.Module], Any] = "magnitude",
        finetune_epochs: int = 0,
        rewind_epoch: int | None = None,
        finetune_lr: float | None = None,
        finetune_schedule: Literal["restart", "continue"] = "restart",
        random_state: int | np.random.RandomState | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.prune_rate = prune_rate
        self.pruner = pruner
        self.finetune_epochs = finetune_epochs
        self.rewind_epoch = rewind_epoch
        self.finetune_lr = finetune_lr
        self.finetune_schedule = finetune_schedule
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---------------------------------------------------------------- training

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> FairPrunedClassifier:
        """Train the dense net, then prune and fine-tune it if ``prune_rate`` says so.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), dict of arrays, torch or Arrow data set
            Features, one of:

            - An array, a DataFrame, a tensor, images with more axes. They become float32, or
              float64 where the module is of double precision. Integers stay integers where the
              module runs on them as they are: where it embeds tokens, for instance. That is tried
              on two rows when the module is there, and remembered. Rows of a sparse matrix are made
              dense batch by batch.
            - A dict of arrays, such as a `transformers.BatchEncoding` or a
              `skorch.helper.SliceDict`: the module gets ``module(**X)``. Integers stay integers,
              floats become the module's.
            - A torch Dataset of items ``X``, ``(X, y)``, ``(X, y, group)`` or dicts; ``X`` may be
              a tuple of inputs. Samples of different length need
              ``iterator_train__collate_fn`` and ``iterator_valid__collate_fn``, which see lists of
              items.
            - A `datasets.Dataset`: its columns of numbers go to the module by name, read batch by
              batch; ``X.select_columns`` says which.

            In dicts and columns, ``labels`` and ``label`` are y and never reach the module.
        y : array-like of shape (n_samples,), default=None
            Labels, strings or integers. None takes those that X holds.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            The group of each sample; columns intersect. None takes those that the items of X hold,
            or else puts everybody into one group.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples in the loss.
        **fit_params : dict
            For the module's ``forward`` and for ``train_split``, as in skorch.

        Returns
        -------
        FairPrunedClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If an argument is malformed; what was fitted before is then still there.
        """
        rate = None if self.prune_rate is None else check_rate(self.prune_rate, "prune_rate")
        epochs = check_epochs(self.finetune_epochs)
        check_parameters(self)
        given = Request(X, y, sensitive_features, sample_weight)
        phases: list[Phase] = ["before", "after"] if rate is not None and epochs else ["before"]
        check_groups_given(self, given.sensitive_features, phases)
        schema, inputs, labels = learn(self, given, self.classes)
        is_warm = bool(self.warm_start and self.initialized_)
        with unchanged_on_error(self, in_place=is_warm):
            adopt_schema(self, schema)
            if is_warm:
                engine.restore_dense(self)
            else:
                self.initialize()
            adopt_schema(self, with_dtype(self, schema, inputs))
            data = encoded(self, known_schema(self), inputs, labels, given)
            check_constraints(self, phases)
            engine.check_request(self, epochs)
            self.train(data, self.max_epochs, X, y, **fit_params)
            if rate is not None:
                options = {"X": X, "y": y, **fit_params}
                engine.prune(self, rate, data, epochs, **options)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> FairPrunedClassifier:
        """Train on for ``max_epochs`` epochs; a pruned net stays as sparse as it is.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : array-like
            As in `fit`. The first call decides on the classes and the groups; later calls may
            not bring new ones.
        classes : array-like of shape (n_classes,), default=None
            All labels, where the first call does not hold them all.
        **fit_params : dict
            As in `fit`; ``epochs`` in the place of ``max_epochs``.

        Returns
        -------
        FairPrunedClassifier
            The fitted classifier.
        """
        self.check_training_readiness()
        check_parameters(self)
        epochs = check_epochs(fit_params.pop("epochs", self.max_epochs), "epochs")
        is_fresh = not self.initialized_
        given = Request(X, y, sensitive_features, sample_weight)
        check_groups_given(self, given.sensitive_features, ["before" if is_fresh else self.phase_])
        data = None
        if is_fresh or self.schema_ is None:
            known = self.classes if classes is None else classes
            schema, inputs, labels = learn(self, given, known)
        else:
            schema, data = encode(self, given)
        with unchanged_on_error(self, in_place=not is_fresh):
            adopt_schema(self, schema)
            if is_fresh:
                self.initialize()
            if data is None:
                adopt_schema(self, with_dtype(self, schema, inputs))
                data = encoded(self, known_schema(self), inputs, labels, given)
            if self.pruned_ is not None and not epochs:
                return self
            check_constraints(self, [self.phase_])
            self.train(data, epochs, X, y, routed_as="partial_fit", **fit_params)
        return self

    def prune(
        self,
        rate: float,
        X: Any = None,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: Any = None,
        finetune_epochs: int | None = None,
        recalibrate: bool = False,
    ) -> FairPrunedClassifier:
        """Remove a share of the dense net's weights and, given data, fine-tune what is left.

        Pruning always starts from the dense net: 0.9 after 0.5 equals 0.9 at once, and 0.0 gives
        the dense net back. A fine-tuning is a training of its own: its learning rate schedules
        start anew, and callbacks see a history of its epochs alone.

        Parameters
        ----------
        rate : float
            Share of the prunable weights to remove, in [0, 1).
        X, y, sensitive_features, sample_weight : array-like, default=None
            Data to fine-tune on, and for the pruner where it looks at data, as in `fit`. Groups may
            be given here for the first time. With `sk_prunefair.Distillation` among the callbacks,
            X alone is enough.
        finetune_epochs : int, default=None
            Epochs of fine-tuning. None takes the parameter of that name where data is given.
        recalibrate : bool, default=False
            Measure the averages of batch norms again on X once weights are gone, before any
            fine-tuning. X alone is enough then, without labels.

        Returns
        -------
        FairPrunedClassifier
            This classifier, pruned.

        Raises
        ------
        NotFittedError
            If there is no net yet.
        ValueError
            If an argument is malformed, or fine-tuning is asked for without data. After this, or
            whatever the fine-tuning raises, the net is as it was.
        """
        self.check_is_fitted()
        self.check_training_readiness()
        check_parameters(self)
        rate = check_rate(rate)
        pruner = self.make_pruner()
        if X is None and finetune_epochs:
            raise ValueError(
                f"finetune_epochs={finetune_epochs} needs data to train on: pass X, y and "
                "sensitive_features"
            )
        if X is None and recalibrate:
            raise ValueError("recalibrate=True needs data to measure on: pass X")
        if X is None:
            engine.prune(self, rate, None, 0)
            return self
        needs_labels = bool(finetune_epochs) or pruner.needs_data
        if y is None and recalibrate and not needs_labels and not is_dataset(X):
            engine.prune(self, rate, self.get_dataset(X), 0, recalibrate=True)
            return self
        epochs = check_epochs(self.finetune_epochs if finetune_epochs is None else finetune_epochs)
        given = Request(X, y, sensitive_features, sample_weight)
        phases: list[Phase] = ["after"] if epochs else []
        has_labels = given.y is not None or pruner.needs_data or not (epochs and can_follow(self))
        if has_labels:
            check_groups_given(self, given.sensitive_features, phases)
        schema, data = encode(self, given, has_labels)
        with unchanged_on_error(self):
            adopt_schema(self, schema)
            check_constraints(self, phases, has_labels)
            if not epochs:
                check_output(self, data)
            engine.prune(self, rate, data, epochs, recalibrate=recalibrate, X=X, y=y)
        return self

    # -------------------------------------------------------------- prediction

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), dict of arrays or torch.utils.data.Dataset
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
            Columns in the order of ``classes_``; rows sum to 1.

        Warns
        -----
        UserWarning
            If neither the criterion nor ``predict_nonlinearity`` says how to make probabilities of
            what the module returns; that is returned then.
        """
        self.check_is_fitted()
        nonlinearity = self._get_predict_nonlinearity()
        criterion = getattr(self, "criterion_", None)  # none is left of a trimmed net
        outputs = []
        for output in self.forward_iter(X):
            scores = first_output(output)
            if criterion is not None and self.predict_nonlinearity == "auto":
                check_shape(self, scores, len(scores))
            scores = scores.flatten() if takes_one_logit(criterion) else scores
            outputs.append(nonlinearity(scores.double()))
        return as_probabilities(self, np.concatenate([to_numpy(out) for out in outputs]))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), dict of arrays or torch.utils.data.Dataset
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        codes = self.predict_proba(X).argmax(axis=1)
        # skorch's scoring callbacks predict on our own data, whose labels are encoded.
        if isinstance(X, GroupDataset) or self.is_scored_from_cache:
            return codes
        return known_schema(self).decode(codes)

    # ------------------------------------------------------------------ report

    def fairness_report(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        control_features: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        n_boot: int | None = None,
        ci_quantiles: list[float] | None = None,
        diagnostics: bool | Mapping[str, Any] = False,
        latency: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> FairnessReport:
        """Compare the dense and the pruned net on the same data, group by group.

        Parameters
        ----------
        X, y : array-like
            Data, best held out from training, as in `fit`.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            The group of each sample; groups that ``fit`` has not seen are welcome. None takes those
            that the items of X hold.
        control_features : array-like, default=None
            Compare groups within each level of these, as in `fairlearn.metrics.MetricFrame`.
        metrics : dict of str to callable, default=None
            More metrics ``f(y_true, y_pred)`` for the frames of both nets.
        n_boot, ci_quantiles, random_state : default=None
            Bootstrap intervals, as in `fairlearn.metrics.MetricFrame`.
        diagnostics : bool or dict, default=False
            Whether to compute why groups are hurt as well, as
            `sk_prunefair.theory.group_diagnostics` does: some tens of passes over the data. A
            dict holds its options, such as ``{"max_samples": 500}``.
        latency : bool, default=False
            Whether ``compression`` has the seconds that each net takes for one sample.

        Returns
        -------
        FairnessReport
            Frames of both nets, excessive risk, fairness violation, accuracy gap, compression.
        """
        self.check_is_fitted()
        data = self.labelled_dataset(X, y)
        if sensitive_features is None and data.encode is None:
            sensitive_features = Request(X, y, None, None).sensitive_features
        wants_reasons = diagnostics is not False
        seen = evaluate(self, data, *self._both(), keep_inputs=wants_reasons)
        dense, pruned = seen.outcomes[0], seen.outcomes[-1]
        if sensitive_features is None:
            sensitive_features = seen.said
        if sensitive_features is None:
            raise ValueError(
                "sensitive_features must be given, or X yield (X, y, group): the group of each "
                "sample"
            )
        schema = known_schema(self)
        return FairnessReport(
            schema.decode(dense.truth),
            dense_pred=schema.decode(dense.labels),
            pruned_pred=schema.decode(pruned.labels),
            dense_losses=dense.losses,
            pruned_losses=pruned.losses,
            dense_scores=dense.scores,
            pruned_scores=pruned.scores,
            classes=(
                None if dense.scores is None else schema.decode(np.arange(dense.scores.shape[1]))
            ),
            sensitive_features=sensitive_features,
            control_features=control_features,
            metrics=metrics,
            empty_layers=empty_layers(self.masks_),
            compression=compression_summary(
                self.dense_module_,
                self.module_,
                self.masks_,
                seen.example,
                latency,
            ),
            diagnostics=(
                self._diagnostics(seen, sensitive_features, diagnostics) if wants_reasons else None
            ),
            n_boot=n_boot,
            ci_quantiles=ci_quantiles,
            random_state=random_state,
        )

    def _both(self) -> list[nn.Module]:
        """Return the dense net, and the pruned one where there is one."""
        return [self.module_] if self.pruned_ is None else [self.dense_module_, self.module_]

    def _diagnostics(
        self, seen: Evaluation, sensitive_features: Any, options: bool | Mapping[str, Any]
    ) -> pd.DataFrame:
        dense, pruned, criterion = comparable(self)
        own = {"random_state": self.seed_ or 0, "verbose": self.verbose}
        given = dict(options) if isinstance(options, Mapping) else {}
        return group_diagnostics(
            dense,
            pruned,
            seen.inputs,
            seen.outcomes[0].truth,
            sensitive_features,
            criterion=criterion,
            **(own | given),
        )

    def labelled_dataset(self, X: Any, y: Any = None) -> GroupDataset:
        """Return data as it is evaluated on, checked and encoded.

        Parameters
        ----------
        X, y : array-like
            As in `fit`.

        Returns
        -------
        GroupDataset
            Of encoded labels, without groups. Those of a data set whose items must be read for them
            are read with each batch.
        """
        if y is None and is_dataset(X) and quick_labels(X) is None:
            schema = known_schema(self)
            inputs = schema.check_inputs(X, self.scratch())
            return GroupDataset(inputs, encode=schema.encode_items)
        return encode(self, Request(X, y, None, None))[1]

    def compared(self, data: GroupDataset) -> tuple[Outcome, Outcome]:
        """Run the dense and the pruned net over the same batches of labelled data.

        Parameters
        ----------
        data : GroupDataset
            As `labelled_dataset` returns it.

        Returns
        -------
        dense, pruned : Outcome
            The same object twice where nothing was pruned.
        """
        found = self.outcomes(data, *self._both())
        return found[0], found[-1]
