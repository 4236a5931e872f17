"""Describe a geometry in words: its axes, units and properties, for text and HTML."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from spatial_duck.geometry._points import space_axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spatial_duck.geometry import Geometry

__all__ = [
    "anatomy",
    "axis_name",
    "axis_unit",
    "printable",
    "size",
    "summary_rows",
    "unit_symbol",
]


def printable(text: str) -> str:
    r"""Return text with control characters escaped, except line ends.

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


def _named_values(
    names: Sequence[str], values: Iterable[float], units: Sequence[str | None]
) -> str:
    """Return named values as text, with the unit once where all have the same."""
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


def axis_name(geometry: Geometry, axis: int) -> str:
    """Return the name of an array axis, or its number in words."""
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
    axes = space_axes(geometry)
    try:
        return dict(zip(axes, geometry.orientation, strict=True))
    except ValueError:  # more axes run through space than space has
        return {}


def summary_rows(geometry: Geometry) -> list[tuple[str, str]]:
    """Return the properties of a geometry, as pairs of a heading and text.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> summary_rows(Geometry((4, 6), spacing=(2, 0.5), unit="mm"))
    [('dims', 'y, x'), ('spacing', 'y 2, x 0.5 mm'), ('origin', 'y 0, x 0 mm')]
    """
    world, axes = geometry.world, geometry.sampled_axes
    names = [axis_name(geometry, axis) for axis in axes]
    rows = [("dims", ", ".join("none" if n is None else n for n in geometry.dims) or "none")]
    units = [axis_unit(geometry, column) for column in range(len(axes))]
    rows.append(("spacing", _named_values(names, geometry.spacing, units)))
    rows.append(("origin", _named_values(world.axes, geometry.origin, world.units)))
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


def size(count: float) -> str:
    """Return a number of bytes as people write it.

    Examples
    --------
    >>> size(1_500_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
