"""Gradients of runs of consecutive rows, from one forward and one backward pass."""

from sk_prunefair.runs.gradients import RunGradients

__all__ = ["RunGradients"]
