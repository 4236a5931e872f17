"""`map_blocks` and `reduce_blocks`: what the user says, turned into a job for an executor."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image, on_grid
from spatial_duck.blocks import _lazy as lazy
from spatial_duck.blocks import _memory as memory
from spatial_duck.blocks._cover import PROFILES, Cover, cover_cores, even_edges
from spatial_duck.blocks._index_map import bare_grid, index_map, slices
from spatial_duck.blocks._tasks import BlockJob, BlockValue, Source
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._quantity import has_unit
from spatial_duck.geometry._rounding import count_voxels
from spatial_duck.geometry._validation import is_whole
from spatial_duck.geometry._world import unit_factor
from spatial_duck.resampling import INTERPOLATIONS, make_plan
from spatial_duck.resampling._api import geometry_of, per_axis, voxels_per_axis

__all__ = ["map_blocks", "reduce_blocks"]

Interpolation = str | Sequence[str | None] | None

PerAxis = float | Sequence[float | None] | Mapping[str, float]

#: Voxels of a block where neither the user nor chunks say how large it is.
_VOXELS = 1 << 21


def map_blocks(
    function: Callable[..., Any],
    *images: SpatialArray,
    halo: PerAxis = 0,
    halo_unit: str | None = None,
    blocks: int | Sequence[int | None] | Mapping[str, int | None] | None = None,
    blend: str | None = None,
    to: Any = None,
    plain: Mapping[str, int] | None = None,
    dtype: DTypeLike | None = None,
    interpolation: Interpolation = "linear",
    fill: Any = 0,
    threads: int = 1,
) -> SpatialArray:
    """Run a function over an image, block by block.

    The function is called with a block of each image: a `SpatialArray` that knows exactly where it
    lies and cannot be written to. It returns an image on the same grid, or an array of the first
    block's shape. The result is what the function would have made of the whole image, as far as
    the halo lets it see.

    Parameters
    ----------
    function : callable
        Called with the blocks, and with ``grid=`` if it has a parameter of that name: the geometry
        of the part of the result that the call must at least return. It must give the same for the
        same blocks, and must not keep or change them.
    *images : SpatialArray
        On NumPy, CuPy, Dask or Zarr arrays. Blocks are cut out of the first. Others that lie on
        other grids are brought to the first one's block, and only what is needed of them is read.
    halo : float, sequence or mapping of str to float, optional
        How far a block reaches over what it answers for, on every side, in world units and rounded
        up to voxels. One number stands for all space axes; a sequence has an entry for each
        sampled axis, or for each space axis; a mapping goes by name. At the borders of the image
        the halo ends where the image ends.
    halo_unit : str, optional
        Unit of `halo`: that of the world by default, another (``"um"``), or ``"voxel"``.
    blocks : int, sequence or mapping of str to int, optional
        Voxels of a block along the axes of the result, given as `halo` is; None for all of an
        axis. By default the chunks of the first image, or about two million voxels. Plain axes are
        not cut unless a mapping names them.
    blend : {"linear", "gaussian"}, optional
        Add up what blocks give where they overlap, with weights that fall towards their ends. By
        default halos are cut off.
    to : SpatialArray or Geometry, optional
        Grid of the result, with its plain axes, where it is another than the first image's. Blocks
        are cut out of it; the first image's block has the voxels in its region. What the function
        returns must lie on this grid.
    plain : mapping of str to int, optional
        Plain axes of the result by name and length, before all others: ``{"c": 4}``, or ``{}`` for
        none. By default those of the first image.
    dtype : optional
        Type of the result. By default what the function returns; but that of the first image where
        the result is lazy, and the function's must be the same.
    interpolation : str, or sequence of (str or None)
        How other images are brought to the first one's grid, as `resample` has it: one for all, or
        one for each image after the first. None hands over their own voxels, those of the block's
        region.
    fill : scalar
        Value of voxels that an interpolated image does not have.
    threads : int
        How many blocks of images in memory to work on at the same time. Functions that cannot run
        beside themselves need the default, 1. Dask's scheduler decides for lazy ones.

    Returns
    -------
    SpatialArray
        On a lazy Dask array where any of the images is on a Dask or Zarr array.

    Raises
    ------
    BlockError
        If the function raises: the message says where in the world, and the original error is its
        cause. For lazy results, when they are computed.
    GeometryMismatchError
        If what the function returns does not lie on the grid of the result.
    GeometryError
        If a parameter does not fit the images.

    Examples
    --------
    >>> image = SpatialArray(np.arange(12.0), spacing=0.5)
    >>> smooth = lambda block: (np.roll(block, 1) + block + np.roll(block, -1)) / 3
    >>> map_blocks(smooth, image, halo=0.5, blocks=4).data[1:-1]
    array([ 1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10.])
    """
    images = tuple([as_image(image, "map_blocks") for image in images])
    grid = _grid(images, to, plain)
    _check(blend, threads)
    edges = _edges(grid, images[0], blocks)
    halos = _halos(grid, halo, halo_unit)
    covers = tuple([cover_cores(e, h, blend) for e, h in zip(edges, halos, strict=True)])
    return run(function, images, grid, covers, dtype, interpolation, fill, threads)


def reduce_blocks(
    function: Callable[..., Any],
    *images: SpatialArray,
    combine: Callable[[list[Any]], Any] | None = None,
    halo: PerAxis = 0,
    halo_unit: str | None = None,
    blocks: int | Sequence[int | None] | Mapping[str, int | None] | None = None,
    interpolation: Interpolation = "linear",
    fill: Any = 0,
    threads: int = 1,
) -> Any:
    """Run a function over an image block by block and collect what it returns, whatever that is.

    Parameters
    ----------
    function : callable
        As for `map_blocks`. With a halo, ``grid=`` tells it what it answers for, so that nothing is
        counted twice.
    *images
        As for `map_blocks`.
    combine : callable, optional
        ``combine(values)``: one value for a list of them. It is called with neighbours in block
        order, and again with what it returned.
    halo, halo_unit, blocks, interpolation, fill, threads
        As for `map_blocks`.

    Returns
    -------
    list of BlockValue, or what `combine` returns
        In block order, each value with the geometry of the part that its block answers for. Where
        any of the images is on a Dask or Zarr array a `dask.delayed.Delayed` of that, to compute.

    Raises
    ------
    BlockError
        If the function raises.

    Examples
    --------
    >>> image = SpatialArray(np.arange(6.0), spacing=0.5)
    >>> for found in reduce_blocks(np.max, image, blocks=3):
    ...     print(found.geometry.center, found.value)
    [0.5] 2.0
    [2.] 5.0
    >>> reduce_blocks(np.max, image, blocks=3, combine=max)
    np.float64(5.0)
    """
    images = tuple([as_image(image, "reduce_blocks") for image in images])
    grid = _grid(images, None, None)
    _check(None, threads)
    edges = _edges(grid, images[0], blocks)
    halos = _halos(grid, halo, halo_unit)
    covers = tuple([cover_cores(e, h, None) for e, h in zip(edges, halos, strict=True)])
    job = _job(function, images, grid, covers, None, interpolation, fill)
    if _is_lazy(images):
        return lazy.values(job, [image.data for image in images], combine, _listed)
    found = memory.values(job, _in_memory(images), threads)
    return _listed(job, found) if combine is None else combine(found)


def run(
    function: Callable[..., Any],
    images: Sequence[SpatialArray],
    grid: Geometry,
    covers: tuple[Cover, ...],
    dtype: DTypeLike | None,
    interpolation: Interpolation,
    fill: Any,
    threads: int,
) -> SpatialArray:
    """Run a function over the blocks that covers of a grid's axes make."""
    kind = None if dtype is None else np.dtype(dtype)
    is_lazy = _is_lazy(images)
    if is_lazy or any(0 in cover.chunks for cover in covers):
        kind = np.dtype(images[0].dtype) if kind is None else kind
    job = _job(function, images, grid, covers, kind, interpolation, fill)
    if is_lazy:
        data = lazy.execute(job, [image.data for image in images])
    else:
        data = memory.execute(job, _in_memory(images), threads)
    return on_grid(images[0], data, grid)


