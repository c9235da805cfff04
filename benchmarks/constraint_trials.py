# ruff: noqa: D102 (the hooks are described by the base class)
"""What was tried before the equal-loss constraint became what it is.

Run ``python benchmarks/constraint_trials.py`` (an hour and a half on one core; it takes up again
where it stopped). Rows go to ``benchmarks/constraint_trials.csv``, a table of the test rows to
``benchmarks/constraint_trials.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from constraints import FINETUNE_EPOCHS, train_and_prune
from harness import Cell, run_cells
from skorch.dataset import ValidSplit

from sk_prunefair import EqualLossConstraint
from sk_prunefair.constraints import Constraint, equal_loss

RATES = (0.8, 0.9, 0.95)
SEEDS = {"digits": 5, "adult": 3, "fashion": 2}


class Exponential(EqualLossConstraint):
    """Shares times e^λ, as in exponentiated gradients; drawn or weighted, over a prior on size."""

    def __init__(self, drawn: bool = True, prior: float = 0.0) -> None:
        super().__init__(max_multiplier=2.0)
        self.drawn = drawn
        self.prior = prior

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_epoch_begin(net, **kwargs)
        shares = np.maximum(self.shares_, 1e-12)
        factors = np.exp(self.multipliers_) * shares**-self.prior
        self.factors_ = torch.tensor(factors / (shares @ factors), dtype=torch.float32)
        self.device_factors_ = self.factors_.to(net.device)

    def draw_weights(self, net: Any, data: Any) -> torch.Tensor | None:
        return super().draw_weights(net, data) if self.drawn else None


class Balanced(Exponential):
    """Draws that give every group the same share, and nothing else."""

    def __init__(self) -> None:
        super().__init__(prior=1.0)
        self.step_size = 0.0


class Jumping(EqualLossConstraint):
    """Steps of 10 that move a multiplier further in one epoch than the default lets them."""

    def __init__(self, most: float) -> None:
        super().__init__(step_size=10.0)
        self.most = most

    def _step(self, means: Any) -> None:
        with mock.patch.object(equal_loss, "MOST", self.most):
            super()._step(means)


class Restarted(EqualLossConstraint):
    """Multipliers that start at zero in the fine-tuning."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        if net.phase_ == "after":
            self.multipliers_ *= 0


class Proportional(EqualLossConstraint):
    """A PI controller, as nuPI without averaging: λ = integral + κ · last step, κ = 4."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        self.integral_ = self.multipliers_.copy()

    def _step(self, means: Any) -> None:
        last = self.multipliers_ = self.integral_
        super()._step(means)
        self.integral_ = self.multipliers_
        self.multipliers_ = (self.integral_ + 4 * (self.integral_ - last)).clip(-1, 4)


def distances(losses: torch.Tensor, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return J_a - J of a batch for each sample's group a, and J."""
    sums = torch.zeros(int(group.max()) + 1).index_add(0, group, losses)
    means = sums / group.bincount().clamp(min=1)
    return means[group] - losses.mean(), losses.mean()


class Augmented(EqualLossConstraint):
    """An augmented Lagrangian: the default plus Σ share_a (J_a - J)² / 2J on each batch."""

    def penalty(self, net: Any, losses: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        distance, overall = distances(losses, batch["group"])
        return distance.square().mean() / (2 * overall.detach())


class GroupsAhead(EqualLossConstraint):
    """Flooding by groups: those ahead in a batch get another weight in it, none or a negative."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        distance, _ = distances(net.batch_losses_, batch["group"])
        return torch.where(distance >= 0, 1.0, self.weight)


class Margin(EqualLossConstraint):
    """Wider margins for groups behind: their logits are divided by 1 + λ⁺, by way of the loss.

    Of two classes, a loss of l has the margin m = -log(e^l - 1), and dividing m by t changes the
    gradient by σ(-m / t) / σ(-m), up to the factor t; of more classes m is the log odds.
    """

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        wider = (
            1 + torch.as_tensor(self.multipliers_.clip(lower=0).to_numpy(copy=True))[batch["group"]]
        )
        margin = -net.batch_losses_.double().clamp(1e-12, 50).expm1().log()
        return ((-margin / wider).sigmoid() / (-margin).sigmoid()).clamp(max=1e4).float()


class GroupDRO(Constraint):
    """Group DRO: weights e^λ, λ grows with the group's loss after each batch."""

    log_weights_: torch.Tensor | None = None

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        if self.log_weights_ is None:
            self.log_weights_ = torch.zeros(len(net.groups_))

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        return (self.log_weights_.softmax(0) * len(self.log_weights_))[batch["group"]]

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = True, **kw: Any) -> None:
        if training:
            group = batch[0]["group"]
            sums = torch.zeros_like(self.log_weights_).index_add(0, group, net.batch_losses_)
            means = sums / group.bincount(minlength=len(sums)).clamp(min=1)
            self.log_weights_ += 0.01 * means


