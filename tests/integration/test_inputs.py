"""The kinds of X that people have, each through fit, pruning, report, curve and files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier, PruneRateSearchCV, pruning_curve
from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.modules import MLP

N, LENGTH, VOCABULARY = 240, 6, 20


class Tokens(nn.Module):
    """The mean of the tokens' embeddings, and a linear layer."""

    def __init__(self, n_classes=2):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        self.head = nn.Linear(8, n_classes)

    def forward(self, X):
        return self.head(self.embed(X).mean(1))


class Two(nn.Module):
    """Tokens and numbers, by name."""

    def __init__(self, n_numbers, n_tokens, n_classes=2):
        super().__init__()
        self.embed = nn.Embedding(n_tokens, 8)
        self.numbers = nn.Linear(n_numbers, 8)
        self.head = nn.Linear(8, n_classes)

    def forward(self, tokens, numbers):
        return self.head(torch.relu(self.embed(tokens).mean(1) + self.numbers(numbers)))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, VOCABULARY, (N, LENGTH))
    numbers = rng.normal(size=(N, 3)).astype(np.float32)
    y = (tokens.mean(1) > 10).astype(int)
    return tokens, numbers, y, np.where(tokens[:, 1] > 10, "a", "b")


def classifier(module, **params):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.05,
        "max_epochs": 5,
        "pruner": "layer_magnitude",
        "batch_size": 32,
        "verbose": 0,
        "random_state": 0,
    }
    return FairPrunedClassifier(module, **defaults | params)


class Items(Dataset):
    """A data set whose items are made by a function of the row; it counts how often it is read."""

    def __init__(self, item, n=N):
        self.item, self.n, self.reads = item, n, []

    def __len__(self):
        return self.n

    def __getitem__(self, row):
        self.reads.append(row)
        return self.item(row)


def assert_same(clf, other, X, X_other):
    for (name, left), right in zip(
        clf.module_.state_dict().items(), other.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X_other))


# -------------------------------------------------------------- integers in an array


def test_fit_tokens_for_an_embedding_stay_integers(data):
    tokens, _, y, groups = data
    clf = classifier(Tokens).fit(tokens, y, sensitive_features=groups)
    assert clf.schema_.inputs.dtype == "int64"
    assert clf.score(tokens, y) > 0.9
    assert clf.prune(0.5, tokens, y, sensitive_features=groups, finetune_epochs=1).sparsity_ > 0.49
    # The same by hand.
    with torch.no_grad():
        expected = clf.module_(torch.from_numpy(tokens)).softmax(1).double()
    np.testing.assert_allclose(clf.predict_proba(tokens), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["int32", "float64", "uint8", "tensor", "list", "frame"])
def test_predict_tokens_of_another_kind_are_the_same_tokens(data, kind):
    tokens, _, y, _ = data
    clf = classifier(Tokens, max_epochs=1).fit(tokens, y)
    given = {
        "tensor": torch.from_numpy(tokens),
        "list": tokens.tolist(),
        "frame": pd.DataFrame(tokens, index=range(5, 5 + N)),
    }.get(kind)
    given = tokens.astype(kind) if given is None else given
    np.testing.assert_array_equal(clf.predict_proba(given), clf.predict_proba(tokens))


def test_predict_numbers_that_are_no_tokens_raises(data):
    tokens, _, y, _ = data
    clf = classifier(Tokens, max_epochs=1).fit(tokens, y)
    with pytest.raises(ValueError, match="X must hold integers as in fit"):
        clf.predict(tokens + 0.5)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_fit_integer_pixels_for_a_linear_net_become_floats(data, dtype):
    tokens, _, y, groups = data
    clf = classifier(MLP).fit(tokens.astype(dtype), y, sensitive_features=groups)
    twin = classifier(MLP).fit(tokens.astype(np.float32), y, sensitive_features=groups)
    assert clf.schema_.inputs.dtype == "float32"
    assert_same(clf, twin, tokens, tokens)


def test_pretrained_tokens_are_integers_without_fit(data):
    tokens, _, y, groups = data
    clf = classifier(Tokens()).initialize().prune(0.5)
    report = clf.fairness_report(tokens, y, sensitive_features=groups)
    with torch.no_grad():
        right = clf.module_(torch.from_numpy(tokens)).argmax(1).numpy() == y
    assert report.pruned.overall["accuracy"] == right.mean()


