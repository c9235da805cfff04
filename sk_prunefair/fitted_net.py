"""Predictions of a fitted net, and the report on the net before and after pruning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from skorch.utils import to_numpy
from torch import nn

from sk_prunefair.compression import compression_summary
from sk_prunefair.contenders import LATENCY_OPTIONS, form_of, net_latency
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.labels import quick_labels
from sk_prunefair.evaluation import Evaluation, evaluate
from sk_prunefair.latency import latency_options
from sk_prunefair.latency.reading import with_times
from sk_prunefair.losses import first_output, takes_one_logit
from sk_prunefair.net import Net
from sk_prunefair.net_parts import NetParts, known_groups
from sk_prunefair.outcome import Outcome
from sk_prunefair.outputs import as_probabilities, check_shape
from sk_prunefair.pruning.masks import empty_layers
from sk_prunefair.report import FairnessReport
from sk_prunefair.report.parts import add_up
from sk_prunefair.requests import Request, encode, known_schema
from sk_prunefair.theory import comparable, group_diagnostics


class FittedNet(Net):
    """A fitted net that predicts, and that can be compared with its dense net.

    Its methods do not change it; `FairPrunedClassifier` adds those that do.
    """

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
            If neither the criterion nor ``predict_nonlinearity`` defines probabilities for the
            module's output; the output itself is returned then.
        """
        self.check_is_fitted()
        nonlinearity = self._get_predict_nonlinearity()
        criterion = getattr(self, "criterion_", None)  # a trimmed net has none
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
        # skorch's scoring callbacks predict on a GroupDataset, whose labels are encoded.
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
        latency: bool | Mapping[str, Any] = False,
        random_state: int | np.random.RandomState | None = None,
        samples: bool = True,
    ) -> FairnessReport:
        """Compare the dense and the pruned net on the same data, group by group.

        Parameters
        ----------
        X, y : array-like
            Data, preferably held out from training, as in `fit`.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            The group of each sample, which may be new. None takes the groups
            in the items of X.
        control_features : array-like, default=None
            Compare groups within each level of these, as in `fairlearn.metrics.MetricFrame`.
        metrics : dict of str to callable, default=None
            More metrics ``f(y_true, y_pred)`` for the frames of both nets.
        n_boot, ci_quantiles, random_state : default=None
            Bootstrap intervals, as in `fairlearn.metrics.MetricFrame`.
        diagnostics : bool or dict, default=False
            Whether to compute possible reasons for harm as well, as
            `sk_prunefair.theory.group_diagnostics` does: some tens of passes over the data. A
            dict holds its options, such as ``{"max_samples": 500}``.
        latency : bool or dict, default=False
            Whether to measure how long a forward pass takes: of the dense net, of the pruned one
            ("masked" or "channels"), of its `sk_prunefair.export.sparse_module` ("sparse"),
            and of its ONNX files in floats and in integers ("onnx", "int8"), alternately, for 1
            and 64 samples, with one thread and all. Making these takes seconds, for a large net
            minutes. A dict holds options: ``contenders``, some of these names; ``batch_sizes``,
            ``threads``, ``n_rounds``, ``seconds`` as `sk_prunefair.latency.compare_latency` takes
            them; "sparse" is left out if choosing its layers would take longer than
            ``seconds``. ``{"contenders": ["dense", "masked"]}`` is fast. ``compression`` also has
            the seconds of both nets for one sample.
        samples : bool, default=True
            Whether the report keeps the results of both nets for each sample, some 80 bytes.
            Otherwise it is made as by `FairnessReport.from_parts`, which lists the results that
            need the samples.

        Returns
        -------
        FairnessReport
            Frames of both nets, excessive risk, fairness violation, accuracy gap, compression.
        """
        self.check_is_fitted()
        timing = latency_options(latency, LATENCY_OPTIONS)
        data = self.labelled_dataset(X, y)
        if sensitive_features is None and data.encode is None:
            sensitive_features = Request(X, y, None, None).sensitive_features
        options: dict[str, Any] = {
            "metrics": metrics,
            "n_boot": n_boot,
            "ci_quantiles": ci_quantiles,
            "random_state": random_state,
            "verbose": self.verbose,
        }
        wants_reasons = diagnostics is not False
        if not samples:
            if wants_reasons:
                raise ValueError(
                    "samples=False cannot be combined with diagnostics, which need the samples"
                )
            parts = NetParts(self, data, self._both(), sensitive_features, control_features)
            found = add_up(parts).arguments() | {"classes": parts.classes}
            return FairnessReport(**found, **self._saved(parts.example, data, timing), **options)
        seen = evaluate(self, data, *self._both(), keep_inputs=wants_reasons)
        dense, pruned = seen.outcomes[0], seen.outcomes[-1]
        if sensitive_features is None:
            sensitive_features = seen.said
        known_groups(sensitive_features)
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
            **self._saved(seen.example, data, timing),
            diagnostics=(
                self._diagnostics(seen, sensitive_features, diagnostics) if wants_reasons else None
            ),
            **options,
        )

    def _saved(self, example: Any, data: GroupDataset, timing: Any) -> dict[str, Any]:
        """Return the parts of a report on the net itself."""
        both = self.dense_module_, self.module_
        saved: pd.Series | None = compression_summary(*both, self.masks_, example)
        table = None
        if timing is not None:
            table = net_latency(self, data, **timing)
            saved = with_times(saved, table, "dense", form_of(self))
        return {"empty_layers": empty_layers(self.masks_), "compression": saved, "latency": table}

    def _both(self) -> list[nn.Module]:
        """Return the dense net, and the pruned one if there is one."""
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
        """Return data checked and encoded for an evaluation.

        Parameters
        ----------
        X, y : array-like
            As in `fit`.

        Returns
        -------
        GroupDataset
            Data with encoded labels, without groups. Labels that are only in the items of a data
            set are read with each batch.
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
            The same object twice if nothing was pruned.
        """
        found = self.outcomes(data, *self._both())
        return found[0], found[-1]
