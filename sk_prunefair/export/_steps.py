"""Which net of an estimator goes into a file."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.pipeline import Pipeline


def last_step(source: Any) -> Any:
    """Return the last step of a pipeline, anything else as it is.

    Warns
    -----
    UserWarning
        For a pipeline: the file does not hold what its other steps do.
    """
    if not isinstance(source, Pipeline):
        return source
    name, step = source.steps[-1]
    if len(source.steps) > 1:
        warnings.warn(
            f"the file holds the last step {name!r} alone; its input is what the steps before it "
            "make, pipe[:-1].transform(X)",
            UserWarning,
            stacklevel=3,
        )
    return step
