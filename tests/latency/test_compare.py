"""Models timed turn by turn, with a clock that contenders move."""

from __future__ import annotations

import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from threadpoolctl import threadpool_info
from torch import nn

from sk_prunefair.latency import Made, compare_latency, latency_options, take_turns
from sk_prunefair.latency.reading import COLUMNS

X = torch.ones(5, 3)


class Clock:
    """A clock that stands still but for what contenders add to it."""

    def __init__(self):
        self.now = 100.0
        self.calls = []

    def __call__(self):
        return self.now

    def contender(self, name, seconds):
        """Return a function of X that takes these seconds, one after the other, then the last."""
        left = list(seconds)

        def call(X):
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return X

        return call


def one(contenders, clock, **options):
    return compare_latency(contenders, X, batch_sizes=1, threads=1, clock=clock, **options)


def test_compare_latency_median_and_quartiles_by_hand():
    clock = Clock()
    # The first three are warm-up.
    slow = clock.contender("slow", [9, 9, 9, 5, 1, 2, 4, 3])
    fast = clock.contender("fast", [9, 9, 9, 1, 1, 1, 1, 2])
    table = one({"slow": slow, "fast": fast}, clock, n_rounds=5, seconds=1000)
    assert table.columns.tolist() == list(COLUMNS)
    by_name = table.set_index("contender")
    assert by_name.loc["slow", ["seconds_q25", "seconds", "seconds_q75"]].tolist() == [2, 3, 4]
    assert by_name["n_rounds"].tolist() == [5, 5]
    # Ratios round by round: 5, 1, 2, 4, 1.5.
    assert by_name["speedup"].tolist() == [1, 2]


def test_compare_latency_order_rotates_from_round_to_round():
    clock = Clock()
    contenders = {name: clock.contender(name, [1]) for name in "abc"}
    one(contenders, clock, n_rounds=4, seconds=1000)
    warm_up = "abc" * 3
    assert "".join(clock.calls) == warm_up + "abc" + "bca" + "cab" + "abc"


def test_compare_latency_budget_ends_rounds_but_three():
    clock = Clock()
    table = one({"slow": clock.contender("slow", [10])}, clock, n_rounds=30, seconds=100)
    # A trial, which is warm-up, two rounds of it in 20 of 25 seconds, and eight that begin in 80.
    assert len(clock.calls) == 1 + 2 + 8
    assert table["n_rounds"].tolist() == [8]
    clock = Clock()
    contenders = {"slow": clock.contender("slow", [1000])}
    table = compare_latency(contenders, X, threads=1, seconds=1, n_rounds=9, clock=clock)
    assert table["n_rounds"].tolist() == [3, 3]
    # The second size finds no time for more warm-up than the trial.
    assert len(clock.calls) == (1 + 1 + 3) + (1 + 3)


def test_compare_latency_budget_that_one_size_leaves_is_for_the_next():
    clock = Clock()

    def slower_with_more(X):
        clock.now += 1 if len(X) == 1 else 10

    contenders = {"slow": slower_with_more}
    table = compare_latency(contenders, X, threads=1, seconds=112, n_rounds=10, clock=clock)
    # Twelve seconds of the first half are used; the other hundred are for the second size.
    assert table["n_rounds"].tolist() == [10, 8]


def test_compare_latency_making_is_no_part_of_the_budget():
    clock = Clock()

    def make(batch, n_threads):
        clock.now += 1000
        return clock.contender("made", [1])

    assert one({"m": Made(make)}, clock, n_rounds=9, seconds=50)["n_rounds"].tolist() == [9]


def test_compare_latency_has_a_row_for_each_contender_size_and_thread():
    sizes = []
    table = compare_latency(
        {"net": nn.Linear(3, 2), "size": lambda X: sizes.append(len(X))},
        X,
        batch_sizes=(2, 7),
        threads=(2, 1, 2),
        n_rounds=1,
    )
    found = table[["batch_size", "threads", "contender"]].to_numpy().tolist()
    assert found == [[b, t, c] for b in (2, 7) for t in (2, 1) for c in ("net", "size")]
    assert set(sizes) == {2, 7}
    assert (table["seconds_q25"] <= table["seconds"]).all()
    assert (table["seconds"] <= table["seconds_q75"]).all()


def pools():
    return [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]


@pytest.mark.parametrize("fails", [False, True])
def test_compare_latency_threads_are_set_and_set_back(fails):
    before, seen = pools(), []

    def see(X):
        seen.append(torch.get_num_threads())
        if fails:
            raise KeyError("gone")

    try:
        compare_latency({"see": see}, X, batch_sizes=1, threads=3, n_rounds=1)
    except RuntimeError:
        assert fails
    assert set(seen) == {3}
    assert torch.get_num_threads() == 1
    assert pools() == before


def test_compare_latency_all_threads_are_the_physical_cores():
    made = []
    contender = Made(lambda X, n: made.append(n) or (lambda X: X))
    compare_latency({"a": contender}, X, batch_sizes=1, threads="all", n_rounds=1)
    assert made == [joblib.cpu_count(only_physical_cores=True)]


def test_compare_latency_made_contender_gets_batch_and_threads_untimed():
    clock = Clock()

    def make(batch, n_threads):
        clock.now += 5
        return clock.contender(f"{len(batch)} by {n_threads}", [1])

    table = compare_latency(
        {"m": Made(make)}, X, batch_sizes=(1, 4), threads=(1, 2), n_rounds=1, clock=clock
    )
    assert list(dict.fromkeys(clock.calls)) == ["1 by 1", "1 by 2", "4 by 1", "4 by 2"]
    assert table["seconds"].tolist() == [1] * 4


