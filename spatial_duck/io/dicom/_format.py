"""DICOM: a file, or a folder with a series, through pydicom.

A folder is searched with those below it; files are told by their content. Where it holds several
series, ``series`` chooses one by SeriesInstanceUID, SeriesDescription or SeriesNumber; the error
without it lists them, and so does `series_of`. A path to a file opens that file alone: one slice,
or the frames of an enhanced multi-frame image.

Arrays are slowest first, ``(t or c, z, y, x, c)``; the world is x, y, z in LPS and mm. Slices are
sorted by position along the normal (`spatial_duck.io.dicom._stack`). One or two leading axes are
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

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._source import Source
from spatial_duck.io.dicom._files import (
    Series,
    chosen,
    looks_like_dicom,
    pydicom_module,
    series_of,
)
from spatial_duck.io.dicom._frames import frames_of, is_many, plain
from spatial_duck.io.dicom._stack import Frame, Slice, stacked

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FORMAT", "Series", "looks_like_dicom", "series_of"]

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
    members = chosen(place, series)
    frames = [f for file, dataset in members for f in frames_of(file, dataset, where or {})]
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
                extra[key] = [list(v) if is_many(v) else v for v in values]
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
                found_value = plain(value)
                found[element.keyword] = (
                    list(found_value) if isinstance(found_value, tuple) else found_value
                )
        common = found if common is None else {k: v for k, v in common.items() if found.get(k) == v}
    return common or {}


def _pixels(path: Path, indices: list[int] | None) -> list[NDArray[Any]]:
    """Return frames of a file: those listed, or its only one."""
    from pydicom.pixels import iter_pixels, pixel_array

    try:
        if indices is None:
            # A file from before part 10 does not say its syntax.
            with safety.BoundedFile(path) as file:
                dataset = pydicom_module().dcmread(file, force=True)
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
    dask = require("dask", "Reading with lazy=True")
    require("dask.array", "Reading with lazy=True")
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
    progress: Any = None,
    frame: str | None = None,
) -> None:
    """Write a DICOM series, one file a slice; see `spatial_duck.write`."""
    from spatial_duck.io.dicom import _write as dicom_write

    dicom_write.write_series(path, image, progress=progress, frame=frame)


class Dicom(Format):
    """DICOM files and series."""

    name, suffixes = "dicom", (".dcm",)
    folder = True

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by a file's first bytes, or what is in a folder."""
        return looks_like_dicom(path, head)


FORMAT = Dicom()
