"""Match labels of a file, which are strings, with those of a model, which may be numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def match_labels(
    y: npt.NDArray[Any], classes: npt.NDArray[Any] | None, name: str = "--data"
) -> npt.NDArray[Any]:
    """Return labels as the model has them: the string "1" becomes its 1.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels of a file.
    classes : ndarray or None
        Labels of the model; None converts strings to integers if all of them are integers,
        including "1.0".
    name : str
        Name of the labels, for errors.

    Raises
    ------
    ValueError
        If a label is not among the classes.

    Examples
    --------
    >>> match_labels(np.array(["1", "0"], dtype=object), np.array([0, 1]))
    array([1, 0])
    >>> match_labels(np.array(["01", "1"], dtype=object), None)
    array(['01', '1'], dtype=object)
    """
    known = pd.unique(pd.Series(y))
    if classes is None:
        whole = [_canonical(label) for label in known]
        are_integers = all(
            text and str(label) in (text, f"{text}.0")
            for label, text in zip(known, whole, strict=True)
        )
        return np.array([int(_canonical(label)) for label in y]) if are_integers else y
    by_text = {str(label): label for label in classes.tolist()}
    by_text |= {_canonical(text): label for text, label in by_text.items() if _canonical(text)}
    meant = {label: by_text.get(str(label), by_text.get(_canonical(label))) for label in known}
    unknown = [label for label, found in meant.items() if found is None]
    if unknown:
        raise ValueError(
            f"the labels of {name} must be among the classes of the net, {classes.tolist()[:20]}; "
            f"got {unknown[:5]}"
        )
    return np.asarray([meant[label] for label in y])


def labels_like(y: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels in the kind of others, which need not include them.

    Examples
    --------
    >>> labels_like(np.array(["2", "0"], dtype=object), np.array([0, 1]))
    array([2, 0])
    >>> labels_like(np.array([2, 0]), np.array(["0", "1"])).tolist()
    ['2', '0']
    """
    kind = np.asarray(others.tolist()).dtype.kind
    if kind == "b":
        return match_labels(y, np.array([False, True]))
    if kind in "iuf":
        return match_labels(y, None)
    return np.array([str(label) for label in y], dtype=object)


def matched_labels(labels: npt.NDArray[Any], y: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return predicted labels in the kind of the truth: strings of integers as integers.

    Raises
    ------
    ValueError
        If none of them occurs in the truth, as with labels that are written differently.
    """
    labels = labels_like(labels, y)
    known, found = set(y.tolist()), set(labels.tolist())
    if len(known) > 1 and not known & found:  # written differently, such as 1 and True
        raise ValueError(
            f"--{name}-pred must hold labels as --label does, {sorted(known, key=str)[:5]}; got "
            f"{sorted(found, key=str)[:5]}"
        )
    return labels


def _canonical(label: Any) -> str:
    """Return the canonical string of an integer label, or an empty one for other labels.

    >>> _canonical("1.0"), _canonical("a"), _canonical(True)
    ('1', '', '')
    """
    if isinstance(label, (bool, np.bool_)):
        return ""
    try:
        number = float(label)
        return str(int(number)) if number == int(number) else ""
    except (ValueError, TypeError, OverflowError):
        return ""