def _listed(job: BlockJob, values: Sequence[Any]) -> list[BlockValue]:
    """Return values with the positions of their blocks."""
    return [
        BlockValue(job.grid[slices(job.core(number))], value)
        for number, value in zip(job.numbers, values, strict=True)
    ]


def _is_lazy(images: Sequence[SpatialArray]) -> bool:
    return any(backends.is_lazy(image.data) for image in images)


def _in_memory(images: Sequence[SpatialArray]) -> list[Any]:
    for image in images:
        if not hasattr(image.data, "__array_function__"):
            raise TypeError(
                f"map_blocks works on NumPy, CuPy, Dask and Zarr arrays, got "
                f"{type(image.data).__name__}; bring the image to one of these with image.to(...)"
            )
    return [image.data for image in images]


def _check(blend: str | None, threads: int) -> None:
    if blend is not None and blend not in PROFILES:
        raise ValueError(f"blend must be one of {', '.join(PROFILES)} or None, got {blend!r}")
    if not is_whole(threads, 1):
        raise ValueError(f"threads must be an int of 1 or more, got {threads!r}")


# --- the grid of the result ---------------------------------------------------------------


def _grid(images: Sequence[Any], to: Any, plain: Mapping[str, int] | None) -> Geometry:
    """Return the geometry of the result."""
    if not images:
        raise TypeError("map_blocks needs an image, or several, after the function")
    for image in images:
        if any(math.isnan(n) for n in image.shape):
            raise GeometryError(
                f"map_blocks needs the shape of each image, got {image.shape}; call "
                "compute_chunk_sizes() on the Dask array first"
            )
    grid = images[0].geometry if to is None else geometry_of(to)
    return grid if plain is None else with_plain(grid, plain)


