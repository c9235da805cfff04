"""Pages of the site that are written from the package and from the committed benchmarks."""

import inspect
import re
import sys
from collections.abc import Hashable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# Rooms in the order of a first reading, each with what its page is called.
ROOMS = {
    "sk_prunefair": "The classifier, the constraints, the search",
    "sk_prunefair.pruning": "What is removed",
    "sk_prunefair.constraints": "Constraints on groups",
    "sk_prunefair.report": "The report",
    "sk_prunefair.compare": "Any two classifiers",
    "sk_prunefair.promise": "The promise",
    "sk_prunefair.acceptance": "Acceptance criteria",
    "sk_prunefair.documents": "Documents",
    "sk_prunefair.monitor": "After the release",
    "sk_prunefair.selection": "Curves and searches",
    "sk_prunefair.metrics": "Metrics and scorers",
    "sk_prunefair.theory": "Why groups are hurt",
    "sk_prunefair.plotting": "Displays",
    "sk_prunefair.export": "Files and runtimes",
    "sk_prunefair.onnx_model": "ONNX files as models",
    "sk_prunefair.latency": "Latency",
    "sk_prunefair.modules": "Nets",
    "sk_prunefair.tables": "Tables",
    "sk_prunefair.datasets": "Data sets",
    "sk_prunefair.resume": "Training taken up again",
    "sk_prunefair.distributed": "Several processes",
    "sk_prunefair.hooks": "What a callback may ask of the net",
    "sk_prunefair.deprecation": "What is going away",
}
# Methods of skorch that have something to say here, too.
VERBS = [
    "fit",
    "partial_fit",
    "initialize",
    "predict",
    "predict_proba",
    "load_params",
    "save_params",
]
# The gallery's order, shortest first, by processor time; what is not named comes last.
EXAMPLES = [
    *("quickstart", "own_constraint", "tabular", "audit_page", "how_far", "pretrained"),
    *("monitor", "theory", "optuna_search", "several_processes"),  # each under ten seconds
    *("dask_sweep", "ray_sweep", "ray_tune", "audit_int8"),  # half a minute
    *("transformer", "adult_pipeline", "faces"),
]
SHORT_EXAMPLES = EXAMPLES[:2]


class ByLength:
    """Sort examples as `EXAMPLES` has them."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> tuple[int, str]:
        """Return what sorts a file."""
        name = Path(file).stem
        return EXAMPLES.index(name) if name in EXAMPLES else len(EXAMPLES), name


def no_arguments(gallery_conf: dict, script_vars: dict) -> list[str]:
    """Run examples without arguments, whatever Sphinx was called with."""
    return []


def public_names(room: str) -> list[str]:
    """List a room's public names: its ``__all__``, or what a file defines itself."""
    module = import_module(room)
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == room
    ]
    return sorted(getattr(module, "__all__", own), key=str.lower)


@cache
def shown_names() -> dict[Any, str]:
    """Return each public object's name: that of the first room which has it."""
    names: dict[Any, str] = {}
    for room in ROOMS:
        for name in public_names(room):
            value = getattr(import_module(room), name)
            if isinstance(value, Hashable):
                names.setdefault(value, f"{room}.{name}")
    return names


def page_of(value: object) -> str | None:
    """Return the name under which an object has a page; None where it has none."""
    return shown_names().get(value) if isinstance(value, Hashable) else None


def write_api(folder: Path) -> None:
    """Write a page for each room with its first sentences and a table of its names."""
    for room, title in ROOMS.items():
        own = {name: getattr(import_module(room), name) for name in public_names(room)}
        pages = {name: page_of(value) or f"{room}.{name}" for name, value in own.items()}
        new = [name for name, page in pages.items() if page == f"{room}.{name}"]
        elsewhere = [page for name, page in pages.items() if name not in new]
        write_if_new(folder / f"{room}.rst", room_page(room, title, new=new, elsewhere=elsewhere))
    listed = "\n".join(f"   {room}" for room in ROOMS)
    head = "API reference\n=============\n\nEvery public name, by room.\n\n"
    write_if_new(folder / "index.rst", f"{head}.. toctree::\n   :maxdepth: 1\n\n{listed}\n")


