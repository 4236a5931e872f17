"""OME-Zarr in one zip file: ``.ozx`` (RFC-9), and ``.zarr.zip`` as others make them.

An ``.ozx`` holds the group at its root, uncompressed (chunks are compressed already) and as ZIP64;
the metadata files come first, the group's own before all others, and a JSON comment holds the
version::

    {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": true}}}}
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._safety import check_memory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "MAX_METADATA_BYTES", "METADATA", "SUFFIXES", "looks_like_archive", "open_archive",
    "pack_group",
]  # fmt: skip

SUFFIXES = (".ozx", ".ome.zarr.zip", ".zarr.zip")
#: Names of the metadata of a group, and of all nodes.
_OF_GROUPS = ("zarr.json", ".zgroup", ".zattrs")
METADATA = (*_OF_GROUPS, ".zarray", ".zmetadata")
#: Metadata files of more bytes, or a higher ratio of compression, are refused.
MAX_METADATA_BYTES, _MAX_RATIO = 1 << 26, 1000
#: Bytes of memory that a byte of a compressed entry may take.
_ENTRY_MEMORY = 4


def looks_like_archive(path: Path, head: bytes) -> bool:
    """Whether a file is a zip file that holds a Zarr group."""
    if not head.startswith(b"PK") or path.is_dir():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _root(archive.namelist()) is not None
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return False


def _root(names: Iterable[str]) -> str | None:
    """Return the folder inside an archive that is a Zarr group: the root, or its only folder."""
    roots = {n.rpartition("/")[0] for n in names if n.rpartition("/")[2] in _OF_GROUPS}
    if "" in roots:
        return ""
    tops = {name.partition("/")[0] for name in names}
    return tops.pop() if len(tops) == 1 and tops & roots else None


def open_archive(path: Path) -> Any:
    """Open the Zarr group in a zip file for reading.

    Raises
    ------
    FormatError
        If it holds none.
    UnsafeInputError
        If its metadata unpack to too many bytes.
    """
    import zarr

    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive.namelist())
            for entry in archive.infolist():
                _check_entry(path, entry)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise FormatError(f"{path}: it is not a valid zip file: {error}") from error
    if root is None:
        raise FormatError(f"{path}: the zip file holds no Zarr group at its root")
    return zarr.open_group(zarr.storage.ZipStore(path, mode="r"), path=root, mode="r")


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename.rpartition("/")[2]
    if name in METADATA and (
        entry.file_size > MAX_METADATA_BYTES
        or entry.file_size > _MAX_RATIO * max(entry.compress_size, 1)
    ):
        raise UnsafeInputError(
            f"{path}: {entry.filename!r} would unpack to {entry.file_size:,} bytes, too many for a "
            "file of metadata"
        )
    # zipfile unpacks a chunk whole, before its codecs know how long it may be.
    if entry.compress_type != zipfile.ZIP_STORED:
        check_memory(f"{path}/{entry.filename}", _ENTRY_MEMORY * entry.file_size)


def pack_group(folder: Path, target: Path, version: str) -> None:
    """Write a folder with an OME-Zarr group as a zip file.

    Parameters
    ----------
    folder : Path
        The group.
    target : Path
        The zip file, which is created.
    version : str
        Version of OME-Zarr.
    """
    files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]

    def rank(file: Path) -> tuple[bool, int, str]:
        return file.name not in METADATA, len(file.parts), file.as_posix()

    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in sorted(files, key=rank):
            # No modification time, so that the same image gives the same bytes.
            entry = zipfile.ZipInfo(file.as_posix())
            with (
                (folder / file).open("rb") as source,
                archive.open(entry, "w", force_zip64=True) as out,
            ):
                while part := source.read(1 << 22):
                    out.write(part)
        comment = {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
        archive.comment = json.dumps({"ome": comment}).encode()
