"""Docstrings name the defaults that functions and classes have."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re

import sk_prunefair

LINE = re.compile(r"(\*{0,2}\w+(?:, \w+)*) : .*default=(.+)")


def documented(owner):
    """Yield the (name, default) of lines such as "a, b : int, default=1" where it is a literal."""
    section = (inspect.getdoc(owner) or "").partition("Parameters\n----------\n")[2]
    for line in section.partition("\n---")[0].splitlines():
        if found := LINE.fullmatch(line):
            try:
                default = ast.literal_eval(found[2])
            except (ValueError, SyntaxError):
                continue
            yield from ((name, default) for name in found[1].split(", "))


def owners(module):
    """Yield the functions, classes and methods that a module defines."""
    for value in vars(module).values():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield value
        if inspect.isclass(value):
            members = (getattr(each, "__func__", each) for each in vars(value).values())
            yield from filter(inspect.isfunction, members)


def defaults(owner):
    """Return the defaults by name, those that a data class makes anew included."""
    found = {name: each.default for name, each in inspect.signature(owner).parameters.items()}
    if dataclasses.is_dataclass(owner):
        made = [f for f in dataclasses.fields(owner) if callable(f.default_factory)]
        found |= {field.name: field.default_factory() for field in made}
    return found


def is_same(left, right):
    """Compare two values; True is no 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def test_docstrings_of_all_modules_name_the_defaults_of_the_signatures():
    n_checked, wrong = 0, []
    for info in pkgutil.walk_packages(sk_prunefair.__path__, "sk_prunefair."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # of an extra that is not installed
            continue
        for owner in owners(module):
            given = list(documented(owner))
            actual = defaults(owner) if given else {}
            for name, default in given:
                n_checked += 1
                if name in actual and not is_same(actual[name], default):
                    wrong.append(f"{info.name}.{owner.__qualname__}: {name}={default!r}")
    assert wrong == []
    assert n_checked > 300
