"""What values the pixels of a file stand for, and the smallest type that holds all of a series.

Each file says how its pixels are stored (PixelData, FloatPixelData or DoubleFloatPixelData; bits
and sign), and how they become values: by slope and intercept, by a table of the modality, by a
palette of colours, as parts of a largest value. Nothing is guessed from the first file: the type of
an image is found from all of its frames, and each value is checked against it when it is cast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._elements import integer, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._elements import Elements
    from spatial_duck.io.dicom._files import Header

__all__ = ["STORED", "Scale", "Stored", "cast", "scale_of", "smallest_type", "stored_of"]

_FLOATS = {0x7FE00008: "f4", 0x7FE00009: "f8"}
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
#: Whole numbers up to this one are doubles too.
_EXACT = 1 << 53


class Stored(NamedTuple):
    """How a file stores its pixels.

    Attributes
    ----------
    dtype : str
        Type of the pixels as they are decoded.
    low, high : int
        Range of integers, by BitsStored.
    table : {"", "palette", "modality"}
        Table of the header that turns them into colours or values.
    values : str
        Type of the table's entries.
    samples : int
        Of a pixel, after the table.
    has_syntax : bool
        Whether the file names its transfer syntax, as those that follow part 10 do.
    is_packed : bool
        Whether pixels are single bits, so that frames may begin inside a byte.
    is_jpeg2000 : bool
        Whether pixels are compressed so.
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
    """How stored numbers become values: ``stored * slope + intercept``, then divided by `parts`.

    Attributes
    ----------
    slope, intercept : float
        Of a frame.
    parts : int
        MaximumFractionalValue of a segmentation; 0 where there is none.
    """

    slope: float = 1.0
    intercept: float = 0.0
    parts: int = 0


#: Values as they are stored.
STORED = Scale()


