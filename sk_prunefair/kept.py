"""A folder of what was computed already, one file for each."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle


class KeptFolder:
    """Files by the fingerprint of what they were computed from; none is ever half written.

    A file is written beside its place and then moved there, so that a process that is killed leaves
    either the file before or the new one. Files are pickles: load those alone that you trust.

    Parameters
    ----------
    folder : str or path-like
        Made when something is written.
    dumps : callable, default=cloudpickle.dumps
        From a value to the bytes of a pickle.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = KeptFolder(folder)
    ...     kept.write("a", {"rate": 0.5})
    ...     kept.read("a"), kept.read("b")
    ({'rate': 0.5}, None)
    """

    def __init__(self, folder: Any, dumps: Callable[[Any], bytes] = cloudpickle.dumps) -> None:
        self.dumps = dumps
        try:
            self.folder = Path(folder)
        except TypeError:
            raise ValueError(f"a folder must be a path, got {folder!r}") from None

    def path(self, key: str) -> Path:
        """Return where something is, or would be."""
        return self.folder / f"{key}.pkl"

    def read(self, key: str) -> Any:
        """Return what was written, None where nothing was.

        Raises
        ------
        ValueError
            If the file cannot be read; the message says which.
        """
        try:
            with self.path(key).open("rb") as file:
                return pickle.load(file)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ValueError(
                f"{self.path(key)} cannot be read; delete it to compute it again: {error!r}"
            ) from error

    def write(self, key: str, value: Any) -> None:
        """Write a value, in the place of what was there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=key[:8], suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.dumps(value))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path(key))
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
