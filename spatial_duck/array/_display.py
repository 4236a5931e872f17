"""How an image is shown: as text, as HTML, and the planes that a picture of it consists of.

Nothing here computes a Dask array, reads a store or copies from a device: values and pictures are
shown only where the data are a NumPy array in memory. `planes` works on geometry alone, so that
`image.plot` draws the same planes of any image.
"""

from __future__ import annotations

import base64
import contextlib
import html as _html
import reprlib
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array._pictures import png, thumbnails
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.array._state import ImageState
    from spatial_duck.geometry import Geometry

__all__ = [
    "Plane",
    "anatomy",
    "axis_unit",
    "facts",
    "html",
    "planes",
    "printable",
    "text",
    "unit_symbol",
]

#: More lines than this and the values are left out of the text.
_MAX_LINES = 12
_MAX_ATTRS = 12
_OPPOSITE = dict(zip("LRPASI", "RLAPIS", strict=True))
#: The letter that belongs at the left of a picture, or at its top, by the axis of the body that
#: runs there: the patient's right at the left, front and head at the top (or front at the left).
_FIRST = {"R": "R", "L": "R", "A": "A", "P": "A", "S": "S", "I": "S"}
_BODY_AXIS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_PLANE_NAMES = ("sagittal", "coronal", "axial")


# --- words --------------------------------------------------------------------------------


