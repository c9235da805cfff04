"""Monitor a compressed model after its release, with an alarm for each group that it harms.

See Also
--------
sk_prunefair.promise : The promise at the time of release.
"""

from sk_prunefair.monitor.monitor import GroupMonitor

__all__ = ["GroupMonitor"]
