"""Attention heads and feed-forward layers of transformers, as they come from the libraries."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from sk_prunefair import nested
from sk_prunefair.pruning import (
    ChannelPlan,
    ChannelPruner,
    PruningData,
    apply_masks,
    expand_module,
    kept_masks,
    shrink_module,
)
from sk_prunefair.pruning.channel_groups import head_groups
from sk_prunefair.pruning.heads import attentions, has_attention
from sk_prunefair.pruning.plan import unpack_plan

pytest.importorskip("torch_pruning")
transformers = pytest.importorskip("transformers")

IMPORTANCES = ["magnitude", "taylor"]
TEXT = {"vocab_size": 50, "num_labels": 3, "pad_token_id": 0}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def bert() -> nn.Module:
    config = transformers.BertConfig(**TEXT, **SIZES)
    return transformers.BertForSequenceClassification(config)


def distilbert() -> nn.Module:
    config = transformers.DistilBertConfig(**TEXT, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    return transformers.DistilBertForSequenceClassification(config)


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(**TEXT, n_embd=32, n_layer=2, n_head=4, n_inner=64)
    return transformers.GPT2ForSequenceClassification(config)


def vit() -> nn.Module:
    config = transformers.ViTConfig(**SIZES, num_labels=3, image_size=16, patch_size=8)
    return transformers.ViTForImageClassification(config)


def llama(n_key_value_heads: int = 4) -> nn.Module:
    config = transformers.LlamaConfig(**TEXT, **SIZES, num_key_value_heads=n_key_value_heads)
    return transformers.LlamaForSequenceClassification(config)


# By net: how it is made, its layers, where in them queries, keys, values, the output projection and
# both feed-forward layers are, and which attributes state the number of heads and their width.
BERT = "attention.self.query attention.self.key attention.self.value attention.output.dense"
ViT = "attention.q_proj attention.k_proj attention.v_proj attention.o_proj"
NETS = {
    "bert": (bert, "bert.encoder.layer", f"{BERT} intermediate.dense output.dense"),
    "distilbert": (
        distilbert,
        "distilbert.transformer.layer",
        "attention.q_lin attention.k_lin attention.v_lin attention.out_lin ffn.lin1 ffn.lin2",
    ),
    "gpt2": (gpt2, "transformer.h", "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj"),
    "vit": (vit, "vit.layers", f"{ViT} mlp.fc1 mlp.fc2"),
    "llama": (
        llama,
        "model.layers",
        f"{ViT} mlp.up_proj mlp.down_proj".replace("attention", "self_attn"),
    ),
}
STATED = {
    "bert": ("attention.self", ("num_attention_heads",), ("all_head_size",)),
    "distilbert": ("attention", ("n_heads",), ("dim",)),
    "gpt2": ("attn", ("num_heads",), ("split_size", "embed_dim")),
    "vit": ("attention", ("num_attention_heads",), ()),
    "llama": ("self_attn", (), ()),
}
N_HEADS, SIZE, WIDTH, INNER = 4, 8, 32, 64


def spread(net: nn.Module) -> nn.Module:
    """Return the net with weights so large that each head counts, biases too."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape))
    return net.eval()


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return spread(NETS[name][0]())


