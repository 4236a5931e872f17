"""Geometries as HTML: their properties in a table, and grids drawn where they lie in the world.

Drawings are small inline SVG without scripts or outside references, in the colour of the text
around them, so that they are right on light and dark pages alike.
"""

from __future__ import annotations

import html as _html
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._display._describe import printable, summary_rows, unit_symbol
from spatial_duck.geometry._points import space_axes
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry, World

    Floats = NDArray[np.float64]

__all__ = ["Outline", "card", "chart", "drawing", "html"]

#: Longest side of a drawing, and the margin around it for labels, in pixels.
_SIDE, _MARGIN = 128.0, 26.0
#: Most edges of chunks that are drawn along an axis.
_MAX_EDGES = 32
#: Lines along each axis of a transformed grid, and points along each.
_LINES, _POINTS = 9, 25
#: Hues that are told apart on white and on black.
_HUES = ("#4c8dd6", "#d9822b", "#3fa66a", "#b565c9", "#c9504f", "#8a8f98")
_EDGE_LETTERS = {"R": ("R", "L"), "L": ("R", "L"), "A": ("A", "P"), "P": ("A", "P"),
            "S": ("S", "I"), "I": ("S", "I")}  # fmt: skip
_CELL_STYLE = "padding:1px 10px 1px 0;text-align:left;vertical-align:top;white-space:pre-line"


@dataclass(frozen=True)
class Outline:
    """A grid to draw.

    Attributes
    ----------
    geometry : Geometry
    label : str
        What to call it; empty for nothing.
    chunks : tuple of tuple of int, optional
        Lengths of the blocks along each array axis, whose edges are drawn.
    """

    geometry: Geometry
    label: str = ""
    chunks: tuple[tuple[int, ...], ...] | None = None


def html(geometry: Geometry) -> str:
    """Return a geometry as a fragment of HTML.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> "<svg" in html(Geometry((4, 5), spacing=0.5, unit="mm"))
    True
    """
    shape = " × ".join(map(str, geometry.shape)) or "0-d"
    return card(
        type(geometry).__name__, shape, summary_rows(geometry), drawing([Outline(geometry)])
    )


def card(kind: str, words: str, rows: Iterable[tuple[str, str]], pictures: str = "") -> str:
    """Return a heading, a table and pictures beside it.

    Parameters
    ----------
    kind, words : str
        The type that is shown, and what is said beside it.
    rows : iterable of (str, str)
        Headings and values, which are escaped.
    pictures : str
        HTML.
    """
    escape = _html.escape
    table = "".join(
        f'<tr><th style="{_CELL_STYLE}">{escape(name)}</th>'
        f'<td style="{_CELL_STYLE}">{escape(printable(value))}</td></tr>'
        for name, value in rows
    )
    return (
        f"<div><div><b>{escape(kind)}</b> {escape(printable(words))}</div>"
        '<div style="display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start">'
        f"<table>{table}</table>{pictures}</div></div>"
    )


def drawing(
    outlines: Sequence[Outline],
    moved: Callable[[Floats], Floats] | None = None,
    planes: int = 3,
) -> str:
    """Return grids in planes along the world's axes of space, as SVG.

    Parameters
    ----------
    outlines : sequence of Outline
        In one world. What lies nowhere in a plane, or has no voxels, is left out.
    moved : callable, optional
        A map of points, shape (..., n_world): lines along the middle planes of the first outline
        are drawn where it takes them.
    planes : int, optional
        No more planes than this, the first the one that shows most.

    Returns
    -------
    str
        Empty where there is nothing to draw.
    """
    outlines = [o for o in outlines if _is_drawable(o.geometry)]
    if not outlines:
        return ""
    world = outlines[0].geometry.world
    rows = sorted(
        (SPACE_AXES.index(name), r) for r, name in enumerate(world.axes) if name in SPACE_AXES
    )
    if len(rows) < 2:
        return ""
    pairs = [(a, b) for (_, a), (_, b) in itertools.combinations(rows, 2)][:planes]
    curves = [_lines(outlines[0].geometry, pair, moved) if moved else [] for pair in pairs]
    points = np.concatenate(
        [*[_corners(o.geometry) for o in outlines], *[c for several in curves for c in several]]
    )
    low, high = points.min(axis=0), points.max(axis=0)
    if not np.isfinite([low, high]).all():
        return ""
    longest = max(high[r] - low[r] for _, r in rows)
    scale = _SIDE / longest if longest > 0 else 1.0
    drawn = [
        _plane(world, pair, scale, (low, high), outlines, lines)
        for pair, lines in zip(pairs, curves, strict=True)
    ]
    names = [(o.label, _HUES[n % len(_HUES)]) for n, o in enumerate(outlines) if o.label]
    legend = "".join(
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:9px;height:9px;'
        f'margin-right:4px;background:{hue}"></span>{_html.escape(printable(label))}</span> '
        for label, hue in names
    )
    under = f'<div style="font-size:85%;width:100%">{legend}</div>' if legend else ""
    return "".join(drawn) + under


