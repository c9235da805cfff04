"""
A small BERT
============

Prune a BERT that classifies digits as 64 tokens, by heads and by weights; report and export it.

Each of the 64 pixels of a digit is a token of 17 kinds, from empty to dark. The net is one of
transformers, built from its configuration and passed to the classifier unchanged: the dict of
``input_ids`` becomes ``module(**X)``. Each digit is a group. Needs no download, but the packages
transformers, torch-pruning and onnx. Run ``python examples/transformer.py [file.onnx]``.
"""

import sys

import torch
from sklearn.model_selection import train_test_split
from transformers import BertConfig, BertForSequenceClassification, set_seed

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_digits
from sk_prunefair.export import to_onnx

digits = load_digits()
tokens = (16 * digits.data.reshape(-1, 64)).round().astype(int)
ids, ids_test, y, y_test = train_test_split(
    tokens, digits.target, test_size=1 / 3, stratify=digits.target, random_state=0
)
X, X_test = {"input_ids": ids}, {"input_ids": ids_test}

# %%
# Train. For a downloaded net, use from_pretrained(...) instead.
set_seed(0)
config = BertConfig(
    vocab_size=17,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=64,
    initializer_range=0.1,  # a net this narrow learns slowly from smaller weights
    num_labels=10,
)
clf = FairPrunedClassifier(
    BertForSequenceClassification(config),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.AdamW,
    lr=1e-3,
    max_epochs=25,
    batch_size=32,
    train_split=None,
    verbose=0,
    random_state=0,
)
clf.fit(X, y, sensitive_features=y)
print(f"dense net: {clf.score(X_test, y_test):.3f} of the test digits are right\n")


def size(net: torch.nn.Module) -> str:
    """Return the heads and the feed-forward width of the first layer."""
    layer = net.bert.encoder.layer[0]
    heads = layer.attention.self.query.out_features // layer.attention.self.attention_head_size
    return f"{heads} heads, feed-forward width {layer.intermediate.dense.out_features}"


# %%
# Remove half of the heads and of the feed-forward width of each layer: the net gets smaller.
clf.set_params(pruner="channel_magnitude")
clf.prune(0.5, X, y, sensitive_features=y, finetune_epochs=3)
print(f"{size(clf.dense_module_)} → {size(clf.module_)}")
print(clf.fairness_report(X_test, y_test, sensitive_features=y_test), "\n")

# %%
# Or remove 70 % of the weights, from the dense net again.
clf.set_params(pruner="magnitude")
clf.prune(0.7, X, y, sensitive_features=y, finetune_epochs=3)
print(clf.fairness_report(X_test, y_test, sensitive_features=y_test), "\n")

# %%
# For a runtime without Python: any number of samples, the labels in the metadata.
path = sys.argv[1] if len(sys.argv) > 1 else "transformer.onnx"
to_onnx(clf, path)
print(f"written: {path}")

# %%
# Result: removing half of the heads and of the width saves half of the arithmetic for a point of
# accuracy, nearly all of it on the eights; removing 70 % of the weights costs as little, more
# evenly (one seed).

# sphinx_gallery_thumbnail_path = "pictures/gallery_transformer.png"
