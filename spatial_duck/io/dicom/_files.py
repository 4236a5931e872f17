"""DICOM files and their series: headers, without pixels.

Files are recognised by their content. A header is not trusted: no more is read than the file holds,
and any exception of pydicom becomes a `FormatError`. A warning names files of a folder that look
like a part of the series and are not DICOM.
"""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io import _safety as safety
from spatial_duck.io._identity import Identity
from spatial_duck.io.dicom._elements import tag_name, to_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Header", "Series", "choose_series", "looks_like_dicom", "open_file", "pydicom_module",
    "read_header", "series_of",
]  # fmt: skip

#: Length of the preamble of a file that follows part 10 of the standard, and with the prefix.
_PREAMBLE, _HEAD = 128, 132
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV".split()
)
#: How UIDs of the standard begin, and the class of raw data.
_STANDARD = "1.2.840.10008."
_RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
_GZIP = b"\x1f\x8b"
#: UID of the transfer syntax whose data set is compressed as a whole.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
#: Elements that hold pixels: integers, single and double floats.
_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
#: Elements that values and geometry depend on: an invalid one is an error.
_REQUIRED = frozenset(
    """NumberOfFrames Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit
    PixelRepresentation PhotometricInterpretation PlanarConfiguration ImagePositionPatient
    ImageOrientationPatient PixelSpacing SpacingBetweenSlices RescaleSlope RescaleIntercept
    GridFrameOffsetVector DoseGridScaling PerFrameFunctionalGroupsSequence
    SharedFunctionalGroupsSequence SegmentSequence SegmentationType MaximumFractionalValue
    ModalityLUTSequence SeriesInstanceUID SeriesDescription SeriesNumber Modality ImageType
    SOPClassUID FrameIncrementPointer FrameTime FrameTimeVector DetectorInformationSequence
    DimensionIndexSequence RedPaletteColorLookupTableDescriptor SliceThickness""".split()
)


class Series(NamedTuple):
    """One series of a folder.

    Attributes
    ----------
    uid, description, number, modality : str
        SeriesInstanceUID, SeriesDescription, SeriesNumber and Modality; empty if missing.
    files : int
        Number of its files.
    """

    uid: str
    description: str
    number: str
    modality: str
    files: int


class Header(NamedTuple):
    """The header of one file.

    Attributes
    ----------
    path : Path
        The file.
    dataset : pydicom.Dataset
        All elements before the pixels. Those that values and geometry depend on are valid.
    pixels : int or None
        Tag of the element that holds the pixels.
    size : int
        Bytes from the first pixel to the end of the file, decompressed.
    identity : Identity
        State of the file before the header was read.
    """

    path: Path
    dataset: Any
    pixels: int | None
    size: int
    identity: Identity


def pydicom_module() -> Any:
    """Return pydicom; raise an ImportError that names the extra if it is missing."""
    return require("pydicom", "Reading DICOM")


# --- recognition --------------------------------------------------------------------------


def looks_like_dicom(path: Path, head: bytes = b"") -> bool:
    """Whether a file is DICOM, or a folder holds such files."""
    if not path.is_dir():
        return _is_head(head) or (not head and _is_dicom(path))
    return any(_is_dicom(file) for file, _ in zip(_files(path), range(64), strict=False))


def _is_head(head: bytes) -> bool:
    """Whether a file begins as DICOM does.

    Files from before part 10 have no preamble: they begin with an element of group 2 or 8, in
    either order of bytes (PS3.5 7.1).
    """
    if head[_PREAMBLE:_HEAD] == b"DICM":
        return True
    if len(head) < _HEAD:
        return False
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = (int.from_bytes(head[i : i + 2], order) for i in (0, 2))
        if group in (2, 8) and element < 0x3000:
            length = int.from_bytes(head[4:8], order)
            # In implicit VR the length of the first element follows its tag.
            return head[4:6] in _VRS or (order == "little" and length % 2 == 0 and length < 1 << 10)
    return False


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head[:2] == _GZIP:
            with gzip.open(path) as unpacked:
                head = unpacked.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return False
    return _is_head(head)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file():
                yield path


def _dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder; warn about files that only look like some."""
    found: list[Path] = []
    others: list[Path] = []
    for path in _files(folder):
        (found if _is_dicom(path) else others).append(path)
    endings = {path.suffix.lower() for path in found} | {".dcm", ".ima", ".dicom"}
    skipped = [
        p for p in others
        if not p.name.startswith(".")
        and (
            (p.suffix and p.suffix.lower() in endings)
            or _is_numbered(p, found)
            or not p.stat().st_size
        )
    ]  # fmt: skip
    if skipped:
        names = ", ".join(
            f"{p.name} ({'empty' if not p.stat().st_size else 'no DICOM'})" for p in skipped[:8]
        )
        more = f" and {len(skipped) - 8} more" if len(skipped) > 8 else ""
        warnings.warn(
            f"{folder}: files that do not hold DICOM were skipped: {names}{more}; a slice may be "
            "missing",
            UserWarning,
            stacklevel=2,
        )
    return found


def _is_numbered(path: Path, found: Sequence[Path]) -> bool:
    """Whether a file is named as others except for a number: ``IM.0007`` beside ``IM.0001``."""
    shape = path.name.rstrip("0123456789")
    return shape != path.name and any(p.name.rstrip("0123456789") == shape for p in found)


# --- headers ------------------------------------------------------------------------------


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; a gzip file is decompressed into memory first.

    pydicom decompresses a file of the deflated transfer syntax itself, whatever it becomes, so that
    its length is counted before.
    """
    file = safety.BoundedFile(path)
    head = file.peek(_HEAD)
    if head[:2] != _GZIP:
        if _DEFLATED in head[_HEAD:]:
            try:
                _check_deflated(path, file)
            except BaseException:
                file.close()
                raise
            file.seek(0)
        return file
    file.close()
    out = io.BytesIO()
    with gzip.open(path) as packed:
        for piece in _unpacked(path, packed):
            out.write(piece)
    out.seek(0)
    return out


