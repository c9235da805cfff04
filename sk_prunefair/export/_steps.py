"""The net of an estimator that is written to a file."""

from __future__ import annotations

import sys
import warnings
from typing import Any


def last_step(source: Any) -> Any:
    """Return the last step of a pipeline; other objects are returned unchanged.

    Warns
    -----
    UserWarning
        For a pipeline: the file does not hold its other steps.
    """
    # Imported already if a pipeline exists; loading into a plain module does not need it.
    pipelines = sys.modules.get("sklearn.pipeline")
    if pipelines is None or not isinstance(source, pipelines.Pipeline):
        return source
    name, step = source.steps[-1]
    if len(source.steps) > 1:
        warnings.warn(
            f"the file holds only the last step {name!r}; its input is the output of the steps "
            "before it, pipe[:-1].transform(X)",
            UserWarning,
            stacklevel=3,
        )
    return step