def test_compare_latency_contender_that_cannot_be_made_is_left_out_with_its_reason():
    tries = []

    def make(batch, n_threads):
        tries.append(n_threads)
        raise ImportError("it needs a package\nand more")

    table = compare_latency({"m": Made(make), "f": lambda X: X}, X, n_rounds=1)
    assert table["contender"].unique().tolist() == ["f"]
    assert table["speedup"].eq(1).all()
    assert table.attrs["left_out"] == {"m": "it needs a package"}
    assert len(tries) == 1
    assert compare_latency({"m": Made(make)}, X).empty


def test_compare_latency_contender_that_cannot_be_made_for_all_sizes_says_for_which():
    def make(batch, n_threads):
        if len(batch) > 1:
            raise ValueError("too many")
        return lambda X: X

    table = compare_latency({"m": Made(make)}, X, batch_sizes=(1, 2, 3), threads=1, n_rounds=1)
    assert table["batch_size"].tolist() == [1]
    said = "too many (2 samples, 1 thread); too many (3 samples, 1 thread)"
    assert table.attrs["left_out"] == {"m": said}


def test_compare_latency_contender_that_raises_is_named():
    def broken(X):
        raise IndexError("no such column")

    message = "contender 'b' raised IndexError for 2 samples, 1 thread: no such column"
    with pytest.raises(RuntimeError, match=message):
        compare_latency({"a": len, "b": broken}, X, batch_sizes=2, threads=1)


def test_compare_latency_contender_that_answers_for_fewer_rows_is_named():
    with pytest.raises(ValueError, match="contender 'few' returned 1 rows for 64 samples"):
        compare_latency({"few": lambda X: X[:1]}, X, batch_sizes=64)
    with pytest.raises(ValueError, match="contender 'few' returned 1 rows"):
        compare_latency({"few": lambda X: (np.ones(1), None)}, X, batch_sizes=64)


def test_compare_latency_modules_evaluate_without_gradients_and_keep_their_modes():
    seen = []

    class Net(nn.Sequential):
        def forward(self, X):
            seen.append((self.training, self[1].training, torch.is_grad_enabled(), X.dtype))
            return super().forward(X)

    net = Net(nn.Linear(3, 2), nn.BatchNorm1d(2).eval()).double()
    before = net[1].running_mean.clone()
    compare_latency({"net": net}, X, n_rounds=1)
    assert set(seen) == {(False, False, False, torch.float64)}
    assert (net.training, net[0].training, net[1].training) == (True, True, False)
    assert torch.equal(net[1].running_mean, before)


@pytest.mark.parametrize(
    "given",
    [
        np.ones((5, 3)),
        pd.DataFrame(np.ones((5, 3)), index=[3, 3, 1, 0, -1], columns=list("abc")),
        sparse.csr_matrix(np.ones((5, 3))),
        [[1.0, 2.0, 3.0]] * 5,
        {"X": np.ones((5, 3))},
        {"X": torch.ones(5, 3)},
    ],
    ids=["array", "frame", "sparse", "list", "dict", "tensors"],
)
def test_compare_latency_takes_every_kind_of_rows(given):
    kinds = []

    class Net(nn.Linear):
        def forward(self, X):
            return super().forward(X)

    table = compare_latency(
        {"net": Net(3, 2), "f": lambda X: kinds.append(type(X))}, given, batch_sizes=8, n_rounds=1
    )
    assert set(table["contender"]) == {"net", "f"}
    assert set(kinds) == {type(given)} or sparse.issparse(given)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"contenders": {}}, ValueError, "contenders must be a dict with at least one model"),
        ({"contenders": [len]}, ValueError, "contenders must be a dict"),
        ({"contenders": {"a": 3}}, TypeError, r"contenders\['a'\] must be.*got int"),
        ({"batch_sizes": 0}, ValueError, "batch_sizes must be an integer >= 1 or several, got 0"),
        ({"batch_sizes": ()}, ValueError, "batch_sizes must be .* got none"),
        ({"batch_sizes": [1, 2.5]}, ValueError, "batch_sizes must be .* got 2.5"),
        ({"batch_sizes": "all"}, ValueError, "batch_sizes must be .* got 'all'"),
        ({"batch_sizes": {1: 2}}, ValueError, "batch_sizes must be"),
        ({"threads": "some"}, ValueError, "threads must be .*'all' or several.*got 'some'"),
        ({"threads": [1, -1]}, ValueError, "threads must be .* got -1"),
        ({"threads": True}, ValueError, "threads must be .* got True"),
        ({"n_rounds": 0}, ValueError, "n_rounds must be an integer >= 1"),
        ({"seconds": 0}, ValueError, "seconds must be a finite number > 0"),
        ({"X": X[:0]}, ValueError, "X must hold at least one sample"),
        ({"X": np.ones((0, 3))}, ValueError, "X must hold at least one sample"),
    ],
)
def test_compare_latency_bad_argument_raises(change, error, message):
    with pytest.raises(error, match=message):
        compare_latency(**({"contenders": {"a": len}, "X": X} | change))


def test_take_turns_without_functions_is_empty():
    assert take_turns({}, 3) == {}


def test_take_turns_runs_in_the_thread_of_the_caller():
    seen = []
    take_turns({"a": lambda: seen.append(threading.get_ident())}, 1)
    assert set(seen) == {threading.get_ident()}


@pytest.mark.parametrize("latency", [1, "yes", None, ["batch_sizes"], {"batch_size": 1}])
def test_latency_options_of_another_kind_raise(latency):
    with pytest.raises(ValueError, match="latency must be True, False or a dict of some of"):
        latency_options(latency, ["batch_sizes"])
