"""The report: what compression did to each group."""

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
    """The dense and the compressed model over the same data, side by side, by group.

    `FairPrunedClassifier.fairness_report` makes one of a net and its pruned net,
    `sk_prunefair.compare_models` of any two models, and `from_predictions` of what they predict.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    dense_pred, pruned_pred : array-like of shape (n_samples,)
        Predicted labels of the two nets, of the kind that `y_true` has: strings beside strings,
        numbers beside numbers, and no probabilities beside integers.
    dense_losses, pruned_losses : array-like of shape (n_samples,), default=None
        Per-sample losses of the two nets. Without them, what needs losses is None, and absent from
        frames.
    dense_scores, pruned_scores : array-like of shape (n_samples, n_classes), default=None
        Probabilities of the two nets.
    classes : array-like of shape (n_classes,), default=None
        What the columns of scores stand for; None takes the labels that occur, sorted.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    control_features : array-like, default=None
        Groups are compared within each level of these.
    metrics : dict of str to callable, default=None
        More metrics ``f(y_true, y_pred)``; a `fairlearn.metrics.MetricFrame` is made of them. One
        with a parameter ``y_score``, ``y_proba`` or ``y_prob`` gets probabilities by it: of two
        labels those of the larger, else all columns; it is left out where there are none.
    compression : pandas.Series, default=None
        What pruning saved.
    latency : pandas.DataFrame, default=None
        How long the models take, as `sk_prunefair.latency.compare_latency` has it.
    diagnostics : pandas.DataFrame, default=None
        Why groups are hurt, by group, as `sk_prunefair.theory.group_diagnostics` has it.
    empty_layers : sequence of str, default=()
        Parameters of which pruning left nothing.
    names : pair of str, default=("dense", "pruned")
        What the two are called, in columns and sentences.
    n_boot, ci_quantiles, random_state : default=None
        Bootstrap intervals, as in `fairlearn.metrics.MetricFrame`. The change between the nets is
        resampled in pairs: both nets see the same samples. With ``metrics`` the frames of the nets
        are fairlearn's own, and a draw of 16,000 samples takes it some half a second. Quantiles of
        a mean loss are too narrow for groups of fewer than some 50 samples, and those of a largest
        difference too high where groups are alike (``benchmarks/studies/intervals/page.md``).
    verbose : int, default=1
        0 shows no progress bar of that bootstrap; nor does one show where nobody is watching.
    kinds : Kinds, default=None
        How many samples each row stands for, as `from_parts` knows; None is one.

    Attributes
    ----------
    dense, pruned : fairlearn.metrics.MetricFrame
        ``accuracy``, ``loss``, ``count`` and the user's metrics of each net. Without the user's,
        they and ``change`` are made when asked for, of the sums of each group.
    change : fairlearn.metrics.MetricFrame
        ``excessive_risk`` and ``accuracy_drop``, from sample to sample.
    cells : Cells
        The group of each sample as a number, within the levels of control features.
    compressed : fairlearn.metrics.MetricFrame
        ``pruned``, by the name that it has where nothing was pruned.
    excessive_risk : pandas.Series or None
        R(a), the loss a group pays for the pruning, by group (eq. 2 of the paper).
    fairness_violation : float or None
        ξ, the largest minus the smallest excessive risk (eq. 3). With control features, the
        largest over their levels.
    accuracy_gap : pandas.Series
        Largest minus smallest group accuracy, by the names of the two. With control features, the
        largest over their levels.
    accuracy_gap_floor : pandas.Series
        The gap that sampling alone would show, were all groups served equally well:
        `sk_prunefair.metrics.accuracy_gap_floor` of each net.
    accuracy_drop : pandas.Series
        Accuracy lost by each group, dense minus pruned.
    findings : list of str
        What no average shows: that the pruned net gives every sample one label, or no longer gives
        one that the dense net gave, and layers without weights. Empty where there is nothing.
    outcomes : tuple of Outcome
        Dense and pruned, encoded by ``labels``.
    sensitive_features, control_features : pandas.DataFrame
        As given, as columns; the second is None where there are none.
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
        What the codes of ``outcomes`` stand for, and the columns of their scores.
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

        Takes the options of `sk_prunefair.audit.audit_page`: ``title``, ``curve``, ``slices``,
        ``promise``, ``acceptance``, ``monitor``, ``facts``, ``min_count`` and ``pictures``, which
        need matplotlib, the extra ``plot``.
        """
        return audit_page(self, path if self.writes_files else None, **options)

    def to_dict(self, *, samples: bool = False) -> dict[str, Any]:
        """Return all figures as dicts, lists, texts and numbers, each with its n and interval.

        Parameters
        ----------
        samples : bool, default=False
            Whether to add what the report is made of, row by row.
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
            Whether labels, predictions, losses, probabilities and groups are added row by row, as
            `from_json` needs them. Without them the document has figures alone. None adds them
            where the report has them: all but one `from_parts` has.
        """
        return to_json(self, path if self.writes_files else None, samples)

    @classmethod
    def from_json(cls, source: str | PathLike[str], **options: Any) -> FairnessReport:
        """Make a report again of what `to_json` wrote.

        Parameters
        ----------
        source : str or path-like
            A path, or the document itself. Nothing in it is executed.
        **options : dict
            What a document does not hold: ``metrics``, ``diagnostics``, ``n_boot`` and the like.

        Raises
        ------
        ValueError
            If it is no such document, or was written without samples.
        """
        return cls(**(read(source) | options))

    def to_model_card(self, path: str | PathLike[str] | None = None, **options: Any) -> str:
        """Return a model card in Markdown, with the metadata block of Hugging Face.

        Takes the options of `sk_prunefair.report.model_card.model_card`: ``title``, ``dataset``,
        ``task`` and ``metadata``.
        """
        return model_card(self, path if self.writes_files else None, **options)

    def plot(self, **options: Any) -> GroupRiskDisplay:
        """Draw each group's risk by `sk_prunefair.plotting.GroupRiskDisplay.from_frame`.

        Without losses the accuracy that each group lost is drawn.
        """
        metric = "excessive_risk" if self.has_losses else "accuracy_drop"
        return GroupRiskDisplay.from_frame(self.to_frame(), **({"metric": metric} | options))

    def __str__(self) -> str:
        return report_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return report_html(self)