def inputs(name: str, n: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    if name in ("vit", "resnet"):
        return {"pixel_values": torch.randn(n, 3, 16, 16)}
    mask = torch.arange(8) < torch.randint(3, 9, (n, 1))
    return {
        "input_ids": torch.randint(1, 50, (n, 8)) * mask,
        "attention_mask": mask.to(torch.int64),
    }


def logits_loss(output, y) -> torch.Tensor:
    return nn.functional.cross_entropy(output.logits, y, reduction="none")


def pruning_data(name: str) -> PruningData:
    X, y, group = inputs(name), torch.arange(6) % 3, torch.zeros(6, dtype=torch.int64)
    batches = [(nested.take(X, rows), y[rows], group[rows]) for rows in (slice(4), slice(4, 6))]
    return PruningData(batches, logits_loss)


@torch.no_grad()
def logits(net: nn.Module, X: dict[str, torch.Tensor]) -> torch.Tensor:
    return net(**X).logits


def masked(net: nn.Module, kept) -> nn.Module:
    net = copy.deepcopy(net)
    apply_masks(net, kept_masks(net, kept))
    return net


def in_and_out(layer) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        assert tuple(layer.weight.shape) == (layer.out_features, layer.in_features)
        return layer.in_features, layer.out_features
    assert tuple(layer.weight.shape) == (layer.nx, layer.nf)
    return layer.nx, layer.nf


def blocks(name: str, net: nn.Module):
    """Yield of each layer its projections to the heads, the one from them, and the two inner."""
    _, path, layers = NETS[name]
    for block in net.get_submodule(path):
        *projections, output, first, second = (block.get_submodule(p) for p in layers.split())
        yield projections, output, first, second


# ------------------------------------------------------------ what is left


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.6, 0.999])
@pytest.mark.parametrize("name", list(NETS))
def test_channel_pruner_of_transformers_removes_its_share_of_heads_and_inner_channels(name, rate):
    net = made(name)
    kept = ChannelPruner().kept(net, rate, pruning_data(name))
    small = shrink_module(net, kept)
    n_heads = N_HEADS - min(round(rate * N_HEADS), N_HEADS - 1)
    inner = INNER - min(round(rate * INNER), INNER - 1)
    for projections, output, first, second in blocks(name, small):
        width = 3 * SIZE * n_heads // len(projections)
        assert [in_and_out(layer) for layer in projections] == [(WIDTH, width)] * len(projections)
        assert in_and_out(output) == (SIZE * n_heads, WIDTH)
        assert in_and_out(first) == (WIDTH, inner)
        assert in_and_out(second) == (inner, WIDTH)
    owner, counts, widths = STATED[name]
    for block in small.get_submodule(NETS[name][1]):
        stated = vars(block.get_submodule(owner))
        assert [stated[key] for key in counts] == [n_heads] * len(counts)
        assert [stated[key] for key in widths] == [SIZE * n_heads] * len(widths)
    assert (kept == {}) == (rate == 0)
    for key, value in small.named_parameters():  # the width stays
        if "norm" in key.lower() or "embed" in key or ".ln_" in key:
            assert value.shape == net.get_parameter(key).shape, key


@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.999])
@pytest.mark.parametrize("name", list(NETS))
def test_shrink_module_of_transformers_equals_the_masked_one(name, rate, importance):
    net, X = made(name), inputs(name)
    small = shrink_module(
        net, kept := ChannelPruner(importance).kept(net, rate, pruning_data(name))
    )
    expected = logits(masked(net, kept), X)
    torch.testing.assert_close(logits(small, X), expected, rtol=1e-5, atol=1e-5)
    assert (logits(net, X) - expected).abs().max() > 1e-2
    full = expand_module(net, small, kept)
    assert torch.equal(logits(full, X), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETS))
