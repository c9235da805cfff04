"""Run the examples and keep what they print, and a picture of their groups.

The site shows ``outputs/<example>.txt`` and ``pictures/gallery_<example>.png``, so that building it
takes a minute and no data. Run ``python docs/site_outputs.py [example …]``; data sets are looked
for in the folder ``SK_PRUNEFAIR_DATA``.
"""

import contextlib
import io
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib as mpl

from sk_prunefair import FairnessReport
from sk_prunefair.plotting import GroupRiskDisplay, PruningCurveDisplay

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Ray prints its folders otherwise
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
# What is drawn of an example's names, where that is not the groups of its last printed report.
DISPLAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "how_far": lambda names: PruningCurveDisplay.from_frame(names["curve"]),
    "audit_int8": lambda names: names["reports"][1].plot(),
}


def run(name: str) -> tuple[str, Any]:
    """Run an example in a folder of its own; return what it printed and a display, or None."""
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
        names = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        if name in DISPLAYS:
            return out.getvalue(), DISPLAYS[name](names)
    return out.getvalue(), GroupRiskDisplay.from_frame(printed[-1].to_frame()) if printed else None


def printed_by_two_processes(name: str) -> str:
    """Return what an example prints when torchrun starts two processes of it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    script = str(EXAMPLES / f"{name}.py")
    return subprocess.run([*command, script], capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Run the named examples, or all of them."""
    mpl.use("agg")
    (DOCS / "outputs").mkdir(exist_ok=True)
    for name in sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.py")):
        began = sum(os.times()[:4])
        text, display = run(name)
        seconds = sum(os.times()[:4]) - began
        if name == "several_processes":
            text = printed_by_two_processes(name)
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        (DOCS / "outputs" / f"{name}.txt").write_text(lines + "\n")
        if display is not None:
            picture = DOCS / "pictures" / f"gallery_{name}.png"
            display.figure_.savefig(picture, dpi=80, bbox_inches="tight")
        print(f"{name}: {seconds:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
