"""The work on one block: cut it out, call the function, check where its result lies.

A job is geometry and the function, and no data; it is the same for all blocks, goes to other
processes once, and gives the same for the same voxels however often it is asked.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.array import SpatialArray
from spatial_duck.array._coordinate_moves import crop_coords
from spatial_duck.blocks._index_map import slices
from spatial_duck.errors import BlockError, GeometryMismatchError, SpatialDuckError
from spatial_duck.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spatial_duck.array._coordinates import Held
    from spatial_duck.blocks._cover import Cover, Floats
    from spatial_duck.blocks._index_map import Box, IndexMap
    from spatial_duck.geometry import Geometry

__all__ = ["BlockJob", "BlockValue", "Source"]

Number = tuple[int, ...]


class BlockValue(NamedTuple):
    """Result of the function for one block.

    Attributes
    ----------
    geometry : Geometry
        Geometry of the part of the grid that the block answers for, without its halo.
    value : object
        What the function returned.
    """

    geometry: Geometry
    value: Any


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """One of the images, and how a block of it is found.

    Attributes
    ----------
    geometry : Geometry
        Geometry of the whole image.
    attrs : dict
        Attrs of the image.
    axes : tuple of (int or None), optional
        Where the image lies on the job's grid: for each of its axes the axis of the grid that it
        is, or None for one that is handed over whole.
    region : IndexMap, optional
        Where it does not: from the grid (for the first image) or the first image (for others).
    interpolation : str, optional
        How it is brought to the grid of the first image's block; None hands over its own voxels.
    coords : dict, optional
        What its axes carry.
    """

    geometry: Geometry
    attrs: dict[str, Any]
    axes: tuple[int | None, ...] | None = None
    region: IndexMap | None = None
    interpolation: str | None = None
    coords: dict[str, Held] | None = None

    def box(self, window: Box, first: Box) -> Box:
        """Return the voxels that a block needs.

        Parameters
        ----------
        window : Box
            The block's window on the job's grid.
        first : Box
            The block of the first image.
        """
        if self.axes is not None:
            return tuple(
                [(0, n) if a is None else window[a]
                 for n, a in zip(self.geometry.shape, self.axes, strict=True)]
            )  # fmt: skip
        assert self.region is not None
        if self.interpolation is not None:
            return self.region.needed(first, self.interpolation)
        return self.region.inside(first)


@dataclass(frozen=True, eq=False, slots=True)
class BlockJob:
    """A function, the images that it is called with, and the grid of what it returns.

    Attributes
    ----------
    function : callable
        Called with a block of each image.
    grid : Geometry
        Geometry of the whole result.
    covers : tuple of Cover
        One for each axis of the grid.
    sources : tuple of Source
        The images.
    dtype : dtype or None
        Type of the result; None for whatever the function returns.
    fill : scalar
        Value of voxels that an interpolated image does not have.
    wants_grid : bool
        Whether the function takes ``grid=``.
    """

    function: Callable[..., Any]
    grid: Geometry
    covers: tuple[Cover, ...]
    sources: tuple[Source, ...]
    dtype: np.dtype[Any] | None = None
    fill: Any = 0
    wants_grid: bool = False

    # --- which blocks there are -----------------------------------------------------------

    @property
    def blended(self) -> bool:
        """Whether windows are added up instead of cut to their cores."""
        return any(cover.weights is not None for cover in self.covers)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis of the grid."""
        return tuple([len(cover.windows) for cover in self.covers])

    @property
    def numbers(self) -> Iterator[Number]:
        """The block numbers, in C order."""
        return itertools.product(*map(range, self.counts))

    def window(self, number: Number) -> Box:
        """Return the part of the grid that a block reads, its halo too."""
        return tuple([c.windows[k] for c, k in zip(self.covers, number, strict=True)])

    def core(self, number: Number) -> Box:
        """Return the part of the grid that a block answers for."""
        return tuple([c.core(k) for c, k in zip(self.covers, number, strict=True)])

    def needed(self, number: Number) -> Box:
        """Return the part of the grid that a block's result must have."""
        pairs = zip(self.covers, number, strict=True)
        return tuple([c.core(k) if c.weights is None else c.windows[k] for c, k in pairs])

    def weights(self, number: Number, box: Box) -> list[Floats | None]:
        """Return a block's weight along each axis, in a box inside its window."""
        found: list[Floats | None] = []
        for cover, k, (start, stop) in zip(self.covers, number, box, strict=True):
            first = cover.windows[k][0]
            found.append(None if cover.weights is None
                         else cover.weights[k][start - first : stop - first])  # fmt: skip
        return found

    def boxes(self, number: Number) -> list[Box]:
        """Return the voxels that a block needs of each image."""
        window = self.window(number)
        first = self.sources[0].box(window, window)
        return [first, *[source.box(window, first) for source in self.sources[1:]]]

    # --- one block ------------------------------------------------------------------------

    def value(self, number: Number, boxes: Sequence[Box], data: Sequence[Any]) -> Any:
        """Call the function.

        Parameters
        ----------
        number : tuple of int
            Which block.
        boxes : sequence of Box
            From `boxes`.
        data : sequence of array
            The voxels of each image in its box.

        Raises
        ------
        BlockError
            If the function raises; the message names the position of the block.
        """
        grid = self.grid[slices(self.needed(number))]
        blocks = self._blocks(boxes, data)
        extra = {"grid": grid} if self.wants_grid else {}
        try:
            return self.function(*blocks, **extra)
        except Exception as error:
            raise self._located(number, grid, error) from error

    def _located(self, number: Number, grid: Geometry, error: Exception) -> BlockError:
        """Return the error that says where in the world the function raised."""
        place, bounds = "whose positions were lost", None
        if not grid.lost_axes:
            bounds = grid.bounds.tolist()
            ranges = [
                f"{name} {low:.6g} to {high:.6g}{'' if unit is None else ' ' + unit}"
                for name, unit, low, high in zip(
                    grid.world.axes, grid.world.units, *bounds, strict=True
                )
            ]
            place = f"which lies at {', '.join(ranges)}"
            place += "" if grid.frame is None else f" ({grid.frame})"
        window = self.window(number)
        voxels = ", ".join(f"{a}:{b}" for a, b in window)
        name = getattr(self.function, "__name__", type(self.function).__name__)
        found = BlockError(
            f"{name} raised {type(error).__name__} in the block [{voxels}], {place}: {error}"
        )
        # In the instance's dict, so that they are pickled with it.
        found.number, found.window, found.bounds = number, window, bounds
        return found

    def _blocks(self, boxes: Sequence[Box], data: Sequence[Any]) -> list[SpatialArray]:
        blocks: list[SpatialArray] = []
        for source, box, values in zip(self.sources, boxes, data, strict=True):
            geometry = source.geometry[slices(box)]
            coords = crop_coords(source.coords, slices(box))
            block = SpatialArray(values, geometry, coords=coords, attrs=source.attrs)
            if source.interpolation is not None and source.axes is None:
                block = resample(
                    block, blocks[0].geometry, interpolation=source.interpolation, fill=self.fill
                )
            blocks.append(block.replace(_read_only(block.data)))
        return blocks

    def compute(self, number: Number, boxes: Sequence[Box], data: Sequence[Any]) -> Any:
        """Call the function and return what the job needs of its result, as a bare array.

        Raises
        ------
        BlockError
            If the function raises.
        GeometryMismatchError
            If its result does not lie on the grid, or does not reach over the block.
        """
        needed = self.needed(number)
        if any(stop <= start for start, stop in needed):
            shape = [stop - start for start, stop in needed]
            return np.empty_like(data[0], shape=shape, dtype=self.dtype or data[0].dtype)
        result = self.value(number, boxes, data)
        placed = _place(self, number, result)
        if not isinstance(placed, np.ndarray) and isinstance(data[0], np.ndarray):
            placed = np.asarray(placed)
        if self.dtype is None or placed.dtype == self.dtype:
            return placed
        if placed.dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise SpatialDuckError(
                f"map_blocks: the function returned values of type {placed.dtype}, and "
                f"{self.dtype} were expected; give dtype={str(placed.dtype)!r}"
            )
        return placed.astype(self.dtype)  # in another byte order


