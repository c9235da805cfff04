"""Compare any two classifiers, whatever the method of compression."""

from sk_prunefair.compare.compare import compare_models

__all__ = ["compare_models"]
