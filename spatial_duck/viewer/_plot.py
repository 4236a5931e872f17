"""Pictures of images in world units: `plot`. Needs matplotlib (extra ``plot``).

The planes through the centre are drawn along the image's own axes, in true proportion, all on one
scale. Where the frame is known they are turned as radiologists have them, with the letters of the
body at the edges. An overlay lies on its own grid: its values are looked up at the physical points
of the planes. Of lazy data only the planes are computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import _colors, as_image
from spatial_duck.array import _display as display
from spatial_duck.array import _pictures as pictures
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._describe import axis_unit, unit_symbol
from spatial_duck.geometry._world import SPACE_AXES, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray

__all__ = ["figure_size", "plot"]

#: More pixels than this along a side of a plane and it is drawn from every k-th voxel.
_MAX_SIDE = 2048


class _Ruler(NamedTuple):
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


def plot(
    image: SpatialArray,
    overlay: SpatialArray | Sequence[SpatialArray] | None = None,
    *,
    at: Sequence[float] | Mapping[str, float] | None = None,
    x: float | None = None,
    y: float | None = None,
    z: float | None = None,
    t: float | None = None,
    c: int | str | None = None,
    labels: bool | None = None,
    colorbar: bool = False,
    limits: tuple[float, float] | None = None,
    cmap: str = "gray",
    overlay_cmap: str = "autumn",
    alpha: float = 0.5,
    title: str | None = None,
    figure: Any = None,
) -> Any:
    """Draw three planes through a point of an image, or one of a 2-D image.

    Parameters
    ----------
    image : SpatialArray
        An image with two or three axes of space. Of time the middle is drawn, of channels and
        other plain axes the first. Red, green and blue are drawn as colours, see
        `spatial_duck.array._colors`.
    overlay : SpatialArray or sequence of SpatialArray, optional
        Images on any grids, in the same world. Of labels the nearest voxel is drawn, in one colour
        for each and 0 transparent; others are interpolated linearly.
    at : sequence or mapping of str to float, optional
        World position that the planes go through, in world-axis order or by name; by default the
        centre.
    x, y, z : float, optional
        One coordinate of it.
    t : float, optional
        Time to draw, as `SpatialArray.sel` takes it.
    c : int or str, optional
        Channel to draw, by index or by its name.
    labels : bool, optional
        Whether the image and overlays hold labels, where their values tell wrongly: bool and
        integers that are equal over regions do.
    colorbar : bool, optional
        Draw the scale of values beside the planes.
    limits : tuple of float, optional
        Values of the darkest and the brightest colour; by default nearly the least and greatest
        value drawn.
    cmap, overlay_cmap : str, optional
        Names of matplotlib colour maps.
    alpha : float, optional
        Opacity of the overlay.
    title : str, optional
        Heading.
    figure : matplotlib Figure or SubFigure, optional
        What to draw into; by default a new figure of pyplot.

    Returns
    -------
    matplotlib.figure.Figure
        With one axes for each plane. Ticks are world coordinates where an axis of the image runs
        along one of the world, else ("oblique") distances from the centre.

    Raises
    ------
    GeometryError
        If there are fewer than two axes of space, or no voxels, or the overlay lies in another
        space.
    """
    image = as_image(image, "plot")
    image, where = _selected(image, t, c)
    colors = _colors.color_axis(image)
    still = _in_space(image)
    point = _indices(still.geometry, at, {"x": x, "y": y, "z": z})
    parts, planes = _planes(still, point)
    overlays = [overlay] if hasattr(overlay, "geometry") else list(overlay or ())
    over = [_in_space(as_image(second, "plot", "overlay")) for second in overlays]
    for second in over:
        if set(second.world.axes) != set(still.world.axes):
            raise GeometryError(
                f"overlay must lie in the space of {still.world.axes!r}, as the image does, got "
                f"one in that of {second.world.axes!r}"
            )
    if colors is not None:
        as_labels = False
        values, limits = _in_color(image, colors, planes), (0, 1)
    else:
        bare = [_values(part) for part in parts]
        if labels is None or over:
            as_labels = still.dtype.kind in "iu" and pictures.is_label_map(bare)
        else:
            as_labels = labels and still.dtype.kind in "iu"
        values = [_numbers(v) for v in bare]
        if limits is None:
            finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
            limits = pictures.contrast(finite)
    rulers = [(_ruler(p.geometry, 0), _ruler(p.geometry, 1)) for p in parts]
    sizes = [(abs(r.step) * r.voxels, abs(c.step) * c.voxels) for r, c in rulers]
    widths = [width for _, width in sizes]
    bar = min(_nice(max(widths) / 4), _nice(min(widths) / 2))
    if figure is None:
        figure = _new_figure(image)
    axes = figure.subplots(1, len(parts), squeeze=False, width_ratios=widths)[0]
    for ax, part, plane, drawn, (rows, columns) in zip(
        axes, parts, planes, values, rulers, strict=True
    ):
        extent = (*columns.ends, *rows.ends[::-1])
        shown: dict[str, Any] = {"extent": extent, "interpolation": "nearest", "aspect": "equal"}
        look = {"cmap": cmap, "vmin": limits[0], "vmax": limits[1]}
        if as_labels:
            look = _label_look(drawn, still, cmap)
        mapped = ax.imshow(drawn, **look, **shown)
        for second in over:
            over_it, look = _laid_over(second, part, labels, overlay_cmap)
            ax.imshow(over_it, alpha=alpha, **look, **shown)
        _say_what_is_not_drawn(ax, drawn)
        ax.set_title(_heading(still.geometry, plane), fontsize="medium")
        ax.set_xlabel(columns.label, fontsize="small")
        ax.set_ylabel(rows.label, fontsize="small")
        ax.tick_params(labelsize="x-small")
        ax.locator_params(nbins=5)
        ax.set_facecolor("black")
        _letters(ax, plane)
        _scale_bar(ax, columns, bar)
    if colorbar and values[0].ndim == 2:
        figure.colorbar(mapped, ax=list(axes), shrink=0.8)
    if title or where:
        figure.suptitle(", ".join(filter(None, (title, where))))
    return figure


def figure_size(image: SpatialArray) -> tuple[float, float]:
    """Return the width and height in inches of a figure that fits the planes of an image."""
    geometry = _in_space(image).geometry
    planes = display.planes(geometry)
    if not planes:
        return 4.0, 4.0
    height = max(geometry.shape[p.rows] * p.spacing[0] for p in planes)
    width = sum(geometry.shape[p.columns] * p.spacing[1] for p in planes)
    inches = 4.0 * len(planes)
    return inches, min(max(inches * height / width + 0.8, 2.5), 9.0)


def _new_figure(image: SpatialArray) -> Any:
    require("matplotlib", "Plotting")
    plt = require("matplotlib.pyplot", "Plotting")
    figure = plt.figure(figsize=figure_size(image), layout="constrained")
    if "inline" in plt.get_backend():
        plt.close(figure)  # a notebook shows what a cell returns, and open figures once more
    return figure


# --- what is drawn ------------------------------------------------------------------------


def _selected(
    image: SpatialArray, t: float | None, c: int | str | None
) -> tuple[SpatialArray, str]:
    """Return the image at a time and a channel, and words for those drawn."""
    words = []
    if t is not None:
        image = image.sel(t=t)
        words.append(f"t = {t:g}")
    if c is not None:
        name = next((d for d in ("c", "channel", "band") if d in image.dims), None)
        if name is None:
            raise GeometryError(f"plot: c= needs an axis of channels, the dims are {image.dims!r}")
        by = [k for k, v in image.coords.items() if v.dims == (name,)] if isinstance(c, str) else []
        known = next((k for k in by if c in [str(v) for v in image.coords[k].values]), None)
        if isinstance(c, str) and known is None:
            raise GeometryError(f"plot: no channel is called {c!r} in coordinates {by!r}")
        image = image.isel({name: c}) if known is None else image.sel({known: c})
        words.append(f"{name} = {c}")
    return image, ", ".join(words)


def _indices(
    geometry: Geometry, at: Sequence[float] | Mapping[str, float] | None, one: dict[str, Any]
) -> dict[int, int] | None:
    """Return the index along each axis at a world position, the centre where none is given."""
    names = geometry.world.axes
    given = {k: v for k, v in one.items() if v is not None}
    if at is not None:
        given |= dict(at) if hasattr(at, "keys") else dict(zip(names, at, strict=True))
    if not given:
        return None
    for name in given:
        if name not in names:
            raise GeometryError(f"plot: the world has no axis {name!r}; it has {names!r}")
    if 0 in geometry.shape:
        return None  # nothing to draw, as `_planes` will say
    middle = geometry.index_to_physical([n // 2 for n in geometry.shape])
    point = [given.get(name, m) for name, m in zip(names, middle.tolist(), strict=True)]
    index = np.rint(geometry.physical_to_index(point)).astype(int).tolist()
    if any(not 0 <= i < n for i, n in zip(index, geometry.shape, strict=True)):
        low, high = geometry.bounds.tolist()
        ends = ", ".join(f"{n} {a:g} … {b:g}" for n, a, b in zip(names, low, high, strict=True))
        raise GeometryError(f"plot: {given} lies outside the image, which spans {ends}")
    return dict(enumerate(index))


def _planes(
    still: SpatialArray, at: dict[int, int] | None = None
) -> tuple[list[SpatialArray], list[display.Plane]]:
    """Return the planes as 2-D images, rows first, and how each is drawn."""
    planes = display.planes(still.geometry, at)
    if not planes:
        raise GeometryError(
            "plot needs two or three axes of space and a voxel or more, got an image with shape "
            f"{still.shape} and dims {still.dims!r}"
            + (f"; lost their positions: {still.lost!r}" if still.lost else "")
        )
    return [_thinned(plane.cut(still)) for plane in planes], planes


def _thinned(part: SpatialArray) -> SpatialArray:
    rows, columns = (max(1, math.ceil(n / _MAX_SIDE)) for n in part.shape)
    thinned: SpatialArray = part if rows == columns == 1 else part[::rows, ::columns]
    return thinned


def _in_space(image: SpatialArray) -> SpatialArray:
    """Return the image at the middle of time and the first of plain axes, in space alone."""
    g = image.geometry
    columns = [
        k
        for k in range(len(g.sampled_axes))
        if any(g.direction[r, k] for r, name in enumerate(g.world.axes) if name in SPACE_AXES)
    ]
    space = [g.sampled_axes[k] for k in columns]
    if len(space) < 2 or any(n != n or n == 0 for n in g.shape):
        return image  # nothing to draw, as `_planes` will say
    middle = [n // 2 if i in g.sampled_axes else 0 for i, n in enumerate(g.shape)]
    still: SpatialArray = image[
        tuple([slice(None) if i in space else n for i, n in enumerate(middle)])
    ]
    rows = [r for r, name in enumerate(g.world.axes) if name in SPACE_AXES]
    if len(rows) == len(g.world.axes):
        return still
    names = [g.dims[i] for i in space]
    bare = Geometry(
        still.shape,
        still.spacing,
        still.origin[rows],
        still.direction[rows],
        names,
        sampled=[n for n in names if n is not None],
        world=World([g.world.axes[r] for r in rows], [g.world.units[r] for r in rows], g.frame),
    )
    return still.replace(geometry=bare)


def _values(part: SpatialArray) -> NDArray[Any]:
    """Bring a plane to memory."""
    values = np.asarray(part.to("numpy").data)
    if values.dtype.kind not in "biufc":
        raise TypeError(f"plot draws numbers, got values of type {values.dtype}")
    return values


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return values as numbers to draw, of complex ones the magnitude."""
    return (np.abs(values) if values.dtype.kind == "c" else values).astype(np.float64)


