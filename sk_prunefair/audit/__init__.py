"""The audit page: the effect of pruning on each group, for readers without Python."""

from sk_prunefair.audit.page import audit_page

__all__ = ["audit_page"]
