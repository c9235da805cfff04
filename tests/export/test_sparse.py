"""Nets that run at their sparsity: equal outputs, whatever form is chosen."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from sk_prunefair import FairPrunedClassifier, compare_models
from sk_prunefair.compression import measure_latency
from sk_prunefair.export import _sparse_forms, _sparse_net, sparse, sparse_module
from sk_prunefair.export._sparse_live import LiveConv2d, LiveLinear
from sk_prunefair.export.sparse_layers import SparseConv2d, SparseLinear
from sk_prunefair.modules import MLP


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def thin(layer, rate=0.9):
    """Set this share of a layer's weights to zero."""
    layer.weight.data.mul_(torch.rand_like(layer.weight) > rate)
    return layer


def small_net(dtype=torch.float32):
    net = nn.Sequential(thin(nn.Linear(6, 40)), nn.ReLU(), thin(nn.Linear(40, 3, bias=False), 0.7))
    return net.to(dtype)


@pytest.fixture
def force(monkeypatch):
    """Make a form come out as the fastest, without timing: the first, or one by its number.

    Unless ``prepares``, nothing is done to the net before, so that all its layers are there.
    """

    def forced(which=0, seconds=0.1, prepares=False):
        def fake(calls, X, n_rounds=9, hopeless=np.inf):
            for call in calls:
                call(X)
            taken = np.ones((4, len(calls)))
            taken[:, min(which + 1, len(calls) - 1)] = seconds
            return taken

        if not prepares:
            monkeypatch.setattr(sparse, "prepare", lambda dense, *args: (dense, ""))
        monkeypatch.setattr(_sparse_forms, "seconds_of", fake)
        monkeypatch.setattr(_sparse_net, "seconds_of", fake)

    return forced


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 6), (33, 6), (2, 5, 6), (0, 6)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("block", [1, 4, 512])
def test_sparse_linear_every_shape_equals_dense(dtype, shape, bias, block):
    dense = thin(nn.Linear(6, 5, bias=bias), 0.6).to(dtype)
    X = torch.randn(shape, dtype=dtype)
    found = SparseLinear(dense.weight, dense.bias, block)(X)
    close(found, dense(X))
    assert found.is_contiguous()
    assert not found.requires_grad


def test_sparse_linear_input_not_contiguous_equals_dense():
    dense = thin(nn.Linear(6, 5))
    X = torch.randn(6, 3, 7).permute(1, 2, 0)
    close(SparseLinear(dense.weight, dense.bias)(X), dense(X))


@pytest.mark.parametrize("bias", [True, False])
def test_live_linear_dead_rows_and_columns_equals_dense_and_is_smaller(bias):
    dense = nn.Linear(6, 5, bias=bias)
    dense.weight.data[[1, 4]] = 0
    dense.weight.data[:, [0, 2, 3]] = 0
    layer = LiveLinear(dense.weight, dense.bias)
    assert layer.small.weight.shape == (3, 3)
    X = torch.randn(2, 7, 6)
    close(layer(X), dense(X))


def test_live_convolution_dead_filters_and_channels_equals_dense_and_is_smaller():
    dense = nn.Conv2d(4, 5, 3, padding=1, stride=2)
    dense.weight.data[[1, 4]] = 0
    dense.weight.data[:, [0, 2, 3]] = 0
    layer = LiveConv2d(dense)
    assert layer.small.weight.shape == (3, 1, 3, 3)
    for X in (torch.randn(2, 4, 6, 7), torch.randn(4, 6, 7)):
        close(layer(X), dense(X).detach())


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
        {"kernel_size": (3, 2), "padding": (2, 0), "stride": (1, 2), "dilation": (2, 1)},
        {"kernel_size": 3, "padding": "same", "dilation": 2},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 3, "groups": 2, "padding": 1},
        {"kernel_size": 3, "groups": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [7, 40, 512])
