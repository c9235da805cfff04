"""The same values have the same fingerprint in every process; others have another."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import KFold
from torch import nn
from torch.utils.data import Subset, TensorDataset

from sk_prunefair.fingerprint import fingerprint


def add(a, b=1):
    return a + b


def linear(seed):
    torch.manual_seed(seed)
    return nn.Linear(2, 2)


FRAME = pd.DataFrame({"a": [1.5, 2.5], "b": pd.Categorical(["x", "y"]), "c": ["é", None]})
GENERATOR = torch.Generator().manual_seed(1)
DIFFERENT = [
    None,
    0,
    1,
    True,
    1.0,
    "1",
    b"1",
    np.float32(1),
    [1],
    (1,),
    {1},
    {"a": 1, "b": 2},
    {"a": 2, "b": 1},
    [[1], 2],
    [1, [2]],
    np.arange(6),
    np.arange(6).reshape(2, 3),
    np.arange(6.0),
    np.array(["a", None], dtype=object),
    np.array(["a", "b"], dtype=object),
    np.array(5.0),
    torch.arange(6),
    torch.arange(6).reshape(2, 3),
    torch.arange(6).to(torch.bfloat16),
    torch.empty(0),
    torch.tensor(5.0),
    sparse.csr_matrix(np.eye(3)),
    sparse.csr_matrix(2 * np.eye(3)),
    FRAME,
    FRAME.rename(columns={"a": "z"}),
    FRAME.set_index(pd.Index([5, 6])),
    FRAME["a"],
    FRAME.index,
    linear(0),
    linear(1),
    torch.optim.SGD(linear(0).parameters(), lr=0.1),
    torch.optim.SGD(linear(0).parameters(), lr=0.2),
    KFold(3),
    KFold(4),
    KFold,
    add,
    lambda a: a + 1,
    lambda a: a + 2,
    functools.partial(add, 1),
    functools.partial(add, 2),
    np.random.RandomState(0),
    np.random.RandomState(1),
    torch.Generator().manual_seed(0),
    GENERATOR,
    TensorDataset(torch.arange(3)),
    TensorDataset(torch.arange(1, 4)),
    Subset(TensorDataset(torch.arange(3)), [0, 1]),
    Subset(TensorDataset(torch.arange(3)), [0, 2]),
    torch.float32,
    torch.device("cpu"),
]


def test_fingerprint_different_values_have_different_ones():
    found = [fingerprint(value) for value in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)
    assert all(len(one) == 40 for one in found)


def test_fingerprint_same_values_have_the_same_one():
    again = np.arange(12).reshape(2, 6)[:, ::2]  # not contiguous
    assert fingerprint(again) == fingerprint(np.ascontiguousarray(again))
    assert fingerprint(torch.tensor(again)) == fingerprint(torch.tensor(again.T.copy()).T)
    assert fingerprint({"b": 2, "a": 1}) == fingerprint({"a": 1, "b": 2})
    assert fingerprint(linear(0)) == fingerprint(linear(0))
    big = np.arange(6_000_000)  # more than one part
    assert fingerprint(big) == fingerprint(big.copy())
    other = big.copy()
    other[-1] = 0
    assert fingerprint(big) != fingerprint(other)


class Net(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x):
        return x**self.power


def with_forward(forward):
    return type("Net", (nn.Module,), {"forward": forward, "__module__": "mine"})


def test_fingerprint_modules_of_the_same_state_differ_by_what_they_compute():
    nets = [nn.ReLU(), nn.Tanh(), nn.Dropout(0.1), nn.Dropout(0.5), Net(2), Net(3)]
    found = [fingerprint(nn.Sequential(linear(0), net)) for net in nets]
    assert len(set(found)) == len(nets)
    assert fingerprint(nn.Sequential(linear(0), Net(2))) == fingerprint(
        nn.Sequential(linear(0), Net(2)).eval()
    )


def test_fingerprint_class_counts_with_its_code():
    forwards = [lambda self, x: x + 1, lambda self, x: x + 2, lambda self, x: x.sum(1)]
    classes = [with_forward(forward) for forward in forwards]
    assert len({fingerprint(each) for each in classes}) == 3
    assert fingerprint(classes[0]) == fingerprint(with_forward(lambda self, x: x + 1))
    assert fingerprint(classes[0]()) != fingerprint(classes[1]())


def test_fingerprint_functions_within_functions_count():
    def outer(power):
        one, two = (lambda xs: [x**2 for x in xs]), (lambda xs: [x**3 for x in xs])
        return one if power == 2 else two

    assert fingerprint(outer(2)) != fingerprint(outer(3))


def test_fingerprint_values_that_hold_themselves_end():
    circle: list = [1]
    circle.append(circle)
    assert fingerprint(circle) == fingerprint(circle)
    shared = [2]
    assert fingerprint([shared, shared]) == fingerprint([[2], [2]])


def test_fingerprint_learned_attributes_do_not_count():
    class Thing:
        def __init__(self, a, learned_):
            self.a, self.learned_ = a, learned_

    assert fingerprint(Thing(1, 2)) == fingerprint(Thing(1, 3))
    assert fingerprint(Thing(1, 2)) != fingerprint(Thing(2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_fingerprint_is_the_same_in_another_process(seed):
    code = (
        "from sk_prunefair.fingerprint import fingerprint; import numpy as np, pandas as pd\n"
        "print(fingerprint({'b': {'x', 'y', 'z'}, 'a': pd.Series(['u', None])}, np.arange(3)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    here = fingerprint({"b": {"x", "y", "z"}, "a": pd.Series(["u", None])}, np.arange(3))
    assert done.stdout.strip() == here