def stored_of(header: Header, *, scaled: bool) -> Stored:
    """Return how a file stores its pixels.

    Raises
    ------
    FormatError
        If it says so in a way that is not read.
    """
    from pydicom.uid import JPEG2000TransferSyntaxes

    d = header.dataset
    samples = integer(d, "SamplesPerPixel", 1)
    syntax = getattr(d, "file_meta", {}).get("TransferSyntaxUID")
    has_syntax = syntax is not None
    if header.pixels in _FLOATS:
        return Stored(_FLOATS[header.pixels], 0, 0, samples=samples, has_syntax=has_syntax)
    allocated = integer(d, "BitsAllocated", 16)
    if allocated not in (1, 8, 16, 32, 64):
        raise FormatError(f"BitsAllocated must be 1, 8, 16, 32 or 64, got {allocated}")
    bits = integer(d, "BitsStored", allocated)
    if not 1 <= bits <= allocated:
        raise FormatError(f"BitsStored must be 1 to BitsAllocated ({allocated}), got {bits}")
    signed = bool(integer(d, "PixelRepresentation", 0))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    dtype = f"{'i' if signed else 'u'}{max(allocated // 8, 1)}"
    stored = Stored(
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


def _with_palette(dataset: Any, stored: Stored) -> Stored:
    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None:
        raise FormatError(
            "PALETTE COLOR needs a palette, and there is no RedPaletteColorLookupTableDescriptor; "
            "read the bare indices with scaled=False"
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
    except (IndexError, TypeError, ValueError):
        bits = 0
    if not 1 <= bits <= 16:
        raise FormatError(
            f"{keyword} must hold three numbers, the last 8 or 16, got {descriptor!r}; read what "
            "is stored with scaled=False"
        )
    return "u1" if bits <= 8 else "u2"


def scale_of(dataset: Any, elements: Elements) -> Scale:
    """Return how the stored numbers of a frame become values.

    Raises
    ------
    FormatError
        If that is not by one line.
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
        if "RealWorldValueSlope" in elements.facts:
            slope = numbers(elements, "RealWorldValueSlope", 1)
            intercept = numbers(elements, "RealWorldValueIntercept", 1)
        elif "LUTLabel" not in elements.facts and _has_mapping(dataset):
            raise FormatError(
                "RealWorldValueMappingSequence holds several mappings or a table, and one line is "
                "wanted; read what is stored with scaled=False"
            )
    if slope is not None and slope[0] == 0:
        raise FormatError("RescaleSlope must not be 0; read what is stored with scaled=False")
    return Scale(slope[0] if slope else 1.0, intercept[0] if intercept else 0.0)


def _has_mapping(dataset: Any) -> bool:
    groups = [*(dataset.get("SharedFunctionalGroupsSequence") or ())[:1],
              *(dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1]]  # fmt: skip
    return any("RealWorldValueMappingSequence" in g for g in groups)


# --- types --------------------------------------------------------------------------------


def smallest_type(parts: Iterable[tuple[Stored, Scale]]) -> np.dtype[Any]:
    """Return the smallest type that holds the values of all frames.

    Parameters
    ----------
    parts : iterable of (Stored, Scale)
        Of each frame.

    Raises
    ------
    FormatError
        If no type holds them all.

    Examples
    --------
    >>> signed, unsigned = Stored("i2", -2048, 2047), Stored("u2", 0, 65535)
    >>> smallest_type([(signed, STORED)])
    dtype('int16')
    >>> smallest_type([(signed, STORED), (unsigned, STORED)])
    dtype('int32')
    >>> smallest_type([(signed, Scale(1.0, -1024.0))])
    dtype('int16')
    """
    kinds = {_with_type(stored, scale) for stored, scale in set(parts)}
    if len(kinds) == 1 and not isinstance(only := next(iter(kinds)), tuple):
        return np.dtype(only)
    ranges = [k if isinstance(k, tuple) else _range(k) for k in kinds]
    if None not in ranges:
        low, high = min(r[0] for r in ranges if r), max(r[1] for r in ranges if r)
        for code in _INTEGERS:
            if np.iinfo(code).min <= low and high <= np.iinfo(code).max:
                return np.dtype(code)
    elif not any(r and max(-r[0], r[1]) > _EXACT for r in ranges):
        return np.dtype(np.float64)
    raise FormatError("no type holds the 64-bit integers of all frames; read some with where=")


def _with_type(stored: Stored, scale: Scale) -> str | tuple[int, int]:
    """Return the type of a frame's values, or their range where they are shifted integers."""
    if stored.table:
        return stored.values
    if scale.parts:
        return "f4"
    if scale == STORED:
        return stored.dtype
    slope, intercept = scale.slope, scale.intercept
    if stored.dtype[0] == "f" or slope != int(slope) or intercept != int(intercept):
        return "f8"
    ends = [int(slope) * v + int(intercept) for v in (stored.low, stored.high)]
    return min(ends), max(ends)


def _range(code: str) -> tuple[int, int] | None:
    if code[0] == "f":
        return None
    info = np.iinfo(code)
    return int(info.min), int(info.max)


def cast(
    values: NDArray[Any], dtype: np.dtype[Any], scale: Scale, name: str, stored: Stored
) -> NDArray[Any]:
    """Return stored numbers as values of the image's type, none of them changed.

    Parameters
    ----------
    values : ndarray
        Of one frame, as they are stored or after its table.
    dtype : dtype
        Of the image.
    scale : Scale
        Of the frame.
    name : str
        The frame, for messages.
    stored : Stored
        How its file stores pixels.

    Raises
    ------
    FormatError
        If a value does not fit.
    """
    if scale == STORED or stored.table:
        return _checked(values, dtype, name)
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
            f"{values.min()} to {values.max()}; read what is stored with scaled=False"
        )
    out = values.astype(np.int64) * int(scale.slope) + int(scale.intercept)
    return out.astype(dtype)


def _checked(values: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if not np.can_cast(values.dtype, dtype, "safe"):
        cast_values = values.astype(dtype)
        if not np.array_equal(cast_values, values):
            raise FormatError(
                f"{name}: its pixels are decoded as {values.dtype}, with values that {dtype} does "
                "not hold; its header does not describe them"
            )
        return cast_values
    return values.astype(dtype, copy=False)
