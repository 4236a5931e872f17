"""Scenes of the viewer: planes along the world's axes, cut into tiles.

Positions are *view coordinates*: the world's axes of space, ordered and flipped so that each plane
is drawn in the usual orientation (with a frame: the patient's right at the left, anterior and
superior at the top). An image that is one slice in 3-D is seen in its own plane.

Tiles lie on one lattice for each zoom: pixels of ``pixel * 2**zoom`` world units, 256 × 256 to a
tile, counted from the low corner of the image. A tile is sampled from the coarsest level of the
pyramid that is fine enough, at the centres of its pixels, and reads only the chunks that it cuts:
its cost does not depend on the size of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spatial_duck import backends
from spatial_duck._display import _pictures as pictures
from spatial_duck._display._colors import (
    color_axis,
    label_names,
    looks_like_labels,
    segment_colors,
)
from spatial_duck._display._describe import printable, summary_rows, unit_symbol
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.pyramids import _api as multiscale
from spatial_duck.viewer._level_reader import BlockCache, LevelReader
from spatial_duck.viewer._view_axes import ViewAxes, space_indices, view_axes, view_planes

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["TILE", "Layer", "Scene"]

#: Pixels along each side of a tile.
TILE = 256
#: Bytes of chunks that are kept.
_CACHE = 512_000_000


class Layer:
    """One image of a scene, at several resolutions.

    Parameters
    ----------
    levels : sequence of SpatialArray
        The finest first; a pyramid of every second voxel of the last one is added.
    view : ViewAxes
    cache : BlockCache
    name : str
    number : int, optional
        Number of the image in the scene, by which the cache distinguishes it from others.
    """

    def __init__(
        self,
        levels: Sequence[SpatialArray],
        view: ViewAxes,
        cache: BlockCache,
        name: str,
        number: int = 0,
    ) -> None:
        self.name = name
        self.view = view
        images = [*levels, *multiscale.pyramid(levels[-1], method="nearest").levels[1:]]
        self.image = images[0]
        self.geometry = images[0].geometry
        _, _, self.axes = space_indices(self.geometry)
        #: The array axis of red, green and blue.
        self.color = color_axis(images[0])
        self.levels = [
            LevelReader(im, self.axes, cache, (number, n)) for n, im in enumerate(images)
        ]
        self.spacing = np.array([self._index_to_world(im.geometry)[1] for im in images])
        self.sliders = [
            axis
            for axis in range(self.geometry.ndim)
            if axis not in self.axes and self.geometry.shape[axis] > 1 and axis != self.color
        ]
        #: Whether the image holds labels; None if that is to be inferred from the values.
        self.labels: bool | None = None

    @staticmethod
    def _index_to_world(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the matrix from indices to world coordinates of space, and the spacing."""
        rows, columns, _ = space_indices(geometry)
        spacing = geometry.spacing[columns]
        return geometry.direction[np.ix_(rows, columns)] * spacing, spacing

    def to_index(self, level: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the matrix and offset from view coordinates to indices of a level."""
        geometry = self.levels[level].image.geometry
        matrix, _ = self._index_to_world(geometry)
        rows, _, _ = space_indices(geometry)
        back = np.linalg.pinv(matrix)
        return back @ self.view.axes, back @ (self.view.base - geometry.origin[rows])

    def level_for(self, pixel: float) -> int:
        """Return the coarsest level whose voxels are no larger than a pixel.

        An axis whose voxels are larger than that in the finest level must not become coarser.
        """
        enough = (self.spacing <= np.maximum(pixel, self.spacing[0]) * (1 + 1e-6)).all(axis=1)
        return int(np.flatnonzero(enough)[-1])

    def sample(
        self, view: NDArray[np.float64], pixel: float, fixed: Mapping[int, int], smooth: bool
    ) -> NDArray[np.float32]:
        """Return the values at view coordinates, NaN outside the image.

        Parameters
        ----------
        view : ndarray, shape (n_view, n)
            View coordinates of the points.
        pixel : float
            Size of the pixels that the values are for, in world units.
        fixed : mapping of int to int
            Index along each axis that is not of space.
        smooth : bool
            Interpolate between voxels, instead of taking the nearest.
        """
        number = self.level_for(pixel)
        level = self.levels[number]
        last = self._last_index(0)
        index = self._indices(0, view)
        inside = ((index >= -0.5) & (index <= last + 0.5)).all(axis=0)
        if number:
            # A coarser level may end nearly one of its voxels before the finest. Values are taken
            # up to one voxel beyond its last centre: with less thin images vanish, more would be
            # off by a pixel.
            last, index = self._last_index(number), self._indices(number, view)
            inside &= ((index >= -1) & (index <= last + 1)).all(axis=0)
        out = np.full(view.shape[1], np.nan, np.float32)
        if inside.any():
            # The result is in single precision: what is drawn has 256 shades.
            with np.errstate(over="ignore", invalid="ignore"):
                if self.color is None:
                    out[inside] = _interpolate(level, index[:, inside], last, fixed, smooth)
                else:
                    out[inside] = self._pack_colors(level, index[:, inside], last, fixed, smooth)
        return out

    def _pack_colors(
        self,
        level: LevelReader,
        index: NDArray[np.float64],
        last: NDArray[np.intp],
        fixed: Mapping[int, int],
        smooth: bool,
    ) -> NDArray[np.float64]:
        """Return red * 65536 + green * 256 + blue, which a float32 holds exactly."""
        total = np.zeros(index.shape[1])
        kind = backends.host_type(level.image.dtype)
        most = 255 if kind.kind not in "iu" else np.iinfo(kind).max
        for k in range(3):
            part = _interpolate(level, index, last, {**fixed, int(self.color or 0): k}, smooth)
            total = total * 256 + np.clip(np.rint(np.nan_to_num(part) / most * 255), 0, 255)
        return total

    def _indices(self, level: int, view: NDArray[np.float64]) -> NDArray[np.float64]:
        matrix, offset = self.to_index(level)
        return matrix @ view + offset[:, None]

    def _last_index(self, level: int) -> NDArray[np.intp]:
        shape = self.levels[level].image.shape
        return np.array([shape[a] - 1 for a in self.axes], np.intp)[:, None]

    @property
    def dtype(self) -> str:
        """NumPy's name of the data type."""
        return str(self.levels[0].image.dtype).rpartition(".")[2]


def _interpolate(
    level: LevelReader,
    index: NDArray[np.float64],
    last: NDArray[np.intp],
    fixed: Mapping[int, int],
    smooth: bool,
) -> NDArray[Any]:
    if not smooth:
        nearest = np.clip(np.rint(index), 0, last).astype(np.intp)
        return _real_values(level.take(list(nearest), fixed))
    index = np.clip(index, 0, last)
    low = np.minimum(np.floor(index), np.maximum(last - 1, 0)).astype(np.intp)
    part = index - low
    total = np.zeros(index.shape[1])
    for corner in np.ndindex(*(2,) * len(index)):
        up = np.array(corner)[:, None]
        weight = np.prod(np.where(up, part, 1 - part), axis=0)
        at = np.minimum(low + up, last)
        used = weight > 0  # a NaN of weight 0 must not spread
        if not used.any():
            continue
        total[used] += weight[used] * _real_values(level.take(list(at[:, used]), fixed))
    return total


def _real_values(values: NDArray[Any]) -> NDArray[Any]:
    return np.abs(values) if values.dtype.kind == "c" else values.astype(np.float64)


class Scene:
    """An image and its overlays, as planes and tiles.

    Parameters
    ----------
    levels : sequence of SpatialArray
        The image at one or more resolutions, the finest first: an image, a `Pyramid`, or a list.
    *overlays : sequence of SpatialArray
        Other images over it, each on a grid of its own, in the same world (frame, order and unit
        may differ).
    names : sequence of str, optional
        Names of the image and its overlays.
    limits : pair of float, optional
        Values of the image that are shown as black and white at first.
    opacity : float or sequence of float, optional
        Opacity of the overlays at first, or one for each.
    """

    def __init__(
        self,
        levels: Sequence[SpatialArray],
        *overlays: Sequence[SpatialArray] | None,
        names: Sequence[str] = (),
        limits: Sequence[float] | None = None,
        opacity: float | Sequence[float] = 0.5,
    ) -> None:
        geometry = levels[0].geometry
        if 0 in geometry.shape:
            raise GeometryError(f"there is nothing to view in an image of shape {geometry.shape}")
        self.view = view_axes(geometry)
        self.planes = view_planes(self.view)
        self.world = geometry.world
        self._limits = limits
        cache = BlockCache(_CACHE)
        over = [levels_over for levels_over in overlays if levels_over is not None]
        numbered = [f"overlay {n + 1}" for n in range(len(over))]
        default_names = ["image", *(["overlay"] if len(over) == 1 else numbered)]
        names = [*names, *default_names[len(names) :]]
        self.layers = [Layer(levels, self.view, cache, names[0])]
        for number, several in enumerate(over, 1):
            moved = [im.replace(geometry=_to_world_of(im.geometry, geometry)) for im in several]
            self.layers.append(Layer(moved, self.view, cache, names[number], number))
        each = [opacity] * len(over) if isinstance(opacity, float | int) else list(opacity)
        if len(each) != len(over) or not all(0 <= o <= 1 for o in each):
            raise ValueError(
                f"opacity must be from 0 to 1, one value or one for each of {len(over)} overlays, "
                f"got {opacity!r}"
            )
        self.opacities = [1.0, *map(float, each)]
        self.pixel = float(self.layers[0].spacing[0].min())
        self.low, self.high = self._extent()
        longest = float(np.max(self.high - self.low))
        #: The zoom at which one tile shows everything.
        self.last_zoom = max(0, int(np.ceil(np.log2(longest / (self.pixel * TILE)))))

    def _extent(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and highest view coordinates of the image."""
        layer = self.layers[0]
        geometry = layer.geometry
        ends = [(-0.5, geometry.shape[a] - 0.5) for a in layer.axes]
        corners = np.array(np.meshgrid(*ends)).reshape(len(ends), -1)
        matrix, _ = layer._index_to_world(geometry)
        rows, _, _ = space_indices(geometry)
        world = matrix @ corners + geometry.origin[rows][:, None]
        view = self.view.axes.T @ (world - self.view.base[:, None])
        return view.min(axis=1), view.max(axis=1)

    def tile(
        self,
        layer: int,
        plane: int,
        zoom: int,
        row: int,
        column: int,
        depth: int = 0,
        *,
        fixed: Mapping[int, int] | None = None,
        smooth: bool = False,
    ) -> NDArray[np.float32]:
        """Return the values of a tile.

        Parameters
        ----------
        layer, plane : int
            Number of the image (0, then the overlays), and of one of `planes`.
        zoom : int
            Pixels measure ``pixel * 2**zoom`` world units.
        row, column : int
            Position of the tile, from the low corner of the image.
        depth : int, optional
            Where the plane lies, in pixels from the low corner.
        fixed : mapping of int to int, optional
            Index along each array axis that is not of space.
        smooth : bool, optional
            Interpolate between voxels.

        Returns
        -------
        ndarray of float32, shape (256, 256)
            NaN outside of the image.
        """
        size = self.pixel * 2.0**zoom
        across, down, through = self.planes[plane][1:]
        view = np.empty((len(self.view.names), TILE, TILE))
        steps = np.arange(TILE)
        view[across] = self._pixel_centers(across, column * TILE + steps, size)
        view[down] = self._pixel_centers(down, row * TILE + steps, size)[:, None]
        if through is not None:
            view[through] = self._pixel_centers(through, depth, size)
        values = self.layers[layer].sample(
            view.reshape(len(view), -1), size, dict(fixed or {}), smooth
        )
        return values.reshape(TILE, TILE)

    def _pixel_centers(self, axis: int, pixel: Any, size: float) -> Any:
        """Return the centres of pixels along a view coordinate.

        Of an image that is thinner than half a pixel the first is its middle, so that it is seen.
        """
        low, high = self.low[axis], self.high[axis]
        first = (low + high) / 2 if high - low < size / 2 else low + size / 2
        return np.where(np.equal(pixel, 0), first, low + (pixel + 0.5) * size)

    def limits(self, layer: int) -> tuple[float, float]:
        """Return the values that are shown as black and white, from a tile of each middle plane."""
        if layer == 0 and self._limits is not None:
            return float(self._limits[0]), float(self._limits[1])
        fixed = {axis: self.layers[layer].geometry.shape[axis] // 2
                 for axis in self.layers[layer].sliders}  # fmt: skip
        if self.layers[layer].color is not None:
            return 0.0, 255.0
        values = np.concatenate(self._middle_tiles(layer, self.last_zoom, fixed), axis=None)
        low, high = pictures.contrast(values[np.isfinite(values)].astype(np.float64))
        return (low, high) if high > low else (low - 0.5, low + 0.5)

    def _middle_tiles(
        self, layer: int, zoom: int, fixed: Mapping[int, int]
    ) -> list[NDArray[np.float32]]:
        """Return the tile in the middle of each plane."""
        side, tiles = self.pixel * 2.0**zoom, []
        middle = ((self.high - self.low) / 2 / side).astype(int)
        for n, plane in enumerate(self.planes):
            row, column = middle[plane.down] // TILE, middle[plane.across] // TILE
            depth = 0 if plane.through is None else int(middle[plane.through])
            tiles.append(self.tile(layer, n, zoom, int(row), int(column), depth, fixed=fixed))
        return tiles

    def is_labels(self, layer: int) -> bool:
        """Whether an image holds labels, by the voxels in the middle of each plane."""
        of = self.layers[layer]
        kind = backends.host_type(of.levels[0].image.dtype).kind
        if of.labels is not None or kind not in "biu" or of.color is not None:
            return bool(of.labels)
        if kind == "b":
            return True
        fixed = {axis: of.geometry.shape[axis] // 2 for axis in of.sliders}
        # Of an overlay the finest level tells, of what may be huge the one that is seen first.
        zoom = 0 if layer else self.last_zoom
        tiles = [np.nan_to_num(tile) for tile in self._middle_tiles(layer, zoom, fixed)]
        if any(np.abs(tile).max(initial=0) >= 2**24 for tile in tiles):
            return False  # beyond the integers that a float32 tells apart
        # An image that is shown by itself must look the more like labels.
        judge = looks_like_labels if layer else pictures.is_label_map
        return judge([tile.astype(np.int64) for tile in tiles])

    def describe(self) -> dict[str, Any]:
        """Return the description of the scene that the page needs, as JSON values."""
        units = dict(zip(self.world.axes, map(unit_symbol, self.world.units), strict=True))
        return {
            "tile": TILE,
            "pixel": self.pixel,
            "lastZoom": self.last_zoom,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "frame": self.world.frame,
            "world": [{"name": n, "unit": unit_symbol(units[n]) or ""} for n in self.view.world],
            "base": self.view.base.tolist(),
            "axes": self.view.axes.tolist(),
            "names": list(self.view.names),
            "letters": [list(pair) for pair in self.view.letters],
            "planes": [plane._asdict() for plane in self.planes],
            "layers": [self._describe_layer(n) for n in range(len(self.layers))],
        }

    def _describe_layer(self, number: int) -> dict[str, Any]:
        layer = self.layers[number]
        geometry = layer.geometry
        matrix, offset = layer.to_index()
        steps = np.abs(self.view.axes.T @ layer._index_to_world(geometry)[0]).max(axis=1)
        return {
            "name": layer.name,
            "summary": summary_rows(geometry),
            "shape": list(geometry.shape),
            "dtype": layer.dtype,
            "levels": [list(level.image.shape) for level in layer.levels],
            "limits": list(self.limits(number)),
            "labels": self.is_labels(number),
            "names": {str(n): name for n, name in label_names(layer.image).items()},
            "colors": {str(n): list(color) for n, color in segment_colors(layer.image).items()},
            "opacity": self.opacities[number],
            "rgb": layer.color is not None,
            "voxel": steps.tolist(),
            "index": {
                "dims": [str(geometry.dims[a]) for a in layer.axes],
                "matrix": matrix.tolist(),
                "offset": offset.tolist(),
                "size": [geometry.shape[a] for a in layer.axes],
            },
            "sliders": [self._slider(layer.image, axis) for axis in layer.sliders],
        }

    @staticmethod
    def _slider(image: SpatialArray, axis: int) -> dict[str, Any]:
        geometry, name = image.geometry, image.dims[axis]
        slider = {"axis": axis, "name": name or f"axis {axis}", "size": geometry.shape[axis],
                  "start": 0.0, "step": 0.0, "unit": ""}  # fmt: skip
        if axis in geometry.sampled_axes and name in geometry.world.axes:
            column = geometry.sampled_axes.index(axis)
            row = geometry.world.axes.index(name)
            slider["start"] = float(geometry.origin[row])
            slider["step"] = float(geometry.direction[row, column] * geometry.spacing[column])
            slider["unit"] = unit_symbol(geometry.world.units[row]) or ""
        for found in image.coords.values():
            if found.dims == (name,) and found.values.dtype.kind in "UT":
                slider["labels"] = [printable(str(v)) for v in found.values]
                break
        return slider


def _to_world_of(geometry: Geometry, like: Geometry) -> Geometry:
    """Return a geometry in the frame, axis order and units of another's world."""
    frame, wanted_frame = geometry.world.frame, like.world.frame
    if frame != wanted_frame:
        if frame is None or wanted_frame is None:
            raise FrameError(
                f"the image's frame is {wanted_frame!r} and the overlay's {frame!r}: whether they "
                "lie in one world is not known. Set the missing one with replace(frame=...)"
            )
        geometry = geometry.to_frame(wanted_frame)
    units = dict(zip(like.world.axes, like.world.units, strict=True))
    wanted = {
        name: units[name]
        for name, unit in zip(geometry.world.axes, geometry.world.units, strict=True)
        if name in SPACE_AXES and name in units and units[name] != unit
    }
    if wanted:
        geometry = geometry.to_unit(wanted)
    space = [n for n in like.world.axes if n in SPACE_AXES]
    if sorted(space) != sorted(n for n in geometry.world.axes if n in SPACE_AXES):
        raise GeometryError(
            f"the overlay's world has the axes {geometry.world.axes!r} and the image's "
            f"{like.world.axes!r}; they must have the same axes of space"
        )
    others = [n for n in geometry.world.axes if n not in SPACE_AXES]
    return geometry.to_world([*space, *others])
