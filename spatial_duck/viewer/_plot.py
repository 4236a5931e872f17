"""Plots of images in world units: `plot`. Needs matplotlib (extra ``plot``).

The planes through the centre are drawn along the image's own axes, in true proportion, all on one
scale. Where the frame is known they are in radiological orientation, with the anatomical letters at
the edges. An overlay lies on its own grid: it is sampled at the physical points of the planes. Of
lazy data only the planes are computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._display import _image as display
from spatial_duck._display._describe import unit_symbol
from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._points import space_axes
from spatial_duck.transforms import DisplacementField
from spatial_duck.viewer import _drawing as drawing
from spatial_duck.viewer._planes import (
    PlottedImage,
    cut_planes,
    in_space,
    plotted_image,
    render_base,
    render_overlay,
)

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["figure_size", "plot"]

_CHANNEL_DIMS = ("c", "channel", "band")


#: What a plane is drawn as wide and high as at least, of the longest side of all planes.
_THINNEST = 0.3


def plot(
    image: SpatialArray | DisplacementField,
    overlay: SpatialArray | DisplacementField | Sequence[Any] | None = None,
    *,
    at: Sequence[float] | Mapping[str, float] | None = None,
    x: float | None = None,
    y: float | None = None,
    z: float | None = None,
    t: float | None = None,
    c: int | str | None = None,
    labels: bool | None = None,
    contours: bool = False,
    colorbar: bool = False,
    legend: bool = True,
    limits: tuple[float, float] | None = None,
    cmap: str = "gray",
    overlay_cmap: str | Sequence[str] = "autumn",
    alpha: float | Sequence[float] = 0.5,
    title: str | None = None,
    figure: Any = None,
) -> Any:
    """Draw three planes through a point of an image, or one of a 2-D image.

    Parameters
    ----------
    image : SpatialArray or DisplacementField
        An image with two or three axes of space. Of time the middle is drawn, of channels and
        other plain axes the first, and the heading says which. Red, green and blue are drawn as
        colours, a stack of segments as labels, and vectors (an axis with the coordinate
        ``component``) as arrows over their length.
    overlay : SpatialArray, DisplacementField or sequence of them, optional
        Images on any grids, in the same world. Of labels the nearest voxel is drawn, in one colour
        for each (their own where they have one) and 0 transparent; others are interpolated
        linearly; vectors are arrows.
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
        Whether the image and overlays hold labels; by default bool values and integers that are
        equal over regions do.
    contours : bool, optional
        Draw the outlines of labels that lie over the image, not their areas.
    colorbar : bool, optional
        Draw the scale of values beside the planes, and that of each overlay which has one.
    legend : bool, optional
        Draw the names of labels where the image or an overlay names them.
    limits : tuple of float, optional
        Values of the darkest and the brightest colour; by default nearly the least and greatest
        value drawn.
    cmap : str, optional
        Name of a matplotlib colour map.
    overlay_cmap : str or sequence of str, optional
        Colour maps of the overlays, or one for each.
    alpha : float or sequence of float, optional
        Opacity of the overlays, or one for each.
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
    image, notes = _select_index(_as_image(image, "image"), t, c)
    base = plotted_image(image)
    still = base.parts[0]
    notes += _describe_fixed_axes(image, base)
    if image.dtype.kind == "c":
        notes.append("magnitude of complex values")
    point = _plane_indices(still.geometry, at, {"x": x, "y": y, "z": z})
    parts, planes = cut_planes(still, point)
    given = overlay if isinstance(overlay, list | tuple) else [] if overlay is None else [overlay]
    over = [plotted_image(_as_image(second, "overlay")) for second in given]
    for second in over:
        world = second.parts[0].world
        if set(world.axes) != set(still.world.axes):
            raise GeometryError(
                f"overlay must lie in the space of {still.world.axes!r}, as the image does, got "
                f"one in that of {world.axes!r}"
            )
    opacities = _one_per_overlay(alpha, len(over), "alpha")
    maps = _one_per_overlay(overlay_cmap, len(over), "overlay_cmap")
    alone = None if over else labels
    renderings = [render_base(base, planes, alone, limits, cmap)]
    for second, map_ in zip(over, maps, strict=True):
        renderings.append(render_overlay(second, parts, labels, map_))
    if factor := next(
        (rendering.factor for rendering in renderings if rendering.factor != 1), None
    ):
        notes.append(f"arrows {factor:g} × their length")
    rulers = [(drawing.make_ruler(p.geometry, 0), drawing.make_ruler(p.geometry, 1)) for p in parts]
    sizes = [(abs(r.step) * r.voxels, abs(c.step) * c.voxels) for r, c in rulers]
    least = _THINNEST * max(map(max, sizes))
    widths = [max(width, least) for _, width in sizes]
    bar = min(drawing.round_length(max(widths) / 4), drawing.round_length(min(widths) / 2))
    figure = _new_figure(image) if figure is None else figure
    axes = figure.subplots(1, len(parts), squeeze=False, width_ratios=widths)[0]
    for n, (ax, plane, (rows, columns)) in enumerate(zip(axes, planes, rulers, strict=True)):
        drawing.draw_layer(ax, renderings[0], n, rows, columns)
        for rendering, opacity in zip(renderings[1:], opacities, strict=True):
            drawing.draw_layer(ax, rendering, n, rows, columns, alpha=opacity, outlined=contours)
        drawing.explain_uniform_plane(ax, renderings[0].planes[n])
        words = _plane_title(still.geometry, plane)
        narrow = widths[n] < max(widths) / 2
        ax.set_title(words.replace(", ", ",\n", 1) if narrow else words, fontsize="medium")
        drawing.annotate(ax, rows, columns, plane.edges, bar, least)
    if colorbar:
        drawing.draw_color_bars(figure, list(axes), renderings)
    if legend:
        drawing.draw_legend(figure, renderings)
    if title or notes:
        figure.suptitle(", ".join([*filter(None, [title]), *notes]))
    return figure


