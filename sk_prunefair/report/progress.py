"""A progress bar for fairlearn's bootstrap, which has none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from sk_prunefair.report.cells import Cells

Metric = Callable[..., Any]


@contextlib.contextmanager
def bootstrap_bar(cells: Cells, n_boot: int | None, verbose: int) -> Iterator[Callable[[], Any]]:
    """Show the progress of two MetricFrames with bootstrap; yield a function to call per value.

    A frame calls a metric once for each group and each level of control features, in each draw and
    for the samples themselves; less often if a draw holds no sample of a group.

    Parameters
    ----------
    cells : Cells
        Groups and levels of the frames.
    n_boot : int or None
        Number of draws; with None no bar is shown.
    verbose : int
        0 shows no bar; none is shown either if the output is not a terminal.
    """
    total = 2 * (1 + (n_boot or 0)) * (len(cells.counts) + len(cells.starts))
    disable = None if verbose and n_boot else True
    with tqdm(total=total, desc="bootstrap", disable=disable, unit="value") as bar:
        yield bar.update
        bar.update(max(total - bar.n, 0))


def counted(metric: Metric, tick: Callable[[], Any]) -> Metric:
    """Return a metric of labels that reports each of its calls.

    Examples
    --------
    >>> calls = []
    >>> counted(lambda y_true, y_pred: 0.5, lambda: calls.append(1))([0], [0]), calls
    (0.5, [1])
    """

    def called(y_true: Any, y_pred: Any) -> Any:
        tick()
        return metric(y_true, y_pred)

    return called
