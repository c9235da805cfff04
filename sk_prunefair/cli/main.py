"""The command ``sk-prunefair audit``: audit two models or tables of their predictions.

No code in a data file, a file of `sk_prunefair.export.save_compact` or an ONNX file is executed;
objects given as ``module:name`` are imported.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from sk_prunefair.cli.parser import make_parser
from sk_prunefair.promise import Promise, Verdict

KEPT, BROKEN, FAILED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 if promise and acceptance criteria are kept or none were given; 1 if they are not kept, as
        far as the data show, or if the compressed model predicts one label for all samples or no
        longer predicts a label of the dense one; 2 if the audit could not be made, with the reason
        on standard error.

    Examples
    --------
    >>> main(["audit", "--net", "missing.zip", "--estimator", "m:n", "--data", "d.csv"])
    2
    """
    args = make_parser().parse_args(argv)
    try:
        return _audit(args)
    except (ValueError, TypeError, ImportError, OSError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        print(f"error: {text}", file=sys.stderr)
    except Exception as error:  # user code; status 1 would mean a broken promise
        traceback.print_exc()
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    return FAILED


def _audit(args: argparse.Namespace) -> int:
    from sk_prunefair.acceptance import read_criteria
    from sk_prunefair.cli.outputs import write_outputs
    from sk_prunefair.cli.reports import WITHOUT_LABEL, make_report

    _check_promise(args)
    criteria = None if args.accept is None else read_criteria(args.accept)
    audit = make_report(args)
    report = audit.report
    verdict: Verdict | None = None
    if args.max_accuracy_drop is not None:
        verdict = report.promise(
            args.max_accuracy_drop,
            max_violation=args.max_violation,
            criteria=args.criteria,
            harmless=args.harmless,
            loss_bound=args.loss_bound,
            confidence=args.confidence,
            unlabelled=audit.unlabelled,
        )
    acceptance = None if criteria is None else report.accept(criteria)
    lost = report.label_findings
    approved = all(each is None or each.kept for each in (verdict, acceptance)) and not lost
    write_outputs(args, audit, verdict, acceptance, approved)
    print(report)
    if verdict is not None:
        print(f"\n{verdict}")
    if acceptance is not None:
        print(f"\n{acceptance}")
    if lost and verdict is None and acceptance is None:
        print(f"\nnot approved: {'; '.join(lost)}")
    for fact in (WITHOUT_LABEL, "Other pruning rates"):
        if fact in audit.facts:
            print(f"\n{fact[0].lower()}{fact[1:]}: {audit.facts[fact]}")
    return KEPT if approved else BROKEN


def _check_promise(args: argparse.Namespace) -> None:
    """Raise ValueError for an invalid promise, before anything is loaded."""
    if args.max_accuracy_drop is not None:
        Promise(args.max_accuracy_drop, args.max_violation, args.loss_bound, args.confidence)
        return
    for option in ("max_violation", "criteria", "harmless", "unlabelled"):
        if getattr(args, option) is not None:
            name = option.replace("_", "-")
            raise ValueError(f"--{name} needs --max-accuracy-drop")
