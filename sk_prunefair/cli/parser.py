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
        prog="sk-prunefair", description="Know what a compression did to every group."
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
    add = audit.add_argument_group("what is compared", "one of three").add_argument
    add("--dense", metavar="MODEL", help="the model before: .onnx, .pt2 or module:name")
    add("--compressed", metavar="MODEL", help="the model after")
    add("--net", type=Path, help="file of save_compact(clf, path, dense=True), of both nets")
    add("--estimator", metavar="MODULE:NAME", help="what makes the classifier of --net")
    help_predictions = (
        ".csv or .parquet with columns of what both predict, or .npz with the arrays y, groups, "
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
    add("--classes", nargs="+", metavar="LABEL", help="what the columns of scores stand for")
    add(
        "--names",
        nargs=2,
        default=("dense", "compressed"),
        metavar=("BEFORE", "AFTER"),
        help="what to call the two models (dense compressed)",
    )


def _add_data(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("data", "read in parts where the models can be").add_argument
    help_data = (
        ".csv or .parquet with named columns, or .npz with the arrays X, or one for each input of "
        "the net, y, groups; several files are read one after the other"
    )
    add("--data", nargs="+", type=Path, metavar="FILE", help=help_data)
    add("--label", metavar="COLUMN", help="what is predicted")
    add(
        "--groups",
        nargs="+",
        metavar="COLUMN",
        help="columns that make the groups; they intersect, and stay texts",
    )
    add(
        "--features",
        nargs="+",
        metavar="COLUMN",
        help="default: all others; in the model's order where it knows no names",
    )
    add("--drop", nargs="+", metavar="COLUMN", help="columns that are neither")
    add(
        "--preprocess",
        metavar="MODULE:NAME",
        help="function from a table to features, or a fitted transformer, for raw tables",
    )
    add(
        "--chunk-rows",
        type=int,
        metavar="N",
        help="read so many rows at a time and keep sums: files may be larger than memory; what "
        "needs single rows, exemplars.csv, is left out",
    )
    add("--curve", nargs="+", type=float, metavar="RATE", help="also prune --net to these rates")
    add(
        "--train",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="training data, to fine-tune each rate of --curve as --estimator says",
    )


def _add_outputs(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("what is written").add_argument
    add("--out", type=Path, metavar="PAGE", help="HTML page")
    add("--tables", type=Path, metavar="FOLDER", help="folder for CSV tables")
    add("--json", type=Path, metavar="FILE", help="all figures, with their intervals")
    add("--markdown", type=Path, metavar="FILE", help="for the comment on a pull request")
    add("--junit", type=Path, metavar="FILE", help="test results as CI servers read them")
    help_documents = (
        "folder for a CycloneDX model card, accuracy by group for a technical documentation and, "
        "of columns sex and race, impact ratios"
    )
    add("--documents", type=Path, metavar="FOLDER", help=help_documents)
    add("--title", help="of page and comment")
    help_latency = (
        "also measure how long the models take, turn by turn, for so many samples at once (1 64), "
        "with one thread and all"
    )
    add("--latency", nargs="*", type=int, metavar="N", help=help_latency)
    pictures = audit.add_mutually_exclusive_group()
    pictures.add_argument("--pictures", action="store_true", help="what matplotlib draws, too")
    pictures.add_argument("--no-pictures", action="store_true", help=argparse.SUPPRESS)


def _add_promise(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument_group("promise", "what must hold for every group, tested").add_argument
    help_drop = (
        "most that a group may lose of accuracy, and of the recall of each class where it has rows "
        "enough"
    )
    add("--max-accuracy-drop", type=float, metavar="DROP", help=help_drop)
    add(
        "--criteria",
        nargs="+",
        metavar="NAME",
        help="what may not fall instead: accuracy, balanced_accuracy, recall, tpr:LABEL, "
        "fpr:LABEL, selection_rate:LABEL, loss",
    )
    add("--max-violation", type=float, metavar="XI", help="most that ξ may be, besides")
    add(
        "--harmless",
        type=float,
        metavar="DELTA",
        help="also: no group loses more accuracy than another by this",
    )
    add("--loss-bound", type=float, default=5.0, help="losses are clipped to it for ξ (5)")
    help_unlabelled = (
        "rows without label, with the same columns but --label, or the same arrays but y: they "
        "count for the promise on accuracy and selection rates, and for nothing else"
    )
    add("--unlabelled", nargs="+", type=Path, metavar="FILE", help=help_unlabelled)
    add("--confidence", type=float, default=0.95, help="of the tests (0.95)")
    help_accept = (
        "acceptance criteria, beside the promise or without one: a .json file or, with the extra "
        "yaml, a YAML file"
    )
    add("--accept", type=Path, metavar="FILE", help=help_accept)
