"""Gradients of runs of rows, all from one forward and one backward pass."""

from sk_prunefair.runs.gradients import RunGradients

__all__ = ["RunGradients"]
