# ruff: noqa: D102 (the hooks are described by the base class)
"""What was tried before the equal-loss constraint became what it is.

Run ``python -m benchmarks.studies.constraint_trials.run`` (an hour and a half on one core; it takes
up again where it stopped). Rows go to ``rows.csv``, a table of the validation rows to ``page.md``.
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
from skorch.dataset import ValidSplit

from benchmarks.lib.first_default import FirstDefault
from benchmarks.lib.harness import Cell, page_path, run_cells
from benchmarks.lib.tables import mean_and_spread, with_excess
from benchmarks.studies.constraints.run import FINETUNE_EPOCHS, PRUNERS, train_and_prune
from sk_prunefair import EqualLossConstraint
from sk_prunefair.constraints import Constraint, _multipliers

RATES = (0.8, 0.9, 0.95)
SEEDS = {"digits": 5, "compas": 5, "adult": 3, "fashion": 2, "faces_race": 1}


class Plain(EqualLossConstraint):
    """The default without what came last: rows are drawn, noise counts, the last weights stay."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**{"by": "resampling", "average": False, "explained": None} | params)

    def _step(self, means: Any, errors: Any = 0.0) -> None:
        super()._step(means)


class BeyondNoise(Plain):
    """Differences between losses count beyond their standard error."""

    _noise = 1.0

    def _step(self, means: Any, errors: Any = 0.0) -> None:
        EqualLossConstraint._step(self, means, errors)


class WeightsBefore(Plain):
    """Losses are weighted in the dense training, rows drawn in the fine-tuning."""

    def draw_weights(self, net: Any, data: Any) -> torch.Tensor | None:
        return super().draw_weights(net, data) if net.phase_ == "after" else None


class Exponential(Plain):
    """Shares times e^λ, as in exponentiated gradients; drawn or weighted, over a prior on size."""

    def __init__(self, drawn: bool = True, prior: float = 0.0) -> None:
        super().__init__(max_multiplier=2.0)
        self.drawn = drawn
        self.prior = prior

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_epoch_begin(net, **kwargs)
        shares = np.maximum(self.shares_, 1e-12)
        factors = np.exp(self.multipliers_) * shares**-self.prior
        factors = factors.to_numpy() / (shares @ factors)
        self.factors_ = torch.tensor(factors, dtype=torch.float32, device=net.device)

    def draw_weights(self, net: Any, data: Any) -> torch.Tensor | None:
        return super().draw_weights(net, data) if self.drawn else None


class Balanced(Exponential):
    """Draws that give every group the same share, and nothing else."""

    def __init__(self) -> None:
        super().__init__(prior=1.0)
        self.step_size = 0.0


class Jumping(Plain):
    """Steps of 10 that move a multiplier further in one epoch than the default lets them."""

    def __init__(self, most: float) -> None:
        super().__init__(step_size=10.0)
        self.most = most

    def _step(self, means: Any, errors: Any = 0.0) -> None:
        with mock.patch.object(_multipliers, "MOST", self.most):
            super()._step(means)


class Restarted(Plain):
    """Multipliers that start at zero in the fine-tuning."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        if net.phase_ == "after":
            self.multipliers_ *= 0


class Proportional(Plain):
    """A PI controller, as nuPI without averaging: λ = integral + κ · last step, κ = 4."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        self.integral_ = self.multipliers_.copy()

    def _step(self, means: Any, errors: Any = 0.0) -> None:
        last = self.multipliers_ = self.integral_
        super()._step(means)
        self.integral_ = self.multipliers_
        self.multipliers_ = (self.integral_ + 4 * (self.integral_ - last)).clip(-1, 4)


