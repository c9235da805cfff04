"""
Ray Tune
========

Search for settings of the fine-tuning with Ray Tune, which stops trials by the history.

Each trial runs in its own process. A callback reports every epoch of the fine-tuning; the scheduler
(ASHA) stops the trials with low scores. Like Optuna's, it compares a single number, here the
validation accuracy minus the gap between the groups' mean losses, so the trade-off between the two
has to be fixed in advance. ``optuna_search.py`` does not need that.
Without an argument Ray starts on this machine; with an address it uses a cluster.
Run ``python examples/ray_tune.py [address]``.
"""

import sys
import tempfile

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from skorch.callbacks import Callback

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP


class Report(Callback):
    """Report each epoch of the fine-tuning to Ray Tune."""

    def on_epoch_end(self, net, **kwargs):
        """Report the last row of the history."""
        if net.prune_rate_ > 0:
            row = net.history[-1]
            accuracy, gap = row["valid_acc"], row["loss_gap"]
            tune.report({"accuracy": accuracy, "gap": gap, "worth": accuracy - gap})


def train(config):
    """Train, prune and fine-tune one net."""
    torch.set_num_threads(1)
    digits = load_digits()
    clf = FairPrunedClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=5,
        batch_size=32,
        prune_rate=0.8,
        finetune_epochs=6,
        finetune_lr=config["finetune_lr"],
        callbacks=[
            ("equal_loss", EqualLossConstraint(step_size=config["step_size"])),
            ("report", Report()),
        ],
        verbose=0,
        random_state=0,
    )
    clf.fit(digits.data, digits.target, sensitive_features=digits.target)


def main(address=None):
    """Print all trials, the best one first."""
    local = {"num_cpus": 2, "include_dashboard": False} if address is None else {}
    connected = ray.init(address=address, log_to_driver=False, **local)
    with connected, tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            train,
            param_space={
                "finetune_lr": tune.grid_search([0.01, 0.1]),
                "step_size": tune.grid_search([0.0, 0.5]),
            },
            tune_config=tune.TuneConfig(
                metric="worth", mode="max", scheduler=ASHAScheduler(grace_period=2, max_t=6)
            ),
            run_config=tune.RunConfig(verbose=0, storage_path=folder),
        ).fit()
    columns = ["config/finetune_lr", "config/step_size", "training_iteration", "accuracy", "gap"]
    frame = results.get_dataframe().sort_values("worth", ascending=False)
    print(frame[columns].round(3).to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])

# sphinx_gallery_thumbnail_path = "pictures/mitigation.png"
