"""The page of the poster's benchmark, from its CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, t

from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.tables import mean_and_spread

RUN = ["task", "net"]
NET = [*RUN, "seed", "model", "finetuned", "rate"]
N_LABELS = {"faces_gender": 2}  # elsewhere there are as many as groups
GAP_RATES = (0.3, 0.5, 0.7)
RISK_RATES = (0.5, 0.7)
HIGH = (0.9, 0.95)
PAGE = Path(__file__).with_name("page.md")
CLAIMS = {
    **{
        f"gap_{rate}": (
            "Pruning widens the gap" if rate == GAP_RATES[0] else "… at higher rates",
            f"accuracy gap one-shot at {rate}, minus that of the dense net",
            1,
        )
        for rate in GAP_RATES
    },
    "gap_tuned": ("… even fine-tuned", "the same, fine-tuned at 0.9", 1),
    **{
        f"{name}_{rate}": (
            claim if rate == RISK_RATES[0] else "… at a higher rate",
            f"rank correlation of {of} and R(a), one-shot at {rate}",
            1,
        )
        for name, claim, of in (
            ("risk_gradient", "Larger gradients, larger excessive risk", "gradient norm"),
            ("risk_hessian", "Larger Hessians, larger excessive risk", "the top eigenvalue"),
        )
        for rate in RISK_RATES
    },
    "risk_accuracy": (
        "*Not the poster's:* groups served well lose more",
        f"rank correlation of dense accuracy and R(a), one-shot at {RISK_RATES[-1]}",
        1,
    ),
    "size": (
        "Smaller groups have larger gradients",
        "rank correlation of size and gradient norm",
        -1,
    ),
    "accuracy": (
        "Less accurate groups have larger gradients",
        "rank correlation of accuracy and gradient norm",
        -1,
    ),
    "hessian": (
        "Hessians follow closeness to the boundary",
        "rank correlation of f(1 - f) and the top eigenvalue",
        1,
    ),
    "level_accuracy": (
        "Equal losses level accuracies",
        "log of range with ÷ range without, dense nets",
        -1,
    ),
    "level_gradient": ("… and gradients", "the same of gradient norms", -1),
    "level_closeness": ("… and distances to the boundary", "the same of f(1 - f)", -1),
    "after_gap": (
        "*After* beats *before* at 0.9 and 0.95",
        "accuracy gap of *before* minus that of *after*",
        1,
    ),
    "after_xi": ("… in ξ", "ξ of *before* minus that of *after*", 1),
    "after_balanced": ("… in the mean over groups", "that of *after* minus that of *before*", 1),
    "both_gap": (
        "*Both* beats *before* at 0.9 and 0.95",
        "accuracy gap of *before* minus that of *both*",
        1,
    ),
    "both_xi": ("… in ξ", "ξ of *before* minus that of *both*", 1),
    "both_balanced": ("… in the mean over groups", "that of *both* minus that of *before*", 1),
}
# Those on equal losses, which depend on how losses are made equal.
ON_EQUAL_LOSSES = [name for name in CLAIMS if name.startswith(("level", "after", "both"))]


def write_page(rows: pd.DataFrame, path: Path) -> None:
    """Write claims and tables of whatever cells there are."""
    nets = summarise(rows)
    claims = claim_table(measure_all(rows, nets))
    parts = [head(rows), "## Claim by claim", claims]
    write(path, [*parts, *net_tables(nets)])


def write_dual(rows: pd.DataFrame, path: Path) -> None:
    """Write the claims on equal losses and the tables, where the authors' dual makes them."""
    write_equal_losses(rows, path, "page_dual.md")


def write_default(rows: pd.DataFrame, path: Path) -> None:
    """Write the same of today's default, and of the recipe."""
    write_equal_losses(rows, path, "page_default.md")


def write_equal_losses(rows: pd.DataFrame, path: Path, page: str) -> None:
    """Write the claims on equal losses and the tables below what a page says of itself."""
    nets = summarise(rows)
    claims = claim_table(measure_all(rows, nets), ON_EQUAL_LOSSES)
    write(path, [by_hand(PAGE.with_name(page)), claims, *net_tables(nets)])


def head(rows: pd.DataFrame) -> str:
    """Return what the page is about, with the sizes of the nets."""
    widths = rows.drop_duplicates(["net", "width"])
    nets = [f"{net} of width {width}" for net, width in zip(widths.net, widths.width, strict=True)]
    said = f"The nets: {', '.join(nets)}; trained on some {rows['n_train'].iloc[0]:,} images"
    return re.sub("The nets: .* images", said, by_hand(PAGE))