def _check_deflated(path: Path, file: BinaryIO) -> None:
    """Refuse a deflated data set that would take too much memory."""
    file.seek(_HEAD)
    # Up to the end of group 2, which is not compressed.
    require("pydicom.filereader", "Reading DICOM").read_dataset(
        file, False, True, stop_when=lambda tag, *_: tag.group != 2
    )
    for _ in _unpacked(path, safety.ZlibFile(file, -zlib.MAX_WBITS)):
        pass


def _unpacked(path: Path, stream: Any) -> Iterator[bytes]:
    """Yield a stream's pieces, up to half of the memory."""
    limit, length = safety.available_memory(), 0
    try:
        while piece := stream.read(1 << 20):
            length += len(piece)
            if limit is not None and length > limit // 2:
                raise UnsafeInputError(
                    f"{path}: it unpacks to more than half of the {limit:,} bytes of memory that "
                    "are available; unpack it first, with gunzip or dcmconv"
                )
            yield piece
    except (EOFError, OSError, zlib.error) as error:
        raise FormatError(f"{path}: it cannot be unpacked: {error}") from error


def read_header(path: Path) -> Header:
    """Read all elements before the pixels of a file.

    Raises
    ------
    FormatError
        If the header, or an element that values or geometry depend on, is not valid.
    """
    filereader = require("pydicom.filereader", "Reading DICOM")
    ends: list[int] = []
    identity = Identity.of([path])

    def stop_when(tag: Any, _vr: str | None, _length: int) -> bool:
        if int(tag) in _PIXELS:
            ends.append(int(tag))
        return bool(ends)

    try:
        with open_file(path) as file:
            dataset = filereader.read_partial(file, stop_when, force=True)
            # Before the pixels themselves there are their tag, VR and length.
            begin = file.tell() + (8 if dataset.original_encoding[0] else 12)
            end = file.seek(0, os.SEEK_END)
            size = end - begin if begin <= end else end  # a deflated file was read to its end
    except (MemoryError, RecursionError, FormatError):
        raise
    except Exception as error:  # pydicom raises many kinds for a file that is not valid
        raise FormatError(f"{path}: its DICOM header is not valid: {error}") from error
    for keyword in _REQUIRED:
        try:
            dataset.get(keyword)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            tag = pydicom_module().datadict.tag_for_keyword(keyword)
            name = tag_name(pydicom_module().tag.Tag(tag))
            raise FormatError(f"{path}: {name} is not valid: {error}") from error
    return Header(path, dataset, ends[0] if ends else None, size, identity)


def _is_directory(dataset: Any) -> bool:
    return "DirectoryRecordSequence" in dataset


def _headers(path: Path) -> list[Header]:
    """Return the headers of a file, or of all images in a folder."""
    if not path.is_dir():
        header = read_header(path)
        if not _is_directory(header.dataset):
            return [header]
        path = path.parent
    found = [read_header(file) for file in _dicom_files(path)]
    return [h for h in found if _is_image(h)]


def _is_image(header: Header) -> bool:
    """Whether a file of a folder is an image, if only a truncated one.

    Scanners keep raw data in the series of its images, with rows and columns and no pixels.
    """
    dataset = header.dataset
    if "Rows" not in dataset or _is_directory(dataset):
        return False
    kind = str(dataset.get("SOPClassUID") or _STANDARD)
    return header.pixels is not None or (kind.startswith(_STANDARD) and kind != _RAW_DATA)


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(to_python(value)).strip()


def series_of(path: str | os.PathLike[str]) -> list[Series]:
    """Return the series of images in a folder.

    Parameters
    ----------
    path : path
        A folder, or a file in it.
    """
    return [entry for entry, _ in _by_series(_headers(Path(path)))]


def _by_series(headers: list[Header]) -> list[tuple[Series, list[Header]]]:
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(_text(header.dataset, "SeriesInstanceUID"), []).append(header)
    out = []
    for uid, members in groups.items():
        first = members[0].dataset
        words = [_text(first, f) for f in ("SeriesDescription", "SeriesNumber", "Modality")]
        out.append((Series(uid, words[0], words[1], words[2], len(members)), members))
    return out


def choose_series(path: Path, series: str | int | None) -> list[Header]:
    """Return the headers of the only series, or of the one that `series` names."""
    listed = _by_series(_headers(path))
    if not listed:
        raise FormatError(f"{path}: there are no DICOM images")
    groups = listed
    if series is not None:
        wanted = str(series)
        # A UID decides alone: the description of one series may be the number of another.
        groups = [g for g in listed if wanted == g[0].uid] or [
            g for g in listed if wanted in g[0][:3]
        ]
    if len(groups) == 1:
        return groups[0][1]
    lines = "".join(
        f"\n  series={s.uid!r}  # {s.modality} {s.number} {s.description!r}, {s.files} files"
        for s, _ in (groups or listed)[:20]
    )
    what = f"{len(groups)} series" + ("" if series is None else f" are called {series!r}")
    raise FormatError(
        f"{path}: {what}; choose one by its uid, or by its description or number where these are "
        f"unique:{lines}" + ("\n  …" if len(groups or listed) > 20 else "")
    )
