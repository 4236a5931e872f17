"""The coarse levels of two images that registration reads into memory.

Values are means of bins; only the finest level is ever whole in memory, never the full resolution.
All levels lie in one world: the space axes of the fixed image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._quantity import length_in
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.pyramids import Pyramid, shrink, shrunk_geometry
from spatial_duck.registration._outcome import Level
from spatial_duck.transforms._base import sub_world
from spatial_duck.transforms._bspline import geometry_in_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["check_image", "common_world", "level_spacings", "make_levels"]

#: Least number of voxels along the longest axis of a level.
_MIN_LENGTH = 16
#: Least number of bins along an axis that has as many voxels.
_MIN_BINS = 4
#: Number of voxels by which values are extrapolated into unknown ones.
_EXTRAPOLATED = 4
#: Bytes of a slab of an image in memory that is binned at once.
_SLAB_BYTES = 1 << 26


def _finest(image: SpatialArray | Pyramid) -> SpatialArray:
    return image[0] if isinstance(image, Pyramid) else image


def check_image(image: Any, name: str) -> None:
    """Refuse images without positions in space, or with other axes."""
    found = _finest(image)
    g = found.geometry
    if found.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {found.dtype}")
    for axis, function in g.lost_axes.items():
        raise GeometryLossError(f"{name}: axis {axis} lost its positions in {function}")
    others = [d for i, d in enumerate(g.dims) if i not in g.sampled_axes or d == "t"]
    if others:
        raise GeometryError(
            f"{name} must have axes of space alone, got {g.dims!r}; take one image of those along "
            f"{others!r}, for instance by an integer index, or their mean"
        )
    rows = [r for r, axis in enumerate(g.world.axes) if axis not in SPACE_AXES]
    if g.direction[rows].any() or not 2 <= len(g.world.axes) - len(rows) <= 3:
        raise GeometryError(f"{name} must lie in two or three axes of space, got {g.world!r}")
    if 0 in g.shape:
        raise GeometryError(f"{name} has no voxels: shape {g.shape}")


def common_world(fixed: SpatialArray | Pyramid, moving: SpatialArray | Pyramid) -> World:
    """Return the space axes of the fixed image's world, and check that the moving one fits."""
    worlds = []
    for image in (fixed, moving):
        world = _finest(image).geometry.world
        worlds.append(sub_world(world, [a for a in world.axes if a in SPACE_AXES]))
    here, there = worlds
    if sorted(here.axes) != sorted(there.axes):
        raise GeometryError(
            f"fixed lies in the space of {here.axes!r} and moving in that of {there.axes!r}; they "
            "must be the same"
        )
    if (here.frame is None) != (there.frame is None):
        raise FrameError(
            f"frame: {here.frame!r} of the fixed image and {there.frame!r} of the moving one; say "
            "what both are with replace(frame=...)"
        )
    if len(_finest(moving).geometry.sampled_axes) < len(here.axes):
        raise GeometryError(
            "moving must be a volume where its world has three axes of space; a slice can be the "
            "fixed image: register the other way round and take the inverse"
        )
    return here


def _in_space(geometry: Geometry, world: World) -> Geometry:
    """Return the geometry in a world of space axes; a slice becomes a volume of one slice."""
    axes = [a for a in geometry.world.axes if a in SPACE_AXES]
    rows = [geometry.world.axes.index(a) for a in axes]
    direction, spacing = geometry.direction[rows], geometry.spacing.tolist()
    shape, dims = list(geometry.shape), [str(d) for d in geometry.dims]
    if direction.shape[1] < len(axes):
        normal = np.linalg.svd(direction.T)[2][-1]
        direction = np.column_stack([normal, direction])
        spacing, shape = [max(spacing), *spacing], [1, *shape]
        dims = [next(a for a in (*SPACE_AXES, "normal") if a not in dims), *dims]
    found = Geometry(
        shape, spacing, geometry.origin[rows].tolist(), direction, dims, sampled=dims,
        world=sub_world(geometry.world, axes),
    )  # fmt: skip
    return geometry_in_world(found, world)


