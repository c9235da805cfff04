"""Run the examples and keep what they print, and a picture of their last report.

The site shows ``outputs/<example>.txt`` and ``pictures/gallery_<example>.png``, so that building it
takes a minute and no data. Run ``python docs/site_outputs.py [example …]``; data sets are looked
for in the folder ``SK_PRUNEFAIR_DATA``.
"""

import contextlib
import io
import os
import runpy
import sys
import tempfile
from pathlib import Path
from unittest import mock

import matplotlib as mpl

from sk_prunefair import FairnessReport
from sk_prunefair.plotting import GroupRiskDisplay

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
# What an example takes on its command line, where that is not the folder of the data.
ARGUMENTS: dict[str, list[str]] = {
    "theory": ["--data", os.environ.get("SK_PRUNEFAIR_DATA", "")],
    "quickstart": [],
    "own_constraint": [],
    "pretrained": [],
    "transformer": [],
    "audit_page": [],
    "monitor": [],
    "dask_sweep": [],
    "ray_sweep": [],
    "ray_tune": [],
    "several_processes": [],
    "optuna_search": [],
}


def run(name: str) -> tuple[str, FairnessReport | None]:
    """Run an example in a folder of its own; return what it printed and its last report."""
    printed: list[FairnessReport] = []
    text_of = FairnessReport.__str__

    def noted(report: FairnessReport) -> str:
        printed.append(report)
        return text_of(report)

    arguments = ARGUMENTS.get(name, [os.environ.get("SK_PRUNEFAIR_DATA", "")])
    out = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", [name, *arguments]),
        mock.patch.object(FairnessReport, "__str__", noted),
        contextlib.redirect_stdout(out),
    ):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return out.getvalue(), printed[-1] if printed else None


def main() -> None:
    """Run the named examples, or all of them."""
    mpl.use("agg")
    (DOCS / "outputs").mkdir(exist_ok=True)
    for name in sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.py")):
        text, report = run(name)
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        (DOCS / "outputs" / f"{name}.txt").write_text(lines + "\n")
        if report is not None:
            figure = GroupRiskDisplay.from_frame(report.to_frame()).figure_
            figure.savefig(DOCS / "pictures" / f"gallery_{name}.png", dpi=80, bbox_inches="tight")
        print(name)


if __name__ == "__main__":
    main()
