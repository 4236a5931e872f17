"""Drawing of planes with matplotlib: pictures, outlines, arrows, letters, scales and names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck._display._describe import axis_unit, unit_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry
    from spatial_duck.viewer._planes import Rendering

__all__ = [
    "Ruler",
    "annotate",
    "draw_color_bars",
    "draw_layer",
    "draw_legend",
    "explain_uniform_plane",
    "format_position",
    "make_ruler",
    "round_length",
]

#: The most labels that the legend names.
_MAX_NAMES = 24
_ARROW_COLOR = "#f2b632"


class Ruler(NamedTuple):
    """World coordinates along one side of a picture."""

    first: float  # of the first pixel's centre
    step: float
    voxels: int
    label: str
    unit: str | None

    @property
    def ends(self) -> tuple[float, float]:
        """Coordinates of the outer edges of the first and the last pixel."""
        return self.first - self.step / 2, self.first + (self.voxels - 0.5) * self.step

    def ends_apart(self, least: float) -> tuple[float, float]:
        """Coordinates of the ends of a picture with room on both sides, if it would be a sliver."""
        first, last = self.ends
        room = max(least - abs(last - first), 0.0) / 2
        return first - math.copysign(room, self.step), last + math.copysign(room, self.step)


def make_ruler(geometry: Geometry, axis: int) -> Ruler:
    """Return world coordinates along an axis of a plane, or distances if it runs obliquely."""
    column = geometry.sampled_axes.index(axis)
    step, steps = float(geometry.spacing[column]), geometry.direction[:, column]
    count, unit = geometry.shape[axis], unit_symbol(axis_unit(geometry, column))
    suffix = f" ({unit})" if unit else ""
    row = int(np.argmax(np.abs(steps)))
    if abs(steps[row]) > 1 - 1e-9:
        first, name = float(geometry.origin[row]), geometry.world.axes[row]
        return Ruler(first, math.copysign(step, steps[row]), count, name + suffix, unit)
    name = geometry.dims[axis] or f"axis {axis}"
    step = math.copysign(step, steps[row])
    return Ruler(-(count - 1) / 2 * step, step, count, f"{name}, oblique{suffix}", unit)


def format_position(value: float, step: float) -> str:
    """Return a position as text, rounded to a tenth of the distance between voxels.

    Examples
    --------
    >>> format_position(500_123.4499, 10.0), format_position(1 / 3, 0.325)
    ('500123', '0.33')
    >>> format_position(-2.0000001, 0.5)
    '-2'
    """
    if not math.isfinite(value) or not step:
        return f"{value:g}"
    digits = max(0, min(12, 1 - math.floor(math.log10(abs(step)))))
    text = f"{round(value, digits) + 0.0:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def draw_layer(
    ax: Any, rendering: Rendering, n: int, rows: Ruler, columns: Ruler, *, alpha: float = 1,
    outlined: bool = False,
) -> None:  # fmt: skip
    """Draw one image in plane `n`."""
    extent = (*columns.ends, *rows.ends[::-1])
    if rendering.planes:
        if outlined and rendering.labels:
            _draw_outlines(ax, rendering, n, rows, columns)
        else:
            ax.imshow(
                rendering.planes[n], extent=extent, interpolation="nearest", aspect="equal",
                alpha=None if alpha == 1 else alpha, **rendering.options,
            )  # fmt: skip
    if rendering.arrows is not None:
        _draw_arrows(ax, rendering, n, rows, columns, alpha if not rendering.planes else 1)


def _draw_arrows(
    ax: Any, rendering: Rendering, n: int, rows: Ruler, columns: Ruler, alpha: float
) -> None:
    assert rendering.arrows is not None
    at_rows, at_columns, down, across = rendering.arrows[n]
    x = columns.first + at_columns * columns.step
    y = rows.first + at_rows * rows.step
    ax.quiver(
        *np.meshgrid(x, y), np.nan_to_num(across), np.nan_to_num(down), angles="xy",
        scale_units="xy", scale=1 / rendering.factor, color=_ARROW_COLOR, width=0.006,
        minlength=0.2, alpha=max(alpha, 0.8), zorder=2.5,
    )  # fmt: skip


def _draw_outlines(ax: Any, rendering: Rendering, n: int, rows: Ruler, columns: Ruler) -> None:
    """Draw the edges of pixels between labels, in the colour of the label inside."""
    from matplotlib.collections import LineCollection

    labels = np.pad(np.ma.filled(rendering.planes[n], 0), 1)
    x = columns.ends[0] + np.arange(columns.voxels + 1) * columns.step
    y = rows.ends[0] + np.arange(rows.voxels + 1) * rows.step
    lines, numbers = [], []
    for one, other, is_vertical in (
        (labels[:-1, 1:-1], labels[1:, 1:-1], False),
        (labels[1:-1, :-1], labels[1:-1, 1:], True),
    ):
        r, c = np.nonzero(one != other)
        inside = np.maximum(one[r, c], other[r, c])
        # An edge lies before its pixel: between columns c - 1 and c, or rows r - 1 and r.
        stop = (c, r + 1) if is_vertical else (c + 1, r)
        ends = [[x[c], y[r]], [x[stop[0]], y[stop[1]]]]
        lines.append(np.moveaxis(np.array(ends), -1, 0))
        numbers.append(inside)
    if not sum(map(len, numbers)):
        return
    colors = rendering.options["cmap"](rendering.options["norm"](np.concatenate(numbers)))
    ax.add_collection(
        LineCollection(np.concatenate(lines), colors=colors, linewidths=1.4, capstyle="round")
    )


def explain_uniform_plane(ax: Any, drawn: NDArray[Any]) -> None:
    """Write over a plane of one value, which is drawn black, what that value is."""
    if drawn.ndim > 2:
        return
    finite = drawn[np.isfinite(drawn)]
    if not finite.size:
        words = "all NaN" if np.isnan(drawn).all() else "no finite values"
    elif drawn.size > 1 and finite.min() == finite.max():
        words = f"all {finite[0]:g}"
    else:
        return
    _draw_text(ax, 0.5, 0.5, words, ha="center", va="center")


def annotate(
    ax: Any, rows: Ruler, columns: Ruler, edges: tuple[str, str, str, str], bar: float, least: float
) -> None:
    """Draw ticks, the anatomical letters at the edges, and a scale bar of length `bar`.

    The picture is at least `least` wide and high, so that letters and titles have room.
    """
    ax.set_xlim(*columns.ends_apart(least))
    ax.set_ylim(*rows.ends_apart(least)[::-1])
    ax.set_xlabel(columns.label, fontsize="small")
    ax.set_ylabel(rows.label, fontsize="small")
    ax.tick_params(labelsize="x-small")
    ax.locator_params(nbins=5)
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.set_facecolor("black")
    places = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, across, along) in zip(edges, places, strict=True):
        _draw_text(ax, x, y, letter, ha=across, va=along)
    _draw_scale_bar(ax, columns, bar, least)


def _draw_text(ax: Any, x: float, y: float, text: str, **place: Any) -> None:
    from matplotlib import patheffects

    if text:
        drawn = ax.text(x, y, text, transform=ax.transAxes, color="white", **place)
        drawn.set_path_effects([patheffects.withStroke(linewidth=2, foreground="black")])


def round_length(length: float) -> float:
    """Return the greatest length of 1, 2 or 5 times a power of ten that is not above `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return power * max(f for f in (1, 2, 5) if f <= max(length / power, 1))


def _draw_scale_bar(ax: Any, columns: Ruler, length: float, least: float) -> None:
    """Draw a scale bar of a length in world units at the lower right."""
    from matplotlib import patheffects

    width = max(abs(columns.step) * columns.voxels, least)
    start, stop = 0.96 - length / width, 0.96
    (bar,) = ax.plot([start, stop], [0.05, 0.05], transform=ax.transAxes, color="white", lw=2.5)
    bar.set_path_effects([patheffects.withStroke(linewidth=4.5, foreground="black")])
    text = f"{length:g} {columns.unit or ''}".rstrip()
    _draw_text(ax, (start + stop) / 2, 0.065, text, ha="center", va="bottom", fontsize="small")


def draw_color_bars(figure: Any, axes: list[Any], renderings: Sequence[Rendering]) -> None:
    """Draw a color bar for each image that is drawn in a continuous scale of colors."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    for rendering in renderings:
        if "vmin" in rendering.options:
            norm = Normalize(rendering.options["vmin"], rendering.options["vmax"])
            mapped = ScalarMappable(norm, rendering.options["cmap"])
            figure.colorbar(mapped, ax=axes, shrink=0.8, pad=0.01)


def draw_legend(figure: Any, renderings: Sequence[Rendering]) -> None:
    """Draw a legend with the names of the labels in the planes."""
    from matplotlib.patches import Patch

    entries = []
    for rendering in renderings:
        for number, name in rendering.names.items():
            color = rendering.options["cmap"](rendering.options["norm"](number))
            entries.append(Patch(color=color, label=name))
    if len(entries) > _MAX_NAMES:
        more = Patch(alpha=0, label=f"and {len(entries) - _MAX_NAMES} more")
        entries = [*entries[:_MAX_NAMES], more]
    if entries:
        figure.legend(
            handles=entries, loc="outside lower center", ncols=min(len(entries), 6),
            fontsize="small", frameon=False,
        )  # fmt: skip
