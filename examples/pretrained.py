"""
A Hugging Face ResNet
=====================

Prune, fine-tune, audit and export a net of another library.

The net is built from a configuration and trained here, so that nothing is downloaded; a net from
``ResNetForImageClassification.from_pretrained`` is used in the same way. Needs transformers and the
extra onnx; to check the ONNX file, onnxruntime. Run ``python examples/pretrained.py``.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from transformers import ResNetConfig, ResNetForImageClassification

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.export import load_compact, save_compact, to_onnx

# Digits of 8×8, each pixel twice as wide and high; round digits are one group, the others one.
digits = load_digits()
images = digits.data.reshape(-1, 1, 8, 8).repeat(2, axis=2).repeat(2, axis=3)
shape = np.where(np.isin(digits.target, [0, 6, 8, 9]), "round", "other")
X, X_test, y, y_test, group, group_test = train_test_split(
    images, digits.target, shape, test_size=0.5, stratify=digits.target, random_state=0
)

torch.manual_seed(0)
config = ResNetConfig(
    num_channels=1,
    embedding_size=16,
    hidden_sizes=[16, 32],
    depths=[1, 1],
    layer_type="basic",
    num_labels=10,
)
clf = FairPrunedClassifier(
    ResNetForImageClassification(config),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=3e-3,
    max_epochs=5,
    batch_size=32,
    train_split=None,
    verbose=0,
    random_state=0,
)

# %%
# Train, prune, fine-tune, audit.
clf.fit(X, y, sensitive_features=group)
clf.prune(0.8, X, y, sensitive_features=group, finetune_epochs=3)
timed = {"contenders": ["dense", "masked", "onnx"], "batch_sizes": 1, "threads": 1, "seconds": 5}
print(clf.fairness_report(X_test, y_test, sensitive_features=group_test, latency=timed))

with tempfile.TemporaryDirectory() as folder:
    # Save a small file, and load it into a net of the same architecture.
    path = Path(folder) / "net.zip"
    save_compact(clf, path)
    fresh = load_compact(path, ResNetForImageClassification(config)).eval()
    with torch.no_grad():
        codes = fresh(torch.as_tensor(X_test, dtype=torch.float32)).logits.argmax(1).numpy()
    same = np.mean(clf.classes_[codes] == clf.predict(X_test))
    print(f"\ncompact file: {path.stat().st_size:,} bytes; {same:.0%} of the predictions are equal")

    # ONNX, for runtimes without PyTorch.
    path = Path(folder) / "net.onnx"
    to_onnx(clf, path)
    try:
        import onnxruntime
    except ImportError:
        print("install onnxruntime to run the ONNX file")
    else:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (scores,) = session.run(None, {"X": X_test.astype(np.float32)})
        same = np.mean(clf.classes_[scores.argmax(1)] == clf.predict(X_test))
        print(f"ONNX file: {path.stat().st_size:,} bytes; {same:.0%} of the predictions are equal")

# sphinx_gallery_thumbnail_path = "pictures/gallery_pretrained.png"
