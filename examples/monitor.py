"""
Monitoring after release
========================

Monitor a pruned net: which group is harmed, and since when.

Digits, a pruned net in production, and a batch of images every hour. At first the data is the same
as at release. Then the sensor of one site gets noisy, to which the dense net is more robust than
the pruned one: the monitor reports the group and the time. Labels arrive later than predictions.
Needs no download. Run ``python examples/monitor.py``.
"""

import copy

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from sk_prunefair import FairPrunedClassifier, GroupMonitor
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.data, digits.target, test_size=0.5, stratify=digits.target, random_state=0
)
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
).fit(X, y)
before = copy.deepcopy(clf)
clf.prune(0.9, X, y, finetune_epochs=5)
site = np.random.default_rng(0).choice(["north", "south", "west"], len(y_test), p=[0.4, 0.3, 0.3])
report = clf.fairness_report(X_test, y_test, sensitive_features=site)
print(report)

# %%
# At release: the groups, their shares, and the promise.
monitor = GroupMonitor.from_report(
    report, max_accuracy_drop=0.03, max_share_shift=0.1, classes=clf.classes_
)


def hour(rng, noise):
    """Return an hour's images, labels and sites; the images of the west are noisy."""
    rows = rng.integers(0, len(y_test), 200)
    images, where = X_test[rows].copy(), site[rows]
    images[where == "west"] += rng.normal(0, noise, images[where == "west"].shape)
    return images.astype(np.float32), y_test[rows], where


# %%
# Fifty normal hours, then the sensor fails. Predictions come at once, labels of most images later.
rng = np.random.default_rng(1)
for t in range(200):
    images, labels, where = hour(rng, noise=0.0 if t < 50 else 0.4)
    known = np.where(rng.random(200) < 0.8, labels.astype(object), None)
    alarms = monitor.update(
        before.predict(images), clf.predict(images), sensitive_features=where, y=known
    )
    for alarm in alarms.itertuples():
        print(
            f"hour {t}: {alarm.group}, {alarm.kind}: {alarm.observed:+.3f} over {alarm.rows} rows, "
            f"evidence {alarm.evidence:.0f} of {alarm.threshold:.0f}"
        )
print(monitor.table_.round(3).T.to_string())

# %%
# The state is saved as JSON across restarts, and shards of a service are combined by `merged`.
again = GroupMonitor.from_json(monitor.to_json())
print(f"{len(monitor.to_json()):,} characters; the same alarms: {len(again.alarms_)}")

# sphinx_gallery_thumbnail_path = "pictures/gallery_monitor.png"
