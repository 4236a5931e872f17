"""Thumbnails of images: middle planes in grey levels or colours, encoded as PNG.

Made with NumPy and zlib, from NumPy arrays in memory; `spatial_duck._display._colors` chooses the
colours.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._display._colors import (
    color_axis,
    label_colors,
    looks_like_labels,
    segment_colors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["contrast", "gray", "is_label_map", "png", "thumbnails"]

#: Longest side of a thumbnail in pixels.
_THUMBNAIL = 144


def gray(values: NDArray[Any], limits: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Return values as grey levels from 0 to 255; what is not finite is black.

    Parameters
    ----------
    values : ndarray
        Numbers of any type; of complex ones the magnitude is shown.
    limits : tuple of float, optional
        Values of black and white. By default the 0.5th and 99.5th percentile of the finite ones.

    Examples
    --------
    >>> gray(np.array([1.0, 2.0, np.nan, 3.0]), (1, 3)).tolist()
    [0, 128, 0, 255]
    """
    with np.errstate(all="ignore"):
        found = np.abs(values) if values.dtype.kind == "c" else values
        found = found.astype(np.float64)
        finite = np.isfinite(found)
        if limits is None:
            limits = contrast(found[finite])
        low, high = limits
        # Halves, so that the difference of two huge numbers does not overflow.
        width = high / 2 - low / 2
        scaled = (found / 2 - low / 2) / width if width > 0 else np.full(found.shape, 0.5)
    return np.rint(np.where(finite, np.clip(scaled, 0, 1), 0) * 255).astype(np.uint8)


def contrast(values: NDArray[Any]) -> tuple[float, float]:
    """Return the values to show as black and as white: low and high percentiles.

    Parameters
    ----------
    values : ndarray
        Finite real numbers.

    Examples
    --------
    >>> contrast(np.array([5.0, 5.0, 7.0]))
    (5.0, 6.98)
    """
    if values.size == 0:
        return 0.0, 1.0
    least, low, high, most = np.percentile(values, (0, 0.5, 99.5, 100)).tolist()
    return (low, high) if high > low else (least, most)


def png(pixels: NDArray[np.uint8]) -> bytes:
    r"""Encode an 8-bit picture as PNG (ISO/IEC 15948), with no filter.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns) or (rows, columns, 3)
        Grey levels or RGB.

    Examples
    --------
    >>> png(np.zeros((2, 3), np.uint8))[:8]
    b'\x89PNG\r\n\x1a\n'
    """
    rows, columns = pixels.shape[:2]
    color = 0 if pixels.ndim == 2 else 2

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    lines = np.ascontiguousarray(pixels).reshape(rows, -1)
    raw = np.pad(lines, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter, 0
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, color, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw, 6))
        + chunk(b"IEND", b"")
    )


def thumbnails(image: Any, planes: Sequence[Any]) -> list[NDArray[np.uint8]]:
    """Return planes with square pixels, all on one scale of values and of length.

    Parameters
    ----------
    image : SpatialArray
        An image of numbers, on a NumPy array in memory.
    planes : sequence of Plane
        Planes of the image, of `spatial_duck._display._image.planes`.

    Returns
    -------
    list of ndarray of uint8
        Grey levels, or colours with a last axis of 3.
    """
    data, found = image.data, planes
    if not found:
        return []
    bare = np.asarray(data)
    colors = color_axis(image)
    whole = bare if colors is None else np.take(bare, [0], colors)
    sides = [n * s for p in found for n, s in zip(p.cut(whole).shape, p.spacing, strict=True)]
    pixel = max(sides, default=1.0) / _THUMBNAIL

    def small(values: NDArray[Any]) -> list[NDArray[Any]]:
        return [_shrink(p.cut(values), p.spacing, pixel) for p in found]

    if colors is not None:
        parts = [small(np.take(bare, [k], colors)) for k in range(3)]
        pictures = [np.stack(channels, -1) for channels in zip(*parts, strict=True)]
        if data.dtype != np.uint8:
            pictures = _on_one_scale(pictures)
        return pictures
    shown = small(whole)
    if data.dtype.kind in "iu" and is_label_map([p.cut(whole) for p in found]):
        known = segment_colors(image)
        return [label_colors(s, known) for s in shown]
    return _on_one_scale(shown)


def is_label_map(cuts: Sequence[NDArray[Any]]) -> bool:
    """Whether an image that is shown by itself holds labels: densely numbered ones."""
    if not cuts or not looks_like_labels(cuts):
        return False
    values = np.unique(np.concatenate([c.ravel() for c in cuts]))
    labels = values[values != 0]
    return len(labels) > 1 and labels[0] > 0 and int(labels[-1]) <= 4 * len(labels) + 10


def _on_one_scale(pictures: list[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    levels = gray(np.concatenate([p.ravel() for p in pictures])) if pictures else np.empty(0, "u1")
    ends = np.cumsum([p.size for p in pictures])[:-1]
    parts = np.split(levels, ends)
    return [part.reshape(p.shape) for p, part in zip(pictures, parts, strict=False)]


def _shrink(plane: NDArray[Any], spacing: tuple[float, float], pixel: float) -> NDArray[Any]:
    """Return the nearest voxels at the centres of square pixels."""
    index = []
    for n, step in zip(plane.shape, spacing, strict=True):
        count = max(1, round(n * step / pixel))
        at = ((np.arange(count) + 0.5) * n / count).astype(np.intp)
        index.append(np.minimum(at, n - 1))
    return plane[np.ix_(*index)]
