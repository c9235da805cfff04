"""An archive is refused for its form before any of it is unpacked."""

from __future__ import annotations

import struct
import zipfile

import pytest
from torch import nn

from sk_prunefair.export import load_compact, save_compact
from sk_prunefair.export.compact import holds_dense
from tests.export.forging import rewrite


@pytest.fixture
def path(tmp_path):
    save_compact(nn.Linear(40, 5), tmp_path / "net.zip")
    return tmp_path / "net.zip"


def assert_refused(path, message):
    for read in (lambda: load_compact(path, nn.Linear(40, 5)), lambda: holds_dense(path)):
        with pytest.raises(ValueError, match=message):
            read()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("part", ["header.json", "values/bias"])
def test_archive_other_compression_than_deflate_raises(path, method, part):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            kind = method if name == part else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, compress_type=kind)
    assert_refused(path, f"'{part}' is compressed by method {method}; only stored and deflated")


def test_archive_stored_parts_are_read(path):
    rewrite(path, lambda header, parts: None, zipfile.ZIP_STORED)
    load_compact(path, nn.Linear(40, 5))


@pytest.mark.parametrize("name", ["header.json", "values/bias"])
def test_archive_part_twice_raises(path, name):
    with zipfile.ZipFile(path) as archive:
        content = archive.read(name)
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(name, content)
    assert_refused(path, f"it has '{name}' twice")


@pytest.mark.parametrize("name", ["extra", "values/", "../values/bias", "dense/values/bias"])
def test_archive_unknown_part_raises(path, name):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    assert_refused(path, "which its header does not list")


def edit_entries(path, change):
    """Change the 46 bytes and the name of each entry of the archive's list of parts."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    while content[place : place + 4] == b"PK\x01\x02":
        entry = list(struct.unpack_from("<4s4B4HL2L5H2L", content, place))
        name = bytes(content[place + 46 : place + 46 + entry[12]])
        change(name.decode(), entry)
        struct.pack_into("<4s4B4HL2L5H2L", content, place, *entry)
        place += 46 + entry[12] + entry[13] + entry[14]
    path.write_bytes(content)


FLAGS, PACKED, SIZE, OFFSET = 5, 10, 11, 18


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (FLAGS, 1, "is encrypted"),
        (SIZE, 2**31, "cannot unpack to 2147483648 bytes"),
        (SIZE, 21, "does not have 20 bytes"),
        (PACKED, 2**31 - 1, "overlaps another part"),
        (PACKED, 3, "not a complete compact file"),
    ],
)
def test_archive_forged_entry_raises(path, field, value, message):
    def change(name, entry):
        if name == "values/bias":
            entry[field] = value

    edit_entries(path, change)
    with pytest.raises(ValueError, match=message):
        load_compact(path, nn.Linear(40, 5))


def test_archive_parts_that_share_bytes_raises(path):
    offsets = {}

    def note(name, entry):
        offsets[name] = entry[OFFSET]

    def share(name, entry):
        entry[OFFSET] = offsets["values/weight"]

    edit_entries(path, note)
    edit_entries(path, share)
    assert_refused(path, "overlaps another part")


def test_archive_content_unlike_checksum_raises(path):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("values/weight").header_offset + 30 + len("values/weight")
    path.write_bytes(content[: start + 50] + b"\0\1\2\3" + content[start + 54 :])
    with pytest.raises(ValueError, match="not a complete compact file"):
        load_compact(path, nn.Linear(40, 5))


def test_archive_folder_or_foreign_target_raises(path, tmp_path):
    with pytest.raises(ValueError, match="not a complete compact file"):
        load_compact(tmp_path, nn.Linear(40, 5))
    with pytest.raises(ValueError, match="target must be a torch module or a FairPruned"):
        load_compact(path, 3)