def test_fit_deciding_on_the_dtype_leaves_net_and_seeds_alone(data):
    tokens = data[0]
    module = nn.Sequential(nn.BatchNorm1d(LENGTH), nn.Dropout(0.5), nn.Linear(LENGTH, 2))
    torch.manual_seed(3)
    clf = classifier(module, random_state=None).initialize()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    clf.predict(tokens)
    assert torch.equal(torch.rand(3), expected)
    assert int(clf.module_[0].num_batches_tracked) == 0


def test_fit_float64_net_gets_doubles_and_other_nets_singles(data):
    _, numbers, y, _ = data
    doubles = numbers.astype(np.float64) + 1e-12
    clf = classifier(nn.Linear(3, 2).double(), max_epochs=1).fit(doubles, y)
    assert clf.schema_.inputs.dtype == "float64"
    with torch.no_grad():
        expected = clf.module_(torch.from_numpy(doubles)).softmax(1)
    np.testing.assert_allclose(clf.predict_proba(doubles), expected, rtol=1e-15)
    assert classifier(MLP, max_epochs=1).fit(doubles, y).schema_.inputs.dtype == "float32"


def test_fit_numbers_too_large_for_single_precision_raise(data):
    _, numbers, y, _ = data
    with pytest.raises(ValueError, match="too large"):
        classifier(MLP).fit(numbers.astype(np.float64) * 1e300, y)


def test_bfloat16_net_is_fitted_pruned_reported_and_saved(data):
    _, numbers, y, groups = data
    clf = classifier(nn.Linear(3, 2).bfloat16()).fit(numbers, y, sensitive_features=groups)
    assert clf.predict_proba(numbers).dtype == np.float64
    for pruner in ("magnitude", "taylor", "fairgrape", "fairprune"):
        clf.set_params(pruner=pruner).prune(0.5, numbers, y, sensitive_features=groups)
        assert clf.sparsity_ == 0.5
    report = clf.fairness_report(numbers, y, sensitive_features=groups)
    assert report.dense.overall["loss"] > 0
    assert np.isfinite(clf.predict_proba(torch.from_numpy(numbers).bfloat16())).all()


# ------------------------------------------------------------------- dicts of arrays


def arrow(fields, **columns):
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({k: v.tolist() for k, v in fields.items()} | columns)


def as_kind(kind, fields):
    if kind == "BatchEncoding":
        transformers = pytest.importorskip("transformers")
        return transformers.BatchEncoding({k: torch.from_numpy(v) for k, v in fields.items()})
    if kind == "Arrow":
        return arrow(fields, text=["words"] * len(fields["tokens"]))
    if kind == "data set of dicts":
        return Items(lambda row: {name: values[row] for name, values in fields.items()})
    kinds = {
        "dict": dict,
        "SliceDict": lambda f: SliceDict(**f),
        "tensors": lambda f: {k: torch.from_numpy(v) for k, v in f.items()},
        "lists": lambda f: {k: v.tolist() for k, v in f.items()},
    }
    return kinds[kind](fields)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["dict", "SliceDict", "tensors", "lists", "BatchEncoding", "Arrow", "data set of dicts"],
)
def test_fit_named_inputs_of_every_form_do_the_same(data, kind):
    tokens, numbers, y, groups = data
    fields = {"tokens": tokens, "numbers": numbers}
    X = as_kind(kind, fields)
    sizes = (
        {}
        if kind not in ("Arrow", "data set of dicts")
        else {"module__n_numbers": 3, "module__n_tokens": VOCABULARY}
    )
    constraint = {"callbacks": [("equal", EqualLossConstraint())]}
    clf, twin = (
        classifier(Two, **constraint, **options).fit(inputs, y, sensitive_features=groups)
        for inputs, options in ((X, sizes), (fields, {}))
    )
    assert_same(clf, twin, X, fields)
    for each, inputs in ((clf, X), (twin, fields)):
        each.prune(0.6, inputs, y, sensitive_features=groups, finetune_epochs=1)
    assert_same(clf, twin, X, fields)
    report = clf.fairness_report(X, y, sensitive_features=groups, diagnostics={"max_samples": 5})
    expected = twin.fairness_report(
        fields, y, sensitive_features=groups, diagnostics={"max_samples": 5}
    )
    pd.testing.assert_frame_equal(report.to_frame(), expected.to_frame())
    pd.testing.assert_frame_equal(report.diagnostics, expected.diagnostics)
    curve = pruning_curve(clf, X, y, sensitive_features=groups, rates=[0.3], verbose=0)
    assert len(curve) == 2


def test_fit_dict_sizes_reach_the_module(data):
    tokens, numbers, y, _ = data
    clf = classifier(Two, max_epochs=1).fit({"tokens": tokens, "numbers": numbers}, y)
    assert clf.module_.embed.num_embeddings == tokens.max() + 1
    assert clf.module_.numbers.in_features == 3


