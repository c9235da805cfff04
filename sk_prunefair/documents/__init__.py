"""Documents on one audit for other readers; each lists its own limits."""

from sk_prunefair.documents.cyclonedx import cyclonedx
from sk_prunefair.documents.impact_ratios import impact_ratios, named_columns
from sk_prunefair.documents.ratio_tables import ImpactRatios
from sk_prunefair.documents.technical import technical_documentation

__all__ = [
    "ImpactRatios",
    "cyclonedx",
    "impact_ratios",
    "named_columns",
    "technical_documentation",
]
