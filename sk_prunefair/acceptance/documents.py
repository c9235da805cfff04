"""Read a YAML or JSON file into plain values, with the line of each key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

Place = tuple[str | int, ...]


class Document(NamedTuple):
    """The content of a file.

    Parameters
    ----------
    values : object
        Dicts, lists, strings and numbers.
    source : str
        Name of the file, for errors.
    lines : dict of tuple to int
        Line of each path, such as ``("criteria", 0, "limit")``; empty where lines are not known.
    """

    values: Any
    source: str
    lines: Mapping[Place, int]

    def error(self, place: Place, message: str) -> ValueError:
        """Return an error that names file, line and key."""
        known = next(
            (self.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.lines),
            None,
        )
        line = "" if known is None else f", line {known}"
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        return ValueError(f"{self.source}{line}: {key.lstrip('.') or 'the file'} {message}")


def load(source: str | PathLike[str] | Mapping[str, Any]) -> Document:
    """Read a ``.json``, ``.yaml`` or ``.yml`` file, or a mapping, as a document.

    Nothing in a file is executed: YAML is read by PyYAML's safe loader, and aliases are refused.

    Raises
    ------
    ImportError
        If the file is not JSON and PyYAML (the extra ``yaml``) is not installed.
    OSError
        If the file cannot be read.
    ValueError
        If it is neither JSON nor YAML, or a key occurs twice in a mapping.
    """
    if isinstance(source, Mapping):
        return Document(dict(source), "criteria", {})
    if not isinstance(source, (str, PathLike)):
        raise TypeError(
            f"criteria must be the path of a file or a mapping, got {type(source).__name__}"
        )
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} must be a UTF-8 text file: {error}") from error
    return _json(path.name, text) if path.suffix.lower() == ".json" else _yaml(path.name, text)


def _json(name: str, text: str) -> Document:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"{name}: the key {twice!r} occurs twice in a mapping")
        return found

    try:
        return Document(json.loads(text, object_pairs_hook=once), name, {})
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{name} must be a JSON document: {error}") from error


def _yaml(name: str, text: str) -> Document:
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            f"{name} needs PyYAML, which is not installed: pip install 'sk-prunefair[yaml]', or "
            "write the criteria as a .json file"
        ) from error

    lines: dict[Place, int] = {}

    def walk(node: Any, place: Place) -> None:
        lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                walk(item, (*place, i))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                line = key.start_mark.line + 1
                if inner in lines:
                    raise ValueError(
                        f"{name}, line {line}: the key {key.value!r} occurs twice in a mapping"
                    )
                lines[inner] = line
                walk(value, inner)

    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = "" if event.start_mark is None else f", line {event.start_mark.line + 1}"
                raise ValueError(f"{name}{line}: aliases are not supported; write the value out")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            walk(root, ())
        return Document(yaml.safe_load(text), name, lines)
    except (yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{name} must be a YAML document: {said}") from error
