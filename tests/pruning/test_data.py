"""What criteria are given to look at."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sk_prunefair.pruning.data import PruningData

X = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
Y, GROUP = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2])


def test_pruning_data_example_is_the_first_row_and_sizes_count_all_batches():
    data = PruningData([(X[:2], Y[:2], GROUP[:2]), (X[2:], Y[2:], GROUP[2:])])
    assert data.example.tolist() == [[1.0, 0.0]]
    assert data.group_sizes.tolist() == [1, 0, 2]
    assert [len(y) for _, y, _ in data.batches()] == [2, 1]
    of_dicts = PruningData([({"a": X, "b": (X, Y)}, Y, GROUP)])
    assert of_dicts.example["b"][1].tolist() == [0]
    with pytest.raises(ValueError, match="got generator, which can be iterated only once"):
        PruningData(batch for batch in [(X, Y, GROUP)])


def test_pruning_data_losses_are_cross_entropy_or_those_given():
    net = nn.Identity()
    data = PruningData([(X, Y, GROUP)])
    # Of logits (1, 0), (0, 2) and (3, 3): log(1 + e⁻¹), log(1 + e⁻²), log 2.
    torch.testing.assert_close(data.losses(net, X, Y), torch.tensor([0.313262, 0.126928, 0.693147]))
    half = PruningData(
        [(X, Y, GROUP)],
        sample_losses=lambda output, y: output[:, 0] - y,
        infer=lambda module, X: module(X) / 2,
        initial=net,
    )
    assert half.losses(net, X, Y).tolist() == [0.5, -1.0, 0.5]
    assert half.bound(net)(X).tolist() == (X / 2).tolist()
    assert half.initial is net
    assert data.initial is None
