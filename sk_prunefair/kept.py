"""A folder of computed results, one file for each."""

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
    """Files named by the fingerprint of the values that they were computed from.

    A file is written under another name and then renamed, so that a killed process leaves
    either the old file or the new one. Files are pickles: load only those that you trust.

    Parameters
    ----------
    folder : str or path-like
        Folder, created at the first write.
    dumps : callable, default=cloudpickle.dumps
        Function from a value to the bytes of a pickle.

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
        """Return the path of the file for a key."""
        return self.folder / f"{key}.pkl"

    def read(self, key: str) -> Any:
        """Return the value in the file, or None if there is no file.

        Raises
        ------
        ValueError
            If the file cannot be read; the message has its path.
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
        """Write a value, replacing an existing file."""
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
