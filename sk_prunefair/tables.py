"""TabularEncoder: encode tables as scaled numbers and category indices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer, StandardScaler
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.helper import SliceDict

from sk_prunefair.checks import check_choice

__all__ = ["TabularEncoder"]

SCALERS = ("standard", "quantile", None)


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Encode a table as the dict of two arrays for `sk_prunefair.modules.TabularNet`.

    Numbers are imputed by the median of their column and scaled. Categories become indices that no
    two columns share: the first index of each column is for missing values and for values that
    did not occur in `fit`, the next ones for the values in `fit`, in sorted order.

    Parameters
    ----------
    categorical : list of str or int, default=None
        Columns with categories: names for a DataFrame, positions for an array. None takes
        all columns without a numeric dtype: strings, categories, booleans and objects. In an
        array of objects, a column that holds only numbers is numeric.
    scaler : {"standard", "quantile"} or None, default="standard"
        Scaling of numbers: mean 0 and variance 1, or the normal distribution by quantiles,
        or none.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of str of shape (n_features,)
        Names of the columns; only if a DataFrame with string names was given.
    numeric_, categorical_ : list of str or int
        Columns of ``numbers`` and of ``categories``, in their order.
    categories_ : list of ndarray
        Values of each categorical column in `fit`, sorted, without missing ones.
    offsets_ : ndarray of shape (n_categorical,), dtype int64
        Index of unknown and missing values, by categorical column; the value
        ``categories_[column][k]`` has the index ``offsets_[column] + 1 + k``.
    n_categories_ : int
        Number of indices of all columns together.

    Examples
    --------
    >>> X = pd.DataFrame({"age": [20.0, 40.0], "work": ["none", "state"], "city": ["Rome", None]})
    >>> encoder = TabularEncoder().fit(X)
    >>> encoder.transform(X)["numbers"]
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> encoder.transform(X)["categories"]
    array([[1, 4],
           [2, 3]])
    >>> encoder.n_categories_
    5
    """

    def __init__(self, categorical: list[Any] | None = None, scaler: str | None = "standard"):
        self.categorical = categorical
        self.scaler = scaler

    def fit(self, X: Any, y: Any = None) -> TabularEncoder:
        """Learn medians, scales and categories.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table. NaN, None and NA are missing values.
        y : object, default=None
            Ignored.

        Returns
        -------
        TabularEncoder
            The encoder itself.

        Raises
        ------
        ValueError
            If a parameter is not one of those accepted, `categorical` names a column that X lacks,
            a numeric column holds something else or infinity, or a categorical one values of
            several kinds.

        Examples
        --------
        >>> TabularEncoder().fit([[1.0, 2.0], [3.0, 5.0]]).n_categories_
        0
        """
        check_choice("scaler", self.scaler, SCALERS)
        frame = self._frame(X, reset=True)
        is_category = _are_categories(frame, self.categorical)
        self._numeric_at = np.flatnonzero(~is_category).tolist()
        self._categorical_at = np.flatnonzero(is_category).tolist()
        self.numeric_ = frame.columns[self._numeric_at].tolist()
        self.categorical_ = frame.columns[self._categorical_at].tolist()
        self._to_numbers = self._to_codes = None
        self.categories_: list[npt.NDArray[Any]] = []
        if self.numeric_:
            numbers = _numbers(frame.iloc[:, self._numeric_at])
            self._to_numbers = _number_steps(self.scaler, len(frame)).fit(numbers)
        if self.categorical_:
            values = _values(frame.iloc[:, self._categorical_at], are_new=True)
            self._to_codes = _code_steps().fit(values)
            self.categories_ = [seen[~pd.isna(seen)] for seen in self._to_codes.categories_]
        sizes = np.array([len(seen) + 1 for seen in self.categories_], dtype=np.int64)
        self.n_categories_ = int(sizes.sum())
        self.offsets_ = sizes.cumsum() - sizes
        return self

    def transform(self, X: Any) -> SliceDict:
        """Return numbers and categories of a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table, with the columns of `fit`, in the same order.

        Returns
        -------
        skorch.helper.SliceDict
            A dict whose rows can be indexed, with ``numbers``, shape (n_samples, n_numeric), dtype
            float32, and ``categories``, shape (n_samples, n_categorical), dtype int64. A key is
            absent if the table has no such columns.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other columns than in `fit`, or a numeric column holds something else or
            infinity.

        Examples
        --------
        >>> encoder = TabularEncoder().fit([["a"], ["b"]])
        >>> encoder.transform([["b"], ["z"]])["categories"].tolist()
        [[2], [0]]
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        found = {}
        if self._to_numbers is not None:
            numbers = self._to_numbers.transform(_numbers(frame.iloc[:, self._numeric_at]))
            found["numbers"] = numbers.astype(np.float32)
        if self._to_codes is not None:
            values = _values(frame.iloc[:, self._categorical_at], are_new=False)
            found["categories"] = self._to_codes.transform(values) + 1 + self.offsets_
        return SliceDict(**found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        """Return X as a frame after checking its columns."""
        if not isinstance(X, pd.DataFrame):
            X = check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
        elif not X.size:
            raise ValueError(f"X must have at least one row and one column, got shape {X.shape}")
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X if isinstance(X, pd.DataFrame) else pd.DataFrame(X).infer_objects()


def _number_steps(scaler: str | None, n_samples: int) -> Pipeline:
    """Return the steps from numbers to inputs of a net."""
    scalers = {
        "standard": StandardScaler(),
        "quantile": QuantileTransformer(
            n_quantiles=min(1000, n_samples), output_distribution="normal", subsample=None
        ),
        None: "passthrough",
    }
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", impute), ("scale", scalers[scaler])])


def _code_steps() -> OrdinalEncoder:
    """Return an encoder that maps unknown and missing values to -1."""
    return OrdinalEncoder(
        dtype=np.int64,
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-1,
    )


def _are_categories(frame: pd.DataFrame, named: Any) -> npt.NDArray[np.bool_]:
    """Tell for each column whether it holds categories."""
    if named is None:
        return np.array([_is_category(column) for _, column in frame.items()])
    if isinstance(named, str) or not isinstance(named, Collection):
        raise ValueError(f"categorical must be a list of columns or None, got {named!r}")
    strangers = [name for name in named if name not in frame.columns]
    if strangers:
        raise ValueError(
            f"categorical must name columns of X, got {strangers}; the columns are "
            f"{frame.columns.tolist()}"
        )
    return frame.columns.isin(list(named))


def _is_category(column: pd.Series) -> bool:
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        raise ValueError(
            f"X must hold numbers and categories, got {column.dtype} in column {column.name!r}: "
            "name it in categorical, or convert it to numbers"
        )
    return types.is_bool_dtype(column) or not types.is_numeric_dtype(column)


def _numbers(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return numeric columns as one array, with NaN for missing numbers."""
    return np.column_stack([_numbers_of(column) for _, column in frame.items()])


def _numbers_of(column: pd.Series) -> npt.NDArray[np.float64]:
    is_numeric = types.is_numeric_dtype(column) and not types.is_complex_dtype(column)
    if not (is_numeric or column.isna().all()):
        raise ValueError(
            f"X must hold numbers in column {column.name!r}, got {column.dtype} such as "
            f"{column.dropna().tolist()[0]!r}; list a column of categories in categorical"
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise ValueError(f"X must be finite or missing, got infinity in column {column.name!r}")
    return values


def _values(frame: pd.DataFrame, are_new: bool) -> npt.NDArray[np.object_]:
    """Return categorical columns as one array of objects, with NaN for missing values."""
    return np.column_stack([_values_of(column, are_new) for _, column in frame.items()])


def _values_of(column: pd.Series, are_new: bool) -> npt.NDArray[np.object_]:
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = np.nan
    kind = types.infer_dtype(values, skipna=True)
    if are_new and kind in ("mixed", "mixed-integer"):
        names = sorted({type(value).__name__ for value in column.dropna()})
        raise ValueError(
            f"X must hold values of one kind, such as strings, in column {column.name!r}, got "
            f"{names}"
        )
    return values
