"""A compact file as a sparse module: the outputs of the net, without its dense weights."""

from __future__ import annotations

import copy
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sk_prunefair import FairPrunedClassifier
from sk_prunefair.export import load_sparse, save_compact, sparse_file
from sk_prunefair.export._sparse_attention import ProjectedAttention
from sk_prunefair.export.sparse_layers import SparseConv2d, SparseLinear
from sk_prunefair.modules import MLP, ResNet18


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def thin(net, rate=0.9):
    """Set this share of all weights to zero, but one of each layer."""
    for parameter in net.parameters():
        if parameter.ndim > 1:
            kept = torch.rand_like(parameter) > rate
            kept[0, 0] = True
            parameter.data.mul_(kept)
    return net.eval().requires_grad_(False)


@pytest.fixture
def force(monkeypatch):
    """Have the form of this number come out as the fastest: 0 is the dense one of small layers."""

    def forced(which):
        def fake(calls, X):
            for call in calls:
                call(X)
            return np.where(np.arange(len(calls)) == which, 0.1, 1.0)[None]

        monkeypatch.setattr(sparse_file, "seconds_of", fake)

    return forced


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, X):
        return self.encoder(X)


NETS = {
    "mlp": (lambda: MLP(6, 3, hidden=(40, 40)), (5, 6)),
    "single": (lambda: nn.Linear(6, 40), (5, 6)),
    "double": (lambda: nn.Sequential(nn.Linear(6, 40)).double(), (5, 6)),
    "no bias": (lambda: nn.Sequential(nn.Linear(6, 40, bias=False)), (5, 6)),
    "resnet": (lambda: ResNet18(3, width=8), (2, 3, 16, 16)),
    "groups": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2)), (2, 4, 6, 6)),
    "attention": (Attends, (2, 4, 8)),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("on_meta", [True, False])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", NETS)
def test_load_sparse_every_net_has_its_outputs(force, tmp_path, name, which, on_meta):
    force(which)
    make, shape = NETS[name]
    net = thin(make())
    save_compact(net, tmp_path / "net.zip")
    with torch.device("meta" if on_meta else "cpu"):
        target = make()
    X = torch.randn(shape, dtype=next(net.parameters()).dtype)
    fast = load_sparse(tmp_path / "net.zip", target, X)
    close(fast(X), net(X))
    close(fast(torch.cat([X, X])), net(torch.cat([X, X])))
    kinds = {type(part) for part in fast.modules()}
    if name != "groups":
        assert bool(kinds & {SparseLinear, SparseConv2d}) == (which == 1)
    assert fast.choices["form"].str.startswith("csr").any() == bool(which and name != "groups")
    assert not any(p.requires_grad for p in fast.parameters())
    for made in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        close(made(X), fast(X))


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor with values has that comes out of an operation."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            is_dense = isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided
            if is_dense and not leaf.is_meta:
                self.numel = max(self.numel, leaf.numel())
        return made


@pytest.mark.parametrize(("small", "is_small"), [(0, False), (2**24, True)])
def test_load_sparse_large_layer_is_never_dense(tmp_path, monkeypatch, small, is_small):
    monkeypatch.setattr(sparse_file, "_SMALL", small)
    net, X = thin(nn.Linear(600, 500), 0.97), torch.randn(2, 600)
    save_compact(net, tmp_path / "net.zip")
    with torch.device("meta"):
        target = nn.Linear(600, 500)
    with Largest() as largest:
        fast = load_sparse(tmp_path / "net.zip", target, X)
    assert (largest.numel == 600 * 500) == is_small
    assert largest.numel < 0.2 * 600 * 500 or is_small
    close(fast(X), net(X))
    if not is_small:
        assert fast.choices["form"].tolist() == ["csr"]
        assert "too large" in fast.choices["why"][0]


def test_load_sparse_layer_with_many_weights_left_stays_dense(tmp_path):
    net, X = (
        nn.Sequential(thin(nn.Linear(20, 30), 0.5), thin(nn.Linear(30, 20))),
        torch.randn(3, 20),
    )
    save_compact(net, tmp_path / "net.zip")
    fast = load_sparse(tmp_path / "net.zip", net, X)
    assert type(fast.module[0]) is nn.Linear
    row = fast.choices.iloc[0]
    assert (row["layer"], row["form"]) == ("0", "dense")
    assert "fewer than 0.7" in row["why"]
    assert "from a file" in str(fast)
    close(fast(X), net(X))


def test_load_sparse_target_is_not_changed(tmp_path):
    net, X = thin(MLP(6, 3, hidden=(40,))), torch.randn(2, 6)
    save_compact(net, tmp_path / "net.zip")
    target = MLP(6, 3, hidden=(40,)).train()
    before = copy.deepcopy(target.state_dict())
    load_sparse(tmp_path / "net.zip", target, X)
    assert target.training
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name])
        assert not value.is_meta