def room_page(room: str, title: str, *, new: list[str], elsewhere: list[str]) -> str:
    """Return a room's page: what it is for, a table of its names, those that another page has."""
    parts = [
        f"{title}\n{'=' * len(title)}",
        f"``{room}``",
        f".. automodule:: {room}\n   :no-members:",
        f".. currentmodule:: {room}",
    ]
    if new:
        table = "\n".join(f"   {name}" for name in new)
        parts.append(f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{table}")
    if elsewhere:
        links = ", ".join(f":obj:`~{name}`" for name in elsewhere)
        parts.append(f"Also importable from here: {links}.")
    return "\n\n".join(parts) + "\n"


def write_benchmarks(folder: Path, root: Path) -> None:
    """Copy the committed pages of the benchmarks, with links that hold within the site."""
    pages = {}
    for source in sorted((root / "benchmarks").rglob("*.md")):
        inside = source.parent.relative_to(root).as_posix()
        pages[benchmark_name(source)] = site_links(source.read_text(), inside=inside)
    listed = "\n".join(sorted(pages.keys() - {"index"}))
    pages["index"] += f"\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    for page in folder.glob("*.md"):
        if page.stem not in pages:
            page.unlink()  # of a benchmark that has been here once
    for name, text in pages.items():
        write_if_new(folder / f"{name}.md", text)


def benchmark_name(page: Path) -> str:
    """Return how the site calls a page of the benchmarks: a study's after its folder."""
    if page.name == "README.md":
        return "index"
    return re.sub("^page", page.parent.name, page.stem)


def site_links(text: str, *, inside: str) -> str:
    """Turn links of the repository into links of the site; those to other files into plain text.

    A link to a room of the package, its folder or file, becomes one to its page of the API. Anchors
    stay; Sphinx warns of one that its page does not have.

    Parameters
    ----------
    text : str
        Markdown as it is committed.
    inside : str
        Folder of the page, below the root of the repository.
    """

    def target(match: re.Match[str]) -> str:
        words, link = match.groups()
        if link.startswith(("http", "#")):
            return match.group()
        file, mark, anchor = link.partition("#")
        page = site_page((Path("/") / inside / file).resolve())
        return f"[{words}]({page}{mark}{anchor})" if page else words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", target, text)


def site_page(path: Path) -> str | None:
    """Return where the site has a file, whose path begins at the repository; None where nowhere."""
    room = ".".join(path.with_suffix("").parts[1:])
    if path.parts[1] == "docs":
        return f"/{path.relative_to('/docs')}"
    if path.parts[1] == "benchmarks" and path.suffix == ".md":
        return f"/benchmarks/{benchmark_name(path)}.md"
    if path.parts[1] == "examples" and path.suffix == ".py":
        return f"/gallery/{path.stem}.rst"
    if room in ROOMS:
        return f"/api/{'index' if room == 'sk_prunefair' else room}.rst"
    return None


def comment_of(name: str) -> list[str]:
    """Return the ``#:`` comment above a constant, from the file of its room that defines it."""
    room, _, constant = name.rpartition(".")
    import_module(room)
    for file, module in sorted(sys.modules.items()):
        if f"{file}.".startswith(f"{room}."):
            comment = rf"((?:^#:.*\n)+){constant}\b"
            found = re.search(comment, inspect.getsource(module), re.M)
            if found:
                return [line.removeprefix("#:").strip() for line in found[1].splitlines()]
    return []


def gallery_links(text: str) -> str:
    """Turn links to the scripts, as the table beside them has them, into links to their pages."""
    return re.sub(r"`(\w+) <\1\.py>`__", r":doc:`\1 </gallery/\1>`", text)


def docstring_links(line: str) -> str:
    """Turn the names of committed pages in a line of a docstring into links."""

    def target(match: re.Match[str]) -> str:
        page = Path(site_page(Path("/") / match[1]) or "").with_suffix("")
        return f":doc:`{page.name} <{page}>`"

    return re.sub(r"``?((?:docs|benchmarks)/[\w/]+\.md)``?", target, line)


def with_output(text: str, name: str, docs: Path) -> str:
    """Add to the page of an example what it printed last and its picture, where it has its own.

    The short ones have run, and shown what they print, while the site was built.
    """
    parts = []
    output = docs / "outputs" / f"{name}.txt"
    if output.exists() and name not in SHORT_EXAMPLES:
        shown = f".. literalinclude:: /outputs/{name}.txt\n   :language: text"
        parts.append(f"Output\n------\n\n{shown}\n")
    script = docs.parent / "examples" / f"{name}.py"
    thumbnail = script.exists() and re.search(r'thumbnail_path = "(.*)"', script.read_text())
    if thumbnail and name in Path(thumbnail[1]).stem:
        parts.append(f".. image:: /{thumbnail[1]}\n   :alt: What the example found, by group\n")
    footer = ".. _sphx_glr_download_"
    head, mark, tail = text.partition(footer)
    return "\n".join([head, *parts, "", mark + tail]) if mark else text


def write_if_new(path: Path, text: str) -> None:
    """Write a file, unless it has this text already: unchanged pages are not built again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
