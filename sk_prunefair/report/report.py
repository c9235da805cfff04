"""FairnessReport: the effect of compression on each group."""

from __future__ import annotations

from os import PathLike
from typing import Any

from sk_prunefair.audit import audit_page
from sk_prunefair.plotting import GroupRiskDisplay
from sk_prunefair.report.document import read, to_dict, to_json
from sk_prunefair.report.documented import DocumentedReport
from sk_prunefair.report.model_card import model_card
from sk_prunefair.report.predicted import PredictedReport
from sk_prunefair.report.text import report_html, report_text


class FairnessReport(DocumentedReport, PredictedReport):
    """Results of a dense and a compressed model on the same data, side by side, by group.

    It is made by `FairPrunedClassifier.fairness_report` for a net and its pruned net, by
    `sk_prunefair.compare_models` for any two models, and by `from_predictions` from predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    dense_pred, pruned_pred : array-like of shape (n_samples,)
        Predicted labels of the two nets, of the same kind as `y_true`: strings with strings,
        numbers with numbers, and no probabilities with integers.
    dense_losses, pruned_losses : array-like of shape (n_samples,), default=None
        Per-sample losses of the two nets. Without them, results that need losses are None, and
        missing from frames.
    dense_scores, pruned_scores : array-like of shape (n_samples, n_classes), default=None
        Probabilities of the two nets.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns of scores; None takes the occurring labels, sorted.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    control_features : array-like, default=None
        Groups are compared within each level of these.
    metrics : dict of str to callable, default=None
        Further metrics ``f(y_true, y_pred)``, for a `fairlearn.metrics.MetricFrame`. A metric
        with a parameter ``y_score``, ``y_proba`` or ``y_prob`` gets probabilities: for two
        labels those of the larger, else all columns; it is left out if there are none.
    compression : pandas.Series, default=None
        Savings by pruning.
    latency : pandas.DataFrame, default=None
        Latency of the models, as `sk_prunefair.latency.compare_latency` returns it.
    diagnostics : pandas.DataFrame, default=None
        Possible reasons for harm, by group, as `sk_prunefair.theory.group_diagnostics` returns
        them.
    empty_layers : sequence of str, default=()
        Parameters whose weights are all removed.
    names : pair of str, default=("dense", "pruned")
        Names of the two models, in columns and sentences.
    n_boot, ci_quantiles, random_state : default=None
        Bootstrap intervals, as in `fairlearn.metrics.MetricFrame`. The change between the nets is
        resampled in pairs: both nets get the same samples. With ``metrics`` the frames of the nets
        are fairlearn's, for which a draw of 16,000 samples takes about half a second. Quantiles of
        a mean loss are too narrow for groups of fewer than about 50 samples, and those of a largest
        difference too high for equal groups (``benchmarks/studies/intervals/page.md``).
    verbose : int, default=1
        0 shows no progress bar of that bootstrap; none is shown either without a terminal.
    kinds : Kinds, default=None
        Number of samples that each row represents, from `from_parts`; None means one.

    Attributes
    ----------
    dense, pruned : fairlearn.metrics.MetricFrame
        ``accuracy``, ``loss``, ``count`` and the user's metrics of each net. Without user metrics,
        they and ``change`` are computed on first access, from the sums of each group.
    change : fairlearn.metrics.MetricFrame
        Means over samples of ``excessive_risk`` and ``accuracy_drop``.
    cells : Cells
        The group of each sample as a number, within the levels of control features.
    compressed : fairlearn.metrics.MetricFrame
        The same as ``pruned``, for models that were not pruned.
    excessive_risk : pandas.Series or None
        R(a), the increase of a group's loss by pruning, by group (eq. 2 of the paper).
    fairness_violation : float or None
        ξ, the largest minus the smallest excessive risk (eq. 3). With control features, the
        largest over their levels.
    accuracy_gap : pandas.Series
        Largest minus smallest group accuracy, by the names of the two. With control features, the
        largest over their levels.
    accuracy_gap_floor : pandas.Series
        The gap expected from sampling alone, if all groups had the same accuracy:
        `sk_prunefair.metrics.accuracy_gap_floor` of each net.
    accuracy_drop : pandas.Series
        Accuracy lost by each group, dense minus pruned.
    findings : list of str
        Findings beyond averages: the pruned net predicts one label for all samples, or no longer
        predicts a label of the dense net, or layers have no weights. Empty if there are none.
    outcomes : tuple of Outcome
        Dense and pruned, encoded by ``labels``.
    sensitive_features, control_features : pandas.DataFrame
        As given, as columns; the second is None if there are none.
    compression : pandas.Series or None
        As given.
    latency : pandas.DataFrame or None
        As given: by contender, batch size and number of threads.
    diagnostics : pandas.DataFrame or None
        As given.
    class_errors : pandas.DataFrame
        False positive and false negative rates of each class, as by
        `sk_prunefair.metrics.class_errors`; its ``attrs`` hold CEV and SDE of Blakeney et al.
    names : Names
        As given.
    labels : ndarray of shape (n_labels,)
        Labels of the codes of ``outcomes``, and of the columns of their scores.
    samples : pandas.DataFrame
        By sample: ``y_true``, ``is_right_dense``, ``is_right_pruned``, ``loss_dense``,
        ``loss_pruned``, ``group`` and ``level`` (of the control features, else None).

    Examples
    --------
    >>> report = FairnessReport(
    ...     [0, 1, 0, 1],
    ...     dense_pred=[0, 1, 0, 1],
    ...     pruned_pred=[0, 1, 1, 1],
    ...     dense_losses=[0.1, 0.1, 0.2, 0.2],
    ...     pruned_losses=[0.2, 0.2, 0.9, 0.3],
    ...     sensitive_features=["a", "a", "b", "b"],
    ... )
    >>> report.excessive_risk.round(3).to_dict()
    {'a': 0.1, 'b': 0.4}
    >>> round(report.fairness_violation, 3)
    0.3
    """

    def to_html(self, path: str | PathLike[str] | None = None, **options: Any) -> str:
        """Return the report as one HTML page for readers without Python, and write it to a file.

        It has the options of `sk_prunefair.audit.audit_page`: ``title``, ``curve``, ``slices``,
        ``promise``, ``acceptance``, ``monitor``, ``facts``, ``min_count`` and ``pictures``, which
        need matplotlib, the extra ``plot``.
        """
        return audit_page(self, path if self.writes_files else None, **options)

    def to_dict(self, *, samples: bool = False) -> dict[str, Any]:
        """Return all figures as dicts, lists, strings and numbers, each with its n and interval.

        Parameters
        ----------
        samples : bool, default=False
            Whether to add the samples of the report, row by row.
        """
        return to_dict(self, samples)

    def to_json(
        self, path: str | PathLike[str] | None = None, *, samples: bool | None = None
    ) -> str:
        """Return `to_dict` as a JSON document, and write it to a file.

        `sk_prunefair.report.document.schema` has the JSON schema.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write, in UTF-8.
        samples : bool, default=None
            Whether labels, predictions, losses, probabilities and groups are added row by row,
            which `from_json` needs. Without them the document has only figures. None adds them
            if the report has them, which is so unless it was made by `from_parts`.
        """
        return to_json(self, path if self.writes_files else None, samples)

    @classmethod
    def from_json(cls, source: str | PathLike[str], **options: Any) -> FairnessReport:
        """Return the report of a document written by `to_json`.

        Parameters
        ----------
        source : str or path-like
            A path, or the document itself. Nothing in it is executed.
        **options : dict
            Parameters that a document lacks: ``metrics``, ``diagnostics``, ``n_boot`` and the like.

        Raises
        ------
        ValueError
            If it is not such a document, or was written without samples.
        """
        return cls(**(read(source) | options))

    def to_model_card(self, path: str | PathLike[str] | None = None, **options: Any) -> str:
        """Return a model card in Markdown, with the metadata block of Hugging Face.

        It has the options of `sk_prunefair.report.model_card.model_card`: ``title``, ``dataset``,
        ``task`` and ``metadata``.
        """
        return model_card(self, path if self.writes_files else None, **options)

    def plot(self, **options: Any) -> GroupRiskDisplay:
        """Draw each group's risk by `sk_prunefair.plotting.GroupRiskDisplay.from_frame`.

        Without losses, the accuracy drop of each group is drawn.
        """
        metric = "excessive_risk" if self.has_losses else "accuracy_drop"
        return GroupRiskDisplay.from_frame(self.to_frame(), **({"metric": metric} | options))

    def __str__(self) -> str:
        return report_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return report_html(self)
