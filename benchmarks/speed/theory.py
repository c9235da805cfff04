"""What group gradients and Hessians cost, and what Theorem 1 says of the risk.

Run ``python -m benchmarks.speed.theory`` (a quarter of an hour), or ``--quick`` for tiny sizes.
With ``--gradients`` what has to do with eigenvalues and the risk stays as it is in the files. Costs
stand beside plain passes and other ways to the same numbers, for an MLP 128-64 on Adult and on
COMPAS, an MLP of 16 units on Adult, and a ResNet-18 of width 8 on 2,000 faces of 32×32, all trained
for a little. The contenders take turns, several rounds, on one thread: small nets on two threads
were seen a hundred times slower than on one when the cores are busy. Rows go to ``theory.csv``, the
ratios to ``theory.md``. Each run has a child process of its own, and takes the time of its
processor; gradients and plain passes are run once before, for what happens in a process only once.
Peak memory is what the child grows by.
"""

from __future__ import annotations

import copy
import os
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import eigsh
from torch import nn
from tqdm import tqdm

from benchmarks.lib.harness import out_path
from benchmarks.lib.pages import fill, markdown
from benchmarks.lib.study import options
from benchmarks.lib.tasks import TASKS
from benchmarks.lib.timing import by_round, seconds, spread
from sk_prunefair import FairPrunedClassifier
from sk_prunefair.theory import group_gradient_norms, group_hessian_eigenvalues, risk_bounds
from sk_prunefair.theory.grouped import GroupedNet

PAGE = Path(__file__).with_suffix(".md")
TOL = 1e-3
POWER_ITERATIONS = 40  # more would only say that it does not converge
RATES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
SIZES = {"adult": 30_000, "faces_race": 2_000}
# Small nets and small data, for the gradients only: the task, the net's parameters, samples.
SMALL = {
    "adult, 16 units": ("adult", {"module__hidden": (16,)}, 30_000),
    "compas": ("compas", {}, 4_000),
}
N_GROUPS = (2, 10, 100)
Problem = tuple[nn.Module, np.ndarray, np.ndarray, np.ndarray]


def problem(task: str, params: dict[str, Any], n: int) -> Problem:
    """Return a net that was trained for an epoch or two, and data with groups."""
    train, _, _ = TASKS[task].load(0)
    train = train.take(np.arange(min(n, len(train.y))))
    params = TASKS[task].params | params | {"max_epochs": 2}
    clf = FairPrunedClassifier(**params, random_state=0)
    clf.fit(train.X, train.y, sensitive_features=train.group)
    return clf.module_, train.X, train.y, train.group


def plain_pass(module: nn.Module, X: np.ndarray, y: np.ndarray) -> None:
    """Go forward and backward over all rows, in chunks of the same size, without groups."""
    net = GroupedNet(module, X, y, np.zeros(len(y)))
    parameters = list(net.parameters.values())
    for part in torch.arange(len(y)).split(net.batch_size):
        torch.autograd.grad(net.losses(net.X[part], net.y[part]).sum(), parameters)


def peer_eigenvalues(module: nn.Module, X: np.ndarray, y: np.ndarray, group: np.ndarray) -> None:
    """Find each group's eigenvalue by curvlinops' operator and scipy's eigsh."""
    from curvlinops import HessianLinearOperator

    net = GroupedNet(module, X, y, group)
    for code in range(len(net.groups)):
        data = list(net.chunks(net.rows(code)))
        operator = HessianLinearOperator(
            net.module,
            nn.CrossEntropyLoss(),
            list(net.parameters.values()),
            data,
            check_deterministic=False,
            num_data=int(net.sizes[code]),
        )
        eigsh(operator.to_scipy(), k=1, which="LA", tol=TOL, return_eigenvectors=False)


def power_iteration(module: nn.Module, X: np.ndarray, y: np.ndarray, group: np.ndarray) -> None:
    """Find each group's eigenvalue of largest absolute value by power iteration."""
    net = GroupedNet(module, X, y, group)
    for code in range(len(net.groups)):
        product = net.hessian(net.rows(code))
        vector = torch.randn(net.n_parameters, generator=torch.Generator().manual_seed(0))
        for _ in range(POWER_ITERATIONS):
            vector = vector / vector.norm()
            image = product(vector)
            value = float(vector @ image)
            if float((image - value * vector).norm()) <= TOL * abs(value):
                break
            vector = image


def contenders(given: Problem, only_gradients: bool) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    module, X, y, group = given
    whole = np.zeros(len(y))
    out: dict[str, Callable[[], object]] = {"plain pass": lambda: plain_pass(module, X, y)}
    for n in N_GROUPS:
        codes = np.random.default_rng(0).integers(0, n, len(y))
        out[f"gradients of {n} groups"] = lambda g=codes: group_gradient_norms(module, X, y, g)
    if only_gradients:
        return out
    out |= {
        "eigenvalues": lambda: group_hessian_eigenvalues(module, X, y, group, tol=TOL),
        "eigenvalue of all data": lambda: group_hessian_eigenvalues(module, X, y, whole, tol=TOL),
        "eigenvalues, curvlinops + eigsh": lambda: peer_eigenvalues(module, X, y, group),
        "eigenvalues, power iteration": lambda: power_iteration(module, X, y, group),
    }
    return out


