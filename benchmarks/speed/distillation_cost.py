"""What distillation adds to a step, and where it goes, on COMPAS and digits.

Run ``python -m benchmarks.speed.distillation_cost``; it prints, in a minute, the time of a
fine-tuning of six epochs beside one without (the least of four, what the teacher said kept), then a
profile.
"""

from __future__ import annotations

import cProfile
import functools
import pstats

import torch

from benchmarks.lib.tasks import MITIGATION_TASKS
from benchmarks.lib.timing import in_turns
from benchmarks.lib.training import named, recipe
from sk_prunefair import Distillation, FairPrunedClassifier

METHODS = {"none": lambda: None, "distillation": Distillation, "recipe": recipe}


def main() -> None:
    """Measure in turns, so that a busy machine slows all alike, then profile distillation."""
    torch.set_num_threads(1)
    for name in ("compas", "digits"):
        task = MITIGATION_TASKS[name]
        train, _, _ = task.load(0)
        given = {"y": train.y, "sensitive_features": train.group}
        params = task.params | {"max_epochs": 2, "random_state": 0}
        nets = {
            method: FairPrunedClassifier(**params, callbacks=named(make())).fit(train.X, **given)
            for method, make in METHODS.items()
        }
        works = {
            method: functools.partial(clf.prune, 0.9, train.X, **given, finetune_epochs=6)
            for method, clf in nets.items()
        }
        least = in_turns(works, 4).min()
        print(name, (least / least["none"]).round(2).to_dict())
        with cProfile.Profile() as profile:
            works["distillation"]()
        pstats.Stats(profile).sort_stats("cumtime").print_stats("distillation.py|run_backward|adam")


if __name__ == "__main__":
    main()
