"""Change the code in small ways and see whether a test notices.

    python tests/mutants.py --sample 10 sk_prunefair/stats/betting.py sk_prunefair/constraints

Of each file a sample of mutants is drawn, the same ones for a seed. Tests run in a fork into which
the mutant is imported, so that no file changes: first the doctests of the file and the tests of
its own; of survivors also the others of its room. What was found is kept, a line of JSON each, in
`--keep`; what stands there as killed is not run again. `tests/MUTANTS.md` says what came of them.

Left out is what no result shows: types, messages, checks of lengths by `strict`, sizes of caches.

Not mutmut: it runs all tests once, to learn which cover what, and has no sample of mutants.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = [f"sk_prunefair/{room}" for room in ("stats", "constraints", "pruning", "data", "report")]
# Where more of a room is tested than in the folder of its name.
ALSO = {
    "data": ["integration/test_inputs.py", "integration/test_bad_input.py", "test_ranks.py"],
    "pruning": ["test_classifier.py"],
    "report": ["test_classifier.py", "promise", "compare/test_compare.py"],
}
MEMORY = 16 << 30
PARTNERS = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult], ast.Mod: [ast.Mult], ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd], ast.And: [ast.Or], ast.Or: [ast.And],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
}  # fmt: skip
NAMES = [
    ("min", "max"), ("minimum", "maximum"), ("amin", "amax"), ("argmin", "argmax"), ("any", "all"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("ceil", "floor"), ("log", "log1p"),
    ("cdf", "sf"), ("ppf", "isf"), ("append", "remove"), ("sum", "mean"),
]  # fmt: skip
UNNOTICED = {"cache", "lru_cache", "overload", "property", "classmethod", "staticmethod"}


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        yield ast.Constant(not node.value if type(node.value) is bool else node.value + 1)
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield node.operand
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield changed(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield changed(node, "value", ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        yield from (changed(node, "op", op()) for op in PARTNERS.get(type(node.op), []))
    if isinstance(node, ast.Compare):
        for op in PARTNERS.get(type(node.ops[0]), []):
            yield changed(node, "ops", [op(), *node.ops[1:]])
    if isinstance(node, ast.Call):
        field = "id" if isinstance(node.func, ast.Name) else "attr"
        was = getattr(node.func, field, None)
        for name in (b if was == a else a for a, b in NAMES if was in (a, b)):
            yield changed(node, "func", changed(node.func, field, name))
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):
                yield changed(node, "keywords", node.keywords[:i] + node.keywords[i + 1 :])
    for i, decorator in enumerate(getattr(node, "decorator_list", [])):
        if not any(name in ast.unparse(decorator) for name in UNNOTICED):
            left = node.decorator_list[:i] + node.decorator_list[i + 1 :]
            yield changed(node, "decorator_list", left)


def changed(node: ast.AST, field: str, value: object) -> ast.AST:
    """Return a copy of a node with another value of a field."""
    other = copy.copy(node)
    setattr(other, field, value)
    return other


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield (parent, field, index, node) of what is run: no types, no messages of errors."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_params"):
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.JoinedStr)):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.keyword) and child.arg in ("strict", "maxsize"):
                continue
            yield node, field, i, child
            yield from places(child)


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield a name, "line:column: old → new", and the tree of each mutant."""
    tree = ast.parse(source)
    for parent, field, i, node in places(tree):
        for new in replacements(node):
            put = setattr if i is None else lambda p, f, n, i=i: getattr(p, f).__setitem__(i, n)
            put(parent, field, ast.copy_location(new, node))
            lines = [ast.unparse(each).splitlines() for each in (node, new)]
            at = next((k for k, (a, b) in enumerate(zip(*lines, strict=False)) if a != b), 0)
            name = (
                f"{node.lineno}:{node.col_offset}: {lines[0][at].strip()} → {lines[1][at].strip()}"
            )
            yield name, ast.fix_missing_locations(copy.deepcopy(tree))
            put(parent, field, node)


