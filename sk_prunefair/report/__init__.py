"""The report: the effect of compression on each group."""

from sk_prunefair.report.report import FairnessReport

__all__ = ["FairnessReport"]
