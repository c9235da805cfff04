"""Read a zip archive that nobody vouches for, at no more cost than the archive is large."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# What deflate can make of one byte at most; an archive that claims more is forged.
_DEFLATE_RATIO = 1032
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1
# One date for all: the same net gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


class Archive:
    """The parts of a zip archive, their sizes checked before anything is unpacked.

    Parameters
    ----------
    archive : zipfile.ZipFile
        Open for reading.
    n_bytes : int
        Size of the file.

    Raises
    ------
    ValueError
        If a part stands twice, overlaps another, is encrypted, is compressed by other means than
        deflate, or claims a size that its bytes cannot have.
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
        """Bytes of each part, unpacked."""
        return {name: part.file_size for name, part in self._parts.items()}

    def packed_size(self, name: str) -> int:
        """Return the bytes that a part takes in the file."""
        return self._part(name).compress_size

    def read(self, name: str, size: int) -> bytes:
        """Return a part, which must have this size, unpacked."""
        if self._part(name).file_size != size:
            raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")
        with self._archive.open(name) as part:
            # One byte more than there may be: the end is reached, where the checksum is compared.
            content = part.read(size + 1)
        if len(content) != size:
            raise ValueError(f"the file is damaged: {name!r} does not have {size} bytes")
        return content

    def _part(self, name: str) -> zipfile.ZipInfo:
        if name not in self._parts:
            raise ValueError(f"the file is not a complete compact file (it lacks {name!r})")
        return self._parts[name]

    def _check_places(self, end: int) -> None:
        """Raise ValueError where two parts share bytes: so a small file seems large."""
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
        # zipfile unpacks bz2 and lzma without any limit.
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
    """Open an archive; what a damaged file raises becomes a ValueError that names the path.

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
        # zipfile raises RuntimeError for what it does not know, json for what is nested too deep.
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
        UnicodeDecodeError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"path={str(path)!r} is not a complete compact file ({reason})") from error


def write_part(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a part to an archive that is being written."""
    info = zipfile.ZipInfo(name, _DATE)
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=9)
