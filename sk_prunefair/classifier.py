"""FairPrunedClassifier: train, prune, and see what that did to every group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from sk_prunefair._inputs import InputChecks
from sk_prunefair.checks import check_epochs, check_rate
from sk_prunefair.compression import compression_summary
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.net import LogProbabilities
from sk_prunefair.pruned_net import PrunedNet
from sk_prunefair.pruning import Pruner, expand_module, get_pruner
from sk_prunefair.report.report import FairnessReport
from sk_prunefair.theory import group_diagnostics


class FairPrunedClassifier(InputChecks, PrunedNet):
    """A PyTorch classifier that is trained the scikit-learn way, pruned, and audited by group.

    It is a `skorch.NeuralNetClassifier` and takes all of its parameters. ``fit`` trains the dense
    net, ``prune`` removes a share of its weights, ``fairness_report`` compares the two nets group
    by group.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        A net whose ``forward`` takes X and returns one score per class, shape
        (n_samples, n_classes). A class whose ``__init__`` takes ``n_features`` (the number of
        values per sample) or ``n_classes`` gets them from the data, unless ``module__n_features``
        and the like say otherwise. An instance may be pretrained; it is copied, never changed.
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
    finetune_epochs : int, default=0
        Epochs of training that ``fit``, or ``prune`` when given data, adds after pruning. All
        weights go before the first, unless ``callbacks`` hold a schedule, such as
        `sk_prunefair.pruning.IterativePruning` or `sk_prunefair.pruning.GradualPruning`.
    rewind_epoch : int, default=None
        Fine-tuning starts from the weights that the net had after that epoch of the dense
        training, 0 for its initial ones, where the masks of the trained net are put on (Frankle,
        Dziugaite, Roy and Carbin, *Linear mode connectivity and the lottery ticket hypothesis*,
        ICML 2020). None starts from the trained weights.
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, shuffling, dropout and the split. With a seed, torch's global
        generator is left untouched; with None it is the one that is used.
    **kwargs : dict
        Parameters of `skorch.NeuralNetClassifier`: ``criterion``, ``optimizer``, ``lr``,
        ``max_epochs``, ``batch_size``, ``train_split``, ``callbacks``, ``device``, ``verbose``,
        ``classes``, ``module__…``, ``optimizer__…`` and so on. As in skorch, the default criterion
        NLLLoss takes a module that returns probabilities; for logits pass
        ``criterion=torch.nn.CrossEntropyLoss``. Unlike in skorch, training data is shuffled,
        ``train_split`` is stratified by label × group, and the criterion's ``reduction`` is
        always the (weighted) mean over samples.

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
        Share of the prunable weights that is removed.
    history : skorch.history.History
        One row per epoch of the net as it is: dense training, then fine-tuning.

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
        random_state: int | np.random.RandomState | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.prune_rate = prune_rate
        self.pruner = pruner
        self.finetune_epochs = finetune_epochs
        self.rewind_epoch = rewind_epoch
        self.random_state = random_state

    # ---------------------------------------------------------------- training

    def fit(
        self, X: Any, y: Any = None, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> FairPrunedClassifier:
        """Train the dense net, then prune and fine-tune it if ``prune_rate`` says so.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or torch.utils.data.Dataset
            Features: array, DataFrame, tensor, images with more axes; turned into float32. A
            Dataset yields ``(X, y)`` and goes to the module as it is.
        y : array-like of shape (n_samples,), default=None
            Labels, strings or integers. May be None where X is a Dataset that yields them.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            The group of each sample; columns intersect. None puts everybody into one group.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples in the loss.

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
        get_pruner(self.pruner)
        with self._intact_on_error():
            data = self._training_data(X, y, sensitive_features, sample_weight, reset=True)
            if not (self.warm_start and self.initialized_):
                self.initialize()
            self.check_output(data)
            self.check_constraints("before")
            if rate is not None and epochs:
                self.check_constraints("after")
            self.check_plan(epochs)
        self._restore_dense()
        self._train(data, self.max_epochs)
        if rate is not None:
            self._prune(rate, data, epochs)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: Any = None,
    ) -> FairPrunedClassifier:
        """Train on for ``max_epochs`` epochs; a pruned net stays as sparse as it is.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : array-like
            As in `fit`. The first call decides on the classes and the groups; later calls may
            not bring new ones.
        classes : array-like of shape (n_classes,), default=None
            All labels, where the first call does not hold them all.

        Returns
        -------
        FairPrunedClassifier
            The fitted classifier.
        """
        is_fresh = not self.initialized_
        with self._intact_on_error():
            data = self._training_data(X, y, sensitive_features, sample_weight, is_fresh, classes)
            if is_fresh:
                self.initialize()
            self.check_output(data)
            self.check_constraints(self.phase_)
        self._train(data, self.max_epochs)
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
        the dense net back.

        Parameters
        ----------
        rate : float
            Share of the weights to remove, in [0, 1).
        X, y, sensitive_features, sample_weight : array-like, default=None
            Data to fine-tune on, and for the pruner where it looks at data, as in `fit`.
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
            If an argument is malformed, or fine-tuning is asked for without data; the net is then
            as it was.
        """
        self.check_is_fitted()
        rate = check_rate(rate)
        pruner = get_pruner(self.pruner)
        needs_labels = bool(finetune_epochs) or getattr(pruner, "needs_data", False)
        if X is None and finetune_epochs:
            raise ValueError(
                f"finetune_epochs={finetune_epochs} needs data to train on: pass X, y and "
                "sensitive_features"
            )
        if X is None and recalibrate:
            raise ValueError("recalibrate=True needs data to measure on: pass X")
        if X is None:
            self._prune(rate, None, 0)
            return self
        if y is None and recalibrate and not needs_labels and not isinstance(X, Dataset):
            inputs = self._check_inputs(X)
            data, epochs = self._dataset(inputs, np.zeros(len(inputs), dtype=np.int64)), 0
        else:
            if finetune_epochs is None:
                finetune_epochs = self.finetune_epochs
            epochs = check_epochs(finetune_epochs)
            with self._intact_on_error():
                data = self._training_data(X, y, sensitive_features, sample_weight, reset=False)
                self.check_output(data)
                if epochs:
                    self.check_constraints("after")
        self._prune(rate, data, epochs, recalibrate)
        return self

    # -------------------------------------------------------------- prediction

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or torch.utils.data.Dataset
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
            Columns in the order of ``classes_``; rows sum to 1.
        """
        self.check_is_fitted()
        nonlinearity = self._get_predict_nonlinearity()
        outputs = [
            output[0] if isinstance(output, tuple) else output
            for output in self.forward_iter(self.get_dataset(X))
        ]
        # fairlearn and pandas ask for float64; the sums are then 1 to float64's precision too.
        proba = nonlinearity(torch.cat(outputs).double()).numpy()
        sums = proba.sum(axis=1, keepdims=True)
        return proba / sums if np.allclose(sums, 1, atol=1e-3) else proba

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or torch.utils.data.Dataset
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        codes = self.predict_proba(X).argmax(axis=1)
        # skorch's scoring callbacks predict on our own data, whose labels are encoded.
        return codes if isinstance(X, GroupDataset) else self.classes_[codes]

    # ------------------------------------------------------------------ report

    def fairness_report(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any,
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
            The group of each sample; groups that ``fit`` has not seen are welcome.
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
        data = self._labelled_data(X, y)
        dense_losses, dense_labels = self.evaluate(self.dense_module_, data)
        pruned_losses, pruned_labels = dense_losses, dense_labels
        if self.pruning_ is not None:
            pruned_losses, pruned_labels = self.evaluate(self.module_, data)
        classes = self.classes_
        example, _ = data.__getitems__([0])
        return FairnessReport(
            classes[data.y],
            dense_pred=classes[dense_labels],
            pruned_pred=classes[pruned_labels],
            dense_losses=dense_losses,
            pruned_losses=pruned_losses,
            sensitive_features=sensitive_features,
            control_features=control_features,
            metrics=metrics,
            compression=compression_summary(
                self.dense_module_,
                self.module_,
                self.masks_,
                example["X"].to(self.device),
                latency,
            ),
            diagnostics=(
                self._diagnostics(data, sensitive_features, diagnostics)
                if diagnostics is not False
                else None
            ),
            n_boot=n_boot,
            ci_quantiles=ci_quantiles,
            random_state=random_state,
        )

    def _diagnostics(
        self, data: GroupDataset, sensitive_features: Any, options: bool | Mapping[str, Any]
    ) -> pd.DataFrame:
        X = torch.cat([batch["X"] for batch, _ in self.get_iterator(data, training=False)])
        dense, pruned, criterion = self.dense_module_, self.module_, self.criterion_
        if self.pruning_ is not None and self.pruning_.kept is not None:
            pruned = expand_module(dense, pruned, self.pruning_.kept)
        if self._takes_probabilities():
            dense, pruned, criterion = LogProbabilities(dense), LogProbabilities(pruned), None
        return group_diagnostics(
            dense,
            pruned,
            X,
            data.y,
            sensitive_features,
            criterion=criterion,
            **(
                {"random_state": self.seed_ or 0, "verbose": self.verbose}
                | (dict(options) if isinstance(options, Mapping) else {})
            ),
        )