def _is_drawable(geometry: Geometry) -> bool:
    if any(n != n or n == 0 for n in geometry.shape):
        return False
    return bool(space_axes(geometry))


def _corners(geometry: Geometry) -> Floats:
    """Return the outer corners, shape (2 ** sampled axes, n_world)."""
    lengths = [geometry.shape[a] for a in geometry.sampled_axes]
    ends = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in lengths])))
    return _world_points(geometry, ends)


def _world_points(geometry: Geometry, index: Floats) -> Floats:
    found: Floats = (index * geometry.spacing) @ geometry.direction.T + geometry.origin
    return found


def _plane(
    world: World,
    pair: tuple[int, int],
    scale: float,
    ends: tuple[Floats, Floats],
    outlines: Sequence[Outline],
    curves: Sequence[Floats],
) -> str:
    """Return one plane: a world axis across and another down."""
    signs, letters = zip(*[_axis_direction(world, row) for row in pair], strict=True)
    low, high = ([float(end[row]) for row in pair] for end in ends)
    width, height = ((b - a) * scale for a, b in zip(low, high, strict=True))

    def place(points: Floats) -> Floats:
        """Return pixels across and down."""
        flat = np.stack([points[..., row] for row in pair], -1)
        from_low = np.where(np.array(signs) > 0, flat - low, np.array(high) - flat)
        moved: Floats = from_low * scale + _MARGIN
        return moved

    parts = []
    for number, outline in enumerate(outlines):
        hue = _HUES[number % len(_HUES)] if outline.label else "currentColor"
        hull = _hull(place(_corners(outline.geometry)))
        parts.append(
            f'<polygon points="{_points(hull)}" fill="{hue}" fill-opacity="0.13" '
            f'stroke="{hue}" stroke-width="1.4" stroke-linejoin="round"/>'
        )
        parts += [_line(place(edge), hue, 0.55) for edge in _chunk_edges(outline, pair)]
        first = place(outline.geometry.origin)
        parts.append(f'<circle cx="{first[0]:.1f}" cy="{first[1]:.1f}" r="2.2" fill="{hue}"/>')
    parts += [_line(place(curve), "currentColor", 0.8) for curve in curves]
    right, bottom = width + _MARGIN, height + _MARGIN
    units = [unit_symbol(world.units[row]) or "" for row in pair]
    sides = [f"{name} {_round(b - a)} {unit}".strip() for name, a, b, unit in
             zip([world.axes[row] for row in pair], low, high, units, strict=True)]  # fmt: skip
    middle = (_MARGIN + width / 2, _MARGIN + height / 2)
    parts += [
        _text(sides[0], middle[0], bottom + 21),
        _text(sides[1], 9, middle[1], f' transform="rotate(-90 9 {middle[1]:.1f})"'),
    ]
    if letters[0]:
        parts.append(_text(letters[0][0], _MARGIN - 7, middle[1] + 3.5, weight=True))
        parts.append(_text(letters[0][1], right + 7, middle[1] + 3.5, weight=True))
    if letters[1]:
        parts.append(_text(letters[1][0], middle[0], _MARGIN - 5, weight=True))
        parts.append(_text(letters[1][1], middle[0], bottom + 10, weight=True))
    total = (right + _MARGIN, bottom + _MARGIN)
    label = _html.escape(" by ".join(sides))
    return (
        f'<svg role="img" aria-label="{label}" width="{total[0]:.0f}" height="{total[1]:.0f}" '
        f'viewBox="0 0 {total[0]:.0f} {total[1]:.0f}" style="color:inherit;overflow:visible">'
        + "".join(parts)
        + "</svg>"
    )


def _axis_direction(world: World, row: int) -> tuple[int, str]:
    """Return the sign with which a world axis is drawn, and the letters at both ends."""
    name = world.axes[row]
    if world.frame is None or name not in SPACE_AXES:
        return 1, ""
    to = world.frame[SPACE_AXES.index(name)]
    first, last = _EDGE_LETTERS[to]
    return (1 if to == last else -1), first + last


