"""The colours of an image on display: grey levels, its own colours, or one for each label.

Coordinates and attrs decide where they are there: channels named red, green and blue, a table of
segments. Otherwise the voxels of the drawn planes do: labels are integers that are equal over
regions, while intensities differ from voxel to voxel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["color_axis", "label_colors", "label_names", "looks_like_labels", "segment_colors"]

_PRIMARIES = ("red", "green", "blue")
_COLOR_DIMS = ("c", "channel", "rgb", "color", "colour")
#: Least share of equal neighbours (other than two zeros) in an image of labels.
_MIN_EQUAL_SHARE = 0.4
#: With more values than this, steps of 1 or 2 between neighbours indicate smooth intensities.
_MAX_FEW_LABELS = 20


def color_axis(image: Any) -> int | None:
    """Return the array axis that holds red, green and blue (and alpha), or None.

    Channels with names are colours where the names say so. Without names, three bytes along an
    axis called ``c`` are, and four where it is the last axis.

    Parameters
    ----------
    image : SpatialArray
        Its values are not looked at.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> color_axis(sd.SpatialArray(np.zeros((4, 5, 3), "u1"), dims=("y", "x", "c")))
    2
    """
    geometry = image.geometry
    for axis, (name, length) in enumerate(zip(geometry.dims, geometry.shape, strict=True)):
        if axis in geometry.sampled_axes or length not in (3, 4) or name is None:
            continue
        along = [c for c in image.coords.values() if c.dims == (name,)]
        if any(key == "component" for key, c in image.coords.items() if c in along):
            continue
        named = [
            [str(v).lower() for v in c.values[:3]] for c in along if c.values.dtype.kind in "UT"
        ]
        if any(names == [*_PRIMARIES] for names in named):
            return axis
        plain = not named and name in _COLOR_DIMS and backends.host_type(image.dtype) == np.uint8
        if plain and (length == 3 or axis == image.ndim - 1):
            return axis
    return None


def looks_like_labels(planes: Sequence[NDArray[Any]]) -> bool:
    """Whether planes of an image hold labels: of bool, or integers that are equal over regions.

    Parameters
    ----------
    planes : sequence of ndarray
        Two-dimensional.

    Examples
    --------
    >>> blobs = np.kron([[0, 3], [70000, 1]], np.ones((4, 4), int))
    >>> looks_like_labels([blobs]), looks_like_labels([np.arange(64).reshape(8, 8)])
    (True, False)
    """
    if all(p.dtype.kind == "b" for p in planes):
        return True
    if any(p.dtype.kind not in "biu" for p in planes):
        return False
    first = np.concatenate([a.ravel() for p in planes for a in (p[1:], p[:, 1:])] or [np.empty(0)])
    second = np.concatenate([a.ravel() for p in planes for a in (p[:-1], p[:, :-1])] or [first])
    values = np.unique(np.concatenate([p.ravel() for p in planes]))
    if len(values[values != 0]) <= 1:
        return True
    shown = (first != 0) | (second != 0)
    first, second = first[shown], second[shown]
    if np.mean(first == second) < _MIN_EQUAL_SHARE:
        return False
    if len(values) <= _MAX_FEW_LABELS:
        return True
    inside = (first != second) & (first != 0) & (second != 0)
    steps = np.abs(first[inside].astype(np.float64) - second[inside].astype(np.float64))
    return bool(steps.size == 0 or np.mean(steps <= 2) < 0.8)


def label_colors(
    values: NDArray[Any], known: Mapping[int, tuple[int, int, int]] | None = None
) -> NDArray[np.uint8]:
    """Return a colour for each label: of `known`, else hues by the golden angle.

    Neighbouring numbers differ most, and a label has one colour in every picture.

    Parameters
    ----------
    values : ndarray of int
    known : mapping of int to tuple of int, optional
        Colours that the image says.

    Returns
    -------
    ndarray of uint8, shape (..., 3)
        Black for 0.

    Examples
    --------
    >>> label_colors(np.array([0, 1, 2])).tolist()
    [[0, 0, 0], [36, 250, 116], [179, 36, 250]]
    """
    numbers, places = np.unique(values, return_inverse=True)
    hue = np.mod(numbers.astype(np.float64) * 137.508 + 5, 360)
    parts = []
    for n in (0, 8, 4):
        k = np.mod(n + hue / 30, 12)
        parts.append(0.56 - 0.42 * np.clip(np.minimum(k - 3, 9 - k), -1, 1))
    colors = np.rint(255 * np.stack(parts, -1)).astype(np.uint8)
    colors[numbers == 0] = 0
    for number, color in (known or {}).items():
        colors[numbers == number] = color
    return colors[places.reshape(values.shape)]


def segment_colors(image: Any) -> dict[int, tuple[int, int, int]]:
    """Return the colours of labels in the metadata of an image: see `label_names`."""
    return {number: color for number, _, color in _label_entries(image) if color is not None}


def label_names(image: Any) -> dict[int, str]:
    """Return the names of labels in the metadata of an image.

    They stand in the coordinates of a stack of segments (``segment_number``, ``segment_label``,
    ``color``), in ``attrs["segments"]``, or in ``attrs["ome"]["image-label"]`` of OME-Zarr.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> table = [{"label": 1, "name": "liver", "color": "dd8265"}]
    >>> image = sd.SpatialArray(np.ones((2, 2), int), attrs={"segments": table})
    >>> label_names(image), segment_colors(image)
    ({1: 'liver'}, {1: (221, 130, 101)})
    """
    return {number: name for number, name, _ in _label_entries(image) if name}


def _label_entries(image: Any) -> Iterator[tuple[int, str, tuple[int, int, int] | None]]:
    """Yield the number, name and colour of each label that an image describes."""
    numbers = image.coords.get("segment_number")
    if numbers is not None and len(numbers.dims) == 1:
        labels, colors = (_texts(image, key, len(numbers)) for key in ("segment_label", "color"))
        for number, name, color in zip(numbers.values.tolist(), labels, colors, strict=True):
            yield int(number), name, _hex_color(color)
    table = image.attrs.get("segments")
    for row in table if isinstance(table, list | tuple) else ():
        if isinstance(row, Mapping):
            number = _integer(row.get("label", row.get("SegmentNumber")))
            name = row.get("name", row.get("SegmentLabel", ""))
            if number is not None:
                yield number, str(name), _hex_color(row.get("color", ""))
    ome = image.attrs.get("ome")
    said = ome.get("image-label") if isinstance(ome, Mapping) else None
    for row in _rows(said, "properties"):
        number = _integer(row.get("label-value"))
        texts = [v for k, v in row.items() if k != "label-value" and isinstance(v, str)]
        name = next((row[k] for k in ("name", "label", "class") if k in row), "".join(texts[:1]))
        if number is not None:
            yield number, str(name), None
    for row in _rows(said, "colors"):
        number, rgba = _integer(row.get("label-value")), row.get("rgba")
        if number is not None and isinstance(rgba, list | tuple) and len(rgba) >= 3:
            parts = [_integer(v) for v in rgba[:3]]
            red, green, blue = (min(max(v or 0, 0), 255) for v in parts)
            yield number, "", (red, green, blue)


def _rows(said: Any, key: str) -> list[Mapping[str, Any]]:
    rows = said.get(key) if isinstance(said, Mapping) else None
    return [r for r in rows if isinstance(r, Mapping)] if isinstance(rows, list | tuple) else []


def _texts(image: Any, key: str, count: int) -> list[str]:
    """Return the texts of a coordinate; empty ones where it is not there."""
    found = image.coords.get(key)
    if found is None or len(found.dims) != 1 or len(found) != count:
        return [""] * count
    return [str(v) for v in found.values]


def _integer(value: Any) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _hex_color(text: Any) -> tuple[int, int, int] | None:
    digits = str(text).removeprefix("#")
    try:
        return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    except ValueError:  # without a colour
        return None
