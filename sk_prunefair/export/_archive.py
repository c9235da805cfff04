"""Read an untrusted zip archive, at a cost proportional to its size."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# Largest ratio of deflate; an archive that states more is forged.
_DEFLATE_RATIO = 1032
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1
# One date for all parts: the same net gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


class Archive:
    """The parts of a zip archive; their sizes are checked before anything is unpacked.

    Parameters
    ----------
    archive : zipfile.ZipFile
        Archive open for reading.
    n_bytes : int
        Size of the file.

    Raises
    ------
    ValueError
        If a part occurs twice, overlaps another, is encrypted, is compressed by a method other than
        deflate, or states a size that its bytes cannot unpack to.
    """

    def __init__(self, archive: zipfile.ZipFile, n_bytes: int) -> None:
        self._archive = archive
        self.n_bytes = n_bytes
        self._parts: dict[str, zipfile.ZipInfo] = {}
        for part in archive.infolist():
            if part.filename in self._parts:
                raise ValueError(f"the file is damaged: it has {part.filename!r} twice")
            _check_part(part)
            self._parts[part.filename] = part
        self._check_places(archive.start_dir)

    @property
    def sizes(self) -> dict[str, int]:
        """Unpacked size of each part in bytes."""
        return {name: part.file_size for name, part in self._parts.items()}

    def packed_size(self, name: str) -> int:
        """Return the size of a part in the file, in bytes."""
        return self._part(name).compress_size

    def read(self, name: str, size: int) -> bytes:
        """Return a part, unpacked, which must have the given size."""
        if self._part(name).file_size != size:
            raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")
        with self._archive.open(name) as part:
            # Reads one byte more than allowed: at the end of the part the checksum is compared.
            content = part.read(size + 1)
        if len(content) != size:
            raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")
        return content

    def _part(self, name: str) -> zipfile.ZipInfo:
        if name not in self._parts:
            raise ValueError(f"the file is not a complete compact file (it lacks {name!r})")
        return self._parts[name]

    def _check_places(self, end: int) -> None:
        """Raise ValueError if two parts overlap, which makes a small file seem large."""
        parts = sorted(self._parts.values(), key=lambda part: part.header_offset)
        ends = [part.header_offset for part in parts[1:]] + [end]
        for part, last in zip(parts, ends, strict=False):
            if part.header_offset + _LOCAL_HEADER + part.compress_size > last:
                raise ValueError(f"the file is damaged: {part.filename!r} overlaps another part")


def _check_part(part: zipfile.ZipInfo) -> None:
    name, packed, size = part.filename, part.compress_size, part.file_size
    if part.compress_type == zipfile.ZIP_STORED:
        is_possible = size == packed
    elif part.compress_type == zipfile.ZIP_DEFLATED:
        is_possible = size <= _DEFLATE_RATIO * packed
    else:
        # zipfile unpacks bz2 and lzma without a size limit.
        raise ValueError(
            f"the file is not a compact file: {name!r} is compressed by method "
            f"{part.compress_type}; only stored and deflated parts are read"
        )
    if part.flag_bits & _ENCRYPTED:
        raise ValueError(f"the file is not a compact file: {name!r} is encrypted")
    if not is_possible:
        raise ValueError(
            f"the file is damaged: {name!r} cannot unpack to {size} bytes from {packed}"
        )


@contextlib.contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Open an archive; errors of a damaged file become a ValueError with the path.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Yields
    ------
    Archive
        Its parts.

    Raises
    ------
    ValueError
        If the file is not an archive, or is damaged.
    FileNotFoundError
        If there is no file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Archive(archive, Path(path).stat().st_size)
    except FileNotFoundError:
        raise
    except (
        # zipfile raises RuntimeError for unsupported features, json RecursionError for deep
        # nesting.
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
        UnicodeDecodeError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"path={str(path)!r} is not a complete compact file ({reason})") from error


def write_part(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a part to an archive that is being written."""
    info = zipfile.ZipInfo(name, _DATE)
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=9)