TRIALS: dict[str, Callable[[], Constraint | None]] = {
    "none": lambda: None,
    "weights ∝ e^λ": lambda: Exponential(drawn=False),
    "draws ∝ e^λ": Exponential,
    "balanced draws × e^λ": lambda: Exponential(prior=1.0),
    "balanced draws": Balanced,
    "weights, share + λ / G": lambda: EqualLossConstraint(by="reweighting"),
    "draws, share + λ / G (the default)": EqualLossConstraint,
    "… step 0.1": lambda: EqualLossConstraint(step_size=0.1),
    "… step 10": lambda: EqualLossConstraint(step_size=10.0),
    "… step 10, a move of 1 at most": lambda: Jumping(1.0),
    "… step 10, moves of any size": lambda: Jumping(np.inf),
    "… restarted at zero in the fine-tuning": Restarted,
    "… multipliers from 10 % validation rows": lambda: EqualLossConstraint(
        multipliers_from="valid"
    ),
    "… PI controller": Proportional,
    "… augmented Lagrangian": Augmented,
    "… groups ahead held back": lambda: GroupsAhead(0.0),
    "… groups ahead pushed back": lambda: GroupsAhead(-0.2),
    "… wider margins for groups behind": Margin,
    "group DRO, each batch": GroupDRO,
}


def work(cell: Cell) -> list[dict[str, Any]]:
    """Train once, prune and fine-tune at each rate."""
    split = {"train_split": ValidSplit(10, stratified=True)} if "valid" in cell["trial"] else {}
    ways = [(rate, FINETUNE_EPOCHS) for rate in RATES]
    return train_and_prune(cell["task"], cell["seed"], TRIALS[cell["trial"]](), ways, **split)


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write means over seeds and rates, with the mean over data sets of each seed's spread."""
    rows = rows[rows.split == "test"].assign(
        trial=lambda test: pd.Categorical(test.trial, list(TRIALS)),
        **{"excess gap": (rows["gap"] - rows["floor"]).clip(lower=0)},
    )
    columns = ["accuracy", "balanced", "excess gap", "xi"]
    by_seed = rows.groupby(["task", "trial", "seed"], observed=True)[columns].mean()
    grouped = by_seed.groupby(["task", "trial"], observed=True)
    spread = grouped.std().map(" ± {:.3f}".format).replace(" ± nan", "")
    cells = grouped.mean().map("{:.3f}".format) + spread
    cells.insert(0, "seeds", grouped.size())
    path.write_text(
        "# Constraints that were tried\n\nWritten by `benchmarks/constraint_trials.py` from "
        "`constraint_trials.csv`: held-out test rows, the mean over the rates "
        f"{', '.join(map(str, RATES))} after three epochs of fine-tuning, mean ± standard "
        "deviation over seeds. A line that begins with … changes the default. On Adult and "
        "Fashion-MNIST all but the wider margins and the steps of 10 ran when Adam's moments still "
        "carried over from the fine-tuning of one rate to that of the next; now each begins with "
        "those of the dense training.\n\n"
        + "\n".join(
            f"## {task}\n\n{part.droplevel('task').reset_index().to_markdown(index=False)}\n"
            for task, part in cells.groupby(level="task")
        )
    )


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--trials", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    cells = [
        {"task": task, "trial": trial, "seed": seed}
        for task in args.tasks
        for seed in range(SEEDS[task])
        for trial in args.trials
    ]
    write_table(run_cells(cells, work, args.out, args.n_jobs), args.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