def test_sparse_convolution_every_setting_equals_dense(settings, block):
    dense = thin(nn.Conv2d(4, 8, **settings), 0.6)
    layer = SparseConv2d(dense, block)
    for X in (torch.randn(1, 4, 9, 8), torch.randn(5, 4, 7, 7), torch.randn(4, 7, 9)):
        close(layer(X), dense(X))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "settings", [{"padding_mode": "reflect", "padding": 1}, {"padding": "same"}], ids=str
)
def test_sparse_convolution_uneven_padding_has_no_product(settings, force):
    force()
    conv = thin(nn.Conv2d(2, 3, 2, **settings))
    with pytest.raises(ValueError, match="padding"):
        SparseConv2d(conv)
    X = torch.randn(2, 2, 6, 6)
    fast = sparse_module(nn.Sequential(conv), X)
    assert not fast.choices["form"].str.startswith("csr").any()
    close(fast(X), conv(X).detach())


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("n_rows", [1, 5, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse_module_every_form_has_the_dense_outputs(force, which, n_rows, dtype):
    force(which)
    net = small_net(dtype)
    X = torch.randn(n_rows, 6, dtype=dtype)
    fast = sparse_module(net, X)
    assert (fast.choices["form"] != "dense").all()
    close(fast(X), net(X).detach())
    other = torch.randn(700, 6, dtype=dtype)  # more rows than in the example
    close(fast(other), net(other).detach())


def test_sparse_module_forms_differ_by_number_of_rows():
    layer = thin(nn.Linear(6, 400))
    layer.weight.data[:, 1:] *= torch.rand(400, 5) > 0
    assert list(_sparse_forms.forms_of(layer, 20)) == ["csr", "dense, live rows and columns"]
    assert list(_sparse_forms.forms_of(layer, 2000))[:3] == [
        "csr, 512 rows at a time",
        "csr, 128 rows at a time",
        "csr, 32 rows at a time",
    ]


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(6, 40), nn.Linear(6, 40).half(), thin(nn.Linear(6, 40), 2.0)],
    ids=["dense", "half", "zero"],
)
def test_forms_weights_without_other_form_stay_dense(layer):
    assert _sparse_forms.forms_of(layer, 10) == {}


def test_sparse_module_original_is_not_changed(force):
    force()
    net = small_net().train()
    net[0].weight.requires_grad_(True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kinds = [type(part) for part in net.modules()]
    sparse_module(net, torch.randn(4, 6))
    assert [type(part) for part in net.modules()] == kinds
    assert all(part.training for part in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_sparse_module_shares_no_memory_with_the_original(force):
    force()
    net = nn.Sequential(*small_net(), nn.BatchNorm1d(3))
    X = torch.randn(4, 6)
    fast = sparse_module(net, X)
    before = fast(X)
    for tensor in [*net.parameters(), *net.buffers()]:
        tensor.data.zero_()
    assert torch.equal(fast(X), before)


def test_sparse_module_copies_have_the_same_outputs_and_choices(force):
    force()
    X = torch.randn(4, 6)
    fast = sparse_module(small_net(), X)
    fast(X)
    file = io.BytesIO()
    torch.save(fast, file)
    file.seek(0)
    copies = [copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))]
    copies.append(torch.load(file, weights_only=False))
    for made in copies:
        assert torch.equal(made(X), fast(X))
        pd.testing.assert_frame_equal(made.choices, fast.choices)
    made.module[0].values.data.zero_()
    assert not torch.equal(made(X), fast(X))


def test_sparse_module_state_dict_is_loaded_into_its_copy(force):
    force()
    X = torch.randn(4, 6)
    fast = sparse_module(small_net(), X)
    other = copy.deepcopy(fast)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert not other(X).any()
    other.load_state_dict(fast.state_dict())
    assert torch.equal(other(X), fast(X))
    other.load_state_dict({k: v.clone() for k, v in fast.state_dict().items()}, assign=True)
    assert torch.equal(other(X), fast(X))
    assert sum(v.numel() for v in fast.state_dict().values()) < 6 * 40 + 40 * 3


