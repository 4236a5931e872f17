"""Renderings of an image in each plane: grey levels, colours, labels or arrows.

A `PlottedImage` is an image without its axes of time and channels, in one part or several: red,
green and blue, the masks of a stack of segments, the components of vectors. A `Rendering` is what
matplotlib draws of it in each plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck._display import _colors
from spatial_duck._display import _image as display
from spatial_duck._display import _pictures as pictures
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._points import space_axes
from spatial_duck.geometry._world import SPACE_AXES, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray

__all__ = [
    "PlottedImage",
    "Rendering",
    "cut_planes",
    "in_space",
    "plotted_image",
    "render_base",
    "render_overlay",
]

#: The most pixels along a side of a plane; a larger one is drawn from every k-th voxel.
_MAX_SIDE = 2048
#: Number of arrows along the longer side of a plane.
_ARROWS = 24


class PlottedImage(NamedTuple):
    """The parts of an image that are drawn together.

    Attributes
    ----------
    kind : {"values", "colors", "segments", "vectors"}
    parts : list of SpatialArray
        Images that have axes of space only: one, or one for each index along `axis`.
    axis : int or None
        The array axis that the parts lie along.
    image : SpatialArray
        The whole image.
    """

    kind: str
    parts: list[SpatialArray]
    axis: int | None
    image: SpatialArray


@dataclass
class Rendering:
    """The drawing of an image in each plane.

    Attributes
    ----------
    planes : list of ndarray
        Values, colours (with a last axis of 3), or masked labels.
    options : dict
        Arguments of ``imshow``: a colour map and limits or a norm.
    labels : bool
        Whether the planes hold labels.
    names : dict of int to str
        Names of the labels.
    arrows : list of tuple of ndarray, optional
        For each plane: rows, columns, and the components down and across at these.
    factor : float
        Length of the arrows relative to the vectors.
    """

    planes: list[NDArray[Any]]
    options: dict[str, Any]
    labels: bool = False
    names: dict[int, str] = field(default_factory=dict)
    arrows: list[tuple[Any, Any, Any, Any]] | None = None
    factor: float = 1.0


def plotted_image(image: SpatialArray) -> PlottedImage:
    """Return an image as the parts that are drawn together."""
    kind, axis = "values", _colors.color_axis(image)
    if axis is not None:
        kind = "colors"
    elif (axis := _axis_of(image, "segment_number")) is not None:
        kind = "segments"
    elif (axis := _vector_axis(image)) is not None:
        kind = "vectors"
    if axis is None:
        return PlottedImage(kind, [in_space(image)], None, image)
    count = 3 if kind == "colors" else image.shape[axis]
    if count == 0:
        return PlottedImage("values", [in_space(image)], None, image)
    parts = [in_space(image[(slice(None),) * axis + (k,)]) for k in range(count)]
    return PlottedImage(kind, parts, axis, image)


def _axis_of(image: SpatialArray, coordinate: str) -> int | None:
    """Return the array axis along which a coordinate lies, None if there is no such one."""
    found = image.coords.get(coordinate)
    if found is None or len(found.dims) != 1 or found.dims[0] not in image.dims:
        return None
    return image.dims.index(found.dims[0])


def _vector_axis(image: SpatialArray) -> int | None:
    """Return the axis of vectors with one component for each world axis of space."""
    axis = _axis_of(image, "component")
    if axis is None or image.dtype.kind not in "iuf":
        return None
    labels = sorted(str(v) for v in image.coords["component"].values)
    return axis if labels == sorted(n for n in image.world.axes if n in SPACE_AXES) else None


def _component_world(image: SpatialArray) -> World:
    """Return the world along whose axes the components of vectors lie."""
    said, units = image.coords["component"], dict(zip(image.world.axes, image.unit, strict=True))
    names = [str(v) for v in said.values]
    frame = said.attrs.get("frame", image.frame)
    return World(names, [said.unit or units[n] for n in names], frame)


# --- planes -------------------------------------------------------------------------------


def in_space(image: SpatialArray) -> SpatialArray:
    """Return the image at the middle of its times and the first index along its plain axes."""
    g = image.geometry
    space = space_axes(g)
    if len(space) < 2 or any(n != n or n == 0 for n in g.shape):
        return image  # nothing to draw, as `cut_planes` will say
    middle = [n // 2 if i in g.sampled_axes else 0 for i, n in enumerate(g.shape)]
    still: SpatialArray = image[
        tuple([slice(None) if i in space else n for i, n in enumerate(middle)])
    ]
    names = [name for name in g.world.axes if name in SPACE_AXES]
    return still.replace(geometry=still.geometry.to_world(names))


def cut_planes(
    still: SpatialArray, at: dict[int, int] | None = None
) -> tuple[list[SpatialArray], list[display.Plane]]:
    """Return the planes as 2-D images, rows first, and the description of each."""
    planes = display.planes(still.geometry, at)
    if not planes:
        raise GeometryError(
            "plot needs two or three axes of space and a voxel or more, got an image with shape "
            f"{still.shape} and dims {still.dims!r}"
            + (f"; axes that lost their positions: {still.lost!r}" if still.lost else "")
        )
    return [_subsample(plane.cut(still)) for plane in planes], planes


def _subsample(part: SpatialArray) -> SpatialArray:
    """Return every k-th voxel of a plane that has more than can be seen."""
    rows, columns = (max(1, math.ceil(n / _MAX_SIDE)) for n in part.shape)
    thinned: SpatialArray = part if rows == columns == 1 else part[::rows, ::columns]
    return thinned


def _load_values(part: SpatialArray) -> NDArray[Any]:
    """Return the values of a plane in memory."""
    values = np.asarray(part.to("numpy").data)
    if values.dtype.kind not in "biufc":
        raise TypeError(f"plot draws numbers, got values of type {values.dtype}")
    return values


def _as_floats(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return values as float64, of complex ones the magnitude."""
    return (np.abs(values) if values.dtype.kind == "c" else values).astype(np.float64)


