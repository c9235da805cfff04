"""Which room may import which: arrows run one way, for types as well."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sk_prunefair"

# Lower rooms first; a room imports itself and those of the rows above its own.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "checks",
        "deprecation",
        "seeds",
        "losses",
        "names",
        "outcome",
        "epochs",
        "nested",
        "bound",
        "ranks",
        "_skorch",
        "_version",
        "_lazy",
    ),
    ("stats", "data", "datasets", "modules", "tables", "autodiff", "fingerprint", "kept"),
    ("hooks", "skorch_state", "metrics", "onnx_model", "latency", "runs"),
    ("restore", "plotting", "promise"),
    ("audit", "acceptance"),
    ("pruning", "report"),
    ("constraints", "compression", "monitor", "documents"),
    ("protocol",),
    ("acceleration",),
    ("outputs", "requests", "parts", "net_state"),
    ("objective", "evaluation", "loop", "packed", "snapshot"),
    ("resume",),
    ("training",),
    ("net", "fitting", "theory", "export"),
    ("contenders", "net_parts"),
    ("fitted_net",),
    ("accelerated",),
    ("classifier", "compare"),
    ("mend", "selection"),
    ("distributed", "cli"),
    ("__init__", "__main__", "dataset"),
)
# What an upper room does for a lower one is imported where it is used, inside a function.
LATE = {
    ("report", "audit"),
    ("report", "plotting"),
    ("report", "documents"),
    ("plotting", "selection"),
}

# Lines of a file at most.
MOST_LINES = 300

ROOMS = {path.stem for path in PACKAGE.iterdir()}


def room(module: str) -> str:
    _, _, rest = module.partition(".")
    name = rest.split(".")[0]
    return name if name in ROOMS else "__init__"


def imports(path: Path):
    """Yield the modules of the package that a file imports, and whether inside a function."""
    tree = ast.parse(path.read_text())
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sk_prunefair"):
            # What is imported from a package may be one of its files.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if node.module != "sk_prunefair":
                names.append(node.module)
            for name in names:
                yield name, id(node) in late


@pytest.mark.slow
def test_rooms_import_only_what_is_below_them():
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert here in floor, f"a new room, {here}: say in FLOORS where it stands"
        for module, is_late in imports(path):
            there = room(module)
            may = there == here or floor[there] < floor[here]
            # The engine works on the core's protocol, which knows what a pruning leaves behind.
            is_engine = path.name == "engine.py" and there == "protocol"
            if not (may or is_engine or (is_late and (here, there) in LATE)):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, wrong


@pytest.mark.slow
def test_files_import_each_other_in_no_circle():
    files = {
        ".".join(("sk_prunefair", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in PACKAGE.rglob("*.py")
    }
    arrows = {
        name: {m for m, is_late in imports(path) if not is_late and m in files and m != name}
        for name, path in files.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' → '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for other in arrows[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in files:
        visit(name, ())


def test_files_of_the_package_have_300_lines_at_most():
    sizes = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert len(sizes) > 100
    long = {str(path.relative_to(PACKAGE)): n for path, n in sizes.items() if n > MOST_LINES}
    assert not long, f"split these by concept: {long}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "snippet", "attribute"),
    [
        (
            "constraints",
            "def f(net: TrainingNet) -> None:\n    net.pruning_.masks\n",
            "pruning_",
        ),
        ("pruning", "def f(net: CoreNet) -> None:\n    net.no_such_thing_\n", "no_such_thing_"),
        (
            "classifier",
            "def f(net: FairPrunedClassifier) -> None:\n    net.no_such_thing_\n",
            "no_such_thing_",
        ),
    ],
)
def test_attribute_that_no_net_has_is_an_error_of_the_type_checker(
    where, snippet, attribute, tmp_path
):
    head = (
        "from sk_prunefair import FairPrunedClassifier\n"
        "from sk_prunefair.hooks import TrainingNet\n"
        "from sk_prunefair.protocol import CoreNet\n\n"
    )
    file = tmp_path / f"bad_{where}.py"
    file.write_text(head + snippet)
    config = PACKAGE.parent / "setup.cfg"
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert ran.returncode == 1
    assert f'has no attribute "{attribute}"' in ran.stdout
    file.write_text(head)
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert ran.returncode == 0, ran.stdout