def printable(text: str) -> str:
    r"""Return text with control characters of files spelled out, but for the ends of lines.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(
        c if c == "\n" or not _is_control(c) else c.encode("unicode_escape").decode() for c in text
    )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")


def _number(value: float) -> str:
    return f"{value:.10g}"


def _values(names: Sequence[str], values: Iterable[float], units: Sequence[str | None]) -> str:
    """Join named values, with their unit once where all have the same."""
    units = [unit_symbol(unit) for unit in units]
    parts = [f"{n} {_number(float(v))}" for n, v in zip(names, values, strict=True)]
    if not parts:
        return "none"
    if len(set(units)) == 1:
        return ", ".join(parts) + (f" {units[0]}" if units[0] else "")
    return ", ".join(p + (f" {u}" if u else "") for p, u in zip(parts, units, strict=True))


def unit_symbol(unit: str | None) -> str | None:
    """Return a unit as people write it.

    Examples
    --------
    >>> unit_symbol("um"), unit_symbol("mm"), unit_symbol(None)
    ('µm', 'mm', None)
    """
    return {"um": "µm", "us": "µs"}.get(unit or "", unit)


def axis_unit(geometry: Geometry, column: int) -> str | None:
    """Return the unit of a sampled axis: that of the world axes it runs along, if they agree.

    Parameters
    ----------
    geometry : Geometry
    column : int
        Which sampled axis, as a column of its direction.
    """
    units = {
        u
        for u, c in zip(geometry.world.units, geometry.direction[:, column], strict=True)
        if c != 0
    }
    return units.pop() if len(units) == 1 else None


def _axis_name(geometry: Geometry, axis: int) -> str:
    name = geometry.dims[axis]
    return f"axis {axis}" if name is None else name


def anatomy(geometry: Geometry) -> dict[int, str]:
    """Return the letter that each array axis of space runs to; empty where there is no frame.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> anatomy(Geometry((2, 2, 2), frame="LPS"))
    {0: 'S', 1: 'P', 2: 'L'}
    """
    if geometry.frame is None:
        return {}
    axes = _space_axes(geometry)
    try:
        return dict(zip(axes, geometry.orientation, strict=True))
    except ValueError:  # more axes run through space than space has
        return {}


def _space_axes(geometry: Geometry) -> list[int]:
    rows = [i for i, name in enumerate(geometry.world.axes) if name in SPACE_AXES]
    moves = geometry.direction[rows].any(axis=0) if rows else [False] * len(geometry.sampled_axes)
    return [axis for axis, m in zip(geometry.sampled_axes, moves, strict=True) if m]


def facts(geometry: Geometry) -> list[tuple[str, str]]:
    """Return what there is to say of a geometry, as pairs of a heading and a line (or lines).

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> facts(Geometry((4, 6), spacing=(2, 0.5), unit="mm"))
    [('dims', 'y, x'), ('spacing', 'y 2, x 0.5 mm'), ('origin', 'y 0, x 0 mm')]
    """
    world, axes = geometry.world, geometry.sampled_axes
    names = [_axis_name(geometry, axis) for axis in axes]
    rows = [("dims", ", ".join("none" if n is None else n for n in geometry.dims) or "none")]
    units = [axis_unit(geometry, column) for column in range(len(axes))]
    rows.append(("spacing", _values(names, geometry.spacing, units)))
    rows.append(("origin", _values(world.axes, geometry.origin, world.units)))
    default = [[float(a == geometry.dims[i]) for i in axes] for a in world.axes]
    if geometry.direction.tolist() != default:
        lines = [
            f"{name}: {', '.join(f'{round(c, 9) + 0.0:.6g}' for c in row)}"
            for name, row in zip(world.axes, geometry.direction.tolist(), strict=True)
        ]
        rows.append(("direction", "\n".join(lines)))
    if world.frame is not None:
        code = "".join(anatomy(geometry).values())
        rows.append(("frame", f"{world.frame}, axes run to {code}" if code else world.frame))
    if geometry.lost:
        rows.append(
            ("lost", ", ".join(f"axis {axis} by {how!r}" for axis, how in geometry.lost.items()))
        )
    return rows


def _carried(image: ImageState) -> list[tuple[str, str]]:
    """Return the coordinates as a heading and a line each, so far as there is room."""
    lines = []
    for name, c in list(image.coords.items())[:_MAX_ATTRS]:
        values = np.array2string(c.values, threshold=6, edgeitems=2, separator=", ")
        shown = " ".join(values.strip("[]").split()) if c.ndim < 2 else f"{c.shape[-1]} numbers"
        where = f" ({', '.join(map(str, c.dims))})" if c.dims else ""
        lines.append(f"{name}{where} {shown}{'' if c.unit is None else ' ' + c.unit}")
    if len(image.coords) > _MAX_ATTRS:
        lines.append(f"… and {len(image.coords) - _MAX_ATTRS} more")
    return [("coords", "\n".join(lines))] if lines else []


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def _header(image: ImageState) -> str:
    data = image.data
    backend = backends.backend_of(data).name
    backend = backends.library(data) if backend == "arrayapi" else backend
    shape = " × ".join(str(n) for n in data.shape) or "0-d"
    parts = [shape, str(data.dtype).replace("torch.", ""), backend]
    # Without it: a length that only computing would tell, or a backend with sizes of its own.
    with contextlib.suppress(AttributeError, TypeError, ValueError, OverflowError):
        parts.append(_size(data.size * data.dtype.itemsize))
    chunks = backends.chunks(data)
    if chunks:
        largest = [max(c, default=0) for c in chunks]
        parts.append(f"chunks {' × '.join(map(str, largest))}")
    return ", ".join(parts)


def _in_memory(data: Any) -> bool:
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def _has_picture(data: Any) -> bool:
    return _in_memory(data) and data.dtype.kind in "biufc"


def text(image: ImageState) -> str:
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
    rows = [*facts(image.geometry), *_carried(image)]
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"<{type(image).__name__} {_header(image)}>"]
    for name, value in rows:
        first, *rest = value.split("\n")
        lines.append(f"  {name:<{width}}{first}")
        lines += [" " * (width + 2) + line for line in rest]
    if _in_memory(image.data):
        shown = np.array2string(np.asarray(image.data), threshold=50, edgeitems=2).split("\n")
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
        Of the image. Its axes of space are drawn; of a further sampled axis, such as time, the
        middle is taken, of a plain one the first index.
    at : mapping of int to int, optional
        Index along an array axis where not that is wanted.

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
    space = _space_axes(geometry)
    # A window axis runs through space a second time: named axes are the image's own.
    space = [a for a in space if geometry.dims[a] is not None] if len(space) > 3 else space
    if letters:
        space.sort(key=lambda axis: -_BODY_AXIS[letters[axis]])
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
        first = _FIRST.get(to, "")
        backwards = to != "" and to == first
        key[axis] = slice(None, None, -1 if backwards else 1)
        edges += [first, _OPPOSITE.get(first, "")]
    across = [axis for axis in shown if axis not in (rows, columns)]
    normal = across[0] if across else None
    others = [_BODY_AXIS[letters[a]] for a in (rows, columns) if a in letters]
    if len(others) == 2:
        name = _PLANE_NAMES[({0, 1, 2} - set(others)).pop()]
    else:
        name = f"{_axis_name(geometry, rows)}-{_axis_name(geometry, columns)}"
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


_CELL = "padding:1px 10px 1px 0;text-align:left;vertical-align:top;white-space:pre-line"


def html(image: ImageState) -> str:
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
    escape = _html.escape
    rows = [*facts(image.geometry), *_carried(image)]
    attrs = image._attrs
    if attrs:
        short = reprlib.Repr()
        short.maxstring = short.maxother = 80
        shown = [f"{k}: {short.repr(v)}" for k, v in list(attrs.items())[:_MAX_ATTRS]]
        if len(attrs) > _MAX_ATTRS:
            shown.append(f"… and {len(attrs) - _MAX_ATTRS} more")
        rows.append(("attrs", "\n".join(shown)))
    table = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(printable(value))}</td></tr>'
        for name, value in rows
    )
    cuts = planes(image.geometry) if _has_picture(image.data) else []
    pictures = "".join(map(_figure, cuts, thumbnails(image, cuts)))
    return (
        f"<div><div><b>{escape(type(image).__name__)}</b> {escape(_header(image))}</div>"
        '<div style="display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start">'
        f"<table>{table}</table>{pictures}</div></div>"
    )


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
