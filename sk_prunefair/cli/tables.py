"""Read tables of predictions: labels, predictions of both models, and groups."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sk_prunefair.cli.data import (
    check_columns,
    check_known,
    load_arrays,
    numbered_groups,
    read_tables,
)


def read_predictions(
    args: argparse.Namespace, paths: Sequence[Path], name: str = "--predictions"
) -> tuple[Any, Any, Any, pd.DataFrame]:
    """Return labels (of --predictions), both models' predictions, and groups, of all files."""
    is_labelled = name == "--predictions"
    if all(path.suffix.lower() == ".npz" for path in paths):
        arrays = [load_arrays(path) for path in paths]
        fields = ("y", "dense", "compressed", "groups")[not is_labelled :]
        for each in arrays:
            missing = [name for name in fields if name not in each]
            if missing:
                raise ValueError(
                    f"{name} must hold the arrays {list(fields)}, {missing[0]!r} is missing"
                )
        *truth, dense, compressed, groups = (
            np.concatenate([each[field] for each in arrays]) for field in fields
        )
        return next(iter(truth), None), dense, compressed, numbered_groups(groups)
    columns = [columns_of(args, "dense"), columns_of(args, "compressed")]
    taken = [*[label_of(args)] * is_labelled, *args.groups]
    texts = [*taken, *(c for each in columns if len(each) == 1 for c in each)]
    frames = [part for path in paths for part in read_tables(path, texts)]
    frame = pd.concat(frames, ignore_index=True)
    check_columns(frame, [*taken, *columns[0], *columns[1]], name)
    check_known(frame, texts, name)
    dense, compressed = (frame[each].to_numpy() for each in columns)
    y = frame[args.label].to_numpy() if is_labelled else None
    return y, dense, compressed, frame[list(args.groups)]


def label_of(args: argparse.Namespace) -> str:
    """Return the column of the labels; raise ValueError unless it and the groups are given."""
    if args.label is None or not args.groups:
        raise ValueError("--label and --groups must name columns of --predictions")
    return str(args.label)


def columns_of(args: argparse.Namespace, name: str) -> list[str]:
    """Return the columns of a model's labels or scores."""
    label, scores = getattr(args, f"{name}_pred"), getattr(args, f"{name}_scores")
    if (label is None) == (scores is None):
        raise ValueError(f"--predictions needs one of --{name}-pred and --{name}-scores")
    if scores is not None and len(scores) < 2:
        raise ValueError(f"--{name}-scores must name a column for each class, got {scores}")
    return [label] if label is not None else scores
