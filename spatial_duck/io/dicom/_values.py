"""Conversion of stored pixels to values, and the smallest type that holds those of a series.

Each file defines how its pixels are stored (PixelData, FloatPixelData or DoubleFloatPixelData; bits
and sign) and converted to values: by slope and intercept, by a table of the modality, by a palette
of colours, as fractions of a largest value. The type of an image is derived from all of its frames,
not from the first alone, and each value is checked against it when it is cast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io._safety import MALFORMED
from spatial_duck.io.dicom._elements import integer, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._elements import Elements
    from spatial_duck.io.dicom._files import Header

__all__ = [
    "UNSCALED",
    "PixelFormat",
    "Scale",
    "cast",
    "frame_scale",
    "pixel_format",
    "smallest_type",
]

_FLOATS = {0x7FE00008: "f4", 0x7FE00009: "f8"}
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
#: Largest integer up to which float64 holds all integers exactly.
_MAX_EXACT = 1 << 53


class PixelFormat(NamedTuple):
    """How a file stores its pixels.

    Attributes
    ----------
    dtype : str
        Type of the decoded pixels.
    low, high : int
        Range of integers, by BitsStored.
    table : {"", "palette", "modality"}
        Table of the header that converts them to colours or values.
    values : str
        Type of the table's entries.
    samples : int
        Samples of a pixel, after the table.
    has_syntax : bool
        Whether the file has a transfer syntax, as those that follow part 10 do.
    is_packed : bool
        Whether pixels are single bits, so that frames may begin inside a byte.
    is_jpeg2000 : bool
        Whether pixels are compressed with JPEG 2000.
    """

    dtype: str
    low: int
    high: int
    table: Literal["", "palette", "modality"] = ""
    values: str = ""
    samples: int = 1
    has_syntax: bool = True
    is_packed: bool = False
    is_jpeg2000: bool = False


class Scale(NamedTuple):
    """Conversion of stored numbers to values: ``stored * slope + intercept``, or by `parts`.

    Attributes
    ----------
    slope, intercept : float
        RescaleSlope and RescaleIntercept of a frame, or what corresponds to them.
    parts : int
        MaximumFractionalValue of a segmentation, by which values are divided; 0 if there is none.
    """

    slope: float = 1.0
    intercept: float = 0.0
    parts: int = 0


#: The scale of values that are the stored numbers.
UNSCALED = Scale()


def pixel_format(header: Header, *, scaled: bool) -> PixelFormat:
    """Return how a file stores its pixels.

    Raises
    ------
    FormatError
        If the header is not valid.
    """
    from pydicom.uid import JPEG2000TransferSyntaxes

    d = header.dataset
    samples = integer(d, "SamplesPerPixel", 1)
    syntax = getattr(d, "file_meta", {}).get("TransferSyntaxUID")
    has_syntax = syntax is not None
    if header.pixels in _FLOATS:
        return PixelFormat(_FLOATS[header.pixels], 0, 0, samples=samples, has_syntax=has_syntax)
    allocated = integer(d, "BitsAllocated", 16)
    if allocated not in (1, 8, 16, 32, 64):
        raise FormatError(f"BitsAllocated must be 1, 8, 16, 32 or 64, got {allocated}")
    bits = integer(d, "BitsStored", allocated)
    if not 1 <= bits <= allocated:
        raise FormatError(f"BitsStored must be 1 to BitsAllocated ({allocated}), got {bits}")
    signed = bool(integer(d, "PixelRepresentation", 0))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    dtype = f"{'i' if signed else 'u'}{max(allocated // 8, 1)}"
    stored = PixelFormat(
        dtype, low, high, samples=samples, has_syntax=has_syntax, is_packed=allocated == 1,
        is_jpeg2000=syntax in JPEG2000TransferSyntaxes,
    )  # fmt: skip
    if not scaled or d.get("SegmentationType"):
        return stored
    if d.get("PhotometricInterpretation") == "PALETTE COLOR":
        return _with_palette(d, stored)
    if d.get("ModalityLUTSequence"):
        descriptor = d.ModalityLUTSequence[0].get("LUTDescriptor")
        return stored._replace(table="modality", values=_entry_type(descriptor, "LUTDescriptor"))
    return stored


def _with_palette(dataset: Any, stored: PixelFormat) -> PixelFormat:
    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None:
        raise FormatError(
            "PALETTE COLOR needs a palette, and there is no RedPaletteColorLookupTableDescriptor; "
            "read the indices with scaled=False"
        )
    alpha = "AlphaPaletteColorLookupTableDescriptor" in dataset
    values = _entry_type(descriptor, "RedPaletteColorLookupTableDescriptor")
    table = dataset.get("RedPaletteColorLookupTableData")
    count = int(descriptor[0]) or 1 << 16
    if table is not None and values == "u1" and len(table) >= 2 * count:
        values = "u2"  # 8-bit entries in 16 bits each
    return stored._replace(table="palette", values=values, samples=4 if alpha else 3)


def _entry_type(descriptor: Any, keyword: str) -> str:
    try:
        bits = int(descriptor[2])
    except MALFORMED:
        bits = 0
    if not 1 <= bits <= 16:
        raise FormatError(
            f"{keyword} must hold three numbers, the last 8 or 16, got {descriptor!r}; read the "
            "stored numbers with scaled=False"
        )
    return "u1" if bits <= 8 else "u2"


def frame_scale(dataset: Any, elements: Elements) -> Scale:
    """Return the conversion of a frame's stored numbers to values.

    Raises
    ------
    FormatError
        If it is not one linear function.
    """
    if dataset.get("SegmentationType") == "FRACTIONAL":
        parts = integer(dataset, "MaximumFractionalValue", 0)
        if not 1 <= parts <= 255:
            raise FormatError(f"MaximumFractionalValue must be 1 to 255, got {parts}")
        return Scale(parts=parts)
    slope = numbers(elements, "RescaleSlope", 1)
    slope = slope or numbers(elements, "DoseGridScaling", 1)
    intercept = numbers(elements, "RescaleIntercept", 1)
    if slope is None and intercept is None and dataset.get("SOPClassUID") == _PARAMETRIC_MAP:
        if "RealWorldValueSlope" in elements.values:
            slope = numbers(elements, "RealWorldValueSlope", 1)
            intercept = numbers(elements, "RealWorldValueIntercept", 1)
        elif "LUTLabel" not in elements.values and _has_mapping(dataset):
            raise FormatError(
                "RealWorldValueMappingSequence holds several mappings or a table, and one linear "
                "mapping is needed; read the stored numbers with scaled=False"
            )
    if slope is not None and slope[0] == 0:
        raise FormatError("RescaleSlope must not be 0; read the stored numbers with scaled=False")
    return Scale(slope[0] if slope else 1.0, intercept[0] if intercept else 0.0)


def _has_mapping(dataset: Any) -> bool:
    groups = [*(dataset.get("SharedFunctionalGroupsSequence") or ())[:1],
              *(dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1]]  # fmt: skip
    return any("RealWorldValueMappingSequence" in g for g in groups)


# --- types --------------------------------------------------------------------------------


def smallest_type(parts: Iterable[tuple[PixelFormat, Scale]]) -> np.dtype[Any]:
    """Return the smallest type that holds the values of all frames.

    Parameters
    ----------
    parts : iterable of (PixelFormat, Scale)
        Pixel format and scale of each frame.

    Raises
    ------
    FormatError
        If no type holds them all.

    Examples
    --------
    >>> signed, unsigned = PixelFormat("i2", -2048, 2047), PixelFormat("u2", 0, 65535)
    >>> smallest_type([(signed, UNSCALED)])
    dtype('int16')
    >>> smallest_type([(signed, UNSCALED), (unsigned, UNSCALED)])
    dtype('int32')
    >>> smallest_type([(signed, Scale(1.0, -1024.0))])
    dtype('int16')
    """
    kinds = {_value_type(stored, scale) for stored, scale in set(parts)}
    if len(kinds) == 1 and not isinstance(only := next(iter(kinds)), tuple):
        return np.dtype(only)
    ranges = [k if isinstance(k, tuple) else _range(k) for k in kinds]
    if None not in ranges:
        low, high = min(r[0] for r in ranges if r), max(r[1] for r in ranges if r)
        for code in _INTEGERS:
            if np.iinfo(code).min <= low and high <= np.iinfo(code).max:
                return np.dtype(code)
    elif not any(r and max(-r[0], r[1]) > _MAX_EXACT for r in ranges):
        return np.dtype(np.float64)
    raise FormatError("no type holds the 64-bit integers of all frames; read some with where=")


def _value_type(stored: PixelFormat, scale: Scale) -> str | tuple[int, int]:
    """Return the type of a frame's values, or their range if they are scaled integers."""
    if stored.table:
        return stored.values
    if scale.parts:
        return "f4"
    if scale == UNSCALED:
        return stored.dtype
    slope, intercept = scale.slope, scale.intercept
    if stored.dtype[0] == "f" or slope != int(slope) or intercept != int(intercept):
        return "f8"
    ends = [int(slope) * v + int(intercept) for v in (stored.low, stored.high)]
    # Beyond that the numbers of the scale itself are rounded.
    return "f8" if max(map(abs, ends)) > _MAX_EXACT else (min(ends), max(ends))


