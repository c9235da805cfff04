"""The command line of a study or a timing: its options, its cells or rounds, its page."""

from __future__ import annotations

import argparse
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.lib.harness import Cell, out_path, page_path, run_cells


def options(
    doc: str,
    *,
    tasks: Iterable[str] = (),
    methods: Iterable[str] = (),
    quick: str = "",
    n_jobs: int = 1,
    rounds: int = 0,
) -> argparse.ArgumentParser:
    """Return what reads the options that studies, or timings, have in common.

    Parameters
    ----------
    doc : str
        The script's docstring; its first line describes the command.
    tasks, methods : iterable of str
        Those there are, of which all run by default; without any there is no such option.
    quick : str
        What ``--quick`` does; without it there is no such option.
    n_jobs : int, default=1
        Cells at a time, by default; with 0 there is no such option, as timings run by themselves.
    rounds : int, default=0
        Turns of each contender of a timing, by default; with 0 there is no such option.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, known in (("--tasks", list(tasks)), ("--methods", list(methods))):
        if known:
            parser.add_argument(name, nargs="+", default=known, choices=known)
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="turns of each contender")
    if n_jobs:
        parser.add_argument("--n-jobs", type=int, default=n_jobs, help="cells at a time")
    else:
        parser.set_defaults(n_jobs=1)
    parser.add_argument("--out", type=Path, help="the CSV; the page is written beside it")
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    else:
        parser.set_defaults(quick=False)
    return parser


def run_study(
    script: str,
    args: argparse.Namespace,
    todo: list[Cell],
    work: Callable[..., list[dict[str, Any]]],
    write_page: Callable[[pd.DataFrame, Path], None],
    part: str = "",
) -> tuple[pd.DataFrame, Path]:
    """Run the cells that are missing, write the page, and return the rows and their file.

    Parameters
    ----------
    script : str
        The script's ``__file__``.
    args : argparse.Namespace
        What `options` read.
    todo : list of dict
        The cells.
    work : callable
        From a cell to its rows; where a cell has a quick form, it takes ``quick``.
    write_page : callable
        Takes all rows and the page's path.
    part : str
        Of a study with several tables, which one: it goes to ``rows_<part>.csv``.
    """
    out = out_path(script, args.out, args.quick)
    if part and args.out is None:
        out = out.with_name(f"{out.stem}_{part}.csv")
    if args.quick and "quick" in inspect.signature(work).parameters:
        work = functools.partial(work, quick=True)
    rows = run_cells(todo, work, out, args.n_jobs)
    write_page(rows, page_path(out))
    return rows, out


def keep_times(
    script: str,
    args: argparse.Namespace,
    times: pd.DataFrame,
    write_page: Callable[[pd.DataFrame, Path], None] | None = None,
) -> None:
    """Write the rows of a timing, then the page that is made of them, if any, and print it."""
    out = out_path(script, args.out, args.quick)
    times.to_csv(out, index=False, float_format="%.5g")
    if write_page is not None:
        write_page(pd.read_csv(out), page_path(out))
        print(page_path(out).read_text())
