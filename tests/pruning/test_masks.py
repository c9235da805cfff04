"""Masks of a few weights, by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.pruning.masks import (
    check_masks,
    empty_layers,
    keep_largest,
    prunable_parameters,
    sparsity,
)


def as_lists(masks):
    return {name: mask.int().tolist() for name, mask in masks.items()}


def test_keep_largest_ties_across_tensors_the_first_ones_go():
    scores = {"a": torch.tensor([2.0, 1.0]), "b": torch.tensor([[1.0, 0.0], [1.0, 3.0]])}
    # round(0.5 * 6) = 3: the zero, and two of the three ones.
    assert as_lists(keep_largest(scores, 0.5)) == {"a": [1, 0], "b": [[0, 0], [1, 1]]}


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_keep_largest_of_less_than_one_weight_keeps_all_even_nan(rate):
    assert as_lists(keep_largest({"a": torch.tensor([1.0, torch.nan])}, rate)) == {"a": [1, 1]}


def test_keep_largest_of_bfloat16_scores_and_an_empty_tensor_works():
    scores = {"a": torch.tensor([2.0, 1.0], dtype=torch.bfloat16), "b": torch.zeros(0)}
    masks = keep_largest(scores, 0.5)
    assert as_lists(masks) == {"a": [1, 0], "b": []}
    assert empty_layers(masks) == []


def test_keep_largest_min_kept_is_rounded_up_and_may_be_all_that_is_left():
    scores = {"a": torch.tensor([9.0, 8.0, 7.0]), "b": torch.tensor([1.0, 3.0, 2.0])}
    # A third and a little of three weights are two of each tensor: four of six.
    assert as_lists(keep_largest(scores, 2 / 6, 0.34)) == {"a": [1, 1, 0], "b": [0, 1, 1]}
    with pytest.raises(ValueError, match=r"keeps 4 of 6 weights, but the rate leaves 3"):
        keep_largest(scores, 3 / 6, 0.34)
    # Without a floor the last three go; scores are not changed by one.
    assert as_lists(keep_largest(scores, 3 / 6)) == {"a": [1, 1, 1], "b": [0, 0, 0]}


@pytest.mark.parametrize("min_kept", [-0.1, 1.0, np.nan])
def test_keep_largest_min_kept_outside_its_range_raises(min_kept):
    with pytest.raises(ValueError, match=r"min_kept must be in \[0, 1\), got"):
        keep_largest({"a": torch.tensor([1.0, 2.0])}, 0.5, min_kept)


def test_prunable_parameters_include_names_parameters_and_modules():
    net = nn.Module()
    net.table = nn.Parameter(torch.ones(2, 2))
    net.tables = nn.Parameter(torch.ones(2, 2))
    net.part = nn.Module()
    net.part.grid = nn.Parameter(torch.ones(2, 2))
    net.part.scale = nn.Parameter(torch.ones(2))
    net.head = nn.Linear(2, 2)
    assert list(prunable_parameters(net)) == ["head.weight"]
    assert list(prunable_parameters(net, ["table"])) == ["table", "head.weight"]
    assert list(prunable_parameters(net, ["part"])) == ["part.grid", "head.weight"]
    with pytest.raises(ValueError, match="module=LayerNorm has nothing to prune"):
        prunable_parameters(nn.LayerNorm((2, 2)))


def test_check_masks_names_what_is_wrong():
    net, good = nn.Linear(2, 1), torch.tensor([[True, False]])
    with pytest.raises(ValueError, match=r"mask for 'w', but .* \['weight', 'bias'\]"):
        check_masks(net, {"weight": good, "w": good})
    for bad in (good.float(), good.T, good[0]):
        with pytest.raises(ValueError, match=r"boolean mask of shape \(1, 2\) for 'weight', got"):
            check_masks(net, {"weight": bad})


def test_check_masks_empty_layers_are_named_with_the_rate_that_is_known():
    net = nn.ModuleList(nn.Linear(1, 1) for _ in range(6))
    masks = {f"{i}.weight": torch.tensor([[False]]) for i in range(5)}
    with pytest.warns(UserWarning, match=r"of \['0\.weight', .*'4\.weight'\] at rate=0\.9: "):
        check_masks(net, masks, 0.9)
    masks["5.weight"] = torch.tensor([[False]])
    with pytest.warns(UserWarning, match=r"'4\.weight'\] and others: unless"):
        check_masks(net, masks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = {"0.weight": torch.tensor([[True]])}
        assert check_masks(net, kept, 0.9) == kept


def test_sparsity_counts_weights_over_all_tensors():
    masks = {"a": torch.tensor([True, False, False]), "b": torch.tensor([[False]])}
    assert sparsity(masks) == 0.75
    assert sparsity({}) == sparsity({"a": torch.zeros(0, dtype=torch.bool)}) == 0.0
