"""
A sweep on Dask
===============

One curve over seeds and rates, distributed over the workers of Dask.

Without an argument two workers start on this machine; with the address of a scheduler, such as
``tcp://host:8786``, those of a cluster are used. Data is sent to each worker once. Results are
stored in a folder: after a crash, run the same command again, and it continues from there.
Run ``python examples/dask_sweep.py [address] [folder]``.
"""

import sys

import joblib
import torch
from dask.distributed import Client, LocalCluster

from sk_prunefair import FairPrunedClassifier, pruning_curve
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP


def main(address=None, folder=None):
    """Print the accuracy of the worst group, by rate and seed."""
    digits = load_digits()
    X, y = digits.data, digits.target
    clf = FairPrunedClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=10,
        batch_size=32,
        verbose=0,
    )
    cluster = address or LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(cluster), joblib.parallel_config("dask"):
        curve = pruning_curve(
            clf,
            X[1000:],
            y[1000:],
            sensitive_features=y[1000:],
            rates=[0.5, 0.8, 0.9],
            X_train=X[:1000],
            y_train=y[:1000],
            sensitive_features_train=y[:1000],
            finetune_epochs=2,
            random_states=range(3),
            memory=folder,
        )
    if address is None:
        cluster.close()
    worst = curve.groupby(["rate", "random_state"])["accuracy"].min().unstack()
    print("Accuracy of the worst digit, by rate and seed\n", worst.round(3).to_string(), sep="")


if __name__ == "__main__":  # the workers import this file
    main(*sys.argv[1:])

# sphinx_gallery_thumbnail_path = "pictures/curve_digits.png"