def _range(code: str) -> tuple[int, int] | None:
    if code[0] == "f":
        return None
    info = np.iinfo(code)
    return int(info.min), int(info.max)


def cast(
    values: NDArray[Any], dtype: np.dtype[Any], scale: Scale, name: str, stored: PixelFormat
) -> NDArray[Any]:
    """Return stored numbers as values of the image's type.

    Parameters
    ----------
    values : ndarray
        Stored numbers of one frame, or the values from its table.
    dtype : dtype
        Data type of the image.
    scale : Scale
        Scale of the frame.
    name : str
        Name of the frame for messages.
    stored : PixelFormat
        How its file stores pixels.

    Raises
    ------
    FormatError
        If a value does not fit.
    """
    if scale == UNSCALED or stored.table:
        return _cast_exactly(values, dtype, name)
    out: NDArray[Any]
    if scale.parts:
        out = values.astype(dtype) / dtype.type(scale.parts)
        return out
    if dtype.kind == "f":
        out = values.astype(np.float64) * scale.slope + scale.intercept
        return out
    if values.size and (int(values.min()) < stored.low or int(values.max()) > stored.high):
        raise FormatError(
            f"{name}: BitsStored says {stored.low} to {stored.high}, and there are values from "
            f"{values.min()} to {values.max()}; read the stored numbers with scaled=False"
        )
    out = values.astype(np.int64) * int(scale.slope) + int(scale.intercept)
    return out.astype(dtype)


def _cast_exactly(values: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if not np.can_cast(values.dtype, dtype, "safe"):
        cast_values = values.astype(dtype)
        if not np.array_equal(cast_values, values):
            raise FormatError(
                f"{name}: its pixels are decoded as {values.dtype}, with values that {dtype} does "
                "not hold; its header does not fit them"
            )
        return cast_values
    return values.astype(dtype, copy=False)
