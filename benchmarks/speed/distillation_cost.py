"""What distillation adds to a step, and where it goes, on COMPAS and digits.

Run ``python -m benchmarks.speed.distillation_cost``; it prints, in a minute, the time of a
fine-tuning of six epochs beside one without (the least of four, what the teacher said kept), then a
profile.
"""

from __future__ import annotations

import cProfile
import pstats
import time

import torch

from benchmarks.lib.tasks import MITIGATION_TASKS
from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier

METHODS = {
    "none": lambda: [],
    "distillation": lambda: [("distillation", Distillation())],
    "recipe": lambda: [("equal_loss", EqualLossConstraint()), ("distillation", Distillation())],
}


def main() -> None:
    """Measure in turns, so that a busy machine slows all alike, then profile distillation."""
    torch.set_num_threads(1)
    for name in ("compas", "digits"):
        task = MITIGATION_TASKS[name]
        train, _, _ = task.load(0)
        given = {"y": train.y, "sensitive_features": train.group}
        params = task.params | {"max_epochs": 2, "random_state": 0}
        nets = {
            method: FairPrunedClassifier(**params, callbacks=make()).fit(train.X, **given)
            for method, make in METHODS.items()
        }
        least = dict.fromkeys(METHODS, float("inf"))
        for _ in range(4):
            for method, clf in nets.items():
                start = time.process_time()
                clf.prune(0.9, train.X, **given, finetune_epochs=6)
                least[method] = min(least[method], time.process_time() - start)
        print(name, {method: round(value / least["none"], 2) for method, value in least.items()})
        with cProfile.Profile() as profile:
            nets["distillation"].prune(0.9, train.X, **given, finetune_epochs=6)
        pstats.Stats(profile).sort_stats("cumtime").print_stats("distillation.py|run_backward|adam")


if __name__ == "__main__":
    main()