def _face(geometry: Geometry, pair: tuple[int, int]) -> tuple[int, int] | None:
    """Return the two sampled axes whose face a plane shows most of; None where it shows none."""
    steps = geometry.direction[list(pair)] * geometry.spacing
    steps = steps * [geometry.shape[a] for a in geometry.sampled_axes]
    area = {
        two: abs(float(np.linalg.det(steps[:, list(two)])))
        for two in itertools.combinations(range(steps.shape[1]), 2)
    }
    return max(area, key=area.__getitem__) if any(area.values()) else None


def _lines_across(
    geometry: Geometry, one: int, other: int, edges: NDArray[Any], count: int
) -> list[Floats]:
    """Return lines along sampled axis `other` of the middle plane, at indices along `one`."""
    lengths = [geometry.shape[a] for a in geometry.sampled_axes]
    found = []
    for edge in edges.tolist():
        index = np.tile([(n - 1) / 2 for n in lengths], (count, 1))
        index[:, one] = edge
        index[:, other] = np.linspace(-0.5, lengths[other] - 0.5, count)
        found.append(_world_points(geometry, index))
    return found


def _chunk_edges(outline: Outline, pair: tuple[int, int]) -> list[Floats]:
    """Return the edges between chunks on the face of a grid that a plane shows most of."""
    geometry, face = outline.geometry, _face(outline.geometry, pair)
    if outline.chunks is None or face is None:
        return []
    found = []
    for one, other in (face, face[::-1]):
        edges = np.cumsum(outline.chunks[geometry.sampled_axes[one]])[:-1] - 0.5
        step = math.ceil(len(edges) / _MAX_EDGES) or 1
        found += _lines_across(geometry, one, other, edges[::step], 2)
    return found


def _lines(
    geometry: Geometry, pair: tuple[int, int], moved: Callable[[Floats], Floats]
) -> list[Floats]:
    """Return lines of the face of a grid that a plane shows most of, where a map takes them."""
    face = _face(geometry, pair)
    if face is None:
        return []
    found = []
    for one, other in (face, face[::-1]):
        ends = geometry.shape[geometry.sampled_axes[one]] - 0.5
        found += _lines_across(geometry, one, other, np.linspace(-0.5, ends, _LINES), _POINTS)
    return [line for line in moved(np.stack(found)) if np.isfinite(line).all()]


def _hull(points: Floats) -> Floats:
    """Return the corners of the convex hull of points in a plane, one after the other."""
    ordered = sorted({(round(x, 3), round(y, 3)) for x, y in points.tolist()})
    if len(ordered) < 3:
        return np.array(ordered)

    def chain(several: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, y in several:
            while len(kept) > 1:
                (a, b), (c, d) = kept[-2:]
                if (c - a) * (y - b) - (d - b) * (x - a) > 0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def chart(series: Sequence[Sequence[float]], words: str) -> str:
    """Return line charts, one below the other, each on a scale of its own.

    Parameters
    ----------
    series : sequence of sequence of float
    words : str
        Written under them.
    """
    kept = [np.array([v for v in one if math.isfinite(v)], dtype=float) for one in series]
    total = sum(map(len, kept))
    if total < 2:
        return ""
    width, height, parts, at = 190.0, 70.0, [], 0
    for number, values in enumerate(kept):
        if not len(values):
            continue
        low, span = float(values.min()), float(np.ptp(values)) or 1.0
        across = 8 + (at + np.arange(len(values))) * width / max(total - 1, 1)
        down = 8 + height * (1 - (values - low) / span)
        parts.append(_line(np.stack([across, down], -1), _HUES[number % len(_HUES)], 1.6))
        at += len(values)
    parts.append(_text(words, 8 + width / 2, height + 24))
    return (
        f'<svg role="img" aria-label="{_html.escape(words)}" width="{width + 16:.0f}" '
        f'height="{height + 30:.0f}">' + "".join(parts) + "</svg>"
    )


def _points(points: Floats) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points.tolist())


def _line(points: Floats, hue: str, width: float) -> str:
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{hue}" stroke-width="{width}"/>'
    )


def _text(words: str, x: float, y: float, more: str = "", *, weight: bool = False) -> str:
    bold = ' font-weight="bold"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="10.5" text-anchor="middle" fill="currentColor"'
        f"{bold}{more}>{_html.escape(words)}</text>"
    )


def _round(value: Any) -> str:
    return f"{float(value):.4g}"
