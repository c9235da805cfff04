"""Convert a model's output to one score per class, and decide whether these are probabilities."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["logits", "probabilities"]
# Rows of a softmax sum to one up to rounding, 1 / 256 in half precision; quantised ones may differ
# more.
_TOLERANCE, _SUM_TOLERANCE, _TOLD_TOLERANCE = 1e-4, 0.01, 0.05
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
_WORDS = ("prob", "logit", "score")


class Scores(NamedTuple):
    """Scores of rows.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_classes)
        One column for each class; two if the model returns one number for two classes.
    kind : {"logits", "probabilities"}
        Kind of the scores; the softmax of logits is probabilities.
    classes : ndarray of shape (n_classes,) or None
        The labels, if the model has them.
    """

    values: npt.NDArray[np.floating[Any]]
    kind: Kind
    classes: npt.NDArray[Any] | None = None

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n_samples, n_classes), with rows that sum to 1.

        Examples
        --------
        >>> Scores(np.array([[0.0, np.log(3)]]), "logits").probabilities
        array([[0.25, 0.75]])
        """
        values = self.values.astype(np.float64)
        if self.kind == "logits":
            values = np.exp(values - values.max(axis=1, keepdims=True))
        return values / values.sum(axis=1, keepdims=True)


def pick_output(outputs: Sequence[Any], name: str | None, where: str) -> str:
    """Return the name of the output that holds the scores.

    Parameters
    ----------
    outputs : sequence
        Outputs with ``name``, ``type`` and ``shape``, as ONNX Runtime describes them.
    name : str or None
        The user's choice.
    where : str
        Name of the file, for errors.

    Raises
    ------
    ValueError
        If there is no output of this name, none that can be scores, or several.
    """
    told = ", ".join(f"{each.name!r} {each.type} {each.shape}" for each in outputs)
    if name is not None:
        if name not in [each.name for each in outputs]:
            raise ValueError(f"output={name!r} is not an output of {where}; its outputs are {told}")
        return name
    found = [each for each in outputs if each.type in _FLOATS or _is_dicts(each)]
    tables = [each for each in found if _is_dicts(each) or len(each.shape) == 2] or found
    for word in _WORDS:
        named = [each for each in tables if word in each.name.lower()]
        if len(tables) > 1 and named:
            tables = named
    if not tables:
        raise ValueError(
            f"{where} must have an output of scores, floats of shape (n_samples, n_classes), got "
            f"{told}"
        )
    if len(tables) > 1:
        raise ValueError(f"{where} has several outputs that may be scores, {told}: pass output=")
    return str(tables[0].name)


def _is_dicts(output: Any) -> bool:
    """Tell whether an output is one dict per row, from label to probability (ZipMap)."""
    return str(output.type).startswith("seq(map(")


def as_table(output: Any, where: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return an output of a batch as a two-dimensional array, and the labels if it has them."""
    if isinstance(output, list):
        labels = list(output[0])
        values = np.array([[row[label] for label in labels] for row in output])
        return values, np.asarray(labels)
    values = np.asarray(output)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind != "f":
        raise ValueError(
            f"{where} must give scores as floats of shape (n_samples, n_classes), got "
            f"{values.dtype} of shape {values.shape}; choose another output by output="
        )
    return (values.astype(np.float32) if values.dtype == np.float16 else values), None


def as_scores(
    values: npt.NDArray[Any], kind: Kind | None, classes: npt.NDArray[Any] | None, where: str
) -> Scores:
    """Return scores of at least two classes, and their kind.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_columns)
        Output of the model. One column z of logits becomes the scores 0 and z, one column p of
        probabilities 1 − p and p.
    kind : {"logits", "probabilities"} or None
        None decides by the numbers: rows in [0, 1] that sum to one within 0.01 are probabilities,
        numbers outside [0, 1] are logits.
    classes : ndarray or None
        The labels.
    where : str
        Name of the file, for errors.

    Raises
    ------
    ValueError
        If values are not finite, not of the given kind, or ambiguous; or if there are labels, but
        not one per score.

    Examples
    --------
    >>> as_scores(np.array([[2.0], [-1.0]]), None, None, "net.onnx").values
    array([[ 0.,  2.],
           [ 0., -1.]])
    >>> as_scores(np.array([[0.25, 0.75]]), None, None, "net.onnx").kind
    'probabilities'
    """
    is_bad = ~np.isfinite(values).all(axis=1)
    if is_bad.any():
        raise ValueError(
            f"{where} gives scores that are not finite for {is_bad.sum()} of {len(values)} rows, "
            f"first row {int(is_bad.argmax())}"
        )
    kind = _looked(values, where) if kind is None else kind
    if kind == "probabilities":
        _check_probabilities(values, where)
    if values.shape[1] == 1:
        other = np.zeros_like(values) if kind == "logits" else 1 - values
        values = np.hstack([other, values])
    if classes is not None and len(classes) != values.shape[1]:
        raise ValueError(
            f"{where} names {len(classes)} labels, {reprlib.repr(classes.tolist())}, but gives "
            f"{values.shape[1]} scores"
        )
    return Scores(values, kind, classes)


def _looked(values: npt.NDArray[Any], where: str) -> Kind:
    if values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
        return "logits"
    one_column = values.shape[1] == 1
    if not one_column and np.abs(values.sum(axis=1) - 1).max() <= _SUM_TOLERANCE:
        return "probabilities"
    what = "one column" if one_column else "rows that do not add up to one"
    raise ValueError(
        f"{where} gives {what} of numbers in [0, 1], which may be probabilities or logits: pass "
        "scores='probabilities' or scores='logits'"
    )


def _check_probabilities(values: npt.NDArray[Any], where: str) -> None:
    sums = np.ones(1) if values.shape[1] == 1 else values.sum(axis=1)
    is_near_one = np.abs(sums - 1).max() <= _TOLD_TOLERANCE
    if not is_near_one or values.min() < -_TOLERANCE or values.max() > 1 + _TOLD_TOLERANCE:
        raise ValueError(
            f"scores='probabilities', but {where} gives numbers from {values.min():.4g} to "
            f"{values.max():.4g}, whose rows sum to {sums.min():.4g} to {sums.max():.4g}; for "
            "logits pass scores='logits'"
        )
