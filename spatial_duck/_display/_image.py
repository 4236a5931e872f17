"""Display of images: text, HTML, and the planes that are drawn.

Nothing here computes a Dask array, reads a store or copies from a device: values and pictures are
shown only where the data are a NumPy array in memory. `planes` works on geometry alone, so that
`image.plot` draws the same planes of any image.
"""

from __future__ import annotations

import base64
import contextlib
import html as _html
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._display._describe import (
    anatomy,
    axis_name,
    printable,
    size,
    summary_rows,
)
from spatial_duck._display._drawing import Outline, card, drawing
from spatial_duck._display._pictures import png, thumbnails
from spatial_duck.geometry._points import space_axes
from spatial_duck.geometry._world import LETTER_AXES, OPPOSITE, PLANE_NAMES, SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["Plane", "html", "planes", "text"]

#: Most lines of values in the text.
_MAX_LINES = 12
_MAX_ATTRS = 12
_MAX_COORD_TEXT = 100
#: The letter at the left or the top of a picture, by a letter of the anatomical axis along it: the
#: patient's right at the left, front and head at the top (or front at the left).
_FIRST_LETTER = {"R": "R", "L": "R", "A": "A", "P": "A", "S": "S", "I": "S"}


def _coord_lines(image: Any) -> list[tuple[str, str]]:
    """Return the first coordinates as a heading and a line each."""
    lines = []
    for name, c in list(image.coords.items())[:_MAX_ATTRS]:
        values = np.array2string(c.values, threshold=6, edgeitems=2, separator=", ")
        shown = " ".join(values.strip("[]").split()) if c.ndim < 2 else f"{c.shape[-1]} numbers"
        if len(shown) > _MAX_COORD_TEXT:  # long texts, such as unique identifiers
            shown = shown[: _MAX_COORD_TEXT - 1] + "…"
        where = f" ({', '.join(map(str, c.dims))})" if c.dims else ""
        lines.append(f"{name}{where} {shown}{'' if c.unit is None else ' ' + c.unit}")
    if len(image.coords) > _MAX_ATTRS:
        lines.append(f"… and {len(image.coords) - _MAX_ATTRS} more")
    return [("coords", "\n".join(lines))] if lines else []


def _header(image: Any) -> str:
    data = _data(image)
    if data is None:
        return " × ".join(map(str, image.geometry.shape)) + ", closed"
    backend = backends.backend_of(data).name
    backend = backends.library(data) if backend == "arrayapi" else backend
    shape = " × ".join(str(n) for n in data.shape) or "0-d"
    parts = [shape, str(data.dtype).replace("torch.", ""), backend]
    # Without it: a length that only computing would tell, or a backend with sizes of its own.
    with contextlib.suppress(AttributeError, TypeError, ValueError, OverflowError):
        parts.append(size(data.size * data.dtype.itemsize))
    chunks = backends.chunks(data)
    if chunks:
        largest = [max(c, default=0) for c in chunks]
        parts.append(f"chunks {' × '.join(map(str, largest))}")
    return ", ".join(parts)


def _data(image: Any) -> Any:
    """Return the data of an image, or None once its file is closed."""
    return None if hasattr(image, "_closed") else image.data


def _in_memory(data: Any) -> bool:
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def _has_picture(data: Any) -> bool:
    return _in_memory(data) and data.dtype.kind in "biufc"


def text(image: Any) -> str:
    """Return an image as text: shape, type and backend, geometry, and values if they are few.

    Parameters
    ----------
    image : SpatialArray
        Its data are looked at only if they are a NumPy array in memory.

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np, spatial_duck as sd
    >>> sd.SpatialArray(np.eye(2), spacing=(2.0, 0.5), unit="mm")
    <SpatialArray 2 × 2, float64, numpy, 32 B>
      dims     y, x
      spacing  y 2, x 0.5 mm
      origin   y 0, x 0 mm
    [[1. 0.]
     [0. 1.]]
    """
    rows = [*summary_rows(image.geometry), *_coord_lines(image)]
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"<{type(image).__name__} {_header(image)}>"]
    for name, value in rows:
        first, *rest = value.split("\n")
        lines.append(f"  {name:<{width}}{first}")
        lines += [" " * (width + 2) + line for line in rest]
    data = _data(image)
    if _in_memory(data):
        shown = np.array2string(np.asarray(data), threshold=50, edgeitems=2).split("\n")
        if len(shown) <= _MAX_LINES:
            lines += shown
    return printable("\n".join(lines))


# --- planes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plane:
    """One plane through an image, as it is drawn.

    Attributes
    ----------
    key : tuple
        ``image[key]`` is the plane, in the array's order of axes.
    rows, columns : int
        The array axes that run down and across the picture.
    swap : bool
        Whether the plane must be transposed after indexing, so that rows come first.
    spacing : tuple of float
        Distance between rows and between columns.
    edges : tuple of str
        Letters (or "") at the left, right, top and bottom of the picture.
    name : str
        What to call it, such as ``"axial"``.
    normal : int or None
        The array axis across the plane, at index `at`.
    """

    key: tuple[Any, ...]
    rows: int
    columns: int
    swap: bool
    spacing: tuple[float, float]
    edges: tuple[str, str, str, str]
    name: str
    normal: int | None
    at: int

    def cut(self, image: Any) -> Any:
        """Return the plane of `image` (an image, or its bare array), rows first."""
        part = image[self.key]
        return part.T if self.swap else part


