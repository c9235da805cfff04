"""MetricFrames of means, computed from sums, for any number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame

from sk_prunefair.checks import check_count
from sk_prunefair.report.cells import Cells
from sk_prunefair.stats.group_draws import drawn_kinds, drawn_sums


class Bootstrap(NamedTuple):
    """Settings of a bootstrap.

    Parameters
    ----------
    n_boot : int or None
        Number of draws; None for no intervals.
    quantiles : list of float or None
        Quantiles in (0, 1).
    seed : int
        Seed, the same for all frames of a report: they draw the same rows.
    """

    n_boot: int | None
    quantiles: list[float] | None
    seed: int = 0

    @classmethod
    def checked(cls, n_boot: Any, quantiles: Any, random_state: Any) -> Bootstrap:
        """Return the settings, or raise ValueError if they are malformed."""
        if n_boot is None and (quantiles is None or not len(quantiles)):
            return cls(None, quantiles)
        if n_boot is None or quantiles is None or not len(quantiles):
            raise ValueError(
                f"n_boot and ci_quantiles must be given together, got n_boot={n_boot!r} and "
                f"ci_quantiles={quantiles!r}"
            )
        check_count("n_boot", n_boot, " or None")
        if not all(isinstance(each, float) and 0 < each < 1 for each in quantiles):
            raise ValueError(f"ci_quantiles must hold fractions in (0, 1), got {quantiles!r}")
        if not isinstance(random_state, np.random.RandomState):
            return cls(n_boot, quantiles, int(np.random.default_rng(random_state).integers(2**31)))
        return cls(n_boot, quantiles, int(random_state.randint(2**31 - 1)))


class MeanFrame(MetricFrame):
    """A MetricFrame with the means of per-sample values and the number of samples as metrics.

    It has the results of fairlearn for the same values: its data has one row per group, with the
    sums of the group, and its bootstrap draws all samples with replacement, as in fairlearn, but
    keeps only the sums of each draw.

    Parameters
    ----------
    cells : Cells
        Groups and levels of the samples.
    values : mapping of str to ndarray of shape (n_samples,)
        Values to average, by the name of the metric.
    bootstrap : Bootstrap
        Settings of the intervals.
    with_count : bool, default=False
        Whether ``count`` is a metric.
    squares : mapping of str to ndarray of shape (n_samples,), default=None
        If rows of the cells represent several samples: the sum of squared distances of their
        values from the row's.

    Examples
    --------
    >>> cells = Cells(pd.DataFrame({"sex": ["m", "f", "m"]}))
    >>> frame = MeanFrame(cells, {"loss": np.array([1.0, 2.0, 3.0])}, Bootstrap(None, None))
    >>> frame.by_group["loss"].to_dict(), frame.overall.to_dict(), frame.difference().to_dict()
    ({'f': 2.0, 'm': 2.0}, {'loss': 2.0}, {'loss': 0.0})
    """

    def __init__(
        self,
        cells: Cells,
        values: Mapping[str, npt.NDArray[np.float64]],
        bootstrap: Bootstrap,
        with_count: bool = False,
        squares: Mapping[str, npt.NDArray[np.float64]] | None = None,
    ) -> None:
        self._squares = dict(squares or {})
        self._cells, self._values, self._bootstrap = cells, dict(values), bootstrap
        metrics: dict[str, Any] = dict.fromkeys(values, _mean)
        params: dict[str, dict[str, Any]] = {
            name: {"sums": cells.sums(each), "counts": cells.counts}
            for name, each in values.items()
        }
        if with_count:
            metrics["count"], params["count"] = _count, {"counts": cells.counts}
        self._metric_names = [*metrics]
        rows = np.zeros(len(cells.counts))
        super().__init__(
            metrics=metrics, y_true=rows, y_pred=rows, sample_params=params, **cells.features()
        )
        self._draws: npt.NDArray[np.float64] | None = None

    @property
    def n_boot(self) -> int | None:
        """Number of bootstrap draws."""
        return self._bootstrap.n_boot

    @property
    def ci_quantiles(self) -> list[float] | None:
        """Quantiles of the bootstrap."""
        return self._bootstrap.quantiles

    @property
    def by_group_ci(self) -> list[pd.DataFrame]:
        """Quantiles of ``by_group``."""
        found = self._quantiles(self._means(self._sums()))
        frames = [pd.DataFrame(each.T, self._cells.index, self._metric_names) for each in found]
        # As in by_group, combinations without samples are included.
        return [frame.reindex(self.by_group.index) for frame in frames]

    @property
    def overall_ci(self) -> list[Any]:
        """Quantiles of ``overall``."""
        return self._by_level(self._overall())

    def group_min_ci(self) -> list[Any]:
        """Return the quantiles of ``group_min``."""
        return self._by_level(self._over_groups(np.fmin))

    def group_max_ci(self) -> list[Any]:
        """Return the quantiles of ``group_max``."""
        return self._by_level(self._over_groups(np.fmax))

    def difference_ci(self, method: str = "between_groups") -> list[Any]:
        """Return the quantiles of ``difference``.

        For equal groups they do not cover the difference, as no draw has a difference of 0. A
        report's `to_dict` has intervals of gaps that do.
        """
        if self._is_between(method):
            return self._by_level(self._over_groups(np.fmax) - self._over_groups(np.fmin))
        distances = np.abs(self._means(self._sums()) - self._overall()[..., self._level_of_cell()])
        return self._by_level(np.fmax.reduceat(distances, self._cells.starts, axis=-1))

    def ratio_ci(self, method: str = "between_groups") -> list[Any]:
        """Return the quantiles of ``ratio``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self._is_between(method):
                return self._by_level(self._over_groups(np.fmin) / self._over_groups(np.fmax))
            ratios = self._means(self._sums()) / self._overall()[..., self._level_of_cell()]
            ratios = np.where(ratios > 1, 1 / ratios, ratios)
        return self._by_level(np.fmin.reduceat(ratios, self._cells.starts, axis=-1))

    def _sums(self) -> npt.NDArray[np.float64]:
        if not self.n_boot:
            raise ValueError("intervals need n_boot and ci_quantiles, which were not given")
        if self._draws is None:
            rng = np.random.default_rng(self._bootstrap.seed)
            cells, values = self._cells, self._values
            squares = [self._squares.get(name) for name in values]
            self._draws = (
                drawn_sums(cells.codes, [*values.values()], self.n_boot, rng)
                if cells.weights is None
                else drawn_kinds(
                    cells.codes, [*values.values()], cells.weights, squares, self.n_boot, rng
                )
            )
        return self._draws

    def _means(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the metrics of each draw, (n_draws, n_metrics, …); NaN for groups not drawn."""
        counts = np.where(sums[:, :1] > 0, sums[:, :1], np.nan)
        means = sums[:, 1:] / counts
        return np.concatenate([means, counts], axis=1) if "count" in self._metric_names else means

    def _overall(self) -> npt.NDArray[np.float64]:
        return self._means(np.add.reduceat(self._sums(), self._cells.starts, axis=-1))

    def _over_groups(self, extreme: np.ufunc) -> npt.NDArray[np.float64]:
        return extreme.reduceat(self._means(self._sums()), self._cells.starts, axis=-1)

    def _level_of_cell(self) -> npt.NDArray[np.int64]:
        starts = self._cells.starts
        return np.searchsorted(starts, np.arange(len(self._cells.counts)), side="right") - 1

    def _by_level(self, draws: npt.NDArray[np.float64]) -> list[Any]:
        """Return quantiles of metrics, by control level if there are any."""
        found = self._quantiles(draws)
        if not self.control_levels:
            return [pd.Series(each[:, 0], self._metric_names) for each in found]
        occupied = self._cells.index[self._cells.starts].droplevel(self.sensitive_levels)
        frames = [pd.DataFrame(each.T, occupied, self._metric_names) for each in found]
        return [frame.reindex(self.overall.index) for frame in frames]

    def _quantiles(self, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        quantiles: Sequence[float] = self.ci_quantiles or []
        found = np.full((len(quantiles), *draws.shape[1:]), np.nan)
        was_drawn = ~np.isnan(draws).all(axis=0)
        with np.errstate(invalid="ignore"):  # interpolation between two infinite ratios
            found[:, was_drawn] = np.nanquantile(draws[:, was_drawn], quantiles, axis=0)
        return found

    @staticmethod
    def _is_between(method: str) -> bool:
        if method not in ("between_groups", "to_overall"):
            raise ValueError(f"method must be 'between_groups' or 'to_overall', got {method!r}")
        return method == "between_groups"


def _mean(
    y_true: Any, y_pred: Any, *, sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> float:
    return float(sums.sum() / counts.sum())


def _count(y_true: Any, y_pred: Any, *, counts: npt.NDArray[np.int64]) -> int:
    return int(counts.sum())
