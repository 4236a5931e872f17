"""DICOM files and the series that they belong to: headers, without pixels.

Files are told by their content. What a header declares is not trusted: no more is read than there
is, and whatever pydicom raises for it becomes a `FormatError`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Series", "chosen", "looks_like_dicom", "pydicom_module", "series_of"]

_HEAD = 132


class Series(NamedTuple):
    """One series of a folder.

    Attributes
    ----------
    uid, description, number, modality : str
        SeriesInstanceUID and others; empty where they are not there.
    files : int
        How many belong to it.
    """

    uid: str
    description: str
    number: str
    modality: str
    files: int


def pydicom_module() -> Any:
    """Import pydicom, or say which extra brings it."""
    return require("pydicom", "Reading DICOM")


def looks_like_dicom(path: Path, head: bytes = b"") -> bool:
    """Tell whether a file is DICOM, or a folder holds such files."""
    if not path.is_dir():
        return head[128:_HEAD] == b"DICM" or (not head and _is_dicom(path))
    return any(_is_dicom(file) for file, _ in zip(_files(path), range(64), strict=False))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    # Files from before part 10 have no preamble, and begin with an element of group 2 or 8.
    return head[128:] == b"DICM" or (
        len(head) == _HEAD and head[:4] in (b"\x08\0\0\0", b"\x08\0\x05\0", b"\x02\0\0\0")
    )


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file():
                yield path


def _header(path: Path) -> Any:
    pydicom = pydicom_module()
    try:
        with warnings.catch_warnings(), safety.BoundedFile(path) as file:
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            list(dataset)  # converts each element, so that one that is not valid is found here
            return dataset
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # pydicom raises many kinds for a file that is not valid
        raise FormatError(f"{path}: its DICOM header is not valid: {error}") from error


def _is_directory(dataset: Any) -> bool:
    return "DirectoryRecordSequence" in dataset


def _headers(path: Path) -> list[tuple[Path, Any]]:
    """Return the headers of a file, or of all images in a folder."""
    if not path.is_dir():
        dataset = _header(path)
        if not _is_directory(dataset):
            return [(path, dataset)]
        path = path.parent
    found = [(file, _header(file)) for file in _files(path) if _is_dicom(file)]
    return [(file, d) for file, d in found if "Rows" in d and not _is_directory(d)]


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def series_of(path: str | os.PathLike[str]) -> list[Series]:
    """Return the series of images in a folder.

    Parameters
    ----------
    path : path
        A folder, or a file in it.
    """
    return [entry for entry, _ in _grouped(_headers(Path(path)))]


def _grouped(headers: list[tuple[Path, Any]]) -> list[tuple[Series, list[tuple[Path, Any]]]]:
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for path, dataset in headers:
        groups.setdefault(_text(dataset, "SeriesInstanceUID"), []).append((path, dataset))
    out = []
    for uid, members in groups.items():
        first = members[0][1]
        words = [_text(first, f) for f in ("SeriesDescription", "SeriesNumber", "Modality")]
        out.append((Series(uid, words[0], words[1], words[2], len(members)), members))
    return out


def chosen(path: Path, series: str | int | None) -> list[tuple[Path, Any]]:
    """Return the files and headers of the one series, or of the one that is asked for."""
    groups = _grouped(_headers(path))
    if not groups:
        raise FormatError(f"{path}: there are no DICOM images")
    if series is not None:
        wanted = str(series)
        groups = [g for g in groups if wanted in g[0][:3]]
    if len(groups) == 1:
        return groups[0][1]
    listed = groups or _grouped(_headers(path))
    lines = "".join(
        f"\n  series={s.uid!r}  # {s.modality} {s.number} {s.description!r}, {s.files} files"
        for s, _ in listed[:20]
    )
    what = f"{len(groups)} series" + ("" if series is None else f" are called {series!r}")
    raise FormatError(
        f"{path}: {what}; choose one by its uid, or by its description or number where these are "
        f"unique:{lines}" + ("\n  …" if len(listed) > 20 else "")
    )
