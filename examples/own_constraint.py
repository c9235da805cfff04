"""
A constraint of your own
========================

Group DRO in fifteen lines.

Group distributionally robust optimisation (Sagawa et al., 2020) trains on the worst mixture of the
groups, Σ q_a J_a: after each batch a group's log-weight grows with its mean loss. A constraint
returns factors of the losses of a batch (`weights`), a term that is added to their mean
(`penalty`), or the frequencies of rows (`draw_weights`); skorch's ``on_...`` hooks update its
state. State that is declared with `add_state` is reset by `fit`, and every pruning starts with that
of the dense net. Run ``python examples/own_constraint.py``.
"""

import torch
from sklearn.model_selection import train_test_split

from sk_prunefair import Constraint, FairPrunedClassifier
from sk_prunefair.datasets import load_digits, long_tailed
from sk_prunefair.modules import MLP


class GroupDRO(Constraint):
    """Group weights that increase with the groups' losses."""

    def initialize(self):
        super().initialize()
        self.add_state("log_weights_", torch.zeros(1), lives="fit")
        return self

    def weights(self, net, batch):
        group = batch["group"].to(net.device)
        counts = group.bincount(minlength=len(net.groups_))
        q = self.log_weights_.to(net.device).expand(len(counts)).softmax(0)
        return (q * len(group) / counts)[group]

    def on_batch_end(self, net, batch, training, losses, **kwargs):
        if training and self.is_active(net):
            group = batch[0]["group"].to(losses.device)
            counts = group.bincount(minlength=len(net.groups_))
            sums = losses.new_zeros(len(counts)).index_add(0, group, losses)
            self.log_weights_ = self.log_weights_.to(sums) + 0.01 * sums / counts.clamp(1)


digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.data, digits.target, test_size=0.5, stratify=digits.target, random_state=0
)
rows = long_tailed(y, 20, random_state=0)  # few nines, many zeros
X, y = X[rows], y[rows]

for constraint in (None, GroupDRO()):
    clf = FairPrunedClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=2e-3,
        max_epochs=30,
        batch_size=16,
        train_split=None,
        callbacks=[("dro", constraint)],
        prune_rate=0.8,
        finetune_epochs=5,
        verbose=0,
        random_state=0,
    )
    clf.fit(X, y, sensitive_features=y)
    print("group DRO" if constraint else "no constraint")
    print(clf.fairness_report(X_test, y_test, sensitive_features=y_test), "\n")

# sphinx_gallery_thumbnail_path = "pictures/gallery_own_constraint.png"
