"""A net that several processes train, by skorch's AccelerateMixin."""

from sk_prunefair.accelerated.mixin import Accelerated, adapted

__all__ = ["Accelerated", "adapted"]