# --- renderings --------------------------------------------------------------------------------


def render_base(
    layer: PlottedImage,
    planes: Sequence[display.Plane],
    labels: bool | None,
    limits: tuple[float, float] | None,
    cmap: str,
) -> Rendering:
    """Return the planes to draw of the image itself."""
    images = [[_subsample(plane.cut(part)) for part in layer.parts] for plane in planes]
    cuts = [[_load_values(one) for one in several] for several in images]
    if layer.kind == "colors":
        return _render_colors(cuts)
    if layer.kind == "segments":
        return _render_labels([_merge_segments(layer, c) for c in cuts], layer.image, cmap)
    if layer.kind == "vectors":
        lengths = [np.sqrt(sum(_as_floats(c) ** 2 for c in several)) for several in cuts]
        rendering = _render_grey(lengths, limits, cmap)
        return _add_arrows(rendering, layer, cuts, [several[0] for several in images])
    bare = [c[0] for c in cuts]
    whole = layer.image.dtype.kind in "iu"
    if whole and (pictures.is_label_map(bare) if labels is None else labels):
        return _render_labels(bare, layer.image, cmap)
    return _render_grey([_as_floats(b) for b in bare], limits, cmap)


def render_overlay(
    layer: PlottedImage, parts: Sequence[SpatialArray], labels: bool | None, cmap: str
) -> Rendering:
    """Return the planes to draw of an overlay, sampled at the points of the image's planes."""
    if layer.kind == "colors":
        cuts = [[_sample_overlay(p, part, "linear") for p in layer.parts] for part in parts]
        rendering = _render_colors([[np.nan_to_num(c) for c in several] for several in cuts])
        outside = [np.isnan(several[0]) for several in cuts]
        rendering.planes = [
            np.concatenate([p, np.where(o, 0.0, 1.0)[..., None]], -1)
            for p, o in zip(rendering.planes, outside, strict=True)
        ]
        return rendering
    if layer.kind == "vectors":
        cuts = [[_sample_overlay(p, part, "linear") for p in layer.parts] for part in parts]
        return _add_arrows(Rendering([], {}), layer, cuts, parts)
    whole = layer.image.dtype.kind in "biu"
    if layer.kind == "segments" or whole:
        nearest = [[_sample_overlay(p, part, "nearest") for p in layer.parts] for part in parts]
        if layer.kind == "segments":
            return _render_labels(
                [_merge_segments(layer, c) for c in nearest], layer.image, cmap, hide=True
            )
        bare = [c[0] for c in nearest]
        if _colors.looks_like_labels(bare) if labels is None else labels:
            return _render_labels(bare, layer.image, cmap, hide=True)
    found = [_as_floats(_sample_overlay(layer.parts[0], part, "linear")) for part in parts]
    rendering = Rendering([np.ma.masked_invalid(f) for f in found], {"cmap": cmap})
    kept = np.concatenate([f[np.isfinite(f)] for f in found])
    if kept.size:
        # All planes have one scale.
        rendering.options |= {"vmin": float(kept.min()), "vmax": float(kept.max())}
    return rendering


