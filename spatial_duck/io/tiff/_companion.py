"""OME-TIFF whose OME-XML is in another file: ``BinaryOnly``, with a companion or a master file.

The other file must be in the folder of the one that is opened. tifffile then lists the series of
all files that the companion describes; a series that is in other files alone is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, SpatialDuckError
from spatial_duck.io import _safety as safety
from spatial_duck.io._identity import Identity
from spatial_duck.io.tiff._ome import MAX_XML, children, parse_xml

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree import ElementTree as ET

__all__ = ["check_series_in_file", "open_tiff"]


def open_tiff(path: Path, plain: bool = False) -> tuple[Any, Identity]:
    """Open a TIFF file with tifffile, with the OME-XML of its companion if it has one.

    Parameters
    ----------
    path : Path
        The file.
    plain : bool, optional
        Ignore a companion.

    Returns
    -------
    tuple of (tifffile.TiffFile, Identity)
        The open file; and the state of it, and of its companion, before they were read.

    Raises
    ------
    FormatError
        If the companion is missing, not valid or of another UUID.
    UnsafeInputError
        If it is in another folder.
    """
    tifffile = require("tifffile", "Reading TIFF")
    identity = Identity.of([path])
    file = tifffile.TiffFile(path)
    try:
        found = None if plain or not file.is_ome else _companion_xml(path, file)
    except BaseException:
        file.close()
        raise
    if found is None:
        return file, identity
    file.close()
    text, companion = found
    return tifffile.TiffFile(path, omexml=text), identity.joined(companion)


def _companion_xml(path: Path, file: Any) -> tuple[str, Identity] | None:
    description = str(file.pages.first.description)
    if "BinaryOnly" not in description:
        return None
    only = next(iter(children(parse_xml(path, description), "BinaryOnly")), None)
    if only is None:
        return None
    name, uuid = str(only.get("MetadataFile")), only.get("UUID")
    try:
        companion = safety.confine_path(path, name)
        identity = Identity.of([companion])
        text = _read_xml(companion)
        root = parse_xml(path.with_name(name), text)
        if uuid and root.get("UUID") and uuid.lower() != root.get("UUID").lower():
            raise FormatError(f"its UUID is {root.get('UUID')}, and {uuid} was expected")
        if children(root, "BinaryOnly"):
            raise FormatError("it names a further file")
    except SpatialDuckError as error:
        raise type(error)(
            f"{path}: its OME-XML is in another file, {name!r}, which cannot be used: {error}; "
            "read the pixels of this file alone with plain=True"
        ) from error
    return text, identity


def _read_xml(path: Path) -> str:
    """Return the OME-XML of a companion, or of a TIFF file that serves as one."""
    with path.open("rb") as stream:
        content = stream.read(MAX_XML + 1)
    if content[:2] in (b"II", b"MM"):
        with require("tifffile", "Reading TIFF").TiffFile(path) as file:
            return str(file.ome_metadata or "")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise FormatError(f"it is not text in UTF-8: {error}") from error


def check_series_in_file(path: Path, root: ET.Element, series: int) -> None:
    """Check that some pixels of a series are in the file that was opened.

    Parameters
    ----------
    path : Path
        The file that was opened.
    root : Element
        Root of the XML of its companion.
    series : int
        Number of the series.

    Raises
    ------
    FormatError
        If all of them are in other files.
    """
    files = []
    for image in children(root, "Image"):
        data = [d for p in children(image, "Pixels")[:1] for d in children(p, "TiffData")]
        if data:
            named = {u.get("FileName") for d in data for u in children(d, "UUID")} - {None}
            files.append(not named or path.name in named)
    if 0 <= series < len(files) and not files[series]:
        here = [n for n, found in enumerate(files) if found]
        raise FormatError(
            f"{path}: series {series} of the files that its companion describes is not in this "
            "one; "
            + (f"it has series={', '.join(map(str, here))}" if here else "it has none of them")
        )
