"""The report: what compression did to each group."""

from sk_prunefair.report.report import FairnessReport

__all__ = ["FairnessReport"]
