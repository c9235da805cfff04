"""Packages whose names are imported when used offer what they offered before."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import sk_prunefair
from sk_prunefair._lazy import lazy

PACKAGES = ["sk_prunefair", "sk_prunefair.export", "sk_prunefair.pruning"]
HEAVY = ["torch", "numpy", "sklearn", "skorch", "fairlearn", "pandas", "scipy", "joblib", "onnx"]


def run(*lines: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def imported_for_types(package: str) -> set[str]:
    """Return the names that a package imports for the type checker alone."""
    tree = ast.parse(inspect.getsource(importlib.import_module(package)))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    names = [node for part in block.body for node in ast.walk(part)]
    imported = {each.name for each in names if isinstance(each, ast.alias)}
    return imported | {
        target.id
        for node in names
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_package_all_is_what_type_checkers_see_and_every_name_is_there(package):
    module = importlib.import_module(package)
    assert imported_for_types(package) == set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]
        assert name in dir(module)
    found: dict[str, object] = {}
    exec(f"from {package} import *", found)
    assert set(module.__all__) <= set(found)


def test_import_of_the_package_imports_nothing_heavy():
    printed = run("import sys, sk_prunefair", f"print([m for m in {HEAVY} if m in sys.modules])")
    assert printed.strip() == "[]"


def test_names_in_dir_before_they_are_imported():
    listed = run("import sk_prunefair", "print(dir(sk_prunefair))")
    assert set(sk_prunefair.__all__) <= set(ast.literal_eval(listed))
    assert "__version__" in listed


@pytest.mark.slow
def test_submodule_is_an_attribute_without_an_import_of_its_own():
    source = "sk_prunefair.metrics.accuracy_gap.__module__, sk_prunefair.pruning.plan.__name__"
    printed = run("import sk_prunefair", f"print({source})")
    assert printed.split() == ["sk_prunefair.metrics._groups", "sk_prunefair.pruning.plan"]


def test_unknown_name_raises_as_of_any_module():
    with pytest.raises(AttributeError, match="'sk_prunefair' has no attribute 'no_such_name'"):
        _ = sk_prunefair.no_such_name
    with pytest.raises(ImportError, match="no_such_name"):
        from sk_prunefair import no_such_name  # noqa: F401
    assert not hasattr(sk_prunefair, "__wrapped__")


def test_error_inside_of_a_module_is_raised_as_it_is(tmp_path, monkeypatch):
    package = tmp_path / "lazy_and_broken"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from sk_prunefair._lazy import lazy\n"
        "__getattr__, __dir__ = lazy(__name__, {'broken': ['Thing']})\n"
    )
    (package / "broken.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="no_such_package_at_all"):
        importlib.import_module("lazy_and_broken").Thing  # noqa: B018


def test_lazy_alias_is_the_same_object():
    from sk_prunefair import pruning

    assert pruning.PruningState is pruning.Pruned
    get, listed = lazy("json", {"decoder": ["JSONDecoder"]}, {"Old": "JSONDecoder"})
    assert get("Old") is importlib.import_module("json").JSONDecoder
    assert {"Old", "JSONDecoder"} <= set(listed())


def test_classes_pickle_and_document_themselves_as_before():
    clf = sk_prunefair.FairPrunedClassifier
    assert pickle.loads(pickle.dumps(clf)) is clf
    assert b"sk_prunefair.classifier" in pickle.dumps(clf)
    assert inspect.getmodule(clf) is importlib.import_module("sk_prunefair.classifier")
    assert "PruneRateSearchCV" in {name for name, _ in inspect.getmembers(sk_prunefair)}
    assert "class FairPrunedClassifier" in pydoc.plain(pydoc.render_doc(sk_prunefair))


@pytest.mark.slow
def test_python_m_sk_prunefair_runs_the_command_line():
    command = [sys.executable, "-m", "sk_prunefair", "--help"]
    folder = Path(__file__).parents[1]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "usage" in ran.stdout
