"""A curve over ten rates, against its inference passes alone.

The passes are one of the dense and one of each pruned net over all samples, batch by batch, and
nothing else. The curve checks its input, prunes and compares group by group as well. Both are timed
in turn, several times; the ratio is of the medians. Run ``python -m benchmarks.speed.curve_cost``:
it rewrites the CSV beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.lib.timing import in_turns
from benchmarks.lib.training import of_one_epoch
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.modules import MLP, ResNet18
from sk_prunefair.selection import pruning_curve

RATES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
ROUNDS = 5
# Samples, their shape, the net, and its options. The numbers do not matter, their shapes do.
CASES: dict[str, tuple[int, tuple[int, ...], type[nn.Module], dict[str, Any]]] = {
    "Adult's shape, MLP 64-32": (16_000, (108,), MLP, {"module__hidden": (64, 32)}),
    "Adult's shape, MLP 256-128": (16_000, (108,), MLP, {"module__hidden": (256, 128)}),
    "UTKFace's shape, slim ResNet-18": (200, (3, 48, 48), ResNet18, {"module__width": 8}),
}


def measure(case: str, n_groups: int) -> dict[str, Any]:
    """Return the median times of one case, and their ratio."""
    n, shape, module, options = CASES[case]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, *shape)).astype(np.float32)
    y, groups = rng.integers(0, 2, n), rng.integers(0, n_groups, n)
    clf = of_one_epoch(module, batch_size=256, **options).fit(X[:256], y[:256])
    data = GroupDataset(X, y)

    def passes() -> None:
        for _ in range(1 + len(RATES)):
            clf.outcomes(data, clf.module_)

    def curve() -> None:
        pruning_curve(clf, X, y, sensitive_features=groups, rates=RATES, verbose=0)

    medians = in_turns({"passes_s": passes, "curve_s": curve}, ROUNDS).median().to_dict()
    ratio = medians["curve_s"] / medians["passes_s"]
    return {"case": case, "groups": n_groups} | medians | {"ratio": ratio}


def main() -> None:
    """Measure all cases, and write the CSV."""
    torch.set_num_threads(1)
    rows = [measure(case, n_groups) for case in CASES for n_groups in (2, 12)]
    results = pd.DataFrame(rows)
    results.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.4g")
    print(results.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
