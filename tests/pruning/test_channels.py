"""Channels: which stay, counted and worked out by hand; the smaller net against torch-pruning's."""

from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from torch import nn

from sk_prunefair.modules import MLP, VGG19, ResNet18, ResNet50
from sk_prunefair.pruning import apply_masks
from sk_prunefair.pruning.channels import ChannelPruner, _close
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.shrink import check_kept, kept_masks, shrink_module

pytest.importorskip("torch_pruning")

IMAGE = (3, 16, 16)
RATES = [0.0, 0.25, 0.5, 0.999]


class Depthwise(nn.Module):
    """Depthwise convolutions between others, PReLU, a transposed one, and no pooling at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.each = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.down = nn.Conv2d(6, 5, 3, stride=4, padding=1)
        self.hidden = nn.Linear(5 * 8 * 8, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, X):
        X = self.up(self.act(self.norm(self.each(self.stem(X)))))
        return self.head(self.hidden(self.down(X).relu().flatten(1)).relu())


class Dense(nn.Module):
    """Features that are concatenated, and a layer norm at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(10)
        self.hidden = nn.Linear(10, 8)
        self.layer_norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, X):
        X = self.first(X).relu()
        X = self.norm(torch.cat([X, self.second(X)], dim=1)).relu()
        return self.head(self.layer_norm(self.hidden(X.mean((2, 3)))).relu())


def hf_resnet() -> nn.Module:
    transformers = pytest.importorskip("transformers")

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = transformers.ResNetConfig(
                num_labels=3, embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1]
            )
            self.net = transformers.ResNetForImageClassification(config)

        def forward(self, X):
            return self.net(X).logits

    return Logits()


NETS = {
    "mlp": lambda: MLP(3 * 16 * 16, 3, hidden=(20, 10)),
    "resnet18": lambda: ResNet18(3, width=8),
    "resnet50": lambda: ResNet50(3, width=4),
    "vgg": lambda: VGG19(3, width=4),
    "hf_resnet": hf_resnet,
    "depthwise": Depthwise,
    "dense": Dense,
}


def trained(name: str) -> nn.Module:
    """Return a net whose norms are not those of initialisation."""
    torch.manual_seed(0)
    net = NETS[name]()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
                tensor.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return net.eval()


def pruning_data(*shape: int, n: int = 6, n_classes: int = 3) -> PruningData:
    torch.manual_seed(1)
    X = torch.randn(n, *shape)
    y, group = torch.arange(n) % n_classes, torch.zeros(n, dtype=torch.int64)
    return PruningData([(X[:4], y[:4], group[:4]), (X[4:], y[4:], group[4:])])


def outputs(net: nn.Module, n: int = 5) -> torch.Tensor:
    torch.manual_seed(2)
    with torch.no_grad():
        return net.eval()(torch.randn(n, *IMAGE))


def by_torch_pruning(net: nn.Module, kept, data: PruningData) -> nn.Module:
    """Remove the same channels by torch-pruning, group by group."""
    import torch_pruning

    net = copy.deepcopy(net)
    graph = torch_pruning.DependencyGraph().build_dependency(net, data.example, verbose=False)
    names = {layer: name for name, layer in net.named_modules()}
    roots = [(names[group[0].dep.target.module], group[0].dep) for group in graph.get_all_groups()]
    for name, dep in roots:
        layer, dim = dep.target.module, int(getattr(dep.target.module, "transposed", False))
        index = kept.get(f"{name}.weight", (None, None))[dim]
        gone = set(range(layer.weight.shape[dim])) - set([] if index is None else index.tolist())
        if index is not None and gone:
            graph.get_pruning_group(layer, dep.handler, sorted(gone)).prune()
    return net


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", list(NETS))
def test_channel_pruner_each_layer_loses_exactly_its_share(name, rate):
    net = trained(name)
    small = shrink_module(net, ChannelPruner().kept(net, rate, pruning_data(*IMAGE)))
    layers = dict(small.named_modules())
    n_layers = 0
    for owner, layer in net.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            is_linear = isinstance(layer, nn.Linear)
            n, n_kept = (
                (each.out_features if is_linear else each.out_channels)
                for each in (layer, layers[owner])
            )
            is_output = is_linear and n == 3
            assert n_kept == n if is_output else n_kept == n - min(round(rate * n), n - 1), owner
            n_layers += 1
    assert n_layers >= 3
    assert outputs(small).shape == (5, 3)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.999])
