"""Run an ONNX file on the CPU, batch by batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from sk_prunefair.checks import check_choice, check_count
from sk_prunefair.onnx_model.inputs import Arrays, Input, Rows
from sk_prunefair.onnx_model.scores import Kind, Scores, as_scores, as_table, pick_output


class OnnxModel:
    """A classifier in an ONNX file, run by ONNX Runtime on the CPU.

    Parameters
    ----------
    path : str or pathlib.Path
        The file, by `sk_prunefair.export.to_onnx`, torch, skl2onnx or others.
    batch_size : int, default=256
        Rows per batch. A file that fixes the number of rows gets that many; the last
        batch is padded with copies of its last row, whose scores are dropped.
    scores : {"logits", "probabilities"}, default=None
        Kind of the file's output. None takes it from the metadata (`sk_prunefair.export.to_onnx`
        writes it), else from the numbers, see `sk_prunefair.onnx_model.scores.as_scores`.
    output : str, default=None
        Name of the output with the scores; None takes the only possible one, or the one
        whose name contains a word such as "scores".
    threads : int, default=None
        Threads per operation; None takes the number of physical cores.

    Attributes
    ----------
    inputs : list of sk_prunefair.onnx_model.inputs.Input
        Names, dtypes and shapes of the file's inputs.
    classes : ndarray of shape (n_classes,) or None
        The labels, if the metadata of the file has them as ``classes`` in JSON.
    features : list of str or None
        Names of the columns of X, if the metadata has them as ``features``; a table with names
        must have these, in any order.

    Raises
    ------
    ImportError
        If onnxruntime (the extra ``onnx``) is not installed.
    FileNotFoundError
        If there is no file.
    ValueError
        If it is not an ONNX file, or has no output of scores.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from sk_prunefair.export import to_onnx
    >>> path = Path(tempfile.mkdtemp()) / "net.onnx"
    >>> to_onnx(torch.nn.Linear(4, 3), path, example=torch.zeros(1, 4))
    >>> OnnxModel(path).predict(np.eye(4) * 100).shape
    (4, 3)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        batch_size: int = 256,
        scores: Kind | None = None,
        output: str | None = None,
        threads: int | None = None,
    ) -> None:
        check_count("batch_size", batch_size)
        if threads is not None:
            check_count("threads", threads, " or None")
        if scores is not None:
            check_choice("scores", scores, get_args(Kind))
        self.path = Path(path)
        self._session = _open(self.path, threads)
        self.inputs = [Input.of(each, self.path.name) for each in self._session.get_inputs()]
        fixed = {each.n_fixed for each in self.inputs if each.n_fixed is not None}
        if len(fixed) > 1:
            raise ValueError(
                f"{self.path.name} must fix one number of rows for all its inputs, got "
                f"{sorted(fixed)}"
            )
        self._n_fixed = fixed.pop() if fixed else None
        self.batch_size = self._n_fixed or batch_size
        self.output = pick_output(self._session.get_outputs(), output, self.path.name)
        metadata = self._session.get_modelmeta().custom_metadata_map
        told = metadata.get("scores")
        self.scores: Kind | None = scores or (told if told in get_args(Kind) else None)
        self.classes = _labels(metadata.get("classes"))
        self.features = _names(metadata.get("features"), self.inputs)
        self._given: dict[str, Any] = {
            "batch_size": batch_size,
            "scores": scores,
            "output": output,
            "threads": threads,
        }

    def __repr__(self) -> str:
        return f"OnnxModel({str(self.path)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, **self._given}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # a session cannot be pickled; it is opened anew

    def with_threads(self, threads: int) -> OnnxModel:
        """Return the same model, loaded again with this number of threads."""
        return OnnxModel(self.path, **(self._given | {"threads": threads}))

    def run(self, X: Any) -> Scores:
        """Return the scores of rows, their kind, and the labels if the file has them.

        Parameters
        ----------
        X : array-like, DataFrame, sparse matrix, dict or tuple of arrays, torch or Arrow data set
            As `sk_prunefair.onnx_model.inputs.Rows` takes it. Numbers are cast to the file's dtype
            if it can represent them: floats may be rounded, integers may not change. NaN is passed
            to the file, which may handle it.

        Returns
        -------
        Scores
            Scores of shape (n_samples, n_classes).

        Raises
        ------
        ValueError
            If X does not fit the inputs, ONNX Runtime fails on it, or the scores are not finite or
            of an ambiguous kind.
        """
        values, labels = self.run_raw(X)
        return as_scores(values, self.scores, labels, self.path.name)

    def run_raw(self, X: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
        """Return the output of the file for rows, and the labels if it has them.

        Whether it is logits should be decided from all rows, as a few may look like either.

        Parameters
        ----------
        X : array-like, DataFrame, sparse matrix, dict or tuple of arrays, torch or Arrow data set
            As `run` takes it.
        """
        rows = Rows(X, self.inputs, self.features)
        tables = [
            self.run_batch(rows.batch(start, start + self.batch_size))
            for start in range(0, len(rows), self.batch_size)
        ]
        labels = self.classes if self.classes is not None else tables[0][1]
        return np.concatenate([table for table, _ in tables]), labels

    def predict(self, X: Any) -> npt.NDArray[np.floating[Any]]:
        """Return the scores of rows, shape (n_samples, n_classes), as `run` does."""
        return self.run(X).values

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return probabilities of rows, shape (n_samples, n_classes); for logits, their softmax."""
        return self.run(X).probabilities

    def run_batch(self, batch: Arrays) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
        """Return the output of the file for matching arrays, and the labels if it has them.

        Parameters
        ----------
        batch : dict of str to ndarray
            One array for each input, of at most ``batch_size`` rows if the file fixes their number.
        """
        n = len(next(iter(batch.values())))
        if self._n_fixed and n < self._n_fixed:
            batch = {
                name: np.concatenate([each, np.repeat(each[-1:], self._n_fixed - n, axis=0)])
                for name, each in batch.items()
            }
        try:
            [output] = self._session.run([self.output], batch)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            shapes = {name: each.shape for name, each in batch.items()}
            raise ValueError(
                f"{self.path.name} fails on a batch of shapes {shapes}: {error}"
            ) from error
        values, labels = as_table(output, self.path.name)
        n_fed = len(next(iter(batch.values())))
        if len(values) != n_fed:
            raise ValueError(
                f"{self.path.name} returned {len(values)} rows of scores for {n_fed} samples"
            )
        return values[:n], labels


def _open(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "an ONNX file needs onnxruntime: install the extra, pip install 'sk-prunefair[onnx]'"
        ) from error
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # level of errors; warnings concern its optimisations
    if threads is not None:
        options.intra_op_num_threads = threads
        # Threads that spin while waiting for the next call would slow down other processes.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base class
        raise ValueError(
            f"path={str(path)!r} is not an ONNX file that ONNX Runtime can run: {error}"
        ) from error


def _told(text: str | None) -> list[Any]:
    """Return a list from a file's metadata; empty if it has none, or something else."""
    try:
        found = json.loads(text or "[]")
    except json.JSONDecodeError:
        return []
    return found if isinstance(found, list) else []


def _labels(text: str | None) -> npt.NDArray[Any] | None:
    labels = _told(text)
    kinds = {type(label) for label in labels}
    return np.asarray(labels) if len(kinds) == 1 and kinds <= {str, int, float, bool} else None


def _names(text: str | None, inputs: list[Input]) -> list[str] | None:
    """Return the columns of the single input, None if they are not known or do not match it."""
    names, shape = _told(text), inputs[0].shape
    is_fit = len(inputs) == 1 and shape is not None and shape[1:] == (len(names),)
    return names if is_fit and all(isinstance(name, str) for name in names) else None