def test_fit_dict_labels_are_y_and_never_reach_the_module(data):
    tokens, numbers, y, groups = data
    fields = {"tokens": tokens, "numbers": numbers}
    clf = classifier(Two).fit(fields | {"labels": y}, sensitive_features=groups)
    twin = classifier(Two).fit(fields, y, sensitive_features=groups)
    assert_same(clf, twin, fields | {"labels": y}, fields)


def test_predict_dict_of_longer_tokens_is_taken(data):
    tokens, numbers, y, _ = data
    clf = classifier(Two, max_epochs=1).fit({"tokens": tokens, "numbers": numbers}, y)
    longer = np.concatenate([tokens, tokens], axis=1)
    same = clf.predict_proba({"tokens": longer, "numbers": numbers})
    expected = clf.predict_proba({"tokens": tokens, "numbers": numbers})
    np.testing.assert_allclose(same, expected, atol=1e-6)


def test_load_compact_net_of_dicts_into_a_fresh_classifier_is_the_same(data, tmp_path):
    tokens, numbers, y, groups = data
    X = {"tokens": tokens, "numbers": numbers}
    clf = classifier(Two).fit(X, y, sensitive_features=groups).prune(0.5)
    save_compact(clf, tmp_path / "net.zip")
    fresh = load_compact(tmp_path / "net.zip", classifier(Two))
    np.testing.assert_array_equal(fresh.predict_proba(X), clf.predict_proba(X))
    assert fresh.schema_.inputs.dtypes == {"tokens": "int64", "numbers": "float32"}
    with pytest.raises(ValueError, match="must be a dict of the arrays"):
        fresh.predict({"tokens": tokens})


def test_rate_search_dicts_are_split_by_rows(data):
    tokens, numbers, y, groups = data
    X = {"tokens": tokens, "numbers": numbers}
    search = PruneRateSearchCV(
        classifier(Two), rates=[0.1, 0.3], max_accuracy_drop=0.3, random_state=0
    ).fit(X, y, sensitive_features=groups)
    assert search.best_estimator_.prune_rate_ == search.best_rate_ > 0
    curve = pruning_curve(classifier(Two), X, y, sensitive_features=groups, cv=2, rates=[0.2])
    assert sorted(curve["split"].unique()) == [0, 1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: {}, "at least one array, got an empty dict"),
        (lambda X: X | {"tokens": X["tokens"][:5]}, "arrays of one length"),
        (
            lambda X: X | {"tokens": [[1], [1, 2]] * (N // 2)},
            r"X\['tokens'\].*iterator_train__coll",
        ),
        (lambda X: X | {"numbers": np.full((N, 3), np.nan)}, r"X\['numbers'\] contains NaN"),
        (lambda X: X | {"tokens": np.full((N, 3), "a")}, r"X\['tokens'\] must be an array of num"),
        (lambda X: {k: v[:0] for k, v in X.items()}, "at least one sample"),
        (lambda X: X["numbers"], "X must be a dict of arrays"),
        (lambda X: X | {"more": X["tokens"]}, "must be a dict of the arrays"),
        (lambda X: X | {"numbers": X["numbers"][:, :2]}, "rows have the shapes"),
    ],
)
def test_predict_bad_dict_raises_and_the_net_stays(data, spoil, message):
    tokens, numbers, y, _ = data
    X = {"tokens": tokens, "numbers": numbers}
    clf = classifier(Two, max_epochs=1).fit(X, y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        clf.predict(spoil(X))
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_fit_streams_raise_and_say_what_to_pass(data):
    tokens, _, y, _ = data

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(tokens[0], 0)])

    loader = DataLoader(Items(lambda row: (tokens[row], y[row])))
    for X in (loader, Stream(), iter([tokens])):
        with pytest.raises(ValueError, match=r"X must be an array.*a data set with a length"):
            classifier(Tokens).fit(X, y)
    with pytest.raises(
        ValueError, match=r"one data set, got a dict of data sets: pass X\['train'\]"
    ):
        classifier(Tokens).fit({"train": arrow({"tokens": tokens})}, y)


# ----------------------------------------------------------------------- data sets


def test_fit_arrow_labels_and_columns_go_by_name(data):
    tokens, numbers, y, groups = data
    X = arrow({"tokens": tokens, "numbers": numbers}, label=y.tolist(), race=groups.tolist())
    clf = classifier(Two, module__n_numbers=3, module__n_tokens=VOCABULARY)
    clf.fit(X, sensitive_features=X["race"])
    report = clf.prune(0.4).fairness_report(X, sensitive_features=X["race"])
    assert set(report.to_frame().index) == {"a", "b"}
    assert clf.score(X, y) == report.pruned.overall["accuracy"]