def is_whole(rows: pd.DataFrame) -> bool:
    """Tell whether all four models of a seed are there; there may be a fifth."""
    return rows["model"].nunique() >= 4


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per net: accuracies over all rows and groups, accuracy gap, ξ.

    Also whether it predicts, which one that guesses does not.
    """
    by_net = rows.assign(right=rows["accuracy"] * rows["count"]).groupby(NET, sort=False)
    accuracy, risk = by_net["accuracy"], by_net["excessive_risk"]
    n_labels, balanced = accuracy.size(), accuracy.mean()
    for task, n in N_LABELS.items():
        n_labels[n_labels.index.get_level_values("task") == task] = n
    return pd.DataFrame(
        {
            "accuracy": by_net["right"].sum() / by_net["count"].sum(),
            "balanced": balanced,
            "worst": accuracy.min(),
            "gap": accuracy.max() - accuracy.min(),
            "xi": risk.max() - risk.min(),
            # Five points above guessing; below, gaps are arithmetic.
            "predicts": balanced > 1 / n_labels + 0.05,
        }
    ).reset_index(["model", "finetuned", "rate"])


def measure_all(rows: pd.DataFrame, nets: pd.DataFrame) -> pd.DataFrame:
    """Return what each claim is about, one row for each run and seed that is whole."""
    return pd.DataFrame(
        [
            {"task": task, "net": net, "seed": seed} | measure(own, nets.loc[(task, net, seed)])
            for (task, net, seed), own in rows.groupby([*RUN, "seed"], sort=False)
            if is_whole(own)
        ]
    )


def measure(rows: pd.DataFrame, nets: pd.DataFrame) -> dict[str, float]:
    """Return what each claim is about, of one seed of one run."""
    dense = {
        model: part.set_index("group")
        for model, part in rows[(rows["rate"] == 0) & ~rows["finetuned"]].groupby("model")
    }
    plain = dense["none"]
    ours = nets[nets["model"] == "none"].set_index(["finetuned", "rate"])
    gap = ours["gap"].where(ours["predicts"]) - ours.at[(False, 0.0), "gap"]
    out = {f"gap_{rate}": gap[(False, rate)] for rate in GAP_RATES}
    out["gap_tuned"] = gap[(True, 0.9)]
    one_shot = rows[(rows["model"] == "none") & ~rows["finetuned"]]
    for rate in RISK_RATES:
        risk = one_shot[one_shot["rate"] == rate].set_index("group")["excessive_risk"]
        out[f"risk_gradient_{rate}"] = rank_correlation(plain["gradient_norm"], risk)
        out[f"risk_hessian_{rate}"] = rank_correlation(plain["hessian"], risk)
    out["risk_accuracy"] = rank_correlation(plain["accuracy"], risk)
    out |= {
        "size": rank_correlation(plain["train_count"], plain["gradient_norm"]),
        "accuracy": rank_correlation(plain["accuracy"], plain["gradient_norm"]),
        "hessian": rank_correlation(plain["boundary_closeness"], plain["hessian"]),
    }
    levelled = {
        "accuracy": "accuracy",
        "gradient": "gradient_norm",
        "closeness": "boundary_closeness",
    }
    for name, column in levelled.items():
        ranges = {model: np.ptp(dense[model][column]) for model in ("none", "before")}
        out[f"level_{name}"] = float(np.log(ranges["before"] / ranges["none"]))
    high = nets[nets["finetuned"] & nets["rate"].isin(HIGH)].set_index(["model", "rate"])
    before = high.loc["before"]
    for model in ("after", "both"):
        after = high.loc[model]
        predict = before["predicts"] & after["predicts"]
        for name in ("gap", "xi"):
            out[f"{model}_{name}"] = float((before[name] - after[name])[predict].mean())
        out[f"{model}_balanced"] = float((after["balanced"] - before["balanced"]).mean())
    return out


def rank_correlation(a: pd.Series, b: pd.Series) -> float:
    """Return Spearman's over groups; NaN where all groups are alike."""
    b = b.reindex(a.index)
    return float(spearmanr(a, b).statistic) if a.nunique() > 1 and b.nunique() > 1 else np.nan


def claim_table(claims: pd.DataFrame, names: Iterable[str] = CLAIMS) -> str:
    """Return, claim by claim and run by run, mean ± standard deviation and who is right."""
    if claims.empty:
        return "No run is complete yet."
    lines = []
    for name in names:
        claim, what, sign = CLAIMS[name]
        values = claims[name].dropna()
        n_agree = int((values * sign > 0).sum())
        line = {"the poster": claim, "measured": what, "as it says": f"{n_agree} of {len(values)}"}
        for (task, net), part in claims.groupby(RUN, sort=False):
            line[f"{task}, {net}"] = verdict(part[name].dropna(), sign)
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def verdict(values: pd.Series, sign: int) -> str:
    """Say whether the values are on the poster's side by more than chance among the seeds."""
    if values.empty:
        return "nothing to tell"
    mean, n = values.mean(), len(values)
    if n == 1:
        return f"{mean:+.2f} (one seed)"
    spread = values.std()
    word = "undecided"
    if n > 2 and abs(mean) > t.ppf(0.95, n - 1) * spread / n**0.5:
        word = "agrees" if mean * sign > 0 else "disagrees"
    return f"{mean:+.2f} ± {spread:.2f} {word}"


def net_tables(nets: pd.DataFrame) -> list[str]:
    """Return a heading and a table for each run."""
    parts = []
    for (task, net), part in nets.groupby(RUN, sort=False):
        parts.append(f"## {task}, {net} (seeds: {part.index.unique('seed').size})")
        parts.append(net_table(part))
    return parts


def net_table(nets: pd.DataFrame) -> str:
    """Return mean ± standard deviation of each model at each rate, the mean alone of one seed."""
    nets = nets.assign(way=np.where(nets["finetuned"], "fine-tuned", "one-shot"))
    grouped = nets.groupby(["way", "model", "rate"], sort=False)
    shown = mean_and_spread(grouped[["accuracy", "balanced", "worst", "gap", "xi"]], digits=2)
    return markdown(shown)
