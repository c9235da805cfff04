"""
Dense, pruned, int8, and both
=============================

Four files of one net, compared group by group.

On Adult (groups: sex × race) and on Fashion-MNIST with a long tail (groups: the ten classes). All
nets are ONNX files, run by ONNX Runtime on held-out rows, as they would be deployed.
Run ``python examples/audit_int8.py [folder with adult/ and fashion_mnist/]``; it takes the extra
``onnx``.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sk_prunefair import FairPrunedClassifier, compare_models
from sk_prunefair.datasets import load_adult, load_fashion_mnist, long_tailed
from sk_prunefair.export import to_onnx
from sk_prunefair.modules import MLP

data_home = sys.argv[1] if len(sys.argv) > 1 else None


def adult():
    """Return training and test rows of Adult: features, labels, groups."""
    train, test = (load_adult(data_home=data_home, subset=part) for part in ("train", "test"))
    encode = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    ).fit(pd.concat([train.data, test.data]))
    for part in (train, test):
        X = encode.transform(part.data).astype(np.float32)
        yield X, np.asarray(part.target), part.sensitive_features[["sex", "race"]]


def fashion():
    """Return training rows of Fashion-MNIST in a long tail of 20 : 1, and 5,000 test images."""
    for subset in ("train", "test"):
        data = load_fashion_mnist(data_home=data_home, subset=subset)
        y = np.asarray(data.target)
        rows = long_tailed(y, 20, random_state=0)[::4] if subset == "train" else np.arange(5000)
        yield data.data[rows].astype(np.float32), y[rows], pd.Series(y[rows], name="class")


def small_cnn():
    """Return a net of two convolutions for 28×28 images."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def compare(name, module, epochs, train, test, folder):
    """Train, prune, quantise; print the effect of each step on the groups."""
    X, y, groups = train
    clf = FairPrunedClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=epochs,
        batch_size=128,
        train_split=None,
        verbose=0,
        random_state=0,
    ).fit(X, y, sensitive_features=groups)
    calibration = X[np.random.default_rng(0).permutation(len(X))[:500]]
    files = {label: folder / f"{name} {label}.onnx" for label in ("dense", "int8")}
    to_onnx(clf, files["dense"])
    to_onnx(clf, files["int8"], quantize="int8", calibration=calibration)
    clf.prune(0.9, X, y, sensitive_features=groups, finetune_epochs=2)
    for label, options in (
        ("pruned", {}),
        ("pruned + int8", {"quantize": "int8", "calibration": calibration}),
    ):
        files[label] = folder / f"{name} {label}.onnx"
        to_onnx(clf, files[label], **options)
    X_test, y_test, groups_test = test
    reports = {
        label: compare_models(
            files["dense"],
            files[label],
            X_test,
            y_test,
            sensitive_features=groups_test,
            names=("dense", label),
        )
        for label in ("int8", "pruned", "pruned + int8")
    }
    print(f"{name}: accuracy lost, dense net minus the other, over {len(y_test):,} test rows")
    drops = {label: report.accuracy_drop for label, report in reports.items()}
    print(pd.DataFrame(drops).to_string(float_format="{:z.3f}".format))
    for label, report in reports.items():
        dense, other = report.outcomes
        changed = float(np.mean(dense.labels != other.labels))
        print(
            f"{label}: accuracy {report.compressed.overall['accuracy']:.3f}, answers changed "
            f"{changed:.1%}, ξ {report.fairness_violation:.3f}, "
            f"{report.compression['bytes_stored'] / 1000:.0f} kB on disk"
        )
    verdict = reports["pruned + int8"].promise(max_accuracy_drop=0.05, criteria="accuracy")
    print(f"pruned + int8: {verdict.sentence}\n")
    return reports["pruned + int8"]


with tempfile.TemporaryDirectory() as folder:
    reports = [
        compare("Adult", MLP, 3, *adult(), Path(folder)),
        compare("Fashion-MNIST", small_cnn(), 12, *fashion(), Path(folder)),
    ]

# %%
# Result (one seed): quantisation to 8 bits changes few predictions, equally in all groups. Pruning
# shifts accuracy between groups, and quantisation on top of it does not change that.

# sphinx_gallery_thumbnail_path = "pictures/gallery_audit_int8.png"
