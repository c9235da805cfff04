"""Check labels and predictions: of one kind, so that they can be equal."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from sk_prunefair.checks import as_labels, check_same_length

_ACCEPTED = "labels are strings, or integers, booleans and floats without a fractional part"


def check_label_vectors(given: Mapping[str, npt.ArrayLike]) -> list[npt.NDArray[Any]]:
    """Return vectors of labels that can be compared with each other.

    Booleans, integers and floats without a fractional part are one kind, as ``True == 1 == 1.0``;
    strings are another. Predictions may hold labels that the true labels lack.

    Parameters
    ----------
    given : mapping of str to array-like of shape (n_samples,)
        By the name of the argument, the true labels first.

    Returns
    -------
    list of ndarray
        In the same order.

    Raises
    ------
    ValueError
        If a vector is empty, of another length or holds missing values; if it holds values of
        several kinds, of another kind than the first vector, or that are no labels.

    Examples
    --------
    >>> truth, predicted = check_label_vectors({"y_true": [0, 1], "y_pred": [1.0, 1.0]})
    >>> (truth == predicted).tolist()
    [False, True]
    """
    names = list(given)
    vectors = {name: as_labels(values, name) for name, values in given.items()}
    kinds = {name: _kind(vector, name) for name, vector in vectors.items()}
    first = names[0]
    for name in names[1:]:
        check_same_length(vectors[name], name, vectors[first], first)
        if kinds[name] != kinds[first]:
            raise ValueError(
                f"{name} must hold labels of the kind that {first} holds, got {kinds[name]} such "
                f"as {vectors[name][0]!r} beside {kinds[first]} such as {vectors[first][0]!r}; no "
                "prediction would equal its label"
            )
    return [np.asarray(vector.tolist()) for vector in vectors.values()]


def _kind(labels: npt.NDArray[Any], name: str) -> str:
    """Return the kind of all labels of a vector, or raise ValueError."""
    types = set(map(type, labels))
    kinds = {_kind_of_type(each) for each in types}
    if kinds not in ({"strings"}, {"numbers"}):
        got = sorted(each.__name__ for each in types)
        raise ValueError(f"{name} must hold labels of one kind, got {got}; {_ACCEPTED}")
    kind = kinds.pop()
    if kind == "numbers":
        values = labels.astype(np.float64)
        fractional = values != np.floor(values)
        if fractional.any():
            raise ValueError(
                f"{name} must hold labels, got {int(fractional.sum())} numbers with a fractional "
                f"part, such as {values[fractional][0]:.4g}; {_ACCEPTED}. Of probabilities, pass "
                "the most probable label"
            )
    return kind


def _kind_of_type(each: type) -> str:
    if issubclass(each, str):
        return "strings"
    return "numbers" if issubclass(each, (Real, np.bool_)) else each.__name__