def _read_only(values: Any) -> Any:
    """Return values that a function may not change, or a copy that it may."""
    if isinstance(values, np.ndarray):
        view = values.view()
        view.flags.writeable = False
        return view
    return values.copy()


def _place(job: BlockJob, number: Number, result: Any) -> Any:
    """Return the part of a result that the job needs."""
    window, needed = job.window(number), job.needed(number)
    if isinstance(result, SpatialArray):
        expected = job.grid[slices(window)]
        start = [a for a, _ in window]
        if not _on_grid(result.geometry, expected):
            start = _find(job, number, result.geometry)
        return _cut(result.data, start, needed)
    shape = getattr(result, "shape", None)
    if shape is not None:
        for box in (window, needed):
            if tuple(shape) == tuple([b - a for a, b in box]):
                return _cut(result, [a for a, _ in box], needed)
    found = f"shape {tuple(shape)}" if shape is not None else f"{type(result).__name__}"
    raise GeometryMismatchError(
        f"map_blocks: the function must return an image on the grid of the result, or an array of "
        f"shape {tuple(b - a for a, b in window)} for a block with dims {job.grid.dims!r}, got "
        f"{found}; say with to= or plain= what the result is like, or use reduce_blocks for "
        "results that are no images"
    )


def _cut(data: Any, start: Sequence[int], needed: Box) -> Any:
    """Cut a box out of data that begin at `start`; what is cut off is not kept alive."""
    key = tuple([slice(a - s, b - s) for (a, b), s in zip(needed, start, strict=True)])
    shape = tuple([b - a for a, b in needed])
    if tuple(data.shape) == shape and all(a == s for (a, _), s in zip(needed, start, strict=True)):
        flags = getattr(data, "flags", None)
        return data if getattr(flags, "writeable", True) else data.copy()
    part = data[key]
    return backends.copy(part)


