"""
Quick start
===========

Prune a net that reads digits, and see which digits lose accuracy.

Each digit is a group, as the paper does for image classes. Needs no download.
Run ``python examples/quickstart.py``.
"""

import torch
from sklearn.model_selection import train_test_split

from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.data, digits.target, test_size=0.5, stratify=digits.target, random_state=0
)

# %%
# Train as any scikit-learn classifier. MLP is given n_features and n_classes from the data.
clf = FairPrunedClassifier(
    MLP,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=1e-3,
    max_epochs=30,
    batch_size=32,
    train_split=None,
    verbose=0,
    random_state=0,
)
clf.fit(X, y, sensitive_features=y)
print(f"dense net: {clf.score(X_test, y_test):.3f} of the test digits are right\n")

# %%
# Remove nine weights in ten at once. Some digits are hardly ever right any more.
clf.prune(0.9)
print(clf.fairness_report(X_test, y_test, sensitive_features=y_test), "\n")

# %%
# Let the weights that are left recover. Pruning starts from the dense net again.
clf.prune(0.9, X, y, sensitive_features=y, finetune_epochs=10)
print(clf.fairness_report(X_test, y_test, sensitive_features=y_test), "\n")

# %%
# The same, with the groups' losses held together, and a fine-tuning that follows the dense net.
clf.set_params(callbacks=[("equal_loss", EqualLossConstraint()), ("distillation", Distillation())])
clf.fit(X, y, sensitive_features=y)
clf.prune(0.9, X, y, sensitive_features=y, finetune_epochs=10)
print(clf.fairness_report(X_test, y_test, sensitive_features=y_test))

# sphinx_gallery_thumbnail_path = "pictures/gallery_quickstart.png"