def _bins(geometry: Geometry, spacing: Floats) -> tuple[int, ...]:
    """Return the longest bins that are no coarser than a spacing, for each array axis.

    The spacing has a number for each axis; where it is meant for an image with other axes, its
    least number goes for all of them.
    """
    if len(spacing) != len(geometry.spacing):
        spacing = np.full(len(geometry.spacing), min(spacing.tolist()))
    return tuple(
        [
            max(1, min(math.floor(wanted / own * (1 + 1e-6)), n // _MIN_BINS))
            for wanted, own, n in zip(
                spacing.tolist(), geometry.spacing.tolist(), geometry.shape, strict=True
            )
        ]
    )


def level_spacings(
    fixed: SpatialArray | Pyramid,
    moving: SpatialArray | Pyramid,
    at: float | Sequence[float] | None,
    memory: int,
    levels: int,
    world: World,
) -> list[Floats]:
    """Return the spacing of each level in the fixed image's unit, the coarsest first.

    Raises
    ------
    ValueError
        If `at` is not positive, or has not one number, or one for each axis of the fixed image.
    """
    here = [_in_space(_finest(image).geometry, world) for image in (fixed, moving)]
    n = _finest(fixed).ndim
    if at is None:
        finest = np.full(n, min([min(g.spacing.tolist()) for g in here]))
        while 4 * sum([_size(g, finest) for g in here]) > memory:
            finest = finest * 2**0.25
            if max(finest.tolist()) > max([max((g.spacing * g.shape).tolist()) for g in here]):
                break
    else:
        finest = np.broadcast_to(np.asarray(length_in(at, world, "at"), dtype=np.float64), n)
        if not ((finest > 0) & np.isfinite(finest)).all():
            raise ValueError(f"at must be positive and finite, got {at!r}")
    out = [finest]
    while len(out) < levels:
        coarser = out[0] * 2
        bins = _bins(here[0], coarser)
        if max(k // b for k, b in zip(here[0].shape, bins, strict=True)) < _MIN_LENGTH:
            break
        out.insert(0, coarser)
    return out


def _size(geometry: Geometry, spacing: Floats) -> int:
    bins = _bins(geometry, spacing)
    return math.prod([k // b for k, b in zip(geometry.shape, bins, strict=True)])


def make_levels(
    fixed: SpatialArray | Pyramid,
    moving: SpatialArray | Pyramid,
    fixed_mask: SpatialArray | None,
    moving_mask: SpatialArray | None,
    spacings: Sequence[Floats],
    world: World,
) -> tuple[Level, ...]:
    """Read the finest level of both images, bin it for the others, and resample the masks."""
    sides: list[list[tuple[SpatialArray, SpatialArray | None]]] = []
    # The moving image has other axes: the finest spacing goes for all of them.
    uniform = [np.array([min(s.tolist())]) for s in spacings]
    for image, mask, wanted in (
        (fixed, fixed_mask, list(spacings)), (moving, moving_mask, uniform)
    ):  # fmt: skip
        finest = _read(image, wanted[-1], world)
        side = [
            _apply_mask(shrink(finest, _bins(finest.geometry, spacing)), mask)
            for spacing in wanted[:-1]
        ]
        sides.append([*side, _apply_mask(finest, mask)])
    return tuple([Level(f[0], m[0], f[1], m[1]) for f, m in zip(*sides, strict=True)])


def _read(source: SpatialArray | Pyramid, spacing: Floats, world: World) -> SpatialArray:
    """Return an image in memory as float32, in bins that are no coarser than a spacing."""
    image = _finest(source)
    in_space = _in_space(image.geometry, world)
    ratio = min(image.spacing.tolist()) / min(in_space.spacing.tolist())
    own = spacing * ratio  # in the image's own unit
    if isinstance(source, Pyramid):
        image = source.at(own.tolist() if len(own) == image.ndim else min(own.tolist()))
    bins = _bins(image.geometry, own)
    geometry = _in_space(shrunk_geometry(image.geometry, bins), world)
    return SpatialArray(_bin_means(image, bins).reshape(geometry.shape), geometry)


def _bin_means(image: SpatialArray, bins: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the means of bins, in memory, as float32."""
    data = image.data
    if backends.is_lazy(data):
        lazy = image.replace(data=backends.dask_form(data))
        found = shrink(lazy.astype(np.float32), bins).compute()
        return np.asarray(found.data, dtype=np.float32)
    if not isinstance(data, np.ndarray):
        found = shrink(image.astype(np.float32), bins).to("numpy")
        return np.asarray(found.data, dtype=np.float32)
    if image.ndim == 0 or not image.size:
        return data.astype(np.float32)
    rows = max(1, _SLAB_BYTES // max(4 * image[:1].size * bins[0], 1)) * bins[0]
    parts = [
        shrink(image[start : start + rows].astype(np.float32), bins).data
        for start in range(0, image.shape[0] // bins[0] * bins[0], rows)
    ]
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def _apply_mask(
    image: SpatialArray, mask: SpatialArray | None
) -> tuple[SpatialArray, SpatialArray | None]:
    """Return an image without NaN, and its mask."""
    finite = np.isfinite(image.data)
    inside = None
    if mask is not None:
        from spatial_duck.resampling import resample

        inside = np.asarray(
            resample((mask != 0).astype(np.uint8), image.geometry, interpolation="nearest").data
        )
        inside = inside.reshape(image.shape)
    if not finite.all():
        inside = finite.astype(np.uint8) if inside is None else inside * finite
        image = image.replace(_extrapolate(image.data, finite))
    if inside is None:
        return image, None
    return image, SpatialArray(np.ascontiguousarray(inside, np.uint8), image.geometry)


def _extrapolate(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values with unknown ones replaced by the mean of their known neighbours.

    Smoothing and interpolation near the border then make no false edge.
    """
    out = np.where(known, values, np.float32(0))
    for _ in range(_EXTRAPOLATED):
        total, count = out, known.astype(np.float32)
        for axis in range(out.ndim):
            total, count = _neighbour_sums(total, axis), _neighbour_sums(count, axis)
        fresh = ~known & (count > 0)
        out[fresh] = total[fresh] / count[fresh]
        known = known | fresh
    out[~known] = out[known].mean() if known.any() else 0
    return out


def _neighbour_sums(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the sum of each voxel and its two neighbours along an axis."""
    widths = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
    lines = np.moveaxis(np.pad(values, widths), axis, 0)
    return np.moveaxis(lines[:-2] + lines[1:-1] + lines[2:], 0, axis)
