"""Students are as large as they may be, and follow their teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sk_prunefair import FairPrunedClassifier
from tests.conftest import assert_same_weights, weights


@pytest.mark.parametrize("at_most", [1_700, 3_500, 9_000])
@pytest.mark.parametrize("net", ["MLP", "SmallCNN", "ResNet18"])
def test_narrow_sizes_widest_net_that_fits(net, at_most, benchmark_module):
    students = benchmark_module("studies.compressions.students")
    tasks = benchmark_module("lib.tasks")
    kind = {"MLP": students.MLP, "ResNet18": students.ResNet18, "SmallCNN": tasks.SmallCNN}[net]
    X = np.zeros((20, 1, 28, 28), dtype=np.float32)
    data = tasks.Split(X, np.arange(20) % 10, np.zeros(20, dtype=int))
    task = tasks.Task(tasks.parity, False, {"module": kind})

    def count(options):
        more = {"n_features": 784} if net == "MLP" else {}
        return students.n_parameters(kind(n_classes=10, **more, **options))

    if net == "ResNet18" and at_most == 1_700:
        with pytest.raises(ValueError, match="at_most must be 2991 or more"):
            students.narrow_sizes(task, data, at_most)
        return
    options = students.narrow_sizes(task, data, at_most)
    width = options["width"] if "width" in options else options["hidden"][-1]
    assert count(options) <= at_most < count(students.sizes(kind, width + 1))


def softened(clf, X):
    """Return logarithms of probabilities at the temperature of the training."""
    with torch.no_grad():
        return (clf.module_.eval()(torch.from_numpy(X.astype(np.float32))) / 2).log_softmax(1)


@pytest.mark.slow
def test_distilled_student_is_nearer_to_its_teacher_than_a_net_of_its_size(benchmark_module):
    students = benchmark_module("studies.compressions.students")
    tasks = benchmark_module("lib.tasks")
    task = tasks.MITIGATION_TASKS["digits"]
    train, _, test = tasks.digits(0)
    teacher = FairPrunedClassifier(**task.params, random_state=0).fit(train.X, train.y)
    before = weights(teacher.module_)
    at_most = students.n_parameters(teacher.module_) // 5
    student = students.distilled_student(task, teacher.module_, train, at_most=at_most, seed=0)
    assert 0.8 * at_most < students.n_parameters(student.module_) <= at_most
    for name, value in weights(teacher.module_).items():
        np.testing.assert_array_equal(value, before[name])
    again = students.distilled_student(task, teacher.module_, train, at_most=at_most, seed=0)
    assert_same_weights(student.module_, again.module_)
    sizes = students.narrow_sizes(task, train, at_most)
    options = {f"module__{name}": value for name, value in sizes.items()}
    alone = FairPrunedClassifier(**task.params, **options, random_state=0).fit(train.X, train.y)
    distances = [
        torch.nn.functional.kl_div(
            softened(clf, test.X),
            softened(teacher, test.X),
            reduction="batchmean",
            log_target=True,
        )
        for clf in (student, alone)
    ]
    assert distances[0] < 0.85 * distances[1]
