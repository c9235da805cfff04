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
    students, tasks = benchmark_module("students"), benchmark_module("tasks")
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


class Shifted(torch.nn.Module):
    """What a net says, of the next class."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, X):
        return self.net(X).roll(1, dims=1)


def test_distilled_student_follows_its_teacher_and_not_the_labels(benchmark_module):
    students, tasks = benchmark_module("students"), benchmark_module("tasks")
    task = tasks.MITIGATION_TASKS["digits"]
    train, _, test = tasks.digits(0)
    teacher = FairPrunedClassifier(**task.params, random_state=0).fit(train.X, train.y)
    before = weights(teacher.module_)
    at_most = students.n_parameters(teacher.module_) // 5
    student = students.distilled_student(task, teacher.module_, train, at_most=at_most, seed=0)
    assert 0.8 * at_most < students.n_parameters(student.module_) <= at_most
    assert (student.predict(test.X) == teacher.predict(test.X)).mean() > 0.8
    shifted = Shifted(teacher.module_)
    other = students.distilled_student(task, shifted, train, at_most=at_most, seed=0)
    assert (other.predict(test.X) == (teacher.predict(test.X) + 1) % 10).mean() > 0.7
    again = students.distilled_student(task, teacher.module_, train, at_most=at_most, seed=0)
    assert_same_weights(student.module_, again.module_)
    for name, value in weights(teacher.module_).items():
        np.testing.assert_array_equal(value, before[name])