def with_plain(grid: Geometry, plain: Mapping[str, int]) -> Geometry:
    """Return a geometry with other plain axes, before all others.

    Examples
    --------
    >>> with_plain(Geometry((5, 6), dims=("y", "x")), {"c": 2}).dims
    ('c', 'y', 'x')
    """
    bare = bare_grid(grid)
    if not isinstance(plain, Mapping):
        raise TypeError(
            f"plain must map names of axes to their lengths, such as {{'c': 2}}, got {plain!r}"
        )
    taken = [name for name in plain if name in bare.dims]
    if taken or not all(is_whole(n, 0) for n in plain.values()):
        raise GeometryError(
            f"plain must map names that are not among the sampled axes {bare.dims!r} to lengths, "
            f"got {dict(plain)!r}"
        )
    if not plain:
        return bare
    count = len(plain)
    return Geometry(
        (*map(int, plain.values()), *bare.shape),
        spacing=bare.spacing,
        origin=bare.origin,
        direction=bare.direction,
        dims=(*plain, *bare.dims),
        sampled=[count + i for i in range(bare.ndim)],
        world=bare.world,
    )


# --- blocks and halos ---------------------------------------------------------------------


def _edges(grid: Geometry, first: SpatialArray, blocks: Any) -> list[tuple[int, ...]]:
    """Return the ends of the cores along each axis of the grid."""
    edges = [even_edges(n, None) for n in grid.shape]
    if blocks is None:
        chunks = _chunks_on(grid, first)
        size = max(1, round(_VOXELS ** (1 / max(len(grid.sampled_axes), 1))))
        for axis in grid.sampled_axes:
            n = grid.shape[axis]
            edges[axis] = (
                even_edges(n, size) if chunks is None
                else tuple(int(e) for e in (0, *np.cumsum(chunks[axis])))
            )  # fmt: skip
        return edges
    named = dict(blocks) if hasattr(blocks, "keys") else {}
    others = {a: grid.dims[a] for a in range(grid.ndim) if a not in grid.sampled_axes}
    sizes: dict[int, Any] = {a: named.pop(name) for a, name in others.items() if name in named}
    given = named if hasattr(blocks, "keys") else blocks
    along = voxels_per_axis("blocks", given, grid)
    sizes |= dict(zip(grid.sampled_axes, along, strict=True))
    for axis, size in sizes.items():
        if size is not None and not is_whole(size, 1):
            raise GeometryError(f"blocks must hold ints of 1 or more, or None, got {blocks!r}")
        edges[axis] = even_edges(grid.shape[axis], None if size is None else int(size))
    return edges


