"""What was found by using the library as people do, with nets and data that no other test has."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair import FairPrunedClassifier, pruning_curve
from sk_prunefair.compression import count_macs

N, LENGTH, VOCABULARY = 60, 7, 20


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, VOCABULARY, (N, LENGTH))
    numbers = rng.normal(size=(N, 6)).astype(np.float32)
    y = np.where(tokens[:, :3].mean(1) > 10, "high", "low")
    return tokens, numbers, y, np.where(rng.random(N) > 0.5, "a", "b")


def classifier(module, **params):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 1,
        "pruner": "layer_magnitude",
        "batch_size": 16,
        "verbose": 0,
        "random_state": 0,
    }
    return FairPrunedClassifier(module, **defaults | params)


# ------------------------------------------------------ multiply-accumulates of a net


def half_of(module):
    """Return masks that keep the first half of the rows of each weight."""
    return {
        name: torch.arange(weight.numel()).view_as(weight) < weight.numel() // 2
        for name, weight in module.named_parameters()
        if weight.ndim > 1
    }


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_count_macs_of_a_recurrent_layer_counts_each_weight_once(kind):
    net = kind(8, 12, num_layers=2, bidirectional=True, batch_first=True)
    per_step = sum(weight.numel() for weight in net.parameters() if weight.ndim > 1)
    macs, kept = count_macs(net, half_of(net), torch.zeros(1, LENGTH, 8))
    assert macs == LENGTH * per_step
    assert kept == macs / 2


@pytest.mark.parametrize("norm_first", [True, False])
def test_count_macs_of_an_encoder_counts_attention_and_projections(norm_first):
    width, hidden = 16, 24
    layer = nn.TransformerEncoderLayer(
        width, 4, hidden, batch_first=True, norm_first=norm_first, dropout=0.0
    )
    linear = LENGTH * (4 * width**2 + 2 * width * hidden)
    attention = 2 * LENGTH**2 * width
    macs, kept = count_macs(layer, half_of(layer), torch.zeros(1, LENGTH, width))
    assert macs == linear + attention
    assert kept == pytest.approx(linear / 2 + attention)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mkldnn.enabled == torch.backends.mkldnn.is_available()


def test_count_macs_of_part_of_a_weight_goes_by_the_mask_of_that_part():
    """Of attention to other tokens, queries use the first third of a weight, keys the rest."""
    net = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)
    keeps_queries = (torch.arange(24) < 8)[:, None].expand(24, 8)
    X = {name: torch.zeros(1, n, 8) for name, n in (("query", 3), ("key", 5), ("value", 5))}
    macs, kept = count_macs(net, {"in_proj_weight": keeps_queries}, X)
    queries, keys_and_values, out = 3 * 64, 2 * 5 * 64, 3 * 64
    attention = 2 * 3 * 5 * 8
    assert macs == queries + keys_and_values + out + attention
    assert kept == macs - keys_and_values


def test_count_macs_of_a_shared_weight_counts_all_its_uses():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(VOCABULARY, 8)
            self.out = nn.Linear(8, VOCABULARY, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, X):
            return self.out(self.embed(X).mean(1))

    net = Tied()
    macs = count_macs(net, half_of(net), torch.ones(1, LENGTH, dtype=torch.int64))
    assert macs == (8 * VOCABULARY, 4 * VOCABULARY)


def test_count_macs_of_a_bilinear_layer_counts_its_weights():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = nn.Bilinear(6, 5, 4)

        def forward(self, left, right):
            return self.pair(left, right)

    net = Two()
    X = {"left": torch.zeros(1, 6), "right": torch.zeros(1, 5)}
    assert count_macs(net, half_of(net), X) == (6 * 5 * 4, 6 * 5 * 4 / 2)


def test_count_macs_of_channels_last_weights_goes_by_their_masks():
    net = nn.Conv2d(3, 4, 3, padding=1).to(memory_format=torch.channels_last)
    mask = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    mask[:, :1] = True
    macs, kept = count_macs(net, {"weight": mask}, torch.zeros(1, 3, 5, 5))
    assert macs == 25 * 4 * 27
    assert kept == pytest.approx(macs / 3)


def test_report_of_a_net_that_gives_a_parameter_to_a_submodule_counts(data):
    """As DeBERTa gives its relative embeddings to each of its layers."""
    _, numbers, y, groups = data

    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 6)

        def forward(self, X, shift):
            return self.inner(X) + shift

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(6))
            self.adds = Adds()
            self.head = nn.Linear(6, 2)

        def forward(self, X):
            return self.head(self.adds(X, self.shift))

    clf = classifier(Outer()).fit(numbers, y).prune(0.5)
    report = clf.fairness_report(numbers, y, sensitive_features=groups)
    assert report.compression["macs_dense"] == 36 + 12
    assert report.compression["macs_pruned"] == pytest.approx(24)


# ------------------------------------------------------ nets that cannot be pickled


class Unpicklable(nn.Module):
    """A layer under spectral norm, and a function without a name."""

    def __init__(self):
        super().__init__()
        self.inner = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8))
        self.head = nn.Linear(8, 2)
        self.act = lambda X: X.relu()

    def forward(self, X):
        return self.head(self.act(self.inner(X)))


@pytest.mark.filterwarnings("ignore:not pruned")
def test_curve_of_a_net_that_cannot_be_pickled_is_that_of_its_prunings(data):
    _, numbers, y, groups = data
    clf = classifier(Unpicklable()).fit(numbers, y, sensitive_features=groups)
    curve = pruning_curve(clf, numbers, y, sensitive_features=groups, rates=[0.5], verbose=0)
    report = clf.prune(0.5).fairness_report(numbers, y, sensitive_features=groups)
    last = curve[curve["rate"] == 0.5].set_index("group")
    expected = report.pruned.by_group["loss"]
    np.testing.assert_allclose(last["loss"][expected.index], expected)


@pytest.mark.filterwarnings("ignore:not pruned")
def test_deepcopy_of_a_classifier_trains_apart_from_it(data):
    _, numbers, y, groups = data
    clf = classifier(Unpicklable()).fit(numbers, y, sensitive_features=groups).prune(0.5)
    before = clf.predict_proba(numbers)
    twin = copy.deepcopy(clf)
    np.testing.assert_array_equal(twin.predict_proba(numbers), before)
    twin.partial_fit(numbers, y, sensitive_features=groups)
    assert not np.array_equal(twin.predict_proba(numbers), before)
    assert twin.sparsity_ == clf.sparsity_
    np.testing.assert_array_equal(clf.predict_proba(numbers), before)
