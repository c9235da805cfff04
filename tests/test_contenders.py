"""Which forms of a fitted net are timed, and what a report then holds."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sk_prunefair.contenders import CONTENDERS, _lacks
from tests.conftest import SmallNet, classifier

QUICK = {"n_rounds": 1, "batch_sizes": 1, "threads": 1}


@pytest.fixture(scope="module")
def pruned(digits):
    X, y, group = digits
    return classifier(max_epochs=1).fit(X, y, sensitive_features=group).prune(0.9)


def latency(clf, digits, **options):
    X, y, group = (each[:80] for each in digits)
    return clf.fairness_report(X, y, sensitive_features=group, latency=QUICK | options)


@pytest.mark.slow
def test_report_latency_by_default_times_all_forms_of_the_net(pruned, digits):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    report = latency(pruned, digits, batch_sizes=(1, 100), threads=(1, 2))
    table = report.latency
    names = ["dense", "masked", "sparse", "onnx", "int8"]
    assert table["contender"].tolist() == names * 4
    assert table["batch_size"].tolist() == [1] * 10 + [100] * 10
    assert table["threads"].tolist() == ([1] * 5 + [2] * 5) * 2
    assert table.attrs == {"what": "a forward pass", "left_out": {}}
    assert np.isfinite(table["speedup"]).all()
    assert torch.get_num_threads() == 1


def test_report_latency_is_none_where_nobody_asked(pruned, digits):
    X, y, group = digits
    report = pruned.fairness_report(X, y, sensitive_features=group)
    assert report.latency is None
    assert not any(name.startswith("latency") for name in report.compression.index)


def test_report_latency_compression_has_both_nets_for_one_sample(pruned, digits):
    report = latency(pruned, digits, contenders=("dense", "masked"), batch_sizes=(5, 1))
    rows = report.latency[report.latency["batch_size"] == 1].set_index("contender")["seconds"]
    assert report.compression["latency_dense"] == rows["dense"]
    assert report.compression["latency_pruned"] == rows["masked"]
    assert report.compression.name == "compression"
    of_many = latency(pruned, digits, contenders=("dense", "masked"), batch_sizes=5)
    assert "latency_dense" not in of_many.compression


def test_report_latency_of_a_net_that_was_not_pruned(digits):
    X, y, group = digits
    clf = classifier(max_epochs=1).fit(X, y, sensitive_features=group)
    asked = ["dense", "masked", "channels"]
    report = latency(clf, digits, contenders=asked)
    assert report.latency["contender"].tolist() == ["dense"]
    assert set(report.latency.attrs["left_out"].values()) == {"nothing was pruned"}
    assert report.compression["latency_pruned"] == report.compression["latency_dense"]


def test_report_latency_of_channels_names_the_smaller_net(digits):
    pytest.importorskip("torch_pruning")
    X, y, group = digits
    clf = classifier(max_epochs=1, pruner="channel_magnitude")
    clf.fit(X, y, sensitive_features=group).prune(0.5)
    report = latency(clf, digits, contenders=["dense", "masked", "channels", "sparse"])
    assert report.latency["contender"].tolist() == ["dense", "channels", "sparse"]
    assert report.latency.attrs["left_out"] == {"masked": "the pruned net is channels"}
    assert "latency_pruned" in report.compression


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["onnxscript", "onnxruntime"])
def test_report_latency_without_the_extra_leaves_files_out_and_names_it(
    pruned, digits, monkeypatch, lacking
):
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, lacking, None)
    report = latency(pruned, digits, contenders=["dense", "onnx", "int8"])
    assert report.latency["contender"].tolist() == ["dense"]
    for name in ("onnx", "int8"):
        assert "pip install 'sk-prunefair[onnx]'" in report.latency.attrs["left_out"][name]
        assert f"{name} was left out: " in str(report)


@pytest.mark.parametrize("contenders", [["sparse"], ["dense", "masked", "sparse"]])
def test_report_latency_leaves_the_nets_alone(pruned, digits, contenders):
    pruned.module_.train()
    before = {name: value.clone() for name, value in pruned.module_.state_dict().items()}
    modes = [part.training for part in pruned.module_.modules()]
    latency(pruned, digits, contenders=contenders)
    assert modes == [part.training for part in pruned.module_.modules()]
    for name, value in pruned.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_report_latency_leaves_out_a_sparse_module_that_takes_long_to_choose(pruned, digits):
    report = latency(pruned, digits, contenders=["dense", "sparse"], seconds=1e-9)
    assert report.latency["contender"].tolist() == ["dense"]
    assert "choosing its layers takes about" in report.latency.attrs["left_out"]["sparse"]


@pytest.mark.parametrize("name", ["sparse", "onnx", "int8"])
def test_forms_for_the_cpu_are_left_out_of_a_net_elsewhere(name):
    net = SimpleNamespace(module_=torch.nn.Linear(2, 2, device="meta"), pruned_=None)
    assert _lacks(net, name) == "it runs on the CPU, the net on meta"
    assert _lacks(net, "dense") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("yes", "latency must be True, False or a dict of some of .*'contenders'.* got 'yes'"),
        ({"sizes": 3}, "latency must be True, False or a dict of some of"),
        ({"contenders": ["fast"]}, rf"latency\['contenders'\] must be some of .*{CONTENDERS[0]}"),
        ({"contenders": 3}, r"latency\['contenders'\] must be some of .* got 3"),
        ({"contenders": []}, r"latency\['contenders'\] must be some of"),
        ({"contenders": ["channels"]}, "none of the contenders.*the pruned net is masked"),
        ({"batch_sizes": [0]}, "batch_sizes must be an integer >= 1"),
        ({"threads": "many"}, "threads must be an integer >= 1"),
    ],
)
def test_report_latency_bad_request_raises(pruned, digits, given, message):
    X, y, group = digits
    with pytest.raises(ValueError, match=message):
        pruned.fairness_report(X, y, sensitive_features=group, latency=given)


@pytest.mark.slow
def test_report_latency_of_inputs_in_a_dict(digits):
    class Halves(SmallNet):
        def forward(self, left, right):
            return super().forward(torch.cat([left, right], dim=1))

    X, y, group = (each[:200] for each in digits)
    halves = {"left": X[:, :32], "right": X[:, 32:]}
    clf = classifier(Halves, module__n_features=64, max_epochs=1)
    clf.fit(halves, y, sensitive_features=group).prune(0.5)
    report = clf.fairness_report(
        halves, y, sensitive_features=group, latency=QUICK | {"batch_sizes": (1, 300)}
    )
    assert report.latency.attrs["left_out"] == {}
    assert set(report.latency["contender"]) >= {"dense", "masked", "sparse"}
