"""
An audit page
=============

The effect of pruning on each group, in one HTML file for readers without Python.

An MLP on long-tailed digits, where the rare digits are the small groups. The page has the verdict,
the groups sorted by harm, each gap beside the gap expected by chance, and the limits of the
numbers. With ``--pictures`` it adds a net trained with equal losses for comparison, and draws the
paper's Figures 1, 4 and 5. Needs no download.
Run ``python examples/audit_page.py [FILE] [--pictures FOLDER]``; a quarter of a minute.
"""

import argparse

import torch
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.modules import MLP
from sk_prunefair.plotting import ConstraintEffectDisplay, PruningCurveDisplay, TradeoffDisplay
from sk_prunefair.selection import pruning_curve

parser = argparse.ArgumentParser()
parser.add_argument("page", nargs="?", default="audit.html")
parser.add_argument("--pictures")
args = parser.parse_args()

digits = load_digits(long_tail=10, random_state=0)
X, X_test, y, y_test, groups, groups_test = train_test_split(
    digits.data,
    digits.target,
    digits.sensitive_features,
    test_size=0.5,
    stratify=digits.target,
    random_state=0,
)
clf = FairPrunedClassifier(
    MLP,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=1e-3,
    max_epochs=20,
    batch_size=32,
    train_split=None,
    verbose=0,
    random_state=0,
)
clf.fit(X, y, sensitive_features=groups)

# Other pruning rates of the same net.
test = {"X": X_test, "y": y_test, "sensitive_features": groups_test}
options = {"rates": [0.5, 0.6, 0.7, 0.8, 0.9], "verbose": 0}
curve = pruning_curve(clf, **test, **options)

# The page is on one net: 70 % of the weights removed, bootstrap intervals, possible reasons.
report = clf.prune(0.7).fairness_report(
    **test, n_boot=50, ci_quantiles=[0.05, 0.95], diagnostics=True, random_state=0
)
report.to_html(
    args.page,
    title="Digits, 70 % of the weights removed",
    curve=curve,
    facts={
        "Data": "scikit-learn's digits, long-tailed 10:1; one half for training, the other shown",
        "Model": "MLP, 20 epochs of Adam, magnitude pruning at once, no fine-tuning",
    },
)
print(report)
print(f"\nwritten: {args.page}")

if args.pictures:
    held = clone(clf).set_params(callbacks=[("equal_loss", EqualLossConstraint(phase="before"))])
    nets = {"no constraint": clf, "equal losses": held.fit(X, y, sensitive_features=groups)}
    drawn = {
        "curve_digits": PruningCurveDisplay.from_frame(curve),
        "risk_digits": report.plot(),
        "effect_digits": ConstraintEffectDisplay.from_estimators(nets, **test),
        "tradeoff_digits": TradeoffDisplay.from_estimators(
            nets, **test, violation="fairness_violation", **options
        ),
    }
    for name, display in drawn.items():
        display.figure_.savefig(f"{args.pictures}/{name}.png", dpi=110)

# sphinx_gallery_thumbnail_path = "pictures/gallery_audit_page.png"