@pytest.mark.parametrize("name", list(NETS))
def test_shrink_module_equals_torch_prunings_net_and_the_masked_one(name, rate):
    net, data = trained(name), pruning_data(*IMAGE)
    kept = ChannelPruner().kept(net, rate, data)
    small = shrink_module(net, kept)
    expected = by_torch_pruning(net, kept, data)
    for key, value in expected.state_dict().items():
        assert torch.equal(small.state_dict()[key], value), key
    assert [str(layer) for layer in small.modules()] == [str(layer) for layer in expected.modules()]
    torch.testing.assert_close(outputs(small), outputs(expected), rtol=0, atol=0)
    masked = copy.deepcopy(net)
    apply_masks(masked, kept_masks(net, kept))
    if name == "dense":  # layer norm counts the zeros
        assert (outputs(masked) - outputs(small)).abs().max() > 1e-3
    else:
        torch.testing.assert_close(outputs(masked), outputs(small), rtol=1e-4, atol=1e-5)


def two_layers() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.0, 100.0, 0.0]))  # biases do not count
        net[2].weight.copy_(torch.tensor([[0.0, 3.0, 1.0], [1.0, 4.0, 2.0]]))
        net[2].bias.zero_()
    return net


def test_channel_pruner_magnitude_by_hand():
    # Squares: 9 + 16 + 0 + 1 = 26; 0 + 1 + 9 + 16 = 26; 4 + 0 + 1 + 4 = 9. Of ties the first goes.
    net, data = two_layers(), pruning_data(2, n_classes=2)
    assert ChannelPruner().kept(net, 0.4, data)["0.weight"][0].tolist() == [0, 1]
    kept = ChannelPruner().kept(net, 0.6, data)
    assert {
        name: [None if i is None else i.tolist() for i in dims] for name, dims in kept.items()
    } == {
        "0.weight": [[1], None],
        "0.bias": [[1]],
        "2.weight": [None, [1]],
    }


def test_channel_pruner_magnitude_is_the_root_of_a_sum_of_squares():
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -1.0, 1.0], [1.6, 0.0, 0.0]]))
        net[2].weight.zero_()
    # 3 and 2.56; sums of absolute values say the same, sums of cubes and the largest do not.
    assert ChannelPruner().kept(net, 0.5, pruning_data(3))["0.weight"][0].tolist() == [0]
    with torch.no_grad():
        net[0].weight[1, 0] = 1.8  # 3.24
    assert ChannelPruner().kept(net, 0.5, pruning_data(3))["0.weight"][0].tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_close_allows_for_rounding_relative_to_the_largest_value_alone(dtype):
    eps = torch.finfo(dtype).eps
    right = torch.tensor([1e4, 1.0, torch.nan], dtype=dtype)
    for change, expected in ((500 * eps * 1e4, True), (3000 * eps * 1e4, False)):
        for place in (0, 1):
            left = right.clone()
            left[place] += change
            assert _close(left, right) is expected
    assert not _close(right.nan_to_num(), right)
    assert _close(right[:0], right[:0])
    whole = torch.tensor([10**7, 1])
    assert _close(whole, whole.clone())
    assert not _close(whole + 1, whole)


def test_channel_pruner_taylor_by_hand():
    # x = (1, 0): hidden (3, 100, 2). The loss w · output of weights (1, 0) has the derivatives
    # (0, 3, 1) by the hidden values, so that Σ θ g is 0, 0 + 3 · 100 and 2 · 1 + 1 · 2.
    net = two_layers()
    zero = torch.tensor([0])
    data = PruningData(
        [(torch.tensor([[1.0, 0.0]]), zero, zero)], sample_losses=lambda out, y: out[:, 0]
    )
    assert ChannelPruner("taylor").kept(net, 0.3, data)["0.bias"][0].tolist() == [1, 2]
    assert ChannelPruner("taylor").kept(net, 0.6, data)["0.bias"][0].tolist() == [1]
    # Magnitude keeps another two.
    assert ChannelPruner().kept(net, 0.3, data)["0.bias"][0].tolist() == [0, 1]