def in_child(run: Callable[[], object], warm_up: bool) -> tuple[float, float]:
    """Return the processor's seconds that a child takes, and the MiB it grows by at its peak."""
    read, write = os.pipe()
    if os.fork() == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if warm_up:
            run()
        took = seconds(run)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(write, f"{took} {grown / 1024}".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        took, grown = map(float, pipe.read().split())
    os.wait()
    return took, grown


def measure(
    rounds: int, problems: dict[str, tuple[str, dict[str, Any], int]], only_gradients: bool
) -> pd.DataFrame:
    """Run all contenders in turn; one row per task, round and contender."""
    rows = []
    for title, (task, params, n) in problems.items():
        todo = contenders(problem(task, params, n), only_gradients or title in SMALL)
        # A round of the ResNet takes minutes.
        n_rounds = max(1, rounds // 3) if task == "faces_race" else rounds
        for number in tqdm(range(n_rounds), desc=title, disable=None):
            for name, run in todo.items():
                took, grown = in_child(run, warm_up="eigenvalue" not in name)
                row = {"task": title, "round": number, "contender": name, "seconds": took}
                rows.append(row | {"peak_mib": grown})
    return pd.DataFrame(rows)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds of the ratios within a round."""
    wide = by_round(times, "task")
    pairs = [(f"gradients of {n} groups", "plain pass", "≤ 1.2") for n in N_GROUPS]
    pairs += [
        ("eigenvalues", "eigenvalues, curvlinops + eigsh", "≤ 0.3"),
        ("eigenvalues", "eigenvalues, power iteration", "≤ 0.8"),
        ("eigenvalues", "eigenvalue of all data", "≤ 1.5"),
    ]
    rows = []
    for task in times["task"].unique():
        for over, under, target in pairs:
            row = {"task": task, "ratio": f"{over} ÷ {under}", "target": target}
            rows.append(row | spread(wide.loc[task], over, under))
    return pd.DataFrame(rows).dropna()


def rankings(sizes: dict[str, int]) -> pd.DataFrame:
    """Return how Theorem 1's bound and the signed estimate go with the risk, rate by rate."""
    rows = []
    for task, n in sizes.items():
        train, _, _ = TASKS[task].load(0)
        train = train.take(np.arange(min(n, len(train.y))))
        clf = FairPrunedClassifier(**TASKS[task].params, random_state=0)
        clf.fit(train.X, train.y, sensitive_features=train.group)
        nets = {rate: copy.deepcopy(clf.prune(rate).module_) for rate in RATES}
        frame = risk_bounds(clf.dense_module_, nets, train.X, train.y, train.group)
        for rate, part in frame.groupby(level="net"):
            ranks = part.rank().corr()["excessive_risk"]
            rows.append(
                {
                    "task": task,
                    "rate": rate,
                    "mean R": part["excessive_risk"].mean(),
                    "bound ÷ absolute R, median": (
                        part.risk_bound / part.excessive_risk.abs()
                    ).median(),
                    "estimate ÷ R, median": (part.risk_estimate / part.excessive_risk).median(),
                    "rank correlation of bound": ranks["risk_bound"],
                    "… of estimate": ranks["risk_estimate"],
                    "bound holds": bool((part.risk_bound >= part.excessive_risk).all()),
                }
            )
    return pd.DataFrame(rows)


def write_page(times: pd.DataFrame, path: Path, bounds: pd.DataFrame | None = None) -> None:
    """Write ratios and medians of the rows, and the bounds; None reads those that are there."""
    if bounds is None:
        bounds = pd.read_csv(PAGE.with_name("theory_bounds.csv"))
    medians = times.groupby(["task", "contender"], sort=False)[["seconds", "peak_mib"]].median()
    tables = [ratios(times).round(2), medians.round(3).reset_index(), bounds.round(3)]
    path.write_text(fill(PAGE, [markdown(each) for each in tables]))


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    tasks = [*SIZES, *SMALL]
    parser = options(__doc__, tasks=tasks, n_jobs=0, rounds=5, quick="one round of tiny sizes")
    parser.add_argument("--gradients", action="store_true", help="leave all else as committed")
    args = parser.parse_args(argv)
    args.out = out_path(__file__, args.out, args.quick)
    torch.set_num_threads(1)
    # curvlinops' dependencies speak of torch.jit; power iteration and quick runs need no warning.
    warnings.simplefilter("ignore")
    problems = {title: (title, {}, n) for title, n in SIZES.items()} | SMALL
    problems = {title: problems[title] for title in args.tasks}
    if args.quick:
        problems = {"adult": ("adult", {}, 1_000)}
    times = measure(1 if args.quick else args.rounds, problems, args.gradients)
    if args.out.exists():
        # Other rows stay; ratios are within a round of one task, between what was run together.
        keys = pd.MultiIndex.from_frame(times[["task", "contender"]])
        rows = pd.read_csv(args.out)
        is_old = pd.MultiIndex.from_frame(rows[["task", "contender"]]).isin(keys)
        times = pd.concat([times, rows[~is_old]], ignore_index=True)
    times.to_csv(args.out, index=False, float_format="%.4g")
    bounds = None
    if not args.gradients:
        bounds = rankings({"digits": 2_000} if args.quick else {"adult": 30_000, "digits": 2_000})
        bounds.to_csv(args.out.with_name(f"{args.out.stem}_bounds.csv"), index=False)
    write_page(pd.read_csv(args.out), args.out.with_suffix(".md"), bounds)
    print(args.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