def planes(geometry: Geometry, at: Mapping[int, int] | None = None) -> list[Plane]:
    """Return the planes through the centre of an image that show it best.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the image. Its axes of space are drawn, at the middle of a further sampled
        axis, such as time, and at the first index of a plain one.
    at : mapping of int to int, optional
        Index along an array axis, where another one is wanted.

    Returns
    -------
    list of Plane
        Three for a volume, one for two axes of space, none for fewer or if there are no voxels.
        Where the frame is known, the patient's right is at the left, front or head at the top.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> [(p.name, p.edges) for p in planes(Geometry((9, 9, 9), frame="LPS"))][:2]
    [('axial', ('R', 'L', 'A', 'P')), ('coronal', ('R', 'L', 'S', 'I'))]
    """
    shape = geometry.shape
    if any(n != n or n == 0 for n in shape):
        return []
    letters = anatomy(geometry)
    space = space_axes(geometry)
    # A window axis runs through space a second time: named axes are the image's own.
    space = [a for a in space if geometry.dims[a] is not None] if len(space) > 3 else space
    if letters:
        space.sort(key=lambda axis: -LETTER_AXES[letters[axis]])
    elif all(geometry.dims[a] in SPACE_AXES for a in space):
        space.sort(key=lambda axis: -SPACE_AXES.index(str(geometry.dims[axis])))
    shown = space[:3]
    pairs = [(1, 2), (0, 2), (0, 1)] if len(shown) == 3 else [(0, 1)] if len(shown) == 2 else []
    return [_plane(geometry, shown, letters, pair, at or {}) for pair in pairs]


def _plane(
    geometry: Geometry,
    shown: list[int],
    letters: dict[int, str],
    pair: tuple[int, int],
    at: Mapping[int, int],
) -> Plane:
    sampled = geometry.sampled_axes
    rows, columns = shown[pair[0]], shown[pair[1]]
    middle = [at.get(i, n // 2 if i in sampled else 0) for i, n in enumerate(geometry.shape)]
    edges: list[str] = []
    key: list[Any] = list(middle)
    for axis in (columns, rows):
        to = letters.get(axis, "")
        first = _FIRST_LETTER.get(to, "")
        backwards = to != "" and to == first
        key[axis] = slice(None, None, -1 if backwards else 1)
        edges += [first, OPPOSITE.get(first, "")]
    across = [axis for axis in shown if axis not in (rows, columns)]
    normal = across[0] if across else None
    others = [LETTER_AXES[letters[a]] for a in (rows, columns) if a in letters]
    if len(others) == 2:
        name = PLANE_NAMES[({0, 1, 2} - set(others)).pop()]
    else:
        name = f"{axis_name(geometry, rows)}-{axis_name(geometry, columns)}"
    step = dict(zip(sampled, geometry.spacing.tolist(), strict=True))
    return Plane(
        tuple(key),
        rows,
        columns,
        rows > columns,
        (step[rows], step[columns]),
        (edges[0], edges[1], edges[2], edges[3]),
        name,
        normal,
        0 if normal is None else middle[normal],
    )


# --- HTML -------------------------------------------------------------------------------


def html(image: Any) -> str:
    """Return an image as HTML: geometry as a table, and its middle planes if it is in memory.

    Parameters
    ----------
    image : SpatialArray
        Its data are looked at only if they are a NumPy array in memory.

    Returns
    -------
    str
        A fragment with no scripts and no outside references.
    """
    rows = [*summary_rows(image.geometry), *_coord_lines(image)]
    attrs = image._attrs
    if attrs:
        short = reprlib.Repr()
        short.maxstring = short.maxother = 80
        shown = [f"{k}: {short.repr(v)}" for k, v in list(attrs.items())[:_MAX_ATTRS]]
        if len(attrs) > _MAX_ATTRS:
            shown.append(f"… and {len(attrs) - _MAX_ATTRS} more")
        rows.append(("attrs", "\n".join(shown)))
    data = _data(image)
    cuts = planes(image.geometry) if _has_picture(data) else []
    if cuts:
        pictures = "".join(map(_figure, cuts, thumbnails(image, cuts)))
    else:
        # Data that are not in memory: draw the grid and its chunks.
        chunks = None if data is None else backends.chunks(data)
        pictures = drawing([Outline(image.geometry, chunks=chunks)])
    return card(type(image).__name__, _header(image), rows, pictures)


def _figure(plane: Plane, pixels: NDArray[np.uint8]) -> str:
    code = base64.b64encode(png(pixels)).decode("ascii")
    left, right, top, bottom = plane.edges
    sides = f"{left}–{right}, {top}–{bottom}" if left else ""
    title = _html.escape(f"{plane.name} {sides}".strip())
    rows, columns = pixels.shape[:2]
    return (
        f'<figure style="margin:0"><img alt="{title}" width="{columns}" height="{rows}" '
        f'src="data:image/png;base64,{code}"><figcaption style="font-size:85%">{title}'
        "</figcaption></figure>"
    )
