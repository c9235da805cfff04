"""Classifiers of Hugging Face as they are, from configurations: nothing is downloaded."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from skorch.helper import SliceDict
from torch import nn

from sk_prunefair import (
    EqualCurvatureConstraint,
    EqualGradientConstraint,
    EqualLossConstraint,
    FairPrunedClassifier,
    PruneRateSearchCV,
    pruning_curve,
)
from sk_prunefair.export import load_compact, save_compact, to_onnx
from sk_prunefair.theory import comparable, risk_attribution

transformers = pytest.importorskip("transformers")

N, LENGTH, VOCABULARY = 120, 8, 30
SIZES = {"num_labels": 3}


def bert():
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=16,
        **SIZES,
    )
    return transformers.BertForSequenceClassification(config)


def distilbert():
    config = transformers.DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=16,
        n_layers=2,
        n_heads=4,
        hidden_dim=24,
        max_position_embeddings=16,
        **SIZES,
    )
    return transformers.DistilBertForSequenceClassification(config)


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=4,
        n_positions=16,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        **SIZES,
    )
    return transformers.GPT2ForSequenceClassification(config)


def vit():
    config = transformers.ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        **SIZES,
    )
    return transformers.ViTForImageClassification(config)


def resnet():
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", **SIZES
    )
    return transformers.ResNetForImageClassification(config)


NETS = {"bert": bert, "distilbert": distilbert, "gpt2": gpt2, "vit": vit, "resnet": resnet}
HEADS = {
    "bert": "bert.encoder.layer.0.attention.self.query.weight",
    "distilbert": "distilbert.transformer.layer.0.attention.q_lin.weight",
    "gpt2": "transformer.h.0.attn.c_attn.weight",
    "vit": "vit.layers.0.attention.q_proj.weight",
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, VOCABULARY, (N, LENGTH))
    mask = np.arange(LENGTH) < rng.integers(4, LENGTH + 1, N)[:, None]
    means = ids[:, :4].mean(1)
    y = np.digitize(means, np.quantile(means, [1 / 3, 2 / 3]))
    images = (rng.normal(size=(N, 3, 8, 8)) + y[:, None, None, None]).astype(np.float32)
    text = {"input_ids": ids * mask, "attention_mask": mask.astype(np.int64)}
    return text, {"pixel_values": images}, y, np.where(rng.random(N) > 0.5, "a", "b")


def classifier(name, module=None, **params):
    torch.manual_seed(0)
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.AdamW,
        "lr": 5e-3,
        "max_epochs": 3,
        "batch_size": 16,
        "verbose": 0,
        "random_state": 0,
        "pruner": "layer_magnitude",
    }
    return FairPrunedClassifier(module or NETS[name](), **defaults | params)


@pytest.fixture(scope="module", params=list(NETS))
def fitted(request, rows):
    text, images, y, groups = rows
    X = images if request.param in ("vit", "resnet") else text
    equal = [("equal", EqualLossConstraint())]
    clf = classifier(request.param, callbacks=equal).fit(X, y, sensitive_features=groups)
    return request.param, clf, X, y, groups


def some(X, n):
    return {name: values[:n] for name, values in X.items()}


@pytest.mark.slow
def test_transformer_fit_and_prune_predictions_are_the_modules_own(fitted):
    _, clf, X, y, groups = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf.set_params(pruner="layer_magnitude")
        clf.prune(0.5, X, y, sensitive_features=groups, finetune_epochs=1)
    tensors = {name: torch.from_numpy(values) for name, values in X.items()}
    with torch.no_grad():
        logits = clf.module_.eval()(**tensors).logits
    np.testing.assert_allclose(clf.predict_proba(X), logits.double().softmax(1), atol=1e-6)
    zeros = {name: weight == 0 for name, weight in clf.module_.named_parameters()}
    assert all(bool(zeros[name][~mask].all()) for name, mask in clf.masks_.items())
    report = clf.fairness_report(X, y, sensitive_features=groups)
    assert report.pruned.overall["accuracy"] == pytest.approx(
        (logits.argmax(1).numpy() == y).mean()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "pruner", ["magnitude", "random", "taylor", "fairgrape", "fairprune", "layer_magnitude"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_every_pruner_removes_its_share(fitted, pruner):
    _, clf, X, y, groups = fitted
    clf.set_params(pruner=pruner).prune(0.5, X, y, sensitive_features=groups, finetune_epochs=0)
    assert clf.sparsity_ == pytest.approx(0.5, abs=0.01)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_snip_scores_the_initial_net(rows):
    text, _, y, _ = rows
    clf = classifier("bert", pruner="snip", max_epochs=1).fit(text, y)
    assert clf.prune(0.5, text, y).sparsity_ == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("pruner", ["channel_magnitude", "channel_taylor"])
def test_transformer_channel_pruners_remove_channels_and_heads(fitted, pruner):
    name, clf, X, y, groups = fitted
    before = dict(clf.prune(0.0).module_.named_parameters())
    clf.set_params(pruner=pruner).prune(0.5, X, y, sensitive_features=groups, finetune_epochs=1)
    after = dict(clf.module_.named_parameters())
    assert sum(p.numel() for p in after.values()) < 0.8 * sum(p.numel() for p in before.values())
    if name in HEADS:
        dim = 1 if name == "gpt2" else 0
        assert after[HEADS[name]].shape[dim] * 2 == before[HEADS[name]].shape[dim]
    report = clf.fairness_report(X, y, sensitive_features=groups)
    assert report.compression["macs_pruned"] < 0.8 * report.compression["macs_dense"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_report_has_reasons_and_no_harm_of_the_dense_net(fitted):
    _, clf, X, y, groups = fitted
    clf.set_params(pruner="layer_magnitude").prune(0.0)
    report = clf.fairness_report(X, y, sensitive_features=groups)
    assert (report.excessive_risk == 0).all()
    clf.prune(0.5)
    report = clf.fairness_report(
        some(X, 40), y[:40], sensitive_features=groups[:40], diagnostics={"max_samples": 4}
    )
    assert np.isfinite(report.diagnostics.to_numpy()).all()
    dense, pruned, criterion = comparable(clf)
    shares = risk_attribution(
        dense, pruned, some(X, 40), y[:40], groups[:40], criterion=criterion, tol=1e-2
    )
    risk = report.excessive_risk
    np.testing.assert_allclose(shares.sum(axis=1)[risk.index], risk, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_compact_and_onnx_files_give_the_same_predictions(fitted, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    name, clf, X, y, groups = fitted
    for pruner in ("layer_magnitude", "channel_magnitude"):
        clf.set_params(pruner=pruner).prune(0.5, X, y, sensitive_features=groups)
        save_compact(clf, tmp_path / "net.zip", dense=True)
        fresh = load_compact(tmp_path / "net.zip", classifier(name))
        np.testing.assert_array_equal(fresh.predict_proba(X), clf.predict_proba(X))
        to_onnx(clf, tmp_path / "net.onnx")
        session = runtime.InferenceSession(str(tmp_path / "net.onnx"))
        assert [each.name for each in session.get_inputs()] == list(X)
        for n in (1, 7):
            part = some(X, n)
            if name not in ("vit", "resnet"):
                part = {key: values[:, : LENGTH - 2] for key, values in part.items()}
            [scores] = session.run(["scores"], part)
            expected = clf.predict_proba(part)
            np.testing.assert_allclose(torch.from_numpy(scores).softmax(1), expected, atol=1e-5)


def test_transformer_macs_count_attention_by_hand(rows):
    text = rows[0]
    clf = classifier("bert").initialize()
    report = clf.fairness_report(some(text, 4), rows[2][:4], sensitive_features=rows[3][:4])
    hidden, width, layers = 16, 24, 2
    linear = LENGTH * (4 * hidden * hidden + 2 * hidden * width)
    attention = 2 * LENGTH * LENGTH * hidden
    head = hidden * hidden + hidden * 3
    assert report.compression["macs_dense"] == layers * (linear + attention) + head


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("max_samples", [4, None])
@pytest.mark.parametrize("kind", [EqualGradientConstraint, EqualCurvatureConstraint])
def test_transformer_constraints_of_derivatives_reach_through_attention(rows, kind, max_samples):
    text, _, y, groups = rows
    constraint = kind(layers="all", max_samples=max_samples, strength=0.1, interval=2)
    clf = classifier("bert", max_epochs=1, callbacks=[("c", constraint)])
    clf.fit(text, y, sensitive_features=groups)
    clf.prune(0.3, text, y, sensitive_features=groups, finetune_epochs=1)
    assert np.isfinite(clf.history[-1, "train_loss"])
    assert (constraint.values_ > 0).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_curve_search_and_splits_run(rows):
    text, images, y, groups = rows
    clf = classifier("distilbert").fit(text, y, sensitive_features=groups)
    curve = pruning_curve(clf, text, y, sensitive_features=groups, rates=[0.2, 0.4], verbose=0)
    assert len(curve) == 4
    search = PruneRateSearchCV(
        classifier("resnet", max_epochs=8), rates=[0.1], max_accuracy_drop=0.4, random_state=0
    ).fit(images, y, sensitive_features=groups)
    assert search.best_estimator_.prune_rate_ == 0.1
    sliced = SliceDict(**text)
    grid = GridSearchCV(classifier("distilbert", max_epochs=1), {"prune_rate": [0.1, 0.5]}, cv=2)
    grid.fit(sliced, y, sensitive_features=groups)
    assert grid.best_estimator_.sparsity_ > 0
    found = cross_val_predict(classifier("distilbert", max_epochs=1), sliced, y, cv=2)
    assert found.shape == y.shape


def test_transformer_pretrained_is_pruned_and_reported_without_fit(rows):
    text, _, y, groups = rows
    module = NETS["gpt2"]()
    clf = FairPrunedClassifier(
        module, criterion=nn.CrossEntropyLoss, classes=[0, 1, 2], verbose=0, random_state=0
    ).initialize()
    clf.prune(0.3)
    report = clf.fairness_report(text, y, sensitive_features=groups)
    assert report.compression["sparsity"] == pytest.approx(0.3, abs=0.01)
    assert module.config.use_cache
    assert not clf.module_.config.use_cache
    assert int((module.transformer.wte.weight == 0).sum()) < 32  # the padding alone


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_transformer_save_pretrained_keeps_the_zeros(fitted, tmp_path):
    _, clf, X, y, groups = fitted
    clf.set_params(pruner="layer_magnitude").prune(0.5, X, y, sensitive_features=groups)
    clf.module_.save_pretrained(tmp_path)
    loaded = type(clf.module_).from_pretrained(tmp_path)
    for (name, left), right in zip(
        clf.module_.named_parameters(), loaded.parameters(), strict=True
    ):
        assert torch.equal(left, right), name


# ---------------------------------------------------------------------- adapters


def with_adapters(module):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], task_type="SEQ_CLS")
    return peft.get_peft_model(module, config)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft, about transformers
def test_transformer_adapters_are_left_alone_and_named(rows):
    text, _, y, _ = rows
    clf = classifier("bert", with_adapters(bert()), max_epochs=1).fit(text, y)
    with pytest.warns(UserWarning, match=r"not counted in the rate: .*lora_A.*merge an adapter"):
        clf.prune(0.5)
    assert not any("lora" in name or "original_module" in name for name in clf.masks_)
    before = {n: p.clone() for n, p in clf.module_.named_parameters() if "lora" in n}
    with pytest.warns(UserWarning, match="lora_A"):
        clf.prune(0.5, text, y, finetune_epochs=1)
    after = dict(clf.module_.named_parameters())
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    assert all(bool((after[name][~mask] == 0).all()) for name, mask in clf.masks_.items())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_transformer_merged_adapters_are_pruned_like_any_net(rows):
    text, _, y, groups = rows
    trained = classifier("bert", with_adapters(bert()), max_epochs=1).fit(text, y)
    merged = copy.deepcopy(trained.module_).merge_and_unload()
    clf = FairPrunedClassifier(
        merged, criterion=nn.CrossEntropyLoss, classes=[0, 1, 2], verbose=0, random_state=0
    ).initialize()
    np.testing.assert_allclose(clf.predict_proba(text), trained.predict_proba(text), atol=1e-5)
    clf.prune(0.5)
    assert clf.sparsity_ == pytest.approx(0.5, abs=0.01)
    assert clf.fairness_report(text, y, sensitive_features=groups).fairness_violation >= 0


# ------------------------------------------------------------------- raw strings


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:pruning removes all weights")
def test_transformer_tokenizer_of_skorch_in_a_pipeline_is_taken(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    from skorch.hf import HuggingfaceTokenizer

    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["good", "bad", "a", "film"], 5)) for _ in range(N)]
    y = np.array(["yes" if "good" in text else "no" for text in texts])
    groups = np.where(np.arange(N) % 2, "a", "b")
    tokenizer = HuggingfaceTokenizer(
        tokenizer=tokenizers.Tokenizer,
        model=tokenizers.models.WordLevel,
        model__unk_token="[UNK]",
        trainer=tokenizers.trainers.WordLevelTrainer,
        trainer__special_tokens=["[PAD]", "[UNK]"],
        trainer__show_progress=False,
        pre_tokenizer=tokenizers.pre_tokenizers.Whitespace,
        max_length=LENGTH,
    )
    config = transformers.BertConfig(
        vocab_size=10,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    module = transformers.BertForSequenceClassification(config)
    net = classifier("bert", module, max_epochs=6, lr=1e-2)
    pipe = Pipeline([("tokenize", tokenizer), ("clf", net)])
    pipe.fit(texts, y, clf__sensitive_features=groups)
    assert set(pipe.predict(["good film", "bad film"])) <= {"yes", "no"}
    curve = pruning_curve(pipe, texts, y, sensitive_features=groups, rates=[0.3], verbose=0)
    assert curve["count"].sum() == N
    with pytest.warns(UserWarning, match="the file holds only the last step 'clf'"):
        save_compact(pipe, tmp_path / "net.zip")
    with pytest.warns(UserWarning, match="the file holds only the last step 'clf'"):
        to_onnx(pipe, tmp_path / "net.onnx")
