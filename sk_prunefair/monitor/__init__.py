"""After release: batches come in, and a group that begins to be harmed is named.

See Also
--------
sk_prunefair.promise : The promise at the day of release.
"""

from sk_prunefair.monitor.monitor import GroupMonitor

__all__ = ["GroupMonitor"]
