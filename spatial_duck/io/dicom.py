"""DICOM: a file, or a folder with a series, through pydicom.

A folder is searched with those below it; files are told by their content. Where it holds several
series, ``series`` chooses one by SeriesInstanceUID, SeriesDescription or SeriesNumber; the error
without it lists them, and so does `series_of`. A path to a file opens that file alone: one slice,
or the frames of an enhanced multi-frame image.

Arrays are slowest first, ``(t or c, z, y, x, c)``; the world is x, y, z in LPS and mm. Slices are
sorted by position along the normal (`spatial_duck.io.dicom_stack`). One or two leading axes are
there where several frames share each place, by one tag or two (time and echo, time and b-value):
``t`` where a tag gives even times, else a plain axis; tags and values are in attrs. Colours are
the last axis ``c``. A frame without ImagePositionPatient (X-ray, ultrasound, secondary capture) has
an unspecified frame and origin 0.

RescaleSlope and RescaleIntercept, of each slice its own, belong to the data: they are applied, to
float64, or to an integer type where the slope is 1 throughout. ``scaled=False`` reads what is
stored. ``attrs["dicom"]`` holds the elements that all files agree on, without bulk data, sequences
and what geometry and array stand for.

Options of `read`: ``series``; ``where={"EchoNumbers": 1, ...}`` takes the frames whose elements
have these values; ``tolerance`` (mm, 0.01), ``irregular="resample"`` with ``step``, and
``duplicates="first"`` as for `dicom_stack.stacked`; ``scaled``.
Options of `write` (``format="dicom"``; a folder of one file a slice, with new instance and series
UIDs): ``frame`` says what an unspecified frame is. Patient, study and frame of reference are taken
from ``attrs["dicom"]``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, missing_extra
from spatial_duck.geometry import Geometry
from spatial_duck.io import safety
from spatial_duck.io.dicom_stack import KEYS, Frame, Slice, stacked
from spatial_duck.io.source import Source
from spatial_duck.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Series", "looks_like_dicom", "open_source", "series_of", "write_image"]

#: Elements that geometry, array or file stand for.
_OWN = frozenset(
    """ImagePositionPatient ImageOrientationPatient PixelSpacing SliceLocation InstanceNumber
    SOPInstanceUID SOPClassUID Rows Columns NumberOfFrames BitsAllocated BitsStored HighBit
    PixelRepresentation SamplesPerPixel PlanarConfiguration SmallestImagePixelValue
    LargestImagePixelValue SpacingBetweenSlices GridFrameOffsetVector PixelDataProviderURL
    FrameIncrementPointer PixelPaddingRangeLimit""".split()
)
_RESCALE = ("RescaleSlope", "RescaleIntercept", "DoseGridScaling")
_BULK = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ", "AT"])
_LONGEST = 1 << 14
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


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError:
        raise missing_extra("pydicom", "io", "Reading DICOM") from None
    return pydicom


# --- files and series ---------------------------------------------------------------------


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
    pydicom = _pydicom()
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


def _chosen(path: Path, series: str | int | None) -> list[tuple[Path, Any]]:
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


# --- frames -------------------------------------------------------------------------------


def _numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    value = dataset.get(keyword) if dataset is not None else None
    if value is None or value == "":
        return None
    try:
        out = tuple(float(v) for v in (value if _is_many(value) else (value,)))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{keyword} must hold numbers, got {value!r}") from error
    if len(out) != count or not np.isfinite(out).all():
        raise FormatError(f"{keyword} must hold {count} finite numbers, got {value!r}")
    return out


def _is_many(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


class _Scope:
    """Looks elements up in a frame's functional groups, the shared ones, and the file's own."""

    def __init__(self, dataset: Any, index: int | None) -> None:
        self._places: list[Any] = []
        per = dataset.get("PerFrameFunctionalGroupsSequence")
        if index is not None and per:
            self._add(per[index])
        shared = dataset.get("SharedFunctionalGroupsSequence")
        if shared:
            self._add(shared[0])
        self._places.append(dataset)

    def _add(self, groups: Any) -> None:
        for element in groups:
            if element.VR == "SQ":
                self._places.extend(element.value)

    def get(self, keyword: str) -> Any:
        """Return the value of the first place that has one, or None."""
        for place in self._places:
            value = place.get(keyword)
            if value is not None and value != "":
                return value
        return None


def _plain(value: Any) -> Any:
    """Return a value of pydicom's as Python's own."""
    if _is_many(value):
        return tuple(_plain(v) for v in value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) or type(value).__name__.startswith("DS"):
        return float(value)
    return str(value)


def _matches(scope: _Scope, where: Mapping[str, Any]) -> bool:
    for keyword, wanted in where.items():
        found = _plain(scope.get(keyword))
        want = _plain(wanted)
        try:
            same = np.allclose(np.float64(found), np.float64(want), 1e-6, 1e-6)
        except (TypeError, ValueError):
            same = found == want
        if not same:
            return False
    return True


def _frames(path: Path, dataset: Any, where: Mapping[str, Any]) -> list[Frame]:
    """Return the frames of a file that `where` takes."""
    try:
        return _checked_frames(path, dataset, where)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: its DICOM header is not valid: {error!r}") from error


def _checked_frames(path: Path, dataset: Any, where: Mapping[str, Any]) -> list[Frame]:
    for keyword in where:
        if not _pydicom().datadict.tag_for_keyword(keyword):
            raise FormatError(f"where: {keyword!r} is no keyword of DICOM's dictionary")
    if "Rows" not in dataset or "Columns" not in dataset:
        what = dataset.get("SOPClassUID")
        raise FormatError(f"it holds no image but {getattr(what, 'name', what)!s}")
    if "TotalPixelMatrixColumns" in dataset:
        raise FormatError("tiled whole-slide images are not read; use highdicom or wsidicom")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise FormatError(
            "a Siemens mosaic holds many slices in one plane, and its position is that of none; "
            "convert it to NIfTI with dcm2niix"
        )
    count = int(dataset.get("NumberOfFrames") or 1)
    many = count > 1 or "PerFrameFunctionalGroupsSequence" in dataset
    per = dataset.get("PerFrameFunctionalGroupsSequence")
    if count < 1 or (per is not None and len(per) != count):
        raise FormatError(f"NumberOfFrames is {count}, and {len(per or ())} are described")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    shape = (int(dataset.Rows), int(dataset.Columns), *([samples] if samples > 1 else []))
    if min(shape) < 1:
        raise FormatError(f"Rows, Columns and SamplesPerPixel must be positive, got {shape}")
    _check_there(path, dataset, count)
    offsets = dataset.get("GridFrameOffsetVector")
    out = []
    for index in range(count):
        scope = _Scope(dataset, index if many else None)
        if not _matches(scope, where):
            continue
        position = _numbers(scope, "ImagePositionPatient", 3)
        orientation = _numbers(scope, "ImageOrientationPatient", 6)
        if many and per is None and position and orientation:
            position = _by_offset(position, orientation, offsets, index, count)
        slope = _numbers(scope, "RescaleSlope", 1) or _numbers(scope, "DoseGridScaling", 1)
        intercept = _numbers(scope, "RescaleIntercept", 1)
        thickness = _numbers(scope, "SpacingBetweenSlices", 1)
        thickness = thickness or _numbers(scope, "SliceThickness", 1)
        out.append(
            Frame(
                path, index if many else None, shape, position, orientation,
                _pixel_spacing(scope), abs(thickness[0]) if thickness and thickness[0] else None,
                slope[0] if slope else 1.0, intercept[0] if intercept else 0.0,
                {k: _plain(v) for k in KEYS if (v := scope.get(k)) is not None},
            )
        )  # fmt: skip
    return out


def _pixel_spacing(scope: _Scope) -> tuple[float, ...] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = _numbers(scope, keyword, 2)
        if spacing is not None:
            if min(spacing) <= 0:
                raise FormatError(f"{keyword} must be positive, got {spacing}")
            return spacing
    return None


def _by_offset(
    position: tuple[float, ...],
    orientation: tuple[float, ...],
    offsets: Any,
    index: int,
    count: int,
) -> tuple[float, ...] | None:
    """Return the position of a dose's frame, which is given by its distance from the first."""
    if offsets is None or len(offsets) != count:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    shift = float(offsets[index])
    if float(offsets[0]):
        # Then they are coordinates along z, of an axial dose (PS3.3 C.8.8.3.2).
        if abs(normal[2]) < 1 - 1e-6:
            return None
        shift = (shift - float(offsets[0])) * normal[2]
    return tuple((np.array(position) + normal * shift).tolist())