@pytest.mark.slow
def test_fit_arrow_memory_mapped_file_with_a_format_is_taken(data, tmp_path):
    datasets = pytest.importorskip("datasets")
    tokens, _, y, _ = data

    class ByName(Tokens):
        def forward(self, tokens):
            return super().forward(tokens)

    arrow({"tokens": tokens, "other": tokens}, label=y.tolist()).save_to_disk(tmp_path / "data")
    X = datasets.load_from_disk(tmp_path / "data").with_format("torch", columns=["tokens", "label"])
    clf = classifier(ByName, iterator_train__num_workers=1).fit(X)
    assert clf.score(X, y) > 0.9


def test_fit_arrow_transform_makes_the_items(data):
    tokens, _, y, _ = data
    made = arrow({"tokens": tokens}, labels=y.tolist()).with_transform(
        lambda rows: {"X": [np.array(t) for t in rows["tokens"]], "labels": rows["labels"]}
    )
    clf = classifier(Tokens).fit(made)
    assert_same(clf, classifier(Tokens).fit({"X": tokens}, y), made, {"X": tokens})


@pytest.mark.parametrize("as_tuple", [True, False])
def test_fit_items_with_groups_need_nothing_else(data, as_tuple):
    tokens, _, y, groups = data
    make = tuple if as_tuple else list
    X = Items(lambda row: make((tokens[row], y[row], groups[row])))
    constraint = [("equal", EqualLossConstraint())]
    clf = classifier(Tokens, callbacks=constraint).fit(X)
    assert sorted(X.reads[1 : N + 1]) != []
    twin = classifier(Tokens, callbacks=constraint).fit(tokens, y, sensitive_features=groups)
    assert clf.groups_.tolist() == ["a", "b"]
    assert_same(clf, twin, X, tokens)
    clf.prune(0.5, X, finetune_epochs=1)
    twin.prune(0.5, tokens, y, sensitive_features=groups, finetune_epochs=1)
    report = clf.fairness_report(X)
    expected = twin.fairness_report(tokens, y, sensitive_features=groups)
    assert report.to_frame().sort_index().equals(expected.to_frame().sort_index())


def test_report_of_items_reads_each_once(data):
    tokens, _, y, groups = data
    X = Items(lambda row: (tokens[row], y[row], groups[row]))
    clf = classifier(Tokens, max_epochs=1).fit(tokens, y).prune(0.5)
    clf.fairness_report(X, diagnostics={"max_samples": 3})
    assert sorted(X.reads[1:]) == list(range(N))  # the first, to see what it looks like
    X.reads.clear()
    clf.fairness_report(X, sensitive_features=groups)
    assert sorted(X.reads[1:]) == list(range(N))


def test_report_random_augmentation_is_the_same_for_both_nets(data):
    _, numbers, y, groups = data
    rng = np.random.default_rng(0)
    X = Items(lambda row: (numbers[row] + rng.normal(size=3).astype(np.float32), y[row]))
    clf = classifier(MLP, max_epochs=1).fit(X)
    assert (clf.fairness_report(X, sensitive_features=groups).excessive_risk == 0).all()
    curve = pruning_curve(clf, X, y, sensitive_features=groups, rates=[0.0, 0.5], verbose=0)
    assert (curve.loc[curve["rate"] == 0, "excessive_risk"] == 0).all()
    clf.prune(0.0)
    report = clf.fairness_report(X, sensitive_features=groups)
    assert (report.excessive_risk == 0).all()


def test_fit_target_transform_labels_are_what_items_say(data):
    tokens, _, y, _ = data

    class Images(Dataset):
        """As torchvision has them: targets beside, changed on the way out."""

        targets = y.tolist()
        target_transform = staticmethod(lambda label: 1 - label)

        def __len__(self):
            return N

        def __getitem__(self, row):
            return tokens[row], self.target_transform(self.targets[row])

    class Odd(Images):
        """It does not say so."""

        target_transform = None

        def __getitem__(self, row):
            return tokens[row], "yes" if self.targets[row] else "no"

    clf = classifier(Tokens).fit(Images())
    assert clf.score(tokens, 1 - y) > 0.9
    assert classifier(Tokens, max_epochs=1).fit(Odd()).classes_.tolist() == ["no", "yes"]


