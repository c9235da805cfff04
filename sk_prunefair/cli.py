"""The command line, ``python -m sk_prunefair audit``: a saved net and arrays in, an audit out.

A net comes from a file of `sk_prunefair.export.save_compact` with ``dense=True``, from which
nothing is executed, and its architecture from code that the user names. Data is as the net takes
it: what a Pipeline does before the classifier has been done.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from sk_prunefair._audit_files import read_data, write_tables
from sk_prunefair.classifier import FairPrunedClassifier
from sk_prunefair.export.compact import holds_dense, load_compact
from sk_prunefair.promise import Promise, label_findings
from sk_prunefair.selection import pruning_curve

KEPT, BROKEN, FAILED = 0, 1, 2
_EPILOG = """\
example:
  python -m sk_prunefair audit --estimator model:make --net net.zip \\
      --data test.csv --label income --groups race sex \\
      --out audit.html --max-accuracy-drop 0.02

where model.py has a function make() that returns an unfitted FairPrunedClassifier, and net.zip was
written by sk_prunefair.export.save_compact(clf, "net.zip", dense=True).

exit status: 0 the promise is kept, or none was given; 1 it is not, as far as the data can tell, or
the pruned net gives every sample one label, or none a label that the dense net gave; 2 the
audit could not be made.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 if the promise is kept or none was given, 1 if it is not kept as far as the data can tell
        or, promise or none, if the pruned net gives every sample one label, or none a label that
        the dense net gave, 2 if the audit could not be made; then standard error says why.

    Examples
    --------
    >>> main(["audit", "--net", "missing.zip", "--estimator", "m:n", "--data", "d.csv"])
    2
    """
    args = _parser().parse_args(argv)
    try:
        return _audit(args)
    except (ValueError, TypeError, ImportError, OSError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        print(f"error: {text}", file=sys.stderr)
        return FAILED


def _audit(args: argparse.Namespace) -> int:
    _check_promise(args)
    if not holds_dense(args.net):
        raise ValueError(
            f"--net {args.net} holds the pruned net alone, and nothing to compare it with: write "
            "it by save_compact(clf, path, dense=True)"
        )
    clf = load_compact(args.net, _estimator(args.estimator))
    data = read_data(
        args.data,
        label=args.label,
        groups=args.groups,
        features=args.features,
        names=_feature_names(clf),
    )
    _check_labels(data.y, clf.classes_)
    report = clf.fairness_report(data.X, data.y, sensitive_features=data.groups)
    curve = None
    if args.curve:
        curve = pruning_curve(
            clf, data.X, data.y, sensitive_features=data.groups, rates=args.curve, verbose=0
        )
    verdict, judged = None, None
    if args.max_accuracy_drop is not None:
        judged = report.promise(
            args.max_accuracy_drop,
            max_violation=args.max_violation,
            loss_bound=args.loss_bound,
            confidence=args.confidence,
        )
        verdict = judged.sentence
    if args.out is not None:
        facts = {"Data": args.data.name, "Model": args.net.name}
        if verdict is not None:
            facts["Promise"] = verdict
        report.to_html(
            args.out, title=args.title, curve=curve, facts=facts, pictures=not args.no_pictures
        )
    if args.tables is not None:
        write_tables(args.tables, report, curve, None if judged is None else judged.table)
    print(report)
    dense, pruned = report.outcomes
    lost = label_findings(dense, pruned, report.labels)
    if judged is not None:
        print(f"\n{judged}")
    elif lost:
        print(f"\nnot approved: {'; '.join(lost)}")
    return KEPT if (judged is None or judged.kept) and not lost else BROKEN


def _check_promise(args: argparse.Namespace) -> None:
    """Raise ValueError for a promise that makes no sense, before anything is loaded."""
    if args.max_accuracy_drop is not None:
        Promise(args.max_accuracy_drop, args.max_violation, args.loss_bound, args.confidence)
    elif args.max_violation is not None:
        raise ValueError("--max-violation goes with --max-accuracy-drop, which is missing")


def _estimator(name: str) -> FairPrunedClassifier:
    """Import what ``module:name`` names, from the current folder or the path, and make it."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"--estimator must be module:name, got {name!r}")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module_name), attribute, None)
    finally:
        sys.path.remove("")
    if made is None:
        raise ValueError(f"--estimator {name}: module {module_name} has no {attribute!r}")
    estimator = clone(made) if isinstance(made, FairPrunedClassifier) else made
    if callable(estimator) and not isinstance(estimator, FairPrunedClassifier):
        estimator = estimator()
    if not isinstance(estimator, FairPrunedClassifier):
        raise TypeError(
            f"--estimator {name} must be a FairPrunedClassifier, or a function without arguments "
            f"that returns one; got {type(estimator).__name__}"
        )
    return estimator


def _feature_names(clf: FairPrunedClassifier) -> list[str] | None:
    names = getattr(clf, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _check_labels(y: npt.NDArray[Any], classes: npt.NDArray[Any]) -> None:
    unknown = [label for label in pd.unique(y) if label not in set(classes.tolist())]
    if unknown:
        raise ValueError(
            f"the labels of --data must be among {classes.tolist()[:20]}, which the net knows; got "
            f"{unknown[:5]}"
        )


def _parser() -> argparse.ArgumentParser:
    from sk_prunefair._version import __version__

    parser = argparse.ArgumentParser(
        prog="python -m sk_prunefair", description="Know what pruning did to every group."
    )
    parser.add_argument("--version", action="version", version=f"sk_prunefair {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    audit = commands.add_parser(
        "audit",
        help="compare a pruned net with its dense net, group by group",
        description="Compare a pruned net with its dense net on data, group by group. The data "
        "must be as the net takes it, with no preprocessing left to do.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = audit.add_argument
    add("--estimator", required=True, metavar="MODULE:NAME", help="what makes the classifier")
    add("--net", required=True, type=Path, help="file of save_compact(clf, path, dense=True)")
    help_data = (
        ".csv or .parquet with named columns, or .npz with the arrays X, or one for each input of "
        "the net, y, groups"
    )
    add("--data", required=True, type=Path, help=help_data)
    add("--label", metavar="COLUMN", help="what is predicted")
    add(
        "--groups", nargs="+", metavar="COLUMN", help="columns that make the groups; they intersect"
    )
    add(
        "--features",
        nargs="+",
        metavar="COLUMN",
        help="default: all others; in the net's order where its file has no names",
    )
    add("--out", type=Path, metavar="PAGE", help="HTML page to write")
    add("--tables", type=Path, metavar="FOLDER", help="folder for CSV tables")
    add("--title", default="What pruning did to each group", help="of the page")
    add("--no-pictures", action="store_true", help="a page without matplotlib")
    add("--curve", nargs="+", type=float, metavar="RATE", help="also prune to these rates")
    promise = audit.add_argument_group("promise", "what must hold for every group, tested")
    add = promise.add_argument
    add(
        "--max-accuracy-drop",
        type=float,
        metavar="DROP",
        help="most that a group may lose of "
        "accuracy, and of the recall of each class where it has rows enough",
    )
    add("--max-violation", type=float, metavar="XI", help="most that ξ may be, besides")
    add("--loss-bound", type=float, default=5.0, help="losses are clipped to it for ξ (5)")
    add("--confidence", type=float, default=0.95, help="of the tests (0.95)")
    return parser