def stages(path: Path) -> list[list[str]]:
    """Return the tests of a file: its doctests and those that name it, and the room's others."""
    tests, room = ROOT / "tests", path.parent.name
    of_room = sorted((tests / room).glob("test_*.py"), key=lambda test: test.stat().st_size)
    own = [
        test
        for test in of_room
        if test.stem == f"test_{path.stem.strip('_')}" or f"{room}.{path.stem} " in test.read_text()
    ]
    others = [test for test in of_room if test not in own]
    others += [tests / name for name in [*ALSO.get(room, []), "test_defaults.py"]]
    return [[str(path), *map(str, own)], list(map(str, others))]


def run(
    path: Path, tree: ast.Module | None, tests: list[str], limit: int
) -> tuple[int, str, float]:
    """Run tests in a fork with a mutant of a file: exit status, output, seconds of the processor.

    A status below 0 is the signal that ended it, as a mutant that ran beyond the limit.
    """
    with tempfile.TemporaryFile() as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        pid = os.fork()
        if pid == 0:
            try:
                _run_here(path, tree, tests, limit, out.fileno())
            finally:
                os._exit(70)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        text = out.read().decode(errors="replace")
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return os.waitstatus_to_exitcode(status), text, used


def _run_here(path: Path, tree: ast.Module | None, tests: list[str], limit: int, out: int) -> None:
    import pytest

    for stream in (1, 2):
        os.dup2(out, stream)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(20 * limit)
    load = importlib.machinery.SourceFileLoader.get_code

    def get_code(self, name):
        if tree is None or self.path != str(path):
            return load(self, name)
        return compile(tree, str(path), "exec", dont_inherit=True)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    # Plain asserts: pytest would load files it is given by itself, to rewrite theirs.
    options = ["-qx", "--assert=plain", "-p", "no:cacheprovider", "-m", "not slow"]
    os._exit(pytest.main([*options, *tests]))


def fate(path: Path, tree: ast.Module, limits: list[int], is_own: bool) -> str:
    """Return which test kills a mutant, "survived" where none does."""
    for i, tests in enumerate(stages(path)[: 1 if is_own else 2]):
        if len(limits) == i:  # tests of the file as it is
            status, text, used = run(path, None, tests, 3600)
            if status not in (0, 5):  # 5: there are none
                sys.exit(f"tests of {path} fail without a mutant:\n{text[-3000:]}")
            limits.append(int(10 + 4 * used))
        status, text, _ = run(path, tree, tests, limits[i])
        if status not in (0, 5):
            failed = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
            return failed[0].split(" - ")[0].strip() if failed else f"status {status}"
    return "survived"


def main() -> None:
    """Run a sample of mutants of each file."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("paths", nargs="*", default=ROOMS, help="files or folders")
    parser.add_argument("--sample", type=int, default=10, help="mutants of a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own", action="store_true", help="only the file's own tests")
    parser.add_argument("--keep", type=Path, default=ROOT / "mutants.jsonl")
    args = parser.parse_args()
    os.chdir(ROOT)
    sys.path[0] = str(ROOT)  # not tests/, whose datasets/ would be taken for the package datasets
    for name in ("pandas", "scipy.stats", "sklearn", "torch", "skorch", "fairlearn.metrics"):
        importlib.import_module(name)  # once, not in every fork
    known = {}
    if args.keep.exists():
        kept = [json.loads(line) for line in args.keep.read_text().splitlines()]
        known = {(each["file"], each["mutant"]): each["fate"] for each in kept}
    found: dict[str, Counter] = {}
    for given in args.paths:
        path = (ROOT / given).resolve()
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            name, limits = str(file.relative_to(ROOT)), []
            each = list(mutants(file.read_text()))
            draw = random.Random(f"{args.seed} {name}")
            for mutant, tree in draw.sample(each, min(args.sample, len(each))):
                start, was = time.time(), known.get((name, mutant), "survived")
                now = was if was != "survived" else fate(file, tree, limits, args.own)
                found.setdefault(file.parent.name, Counter())[now == "survived"] += 1
                with args.keep.open("a") as out:
                    line = {"file": name, "mutant": mutant, "fate": now}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
                print(f"{name}:{mutant}  [{now}] {time.time() - start:.0f} s", flush=True)
    for room, counts in found.items():
        print(f"{room}: {counts[False]} of {counts.total()} killed")


if __name__ == "__main__":
    main()
