"""What a layer states of itself once its tensors were cut, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sk_prunefair.pruning._resize import is_conv1d, resize


def cut(layer, **shapes):
    """Give a layer smaller tensors and let it state its sizes."""
    for name, shape in shapes.items():
        is_parameter = name in dict(layer.named_parameters())
        value = torch.ones(shape)
        setattr(layer, name, nn.Parameter(value) if is_parameter else value)
    resize("name", layer)
    return layer


def test_resize_linear_and_embedding_state_their_shapes():
    layer = cut(nn.Linear(5, 4), weight=(2, 3), bias=2)
    assert (layer.in_features, layer.out_features) == (3, 2)
    layer = cut(nn.Embedding(7, 4), weight=(7, 3))
    assert (layer.num_embeddings, layer.embedding_dim) == (7, 3)
    assert not is_conv1d(layer)


def test_resize_conv1d_of_transformers_is_the_other_way_round():
    pytorch_utils = pytest.importorskip("transformers.pytorch_utils")
    layer = cut(pytorch_utils.Conv1D(4, 5), weight=(3, 2), bias=2)
    assert is_conv1d(layer)
    assert (layer.nx, layer.nf) == (3, 2)
    assert layer(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_resize_convolutions_state_inputs_and_outputs(kind):
    is_transposed = kind is nn.ConvTranspose2d
    layer = cut(kind(4, 4, 2), weight=(3, 2, 2, 2), bias=2 if is_transposed else 3)
    expected = (3, 2) if is_transposed else (2, 3)
    assert (layer.in_channels, layer.out_channels, layer.groups) == (*expected, 1)
    assert layer(torch.ones(1, expected[0], 4, 4)).shape[1] == expected[1]


@pytest.mark.parametrize(("n", "n_kept"), [(5, 3), (3, 2), (2, 1)])
def test_resize_depthwise_convolution_has_as_many_groups(n, n_kept):
    layer = cut(nn.Conv1d(n, n, 3, groups=n), weight=(n_kept, 1, 3), bias=n_kept)
    assert layer.groups == layer.in_channels == layer.out_channels == n_kept
    assert layer(torch.ones(1, n_kept, 3)).flatten().tolist() == [4.0] * n_kept


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 4, 3), (3, 4, 2)),  # another kernel
        (nn.Conv1d(4, 8, 3, groups=4), (6, 1, 3)),  # two outputs a group
        (nn.ConvTranspose1d(8, 4, 3, groups=4), (6, 1, 3)),  # two inputs a group
        (nn.Conv1d(4, 4, 3, groups=2), (2, 2, 3)),
    ],
)
def test_resize_other_cuts_of_convolutions_are_refused(layer, shape):
    with pytest.raises(ValueError, match="kept must remove whole channels of"):
        cut(layer, weight=shape, bias=shape[0])


def test_resize_norms_and_prelu_state_their_lengths():
    running = {"running_mean": 2, "running_var": 2}
    assert cut(nn.BatchNorm1d(3), weight=2, bias=2, **running).num_features == 2
    assert cut(nn.BatchNorm1d(3, affine=False), **running).num_features == 2
    assert cut(nn.LayerNorm(3), weight=2, bias=2).normalized_shape == (2,)
    assert cut(nn.GroupNorm(2, 6), weight=4, bias=4).num_channels == 4
    assert cut(nn.PReLU(3), weight=2).num_parameters == 2
    with pytest.raises(ValueError, match="which is not a multiple of its 2 groups"):
        cut(nn.GroupNorm(2, 6), weight=3, bias=3)
    with pytest.raises(ValueError, match="over several dimensions cannot be resized"):
        cut(nn.LayerNorm((3, 4)), weight=(2, 4), bias=(2, 4))


@pytest.mark.parametrize("left", ["weight", "bias", "running_mean"])
def test_resize_vector_that_was_not_cut_is_refused(left):
    lengths = dict.fromkeys(["weight", "bias", "running_mean", "running_var"], 2)
    lengths.pop(left)
    with pytest.raises(ValueError, match=r"kept leaves . .*, but vectors of other lengths"):
        cut(nn.BatchNorm1d(3), **lengths)
