"""The poster's figures, each run's in one picture, from the benchmark's CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmarks.studies.poster.page import RISK_RATES, RUN, is_whole, summarise
from sk_prunefair.plotting import (
    ConstraintEffectDisplay,
    GroupTheoryDisplay,
    PruningCurveDisplay,
    TradeoffDisplay,
)


def draw_figures(rows: pd.DataFrame, folder: Path) -> None:
    """Draw the poster's five figures of each run that is there, in one picture."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    whole = rows.groupby([*RUN, "seed"], sort=False).filter(is_whole)
    runs = list(whole.groupby(RUN, sort=False))
    for (task, net), part in tqdm(runs, desc="figures", disable=None):
        draw_run(part, folder / f"poster_{task}_{net}.png")


def draw_run(rows: pd.DataFrame, path: Path) -> None:
    """Draw curve and trade-offs, theory, and the constraint's effect."""
    from matplotlib import pyplot as plt

    n_groups = rows["group"].nunique()
    figure = plt.figure(figsize=(13, 7.5 + 0.5 * n_groups), layout="constrained")
    parts = figure.subfigures(3, 1, height_ratios=[4, 2 + 0.25 * n_groups, 2 + 0.25 * n_groups])
    one_shot = rows[~rows["finetuned"]].assign(repeat=rows["seed"])
    curve = one_shot[one_shot["model"] == "none"]
    left, middle, right = parts[0].subplots(1, 3)
    PruningCurveDisplay.from_frame(curve, ax=left)
    left.set_title("", loc="left")
    left.set_title("one-shot, no constraint (bands: all seeds)", fontsize="medium")
    tuned = summarise(rows[rows["finetuned"]]).reset_index()
    tuned = tuned.rename(
        columns={"gap": "accuracy_gap", "xi": "fairness_violation", "model": "method"}
    ).assign(repeat=tuned["seed"])
    for axis, violation in ((middle, "accuracy_gap"), (right, "fairness_violation")):
        TradeoffDisplay.from_frame(tuned, violation=violation, ax=axis)
        axis.set_title("fine-tuned (bars: all seeds)", fontsize="medium")
    left.legend(fontsize="x-small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    middle.get_legend().remove()
    if tuned["fairness_violation"].max() > 100 * tuned["fairness_violation"].min():
        right.set_xscale("log")  # some losses exploded
    frames = {model: by_group(one_shot[one_shot["model"] == model]) for model in ("none", "before")}
    risk = curve[curve["rate"] == RISK_RATES[-1]].groupby("group")["excessive_risk"].mean()
    theory = frames["none"].rename(columns={"hessian": "hessian_max_eigenvalue"})
    axes = parts[1].subplots(1, 5)
    GroupTheoryDisplay.from_frame(theory.assign(excessive_risk=risk), ax=axes)
    axes[0].set_title("training samples", fontsize="medium")
    axes[-1].set_title(f"excessive risk R,\none-shot at {RISK_RATES[-1]}", fontsize="medium")
    effects = {"no constraint": frames["none"], "equal losses": frames["before"]}
    axes = parts[2].subplots(1, 3)
    ConstraintEffectDisplay.from_frame(
        {name: frame.drop(columns="size") for name, frame in effects.items()}, ax=axes
    )
    figure.savefig(path, dpi=70)
    plt.close(figure)


def by_group(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the dense net's groups, mean over seeds."""
    # In the CSV, "size" is that of an image.
    dense = rows[rows["rate"] == 0].drop(columns="size").rename(columns={"train_count": "size"})
    columns = ["size", "accuracy", "gradient_norm", "boundary_closeness", "hessian"]
    return dense.groupby("group")[columns].mean()