def _label_look(values: NDArray[Any], image: SpatialArray, background: str) -> dict[str, Any]:
    """Return matplotlib's colour map and norm that give each label its colour."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    numbers = np.unique(np.ma.compressed(np.ma.masked_array(values)))
    if not numbers.size:
        return {"cmap": background}
    colors = _colors.label_colors(numbers, _colors.segment_colors(image)) / 255
    ends = [numbers[0] - 0.5, *(numbers[:-1] / 2 + numbers[1:] / 2), numbers[-1] + 0.5]
    return {"cmap": ListedColormap(colors), "norm": BoundaryNorm(ends, len(numbers))}


def _in_color(image: SpatialArray, axis: int, planes: list[display.Plane]) -> list[NDArray[Any]]:
    """Return planes of red, green and blue from 0 to 1."""
    channels = []
    for k in range(3):
        still = _in_space(image[(slice(None),) * axis + (k,)])
        channels.append([_values(_thinned(plane.cut(still))) for plane in planes])
    found = [np.stack(c, -1) for c in zip(*channels, strict=True)]
    if found[0].dtype == np.uint8:
        return [f / 255 for f in found]
    low, high = pictures.contrast(np.concatenate([f.ravel() for f in found]).astype(np.float64))
    return [np.clip((_numbers(f) - low) / ((high - low) or 1), 0, 1) for f in found]


def _laid_over(
    overlay: SpatialArray, part: SpatialArray, labels: bool | None, cmap: str
) -> tuple[Any, dict[str, Any]]:
    """Look the overlay up at the points of a plane; transparent where there is nothing to see."""
    from spatial_duck.resampling import resample

    if overlay.dtype.kind in "biu":
        inside = _values(resample(overlay, to=part.geometry, interpolation="nearest", fill=0))
        if _colors.looks_like_labels([inside]) if labels is None else labels:
            values = np.ma.masked_equal(_numbers(inside), 0)
            return values, _label_look(values, overlay, cmap)
        overlay = overlay.astype(np.float64)  # which holds the fill
    found = resample(overlay, to=part.geometry, interpolation="linear", fill=math.nan)
    return np.ma.masked_invalid(_numbers(_values(found))), {"cmap": cmap}


def _say_what_is_not_drawn(ax: Any, drawn: NDArray[Any]) -> None:
    """Write over a plane without contrast why it is black."""
    if drawn.ndim > 2:
        return
    finite = drawn[np.isfinite(drawn)]
    if not finite.size:
        words = "all NaN" if np.isnan(drawn).all() else "no finite values"
    elif drawn.size > 1 and finite.min() == finite.max():
        words = f"all {finite[0]:g}"
    else:
        return
    _label(ax, 0.5, 0.5, words, ha="center", va="center")


# --- where it is --------------------------------------------------------------------------


def _ruler(geometry: Geometry, axis: int) -> _Ruler:
    """Return world coordinates along an axis of a plane, or distances if it runs obliquely."""
    column = geometry.sampled_axes.index(axis)
    step, steps = float(geometry.spacing[column]), geometry.direction[:, column]
    count, unit = geometry.shape[axis], unit_symbol(axis_unit(geometry, column))
    suffix = f" ({unit})" if unit else ""
    row = int(np.argmax(np.abs(steps)))
    if abs(steps[row]) > 1 - 1e-9:
        first, name = float(geometry.origin[row]), geometry.world.axes[row]
        return _Ruler(first, math.copysign(step, steps[row]), count, name + suffix, unit)
    name = geometry.dims[axis] or f"axis {axis}"
    step = math.copysign(step, steps[row])
    return _Ruler(-(count - 1) / 2 * step, step, count, f"{name}, oblique{suffix}", unit)


def _heading(geometry: Geometry, plane: display.Plane) -> str:
    if plane.normal is None:
        return plane.name
    name = geometry.dims[plane.normal] or f"axis {plane.normal}"
    heading = f"{plane.name}, {name} = {plane.at} of {geometry.shape[plane.normal]}"
    column = geometry.sampled_axes.index(plane.normal)
    steps = geometry.direction[:, column]
    row = int(np.argmax(np.abs(steps)))
    if abs(steps[row]) > 1 - 1e-9:
        at = geometry.origin[row] + steps[row] * geometry.spacing[column] * plane.at
        unit = unit_symbol(geometry.world.units[row]) or ""
        heading = f"{plane.name}, {geometry.world.axes[row]} = {at:.4g} {unit}".rstrip()
    return heading


def _letters(ax: Any, plane: display.Plane) -> None:
    places = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, across, along) in zip(plane.edges, places, strict=True):
        _label(ax, x, y, letter, ha=across, va=along)


def _label(ax: Any, x: float, y: float, text: str, **place: Any) -> None:
    from matplotlib import patheffects

    if text:
        drawn = ax.text(x, y, text, transform=ax.transAxes, color="white", **place)
        drawn.set_path_effects([patheffects.withStroke(linewidth=2, foreground="black")])


def _nice(length: float) -> float:
    """Return the greatest of 1, 2, 5, 10, ... (times a power of ten) that is not above `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return power * max(f for f in (1, 2, 5) if f <= max(length / power, 1))


def _scale_bar(ax: Any, columns: _Ruler, length: float) -> None:
    """Draw a bar of a length in world units at the lower right."""
    from matplotlib import patheffects

    width = abs(columns.step) * columns.voxels
    start, stop = 0.96 - length / width, 0.96
    (bar,) = ax.plot([start, stop], [0.05, 0.05], transform=ax.transAxes, color="white", lw=2.5)
    bar.set_path_effects([patheffects.withStroke(linewidth=4.5, foreground="black")])
    text = f"{length:g} {columns.unit or ''}".rstrip()
    _label(ax, (start + stop) / 2, 0.065, text, ha="center", va="bottom", fontsize="small")
