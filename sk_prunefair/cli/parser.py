"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

_EPILOG = """\
examples:
  sk-prunefair audit --dense dense.onnx --compressed int8.onnx \\
      --data test.csv --label income --groups race sex \\
      --max-accuracy-drop 0.02 --out audit.html --json audit.json

  sk-prunefair audit --predictions answers.csv --label y --groups race \\
      --dense-scores a0 a1 --compressed-scores b0 b1

  sk-prunefair audit --estimator model:make --net net.zip \\
      --data test.csv --label income --groups race sex

A model is an .onnx file, a .pt2 file, or module:name of a fitted estimator, a torch module or a
function. net.zip was written by sk_prunefair.export.save_compact(clf, "net.zip", dense=True), and
model.py has a function make() that returns an unfitted FairPrunedClassifier.

exit status: 0 the promise and the criteria are kept, or none were given; 1 they are not, as far as
the data can tell, or the compressed model gives every sample one label, or none a label that the
dense one gave; 2 the audit could not be made.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all options."""
    from sk_prunefair._version import __version__

    parser = argparse.ArgumentParser(
        prog="sk-prunefair", description="Report the effect of a compression on every group."
    )
    parser.add_argument("--version", action="version", version=f"sk_prunefair {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    audit = commands.add_parser(
        "audit",
        help="compare a compressed classifier with the dense one, group by group",
        description="Compare a compressed classifier with the dense one, group by group.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_subjects(audit)
    _add_data(audit)
    _add_outputs(audit)
    _add_promise(audit)
    return parser


def _add_subjects(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("models or predictions to compare", "one of three").add_argument
    add("--dense", metavar="MODEL", help="the model before: .onnx, .pt2 or module:name")
    add("--compressed", metavar="MODEL", help="the model after")
    add("--net", type=Path, help="file of save_compact(clf, path, dense=True), of both nets")
    add(
        "--estimator",
        metavar="MODULE:NAME",
        help="classifier of --net, or a function that returns it",
    )
    help_predictions = (
        ".csv or .parquet with columns of both models' predictions, or .npz with the arrays y, "
        "groups, "
        "dense and compressed"
    )
    add("--predictions", nargs="+", type=Path, metavar="FILE", help=help_predictions)
    for name in ("dense", "compressed"):
        add(f"--{name}-pred", metavar="COLUMN", help=f"labels that the {name} model predicts")
        add(
            f"--{name}-scores",
            nargs="+",
            metavar="COLUMN",
            help="its probabilities, one column for each class",
        )
    add("--classes", nargs="+", metavar="LABEL", help="labels of the columns of scores")
    add(
        "--names",
        nargs=2,
        default=("dense", "compressed"),
        metavar=("BEFORE", "AFTER"),
        help="names of the two models (dense compressed)",
    )


def _add_data(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("data", "read in parts if the models allow it").add_argument
    help_data = (
        ".csv or .parquet with named columns, or .npz with the arrays X, or one for each input of "
        "the net, y, groups; several files are read one after the other"
    )
    add("--data", nargs="+", type=Path, metavar="FILE", help=help_data)
    add("--label", metavar="COLUMN", help="column of the labels")
    add(
        "--groups",
        nargs="+",
        metavar="COLUMN",
        help="columns that define the groups; they intersect, and are read as strings",
    )
    add(
        "--features",
        nargs="+",
        metavar="COLUMN",
        help="default: all other columns; in the model's order if it has no feature names",
    )
    add("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    add(
        "--preprocess",
        metavar="MODULE:NAME",
        help="function from a table to features, or a fitted transformer, for raw tables",
    )
    add(
        "--chunk-rows",
        type=int,
        metavar="N",
        help="read N rows at a time and keep sums, for files larger than memory; outputs that need "
        "single rows, such as exemplars.csv, are left out",
    )
    add("--curve", nargs="+", type=float, metavar="RATE", help="also prune --net to these rates")
    add(
        "--train",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="training data, to fine-tune each rate of --curve with the settings of --estimator",
    )


def _add_outputs(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("outputs").add_argument
    add("--out", type=Path, metavar="PAGE", help="HTML page")
    add("--tables", type=Path, metavar="FOLDER", help="folder for CSV tables")
    add("--json", type=Path, metavar="FILE", help="all figures, with their intervals")
    add("--markdown", type=Path, metavar="FILE", help="text for a comment on a pull request")
    add("--junit", type=Path, metavar="FILE", help="test results in JUnit's format, for CI servers")
    help_documents = (
        "folder for a CycloneDX model card, accuracy by group for a technical documentation and, "
        "with columns sex and race, impact ratios"
    )
    add("--documents", type=Path, metavar="FOLDER", help=help_documents)
    add("--title", help="title of page and comment")
    help_latency = (
        "also measure how long the models take for batches of N samples (1 64), with one thread "
        "and "
        "with all"
    )
    add("--latency", nargs="*", type=int, metavar="N", help=help_latency)
    pictures = audit.add_mutually_exclusive_group()
    pictures.add_argument("--pictures", action="store_true", help="add pictures by matplotlib")
    pictures.add_argument("--no-pictures", action="store_true", help=argparse.SUPPRESS)


def _add_promise(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("promise", "tested for every group").add_argument
    help_drop = (
        "accepted loss of a group's accuracy, and of its recall of each class with enough rows"
    )
    add("--max-accuracy-drop", type=float, metavar="DROP", help=help_drop)
    add(
        "--criteria",
        nargs="+",
        metavar="NAME",
        help="values to test instead: accuracy, balanced_accuracy, recall, tpr:LABEL, fpr:LABEL, "
        "selection_rate:LABEL, loss",
    )
    add(
        "--max-violation",
        type=float,
        metavar="XI",
        help="accepted fairness violation ξ, in addition",
    )
    add(
        "--harmless",
        type=float,
        metavar="DELTA",
        help="accepted difference between the accuracy drops of two groups, in addition",
    )
    add("--loss-bound", type=float, default=5.0, help="bound at which losses are clipped for ξ (5)")
    help_unlabelled = (
        "rows without label, with the same columns but --label, or the same arrays but y: they "
        "count for the promise on accuracy and selection rates, and for nothing else"
    )
    add("--unlabelled", nargs="+", type=Path, metavar="FILE", help=help_unlabelled)
    add("--confidence", type=float, default=0.95, help="confidence of the tests (0.95)")
    help_accept = (
        "acceptance criteria, with or without a promise: a .json file or, with the extra yaml, a "
        "YAML file"
    )
    add("--accept", type=Path, metavar="FILE", help=help_accept)
