"""Acceptance criteria in a file: the limits that an audit must keep before a model is released."""

from sk_prunefair.acceptance.criteria import AcceptanceCriterion
from sk_prunefair.acceptance.judging import accept
from sk_prunefair.acceptance.metrics import METRICS
from sk_prunefair.acceptance.reading import read_criteria, schema
from sk_prunefair.acceptance.result import Acceptance

__all__ = ["METRICS", "Acceptance", "AcceptanceCriterion", "accept", "read_criteria", "schema"]
