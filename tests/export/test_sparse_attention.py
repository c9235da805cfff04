"""Attention of torch with sparse projections: the outputs of the dense one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.export import _sparse_forms, _sparse_net, sparse_module
from sk_prunefair.export._sparse_attention import ProjectedAttention, is_projected

N, LENGTH, KEYS, WIDTH, HEADS = 2, 4, 5, 8, 2
PADDED = torch.tensor([[False] * 5, [False, False, False, True, True]])
# A shared argument of masks: some keys are hidden from some queries, none from all.
HIDDEN = torch.arange(KEYS)[None] > torch.arange(LENGTH)[:, None] + 1


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def attention(**settings):
    made = nn.MultiheadAttention(WIDTH, HEADS, **settings).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_()
    return made


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"key_padding_mask": PADDED},
        {"key_padding_mask": torch.randn(N, KEYS)},
        {"attn_mask": HIDDEN},
        {"attn_mask": torch.randn(LENGTH, KEYS)},
        {"attn_mask": HIDDEN.expand(N * HEADS, -1, -1)},
        {"attn_mask": HIDDEN, "key_padding_mask": PADDED},
        {"attn_mask": torch.randn(N * HEADS, LENGTH, KEYS), "average_attn_weights": False},
    ],
    ids=lambda masks: "+".join(f"{k}{getattr(v, 'ndim', '')}" for k, v in masks.items()) or "none",
)
def test_projected_attention_every_mask_equals_torch(batch_first, bias, need_weights, masks):
    dense = attention(batch_first=batch_first, bias=bias)
    query, keys = torch.randn(N, LENGTH, WIDTH), torch.randn(2, N, KEYS, WIDTH)
    given = [query, *keys] if batch_first else [each.transpose(0, 1) for each in (query, *keys)]
    expected = dense(*given, need_weights=need_weights, **masks)
    found = ProjectedAttention(dense)(*given, need_weights=need_weights, **masks)
    close(found[0], expected[0])
    assert (found[1] is None) == (expected[1] is None)
    if need_weights:
        close(found[1], expected[1])


@pytest.mark.parametrize("need_weights", [True, False])
def test_projected_attention_one_sample_equals_torch(need_weights):
    dense = attention()
    X, keys = torch.randn(LENGTH, WIDTH), torch.randn(KEYS, WIDTH)
    masks = {"key_padding_mask": PADDED[1], "attn_mask": HIDDEN.expand(HEADS, -1, -1)}
    expected = dense(X, keys, keys, need_weights=need_weights, **masks)
    found = ProjectedAttention(dense)(X, keys, keys, need_weights=need_weights, **masks)
    close(found[0], expected[0])
    if need_weights:
        close(found[1], expected[1])


def test_projected_attention_keys_of_other_widths_equals_torch():
    dense = attention(kdim=3, vdim=6, batch_first=True)
    given = torch.randn(N, LENGTH, WIDTH), torch.randn(N, KEYS, 3), torch.randn(N, KEYS, 6)
    close(ProjectedAttention(dense)(*given)[0], dense(*given)[0])


@pytest.mark.parametrize("need_weights", [True, False])
def test_projected_attention_causal_equals_torch(need_weights):
    dense, X = attention(batch_first=True), torch.randn(N, LENGTH, WIDTH)
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
    settings = {"attn_mask": mask, "is_causal": True, "need_weights": need_weights}
    close(ProjectedAttention(dense)(X, X, X, **settings)[0], dense(X, X, X, **settings)[0])
    with pytest.raises(RuntimeError, match="attn_mask"):
        ProjectedAttention(dense)(X, X, X, is_causal=True)


@pytest.mark.parametrize("settings", [{"add_bias_kv": True}, {"add_zero_attn": True}], ids=str)
def test_is_projected_attention_with_keys_of_its_own_stays(settings):
    assert is_projected(attention())
    assert not is_projected(attention(**settings))


@pytest.fixture
def force(monkeypatch):
    """Have the first form beside the dense one come out as the fastest."""

    def fake(calls, X, n_rounds=9, hopeless=np.inf):
        for call in calls:
            call(X)
        return np.where(np.arange(len(calls)) == 1, 0.1, 1.0)[None]

    monkeypatch.setattr(_sparse_forms, "seconds_of", fake)
    monkeypatch.setattr(_sparse_net, "seconds_of", fake)


def thin(net, rate=0.8):
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(torch.rand_like(parameter) > rate)
            parameter.data[0, 0] = 1 if "norm" not in name else parameter.data[0, 0]
    return net.eval().requires_grad_(False)


class Encoder(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True, **settings)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, X, mask=None):
        return self.last(self.encoder(X, src_key_padding_mask=mask)[:, 0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("mask", [None, PADDED[:, :LENGTH]], ids=["no mask", "mask"])
@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "activation": "gelu"}], ids=str)
def test_sparse_module_encoder_projections_run_sparse_with_its_outputs(force, mask, settings):
    net = thin(Encoder(**settings))
    X = {"X": torch.randn(N, LENGTH, WIDTH)} | ({} if mask is None else {"mask": mask})
    fast = sparse_module(net, X)
    forms = fast.choices.set_index("layer")["form"]
    assert forms["encoder.layers.1.self_attn.q_proj"] == "csr"
    assert {name.rpartition(".")[2] for name in forms[forms == "csr"].index} >= {
        *("q_proj", "k_proj", "v_proj", "out_proj", "linear1", "linear2")
    }
    close(fast(**X), net(**X))
    made = copy.deepcopy(fast)
    made.load_state_dict(fast.state_dict())
    close(made(**X), fast(**X))


def test_sparse_module_attention_dense_layers_keep_torchs_own(monkeypatch):
    def fake(calls, X, n_rounds=9, hopeless=np.inf):
        return np.ones((4, len(calls)))

    monkeypatch.setattr(_sparse_forms, "seconds_of", fake)
    net = thin(Encoder())
    fast = sparse_module(net, torch.randn(N, LENGTH, WIDTH))
    assert "encoder.layers.0.self_attn.q_proj" in set(fast.choices["layer"])
    assert type(fast.module.encoder.layers[0].self_attn) is nn.MultiheadAttention


def test_sparse_module_transformer_with_a_decoder_keeps_its_outputs(force):
    net = thin(nn.Transformer(WIDTH, HEADS, 1, 1, 16, batch_first=True))
    X = {"src": torch.randn(N, KEYS, WIDTH), "tgt": torch.randn(N, LENGTH, WIDTH)}
    fast = sparse_module(net, X)
    assert (fast.choices["form"] == "csr").sum() >= 12
    close(fast(**X), net(**X))