def _sample_overlay(overlay: SpatialArray, part: SpatialArray, how: str) -> NDArray[Any]:
    from spatial_duck.resampling import resample

    if how == "nearest":
        return _load_values(resample(overlay, to=part.geometry, interpolation="nearest", fill=0))
    if overlay.dtype.kind in "biu":
        overlay = overlay.astype(np.float64)  # so that NaN can fill what lies outside
    return _load_values(resample(overlay, to=part.geometry, interpolation=how, fill=math.nan))


def _render_grey(
    planes: list[NDArray[Any]], limits: tuple[float, float] | None, cmap: str
) -> Rendering:
    if limits is None:
        limits = pictures.contrast(np.concatenate([p[np.isfinite(p)].ravel() for p in planes]))
    return Rendering(planes, {"cmap": cmap, "vmin": limits[0], "vmax": limits[1]})


def _render_colors(cuts: list[list[NDArray[Any]]]) -> Rendering:
    """Return planes of red, green and blue, scaled from 0 to 1."""
    found = [np.stack(several, -1) for several in cuts]
    if found[0].dtype == np.uint8:
        return Rendering([f / 255 for f in found], {})
    low, high = pictures.contrast(np.concatenate([f.ravel() for f in found]).astype(np.float64))
    return Rendering(
        [np.clip((_as_floats(f) - low) / ((high - low) or 1), 0, 1) for f in found], {}
    )


def _merge_segments(layer: PlottedImage, masks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return at each pixel the number of the last segment that covers it."""
    merged = np.zeros(masks[0].shape, np.int64)
    numbers = layer.image.coords["segment_number"].values
    for number, mask in zip(numbers.tolist(), masks, strict=True):
        merged[mask > 0] = number
    return merged


def _render_labels(
    planes: list[NDArray[Any]], image: SpatialArray, background: str, hide: bool = False
) -> Rendering:
    """Return planes of labels with a colour map and norm that give each label its colour."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    drawn = [np.ma.masked_equal(_as_floats(p), 0) if hide else _as_floats(p) for p in planes]
    numbers = np.unique(np.concatenate([np.ma.compressed(d) for d in drawn]))
    known, names = _colors.segment_colors(image), _colors.label_names(image)
    shown = {int(n): names[int(n)] for n in numbers.tolist() if int(n) in names and n}
    if not numbers.size:
        return Rendering(drawn, {"cmap": background}, labels=True)
    colors = _colors.label_colors(numbers, known) / 255
    ends = [numbers[0] - 0.5, *(numbers[:-1] / 2 + numbers[1:] / 2), numbers[-1] + 0.5]
    options = {"cmap": ListedColormap(colors), "norm": BoundaryNorm(ends, len(numbers))}
    return Rendering(drawn, options, labels=True, names=shown)


def _add_arrows(
    rendering: Rendering,
    layer: PlottedImage,
    cuts: list[list[NDArray[Any]]],
    parts: Sequence[SpatialArray],
) -> Rendering:
    """Add arrows at every k-th pixel of each plane.

    They are as long as the vectors, or all scaled by `factor` if that is too short or too long.
    """
    from spatial_duck.transforms._base import world_change

    own = _component_world(layer.image)
    arrows, longest, between = [], 0.0, []
    for components, part in zip(cuts, parts, strict=True):
        geometry = part.geometry
        step = max(1, math.ceil(max(part.shape) / _ARROWS))
        key = (slice(step // 2, None, step), slice(step // 2, None, step))
        vectors = np.stack([_as_floats(c)[key] for c in components], -1)
        along = vectors @ world_change(own, geometry.world).T @ geometry.direction
        along = along * np.sign(_largest_components(geometry.direction))
        rows, columns = (np.arange(n)[k] for n, k in zip(part.shape, key, strict=True))
        arrows.append((rows, columns, along[..., 0], along[..., 1]))
        length = np.hypot(along[..., 0], along[..., 1])
        longest = max(longest, float(np.nanmax(length, initial=0)))
        between.append(step * float(geometry.spacing.min()))
    room = min(between)
    if longest > 0 and not 0.3 * room <= longest <= 4 * room:
        rendering.factor = float(f"{1.2 * room / longest:.1g}")
    rendering.arrows = arrows
    return rendering


def _largest_components(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest component of each column."""
    rows = np.argmax(np.abs(direction), axis=0)
    main: NDArray[np.float64] = direction[rows, np.arange(direction.shape[1])]
    return main
