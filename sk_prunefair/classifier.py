"""FairPrunedClassifier: train, prune, and report the effect on every group.

The class is built in four steps, each of which imports only those before it: `net_state` has
parameters and both nets, `net` runs and trains, `fitted_net` predicts and reports, and this file
has the methods that train and prune. Their steps are in `fitting`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils import Tags
from torch import nn

from sk_prunefair import fitting
from sk_prunefair.accelerated import adapted
from sk_prunefair.fitted_net import FittedNet
from sk_prunefair.pruning import Pruner


class FairPrunedClassifier(FittedNet):
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
        ``module__n_features`` and the like are set; where X is a dict, also ``n_<name>`` of
        each array: the columns of floats, one more than the largest of integers. An instance may be
        pretrained; it is copied, not changed. In the copy a transformer's cache is disabled.
    prune_rate : float in [0, 1), default=None
        Share of the weights, or of each layer's channels, that ``fit`` removes after training.
        None prunes nothing.
    pruner : str, Pruner or callable, default="magnitude"
        Which weights are removed: "magnitude" removes the smallest absolute values of the whole
        net, "layer_magnitude" those of each layer, "random" random ones; "taylor" and "snip" those
        whose removal changes the loss least, after training and at initialisation; "fairgrape" and
        "fairprune" measure that for each group; "channel_magnitude" and "channel_taylor" remove
        whole channels and filters, so that ``module_`` becomes a smaller net. Or an object with a
        method ``masks(module, rate)``, such as those in `sk_prunefair.pruning`, or a function from
        a module, and optionally a `sk_prunefair.pruning.PruningData`, to one score per weight.
        Biases and norms are not masked. A pruner that uses data needs it in `prune` too.
        Its options are parameters, too: ``pruner__min_kept=0.01``.
    finetune_epochs : int, default=0
        Epochs of training that ``fit``, or ``prune`` when given data, adds after pruning. All
        weights are removed before the first, unless ``callbacks`` hold a schedule, such as
        `sk_prunefair.pruning.IterativePruning` or `sk_prunefair.pruning.GradualPruning`.
    rewind_epoch : int, default=None
        Fine-tuning starts from the weights that the net had after that epoch of the dense
        training, 0 for its initial ones, with the masks of the trained net applied (Frankle,
        Dziugaite, Roy and Carbin, *Linear mode connectivity and the lottery ticket hypothesis*,
        ICML 2020). None starts from the trained weights.
    finetune_lr : float, default=None
        Learning rate of the fine-tuning; None takes that of the dense training, ``lr``.
    finetune_schedule : {"restart", "continue"}, default="restart"
        Whether learning rate schedules among the ``callbacks`` start anew with each fine-tuning,
        which is a training of its own, or continue where the dense training ended.
    autocast : {"bfloat16", None} or torch.bfloat16, default=None
        Precision that the module runs in, in training and afterwards, by `torch.autocast`. Weights,
        losses, masks, multipliers and the scores of pruners keep the module's precision.
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, shuffling, dropout and the split. With a seed, torch's global
        generator is not changed, and threads run one after the other; None uses that generator.
    **kwargs : dict
        Parameters of `skorch.NeuralNetClassifier`: ``criterion``, ``optimizer``, ``lr``,
        ``max_epochs``, ``batch_size``, ``train_split``, ``callbacks``, ``device``, ``verbose``,
        ``classes``, ``compile``, ``module__…``, ``optimizer__…`` and so on. As in skorch, the
        default criterion NLLLoss takes a module that returns probabilities; for logits pass
        ``criterion=torch.nn.CrossEntropyLoss``. Unlike in skorch, training data is shuffled, and
        ``train_split`` is stratified by label × group. Callbacks are used as given, not copied.
        With ``compile=True`` a compiled module runs, compiled again for a pruned net of other
        shapes; ``module_``, masks and files are those of the plain module.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    groups_ : pandas.Index or MultiIndex of shape (n_groups,)
        The groups seen in ``fit``; a MultiIndex where ``sensitive_features`` has columns.
    module_, dense_module_ : torch.nn.Module
        The current net, and the net before pruning; the same object where nothing was pruned.
    masks_ : dict of str to torch.Tensor
        Boolean masks by parameter name, of the shapes of the dense net, True where a weight is
        kept; empty before pruning.
    prune_rate_ : float
        The rate of the last ``prune``; 0.0 for the dense net.
    sparsity_ : float
        Share of the prunable weights that is removed, those that
        `sk_prunefair.pruning.prunable_parameters` lists.
    history : skorch.history.History
        One row per epoch of the current net: dense training, then fine-tuning. During
        a fine-tuning, callbacks see only its own rows, for example for "best" and "patience".

    See Also
    --------
    sk_prunefair.FairnessReport : What ``fairness_report`` returns.
    sk_prunefair.EqualLossConstraint : A callback that equalizes the groups' losses.

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
    >>> clf = clf.prune(0.9)
    >>> report = clf.fairness_report(digits.data, digits.target, sensitive_features=digits.target)
    >>> bool(report.fairness_violation > 0)
    True
    """

    # Every method with groups requests them under metadata routing, without set_fit_request.
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
        autocast: Literal["bfloat16"] | torch.dtype | None = None,
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
        self.autocast = autocast
        self.random_state = random_state

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adapted(cls)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> FairPrunedClassifier:
        """Train the dense net, then prune and fine-tune it if ``prune_rate`` is set.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), dict of arrays, torch or Arrow data set
            Features, one of:

            - An array, a DataFrame, a tensor, images with more axes. They become float32, or
              float64 where the module is of double precision. Integers stay integers where the
              module accepts them, for example if it embeds tokens. That is tried on two rows once
              the module is initialized, and stored. Rows of a sparse matrix are made dense batch
              by batch.
            - A dict of arrays, such as a `transformers.BatchEncoding` or a
              `skorch.helper.SliceDict`: the module gets ``module(**X)``. Integers stay integers,
              floats become the module's.
            - A torch Dataset of items ``X``, ``(X, y)``, ``(X, y, group)`` or dicts; ``X`` may be
              a tuple of inputs. Samples of different length need
              ``iterator_train__collate_fn`` and ``iterator_valid__collate_fn``, which get lists of
              items.
            - A `datasets.Dataset`: its columns of numbers go to the module by name, read batch by
              batch; choose them by ``X.select_columns``.
            - A `numpy.memmap`, or a dict of them: read, checked and cast batch by batch, not
              copied whole. For HDF5, Zarr and the like pass a torch dataset; one with
              ``__getitems__(rows)`` is called once per batch.

            In dicts and columns, ``labels`` and ``label`` are y and are not passed to the module.
        y : array-like of shape (n_samples,), default=None
            Labels, strings or integers. None takes the labels in X.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), \
                default=None
            The group of each sample; columns intersect. None takes the groups in the items of X,
            or else puts all samples into one group.
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
            If an argument is malformed; an earlier fit is then kept.
        """
        fitting.fit(self, X, y, sensitive_features, sample_weight, **fit_params)
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
        """Continue training for ``max_epochs`` epochs; a pruned net keeps its sparsity.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : array-like
            As in `fit`. The first call sets the classes and the groups; later calls may
            not add new ones.
        classes : array-like of shape (n_classes,), default=None
            All labels, if the data of the first call lacks some.
        **fit_params : dict
            As in `fit`; ``epochs`` instead of ``max_epochs``.

        Returns
        -------
        FairPrunedClassifier
            The fitted classifier.
        """
        fitting.partial_fit(self, X, y, classes, sensitive_features, sample_weight, **fit_params)
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
        """Remove a share of the dense net's weights and, given data, fine-tune the rest.

        Pruning always starts from the dense net: 0.9 after 0.5 equals 0.9 at once, and 0.0 restores
        the dense net. A fine-tuning is a training of its own: its learning rate schedules
        restart, and callbacks see a history of its own epochs only.

        Parameters
        ----------
        rate : float
            Share of the prunable weights to remove, in [0, 1).
        X, y, sensitive_features, sample_weight : array-like, default=None
            Data to fine-tune on, and for pruners that use data, as in `fit`. Groups may
            be given here for the first time. With `sk_prunefair.Distillation` among the callbacks,
            X alone is enough.
        finetune_epochs : int, default=None
            Epochs of fine-tuning. None takes the parameter of that name where data is given.
        recalibrate : bool, default=False
            Recompute the averages of batch norms on X after the weights are removed, before any
            fine-tuning. This needs X only, without labels.

        Returns
        -------
        FairPrunedClassifier
            This classifier, pruned.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        ValueError
            If an argument is malformed, or fine-tuning is requested without data. After this or
            any other error, the net is the one before the call.
        """
        fitting.prune(
            self, rate, X, y, sensitive_features, sample_weight, finetune_epochs, recalibrate
        )
        return self