def distances(losses: torch.Tensor, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return J_a - J of a batch for each sample's group a, and J."""
    sums = torch.zeros(int(group.max()) + 1).index_add(0, group, losses)
    means = sums / group.bincount().clamp(min=1)
    return means[group] - losses.mean(), losses.mean()


class Augmented(Plain):
    """An augmented Lagrangian: the default plus Σ share_a (J_a - J)² / 2J on each batch."""

    def penalty(self, net: Any, losses: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        distance, overall = distances(losses, batch["group"])
        return distance.square().mean() / (2 * overall.detach())


class GroupsAhead(Plain):
    """Flooding by groups: those ahead in a batch get another weight in it, none or a negative."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        distance, _ = distances(net.step_.losses, batch["group"])
        return torch.where(distance >= 0, 1.0, self.weight)


class Margin(Plain):
    """Wider margins for groups behind: their logits are divided by 1 + λ⁺, by way of the loss.

    Of two classes, a loss of l has the margin m = -log(e^l - 1), and dividing m by t changes the
    gradient by σ(-m / t) / σ(-m), up to the factor t; of more classes m is the log odds.
    """

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        wider = (
            1 + torch.as_tensor(self.multipliers_.clip(lower=0).to_numpy(copy=True))[batch["group"]]
        )
        margin = -net.step_.losses.double().clamp(1e-12, 50).expm1().log()
        return ((-margin / wider).sigmoid() / (-margin).sigmoid()).clamp(max=1e4).float()


class Penalised(FirstDefault):
    """The default, plus a share of Σ share_a |J_a - J| of each batch; no weight is below zero.

    With ``fading`` the share is smaller while the loss is still near that of the first epoch.
    """

    def __init__(self, share: float, fading: bool = False) -> None:
        super().__init__()
        self.share = share
        self.fading = fading

    def penalty(self, net: Any, losses: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor | None:
        if self.first_loss_ is None:
            return None
        distance, overall = distances(losses, batch["group"])
        fallen = 1 - float(overall.detach()) / self.first_loss_ if self.fading else 1.0
        return self.share * max(fallen, 0.0) * distance.abs().mean()


class Smoothed(FirstDefault):
    """Multipliers that follow exponential averages of the groups' losses over the epochs."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        self.smooth_: Any = None

    def _step(self, means: Any, errors: Any = 0.0) -> None:
        self.smooth_ = means if self.smooth_ is None else (self.smooth_ + means) / 2
        super()._step(self.smooth_, errors)


class GroupDRO(Constraint):
    """Group DRO: Σ q_a J_a of a batch, q ∝ e^λ, λ grows with the group's loss after each batch."""

    log_weights_: torch.Tensor

    def initialize(self) -> Any:
        super().initialize()
        self.add_state("log_weights_", torch.zeros(1), lives="fit")
        return self

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        counts = batch["group"].bincount(minlength=len(net.groups_))
        self.log_weights_ = self.log_weights_.expand(len(counts))
        return (self.log_weights_.softmax(0) * counts.sum() / counts)[batch["group"]]

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = True, losses: Any = None, **kw: Any
    ) -> None:
        if training:
            group = batch[0]["group"]
            sums = torch.zeros(len(net.groups_)).index_add(0, group, losses.cpu())
            means = sums / group.bincount(minlength=len(sums)).clamp(min=1)
            self.log_weights_ = self.log_weights_ + 0.01 * means


TRIALS: dict[str, Callable[[], Constraint | None]] = {
    "none": lambda: None,
    "none, averaged": lambda: FirstDefault(step_size=0.0),
    "weights ∝ e^λ": lambda: Exponential(drawn=False),
    "draws ∝ e^λ": Exponential,
    "balanced draws × e^λ": lambda: Exponential(prior=1.0),
    "balanced draws": Balanced,
    "weights, share + λ / G": lambda: Plain(by="reweighting"),
    "draws, share + λ / G": Plain,
    "… step 0.1": lambda: Plain(step_size=0.1),
    "… step 10": lambda: Plain(step_size=10.0),
    "… step 10, a move of 1 at most": lambda: Jumping(1.0),
    "… step 10, moves of any size": lambda: Jumping(np.inf),
    "… restarted at zero in the fine-tuning": Restarted,
    "… multipliers from 10 % validation rows": lambda: Plain(multipliers_from="valid"),
    "… PI controller": Proportional,
    "… augmented Lagrangian": Augmented,
    "… groups ahead held back": lambda: GroupsAhead(0.0),
    "… groups ahead pushed back": lambda: GroupsAhead(-0.2),
    "… wider margins for groups behind": Margin,
    "… beyond the standard error": BeyondNoise,
    "… weights before pruning, draws after": WeightsBefore,
    "… averaged": lambda: Plain(average=True),
    "… beyond the standard error, averaged (the default)": FirstDefault,
    "the default, exponential averages of losses": Smoothed,
    "the default, and half of Σ share |J_a − J|": lambda: Penalised(0.5),
    "the default, and all of it, fading": lambda: Penalised(1.0, fading=True),
    "group DRO, each batch": GroupDRO,
}
# Four minutes each; what was left to decide there.
ON_FACES = [name for name in TRIALS if "(the default)" in name or "half of" in name]


def work(cell: Cell) -> list[dict[str, Any]]:
    """Train once, prune and fine-tune at each rate."""
    split = {"train_split": ValidSplit(10, stratified=True)} if "valid" in cell["trial"] else {}
    ways = [(rate, FINETUNE_EPOCHS) for rate in RATES]
    # The output layer of COMPAS's net dies otherwise, whatever the trial.
    pruner = {"pruner": PRUNERS["compas"]} if cell["task"] == "compas" else {}
    constraint = TRIALS[cell["trial"]]()
    return train_and_prune(cell["task"], cell["seed"], constraint, ways, **split, **pruner)


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write means over seeds and rates, with the mean over data sets of each seed's spread."""
    rows = with_excess(rows[rows.split == "valid"])
    rows = rows.assign(trial=pd.Categorical(rows.trial, list(TRIALS)))
    columns = ["accuracy", "balanced", "excess", "xi"]
    by_seed = rows.groupby(["task", "trial", "seed"], observed=True)[columns].mean()
    grouped = by_seed.groupby(["task", "trial"], observed=True)
    cells = mean_and_spread(grouped)
    cells.insert(0, "seeds", grouped.size())
    path.write_text(
        "# Constraints that were tried\n\n"
        "Written by `benchmarks/studies/constraint_trials/run.py` from "
        "`rows.csv`: held-out validation rows, the mean over the rates "
        f"{', '.join(map(str, RATES))} after three epochs of fine-tuning, mean ± standard "
        "deviation over seeds. The CSV has the test rows, too, and both were seen while the "
        "default became what it is. A line that begins with … changes the draws by share + λ / G. "
        "On Adult and Fashion-MNIST the lines down to groups pushed back, but for steps of 10, ran "
        "when Adam's moments still carried over from the fine-tuning of one rate to that of the "
        "next; now each begins with those of the dense training.\n\n"
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
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("rows.csv"))
    args = parser.parse_args()
    cells = [
        {"task": task, "trial": trial, "seed": seed}
        for task in args.tasks
        for seed in range(SEEDS[task])
        for trial in args.trials
        if task != "faces_race" or trial in ON_FACES
    ]
    write_table(run_cells(cells, work, args.out, args.n_jobs), page_path(args.out))


if __name__ == "__main__":
    main()
