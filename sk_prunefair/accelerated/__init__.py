"""Training of one net on several processes, by skorch's AccelerateMixin."""

from sk_prunefair.accelerated.mixin import Accelerated, adapted

__all__ = ["Accelerated", "adapted"]
