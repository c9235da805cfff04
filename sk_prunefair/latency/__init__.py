"""Latency of models, side by side."""

from sk_prunefair.latency.compare import Made, call_of, compare_latency, evaluating
from sk_prunefair.latency.settings import latency_options
from sk_prunefair.latency.turns import take_turns

__all__ = ["Made", "call_of", "compare_latency", "evaluating", "latency_options", "take_turns"]