def test_sparse_module_moved_to_double_runs_in_double(force):
    force()
    net = small_net()
    X = torch.randn(4, 6)
    fast = sparse_module(net, X)
    fast(X)
    found = fast.double()(X.double())
    assert found.dtype == torch.float64
    close(found, net.double()(X.double()).detach())


def test_sparse_module_dense_where_nothing_is_clearly_faster(force):
    force(seconds=0.95)
    net = small_net()
    X = torch.randn(4, 6)
    fast = sparse_module(net, X)
    assert fast.choices["form"].tolist() == ["dense", "dense"]
    assert fast.choices["speedup"].tolist() == [1, 1]
    assert fast.choices["why"].str.contains("not clearly faster").all()
    assert torch.equal(fast(X), net(X))


def test_sparse_module_net_not_faster_as_a_whole_stays_dense(force, monkeypatch):
    force()
    slower = np.array([[1.0, 2.0]])
    monkeypatch.setattr(_sparse_net, "seconds_of", lambda *args, **kwargs: slower)
    net = small_net()
    fast = sparse_module(net, torch.randn(4, 6))
    assert type(fast.module[0]) is nn.Linear
    assert fast.choices["form"].tolist() == ["dense", "dense"]
    assert "0.50 × as fast" in fast.choices["why"][0]


def test_sparse_module_without_sparse_product_stays_dense(monkeypatch):
    def fail(self, dense):
        raise RuntimeError("built without MKL")

    monkeypatch.setattr(SparseLinear, "product", fail)
    fast = sparse_module(small_net(), torch.randn(4, 6))
    assert fast.choices["form"].tolist() == ["dense", "dense"]
    assert "built without MKL" in fast.choices["why"][0]


def test_sparse_module_choices_and_text_say_what_was_chosen(force):
    force(seconds=0.25)
    fast = sparse_module(small_net(), torch.randn(4, 6))
    row = fast.choices.iloc[0]
    assert (row["layer"], row["kind"], row["shape"]) == ("0", "Linear", (40, 6))
    assert (row["input"], row["form"], row["speedup"]) == ((4, 6), "csr", 4)
    assert row["seconds_dense"] == 1
    assert row["seconds_chosen"] == 0.25
    zeros = (small_net()[0].weight == 0).double().mean()
    assert 0.8 < row["sparsity"] < 1
    assert 0.8 < zeros < 1
    assert str(fast).startswith("SparseModule: 2 of 2 layers in another form than dense")
    assert "  0 Linear[40, 6], " in repr(fast)
    assert "4.00 × as fast" in str(fast)


def test_sparse_module_beyond_tolerance_raises(force):
    force()
    net, X = small_net(), torch.randn(64, 6)
    with pytest.raises(ValueError, match=r"differ by .*, more than tolerance=0"):
        sparse_module(nn.Sequential(net, _Noise()), X, tolerance=0)
    with pytest.raises(ValueError, match="tolerance must be"):
        sparse_module(net, X, tolerance=-1)


class _Noise(nn.Module):
    def forward(self, X):
        return X + torch.rand_like(X)


def test_sparse_module_training_raises():
    fast = sparse_module(small_net(), torch.randn(4, 6))
    assert fast.eval() is fast
    with pytest.raises(RuntimeError, match="evaluation"):
        fast.train()
    assert not any(part.training for part in fast.modules())


def test_sparse_module_dropout_and_batch_norm_run_in_evaluation_mode(force):
    force()
    net = nn.Sequential(nn.BatchNorm1d(6), *small_net(), nn.Dropout(0.9)).train()
    net[0].running_mean += 1
    X = torch.randn(4, 6)
    close(sparse_module(net, X)(X), copy.deepcopy(net).eval()(X).detach())


