"""Import objects that the command line gives as ``module:name``: estimators, nets, functions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import clone

from sk_prunefair.classifier import FairPrunedClassifier


def named_object(name: str, option: str) -> Any:
    """Import the object ``module:name`` from the current folder or the path.

    Raises
    ------
    ValueError
        If the name has another form, or the module has no such attribute.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"{option} must be module:name, got {name!r}")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module_name), attribute, None)
    finally:
        sys.path.remove("")
    if made is None:
        raise ValueError(f"{option} {name}: module {module_name} has no {attribute!r}")
    return made


def named_estimator(name: str) -> FairPrunedClassifier:
    """Return the unfitted classifier ``module:name``, or the one that this function returns."""
    made = named_object(name, "--estimator")
    estimator = clone(made) if isinstance(made, FairPrunedClassifier) else made
    if callable(estimator) and not isinstance(estimator, FairPrunedClassifier):
        estimator = estimator()
    if not isinstance(estimator, FairPrunedClassifier):
        raise TypeError(
            f"--estimator {name} must be a FairPrunedClassifier, or a function without arguments "
            f"that returns one; got {type(estimator).__name__}"
        )
    return estimator


def named_model(name: str, option: str) -> Any:
    """Return the path of a file for `sk_prunefair.compare_models`, or the named object."""
    if name.lower().endswith((".onnx", ".pt2")):
        if not Path(name).is_file():
            raise FileNotFoundError(f"{option}: there is no file {name!r}")
        return Path(name)
    if ":" not in name:
        raise ValueError(
            f"{option} must be an .onnx or .pt2 file, or module:name of a fitted estimator, a "
            f"torch module or a function; got {name!r}"
        )
    return named_object(name, option)


def named_step(name: str) -> Callable[[pd.DataFrame], Any]:
    """Return a function from a table to features: the named function, or a transformer's method."""
    made = named_object(name, "--preprocess")
    step = getattr(made, "transform", made)
    if not callable(step):
        raise TypeError(
            f"--preprocess {name} must be a function of a table, or have a method transform; got "
            f"{type(made).__name__}"
        )
    return step