def _chunks_on(grid: Geometry, first: SpatialArray) -> list[tuple[int, ...]] | None:
    """Return an image's chunks along the axes of a grid that differs in plain axes at most."""
    chunks = backends.chunks(first.data)
    if chunks is None or bare_grid(grid) != bare_grid(first.geometry):
        return None
    along = iter([chunks[axis] for axis in first.geometry.sampled_axes])
    return [next(along) if a in grid.sampled_axes else (n,) for a, n in enumerate(grid.shape)]


def _halos(grid: Geometry, halo: Any, unit: str | None) -> list[int]:
    """Return the halo in voxels along each axis of the grid."""
    halos = [0] * grid.ndim
    if unit is not None and has_unit(halo):
        raise GeometryError(f"halo came with a unit, which excludes halo_unit={unit!r}: {halo!r}")
    given = per_axis("halo", halo, grid)
    columns = grid.direction.T
    for axis, width, spacing, column in zip(
        grid.sampled_axes, given, grid.spacing, columns, strict=True
    ):
        if width is None:
            continue
        if not 0 <= width < math.inf:
            raise GeometryError(f"halo must be 0 or more, got {halo!r}")
        factor = 1.0 / spacing
        if unit == "voxel":
            factor = 1.0
        elif unit is not None:
            factor = unit_factor(unit, grid.world.units[int(np.flatnonzero(column)[0])]) / spacing
        halos[axis] = count_voxels(width * factor)
    return halos


# --- the job ------------------------------------------------------------------------------


def _job(
    function: Callable[..., Any],
    images: Sequence[SpatialArray],
    grid: Geometry,
    covers: tuple[Cover, ...],
    dtype: np.dtype[Any] | None,
    interpolation: Interpolation,
    fill: Any,
) -> BlockJob:
    """Work out how blocks of each image are found."""
    others = len(images) - 1
    each = [interpolation] * others if interpolation is None or isinstance(interpolation, str) \
        else list(interpolation)  # fmt: skip
    if len(each) != others:
        raise ValueError(
            f"interpolation must be one of {INTERPOLATIONS} or None, or one of these for each of "
            f"the {others} images after the first, got {interpolation!r}"
        )
    first = images[0].geometry
    sources = [_source(images[0], grid, None)]
    on_grid = sources[0].axes is not None
    for image, how in zip(images[1:], each, strict=True):
        source = _source(image, grid, how) if on_grid else None
        if source is None or source.axes is None:
            if how is not None:
                if how not in INTERPOLATIONS:
                    raise ValueError(
                        f"interpolation must be one of {INTERPOLATIONS} or None, got {how!r}"
                    )
                make_plan(image.geometry, first, None, how)  # raises where they do not fit
            region = index_map(image.geometry, first)
            source = Source(image.geometry, image.attrs, None, region, how, image._coords)
        sources.append(source)
    return BlockJob(function, grid, covers, tuple(sources), dtype, fill, _wants_grid(function))


def _source(image: SpatialArray, grid: Geometry, how: str | None) -> Source:
    """Return an image's axes on the grid, or the map to it where it lies on another."""
    geometry = image.geometry
    same = geometry is grid or geometry == grid
    if same:
        axes: tuple[int | None, ...] = tuple(range(grid.ndim))
        return Source(geometry, image.attrs, axes, None, how, image._coords)
    mine, theirs = bare_grid(geometry), bare_grid(grid)
    if mine.shape == theirs.shape and mine.dims == theirs.dims and mine.isclose(theirs):
        along = iter(grid.sampled_axes)
        axes = tuple([next(along) if a in geometry.sampled_axes else None
                      for a in range(geometry.ndim)])  # fmt: skip
        return Source(geometry, image.attrs, axes, None, how, image._coords)
    return Source(geometry, image.attrs, None, index_map(geometry, grid), how, image._coords)


def _wants_grid(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter for the grid."""
    try:
        return "grid" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions do not say
        return False
