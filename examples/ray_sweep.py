"""
A search on Ray
===============

The largest rate that harms no group, searched on the workers of Ray.

Without an argument Ray starts two workers on this machine; with an address, such as ``auto`` or
``ray://host:10001``, those of a cluster are used. joblib's backend for Ray starts new workers for
each step of a sweep, which takes some seconds: it is worthwhile if a net trains for minutes.
Run ``python examples/ray_sweep.py [address]``.
"""

import sys

import joblib
import torch

from sk_prunefair import FairPrunedClassifier, PruneRateSearchCV
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP


def main(address=None):
    """Print the selected rate and its table."""
    import ray
    from ray.util.joblib import register_ray

    digits = load_digits()
    X, y = digits.data, digits.target
    clf = FairPrunedClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=10,
        batch_size=32,
        finetune_epochs=3,
        verbose=0,
        random_state=0,
    )
    local = {"num_cpus": 2, "include_dashboard": False} if address is None else {}
    with ray.init(address=address, log_to_driver=False, **local):
        register_ray()
        with joblib.parallel_config("ray", n_jobs=2):
            search = PruneRateSearchCV(
                clf, rates=[0.3, 0.6, 0.9], max_accuracy_drop=0.05, cv=0.5, random_state=0
            ).fit(X, y, sensitive_features=y < 5)
    columns = ["rate", "group", "count", "accuracy_drop", "drop_bound", "passed"]
    print(search.results_[columns].round(3).to_string(index=False))
    print(f"\nprune {search.best_rate_:.0%}; beyond it, {search.binding_group_} binds")


if __name__ == "__main__":
    main(*sys.argv[1:])

# sphinx_gallery_thumbnail_path = "pictures/curve_digits.png"
