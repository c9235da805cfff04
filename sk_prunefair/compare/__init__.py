"""Compare any two classifiers, however one of them was compressed."""

from sk_prunefair.compare.compare import compare_models

__all__ = ["compare_models"]
