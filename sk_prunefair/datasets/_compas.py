"""COMPAS: new charges within two years after an arrest."""

from __future__ import annotations

import os

import numpy as np
from sklearn.utils import Bunch

from sk_prunefair.datasets._files import find_file, not_found, search_folders
from sk_prunefair.datasets._tabular import (
    as_bunch,
    as_features,
    check_columns,
    check_values,
    read_table,
)

_FILE = "compas-scores-two-years.csv"
_TARGET = "two_year_recid"
_NUMERIC = {
    "age": "int64",
    "juv_fel_count": "int64",
    "juv_misd_count": "int64",
    "juv_other_count": "int64",
    "priors_count": "int64",
    "days_b_screening_arrest": "float64",
}
# Only these: is_recid reveals the target, decile_score and score_text are another model's
# prediction of it, and the publisher's wider file holds names, dates and later offences.
_FEATURES = [
    "sex",
    "age",
    "age_cat",
    "race",
    "juv_fel_count",
    "juv_misd_count",
    "juv_other_count",
    "priors_count",
    "days_b_screening_arrest",
    "c_charge_degree",
]
_ADVICE = "ProPublica publishes it at https://github.com/propublica/compas-analysis."
_DESCR = (
    "COMPAS: people arrested in Broward County, Florida, in 2013 and 2014 and whether they were "
    "charged again within two years (J. Larson, S. Mattu, L. Kirchner and J. Angwin, ProPublica, "
    "2016; published for reuse). Dropped columns: is_recid, which tells the target, decile_score "
    "and score_text, the verdict of the COMPAS tool, and all others that are no features. No row "
    "was dropped; ProPublica's own analysis leaves out more than a thousand."
)


def load_compas(*, data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load ProPublica's COMPAS data on two-year recidivism; sensitive features are sex and race.

    The sensitive columns are also among the features, as published. To train without them:
    ``compas.data.drop(columns=["sex", "race"])``. Two of the six races are tiny: 32 people are
    Asian and 18 Native American.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with ``compas-scores-two-years.csv``, or with a folder ``compas`` that holds it.
        None takes the environment variable ``SK_PRUNEFAIR_DATA``, else ``~/sk_prunefair_data``.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : DataFrame of shape (7214, 10); five int64 columns, four categories, and the
          float64 column "days_b_screening_arrest", where 307 values are NaN
        - ``target`` : int64 array of shape (7214,), 1 for a new charge within two years
        - ``sensitive_features`` : DataFrame with the string columns "sex" and "race"
        - ``feature_names``, ``target_names`` : lists of str
        - ``DESCR`` : str, which lists the dropped columns

    Raises
    ------
    FileNotFoundError
        If the file is missing. There is no download.
    ValueError
        If the file lacks columns or holds values of the wrong kind.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_compas
    >>> compas = load_compas()  # doctest: +SKIP
    >>> compas.sensitive_features["sex"].value_counts().to_dict()  # doctest: +SKIP
    {'Male': 5819, 'Female': 1395}
    """
    folders = search_folders(data_home, ["compas"])
    path = find_file(folders, [_FILE])
    if path is None:
        raise not_found(folders, _FILE, _ADVICE)
    frame = read_table(path)
    check_columns(frame, [*_FEATURES, _TARGET], path)
    check_values(frame[_TARGET], [0, 1], path)
    return as_bunch(
        data=as_features(frame[_FEATURES], _NUMERIC, path),
        target=frame[_TARGET].to_numpy(dtype=np.int64),
        sensitive_features=frame[["sex", "race"]],
        target_names=["not charged again", "charged again"],
        descr=_DESCR,
    )
