"""Change what stands in a compact file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[dict[str, Any], dict[str, bytes]], Any]


def rewrite(path: Path, change: Change, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Write a file again with another header or other parts.

    `change` gets the header and the other parts, to be changed in place; bytes that it returns
    stand in the place of the header.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts.pop("header.json"))
    raw = change(header, parts)
    content = raw if isinstance(raw, bytes) else json.dumps(header).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        archive.writestr("header.json", content, compress_type=compression)


def without_features(header: dict[str, Any]) -> dict[str, Any]:
    """Remove what the version before did not write, so that nothing else contradicts a change."""
    for name in ("n_features", "feature_names", "input_dtype", "classes_dtype"):
        header.pop(name, None)
    return header
