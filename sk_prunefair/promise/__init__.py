"""A promise to every group, and what held-out samples say about it."""

from sk_prunefair.promise.findings import label_findings
from sk_prunefair.promise.promise import NoRateError, Promise

__all__ = ["NoRateError", "Promise", "label_findings"]