def test_load_sparse_attention_is_of_sparse_projections(tmp_path, force):
    force(1)
    net, X = thin(Attends()), torch.randn(2, 4, 8)
    save_compact(net, tmp_path / "net.zip")
    fast = load_sparse(tmp_path / "net.zip", Attends(), X)
    made = fast.module.encoder.layers[0].self_attn
    assert type(made) is ProjectedAttention
    assert type(made.q_proj) is SparseLinear
    close(fast(X), net(X))


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_load_sparse_transformers_have_their_outputs(tmp_path, force, kind):
    transformers = pytest.importorskip("transformers")
    force(1)
    small = {"vocab_size": 20, "num_labels": 2, "pad_token_id": 0}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_positions=8, n_embd=16, n_layer=1, n_head=2, **small)
        make = transformers.GPT2ForSequenceClassification
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.BertConfig(intermediate_size=32, **sizes, **small)
        make = transformers.BertForSequenceClassification
    net = make(config).eval().requires_grad_(False)
    for part in net.modules():
        if type(part).__name__ in ("Linear", "Conv1D"):
            thin(part)
    save_compact(net, tmp_path / "net.zip")
    tokens = torch.randint(1, 20, (3, 5))
    X = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    fast = load_sparse(tmp_path / "net.zip", make(config), X)
    assert fast.choices["form"].str.startswith("csr").all()
    close(fast(**X).logits, net(**X).logits)
    with torch.device("meta"):
        target = make(config)
    if any(buffer.is_meta for _, buffer in _not_saved(target)):
        with pytest.raises(ValueError, match="on the meta device that are not in the file"):
            load_sparse(tmp_path / "net.zip", target, X)


def _not_saved(net):
    saved = net.state_dict()
    return [(name, each) for name, each in net.named_buffers() if name not in saved]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int), rng.integers(0, 2, 120)


@pytest.mark.parametrize("pruner", ["magnitude", "channel_magnitude"])
def test_load_sparse_classifier_is_its_pruned_net(tmp_path, data, pruner):
    if pruner == "channel_magnitude":
        pytest.importorskip("torch_pruning")
    X, y, group = data
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "verbose": 0, "random_state": 0}
    clf = FairPrunedClassifier(MLP, pruner=pruner, **settings)
    clf.fit(X, y, sensitive_features=group).prune(0.8, X, y, sensitive_features=group)
    save_compact(clf, tmp_path / "net.zip")
    for target in (FairPrunedClassifier(MLP, pruner=pruner, **settings), clf):
        fast = load_sparse(tmp_path / "net.zip", target, X[:8])
        close(fast(torch.as_tensor(X)), clf.forward(X).detach())
    assert not FairPrunedClassifier(MLP).__sklearn_is_fitted__()


def test_load_sparse_threads_are_set_back(tmp_path):
    net = thin(nn.Linear(6, 40))
    save_compact(net, tmp_path / "net.zip")
    before = torch.get_num_threads()
    fast = load_sparse(tmp_path / "net.zip", net, torch.randn(2, 6), threads=2)
    assert torch.get_num_threads() == before
    assert "2 thread(s)" in str(fast)


def test_load_sparse_bad_input_says_what_is_wrong(tmp_path):
    net, X = thin(nn.Linear(6, 40)), torch.randn(2, 6)
    path = tmp_path / "net.zip"
    save_compact(net, path)
    with pytest.raises(ValueError, match="does not fit the target"):
        load_sparse(path, nn.Linear(6, 41), X)
    with pytest.raises(ValueError, match="example must be finite"):
        load_sparse(path, net, X * torch.nan)
    with pytest.raises(ValueError, match="target must be a torch module or a Fair"):
        load_sparse(path, 3, X)
    with pytest.raises(FileNotFoundError):
        load_sparse(tmp_path / "none.zip", net, X)
    with pytest.raises(ValueError, match="threads must be"):
        load_sparse(path, net, X, threads=0)


@pytest.mark.parametrize("what", ["bits", "values"])
def test_load_sparse_damaged_weights_raise(tmp_path, what):
    net = thin(nn.Linear(6, 40))
    save_compact(net, tmp_path / "net.zip")
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    key = f"{what}/weight"
    # No weight at all, and NaN for all.
    parts[key] = bytes([0 if what == "bits" else 255]) * len(parts[key])
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    message = "the stated number of values" if what == "bits" else "not finite"
    with pytest.raises(ValueError, match=message):
        load_sparse(tmp_path / "bad.zip", net, torch.randn(2, 6))
