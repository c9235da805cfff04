"""FairPrunedClassifier: what it takes, what pruning promises, what survives what."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from skorch.callbacks import EpochScoring
from skorch.dataset import Dataset as SkorchDataset
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sk_prunefair import EqualLossConstraint
from sk_prunefair.pruning import MagnitudePruner, prunable_parameters
from tests.conftest import assert_same_weights, classifier, weights


def share_of_zeros(clf):
    tensors = [w.detach().numpy().ravel() for w in prunable_parameters(clf.module_).values()]
    return float(np.mean(np.concatenate(tensors) == 0))


def equal_loss(clf):
    return dict(clf.callbacks_)["equal_loss"]


# ------------------------------------------------------------------- pruning


def test_prune_starts_from_the_dense_net(fitted):
    dense = weights(fitted.module_)
    fitted.prune(0.5)
    twice = weights(fitted.prune(0.9).module_)
    once = weights(fitted.prune(0.0).prune(0.9).module_)
    for name, value in dense.items():
        np.testing.assert_array_equal(twice[name], once[name])
        kept = twice[name] != 0
        np.testing.assert_array_equal(twice[name][kept], value[kept])
    assert_same_weights(fitted.prune(0.0).module_, fitted.dense_module_)
    for name, value in weights(fitted.module_).items():
        np.testing.assert_array_equal(value, dense[name])


def test_prune_layer_left_without_weights_warns(digits):
    X, y, _ = digits
    clf = classifier().fit(X, y)
    with torch.no_grad():
        clf.dense_module_.get_submodule("layers.5").weight.mul_(1e-3)
    with pytest.warns(UserWarning, match=r"removes all weights of \['layers\.5\.weight'\]"):
        clf.prune(0.9)
    assert np.ptp(clf.predict_proba(X), axis=0).max() == 0
    clf.set_params(pruner=MagnitudePruner(min_kept=0.01)).prune(0.9)
    assert np.ptp(clf.predict_proba(X), axis=0).max() > 0


@pytest.mark.filterwarnings("ignore:pruning removes all weights")
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 0.999])
def test_prune_any_rate_removes_exactly_that_share(fitted, rate):
    n_weights = sum(w.numel() for w in prunable_parameters(fitted.module_).values())
    fitted.prune(rate)
    assert share_of_zeros(fitted) == round(rate * n_weights) / n_weights
    assert fitted.sparsity_ == pytest.approx(share_of_zeros(fitted), abs=1e-12)
    assert fitted.prune_rate_ == rate
    for name, mask in fitted.masks_.items():
        assert mask.dtype == torch.bool
        assert torch.equal(fitted.module_.get_parameter(name) != 0, mask)


def test_fitted_attributes_without_pruning_are_those_of_the_dense_net(fitted):
    assert fitted.prune_rate_ == 0.0
    assert fitted.sparsity_ == 0.0
    assert fitted.masks_ == {}
    assert fitted.dense_module_ is fitted.module_


def test_fit_with_prune_rate_equals_fit_then_prune(digits):
    X, y, group = digits
    kwargs = {"sensitive_features": group}
    constraint = {"callbacks": [("equal_loss", EqualLossConstraint())]}
    at_once = classifier(prune_rate=0.8, finetune_epochs=2, **constraint).fit(X, y, **kwargs)
    stepwise = classifier(**constraint).fit(X, y, **kwargs)
    stepwise.prune(0.5, X, y, finetune_epochs=1, **kwargs)
    stepwise.prune(0.8, X, y, finetune_epochs=2, **kwargs)
    assert_same_weights(at_once.module_, stepwise.module_)
    assert_same_weights(at_once.dense_module_, stepwise.dense_module_)
    assert len(at_once.history) == len(stepwise.history) == 4 + 2
    pd.testing.assert_series_equal(
        equal_loss(at_once).multipliers_, equal_loss(stepwise).multipliers_
    )


def test_prune_with_fine_tuning_helps_and_keeps_the_mask(fitted, digits):
    X, y, group = digits
    before = fitted.prune(0.9).score(X, y)
    masks = fitted.masks_
    fitted.prune(0.9, X, y, sensitive_features=group, finetune_epochs=4)
    assert fitted.score(X, y) > before + 0.1
    for name, mask in masks.items():
        assert torch.equal(fitted.module_.get_parameter(name) != 0, mask)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.LBFGS])
def test_partial_fit_of_a_pruned_net_keeps_its_sparsity(digits, optimizer):
    X, y, group = digits
    params = {} if optimizer is torch.optim.LBFGS else {"optimizer__weight_decay": 1e-3}
    if optimizer is torch.optim.SGD:
        params["optimizer__momentum"] = 0.9
    clf = classifier(optimizer=optimizer, lr=0.01, max_epochs=1, **params)
    clf.fit(X, y, sensitive_features=group).prune(0.7)
    sparsity, before = clf.sparsity_, weights(clf.module_)
    clf.partial_fit(X, y, sensitive_features=group)
    assert share_of_zeros(clf) == pytest.approx(sparsity, abs=1e-12)
    assert any((weights(clf.module_)[name] != value).any() for name, value in before.items())


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copy_of_a_pruned_net_trains_on_like_the_original(fitted, digits, copier):
    X, y, group = digits
    fitted.prune(0.8)
    twin = copier(fitted)
    np.testing.assert_array_equal(twin.predict_proba(X), fitted.predict_proba(X))
    for clf in (fitted, twin):
        clf.partial_fit(X, y, sensitive_features=group)
    assert_same_weights(fitted.module_, twin.module_)
    assert share_of_zeros(twin) == pytest.approx(fitted.sparsity_, abs=1e-12)
    assert_same_weights(fitted.prune(0.5).module_, twin.prune(0.5).module_)


def test_clone_fitted_again_is_the_same_sparse_net(digits):
    X, y, group = digits
    clf = classifier(prune_rate=0.6, finetune_epochs=1).fit(X, y, sensitive_features=group)
    again = clone(clf).fit(X, y, sensitive_features=group)
    assert_same_weights(clf.module_, again.module_)
    assert again.sparsity_ == clf.sparsity_ > 0.59


@pytest.mark.parametrize("use_safetensors", [False, True])
def test_load_params_of_a_pruned_net_into_a_fresh_one_equals_it(
    fitted, digits, tmp_path, use_safetensors
):
    if use_safetensors:
        pytest.importorskip("safetensors")
    X, y, group = digits
    fitted.prune(0.8, X, y, sensitive_features=group, finetune_epochs=1)
    file = tmp_path / "params"
    fitted.save_params(f_params=file, use_safetensors=use_safetensors)
    fresh = classifier(module__n_features=64, classes=list(range(10))).initialize()
    fresh.load_params(f_params=file, use_safetensors=use_safetensors)
    np.testing.assert_array_equal(fresh.predict(X), fitted.predict(X))
    assert fresh.sparsity_ == fitted.sparsity_
    assert fresh.prune_rate_ == 0.8
    assert_same_weights(fresh.dense_module_, fitted.dense_module_)
    report, expected = (c.fairness_report(X, y, sensitive_features=group) for c in (fresh, fitted))
    pd.testing.assert_frame_equal(report.to_frame(), expected.to_frame())
    fresh.partial_fit(X, y, sensitive_features=group)
    assert share_of_zeros(fresh) == pytest.approx(fresh.sparsity_, abs=1e-12)


def test_save_params_of_a_dense_net_is_a_plain_state_dict(fitted, tmp_path):
    fitted.save_params(f_params=tmp_path / "dense.pt")
    state = torch.load(tmp_path / "dense.pt", weights_only=True)
    assert state.keys() == fitted.module_.state_dict().keys()
    pruned = copy.deepcopy(fitted).prune(0.5)
    pruned.load_params(f_params=tmp_path / "dense.pt")
    assert pruned.prune_rate_ == 0.0
    assert_same_weights(pruned.module_, fitted.module_)


def test_load_params_that_do_not_fit_leave_the_net_alone(fitted, digits, tmp_path):
    X, y, _ = digits
    classifier(module__hidden=7).fit(X, y).prune(0.5).save_params(f_params=tmp_path / "other.pt")
    fitted.prune(0.3)
    before = weights(fitted.module_)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fitted.load_params(f_params=tmp_path / "other.pt")
    for name, value in weights(fitted.module_).items():
        np.testing.assert_array_equal(value, before[name])
    assert fitted.prune_rate_ == 0.3


# --------------------------------------------------------------- determinism


def test_random_state_same_seed_same_weights_and_global_generators_stay(digits):
    X, y, group = digits
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 (the legacy generator is the global one)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    kwargs = {"prune_rate": 0.5, "finetune_epochs": 1}
    first = classifier(**kwargs).fit(X, y, sensitive_features=group)
    first.fairness_report(X, y, sensitive_features=group)
    first.predict(X)
    first.partial_fit(X, y, sensitive_features=group)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    torch.manual_seed(4)
    second = classifier(**kwargs).fit(X, y, sensitive_features=group)
    assert_same_weights(first.dense_module_, second.dense_module_)
    other = classifier(random_state=1, **kwargs).fit(X, y, sensitive_features=group)
    assert (
        weights(other.module_)["layers.1.weight"] != weights(second.module_)["layers.1.weight"]
    ).any()


PRINT_HASH = """
import hashlib, torch
torch.set_num_threads(1)
from sklearn.datasets import load_digits
from tests.conftest import classifier
X, y = load_digits(return_X_y=True)
clf = classifier(max_epochs=2, prune_rate=0.5, finetune_epochs=1)
clf.fit(X / 16, y, sensitive_features=y % 2)
state = b"".join(v.numpy().tobytes() for v in clf.module_.state_dict().values())
print(hashlib.sha256(state).hexdigest())
"""


@pytest.mark.slow
def test_random_state_same_seed_same_weights_across_processes():
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PRINT_HASH],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1


def test_random_state_none_the_global_generator_decides(digits):
    X, y, _ = digits
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(classifier(random_state=None, max_epochs=1).fit(X, y).module_)
    assert_same_weights(nets[0], nets[1])
    first = weights(nets[0])["layers.1.weight"]
    assert (first != weights(nets[2])["layers.1.weight"]).any()


def test_random_state_instance_gives_the_same_net_twice(digits):
    X, y, _ = digits
    nets = [
        classifier(random_state=np.random.RandomState(5), max_epochs=1).fit(X, y).module_
        for _ in range(2)
    ]
    assert_same_weights(*nets)


# -------------------------------------------------------- what goes in, comes out


def test_fit_string_labels_and_groups_equal_numbers(digits):
    X, y, group = digits
    names = np.array([f"digit {i}" for i in range(10)])
    texts = classifier().fit(X, names[y], sensitive_features=group)
    numbers = classifier().fit(X, y, sensitive_features=group == "round")
    np.testing.assert_array_equal(texts.predict(X), names[numbers.predict(X)])
    assert texts.classes_.tolist() == names.tolist()
    assert texts.groups_.tolist() == ["other", "round"]
    assert texts.score(X, names[y]) == numbers.score(X, y) > 0.8
    report = texts.fairness_report(X, names[y], sensitive_features=group)
    assert report.dense.overall["accuracy"] == texts.score(X, names[y])


@pytest.mark.parametrize("dtype", ["Int64", "string", "category", "boolean", object])
def test_predict_labels_of_pandas_keep_their_kind(digits, dtype):
    X, y, _ = digits
    plain = {"Int64": y, "boolean": y > 4}.get(dtype, np.array(list("abcdefghij"))[y])
    clf = classifier(max_epochs=1).fit(X, pd.Series(plain, dtype=dtype))
    assert clf.classes_.tolist() == np.unique(plain).tolist()
    assert type(clf.predict(X[:1]).tolist()[0]) is type(plain.tolist()[0])
    with pytest.raises(ValueError, match="y contains NaN"):
        clf.fit(X, pd.Series(plain, dtype=dtype).where(np.arange(len(y)) > 0))


def test_fit_groups_as_frame_intersect(digits):
    X, y, group = digits
    frame = pd.DataFrame({"shape": group, "even": y % 2 == 0}, index=np.arange(len(y))[::-1] * 3)
    clf = classifier().fit(X, y, sensitive_features=frame)
    assert clf.groups_.names == ["shape", "even"]
    assert len(clf.groups_) == 4


def test_fit_pandas_with_odd_indexes_goes_by_position(digits):
    X, y, group = digits
    plain = classifier().fit(X, y, sensitive_features=group)
    index = np.random.default_rng(0).integers(0, 50, len(y))
    frame = pd.DataFrame(X, index=index).add_prefix("pixel ")
    labels = pd.Series(y, index=index[::-1])
    odd = classifier().fit(frame, labels, sensitive_features=pd.Series(group, index=index + 1))
    assert_same_weights(plain.module_, odd.module_)
    assert odd.feature_names_in_[0] == "pixel 0"


def images(digits):
    X, y, group = digits
    return X.reshape(-1, 1, 8, 8), y, group


class Pairs(Dataset):
    """Yields (X, y), one by one, as datasets of images do."""

    def __init__(self, X, y):
        self.X_, self.y_ = X, y

    def __len__(self):
        return len(self.y_)

    def __getitem__(self, row):
        return torch.from_numpy(self.X_[row]), int(self.y_[row])


@pytest.mark.slow
def test_fit_all_forms_of_X_give_the_same_net(digits):
    X, y, group = images(digits)
    X = np.ascontiguousarray(X, dtype=np.float32)
    expected = classifier().fit(X, y, sensitive_features=group)
    tensor = torch.from_numpy(X)
    forms = [
        (X.astype(np.float64), y),
        (tensor, torch.from_numpy(y)),
        (TensorDataset(tensor, torch.from_numpy(y)), None),
        (Pairs(X, y), None),
        (Pairs(X, y), y),
    ]
    for form, labels in forms:
        clf = classifier().fit(form, labels, sensitive_features=group)
        assert_same_weights(expected.module_, clf.module_)
        np.testing.assert_array_equal(clf.predict(form), expected.predict(X))
        report = clf.fairness_report(form, labels, sensitive_features=group)
        assert report.pruned.overall["accuracy"] == expected.score(X, y)


def test_fit_dataset_parameter_wraps_the_inputs(digits):
    X, y, _ = digits

    class Half(SkorchDataset):
        def transform(self, X, y):
            return X / 2, 0

    halved = classifier(dataset=Half).fit(X, y)
    expected = classifier().fit(X / 2, y)
    assert_same_weights(halved.module_, expected.module_)
    np.testing.assert_array_equal(halved.predict(X), expected.predict(X / 2))


def test_fit_module_that_asks_for_sizes_gets_them(digits):
    X, y, _ = digits
    assert classifier().fit(X, y).module_.layers[1].in_features == 64
    wide = classifier(module__n_classes=10, module__n_features=64, module__hidden=30).fit(X, y)
    assert wide.module_.layers[5].in_features == 30
    made = classifier(nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))).fit(X, y)
    assert made.score(X, y) > 0.5


def test_initialize_pretrained_instance_needs_no_fit(digits, fitted):
    X, y, group = digits
    net = fitted.module_
    before = weights(net)
    clf = classifier(net, classes=list(range(10))).initialize().prune(0.5)
    report = clf.fairness_report(X, y, sensitive_features=group)
    assert report.dense.overall["accuracy"] == fitted.score(X, y)
    assert clf.sparsity_ == pytest.approx(0.5, abs=1e-3)
    clf.fit(X, y, sensitive_features=group)
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_fit_module_of_probabilities_equals_one_of_logits(digits):
    X, y, _ = digits
    net = nn.Sequential(nn.Linear(64, 10), nn.Softmax(-1))
    clf = classifier(net, criterion=nn.NLLLoss, max_epochs=10).fit(X, y)
    logits = classifier(nn.Sequential(net[0]), max_epochs=10).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), logits.predict_proba(X), atol=1e-4)
    assert clf.predict_proba(X).dtype == np.float64
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1, rtol=1e-12)


def test_fit_scoring_callbacks_of_skorch_see_matching_labels(digits):
    X, y, _ = digits
    names = np.array(list("abcdefghij"))[y]
    for use_caching in (True, False):
        scoring = EpochScoring(
            "f1_macro", lower_is_better=False, name="f1", use_caching=use_caching
        )
        clf = classifier(callbacks=[scoring]).fit(X, names)
        assert clf.history[-1, "f1"] > 0.7
        assert clf.history[-1, "valid_acc"] > 0.7


def test_fit_validation_set_from_outside_is_scored(digits):
    X, y, _ = digits
    names = np.array(list("abcdefghij"))[y]
    valid = SkorchDataset(X[:200].astype(np.float32), names[:200])
    clf = classifier(train_split=predefined_split(valid)).fit(X[200:], names[200:])
    assert clf.history[-1, "valid_acc"] == pytest.approx(
        accuracy_score(names[:200], clf.predict(X[:200]))
    )


def test_partial_fit_in_pieces_learns_all_classes(digits):
    X, y, group = digits
    clf = classifier(train_split=None, max_epochs=1)
    order = np.argsort(y, kind="stable")
    clf.partial_fit(
        X[order[::2]], y[order[::2]], classes=np.arange(10), sensitive_features=group[order[::2]]
    )
    score = clf.score(X, y)
    for _ in range(4):
        clf.partial_fit(X[order[1::2]], y[order[1::2]], sensitive_features=group[order[1::2]])
    assert clf.score(X, y) > score
    assert len(clf.history) == 5


def test_fit_warm_start_goes_on(digits):
    X, y, _ = digits
    warm = classifier(warm_start=True).fit(X, y).fit(X, y)
    assert len(warm.history) == 8
    assert warm.score(X, y) > classifier().fit(X, y).score(X, y)


def test_fit_warm_start_after_prune_goes_on_from_the_dense_net(digits):
    X, y, _ = digits
    straight = classifier(warm_start=True).fit(X, y).fit(X, y)
    detour = classifier(warm_start=True).fit(X, y).prune(0.9).fit(X, y)
    assert_same_weights(straight.module_, detour.module_)
    assert detour.prune_rate_ == 0.0


def test_initialize_same_seed_gives_the_same_weights(digits):
    X, y, group = digits
    params = {"module__n_features": 64, "classes": list(range(10)), "max_epochs": 2}
    nets = [classifier(**params).initialize() for _ in range(2)]
    assert_same_weights(nets[0].module_, nets[1].module_)
    for net in nets:
        net.prune(0.5, X, y, sensitive_features=group, finetune_epochs=1)
    assert_same_weights(nets[0].module_, nets[1].module_)
    assert len(nets[0].history) == 1
    assert nets[0].groups_.tolist() == ["other", "round"]


def test_fit_validation_set_is_stratified_by_label_and_group(digits):
    X, y, _ = digits
    seen = {}

    class Keep(EqualLossConstraint):
        def on_epoch_begin(self, net, dataset_valid=None, **kwargs):
            super().on_epoch_begin(net, **kwargs)
            seen["cells"] = pd.crosstab(
                dataset_valid.y, dataset_valid.group[dataset_valid.rows].numpy()
            )

    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c"], len(y), p=[0.7, 0.2, 0.1])
    classifier(callbacks=[Keep()], max_epochs=1).fit(X, y, sensitive_features=groups)
    expected = pd.crosstab(y, groups).to_numpy() / 5
    assert np.abs(seen["cells"].to_numpy() - expected).max() < 1.01


class Interrupt(EqualLossConstraint):
    def on_batch_end(self, net, **kwargs):
        super().on_batch_end(net, **kwargs)
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_fit_interrupted_leaves_a_usable_net(digits):
    X, y, group = digits

    clf = classifier(callbacks=[Interrupt()], prune_rate=0.5)
    clf.fit(X, y, sensitive_features=group)
    assert len(clf.history) == 2
    assert clf.score(X, y) > 0.5
    assert clf.sparsity_ == pytest.approx(0.5, abs=1e-3)
    pickle.loads(pickle.dumps(clf)).predict(X)


def test_set_params_of_a_fitted_net_keeps_or_remakes_it(fitted, digits):
    X, y, _ = digits
    fitted.prune(0.5).set_params(lr=0.01, max_epochs=1)
    assert fitted.optimizer_.param_groups[0]["lr"] == 0.01
    assert fitted.prune_rate_ == 0.5
    fitted.set_params(module__hidden=9)
    assert fitted.prune_rate_ == 0.0
    assert fitted.fit(X, y).module_.layers[1].out_features == 9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pruner", ["magnitude", "random", "taylor"])
def test_fit_on_cuda_prunes_and_reports_there(pruner, digits):
    X, y, group = digits
    callbacks = [("equal_loss", EqualLossConstraint())]
    params = {"prune_rate": 0.8, "finetune_epochs": 1, "pruner": pruner}
    clf = classifier(device="cuda", callbacks=callbacks, **params)
    state = torch.cuda.get_rng_state()
    clf.fit(X, y, sensitive_features=group)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert 0.79 < clf.sparsity_ < 0.81
    on_cpu = pickle.loads(pickle.dumps(clf)).set_params(device="cpu")
    np.testing.assert_allclose(on_cpu.predict_proba(X), clf.predict_proba(X), atol=1e-5)