def test_fit_subset_and_concatenation_equal_the_whole_data_set(data):
    tokens, _, y, groups = data
    whole = Items(lambda row: (tokens[row], y[row], groups[row]))
    parts = ConcatDataset([Subset(whole, range(100)), Subset(whole, range(100, N))])
    clf, twin = classifier(Tokens).fit(parts), classifier(Tokens).fit(whole)
    assert_same(clf, twin, parts, whole)
    assert clf.groups_.tolist() == ["a", "b"]


def test_fit_tuple_of_inputs_goes_to_the_module_as_in_skorch(data):
    tokens, numbers, y, groups = data

    class Pair(Two):
        def forward(self, X):
            return super().forward(*X)

    X = Items(lambda row: ((tokens[row], numbers[row]), y[row]))
    sizes = {"module__n_numbers": 3, "module__n_tokens": VOCABULARY}
    clf = classifier(Pair, **sizes).fit(X)
    fields = {"tokens": tokens, "numbers": numbers}
    twin = classifier(Two).fit(fields, y)
    assert_same(clf, twin, X, fields)
    report = clf.prune(0.5, X).fairness_report(X, sensitive_features=groups, diagnostics=True)
    assert np.isfinite(report.diagnostics["gradient_norm"]).all()


def pad(samples):
    """Pad tokens to the longest of the batch, as a user does."""
    tokens = nn.utils.rnn.pad_sequence([torch.as_tensor(x) for x, *_ in samples], batch_first=True)
    return tokens, torch.tensor([int(label) for _, label, *_ in samples])


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1])
def test_fit_collate_of_the_users_sees_samples(data, num_workers):
    tokens, _, y, groups = data

    # Zeros count nothing in a sum, so padding to any length is the same.
    class Sum(Tokens):
        def forward(self, X):
            return self.head(self.embed(X).sum(1))

    ragged = Items(lambda row: (tokens[row][: 2 + row % 5], y[row], groups[row]))
    padded = np.array([np.pad(t[: 2 + i % 5], (0, 4 - i % 5)) for i, t in enumerate(tokens)])
    loaders = {
        "iterator_train__collate_fn": pad,
        "iterator_valid__collate_fn": pad,
        "iterator_valid__num_workers": num_workers,
    }
    clf = classifier(Sum, **loaders).fit(ragged)
    twin = classifier(Sum).fit(padded, y, sensitive_features=groups)
    clf.prune(0.3, ragged, finetune_epochs=1)
    twin.prune(0.3, padded, y, sensitive_features=groups, finetune_epochs=1)
    np.testing.assert_allclose(clf.predict_proba(ragged), twin.predict_proba(padded), atol=1e-5)
    report = clf.fairness_report(ragged)
    expected = twin.fairness_report(padded, y, sensitive_features=groups)
    np.testing.assert_allclose(
        report.excessive_risk.sort_index(), expected.excessive_risk.sort_index(), atol=1e-5
    )


def test_fit_sparse_rows_become_dense_batch_by_batch(data):
    tokens, _, y, groups = data
    X = sparse.csr_matrix((tokens * (tokens > 14)).astype(np.float32))
    clf = classifier(MLP).fit(X, y, sensitive_features=groups)
    twin = classifier(MLP).fit(X.toarray(), y, sensitive_features=groups)
    assert_same(clf, twin, X, X.toarray())
    report = clf.prune(0.5).fairness_report(X, y, sensitive_features=groups, diagnostics=True)
    assert np.isfinite(report.fairness_violation)


def test_prune_collate_of_the_users_serves_pruners_that_look_at_data(data):
    tokens, _, y, groups = data
    ragged = Items(lambda row: (tokens[row][: 2 + row % 5], y[row], groups[row]))
    loaders = {"iterator_train__collate_fn": pad, "iterator_valid__collate_fn": pad}
    clf = classifier(Tokens, pruner="fairgrape", max_epochs=1, **loaders).fit(ragged)
    assert clf.prune(0.5, ragged).sparsity_ == pytest.approx(0.5, abs=0.01)
    report = clf.fairness_report(ragged, diagnostics={"max_samples": 5})
    assert np.isfinite(report.diagnostics["risk_bound"]).all()


def test_rate_search_promises_to_the_groups_that_items_hold(data):
    tokens, _, y, groups = data
    X = Items(lambda row: (tokens[row], y[row], groups[row]))
    options = {"rates": [0.1], "max_accuracy_drop": 0.4, "random_state": 0}
    search = PruneRateSearchCV(classifier(Tokens), **options).fit(X)
    twin = PruneRateSearchCV(classifier(Tokens), **options).fit(
        tokens, y, sensitive_features=groups
    )
    pd.testing.assert_frame_equal(search.results_, twin.results_)
    assert set(search.results_["group"]) == {"a", "b"}