def test_sparse_module_masks_of_torch_are_applied(force):
    force()
    net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3))
    X = torch.randn(4, 6)
    for layer in (net[0], net[2]):
        prune.random_unstructured(layer, "weight", 0.9)
    expected = net(X).detach()
    fast = sparse_module(net, X)
    assert (fast.choices["form"] != "dense").all()
    close(fast(X), expected)
    assert prune.is_pruned(net)
    assert hasattr(net[0], "weight_orig")
    close(net(X).detach(), expected)


def test_sparse_module_parametrizations_are_applied(force):
    force()
    layer = thin(nn.Linear(6, 40))
    layer.weight.data[:, 0] = 1  # a row of zeros has no direction
    net = nn.Sequential(parametrizations.weight_norm(layer))
    X = torch.randn(4, 6)
    fast = sparse_module(net, X)
    assert fast.choices["form"].tolist() == ["csr"]
    close(fast(X), net(X).detach())
    assert hasattr(net[0], "parametrizations")


def test_sparse_module_layer_with_a_hook_stays_dense(force):
    force()
    net, seen = small_net(), []
    net[0].register_forward_hook(lambda *given: seen.append(1))
    fast = sparse_module(net, torch.randn(4, 6))
    assert fast.choices["layer"].tolist() == ["2"]
    assert seen


def test_sparse_module_layer_with_a_forward_of_its_own_stays_dense(force):
    force()
    net = small_net()
    net[2].forward = lambda X: nn.functional.linear(X, net[2].weight) + 1
    fast = sparse_module(net, torch.randn(4, 6))
    assert fast.choices["layer"].tolist() == ["0"]


def test_sparse_module_of_a_single_layer_is_the_layer(force):
    force()
    layer, X = thin(nn.Linear(6, 40)), torch.randn(4, 6)
    fast = sparse_module(layer, X)
    assert isinstance(fast.module, SparseLinear)
    close(fast(X), layer(X).detach())


def test_sparse_module_shared_layer_is_replaced_everywhere(force):
    force()
    layer = thin(nn.Linear(6, 6), 0.7)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    X = torch.randn(4, 6)
    fast = sparse_module(net, X)
    assert fast.module[0] is fast.module[2]
    close(fast(X), net(X).detach())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("mask", [None, torch.tensor([[False] * 4, [False, False, True, True]])])
def test_sparse_module_encoder_of_torch_keeps_its_outputs(force, mask):
    force()
    layer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)
    thin(layer.linear1), thin(layer.linear2, 0.7)
    net = _Encoder(nn.TransformerEncoder(layer, 2)).eval()
    X = {"X": torch.randn(2, 4, 8)} | ({} if mask is None else {"mask": mask})
    fast = sparse_module(net, X)
    assert set(fast.choices["layer"].str.split(".").str[-1]) == {"linear1", "linear2"}
    assert fast.choices["form"].str.startswith("csr").all()
    with torch.no_grad():
        kept = slice(None) if mask is None else ~mask
        close(fast(**X)[kept], net(**X)[kept])


class _Encoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, X, mask=None):
        return self.encoder(X, src_key_padding_mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_sparse_module_transformers_every_projection(force, kind):
    transformers = pytest.importorskip("transformers")
    force()
    if kind == "bert":
        config = transformers.BertConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
        )
        net = transformers.BertForSequenceClassification(config).eval()
        n_layers = 2 * 6 + 2
    else:
        config = transformers.GPT2Config(
            vocab_size=20,
            n_positions=8,
            n_embd=16,
            n_layer=2,
            n_head=2,
            pad_token_id=0,
            num_labels=2,
        )
        net = transformers.GPT2ForSequenceClassification(config).eval()
        n_layers = 2 * 4 + 1
    for part in net.modules():
        if type(part).__name__ in ("Linear", "Conv1D"):
            thin(part, 0.7)
    tokens = torch.randint(1, 20, (3, 5))
    X = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    fast = sparse_module(net, X)
    assert len(fast.choices) == n_layers
    assert (fast.choices["form"] != "dense").all()
    with torch.no_grad():
        close(fast(**X).logits, net(**X).logits)