def figure_size(image: SpatialArray) -> tuple[float, float]:
    """Return the width and height in inches of a figure that fits the planes of an image."""
    geometry = in_space(image).geometry
    planes = display.planes(geometry)
    if not planes:
        return 4.0, 4.0
    sides = [
        (geometry.shape[p.rows] * p.spacing[0], geometry.shape[p.columns] * p.spacing[1])
        for p in planes
    ]
    height = max(height for height, _ in sides)
    width = sum(max(width, _THINNEST * max(map(max, sides))) for _, width in sides)
    inches = 4.0 * len(planes)
    return inches, min(max(inches * height / width + 0.8, 2.5), 9.0)


def _as_image(given: Any, name: str) -> SpatialArray:
    return given.image if isinstance(given, DisplacementField) else as_image(given, "plot", name)


def _one_per_overlay(value: Any, count: int, name: str) -> list[Any]:
    """Return a list of one value for each overlay."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value, or one for each of {count} overlays: {value}")
    return list(value)


def _new_figure(image: SpatialArray) -> Any:
    require("matplotlib", "Plotting")
    plt = require("matplotlib.pyplot", "Plotting")
    figure = plt.figure(figsize=figure_size(image), layout="constrained")
    if "inline" in plt.get_backend():
        plt.close(figure)  # a notebook shows what a cell returns, and open figures once more
    return figure


# --- which plane, time and channel --------------------------------------------------------


def _select_index(
    image: SpatialArray, t: float | None, c: int | str | None
) -> tuple[SpatialArray, list[str]]:
    """Return the image at a time and a channel, and text that says which."""
    words = []
    if t is not None:
        if "t" not in image.dims:
            raise GeometryError(f"plot: t= needs an axis of time 't', the dims are {image.dims!r}")
        # An image of time indices, of which `sel` selects that of the nearest time.
        axis = image.dims.index("t")
        shape = [n if a == axis else 1 for a, n in enumerate(image.shape)]
        numbers = np.broadcast_to(np.arange(image.shape[axis]).reshape(shape), image.shape)
        at = int(np.asarray(image.replace(numbers).sel(t=t).data).flat[0]) if image.size else 0
        words.append(_describe_index(image, axis, at))
        image = image.isel(t=at)
    if c is not None:
        name = next((d for d in _CHANNEL_DIMS if d in image.dims), None)
        if name is None:
            raise GeometryError(f"plot: c= needs an axis of channels, the dims are {image.dims!r}")
        index = _channel(image, name, c)
        words.append(_describe_index(image, image.dims.index(name), index))
        image = image.isel({name: index})
    return image, words


def _channel(image: SpatialArray, dim: str, c: int | str) -> int:
    """Return the index of a channel that is given by index or name."""
    count = image.sizes[dim]
    if not isinstance(c, str):
        if not -count <= int(c) < count:
            raise GeometryError(f"plot: c must be from 0 to {count - 1}, got {c!r}")
        return int(c) % count
    along = {k: v for k, v in image.coords.items() if v.dims == (dim,)}
    for coordinate in along.values():
        names = [str(v) for v in coordinate.values]
        if c in names:
            return names.index(c)
    known = [str(v) for one in along.values() if one.values.dtype.kind in "UT" for v in one.values]
    raise GeometryError(
        f"plot: no channel is called {c!r}; "
        + (f"the names are {known!r}" if known else f"they have no names, give 0 to {count - 1}")
    )


def _describe_fixed_axes(image: SpatialArray, base: PlottedImage) -> list[str]:
    """Return text for the index that is drawn along each axis that is not of space."""
    kept = {base.axis, *space_axes(image.geometry)}
    return [
        _describe_index(image, axis, n // 2 if axis in image.geometry.sampled_axes else 0)
        for axis, n in enumerate(image.shape)
        if axis not in kept and n > 1
    ]


def _describe_index(image: SpatialArray, axis: int, index: int) -> str:
    """Return text for an index along an axis: its name, time or number."""
    geometry, dim = image.geometry, image.dims[axis]
    name = f"axis {axis}" if dim is None else dim
    along = {k: v for k, v in image.coords.items() if dim is not None and v.dims == (dim,)}
    for coordinate in along.values():
        if coordinate.values.dtype.kind in "UT" and str(coordinate.values[index]):
            return f"{name} = {coordinate.values[index]}"
    if name in along and along[name].values.dtype.kind in "iuf":
        values = np.asarray(along[name].values, dtype=float)
        step = float(np.abs(np.diff(values)).min()) if len(values) > 1 else 1.0
        unit = unit_symbol(along[name].unit) or ""
        return f"{name} = {drawing.format_position(float(values[index]), step)} {unit}".rstrip()
    if axis in geometry.sampled_axes and name in geometry.world.axes:
        column, row = geometry.sampled_axes.index(axis), geometry.world.axes.index(name)
        step = float(geometry.direction[row, column] * geometry.spacing[column])
        unit = unit_symbol(geometry.world.units[row]) or ""
        at = drawing.format_position(float(geometry.origin[row]) + step * index, step)
        return f"{name} = {at} {unit}".rstrip()
    return f"{name} = {index} of {geometry.shape[axis]}"


def _plane_indices(
    geometry: Geometry, at: Sequence[float] | Mapping[str, float] | None, one: dict[str, Any]
) -> dict[int, int] | None:
    """Return the index along each axis at a world position, the centre if none is given."""
    names = geometry.world.axes
    given = {k: v for k, v in one.items() if v is not None}
    if at is not None:
        if not hasattr(at, "keys") and len(at) != len(names):
            raise GeometryError(
                f"plot: at must be one number for each of {names!r}, or a mapping such as "
                f"{{{names[0]!r}: 12.5}}, got {at!r}"
            )
        given |= dict(at) if hasattr(at, "keys") else dict(zip(names, at, strict=True))
    if not given:
        return None
    for name in given:
        if name not in names:
            raise GeometryError(f"plot: the world has no axis {name!r}; it has {names!r}")
    if 0 in geometry.shape:
        return None  # nothing to draw: `cut_planes` raises
    middle = geometry.index_to_physical([n // 2 for n in geometry.shape])
    point = [given.get(name, m) for name, m in zip(names, middle.tolist(), strict=True)]
    index = np.rint(geometry.physical_to_index(point)).astype(int).tolist()
    if any(not 0 <= i < n for i, n in zip(index, geometry.shape, strict=True)):
        low, high = geometry.bounds.tolist()
        ends = ", ".join(f"{n} {a:g} … {b:g}" for n, a, b in zip(names, low, high, strict=True))
        raise GeometryError(f"plot: {given} lies outside the image, which spans {ends}")
    return dict(enumerate(index))


def _plane_title(geometry: Geometry, plane: display.Plane) -> str:
    if plane.normal is None:
        return plane.name
    name = geometry.dims[plane.normal] or f"axis {plane.normal}"
    column = geometry.sampled_axes.index(plane.normal)
    steps = geometry.direction[:, column]
    row = int(np.argmax(np.abs(steps)))
    if abs(steps[row]) <= 1 - 1e-9:
        return f"{plane.name}, {name} = {plane.at} of {geometry.shape[plane.normal]}"
    step = float(steps[row] * geometry.spacing[column])
    at = drawing.format_position(float(geometry.origin[row]) + step * plane.at, step)
    unit = unit_symbol(geometry.world.units[row]) or ""
    return f"{plane.name}, {geometry.world.axes[row]} = {at} {unit}".rstrip()