def test_channel_pruner_taylor_takes_the_absolute_value_of_the_sum_over_batches():
    net = nn.Sequential(nn.Linear(1, 3, bias=False), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-2.0], [0.5]]))
        net[1].weight.fill_(1.0)
    zero = torch.tensor([0])
    batches = [(torch.tensor([[x]]), zero, zero) for x in (3.0, -1.0)]
    # Twice x w: over both samples 4, −8 and 2.
    data = PruningData(batches, sample_losses=lambda out, y: out[:, 0])
    assert ChannelPruner("taylor").kept(net, 0.6, data)["0.weight"][0].tolist() == [1]


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
@pytest.mark.parametrize("name", ["mlp", "resnet18", "depthwise"])
def test_channel_pruner_larger_rate_removes_the_same_and_more(name, importance):
    net, data = trained(name), pruning_data(*IMAGE)
    pruner = ChannelPruner(importance)
    loose, tight = pruner.kept(net, 0.25, data), pruner.kept(net, 0.5, data)
    assert loose.keys() <= tight.keys()
    for key, dims in loose.items():
        for wide, narrow in zip(dims, tight[key], strict=True):
            assert wide is None or set(narrow.tolist()) < set(wide.tolist())


def test_channel_pruner_excluded_layers_are_kept_whole():
    net, data = trained("resnet18"), pruning_data(*IMAGE)
    kept = ChannelPruner(exclude=["blocks.7", "stem.0.weight"]).kept(net, 0.5, data)
    assert not [name for name in kept if name.startswith(("blocks.7.", "stem."))]
    small = shrink_module(net, kept)
    assert small.blocks[0].branch[0].out_channels == 4
    assert small.blocks[0].branch[0].in_channels == 8  # the stem's
    assert small.classifier.in_features == 64


def test_channel_pruner_min_kept_is_kept_whatever_the_rate():
    net, data = trained("vgg"), pruning_data(*IMAGE)
    small = shrink_module(net, ChannelPruner(min_kept=6).kept(net, 0.9, data))
    n_kept = [layer.out_channels for layer in small.modules() if isinstance(layer, nn.Conv2d)]
    assert n_kept == [4, 4, 6, 6, *[6] * 12]


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_channel_pruner_mode_frozen_parameters_and_no_grad_make_no_difference(importance):
    net, data = trained("resnet18"), pruning_data(*IMAGE)
    expected = ChannelPruner(importance).kept(net, 0.5, data)
    before = copy.deepcopy(net.state_dict())
    net.train().requires_grad_(False)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            kept = ChannelPruner(importance).kept(net, 0.5, data)
        assert kept.keys() == expected.keys()
        assert torch.equal(kept["stem.0.weight"][0], expected["stem.0.weight"][0])
    assert net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    small = shrink_module(net, kept)
    assert small.training
    assert not any(p.requires_grad for p in small.parameters())


def test_shrink_module_result_can_be_pickled_copied_and_trained():
    net, data = trained("depthwise"), pruning_data(*IMAGE)
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, data))
    expected = outputs(small)
    assert torch.equal(outputs(pickle.loads(pickle.dumps(small))), expected)
    assert torch.equal(outputs(copy.deepcopy(small)), expected)
    small(torch.randn(4, *IMAGE)).sum().backward()
    assert all(p.grad is not None for p in small.parameters())


class Odd(nn.Module):
    """A plain hidden layer before something whose channels must all stay."""

    def __init__(self, odd: nn.Module, forward=None) -> None:
        super().__init__()
        self.stem, self.odd, self.last = nn.Conv2d(3, 8, 1), odd, nn.Conv2d(8, 8, 1)
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 3)
        self.run = forward

    def forward(self, X):
        X = self.stem(X)
        X = self.odd(X) if self.run is None else self.run(self, X)
        return self.head(self.hidden(self.last(X).mean((2, 3))).relu())


def by_halves(net, X):
    left, right = X.chunk(2, dim=1)
    return (left * right).repeat(1, 2, 1, 1)


def shuffled(net, X):
    return X.view(len(X), 2, 4, 16, 16).transpose(1, 2).reshape(len(X), 8, 16, 16)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, X):
        return X * self.scale


