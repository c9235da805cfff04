"""A promise to every group, and its tests on held-out samples."""

from sk_prunefair.promise.criteria import Criterion
from sk_prunefair.promise.findings import label_findings
from sk_prunefair.promise.judging import judge, judge_samples
from sk_prunefair.promise.label_free import judge_changes
from sk_prunefair.promise.promise import NoRateError, Promise
from sk_prunefair.promise.required import required_samples
from sk_prunefair.promise.unlabelled import Unlabelled
from sk_prunefair.promise.verdict import Verdict

__all__ = [
    "Criterion",
    "NoRateError",
    "Promise",
    "Unlabelled",
    "Verdict",
    "judge",
    "judge_changes",
    "judge_samples",
    "label_findings",
    "required_samples",
]