def test_shrink_module_of_transformers_copies_and_files_are_the_same(name):
    net, X = made(name), inputs(name)
    kept = ChannelPruner().kept(net, 0.5, pruning_data(name))
    small = shrink_module(net, pickle.loads(pickle.dumps(kept)))
    expected = logits(small, X)
    assert torch.equal(logits(copy.deepcopy(small), X), expected)
    assert torch.equal(logits(pickle.loads(pickle.dumps(small)), X), expected)
    # As a state dict and a packed plan hold them.
    plan = unpack_plan(net, ChannelPlan.of(net, kept, 0.5).pack())
    other = plan.apply(made(name))
    other.load_state_dict(small.state_dict())
    assert torch.equal(logits(other, X), expected)
    other.train()(**X).logits.sum().backward()
    assert all(p.grad is not None for p in other.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", list(NETS))
def test_channel_pruner_of_transformers_leaves_the_users_net_alone(name):
    net, data, X = made(name), pruning_data(name), inputs(name)
    net.train().requires_grad_(False)
    use_cache, modules = getattr(net.config, "use_cache", None), [type(m) for m in net.modules()]
    before, config = copy.deepcopy(net.state_dict()), copy.deepcopy(net.config)
    with torch.inference_mode():
        kept = ChannelPruner("taylor").kept(net, 0.5, data)
    assert kept.keys() == ChannelPruner().kept(net, 0.5, data).keys()
    assert net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert getattr(net.config, "use_cache", None) == use_cache
    assert net.config.to_dict() == config.to_dict()
    assert [type(m) for m in net.modules()] == modules
    assert not any(m._forward_pre_hooks for m in shrink_module(net, kept).modules())
    assert logits(net.eval(), X).shape == (6, 3)


def test_channel_pruner_labels_among_the_inputs_or_plain_tensor_change_nothing():
    net, data = made("bert"), pruning_data("bert")
    labelled = PruningData(
        [(X | {"labels": y}, y, group) for X, y, group in data.batches()], logits_loss
    )
    plain = PruningData([(X["input_ids"], y, g) for X, y, g in data.batches()], logits_loss)
    kept = [ChannelPruner().kept(net, 0.5, each) for each in (data, labelled, plain)]
    assert kept[0].keys() == kept[1].keys() == kept[2].keys()


def test_channel_pruner_resnet_of_transformers_takes_a_dict():
    config = transformers.ResNetConfig(
        num_labels=3, embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1]
    )
    torch.manual_seed(0)
    net, X = transformers.ResNetForImageClassification(config).eval(), inputs("resnet")
    for importance in IMPORTANCES:
        kept = ChannelPruner(importance).kept(net, 0.5, pruning_data("resnet"))
        small = shrink_module(net, kept)
        assert small.classifier[1].in_features == 12
        expected = logits(masked(net, kept), X)
        torch.testing.assert_close(logits(small, X), expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------ importance


def heads_of(name: str, net: nn.Module, block: int, head: int, values) -> list[torch.Tensor]:
    """Return the numbers that belong to a head, of tensors by parameter name."""
    _, path, layers = NETS[name]
    *projections, output, _, _ = [f"{path}.{block}.{layer}.weight" for layer in layers.split()]
    rows = slice(head * SIZE, (head + 1) * SIZE)
    if name == "gpt2":
        queries_keys_values = values[projections[0]].split(WIDTH, dim=1)
        return [*(part[:, rows] for part in queries_keys_values), values[output][rows]]
    return [*(values[key][rows] for key in projections), values[output][:, rows]]


def kept_heads(name: str, kept, block: int) -> list[int]:
    _, path, layers = NETS[name]
    index = kept[f"{path}.{block}.{layers.split()[0]}.weight"][1 if name == "gpt2" else 0]
    found = index[index < WIDTH]
    assert len(found) % SIZE == 0
    return sorted({int(i) // SIZE for i in found})


@pytest.mark.parametrize("name", list(NETS))
def test_channel_pruner_importance_of_heads_equals_a_naive_sum(name):
    net, data = made(name), pruning_data(name)
    weights = {key: p.detach().double() for key, p in net.named_parameters()}
    loss = sum(logits_loss(net(**X), y).sum() for X, y, _ in data.batches())
    slopes = torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
    slopes = {key: g.double() for (key, _), g in zip(net.named_parameters(), slopes, strict=True)}
    products = {key: weights[key] * slopes[key] for key in weights}
    for importance in IMPORTANCES:
        kept = ChannelPruner(importance).kept(net, 0.5, data)
        for block in range(2):
            scores = []
            for head in range(N_HEADS):
                own = heads_of(name, net, block, head, weights)
                terms = heads_of(name, net, block, head, products)
                scores.append(
                    float(sum((part**2).sum() for part in own)) ** 0.5
                    if importance == "magnitude"
                    else abs(float(sum(part.sum() for part in terms)))
                )
            best = sorted(range(N_HEADS), key=lambda head: scores[head])[2:]
            assert kept_heads(name, kept, block) == sorted(best)


def test_channel_pruner_larger_rate_removes_the_same_heads_and_more():
    net, data = made("gpt2"), pruning_data("gpt2")
    loose, tight = (ChannelPruner("taylor").kept(net, rate, data) for rate in (0.25, 0.5))
    for block in range(2):
        assert set(kept_heads("gpt2", tight, block)) < set(kept_heads("gpt2", loose, block))


# ------------------------------------------------------------ what stays


def test_channel_pruner_excluded_attention_keeps_its_heads():
    net, data = made("bert"), pruning_data("bert")
    for exclude, n_inner in [
        ("bert.encoder.layer.0", INNER),
        ("bert.encoder.layer.0.attention", INNER // 2),
        ("bert.encoder.layer.0.attention.self.value", INNER // 2),
    ]:
        small = shrink_module(net, ChannelPruner(exclude=[exclude]).kept(net, 0.5, data))
        (first, _, inner, _), (second, *_) = blocks("bert", small)
        assert first[0].out_features == WIDTH
        assert inner.out_features == n_inner
        assert second[0].out_features == WIDTH // 2


def test_channel_pruner_min_kept_heads_are_kept_whatever_the_rate():
    net, data = made("vit"), pruning_data("vit")
    small = shrink_module(net, ChannelPruner(min_kept=3).kept(net, 0.9, data))
    for _, output, first, _ in blocks("vit", small):
        assert (output.in_features, first.out_features) == (3 * SIZE, INNER - round(0.9 * INNER))


def attention(widths=(6, 6, 6), **stated):
    """Return the layers of DistilBERT's attention, and what it states of its heads."""
    names = ("q_lin", "k_lin", "v_lin")
    net = nn.ModuleDict({name: nn.Linear(5, n) for name, n in zip(names, widths, strict=True)})
    net["out_lin"] = nn.Linear(6, 5)
    for name, value in stated.items():
        setattr(net, name, value)
    return net


@pytest.mark.parametrize(
    ("net", "size", "count"),
    [
        (attention(head_dim=2), 2, 3),
        (attention(head_dim=2, n_heads=3), 2, 3),
        (attention(attention_head_size=3, num_heads=2), 3, 2),
        (attention(head_dim=6), 6, 1),
        (attention(), 0, 0),  # no size
        (attention(n_heads=3), 0, 0),
        (attention(head_dim=2.0), 0, 0),
        (attention(head_dim=-2), 0, 0),
        (attention(head_dim=4), 0, 0),  # no whole heads
        (attention(head_dim=2, n_heads=2), 0, 0),  # another number
        (attention((6, 2, 6), head_dim=2), 0, 0),  # shared keys
    ],
)
def test_attentions_state_size_and_number_of_heads_or_zeros(net, size, count):
    [found] = attentions(nn.Sequential(net))
    assert (found.head_size, found.n_heads) == (size, count)
    assert found.inputs == ("0.q_lin", "0.k_lin", "0.v_lin")
    assert has_attention(net) is any(
        isinstance(value, int) and value > 0
        for name, value in vars(net).items()
        if name in ("head_dim", "attention_head_size", "n_heads", "num_heads")
    )


def test_head_groups_heads_that_share_keys_and_values_stay():
    torch.manual_seed(0)
    net = spread(llama(n_key_value_heads=2))
    assert [each.n_heads for each in attentions(net)] == [0, 0]
    assert head_groups(net) == []
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, pruning_data("llama")))
    for projections, output, first, _ in blocks("llama", small):
        assert [layer.out_features for layer in projections] == [32, 16, 16]
        assert (output.in_features, first.out_features) == (32, 32)


def test_head_groups_tied_heads_stay():
    net = made("distilbert")
    first, second = net.distilbert.transformer.layer
    second.attention.q_lin.weight = first.attention.q_lin.weight
    assert head_groups(net) == []
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, pruning_data("distilbert")))
    assert {output.in_features for _, output, _, _ in blocks("distilbert", small)} == {WIDTH}


def test_head_groups_heads_of_computed_weights_stay():
    net = made("distilbert")
    attention = net.distilbert.transformer.layer[1].attention
    nn.utils.parametrizations.weight_norm(attention.k_lin)
    assert [group.parts[0].name.split(".")[3] for group in head_groups(net)] == ["0"]
    for layer in (attention.q_lin, attention.v_lin, attention.out_lin):
        nn.utils.parametrizations.weight_norm(layer)
    small = shrink_module(net, ChannelPruner().kept(net, 0.5, pruning_data("distilbert")))
    first, second = blocks("distilbert", small)
    assert (first[1].in_features, second[1].in_features) == (WIDTH // 2, WIDTH)


class Odd(nn.Module):
    """Heads in an order that names do not tell: channel c is of head c modulo their number."""

    def __init__(self, n_heads: int = 4, head_dim: int = 8) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(32, 32) for _ in range(4))
        self.first, self.second, self.head = nn.Linear(32, 16), nn.Linear(16, 32), nn.Linear(32, 3)

    def forward(self, X):
        split = [
            layer(X).unflatten(-1, (self.head_dim, -1)).movedim(-1, 1)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        ]
        X = X + self.o_proj(
            nn.functional.scaled_dot_product_attention(*split).movedim(1, -1).flatten(-2)
        )
        return self.head((X + self.second(self.first(X).relu())).mean(1))


def test_head_groups_heads_of_another_order_stay():
    torch.manual_seed(0)
    net, zeros = Odd(), torch.zeros(2, dtype=torch.int64)
    assert [group.size for group in head_groups(net)] == [4]
    kept = ChannelPruner().kept(net, 0.5, PruningData([(torch.randn(2, 8, 32), zeros, zeros)]))
    assert set(kept) == {"first.weight", "first.bias", "second.weight"}


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_channel_pruner_torchs_own_encoder_loses_inner_channels_only(importance):
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(WIDTH, N_HEADS, INNER, batch_first=True)
            self.stem = nn.Linear(5, WIDTH)
            self.layers = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(WIDTH, 3)

        def forward(self, X):
            return self.head(self.layers(self.stem(X)).mean(1))

    torch.manual_seed(0)
    net, y = Encoder().eval(), torch.arange(6) % 3
    assert has_attention(net)
    X = torch.randn(6, 8, 5)
    kept = ChannelPruner(importance).kept(net, 0.5, PruningData([(X, y, y)]))
    small = shrink_module(net, kept)
    for layer in small.layers.layers:
        assert in_and_out(layer.linear1) == (WIDTH, INNER // 2)
        assert in_and_out(layer.linear2) == (INNER // 2, WIDTH)
        assert layer.self_attn.num_heads == N_HEADS
    assert small.stem.out_features == WIDTH
    with torch.no_grad():
        torch.testing.assert_close(small(X), masked(net, kept)(X), rtol=1e-5, atol=1e-5)


def test_shrink_module_half_a_head_raises():
    net = made("vit")
    name, half = "vit.layers.0.attention", torch.arange(4)
    kept = {f"{name}.o_proj.weight": (None, half)}
    for each in "qkv":
        kept |= {f"{name}.{each}_proj.weight": (half, None), f"{name}.{each}_proj.bias": (half,)}
    with pytest.raises(ValueError, match=r"4 inputs of 'vit\.layers\.0\.attention\.o_proj'"):
        shrink_module(net, kept)


def test_pruning_data_of_dicts_has_an_example_of_one_row():
    data = pruning_data("bert")
    assert {key: tuple(value.shape) for key, value in data.example.items()} == {
        "input_ids": (1, 8),
        "attention_mask": (1, 8),
    }
    net = made("bert")
    X, y, _ = next(data.batches())
    assert torch.equal(data.losses(net, X, y), logits_loss(net(**X), y))
