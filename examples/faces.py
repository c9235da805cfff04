"""
Faces
=====

Prune a slim ResNet that predicts race, and see which groups lose accuracy.

UTKFace holds 23,705 faces with age, gender and race; here race is the label and the group, as in
the paper. The images are for non-commercial research and are not downloaded: get the "aligned and
cropped" faces from the UTKFace project page and pass the folder, or a tar file's folder.
Run ``python examples/faces.py FOLDER``; takes some minutes on two cores. The recipe was added after
a first run on 8,000 larger images, where equal losses alone closed the gap (0.83 to 0.50) at the
cost of accuracy (0.62 to 0.50).
"""

import sys

import torch
from sklearn.model_selection import train_test_split

from sk_prunefair import Distillation, EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_utkface
from sk_prunefair.modules import ResNet18

try:
    faces = load_utkface(
        data_home=sys.argv[1] if len(sys.argv) > 1 else None,
        target="race",
        sensitive_features=("race",),
        size=32,
        n_samples=12_000,
        random_state=0,
        verbose=1,
    )
except FileNotFoundError as error:
    sys.exit(f"{error}\n\n{__doc__}")

race = faces.sensitive_features
X, X_test, y, y_test, group, group_test = train_test_split(
    faces.data, faces.target, race, test_size=0.4, stratify=faces.target, random_state=0
)

clf = FairPrunedClassifier(
    ResNet18,
    module__width=8,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=1e-3,
    max_epochs=6,
    batch_size=128,
    train_split=None,
    verbose=0,
    random_state=0,
)
clf.fit(X, y, sensitive_features=group)

# %%
# Prune: at once, then with a fine-tuning, then with the recommended recipe.
print("Seven weights in ten removed at once:")
clf.prune(0.7)
print(clf.fairness_report(X_test, y_test, sensitive_features=group_test))

print("\nNine in ten, fine-tuned for three epochs:")
clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=3)
print(clf.fairness_report(X_test, y_test, sensitive_features=group_test))

print("\nThe same with equal losses and distillation:")
clf.set_params(callbacks=[("equal_loss", EqualLossConstraint()), ("distillation", Distillation())])
clf.fit(X, y, sensitive_features=group)
clf.prune(0.9, X, y, sensitive_features=group, finetune_epochs=3)
print(clf.fairness_report(X_test, y_test, sensitive_features=group_test))

# %%
# What to take from it (one seed): with seven weights in ten removed at once the net predicts White
# for nearly everybody. Fine-tuning brings the accuracy back, but not to all: nobody is predicted
# Other, the smallest group. The recipe keeps that label and takes the gap from 0.82 to 0.21, at the
# price of nine points of overall accuracy.

# sphinx_gallery_thumbnail_path = "pictures/gallery_faces.png"
