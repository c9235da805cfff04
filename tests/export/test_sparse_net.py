"""What is done to a whole net before it runs sparse: the outputs stay."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.export import _sparse_net, sparse_module
from sk_prunefair.export._sparse_dead import remove_dead
from sk_prunefair.export._sparse_norms import fold_norms
from sk_prunefair.export._sparse_trace import Trace
from sk_prunefair.modules import ResNet18


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def settled(net):
    """Give batch norms statistics and weights as after a training."""
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                part.weight.data.uniform_(-2, 2)
                part.bias.data.normal_()
    return net.eval().requires_grad_(False)


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5)


class Residual(nn.Module):
    """A norm after a convolution that something else reads, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, X):
        X = self.conv(X)
        return self.last(F.relu(self.norm(X)) + X)


class Reads(nn.Module):
    """A net that reads a weight beside calling its layer."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, X):
        return self.last(self.norm(self.first(X))) + self.first.weight.sum()


def images(n_channels=2):
    return torch.randn(3, n_channels, 7, 6)


NORMED = {
    "linear": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), (5, 3), 1),
    "no bias": (lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)), (5, 3), 1),
    "not affine": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)),
        (3, 2, 7, 6),
        1,
    ),
    "one dimension": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (3, 2, 9), 1),
    "groups": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4)),
        (3, 2, 7, 6),
        1,
    ),
    # Of a linear layer over three dimensions a norm takes the second for channels.
    "sequence": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), (5, 4, 3), 0),
    "batch statistics": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        (5, 3),
        0,
    ),
    "before a layer": (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4)), (5, 3), 0),
    "activation between": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4)),
        (5, 3),
        0,
    ),
    "another reader": (Residual, (3, 2, 7, 6), 0),
    "weight read": (Reads, (5, 3), 0),
    "resnet": (lambda: ResNet18(3, width=8), (2, 3, 16, 16), 20),
}


@pytest.mark.parametrize("name", NORMED)
def test_fold_norms_outputs_stay_and_norms_go_where_nothing_else_reads(name):
    make, shape, n_expected = NORMED[name]
    net, X = settled(make()), torch.randn(shape)
    folded, n = fold_norms(Trace(net, X))
    assert n == n_expected
    close(folded(X), net(X), atol=1e-4)
    before, after = (
        sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in each.modules())
        for each in (net, folded)
    )
    assert before - after == n
    assert (folded is net) == (n == 0)


def test_fold_norms_zeros_stay_zeros():
    net = settled(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)))
    net[0].weight.data.mul_(torch.rand(5, 6) > 0.5)
    folded, _ = fold_norms(Trace(net, torch.randn(4, 6)))
    assert torch.equal(folded[0].weight == 0, net[0].weight == 0)


def test_fold_norms_layer_used_twice_stays():
    layer, norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
    net = settled(nn.Sequential(layer, norm, nn.ReLU(), layer))
    assert fold_norms(Trace(net, torch.randn(3, 4)))[1] == 0


def test_fold_norms_layer_with_a_hook_stays():
    net, seen = settled(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))), []
    net[0].register_forward_hook(lambda *given: seen.append(1))
    assert fold_norms(Trace(net, torch.randn(3, 4)))[1] == 0


def test_trace_net_that_depends_on_values_raises():
    class Depends(nn.Module):
        def forward(self, X):
            return X if X.sum() > 0 else -X

    with pytest.raises(ValueError, match=r"torch\.fx cannot trace the net"):
        Trace(Depends(), torch.ones(2, 3))


def test_trace_argument_that_is_not_given_is_its_default():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

        def forward(self, X, mask=None):
            X = self.layer(X)
            return self.norm(X) if mask is None else self.norm(X) + X * mask

    net, X = settled(Masked()), torch.randn(5, 3)
    assert fold_norms(Trace(net, X))[1] == 1
    mask = torch.ones(5, 1)
    assert fold_norms(Trace(net, {"X": X, "mask": mask}))[1] == 0


def _mlp():
    return nn.Sequential(nn.Linear(3, 6), nn.Sigmoid(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


def _conv(padding, bias=0.0):
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 3, padding=padding),
        nn.Flatten(),
        nn.Linear(4 * (3 if padding else 1) * (3 if padding else 1), 2),
    )
    net = settled(net)
    net[1].bias.data[:], net[1].running_mean[:] = bias, 0
    net[0].bias.data[:] = 0
    return net


def test_remove_dead_rows_give_their_constants_to_the_next_layer():
    net, X = _mlp().eval().requires_grad_(False), torch.randn(5, 3)
    net[0].weight.data[[1, 4]] = 0
    net[0].bias.data[[1, 4]] = torch.tensor([0.7, -2.0])
    small, n = remove_dead(Trace(net, X))
    assert (n, small[0].weight.shape, small[2].weight.shape) == (2, (4, 3), (4, 4))
    passed = net[2].weight[:, [1, 4]] @ torch.sigmoid(torch.tensor([0.7, -2.0]))
    close(small[2].bias, net[2].bias + passed)
    close(small(X), net(X))


def test_remove_dead_columns_take_the_layers_before_with_them():
    net, X = _mlp().eval().requires_grad_(False), torch.randn(5, 3)
    net[4].weight.data[:, 2] = 0  # channel 2 is read by nothing
    net[2].weight.data[[0, 1, 3], 5] = 0  # this one by channel 2 alone
    small, n = remove_dead(Trace(net, X))
    assert n == 2
    assert [small[i].weight.shape for i in (0, 2, 4)] == [(5, 3), (3, 5), (2, 3)]
    close(small(X), net(X))


def test_remove_dead_all_channels_dead_leaves_one():
    net, X = _mlp().eval().requires_grad_(False), torch.randn(5, 3)
    net[2].weight.data.zero_()
    small, n = remove_dead(Trace(net, X))
    assert small[2].weight.shape == (1, 1)
    close(small(X), net(X))
    assert n == 3 + 5


@pytest.mark.parametrize(
    ("padding", "bias", "n_expected"), [(0, 0.5, 2), (1, 0.5, 0), (1, -0.5, 2)]
)
def test_remove_dead_filters_constants_stop_at_padding_unless_zero(padding, bias, n_expected):
    net, X = _conv(padding, bias), images()
    net[0].weight.data[[0, 3]] = 0
    small, n = remove_dead(Trace(net, X))
    assert n == n_expected
    assert small[4].in_channels == small[1].num_features == 6 - n_expected
    close(small(X), net(X))


def test_remove_dead_features_after_flatten_go_with_their_channel():
    net, X = _conv(1), images()
    net[4].weight.data[1] = 0
    small, n = remove_dead(Trace(net, X))
    assert (n, small[6].in_features) == (1, 27)
    close(small(X), net(X))


@pytest.mark.parametrize(
    "between",
    [nn.Softmax(dim=1), nn.LayerNorm(4), nn.PReLU(4), nn.Dropout(0.5)],
    ids=lambda part: type(part).__name__,
)
def test_remove_dead_stops_where_channels_may_mix(between):
    net = nn.Sequential(nn.Linear(3, 4), between, nn.Linear(4, 2)).eval().requires_grad_(False)
    net[0].weight.data[1] = 0
    X = torch.randn(5, 3)
    small, n = remove_dead(Trace(net, X))
    assert n == int(isinstance(between, nn.Dropout))
    close(small(X), net(X))


@pytest.mark.parametrize(
    ("settings", "n_expected"), [({}, 1), ({"padding": 1}, 0), ({"divisor_override": 3}, 0)]
)
def test_remove_dead_mean_of_a_constant_is_one_unless_padded(settings, n_expected):
    pool, last = nn.AvgPool2d(2, **settings), nn.Conv2d(4, 2, 2)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), pool, last).eval().requires_grad_(False)
    net[0].weight.data[1] = 0
    X = images()
    small, n = remove_dead(Trace(net, X))
    assert n == n_expected
    close(small(X), net(X))


def test_remove_dead_sums_of_two_layers_stay():
    net = settled(Residual())
    net.conv.weight.data[1] = 0
    X = images()
    assert remove_dead(Trace(net, X))[1] == 0


def test_remove_dead_convolution_on_one_image_stays():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(1), nn.Linear(20, 2)).eval()
    net.requires_grad_(False)[0].weight.data[1] = 0
    X = torch.randn(2, 7, 6)
    small, n = remove_dead(Trace(net, X))
    assert n == 0
    close(small(X), net(X))


@pytest.fixture
def choose(monkeypatch):
    """Have the form of the whole net with this name come out as fastest; layers stay dense."""

    def chosen(name):
        made = _sparse_net.candidates_of

        def fake(*args):
            found = made(*args)
            names = [each.name for each in found]

            def seconds(calls, X, n_rounds):
                for call in calls:
                    call(X)
                return np.where(np.array(names) == name, 0.5, 1.0)[None]

            monkeypatch.setattr(_sparse_net, "seconds_of", seconds)
            return found

        monkeypatch.setattr("sk_prunefair.export.sparse.candidates_of", fake)

    return chosen


@pytest.mark.parametrize("name", ["no sparse layers", "no sparse layers, channels last"])
def test_sparse_module_chosen_form_has_the_dense_outputs(choose, name):
    choose(name)
    net, X = settled(ResNet18(3, width=8)), torch.randn(2, 3, 16, 16)
    net.blocks[0].branch[0].weight.data[:3] = 0
    fast = sparse_module(net, X)
    [row] = fast.candidates[fast.candidates["chosen"]].to_dict("records")
    assert (row["net"], row["speedup"]) == (name, 2)
    assert row["why"].startswith("20 batch norms folded")
    assert f"the whole net: {name}: 20 batch norms" in str(fast)
    close(fast(X), net(X), atol=1e-4)
    for made in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(made(X), fast(X))
    made.load_state_dict(fast.state_dict())
    assert torch.equal(made(X), fast(X))
    assert fast(X).is_contiguous()


def test_sparse_module_dead_channels_are_gone(choose):
    choose("no sparse layers")
    net, X = _mlp(), torch.randn(5, 3)
    net[0].weight.data[[1, 4]] = 0
    fast = sparse_module(net, X)
    assert fast.module[0].out_features == 4
    assert fast.candidates["why"].tolist() == ["", "2 dead channels removed"]
    close(fast(X), net(X).detach())


def test_sparse_module_outputs_that_would_change_are_left(choose, monkeypatch):
    choose("no sparse layers")
    net, X = settled(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))), torch.randn(5, 3)
    monkeypatch.setattr(_sparse_net, "fold_norms", lambda trace: (nn.Linear(3, 4), 1))
    fast = sparse_module(net, X)
    assert fast.candidates["net"].tolist() == ["dense"]
    assert "are kept: outputs for example differ" in fast.candidates["why"][0]
    assert torch.equal(fast(X), net(X))


def test_sparse_module_net_that_cannot_be_traced_is_left():
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

        def forward(self, X):
            return self.norm(self.first(X)) if len(X) > 1 else self.first(X)

    net, X = settled(Depends()), torch.randn(5, 3)
    fast = sparse_module(net, X)
    assert "torch.fx cannot trace the net" in fast.candidates["why"][0]
    assert torch.equal(fast(X), net(X))