def _on_grid(found: Geometry, expected: Geometry) -> bool:
    """Whether two grids are one, whatever their plain axes are called."""
    if found.shape != expected.shape or found.sampled_axes != expected.sampled_axes:
        return False
    if found.dims != expected.dims:
        sampled = expected.sampled_axes
        pairs = enumerate(zip(found.dims, expected.dims, strict=True))
        found = found.replace(
            dims=[mine if axis in sampled else its for axis, (mine, its) in pairs]
        )
    return found == expected or found.isclose(expected)


def _find(job: BlockJob, number: Number, found: Geometry) -> list[int]:
    """Return where a result on the job's grid begins."""
    grid, needed = job.grid, job.needed(number)
    start = [0] * grid.ndim
    if found.ndim == grid.ndim and found.sampled_axes == grid.sampled_axes and not found.lost_axes:
        sampled = grid.sampled_axes
        try:
            index = grid.physical_to_index(found.origin)
        except SpatialDuckError:
            index = np.zeros(grid.ndim)
        for axis in sampled:
            start[axis] = round(float(index[axis]))
        widths = [(-s, s + n - m) if i in sampled else (0, 0) for i, (s, n, m) in
                  enumerate(zip(start, found.shape, grid.shape, strict=True))]  # fmt: skip
        whole = all(s <= a and b <= s + n
                    for s, n, (a, b) in zip(start, found.shape, needed, strict=True))  # fmt: skip
        if whole and _on_grid(found, grid.pad(widths)):
            return start
    expected = grid[slices(needed)]
    raise GeometryMismatchError(
        "map_blocks: the function's result does not lie on the grid of the result, or does not "
        f"reach over its block\n  expected at least: {expected!r}\n  got: {found!r}\n"
        "say with to= what grid the results lie on"
    )