def test_sparse_module_resnet_keeps_its_outputs(force):
    from sk_prunefair.modules import ResNet18

    force()
    net = ResNet18(3, width=8).eval()
    for part in net.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            thin(part)
    X = torch.randn(3, 3, 16, 16)
    fast = sparse_module(net, X)
    assert set(fast.choices["kind"]) == {"Conv2d", "Linear"}
    assert fast.choices["form"].str.startswith("csr").all()
    close(fast(X), net(X).detach(), atol=1e-4)


@pytest.fixture(scope="module")
def pruned():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6)).astype(np.float32)
    y, group = (X[:, 0] > 0).astype(int), rng.integers(0, 2, 120)
    clf = FairPrunedClassifier(
        MLP, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, random_state=0
    )
    clf.fit(X, y, sensitive_features=group).prune(0.9, X, y, sensitive_features=group)
    return clf, X, y, group


def test_sparse_module_of_classifier_is_its_pruned_net(force, pruned):
    force()
    clf, X, _, _ = pruned
    fast = sparse_module(clf, pd.DataFrame(X[:8]))
    assert (fast.choices["form"] != "dense").any()
    close(fast(torch.as_tensor(X)), clf.forward(X).detach())


def test_sparse_module_of_classifier_takes_integers_as_it_does(force, pruned):
    force()
    clf, X, _, _ = pruned
    fast = sparse_module(clf, X[:8].astype(int))
    assert (fast.choices["form"] != "dense").any()


def test_sparse_module_latency_is_measured(force, pruned):
    force()
    clf, X, _, _ = pruned
    fast = sparse_module(clf, X[:8])
    assert min(measure_latency(clf.dense_module_, fast, torch.as_tensor(X[:8]), 2)) > 0
    assert not fast.training


# Logits of a net that has hardly been trained may all lie in [0, 1].
@pytest.mark.filterwarnings("ignore:.*returned values in")
def test_sparse_module_in_compare_models_reports_the_pruned_net(force, pruned):
    force()
    clf, X, y, group = pruned
    fast = sparse_module(clf, X[:64])
    found = compare_models(clf.dense_module_, fast, X, y, sensitive_features=group)
    expected = compare_models(clf.dense_module_, clf.module_, X, y, sensitive_features=group)
    pd.testing.assert_frame_equal(found.by_group, expected.by_group, atol=1e-5)
    assert found.compression["bytes_stored"] < found.compression["bytes_dense"]


def test_sparse_module_threads_are_set_back():
    before = torch.get_num_threads()
    fast = sparse_module(small_net(), torch.randn(4, 6), threads=2)
    assert torch.get_num_threads() == before
    assert "2 thread(s)" in str(fast)
    with pytest.raises(ValueError, match="threads must be"):
        sparse_module(small_net(), torch.randn(4, 6), threads=0)


@pytest.mark.parametrize(
    ("source", "example", "error", "message"),
    [
        (3, torch.ones(1, 6), TypeError, "source must be a torch module or a Fair.*got int"),
        (nn.Linear(6, 2, device="meta"), torch.ones(1, 6), ValueError, "source must be on the CPU"),
        (nn.Linear(6, 2), torch.ones(0, 6), ValueError, "example must hold at least one sample"),
        (nn.Linear(6, 2), torch.full((1, 6), torch.nan), ValueError, "example must be finite"),
        (nn.Linear(6, 2), np.array(["a"]), ValueError, "must be an array of numbers"),
        (nn.Linear(6, 2), {"a": [1.0], "b": [1.0, 2.0]}, ValueError, "tensors of one length"),
    ],
)
def test_sparse_module_bad_input_says_what_is_accepted(source, example, error, message):
    with pytest.raises(error, match=message):
        sparse_module(source, example)


def test_seconds_are_of_every_call_and_round():
    seconds = _sparse_forms.seconds_of([lambda X: X, lambda X: X + 1], torch.ones(3), n_rounds=2)
    assert seconds.shape == (2, 2)
    assert (seconds > 0).all()
