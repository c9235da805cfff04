"""
Several objectives with Optuna
==============================

Accuracy, fairness violation ξ and size at once, searched with Optuna.

The three objectives conflict: the search returns the nets on their Pareto front.
Optuna's own pruning of trials (``trial.report``, ``trial.should_prune``) is for one objective only
and raises an error in a search with several. So a callback stops a trial by the classifier's
history: if at some epoch of its fine-tuning another trial with at most as many weights was more
accurate on the validation part that ``fit`` holds out, and had a smaller difference between its
groups' losses (``loss_gap``, on the training batches). The size is known from the start. This is a
heuristic: a trial that would have improved later is lost.

The objectives are measured on rows that no net was trained on; the test rows are used once, at the
end. Run ``python examples/optuna_search.py [number of trials]``.
"""

import sys

import optuna
import torch
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP


class StopBeaten(Callback):
    """Stop a trial that another one dominates in all objectives, epoch by epoch of the fine-tuning.

    Parameters
    ----------
    trial : optuna.Trial
        The trial; it is compared with the other trials of its study.
    patience : int
        Number of epochs of fine-tuning before the first comparison.
    """

    def __init__(self, trial, patience=2):
        self.trial = trial
        self.patience = patience

    def on_epoch_end(self, net, **kwargs):
        """Compare the last row of the history with the same row of the others."""
        if net.prune_rate_ == 0:
            return
        rows = [(row["valid_acc"], row["loss_gap"]) for row in net.history]
        self.trial.set_user_attr("rows", rows)
        self.trial.set_user_attr("rate", net.prune_rate_)
        epoch = len(rows)
        others = self.trial.study.get_trials(
            deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]
        )
        for other in others:
            known = other.user_attrs
            if other.user_attrs["rate"] < net.prune_rate_ or epoch <= self.patience:
                continue
            accuracy, gap = known["rows"][epoch - 1]
            if accuracy > rows[-1][0] and gap < rows[-1][1]:
                raise optuna.TrialPruned(f"beaten by trial {other.number} at epoch {epoch}")


def make(trial):
    """Return the classifier with the parameters of a trial."""
    callbacks = [
        ("equal_loss", EqualLossConstraint(step_size=trial.suggest_float("step_size", 0.0, 1.0))),
        ("distillation", Distillation(weight=trial.suggest_float("distillation", 0.0, 1.0))),
        ("stop", StopBeaten(trial)),
    ]
    return FairPrunedClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=8,
        batch_size=32,
        prune_rate=trial.suggest_float("prune_rate", 0.5, 0.97),
        finetune_epochs=6,
        finetune_lr=trial.suggest_float("finetune_lr", 0.01, 0.3, log=True),
        callbacks=callbacks,
        verbose=0,
        random_state=0,
    )


digits = load_digits()
X, y = digits.data, digits.target
rest, test = train_test_split(range(len(X)), test_size=0.3, stratify=y, random_state=0)
train, valid = train_test_split(rest, test_size=0.4, stratify=y[rest], random_state=0)
nets = {}


def objectives(trial):
    """Return accuracy, ξ and the share of kept weights, on held-out rows."""
    clf = make(trial).fit(X[train], y[train], sensitive_features=y[train])
    report = clf.fairness_report(X[valid], y[valid], sensitive_features=y[valid])
    nets[trial.number] = clf
    return report.pruned.overall["accuracy"], report.fairness_violation, 1 - clf.sparsity_


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    directions=["maximize", "minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=0)
)
study.optimize(objectives, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)

stopped = [t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
print(f"{len(study.trials)} trials, {len(stopped)} stopped early\n")
print("Nets that none beats in all three, on the test rows")
print(f"{'trial':>5}  {'weights left':>12}  {'accuracy':>8}  {'ξ':>6}   validation: accuracy, ξ")
for best in sorted(study.best_trials, key=lambda trial: trial.values[2]):
    accuracy, xi, left = best.values
    report = nets[best.number].fairness_report(X[test], y[test], sensitive_features=y[test])
    shown = report.pruned.overall["accuracy"], report.fairness_violation
    print(f"{best.number:5}  {left:12.3f}  {shown[0]:8.3f}  {shown[1]:6.3f}   ", end="")
    print(f"{accuracy:.3f}, {xi:.3f}")

# sphinx_gallery_thumbnail_path = "pictures/tradeoff_digits.png"