# --- reading ------------------------------------------------------------------------------


def open_source(
    path: str | os.PathLike[str],
    *,
    series: str | int | None = None,
    where: Mapping[str, Any] | None = None,
    tolerance: float = 0.01,
    irregular: Literal["refuse", "resample"] = "refuse",
    step: float | None = None,
    duplicates: Literal["refuse", "first"] = "refuse",
    scaled: bool = True,
) -> Source:
    """Open a DICOM file or series; see `spatial_duck.read`."""
    place = Path(path)
    members = _chosen(place, series)
    frames = [f for file, dataset in members for f in _frames(file, dataset, where or {})]
    if not frames:
        raise FormatError(f"{place}: no frame has {dict(where or {})}")
    extra: dict[str, Any] = {}
    try:
        if all(f.position and f.orientation and f.spacing for f in frames):
            stack = stacked(
                place, frames, tolerance=tolerance, irregular=irregular, step=step,
                duplicates=duplicates,
            )  # fmt: skip
            geometry, slices = stack.geometry, list(stack.slices)
            for key, values in stack.keys:
                extra[key] = [list(v) if _is_many(v) else v for v in values]
        else:
            geometry, slices = _unplaced(place, frames)
        geometry = _with_samples(geometry, frames[0].shape)
    except GeometryError as error:
        raise FormatError(f"{place}: its geometry is not valid: {error}") from error
    first = members[0][1]
    if scaled and any("ModalityLUTSequence" in d for _, d in members):
        raise FormatError(f"{place}: values by a modality lookup table need scaled=False")
    dtype = _dtype(place, first, slices, scaled)
    attrs = _common(members)
    if scaled:
        attrs = {k: v for k, v in attrs.items() if k not in _RESCALE}
    load = _loader(place, slices, geometry, dtype, scaled)
    return Source("dicom", geometry, dtype, {"dicom": attrs | extra}, load)


