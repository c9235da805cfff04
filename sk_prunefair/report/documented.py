"""A report as documents for other readers."""

from __future__ import annotations

from os import PathLike
from typing import Any

from sk_prunefair.report.harm import GroupHarm


class DocumentedReport(GroupHarm):
    """A comparison that writes documents; `sk_prunefair.FairnessReport` is a subclass."""

    writes_files: bool = True
    """Whether methods write to the given paths; of several processes only one does."""

    def to_cyclonedx(
        self, path: str | PathLike[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return a CycloneDX 1.6 document with a model card, and write it to a file.

        It has the options of `sk_prunefair.documents.cyclonedx`: ``name``, ``version``, ``dataset``
        and ``mitigation``.
        """
        from sk_prunefair.documents import cyclonedx

        return cyclonedx(self, path if self.writes_files else None, **options)

    def impact_ratios(self, **options: Any) -> Any:
        """Return rates of selection or of scores and impact ratios, as New York City asks for.

        It has the options of `sk_prunefair.documents.impact_ratios`: ``sex``, ``race``, ``of``
        ("labels" or "scores"), ``positive``, ``model``, ``unknown``, ``exclude_below`` and
        ``confidence``; returns its `ImpactRatios`.
        """
        from sk_prunefair.documents import impact_ratios

        self.need_samples("impact ratios need")
        return impact_ratios(self, **options)

    def to_technical_documentation(
        self, path: str | PathLike[str] | None = None, **options: Any
    ) -> str:
        """Return accuracy by group as a section under the EU's AI Act, and write it to a file.

        It has the options of `sk_prunefair.documents.technical_documentation`: ``title``,
        ``dataset`` and ``min_count``.
        """
        from sk_prunefair.documents import technical_documentation

        return technical_documentation(self, path if self.writes_files else None, **options)