@pytest.mark.parametrize(
    "odd",
    [
        lambda: Odd(nn.Conv2d(8, 8, 3, padding=1, groups=2)),
        lambda: Odd(nn.GroupNorm(2, 8)),
        lambda: Odd(nn.InstanceNorm2d(8)),
        lambda: Odd(nn.LayerNorm([8, 16, 16])),
        lambda: Odd(nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))),
        lambda: Odd(nn.Identity(), by_halves),
        lambda: Odd(nn.Identity(), shuffled),
        lambda: Odd(Scale()),
    ],
)
def test_channel_pruner_layers_that_cannot_be_cut_are_left_whole(odd):
    torch.manual_seed(0)
    net = odd().eval()
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, pruning_data(*IMAGE)))
    assert small.stem.out_channels == 8
    assert (small.last.in_channels, small.last.out_channels) == (8, 4)
    assert (small.hidden.in_features, small.hidden.out_features) == (4, 3)
    assert outputs(small).shape == (5, 3)


def test_channel_pruner_net_that_cannot_be_traced_raises():
    def forward(net, X):
        left, right = X.chunk(2, dim=1)
        return torch.cat([left * right, left], dim=1)

    with pytest.raises(RuntimeError, match="torch-pruning cannot trace the net"):
        ChannelPruner().kept(Odd(nn.Identity(), forward), 0.5, pruning_data(*IMAGE))


def test_channel_pruner_channels_that_are_flattened_last_are_left_whole():
    # The tracing takes each channel for a run of neighbours; the check on outputs notices.
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(64, 3)
            self.hidden = nn.Linear(3, 6)
            self.last = nn.Linear(6, 3)

        def forward(self, X):
            flat = self.conv(X).permute(0, 2, 3, 1).flatten(1)
            return self.last(self.hidden(self.head(flat)))

    torch.manual_seed(0)
    net = Net()
    kept = ChannelPruner().kept(net, 0.5, pruning_data(*IMAGE))
    assert "conv.weight" not in kept
    assert kept["hidden.weight"][0].numel() == 3


def test_channel_pruner_layer_that_is_used_twice_is_cut_once():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.twice, self.last = nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.alias = self.twice

        def forward(self, X):
            return self.last(self.alias(self.twice(self.first(X)).relu()).relu())

    torch.manual_seed(0)
    net = Net()
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, pruning_data(2)))
    assert small.alias is small.twice
    assert small.twice.weight.shape == (3, 3)
    assert small(torch.zeros(2, 2)).shape == (2, 3)


def test_channel_pruner_tied_weights_are_left_whole():
    net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)), nn.Linear(4, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    kept = ChannelPruner().kept(net, 0.5, pruning_data(4, n_classes=2))
    assert set(kept) == {"2.weight", "2.bias", "3.weight", "3.bias", "4.weight"}
    assert kept["2.weight"][1] is None


def test_channel_pruner_several_outputs_keep_their_shapes():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(2, 6), nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, X):
            hidden = self.second(self.first(X).relu()).relu()
            return self.last(hidden), {"features": hidden, "step": 1}

    data = pruning_data(2)
    data.sample_losses = lambda out, y: nn.functional.cross_entropy(out[0], y, reduction="none")
    for importance in ("magnitude", "taylor"):
        kept = ChannelPruner(importance).kept(Two(), 0.5, data)
        assert set(kept) == {"first.weight", "first.bias", "second.weight"}


def test_channel_pruner_nothing_to_prune_raises():
    for net, exclude in [(nn.Linear(2, 3), ()), (MLP(2, 3), ["layers.2"])]:
        with pytest.raises(ValueError, match="no channels to remove"):
            ChannelPruner(exclude=exclude).kept(net, 0.5, pruning_data(2))


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "half", None, True])
def test_channel_pruner_bad_rate_raises(rate):
    with pytest.raises(ValueError, match=r"rate must be a number in \[0, 1\)"):
        ChannelPruner().kept(MLP(2, 3), rate, pruning_data(2))


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        (ChannelPruner("size"), "importance must be one of"),
        (ChannelPruner(min_kept=0), "min_kept must be an integer >= 1"),
        (ChannelPruner(min_kept=0.5), "min_kept must be an integer >= 1"),
        (ChannelPruner(exclude="layers.0"), "exclude must be a list"),
        (ChannelPruner(exclude=["head"]), "exclude must name parameters or modules"),
    ],
)
def test_channel_pruner_bad_parameters_raise(pruner, message):
    with pytest.raises(ValueError, match=message):
        pruner.kept(MLP(2, 3), 0.5, pruning_data(2))