def _unplaced(place: Path, frames: list[Frame]) -> tuple[Geometry, list[Slice]]:
    """Return the geometry of frames that do not say where they lie."""
    first = frames[0]
    one_file = len({f.path for f in frames}) == 1
    if len(frames) > 1 and not one_file:
        lost = [f for f in frames if not (f.position and f.orientation and f.spacing)]
        raise FormatError(
            f"{place}: {len(lost)} of {len(frames)} frames have no position, orientation or pixel "
            f"spacing ({lost[0].name}, …), so that they cannot be put in order; open one file, or "
            "take some with where={tag: value}"
        )
    rows = first.spacing or (1.0, 1.0)
    # Several frames without places (a film): their axis is plain, and in the file's order.
    shape = (*([len(frames)] if len(frames) > 1 else []), *first.shape[:2])
    world = World(("y", "x"), "mm" if first.spacing else None)
    dims = (*([None] if len(frames) > 1 else []), "y", "x")
    geometry = Geometry(shape, rows, dims=dims, world=world)
    return geometry, [Slice(f) for f in frames]


def _with_samples(geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
    if len(shape) < 3:
        return geometry
    g = geometry
    name = None if "c" in g.dims else "c"
    return Geometry(
        (*g.shape, shape[2]), g.spacing, g.origin, g.direction, (*g.dims, name), world=g.world
    )


def _stored(dataset: Any) -> np.dtype[Any]:
    bits = int(dataset.get("BitsAllocated") or 16)
    if "FloatPixelData" in dataset or bits not in (1, 8, 16, 32, 64):
        raise FormatError(f"voxels of {bits} bits are not read")
    return np.dtype(f"{'i' if dataset.get('PixelRepresentation') else 'u'}{max(bits // 8, 1)}")


def _dtype(place: Path, dataset: Any, slices: Sequence[Slice], scaled: bool) -> np.dtype[Any]:
    try:
        stored = _stored(dataset)
    except FormatError as error:
        raise FormatError(f"{place}: {error}") from error
    if any(s.other for s in slices):
        return np.dtype(np.float64)
    factors = {(s.frame.slope, s.frame.intercept) for s in slices}
    if not scaled or factors == {(1.0, 0.0)}:
        return stored
    bits = int(dataset.get("BitsStored") or 8 * stored.itemsize)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if stored.kind == "i" else (
        0, (1 << bits) - 1,
    )  # fmt: skip
    if all(a == 1 and b == int(b) for a, b in factors):
        shifts = [int(b) for _, b in factors]
        for code in ("i2", "i4"):
            info = np.iinfo(code)
            if info.min <= low + min(shifts) and high + max(shifts) <= info.max:
                return np.dtype(code)
    return np.dtype(np.float64)


def _check_there(path: Path, dataset: Any, count: int) -> None:
    """Refuse a file that is too short for the pixels that its header declares."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = count * samples * int(dataset.Rows) * int(dataset.Columns)
    needed = -(-pixels * int(dataset.get("BitsAllocated") or 16) // 8)
    packed = syntax is not None and (
        syntax.is_private or not syntax.is_transfer_syntax
        or syntax.is_compressed or syntax.is_deflated
    )  # fmt: skip
    half = "422" in str(dataset.get("PhotometricInterpretation"))
    if packed:
        safety.check_size(path, count)  # each frame has a byte at least
        safety.check_memory(path, needed)
    else:
        safety.check_size(path, needed * 2 // 3 if half else needed)


def _common(members: Sequence[tuple[Path, Any]]) -> dict[str, Any]:
    """Return the elements that all files agree on."""
    common: dict[str, Any] | None = None
    for _, dataset in members:
        found = {}
        for element in dataset:
            if element.keyword and element.keyword not in _OWN and element.VR not in _BULK:
                value = element.value
                if value is None or value == "" or len(str(value)) > _LONGEST:
                    continue
                plain = _plain(value)
                found[element.keyword] = list(plain) if isinstance(plain, tuple) else plain
        common = found if common is None else {k: v for k, v in common.items() if found.get(k) == v}
    return common or {}


def _pixels(path: Path, indices: list[int] | None) -> list[NDArray[Any]]:
    """Return frames of a file: those listed, or its only one."""
    from pydicom.pixels import iter_pixels, pixel_array

    try:
        if indices is None:
            # A file from before part 10 does not say its syntax.
            with safety.BoundedFile(path) as file:
                dataset = _pydicom().dcmread(file, force=True)
            if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
                return [_without_syntax(dataset)]
            return [pixel_array(dataset)]
        with safety.BoundedFile(path) as file:
            return list(iter_pixels(file, indices=indices))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # each decoder raises its own
        raise FormatError(
            f"{path}: its pixels cannot be read: {error}. Compressed ones may need a "
            "decoder: pip install pylibjpeg[all] or pyjpegls"
        ) from error


def _without_syntax(dataset: Any) -> NDArray[Any]:
    """Return the pixels of a file that does not say its transfer syntax: plain little endian."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset.ensure_file_meta()
    implicit = dataset.original_encoding[0]
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    out: NDArray[Any] = dataset.pixel_array
    return out


def _plane(frame: Frame, dtype: np.dtype[Any], scaled: bool) -> NDArray[Any]:
    indices = None if frame.number is None else [frame.number]
    return _finished(_pixels(frame.path, indices)[0], frame, dtype, scaled)


def _finished(
    pixels: NDArray[Any], frame: Frame, dtype: np.dtype[Any], scaled: bool
) -> NDArray[Any]:
    if pixels.shape != frame.shape:
        raise FormatError(
            f"{frame.path}: expected pixels of shape {frame.shape}, got {pixels.shape}"
        )
    if not scaled or (frame.slope, frame.intercept) == (1.0, 0.0):
        return pixels.astype(dtype, copy=False)
    out: NDArray[Any]
    if dtype.kind in "iu":
        out = pixels.astype(dtype) + dtype.type(int(frame.intercept))
    else:
        out = pixels.astype(np.float64) * frame.slope + frame.intercept
    return out


def _slice(item: Slice, dtype: np.dtype[Any], scaled: bool) -> NDArray[Any]:
    plane = _plane(item.frame, dtype, scaled)
    if item.other is None:
        return plane
    after = _plane(item.other, dtype, scaled)
    out: NDArray[Any] = plane * (1 - item.weight) + after * item.weight
    return out


def _loader(
    place: Path, slices: Sequence[Slice], geometry: Geometry, dtype: np.dtype[Any], scaled: bool
) -> Any:
    shape = geometry.shape

    def read() -> NDArray[Any]:
        safety.check_memory(place, safety.count_bytes(shape, dtype))
        out = np.empty(shape, dtype)
        flat = out.reshape(len(slices), *slices[0].frame.shape)
        files: dict[Path, list[int]] = {}
        for k, item in enumerate(slices):
            files.setdefault(item.frame.path, []).append(k)
        for path, numbers in files.items():
            frames = [slices[k].frame for k in numbers]
            if any(f.number is None for f in frames) or any(slices[k].other for k in numbers):
                for k in numbers:
                    flat[k] = _slice(slices[k], dtype, scaled)
                continue
            # One pass through a file of many frames.
            order = sorted(range(len(numbers)), key=lambda i: frames[i].number or 0)
            planes = _pixels(path, [frames[i].number or 0 for i in order])
            for i, plane in zip(order, planes, strict=True):
                flat[numbers[i]] = _finished(plane, frames[i], dtype, scaled)
        return out

    def load(lazy: bool | None) -> Any:
        return _blocks(slices, shape, dtype, scaled) if lazy else read()

    return load


def _blocks(
    slices: Sequence[Slice], shape: tuple[int, ...], dtype: np.dtype[Any], scaled: bool
) -> Any:
    """Return a Dask array with a block for each slice."""
    try:
        import dask
        import dask.array
    except ImportError:
        raise missing_extra("dask", "dask", "Reading with lazy=True") from None
    one = dask.delayed(_slice, pure=True)
    blocks = [
        dask.array.from_delayed(one(item, dtype, scaled), item.frame.shape, dtype)
        for item in slices
    ]
    return dask.array.stack(blocks).reshape(shape, merge_chunks=False)


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    overwrite: bool = False,
    progress: Any = None,
    frame: str | None = None,
) -> None:
    """Write a DICOM series, one file a slice; see `spatial_duck.write`."""
    from spatial_duck.io import dicom_write

    dicom_write.write_series(path, image, overwrite=overwrite, progress=progress, frame=frame)
