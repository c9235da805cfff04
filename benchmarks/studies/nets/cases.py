"""The nets, each with its data and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from sklearn.model_selection import train_test_split
from torch import nn

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.datasets import load_adult, load_compas, load_digits, load_fashion_mnist
from sk_prunefair.modules import TabularNet
from sk_prunefair.tables import TabularEncoder

Data = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
# A transformer of two narrow layers.
NARROW = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
NARROW |= {"intermediate_size": 128, "num_labels": 10}


class LSTM(nn.Module):
    """An LSTM over embedded tokens; its last state is classified."""

    def __init__(self, n_tokens: int = 17, n_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_tokens, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of tokens of shape (n_samples, n_tokens)."""
        return self.head(self.lstm(self.embed(input_ids))[0][:, -1])


def bert() -> nn.Module:
    """Return a BERT of two layers."""
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=17, max_position_embeddings=64, initializer_range=0.1, **NARROW
        )
    )


def gpt2() -> nn.Module:
    """Return a GPT-2 of two layers; token 16 pads, and is the darkest of the pixels."""
    return transformers.GPT2ForSequenceClassification(
        transformers.GPT2Config(
            vocab_size=18,
            n_embd=64,
            n_layer=2,
            n_head=4,
            n_positions=64,
            initializer_range=0.1,
            num_labels=10,
            pad_token_id=17,
            bos_token_id=17,
            eos_token_id=17,
        )
    )


def vit() -> nn.Module:
    """Return a ViT of two layers on 49 patches."""
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=28, patch_size=4, num_channels=1, **NARROW)
    )


def resnet() -> nn.Module:
    """Return a slim ResNet of three stages."""
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            num_channels=1,
            embedding_size=16,
            hidden_sizes=[16, 32, 64],
            depths=[1, 1, 1],
            layer_type="basic",
            num_labels=10,
        )
    )


@cache
def digits(seed: int) -> tuple[Data, Data]:
    """Return digits as 64 tokens of 17 kinds."""
    bunch = load_digits()
    X, y = (16 * bunch.data.reshape(-1, 64)).round().astype(np.int64), bunch.target
    fit, test = train_test_split(np.arange(len(y)), test_size=1 / 3, stratify=y, random_state=seed)
    return tuple(({"input_ids": X[rows]}, y[rows], y[rows]) for rows in (fit, test))


@cache
def fashion(seed: int) -> tuple[Data, Data]:
    """Return 6,000 images to train on, 4,000 held out."""
    parts = []
    for subset, n in (("train", 6000), ("test", 4000)):
        bunch = load_fashion_mnist(subset=subset)
        rows = np.random.default_rng(seed).permutation(len(bunch.target))[:n]
        X = np.asarray(bunch.data[rows], dtype=np.float32).reshape(n, 1, 28, 28)
        parts.append(({"pixel_values": X / X.max()}, bunch.target[rows], bunch.target[rows]))
    return tuple(parts)


def encoded(table: pd.DataFrame, y: np.ndarray, group: np.ndarray, seed: int) -> tuple[Data, Data]:
    """Return two thirds of a table to train on, the rest held out, encoded by the former."""
    fit, test = train_test_split(np.arange(len(y)), test_size=1 / 3, stratify=y, random_state=seed)
    encoder = TabularEncoder().fit(table.iloc[fit])
    return tuple(
        (dict(encoder.transform(table.iloc[rows])), y[rows], group[rows]) for rows in (fit, test)
    )


@cache
def adult(seed: int) -> tuple[Data, Data]:
    """Return Adult, in groups of sex × race."""
    bunch = load_adult()
    group = bunch.sensitive_features[["sex", "race"]].astype(str).agg(" ".join, axis=1)
    return encoded(bunch.data, bunch.target, group.to_numpy(), seed)


@cache
def compas(seed: int) -> tuple[Data, Data]:
    """Return COMPAS, in groups of race."""
    bunch = load_compas()
    group = bunch.sensitive_features["race"].astype(str).to_numpy()
    return encoded(bunch.data, bunch.target, group, seed)


@dataclass(frozen=True)
class Case:
    """A net, its data, and the epochs of its training."""

    make: Callable[[], nn.Module] | type[nn.Module]
    load: Callable[[int], tuple[Data, Data]]
    epochs: int
    batch_size: int


CASES = {
    "BERT, digits as tokens": Case(bert, digits, 30, 32),
    "GPT-2, digits as tokens": Case(gpt2, digits, 30, 32),
    "LSTM, digits as tokens": Case(LSTM, digits, 30, 32),
    "ViT, Fashion-MNIST as patches": Case(vit, fashion, 8, 64),
    "ResNet, Fashion-MNIST": Case(resnet, fashion, 8, 64),
    "TabularNet, Adult": Case(TabularNet, adult, 5, 256),
    "TabularNet, COMPAS": Case(TabularNet, compas, 20, 64),
}


def classifier(case: Case, seed: int, **params: Any) -> FairPrunedClassifier:
    """Return the classifier of a case."""
    torch.manual_seed(seed)
    module = case.make if isinstance(case.make, type) else case.make()
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.AdamW,
        "lr": 1e-3,
        "max_epochs": case.epochs,
        "batch_size": case.batch_size,
        "train_split": None,
        "verbose": 0,
        "random_state": seed,
    }
    return FairPrunedClassifier(module, **defaults | params)