def test_channel_pruner_nan_no_data_or_no_torch_pruning_raises(monkeypatch):
    net, data = MLP(2, 3), pruning_data(2)
    with pytest.raises(ValueError, match="data must be PruningData"):
        ChannelPruner().kept(net, 0.5, None)
    with torch.no_grad():
        net.layers[0].weight[0, 0] = float("nan")
    for importance in ("magnitude", "taylor"):
        with pytest.raises(ValueError, match="is NaN; did the training diverge"):
            ChannelPruner(importance).kept(net, 0.5, data)
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ImportError, match=r"pip install 'sk-prunefair\[channels\]'"):
        ChannelPruner().kept(MLP(2, 3), 0.5, data)


def index(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"3.weight": (None, None)}, "kept must name parameters or buffers, got '3.weight'"),
        ({"0.weight": (index(0),)}, r"for each dimension of shape \(3, 2\)"),
        ({"0.weight": index(0, 1)}, "for each dimension"),
        ({"0.weight": (index(0, 3), None)}, "indices from 0 to 2, got 0 to 3"),
        ({"0.weight": (index(-1, 1), None)}, "indices from 0 to 2, got -1 to 1"),
        ({"0.weight": (index(1, 0), None)}, "sorted and without repetitions"),
        ({"0.weight": (index(1, 1), None)}, "sorted and without repetitions"),
        ({"0.weight": (index(), None)}, "at least one index"),
        ({"0.weight": ([0, 1], None)}, r"int64 tensor of one dimension or None, got \[0, 1\]"),
        ({"0.weight": (torch.tensor([0.0]), None)}, "torch.float32, 1 dims"),
        ({"0.weight": (index(0)[None], None)}, "torch.int64, 2 dims"),
    ],
)
def test_shrink_module_bad_kept_raises(kept, message):
    for function in (check_kept, shrink_module, kept_masks):
        with pytest.raises(ValueError, match=message):
            function(two_layers(), kept)


@pytest.mark.parametrize(
    ("layer", "kept", "message"),
    [
        (nn.Linear(2, 3), {"weight": (index(0), None)}, "leaves 1 channels"),
        (
            nn.Conv2d(2, 3, 3),
            {"weight": (None, None, index(0), None)},
            "must remove whole channels",
        ),
        (
            nn.Conv2d(4, 4, 1, groups=2),
            {"weight": (index(0, 1), None, None, None)},
            "must remove whole channels",
        ),
        (
            nn.GroupNorm(2, 4),
            {"weight": (index(0),), "bias": (index(0),)},
            "not a multiple of its 2 groups",
        ),
        (
            nn.LayerNorm([2, 2]),
            {"weight": (index(0), None)},
            "over several dimensions cannot be resized",
        ),
        (nn.BatchNorm1d(3), {"running_mean": (index(0),)}, "leaves 3 channels"),
        (nn.Embedding(3, 2), {"weight": (index(0), None)}, "rows of the embedding"),
        (nn.RMSNorm(3), {"weight": (index(0),)}, "RMSNorm cannot be resized"),
    ],
)
def test_shrink_module_cuts_that_no_layer_stands_raise(layer, kept, message):
    with pytest.raises(ValueError, match=message):
        shrink_module(layer, kept)


def test_shrink_module_other_layers_get_their_sizes():
    both = (index(1, 2),)
    small = shrink_module(nn.GroupNorm(2, 4), {"weight": both, "bias": both})
    assert small(torch.randn(2, 2, 3)).shape == (2, 2, 3)
    small = shrink_module(
        nn.BatchNorm1d(3, affine=False), dict.fromkeys(["running_mean", "running_var"], both)
    )
    assert small.num_features == 2
    small = shrink_module(nn.Embedding(5, 3), {"weight": (None, index(1, 2))})
    assert small.embedding_dim == small(index(4)).shape[1] == 2
